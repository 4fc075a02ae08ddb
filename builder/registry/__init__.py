"""Registries: who may be told what, and moving images in and out. `transport` is the only user of requests.

As a library, without the rest of the program; see docs/registry-library.md:

    from builder import oci, registry

    client = registry.RegistryClient(registry.HttpTransport(registry.Options()))
    manifest = client.fetch_manifest(oci.Reference.parse("registry.example/team/app:1"))
    client.list_tags(oci.Reference.parse("registry.example/team/app"))

Mistakes are `builder.errors.RegistryError`. The names are imported when they are used: `requests` takes its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.registry.auth import Credential
    from builder.registry.client import RegistryClient
    from builder.registry.credentials import Keyring, Sources
    from builder.registry.pulling import fetch_closure, pull, receive
    from builder.registry.pushing import push, push_closure, send
    from builder.registry.session import GivenCredentials
    from builder.registry.transport import HttpTransport, Options
    from builder.registry.upload import Outgoing

__all__ = [
    "Credential",
    "GivenCredentials",
    "HttpTransport",
    "Keyring",
    "Options",
    "Outgoing",
    "RegistryClient",
    "Sources",
    "fetch_closure",
    "pull",
    "push",
    "push_closure",
    "receive",
    "send",
]

_HOMES = {
    "Credential": "auth",
    "GivenCredentials": "session",
    "HttpTransport": "transport",
    "Keyring": "credentials",
    "Options": "transport",
    "Outgoing": "upload",
    "RegistryClient": "client",
    "Sources": "credentials",
    "fetch_closure": "pulling",
    "pull": "pulling",
    "push": "pushing",
    "push_closure": "pushing",
    "receive": "pulling",
    "send": "pushing",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
