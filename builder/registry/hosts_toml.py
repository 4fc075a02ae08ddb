"""containerd's `hosts.toml`: the places of one registry, with certificates and headers for each. Texts in, values out.

Source: containerd, docs/hosts.md.
"""

from __future__ import annotations

import msgspec

from builder.errors import RegistryError
from builder.oci.reference import HUB, HUB_API, Reference
from builder.registry import address
from builder.registry.endpoint import Endpoint, Need, Trust

_OF_CONNECTIONS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that say how a request is sent; with others than ours a server waits for what never comes."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One `[host."…"]`, or the `server` itself."""

    scheme: str
    authority: str
    base: str
    serves: frozenset[Need]
    trust: Trust
    headers: tuple[tuple[str, str], ...]
    is_server: bool


class HostsToml(msgspec.Struct, frozen=True, kw_only=True):
    """What one file says, the hosts in their order, the server last."""

    places: tuple[Place, ...]
    file: str

    def endpoints(self, reference: Reference, need: Need) -> tuple[Endpoint, ...]:
        """Return the places of a reference that serve a need, in order.

        Raises: RegistryError: `registry.config`, none does.
        """
        found = [each for each in self.places if need in each.serves]
        if not found:
            raise RegistryError(
                f"`{self.file}` names no host that can `{need.value}` for `{reference.familiar()}`",
                code="registry.config",
                hint=f'add "{need.value}" to the capabilities of a host',
            )
        return tuple([self._endpoint(each, reference) for each in found])

    def _endpoint(self, place: Place, reference: Reference) -> Endpoint:
        itself = place.authority == reference.api_host
        what = "server" if place.is_server else f"host `{place.authority}`"
        return Endpoint(
            registry=reference.registry if itself else place.authority,
            authority=place.authority,
            repository=reference.repository,
            scheme=place.scheme,
            base=place.base,
            serves=place.serves,
            trust=place.trust,
            is_mirror=not itself and not place.is_server,
            namespace="" if itself else reference.registry,
            headers=place.headers,
            why=f"{what} in {self.file}",
        )


class _HostWire(msgspec.Struct):
    capabilities: list[str] | None = None
    ca: str | list[str] | None = None
    client: str | list[str | list[str]] | None = None
    skip_verify: bool = False
    override_path: bool = False
    header: dict[str, str | list[str]] = {}


class _Wire(_HostWire):
    server: str = ""
    host: dict[str, _HostWire] = {}


def parse(path: str, text: str, registry: str) -> HostsToml:
    """Read the file of a registry; relative paths in it start where it lies.

    Raises: RegistryError: `registry.config`.
    """
    try:
        wire = msgspec.toml.decode(text, type=_Wire)
    except (ValueError, RecursionError) as error:
        raise _wrong(path, str(error)[:300]) from None
    directory = path.rpartition("/")[0]
    server = wire.server or f"https://{HUB_API if registry == HUB else registry}"
    hosts = [_place(path, directory, url, each) for url, each in wire.host.items()]
    return HostsToml(
        places=(*hosts, _place(path, directory, server, wire, is_server=True)), file=path
    )


def _place(
    path: str, directory: str, url: str, wire: _HostWire, *, is_server: bool = False
) -> Place:
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "https", url
    authority, _, route = rest.partition("/")
    authority = authority.lower()
    if scheme not in ("http", "https") or "?" in route or not address.is_authority(authority):
        raise _wrong(path, f"`{url.rpartition('@')[2][:100]}` is not the address of a host")
    base = f"/{route}".rstrip("/")
    if not wire.override_path and not base.endswith("/v2"):
        base += "/v2"
    return Place(
        scheme=scheme,
        authority=authority,
        base=base,
        serves=_serves(path, wire.capabilities),
        trust=Trust(
            authorities=tuple([_path(directory, each) for each in _list(wire.ca)]),
            client=_client(path, directory, wire.client),
            verified=not wire.skip_verify,
            plain=scheme == "http",
        ),
        headers=_headers(path, wire.header),
        is_server=is_server,
    )


def _serves(path: str, words: list[str] | None) -> frozenset[Need]:
    if not words:
        return frozenset(Need)
    known = {need.value: need for need in Need}
    for word in words:
        if word not in (*known, "dial", "referrers"):
            raise _wrong(path, f"`{word}` is not a capability; known are {', '.join(known)}")
    return frozenset([known[word] for word in words if word in known])


def _client(
    path: str, directory: str, value: str | list[str | list[str]] | None
) -> tuple[str, str] | None:
    """Return certificate and key; of several the first, since a server sees one only."""
    if not value:
        return None
    first = value if isinstance(value, str) else value[0]
    pair = [first, first] if isinstance(first, str) else first
    if isinstance(first, list) and len(pair) != 2:
        raise _wrong(path, "`client` is a file, or pairs of a certificate and a key")
    return _path(directory, pair[0]), _path(directory, pair[1])


def _headers(path: str, wire: dict[str, str | list[str]]) -> tuple[tuple[str, str], ...]:
    pairs = [(name, ", ".join(_list(value))) for name, value in wire.items()]
    for name, value in pairs:
        fine = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
        if not fine or not value.isascii() or not value.isprintable():
            raise _wrong(path, f"the header `{name[:40]}` cannot be sent")
        if name.lower() in _OF_CONNECTIONS:
            raise _wrong(path, f"the header `{name}` is not to be chosen")
    return tuple(pairs)


def _list(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _path(directory: str, path: str) -> str:
    return path if path.startswith("/") else f"{directory}/{path}"


def _wrong(path: str, fact: str) -> RegistryError:
    return RegistryError(
        f"`{path}` is not understood",
        code="registry.config",
        notes=(fact,),
        hint="correct the file, as in containerd's documentation of `hosts.toml`",
    )
