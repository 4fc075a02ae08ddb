"""An OCI layout that is there already and gets one more image: what its `index.json` becomes.

Source: OCI image-spec, image-layout.md, "index.json file".
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import msgspec

from builder.errors import ExportError
from builder.export.destination import partial_names, refusing, require_parent
from builder.oci.descriptor import MAX_DOCUMENT, Descriptor
from builder.oci.manifest import build_index

REF_NAME = "org.opencontainers.image.ref.name"
INDEX = "index.json"
_BEFORE_INDEX = frozenset({"blobs", "oci-layout"})
"""What may be there of one who was killed while a new layout was put in its place."""


@contextmanager
def locked_index(dest: str) -> Iterator[bytes | None]:
    """Give the `index.json` of the layout in a directory; None where the directory is empty.

    A missing directory is made, for others to wait for, and goes again if nothing comes to be in it. Until the block ends, no
    other lapstrake changes the layout.

    Raises: ExportError: something else is in the directory, or the one above it does not exist.
    """
    with _there(dest):
        with refusing(dest):
            fd = os.open(dest, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with refusing(dest):
                fcntl.flock(fd, fcntl.LOCK_EX)
                found = _read(fd, dest)
            yield found
        finally:
            os.close(fd)


@contextmanager
def _there(dest: str) -> Iterator[None]:
    """Have a directory; one that was made goes again if nothing comes to be in it."""
    require_parent(dest)
    made = True
    with refusing(dest):
        try:
            os.mkdir(dest)
        except FileExistsError:
            made = False
    try:
        yield
    except BaseException:
        if made:
            with suppress(OSError):
                os.rmdir(dest)
        raise


def with_images(index: bytes | None, images: Sequence[Descriptor], dest: str) -> bytes:
    """Return an `index.json` with these images; what it held before stays, but for names that move.

    Members that lapstrake does not know are kept as they are.

    Raises: ExportError: the index is malformed.
    """
    if index is None:
        return build_index(images).raw
    try:
        document = msgspec.json.decode(index, type=dict[str, msgspec.Raw])
        manifests = msgspec.json.decode(document.get("manifests", b"[]"), type=list[msgspec.Raw])
        kept = [each for each in manifests if not _replaced(each, images)]
    except (ValueError, RecursionError) as error:
        raise ExportError(
            f"`{INDEX}` in `{dest}` is malformed", hint="name another destination"
        ) from error
    added = [msgspec.Raw(msgspec.json.encode(image.document())) for image in images]
    document["manifests"] = msgspec.Raw(msgspec.json.encode([*kept, *added]))
    return msgspec.json.encode(document)


class _Entry(msgspec.Struct):
    digest: str
    annotations: dict[str, str] | None = None


def _replaced(raw: msgspec.Raw, images: Sequence[Descriptor]) -> bool:
    entry = msgspec.json.decode(raw, type=_Entry)
    name = (entry.annotations or {}).get(REF_NAME)
    for image in images:
        new = dict(image.annotations).get(REF_NAME)
        if name == new and (name is not None or entry.digest == image.digest):
            return True
    return False


def _read(fd: int, dest: str) -> bytes | None:
    for each in partial_names(f"{dest}/{INDEX}"):
        with suppress(OSError):
            os.unlink(each)  # of one who was killed: who writes an index has the lock
    begun = {os.path.basename(each) for each in partial_names(f"{dest}/new")}
    names = set(os.listdir(fd)) - begun
    if names <= _BEFORE_INDEX:
        return None
    if INDEX not in names:
        raise ExportError(
            f"`{dest}` is neither empty nor an OCI layout", hint="name another destination"
        )
    index = os.open(INDEX, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    with os.fdopen(index, "rb") as file:
        data = file.read(MAX_DOCUMENT + 1)
    if len(data) > MAX_DOCUMENT:
        raise ExportError(f"`{INDEX}` in `{dest}` is larger than {MAX_DOCUMENT} bytes")
    return data
