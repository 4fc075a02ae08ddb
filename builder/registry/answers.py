"""What answers of registries say, read with the distrust that they deserve; nothing here talks to anybody."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from builder.errors import ReferenceInvalid, RegistryError
from builder.oci import mediatypes
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.reference import Reference
from builder.registry.exchange import Response
from builder.registry.refusals import broken


class _TagsWire(msgspec.Struct):
    tags: list[str] | None = None


class _CatalogWire(msgspec.Struct):
    repositories: list[str] | None = None


def repositories(reference: Reference, raw: bytes) -> list[str]:
    """Return the repositories of a catalog.

    Raises: RegistryError: it is malformed.
    """
    try:
        names = msgspec.json.decode(raw, type=_CatalogWire).repositories or []
    except (ValueError, RecursionError):
        raise broken(reference, "its list of repositories is malformed") from None
    return [name for name in names if name.isprintable() and len(name) <= 255]


def described(reference: Reference, response: Response) -> Descriptor | None:
    """Return what the headers of an answer say; None where they do not say it."""
    digest = response.header("docker-content-digest")
    length = response.header("content-length") or ""
    if digest is None or not (length.isascii() and length.isdecimal()):
        return None
    return Descriptor(
        media_type=mediatypes.without_parameters(response.header("content-type") or ""),
        digest=_digest(reference, digest),
        size=int(length[:19]),
    )


def from_offset(
    reference: Reference, descriptor: Descriptor, response: Response, offset: int
) -> Iterator[bytes]:
    """Yield a blob's bytes from `offset` on, wherever the answer begins.

    Raises: RegistryError: temporary, it ended early.
    """
    with response:
        # A server without ranges begins anew: what is known already is passed over.
        position = 0
        if response.status == 206:
            position = _range_start(reference, response.header("content-range"), offset)
        for chunk in response.chunks():
            fresh = chunk[max(0, offset - position) :]
            position += len(chunk)
            if fresh:
                yield fresh
    if position < descriptor.size:
        raise RegistryError(
            f"the connection to {reference.registry} ended early",
            temporary=True,
            notes=(f"{position} of {descriptor.size} bytes of `{descriptor.digest}` came",),
        )


def check_digest(
    reference: Reference, raw: bytes, expected: Digest | None, promised: str | None
) -> None:
    """Check bytes against the digest that is expected, else the one that was promised.

    Raises: RegistryError: they do not have it.
    """
    wanted = expected
    if wanted is None and promised is not None:
        wanted = _digest(reference, promised)
    if wanted is not None and hashlib.new(wanted.algorithm, raw).hexdigest() != wanted.hex:
        raise broken(reference, f"what came does not have the digest `{wanted}`")


def _digest(reference: Reference, text: str) -> Digest:
    try:
        return Digest(text)
    except ReferenceInvalid as error:
        raise broken(reference, error.message) from None


def _range_start(reference: Reference, content_range: str | None, offset: int) -> int:
    """Return where a partial answer begins; it may begin earlier than asked, never later."""
    start = _start(content_range)
    if start is None or start > offset:
        raise broken(reference, f"asked for bytes from {offset} on, it answers otherwise")
    return start


def misses(response: Response, offset: int) -> bool:
    """Tell whether an answer to a request for a part is a refusal, or another part."""
    if response.status == 206:
        start = _start(response.header("content-range"))
        return start is None or start > offset
    return response.status == 416


def _start(content_range: str | None) -> int | None:
    start = (content_range or "").removeprefix("bytes ").partition("-")[0].strip()
    if start.isascii() and start.isdecimal() and len(start) <= 19:
        return int(start)
    return None


def tags(reference: Reference, raw: bytes) -> list[str]:
    """Return the tags of a list.

    Raises: RegistryError: it is malformed.
    """
    try:
        tags = msgspec.json.decode(raw, type=_TagsWire).tags or []
    except (ValueError, RecursionError):
        raise broken(reference, "its list of tags is malformed") from None
    return [tag for tag in tags if tag.isprintable() and len(tag) <= 128]


def next_page(link: str | None) -> str | None:
    """Return the target of a `Link: <…>; rel="next"` header."""
    if link is None or "next" not in link:
        return None
    target = link.partition("<")[2].partition(">")[0]
    return target or None
