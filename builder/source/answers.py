"""What the answers of a web server mean: where a range begins, how old a file is, why there is none.

Source: RFC 9110.
"""

from __future__ import annotations

from collections.abc import Iterator

from builder.errors import RegistryError, SourceError
from builder.registry.address import origin_of, redact
from builder.registry.exchange import Response, Unreachable
from builder.source.credentials import Credential, token_name

LIMIT = 64 << 30
"""Bytes of one file that are taken."""

_PIECE = 1 << 20


def range_start(response: Response) -> int:
    """Return where the range of an answer begins, -1 if it does not say."""
    unit, _, rest = (response.header("content-range") or "").partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdecimal() and len(first) < 19 else -1


def seconds(modified: str) -> int:
    """Return the seconds of an HTTP date, 0 where there is none: then the file's time is the epoch."""
    from email.utils import parsedate_to_datetime

    try:
        return max(0, int(parsedate_to_datetime(modified).timestamp()))
    except (ValueError, TypeError, OverflowError):
        return 0


def inflated(chunks: Iterator[bytes], url: str) -> Iterator[bytes]:
    """Undo the compression that a server adds unasked, a bounded piece at a time."""
    import zlib

    inflate = zlib.decompressobj(31)
    try:
        for chunk in chunks:
            data = chunk
            while data and not inflate.eof:
                yield inflate.decompress(data, _PIECE)
                data = inflate.unconsumed_tail
        if not inflate.eof:
            raise RegistryError("the connection broke", temporary=True)
    except zlib.error as error:
        raise SourceError(f"`{redact(url)}` is sent in a damaged gzip stream") from error


def refused(status: int, url: str, credential: Credential | None = None) -> SourceError:
    """Return what to say of an answer that brings no file; its body says nothing to anybody.

    `credential` is what the server of the address was told.
    """
    shown = redact(url)
    if status in (404, 410):
        return SourceError(
            f"`{shown}` does not exist",
            code="source.not-found",
            notes=(f"the server answers {status}",),
            hint="check the address",
        )
    if status in (401, 403, 407):
        return SourceError(
            f"`{shown}` may not be downloaded",
            code="source.unauthorized",
            notes=(
                f"the server answers {status}",
                *([f"the secret `{credential.name}` was sent"] if credential else ()),
            ),
            hint="check the secret, and what it may read"
            if credential
            else f"check the address, or give a token: `--secret id={token_name(url)},env=NAME`",
        )
    return SourceError(
        f"`{shown}` cannot be downloaded",
        notes=(f"the server answers {status}",),
        hint="try again later" if status >= 500 or status == 429 else "check the address",
    )


def too_large(url: str) -> SourceError:
    """Return what to say of a file over the limit."""
    return SourceError(f"`{redact(url)}` is larger than {LIMIT >> 30} GiB", code="source.too-large")


def in_our_words(error: RegistryError, url: str) -> SourceError:
    """Return what to say about trouble with a server that is no registry."""
    if isinstance(error, Unreachable):
        host = origin_of(url).authority
        return SourceError(
            f"cannot reach `{host}` to download `{redact(url)}`",
            notes=error.notes,
            hint="check the address, the network and the proxy settings",
        )
    notes = (_without_registry(error.message), *map(_without_registry, error.notes))
    return SourceError(
        f"`{redact(url)}` cannot be downloaded", notes=notes, hint="check the address, or try again"
    )


def _without_registry(text: str) -> str:
    return text.replace("the registry", "the server")
