"""Makes what a case builds: its Dockerfile and its context, with what a version control system cannot hold."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import zstandard

from tests.conformance.case import Case

MODIFIED = 1_577_836_800  # seconds: the first of January 2020
SETUP_KEYS = {
    "directories", "modes", "links", "hardlinks", "fifos", "mtimes", "xattrs", "archives", "repeat",
    "dockerfile", "remove",
}  # fmt: skip
COMPRESSIONS = {
    "": bytes,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
}
MEMBERS = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE,
}


def prepare(case: Case, target: Path, owner: tuple[int, int] | None = None) -> None:
    """Make `target`/Dockerfile and `target`/context of `case`.

    Modes and times do not depend on the checkout: files are 0644 or 0755, directories 0755, all times `MODIFIED`,
    unless the case says otherwise.
    """
    unknown = set(case.setup) - SETUP_KEYS
    assert not unknown, f"{case.name}: unknown keys {sorted(unknown)} in [setup]"
    target.mkdir()
    context = target / "context"
    if case.folder.joinpath("context").is_dir():
        shutil.copytree(case.folder / "context", context, symlinks=True)
    else:
        context.mkdir()
    for file in case.folder.iterdir():
        if file.name not in {"context", "expect.toml"}:
            copied = target / file.name
            data = file.read_bytes()
            for word, repeated in case.setup.get("repeat", {}).items():
                data = data.replace(word.encode(), (repeated["text"] * repeated["times"]).encode())
            copied.write_bytes(data)
    if case.setup.get("dockerfile") == "in context":
        target.joinpath("Dockerfile").rename(context / "Dockerfile")
    _normalise(target, owner)
    arrange(case.setup, context, owner)


def arrange(setup: dict[str, Any], context: Path, owner: tuple[int, int] | None = None) -> None:
    """Do in `context` what a `[setup]` asks for."""
    made: list[Path] = []

    def place(name: str) -> Path:
        path = context / name
        path.parent.mkdir(parents=True, exist_ok=True)
        made.extend([path, *list(path.parents)[: len(Path(name).parents) - 1]])
        return path

    for name in setup.get("remove", ()):
        context.joinpath(name).unlink()
    for name in setup.get("directories", ()):
        place(name).mkdir(exist_ok=True)
    for name, target in setup.get("links", {}).items():
        place(name).symlink_to(target)
    for name in setup.get("fifos", ()):
        os.mkfifo(place(name), 0o644)
    for name, archive in setup.get("archives", {}).items():
        place(name).write_bytes(make_archive(archive))
    for name, target in setup.get("hardlinks", {}).items():
        os.link(context / target, place(name))
    for path in made:
        if owner is not None:
            os.chown(path, *owner, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    for name, xattrs in setup.get("xattrs", {}).items():
        for attribute, value in xattrs.items():
            os.setxattr(context / name, attribute, value.encode())
    for name, mode in setup.get("modes", {}).items():
        context.joinpath(name).chmod(int(mode, 8))
    times = setup.get("mtimes", {})
    for path in made:
        os.utime(path, (MODIFIED, MODIFIED), follow_symlinks=False)
    _settle(context)
    for name, seconds in times.items():
        os.utime(context / name, (seconds, seconds), follow_symlinks=False)


def _settle(context: Path) -> None:
    """Give directories that were written to their time back."""
    for folder, _, _ in os.walk(context):
        os.utime(folder, (MODIFIED, MODIFIED))


def make_archive(description: dict[str, Any]) -> bytes:
    """Return the archive that a `[setup.archives.NAME]` describes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for given in description.get("members", ()):
            member = tarfile.TarInfo(given["name"])
            member.type = MEMBERS[given.get("type", "file")]
            member.mode = int(given.get("mode", "755" if member.isdir() else "644"), 8)
            member.uid, member.gid = given.get("uid", 0), given.get("gid", 0)
            member.mtime = given.get("mtime", MODIFIED)
            member.linkname = given.get("link", "")
            data = given.get("text", "").encode()
            member.size = len(data) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(data))
    data = COMPRESSIONS[description.get("compression", "")](buffer.getvalue())
    return data[: description.get("cut", len(data))]


def _normalise(target: Path, owner: tuple[int, int] | None) -> None:
    for folder, folders, files in os.walk(target):
        for name in (*folders, *files):
            path = Path(folder, name)
            if owner is not None:
                os.chown(path, *owner, follow_symlinks=False)
            if not path.is_symlink():
                executable = path.is_dir() or path.stat().st_mode & 0o100
                path.chmod(0o755 if executable else 0o644)
            os.utime(path, (MODIFIED, MODIFIED), follow_symlinks=False)
    if owner is not None:
        os.chown(target, *owner)
    target.chmod(0o755)
