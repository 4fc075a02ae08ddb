"""Docker's `daemon.json`, as far as it is about registries: insecure ones, and mirrors of Docker Hub.

Source: dockerd(8), "insecure-registries" and "registry-mirrors".
"""

from __future__ import annotations

import msgspec

from builder.errors import RegistryError
from builder.oci.reference import HUB, Reference
from builder.registry import address
from builder.registry.endpoint import Endpoint, Trust


class DaemonJson(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says; `mirrors` are scheme, authority and path."""

    insecure: tuple[str, ...] = ()
    mirrors: tuple[tuple[str, str, str], ...] = ()
    file: str = ""

    def endpoints(self, reference: Reference) -> tuple[Endpoint, ...]:
        """Return the mirrors of a reference: Docker knows those of Docker Hub only."""
        if reference.registry != HUB:
            return ()
        return tuple(
            [
                Endpoint(
                    registry=authority,
                    authority=authority,
                    repository=reference.repository,
                    scheme=scheme,
                    base=f"{path}/v2",
                    trust=Trust(plain=scheme == "http"),
                    is_mirror=True,
                    why=f"mirror {number} of docker.io in {self.file}",
                )
                for number, (scheme, authority, path) in enumerate(self.mirrors, 1)
            ]
        )


class _Wire(msgspec.Struct, rename="kebab"):
    insecure_registries: list[str] = []
    registry_mirrors: list[str] = []


def parse(path: str, text: str) -> DaemonJson:
    """Read the file.

    Raises: RegistryError: `registry.config`.
    """
    try:
        wire = msgspec.json.decode(text, type=_Wire) if text.strip() else _Wire()
    except (ValueError, RecursionError) as error:
        raise _wrong(path, str(error)[:300]) from None
    return DaemonJson(
        insecure=tuple([_host(each) for each in wire.insecure_registries]),
        mirrors=tuple([_mirror(path, each) for each in wire.registry_mirrors]),
        file=path,
    )


def _mirror(path: str, url: str) -> tuple[str, str, str]:
    scheme, separator, rest = url.partition("://")
    authority, _, route = rest.rstrip("/").partition("/")
    if not separator or scheme not in ("http", "https") or not address.is_authority(authority):
        raise _wrong(path, f"the mirror `{url.rpartition('@')[2][:100]}` is not an address")
    return scheme, authority.lower(), f"/{route}" if route else ""


def _host(text: str) -> str:
    return text.removeprefix("https://").removeprefix("http://").rstrip("/").lower()


def _wrong(path: str, fact: str) -> RegistryError:
    return RegistryError(
        f"`{path}` is not understood",
        code="registry.config",
        notes=(fact,),
        hint="correct the file, as Docker's documentation of `daemon.json` has it",
    )
