"""Files by name → one tar, in which everything is root's and nothing has a time: same files, same bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO

import msgspec

from builder.errors import StoreError
from builder.export.destination import never, refusing, writer
from builder.layer.entry import Entry, Kind
from builder.layer.pack import TarWriter
from builder.oci.digest import Digest

_PIECE = 1 << 20


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One file: small data, what is at a host path and has a digest, or what `open` gives: `size` bytes, verified."""

    name: str
    data: bytes = b""
    path: str | None = None
    digest: Digest | None = None
    open: Callable[[], AbstractContextManager[BinaryIO]] | None = None
    size: int = 0


def write_tar(parts: Iterable[Part], write: Callable[[bytes], object]) -> None:
    """Write parts as a tar, with the directories that they lie in; blobs are verified as they pass.

    Raises: StoreError: a blob is damaged. What `write` raises is passed on.
    """
    tar = TarWriter(write)
    made: set[str] = set()
    for part in parts:
        for directory in _parents(part.name):
            if directory not in made:
                made.add(directory)
                tar.add_header(Entry(directory.encode(), Kind.DIRECTORY, 0o755))
        name = part.name.encode()
        if part.open is not None:
            tar.add_header(Entry(name, Kind.FILE, 0o644, size=part.size))
            for piece in _pieces(part):
                tar.add_data(piece)
            tar.end_data()
        elif part.path is None:
            tar.add_bytes(Entry(name, Kind.FILE, 0o644, size=len(part.data)), part.data)
        else:
            _add_file(tar, name, part.path, part.digest)
    tar.close()


def write_directory(
    parts: Iterable[Part], root: str, dest: str, cancelled: Callable[[], bool] = never
) -> None:
    """Write parts below the empty directory `root`; messages call it `dest`.

    Raises: ExportError: it cannot be written. StoreError: a blob is damaged. Cancelled.
    """
    for part in parts:
        path = f"{root}/{part.name}"
        with refusing(dest):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            _copy(part, writer(fd, dest, cancelled))
        finally:
            os.close(fd)


def _pieces(part: Part) -> Iterator[bytes]:
    """Yield the bytes of a part that has to be opened.

    Raises: StoreError: there are not as many as it says.
    """
    assert part.open is not None
    left = part.size
    with part.open() as file:
        while piece := file.read(_PIECE):
            left -= len(piece)
            if left < 0:
                break
            yield piece
    if left:
        raise StoreError(
            f"`{part.name}` has not the {part.size} bytes that are promised",
            code="store.digest-mismatch",
        )


def _copy(part: Part, write: Callable[[bytes], object]) -> None:
    if part.open is not None:
        for piece in _pieces(part):
            write(piece)
        return
    if part.path is None:
        write(part.data)
        return
    digest = hashlib.sha256()
    with open(part.path, "rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            write(piece)
    _verify(part.digest, digest.hexdigest(), part.path)


def _add_file(tar: TarWriter, name: bytes, path: str, digest: Digest | None) -> None:
    with open(path, "rb", buffering=0) as file:
        size = file.seek(0, 2)
        file.seek(0)
        found = tar.add_file(Entry(name, Kind.FILE, 0o644, size=size), file.fileno())
    _verify(digest, found.hex(), path)


def _verify(digest: Digest | None, found: str, path: str) -> None:
    if digest is not None and digest.algorithm == "sha256" and digest.hex != found:
        if os.path.basename(path) == digest.hex:
            # It is of no use to anybody, and while it is there no good one is fetched or made.
            os.unlink(path)
        raise StoreError(
            f"the blob `{digest}` is damaged on disk",
            code="store.digest-mismatch",
            hint="pull or build the image again",
        )


def _parents(name: str) -> list[str]:
    components = name.split("/")[:-1]
    return ["/".join(components[: end + 1]) for end in range(len(components))]
