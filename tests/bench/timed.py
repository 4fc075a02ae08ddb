"""Times one thing inside the product's interpreter, without its start: prints ours, the reference and the peak.

    timed.py ignoring RULES TREE         matching every path of a tree, against walking it
    timed.py language DOCKERFILE MODULE  reading, checking and lowering, against compile()
    timed.py explaining TREE LISTS       which files changed, from two entry lists, against hashing the files

Times are seconds of processor time, as each is one thread that waits for nothing; the peak is bytes. Nothing of
the tests can be imported here.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path


def ignoring(rules: Path, tree: Path) -> tuple[float, float]:
    """Read the rules and match all paths; walk the tree."""
    from builder.dockerfile.ignore import IgnoreRules

    text = rules.read_text()
    paths: list[str] = []
    _walk(str(tree), paths)
    names = [os.path.relpath(path, tree) for path in paths]
    started = time.process_time()
    _walk(str(tree), [])
    walked = time.process_time()
    match = IgnoreRules.parse(text, ".dockerignore").match
    for name in names:
        match(name)
    return time.process_time() - walked, walked - started


def _walk(directory: str, found: list[str]) -> None:
    below: list[str] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            entry.stat(follow_symlinks=False)
            found.append(entry.path)
            if entry.is_dir(follow_symlinks=False):
                below.append(entry.path)
    for each in below:
        _walk(each, found)


def language(dockerfile: Path, module: Path) -> tuple[float, float]:
    """Read, plan, check and lower a Dockerfile; compile a module. What both need is loaded before."""
    text, code = dockerfile.read_text(), module.read_text()
    _lower("FROM base\nRUN true\n")
    compile("pass", "module", "exec")
    started = time.process_time()
    compile(code, "module", "exec")
    compiled = time.process_time()
    _lower(text)
    return time.process_time() - compiled, compiled - started


def _lower(text: str) -> None:
    from builder.diagnostics import SourceFile
    from builder.dockerfile.bases import plan_with_bases
    from builder.dockerfile.lower import lower
    from builder.dockerfile.parse import parse
    from builder.dockerfile.stages import PlanRequest
    from builder.oci.config import ImageConfig

    base = ImageConfig(architecture="amd64", os="linux")
    request = PlanRequest(host_platform="linux/amd64")
    stages, bases = plan_with_bases(
        parse(SourceFile("Dockerfile", text)), request, lambda _image, _plan: base
    )
    lower(stages, bases)


def explaining(tree: Path, lists: Path) -> tuple[float, float]:
    """Hash all files; then say which two are not as before. The lists are written in a directory of their own."""
    import hashlib

    from builder.events import Cause, Difference
    from builder.graph.explain import reason
    from builder.graph.operations import CopyOp, CopySource
    from builder.layer.difference import differences
    from builder.layer.entries import read_entries, write_entries
    from builder.layer.entry import Entry, Kind, sort_key
    from builder.solve.explaining import files_of

    paths: list[str] = []
    _walk(str(tree), paths)
    files = [path for path in paths if Path(path).is_file()]
    started = time.process_time()
    digests = {path: hashlib.sha256(Path(path).read_bytes()).digest() for path in files}
    hashed = time.process_time() - started
    entries = [
        Entry(os.fsencode(os.path.relpath(path, tree)), Kind.FILE, 0o644, digest=digest)
        for path, digest in digests.items()
    ]
    entries.sort(key=lambda each: sort_key(each.path))
    changed = {entries[5].path, entries[len(entries) // 2].path}
    lists.mkdir(exist_ok=True)
    write_entries(str(lists / "before"), entries)
    write_entries(
        str(lists / "after"),
        [
            Entry(each.path, each.kind, each.mode, digest=bytes(32))
            if each.path in changed
            else each
            for each in entries
        ],
    )
    copy = CopyOp(sources=(CopySource(input=1, paths=("",)),), dest="/")
    del entries, digests
    started = time.process_time()
    found = list(
        differences(read_entries(str(lists / "before")), read_entries(str(lists / "after")))
    )
    line = reason([files_of(Difference(cause=Cause.FILES), found, copy)])
    explained = time.process_time() - started
    assert line.startswith("2 files changed: ")
    return explained, hashed


def main(arguments: list[str]) -> None:
    """Time what is named."""
    name, first, second = arguments
    timed = {"ignoring": ignoring, "language": language, "explaining": explaining}[name]
    ours, reference = timed(Path(first), Path(second))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps([ours, reference, peak]))


if __name__ == "__main__":
    main(sys.argv[1:])
