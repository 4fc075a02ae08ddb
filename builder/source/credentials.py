"""What a server is told that asks who comes: which secrets of the build are for it, and what becomes of them.

The names are Docker's. A secret's name says for which host it is; it is sent to the very origin of the address that
a Dockerfile or a caller wrote, and to no other.

Source: Docker, "Build secrets" (HTTP and Git authentication); moby/buildkit, source/http and source/git (behaviour,
not code); RFC 9110, "Field Values".
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

import msgspec

from builder.errors import BuildError
from builder.graph.operations import GitSource, HttpSource

Value = Callable[[str], bytes | None]
"""Gives the value of a secret by its name, None where the build was given none of it."""

_HTTP_HEADER, _HTTP_TOKEN = "HTTP_AUTH_HEADER_", "HTTP_AUTH_TOKEN_"
_GIT_HEADER, _GIT_TOKEN = "GIT_AUTH_HEADER", "GIT_AUTH_TOKEN"


class Credential(msgspec.Struct, frozen=True):
    """The value of an `Authorization` header, and the name of the secret that it is made of; it never shows its value.

    `shapes` are the texts that must not be shown: the secret as it was given, and as it is sent.
    """

    name: str
    header: str
    shapes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Credential({self.name}, …)"


def names(op: HttpSource | GitSource) -> tuple[str, ...]:
    """Return the names of the secrets that are for a source, the one that counts before all others first."""
    host = _host(op.url)
    if not host:
        return ()
    if isinstance(op, HttpSource):
        plain = _without_port(host)
        return (f"{_HTTP_TOKEN}{plain}", f"{_HTTP_HEADER}{plain}")
    return (f"{_GIT_HEADER}.{host}", f"{_GIT_TOKEN}.{host}", _GIT_HEADER, _GIT_TOKEN)


def token_name(url: str) -> str:
    """Return the name of the secret that is a token for downloads from an address."""
    return f"{_HTTP_TOKEN}{_without_port(_host(url))}"


def is_for_servers(name: str) -> bool:
    """Tell whether a secret of this name can be for nothing but a server."""
    if name.startswith((_HTTP_HEADER, _HTTP_TOKEN)):
        return True
    return name.partition(".")[0] in (_GIT_HEADER, _GIT_TOKEN)


def credential(op: HttpSource | GitSource, value: Value) -> Credential | None:
    """Return what a source's server is told, None if the build has no secret for it.

    Raises: BuildError: the secret cannot be in a header. Whatever `value` raises.
    """
    for name in names(op):
        given = value(name)
        if given is not None:
            return _made(name, _text(name, given))
    return None


def _made(name: str, text: str) -> Credential:
    if name.startswith(_HTTP_TOKEN):
        return Credential(name, f"Bearer {text}", (text,))
    if name.partition(".")[0] == _GIT_TOKEN:
        encoded = b64encode(f"x-access-token:{text}".encode()).decode()
        return Credential(name, f"basic {encoded}", (text, encoded))
    # Of a header the word after the scheme is the secret, and may be said without the scheme.
    return Credential(name, text, (text, *text.split(" ")[1:]))


def _text(name: str, value: bytes) -> str:
    """Return a value as it stands in a header: files of secrets mostly end with a line break, which is no part of it."""
    try:
        text = value.decode("ascii").rstrip("\r\n")
    except UnicodeDecodeError:
        text = "\0"
    if not text or not text.isprintable():
        raise BuildError(
            f"the secret `{name}` cannot be sent to a server: "
            + ("it holds characters that no header has" if text else "it is empty"),
            code="build.secret-unusable",
            hint="give one line of printable ASCII characters",
        ) from None
    return text


def _host(url: str) -> str:
    """Return host and port as an address writes them, "" where the address is not of http or https."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        return ""
    authority = rest.partition("/")[0].partition("?")[0].partition("#")[0]
    return authority.rpartition("@")[2]


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
