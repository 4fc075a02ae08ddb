"""Which scheme a registry speaks: https, unless plain http is allowed there and spoken."""

from __future__ import annotations

import threading

from builder.errors import RegistryError
from builder.registry import address
from builder.registry.address import Origin
from builder.registry.endpoint import Endpoint
from builder.registry.exchange import Request, Transport, Trouble, Unreachable

MIRROR_TRIES = 2
"""How often something is asked of a mirror: there is another place."""


class Origins:
    """The origins of registries, each found out once; many threads may ask."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = threading.RLock()
        self._known: dict[tuple[str, str, bool], Origin] = {}

    def of(self, endpoint: Endpoint) -> Origin:
        """Return scheme, host and port of a place.

        Raises: RegistryError: plain http is allowed, and it speaks neither.
        """
        key = (endpoint.authority, endpoint.scheme, endpoint.trust.plain)
        with self._lock:
            found = self._known.get(key)
            if found is None:
                found = self._known[key] = self._probe(endpoint)
            return found

    def _probe(self, endpoint: Endpoint) -> Origin:
        authority = endpoint.authority
        if endpoint.scheme:
            return address.registry_origin(authority, endpoint.scheme)
        if address.allows_plain_http(authority):
            return self._plain_first(endpoint)
        if endpoint.trust.plain or self._transport.allows_plain_http(authority):
            return self._encrypted_first(endpoint)
        return address.registry_origin(authority, "https")

    def _plain_first(self, endpoint: Endpoint) -> Origin:
        """Try plain http, then https: on loopback TLS is rare."""
        plain = address.registry_origin(endpoint.authority, "http")
        try:
            # Go's servers say 400 to those who speak http where TLS is spoken.
            speaks_tls = self._speaks(endpoint, plain) == 400
        except Unreachable as error:
            if error.trouble is not Trouble.BROKEN:
                raise
            speaks_tls = True
        return address.registry_origin(endpoint.authority, "https") if speaks_tls else plain

    def _encrypted_first(self, endpoint: Endpoint) -> Origin:
        """Try https, whatever the certificate, then plain http, as Docker does for insecure registries."""
        encrypted = address.registry_origin(endpoint.authority, "https")
        try:
            self._speaks(endpoint, encrypted, tries=1)
        except RegistryError as first:
            plain = address.registry_origin(endpoint.authority, "http")
            try:
                self._speaks(endpoint, plain)
            except RegistryError as second:
                second.notes = (f"with TLS: {first.message}", *first.notes, *second.notes)
                raise
            return plain
        return encrypted

    def _speaks(self, endpoint: Endpoint, origin: Origin, tries: int | None = None) -> int:
        request = Request(
            method="GET",
            url=f"{origin}{endpoint.base}/",
            registry=origin,
            trust=endpoint.trust,
            tries=tries or (MIRROR_TRIES if endpoint.is_mirror else None),
        )
        with self._transport.send(request) as response:
            return response.status
