"""Which addresses a registry may send us to.

A registry names further addresses: redirects, upload locations, token realms, urls of foreign layers. Each
is hostile input. An address is contacted when it is https, or plain http on loopback or on a host that the
user called insecure; never the machine's own or link-local services on behalf of a registry elsewhere.

Source: OCI distribution-spec, "Push"; CVE-2020-15157; go-containerregistry #2193 (requests forged by realms).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from builder.errors import RegistryError

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

_PORTS = {"https": 443, "http": 80}
_HOST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._:")
_METADATA_NAMES = frozenset({"metadata.google.internal", "metadata.goog", "instance-data"})


class Origin(msgspec.Struct, frozen=True):
    """Scheme, host and port: what a credential is bound to. `host` is lower case, without brackets."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Host and port as they stand in an address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether this is the machine itself, by name."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def origin_of(url: str) -> Origin:
    """Return the origin of an absolute http address.

    Raises: RegistryError: it is none, holds a user or password, or is not plainly readable.
    """
    from urllib.parse import urlsplit

    # Parsers disagree about where a host ends when there is a backslash.
    if not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        raise _refused(url, "it holds characters that no address has")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _refused(url, "it is malformed") from error
    if parts.scheme not in _PORTS:
        raise _refused(url, "it is neither https nor http")
    if "@" in parts.netloc:
        raise _refused(url, "it holds a user name or password")
    if not host or not _HOST.issuperset(host):
        raise _refused(url, "it has no valid host")
    return Origin(parts.scheme, host, port or _PORTS[parts.scheme])


def registry_origin(host: str, scheme: str) -> Origin:
    """Return the origin of a registry's API, from its host with an optional port."""
    return origin_of(f"{scheme}://{host.lower()}/")


def is_authority(text: str) -> bool:
    """Tell whether a text is a host, with a port or without."""
    try:
        origin_of(f"https://{text.lower()}/")
    except RegistryError:
        return False
    return "/" not in text and "?" not in text and "#" not in text


def joined(url: str, location: str) -> str:
    """Return where a location leads that the answer from an address gives; whether it may be contacted is for `check`.

    Raises: RegistryError: it cannot be read.
    """
    from urllib.parse import urljoin

    try:
        return urljoin(url, location)
    except ValueError as error:
        raise _refused(location, "it is malformed") from error


def check(
    url: str, *, registry: Origin, allows_plain: Callable[[str], bool] | None = None
) -> Origin:
    """Return the origin of an address that `registry` sent us to, if it may be contacted.

    `allows_plain` tells whether a host, with its port, may be spoken to in plain http; it defaults to loopback.

    Raises: RegistryError: it may not; says why.
    """
    origin = origin_of(url)
    if origin == registry:
        return origin
    if _is_link_local(origin.host):
        raise _refused(url, "it is an address of the machine's own network link")
    if _is_this_machine(origin.host) and not registry.is_loopback:
        raise _refused(url, f"{registry.host} may not send us to this machine's own services")
    if origin.scheme == "http" and not (allows_plain or allows_plain_http)(origin.authority):
        raise _refused(url, "it is not encrypted")
    return origin


def allows_plain_http(authority: str) -> bool:
    """Tell whether a host, with its port, may be spoken to without encryption by anybody."""
    return is_loopback(_host_part(authority))


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine, as Docker sees it."""
    host = host.lower()
    if host in ("localhost", "::1") or host.endswith(".localhost"):
        return True
    octets = host.split(".")
    return octets[0] == "127" and len(octets) == 4 and all(map(_is_octet, octets))


def redact(url: str) -> str:
    """Return an address fit to be shown: no user, no password, no query, which may be a signature."""
    head = url.partition("?")[0].partition("#")[0]
    scheme, separator, rest = head.partition("://")
    if not separator:
        return _printable(head)
    authority, slash, path = rest.partition("/")
    return _printable(f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}")


def _printable(text: str) -> str:
    shown = "".join(character if character.isprintable() else "?" for character in text[:200])
    return shown + ("…" if len(text) > 200 else "")


def _host_part(authority: str) -> str:
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]


def _is_octet(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 3 and int(text) < 256


def _is_link_local(host: str) -> bool:
    """Tell whether a host is where clouds answer their machines' questions about themselves."""
    if host.rstrip(".") in _METADATA_NAMES:
        return True
    number = _number(host)
    return number is not None and (number.is_link_local or str(number) == "fd00:ec2::254")


def _is_this_machine(host: str) -> bool:
    """Tell whether a host is this machine, also in spellings that are not trusted with plain http."""
    number = _number(host)
    if number is not None:
        return number.is_loopback or number.is_unspecified
    return is_loopback(host.rstrip("."))


def _number(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host is, None for a name.

    The C library also reads `0xA9FEA9FE`, `2852039166` and `169.254.43518` as addresses.
    """
    import ipaddress
    import socket

    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    if isinstance(number, ipaddress.IPv6Address) and number.ipv4_mapped is not None:
        return number.ipv4_mapped
    return number


def _refused(url: str, why: str) -> RegistryError:
    return RegistryError(
        f"the registry refers to `{redact(url)}`, which is not contacted: {why}",
        code="registry.protocol",
    )
