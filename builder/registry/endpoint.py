"""Where a request goes: a host, the repository's name there, and how each proves to the other who it is."""

from __future__ import annotations

from enum import Enum

import msgspec

from builder.oci.reference import HUB, HUB_API, Reference


class Need(Enum):
    """What a request is for; a place may serve some of these only."""

    RESOLVE = "resolve"
    """Learning what a tag stands for."""
    PULL = "pull"
    """Fetching what a digest names."""
    PUSH = "push"


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """How a host proves who it is, and we to it; certificates are host paths of PEM files.

    `authorities` are trusted besides those of the system, `client` is a certificate and its key. Not `verified`:
    any certificate will do. `plain`: nothing needs to be encrypted.
    """

    authorities: tuple[str, ...] = ()
    client: tuple[str, str] | None = None
    verified: bool = True
    plain: bool = False

    @property
    def is_default(self) -> bool:
        """Whether TLS is as everywhere: the system's authorities, and nothing of ours."""
        return self.verified and not self.authorities and self.client is None


ORDINARY = Trust()
INSECURE = Trust(verified=False, plain=True)


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One place where a repository can be reached.

    `registry` is the name under which credentials are kept, `authority` the host, with its port, that is spoken
    to, `repository` (and `tag`, where it is another) the name there. `scheme` "" means https, or http where that
    is allowed and spoken. `namespace` tells a proxy for which registry it is asked. `headers` go to this host only.
    `why` says in words who wanted it so.
    """

    registry: str
    authority: str
    repository: str
    tag: str | None = None
    scheme: str = ""
    base: str = "/v2"
    serves: frozenset[Need] = frozenset(Need)
    trust: Trust = ORDINARY
    is_mirror: bool = False
    namespace: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    why: str = ""

    @property
    def name(self) -> str:
        """Host and repository, as people know them."""
        return f"{self.registry}/{self.repository}"


def direct(reference: Reference, trust: Trust = ORDINARY, why: str = "") -> Endpoint:
    """Return the place that a reference names by itself."""
    return Endpoint(
        registry=reference.registry,
        authority=reference.api_host,
        repository=reference.repository,
        trust=trust,
        why=why,
    )


def host_alone(registry: str, trust: Trust = ORDINARY) -> Endpoint:
    """Return a registry as such, without a repository, such as `docker.io` or `localhost:5000`."""
    authority = HUB_API if registry == HUB else registry
    return Endpoint(registry=registry, authority=authority, repository="", trust=trust)
