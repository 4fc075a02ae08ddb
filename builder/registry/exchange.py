"""Requests and responses, and the seam between what is said to a registry and how it travels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from enum import Enum
from typing import BinaryIO, Protocol

import msgspec

from builder.errors import RegistryError
from builder.registry.address import Origin
from builder.registry.endpoint import Trust

Cancelled = Callable[[], bool]
"""Asked now and then; true means: stop."""


def never() -> bool:
    """Nobody cancels."""
    return False


class Trouble(Enum):
    """Why there is no answer."""

    ABSENT = "absent"
    """There is no such name or service, which seldom changes soon."""
    SILENT = "silent"
    """It took its time, and then more."""
    BROKEN = "broken"
    """The connection ended before the answer."""


class Unreachable(RegistryError):
    """There is no answer."""

    trouble = Trouble.BROKEN


class Authorization(msgspec.Struct, frozen=True):
    """The value of an `Authorization` header, for one origin only; it never shows its value."""

    value: str
    origin: Origin

    def __repr__(self) -> str:
        return f"Authorization(…, {self.origin})"


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A large body: `open` is called anew for each try; exactly `size` bytes are sent.

    They begin `offset` bytes into what is opened. `sent` is called with each number of bytes handed over, and may
    raise to stop.
    """

    open: Callable[[], AbstractContextManager[BinaryIO]]
    size: int
    offset: int = 0
    sent: Callable[[int], None] = lambda _count: None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request on behalf of `registry`, which decides what redirects may lead to.

    `authorization` is sent to its own origin only, whatever the address or a redirect says. A request with an
    `Upload` is tried once; others are repeated when the trouble may pass, `tries` times at most. One that `stays`
    does not follow redirects to other origins, since its body is secret. `own_headers` and `trust` are for the
    registry's own origin.
    """

    method: str
    url: str
    registry: Origin
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Upload | None = None
    authorization: Authorization | None = None
    stays: bool = False
    own_headers: tuple[tuple[str, str], ...] = ()
    trust: Trust | None = None
    tries: int | None = None
    patience: float | None = None
    """Seconds after which silence counts as no answer; None is as usual."""


class Response:
    """An answer whose body is still to be read; closing it early gives up the connection."""

    def __init__(
        self,
        status: int,
        headers: tuple[tuple[str, str], ...] = (),
        body: Iterable[bytes] = (),
        *,
        url: str = "",
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.status = status
        self.url = url
        self._headers = tuple((name.lower(), value) for name, value in headers)
        self._body = iter(body)
        self._close = close

    def header(self, name: str) -> str | None:
        """Return the first header of a name, in lower case."""
        return next((value for known, value in self._headers if known == name), None)

    def headers(self, name: str) -> tuple[str, ...]:
        """Return all headers of a name, in lower case."""
        return tuple(value for known, value in self._headers if known == name)

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it comes; nothing is decoded.

        Raises: RegistryError: temporary, the connection broke.
        """
        return self._body

    def read(self, limit: int) -> bytes:
        """Return the whole body, if it has at most `limit` bytes.

        Raises: RegistryError: it has more, or the connection broke.
        """
        body = bytearray()
        for chunk in self._body:
            body += chunk
            if len(body) > limit:
                raise RegistryError(
                    f"the registry's answer is larger than {limit} bytes", code="registry.protocol"
                )
        return bytes(body)

    def read_some(self, limit: int) -> bytes:
        """Return at most `limit` bytes of a body that only explains, whatever happens to the rest."""
        body = bytearray()
        try:
            for chunk in self._body:
                body += chunk
                if len(body) >= limit:
                    break
        except RegistryError:
            return bytes(body)
        return bytes(body[:limit])

    def close(self) -> None:
        """Give the connection back."""
        self._close()

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Transport(Protocol):
    """How requests travel. The double is a function in a class."""

    def send(self, request: Request) -> Response:
        """Send a request, following redirects and repeating what may be repeated; the caller closes.

        Returns: any answer, also a refusal.
        Raises: RegistryError: there is no answer, or an address that may not be contacted.
        """

    def allows_plain_http(self, host: str) -> bool:
        """Tell whether a host, with its port, may be spoken to without encryption."""
