"""An archive of images, read once as a stream: blobs into the store, documents and links into memory.

No name of the archive ever becomes a path. What may be part of an image becomes a blob at once, verified
where its name says a digest; the documents, which may come last, decide afterwards what it means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

import msgspec

from builder.errors import ImageError, LayerError, ReferenceInvalid
from builder.layer.read import Limits, Member, TarReader
from builder.layer.unwrapping import unwrapped
from builder.oci.digest import Digest
from builder.store.content import ContentStore

INDEX = "index.json"
DOCKER_LIST = "manifest.json"

_DOCUMENTS = frozenset({INDEX, DOCKER_LIST})
_DOCUMENT_LIMIT = 16 << 20
_ENTRIES_LIMIT = 50_000
_NAME_LIMIT = 1024
_LINKS_LIMIT = 16
_REGULAR = frozenset(b"0\0007")
_SYMLINK, _HARDLINK = b"21"
_OLDEST = "repositories"


class Contents(msgspec.Struct):
    """What an archive holds: documents, blobs and links by their names in it."""

    documents: dict[str, bytes] = msgspec.field(default_factory=dict)
    blobs: dict[str, Digest] = msgspec.field(default_factory=dict)
    links: dict[str, str] = msgspec.field(default_factory=dict)

    def get(self, name: str) -> Digest | None:
        """Return the blob that a name stands for, links followed; None when there is none."""
        place = _normal(name)
        for _ in range(_LINKS_LIMIT):
            if place in self.blobs:
                return self.blobs[place]
            if place not in self.links:
                break
            place = self.links[place]
        return None

    def find(self, name: str) -> Digest:
        """Return the same.

        Raises: ImageError: there is none.
        """
        found = self.get(name)
        if found is None:
            raise ImageError(
                "the archive is incomplete", notes=(f"it lacks the file `{name[:200]}`",)
            )
        return found


def read_contents(stream: BinaryIO, blobs: ContentStore, cancelled: Callable[[], bool]) -> Contents:
    """Read an archive to its end, compressed or not; what can be part of an image is among `blobs` then.

    Raises: ImageError: it is no archive of images, or damaged. LayerError: it is over a limit.
        StoreError: a blob is not what its name says; the disk is full. Cancelled.
    """
    contents = Contents()
    reader = TarReader(unwrapped(stream, cancelled), Limits(entries=_ENTRIES_LIMIT))
    oldest = seen = False
    try:
        for member in reader.members():
            name = _normal(member.name.decode("utf-8", "surrogateescape"))
            seen = True
            oldest |= name == _OLDEST
            _take(contents, name, member, reader, blobs)
    except LayerError as error:
        if error.code != "layer.invalid":
            raise
        what = "the archive is damaged" if seen else "the input is not an archive of images"
        raise ImageError(what, notes=(error.message,)) from error
    if contents.documents:
        return contents
    if oldest:
        raise ImageError(
            "the archive was written by a Docker before 1.10, whose format was given up",
            hint="load and save it again with a newer Docker",
        )
    raise ImageError(
        "the archive holds no images: neither `index.json` nor `manifest.json` is in it",
        hint="for the tar of a root file system, use `lapstrake import`",
    )


def _take(
    contents: Contents, name: str, member: Member, reader: TarReader, blobs: ContentStore
) -> None:
    if len(name) > _NAME_LIMIT:
        return
    if member.typeflag == _SYMLINK:
        above = name.rpartition("/")[0]
        target = member.link.decode("utf-8", "surrogateescape")
        contents.links[name] = _normal(f"{above}/{target}")[:_NAME_LIMIT]
    elif member.typeflag == _HARDLINK:
        target = member.link.decode("utf-8", "surrogateescape")
        contents.links[name] = _normal(target)[:_NAME_LIMIT]
    elif member.typeflag in _REGULAR and name in _DOCUMENTS:
        if member.size > _DOCUMENT_LIMIT:
            raise ImageError(f"`{name}` in the archive is larger than {_DOCUMENT_LIMIT} bytes")
        contents.documents[name] = b"".join(reader.data())
    elif member.typeflag in _REGULAR and _may_be_a_blob(name):
        descriptor = blobs.ingest(
            reader.data(),
            media_type="application/octet-stream",
            expected=_expected(name),
            size=member.size,
        )
        contents.blobs[name] = descriptor.digest


def _may_be_a_blob(name: str) -> bool:
    """Tell whether a file can be part of an image, by all the ways to name one that are in use."""
    if "/" not in name:
        return name.endswith((".json", ".tar", ".tar.gz", ".tgz")) or name.startswith("sha256:")
    return _expected(name) is not None or (name.endswith("/layer.tar") and name.count("/") == 1)


def _expected(name: str) -> Digest | None:
    """Return the digest that a blob's name in a layout says."""
    top, _, rest = name.partition("/")
    if top != "blobs" or rest.count("/") != 1:
        return None
    try:
        return Digest(rest.replace("/", ":"))
    except ReferenceInvalid:
        return None


def _normal(name: str) -> str:
    """Return a name without empty components, `.` and `..`, as if the archive were the root."""
    components: list[str] = []
    for component in name.split("/"):
        if component == "..":
            del components[-1:]
        elif component not in ("", "."):
            components.append(component)
    return "/".join(components)
