"""Files that differ by nothing that anybody asked for: times in headers, caches and logs of package managers.

Only what is asked for by name counts as noise, and only in files that are otherwise the same object: kind, mode,
owner and attributes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import msgspec

from builder.layer.entry import Entry, Kind, identity
from runtime.beneath import open_beneath
from runtime.view import mounted

GZIP, PYC, LDCONFIG, LOGS = "gzip", "pyc", "ldconfig", "logs"
KINDS = (GZIP, PYC, LDCONFIG, LOGS)
ALL = "all"

_LDCONFIG = frozenset({b"etc/ld.so.cache", b"var/cache/ldconfig/aux-cache"})
_LOGS = re.compile(
    rb"var/log/(?:apt/[^/]+|dpkg|alternatives|bootstrap|fontconfig|dnf(?:\.[a-z]+)?|hawkey|yum|apk|pacman)(?:\.log)?"
)
_PIECE = 1 << 20
_GZIP_TIME = slice(4, 8)
_PYC_HEADER = 16
_PYC_TIME = slice(8, 12)


def kind_of(before: Entry | None, after: Entry | None, asked: Iterable[str]) -> str | None:
    """Return which noise may be all in which a path differs; None where it is certainly more.

    Of gzip and pyc the data have to tell: `only_noise`.
    """
    if before is None or after is None or not before.kind is after.kind is Kind.FILE:
        return None
    plain = msgspec.structs.replace(after, digest=before.digest)
    if identity(plain) != identity(before):
        return None
    path, wanted = after.path, frozenset(asked)
    if LDCONFIG in wanted and path in _LDCONFIG:
        return LDCONFIG
    if LOGS in wanted and _LOGS.fullmatch(path):
        return LOGS
    if before.size != after.size:
        return None
    if PYC in wanted and path.endswith(b".pyc"):
        return PYC
    if GZIP in wanted and path.endswith((b".gz", b".tgz", b".svgz")):
        return GZIP
    return None


def only_noise(before: BinaryIO, after: BinaryIO, kind: str) -> bool:
    """Tell whether two files of one size are the same but for the time in their header."""
    left, right = bytearray(before.read(_PYC_HEADER)), bytearray(after.read(_PYC_HEADER))
    if kind == GZIP:
        if left[:2] != b"\x1f\x8b":
            return False
        noise = _GZIP_TIME
    else:
        # Flags say that it goes by a digest of the source: then there is no time.
        if len(left) < _PYC_HEADER or any(left[4:8]):
            return False
        noise = _PYC_TIME
    left[noise] = right[noise]
    if left != right:
        return False
    while piece := before.read(_PIECE):
        if after.read(_PIECE) != piece:
            return False
    return not after.read(1)


class CompareFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Compare files in two states, directories on the host, the topmost first; `files` are paths and their kinds."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    files: tuple[tuple[bytes, str], ...]


def all_noise(arguments: object, fds: tuple[int, ...], report: object) -> object:
    """Do `CompareFiles`, as a job: returns whether all differ by noise alone."""
    del fds, report
    request = msgspec.convert(arguments, CompareFiles)
    with mounted(request.before) as before, mounted(request.after) as after:
        return all(
            only_noise(left, right, kind)
            for path, kind in request.files
            for left in _opened(before, path)
            for right in _opened(after, path)
        )


def _opened(root: int, path: bytes) -> Iterator[BinaryIO]:
    fd = open_beneath(root, os.fsdecode(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        yield file
