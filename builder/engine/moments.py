"""The time of a build, taken from something remote: a commit, or what a server or an archive says of a download.

Source: BuildKit, docs/build-repro.md, "SOURCE_DATE_EPOCH".
"""

from __future__ import annotations

import os
from typing import cast

import msgspec

from builder.diagnostics import Diagnostic, Severity
from builder.engine.contexts import Fetch
from builder.graph.operations import GitSource, HttpSource
from builder.store.root import Store

_WHAT = "take SOURCE_DATE_EPOCH from"


def time_of(op: HttpSource | GitSource, fetch: Fetch, store: Store) -> int | None:
    """Return seconds since 1970: of a commit, of a download as its server says, or of the newest file of an archive.

    Returns: None of a download that is no archive and of which the server says nothing.
    Raises: SourceError: it cannot be had. ContextError: it is a damaged archive.
    """
    if isinstance(op, GitSource):
        # Such a checkout is as old as its commit.
        bare = msgspec.structs.replace(op, commit_times=True, keep_git_dir=False, submodules=False)
        return int(os.stat(fetch(bare, _WHAT).root).st_mtime)
    path = f"{fetch(op, _WHAT).root}/{op.name}"
    said = int(os.lstat(path).st_mtime)
    if said:
        return said
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        found = store.jobs.call("builder.source.sent:newest", {}, fds=(fd,))
    finally:
        os.close(fd)
    return cast("dict[str, int | None]", found)["seconds"]


def nothing_to_take(name: str) -> Diagnostic:
    """Return what to say where something has no time."""
    return Diagnostic(
        severity=Severity.WARNING,
        code="build.no-epoch",
        message=f"SOURCE_DATE_EPOCH is to be taken from `{name}`, which has no time",
        notes=("a commit has one, and a download of which the server says when it changed",),
        hint="give it as a number: `SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)`",
    )
