"""Requests to one registry at a time, let in as needed: which scheme it speaks, which token it wants.

Tokens are kept per registry and set of scopes, renewed when they end or are refused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Protocol

from builder.errors import RegistryError
from builder.registry import address
from builder.registry.address import Origin
from builder.registry.auth import (
    MAX_ANSWER,
    Answer,
    Challenge,
    Credential,
    Grant,
    authorize,
    parse_challenges,
)
from builder.registry.exchange import (
    Authorization,
    Request,
    Response,
    Transport,
    Trouble,
    Unreachable,
    Upload,
)

_EARLY = 5.0
"""Seconds before its end at which a token is not used any more."""


class Credentials(Protocol):
    """Who we are, by host."""

    def for_host(self, host: str, /) -> Credential | None:
        """Return the credential for a registry's host, with its port; None is anonymous."""


class Anonymous:
    """The credentials of those who have none."""

    def for_host(self, _host: str, /) -> Credential | None:
        """Return None."""
        return None


class Session:
    """Authorised requests; many threads may send at once, and share tokens."""

    def __init__(self, transport: Transport, credentials: Credentials) -> None:
        self._transport = transport
        self._credentials = credentials
        self._lock = threading.RLock()
        self._origins: dict[str, Origin] = {}
        self._known: dict[str, Credential | None] = {}
        self._grants: dict[tuple[Origin, frozenset[str]], tuple[Authorization, float | None]] = {}
        self._scopes: dict[tuple[Origin, frozenset[str]], tuple[str, ...]] = {}

    def origin(self, host: str) -> Origin:
        """Return scheme, host and port of a registry: https, unless it is on loopback and speaks http.

        Raises: RegistryError: it is on loopback and speaks neither.
        """
        with self._lock:
            found = self._origins.get(host)
            if found is None:
                found = self._origins[host] = self._probe(host)
            return found

    def credential(self, registry: str) -> Credential | None:
        """Return who we are to a registry, asked once: a helper may be slow, or ask a person."""
        with self._lock:
            if registry not in self._known:
                self._known[registry] = self._credentials.for_host(registry)
            return self._known[registry]

    def send(
        self,
        method: str,
        host: str,
        path: str,
        *,
        registry: str,
        scopes: Sequence[str],
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes | Upload | None = None,
    ) -> Response:
        """Send a request and, when the registry asks who we are, send it again with the answer.

        `path` begins with a slash, or is an absolute address that the registry gave. `registry` is the name
        under which credentials are kept.

        Returns: any answer; 401 and 403 mean that we are not let in even so.
        Raises: RegistryError: there is no answer, or the token service refuses.
        """
        origin = self.origin(host)
        url = f"{origin}{path}" if path.startswith("/") else path
        needed = frozenset(scopes)
        authorization = self._current(origin, needed)
        request = Request(
            method=method,
            url=url,
            registry=origin,
            headers=headers,
            body=body,
            authorization=authorization,
        )
        response = self._transport.send(request)
        if response.status != 401 or address.origin_of(response.url or url) != origin:
            return response
        challenges = parse_challenges(response.headers("www-authenticate"))
        if not challenges:
            return response
        response.close()
        renewed = self._renew(origin, registry, needed, scopes, challenges, refused=authorization)
        return self._transport.send(
            Request(
                method=method,
                url=url,
                registry=origin,
                headers=headers,
                body=body,
                authorization=renewed,
            )
        )

    def login(self, host: str, registry: str, credential: Credential) -> Credential:
        """Show a credential to a registry.

        Returns: what to keep: the credential, or an identity token that stands for it.
        Raises: RegistryError: `registry.unauthorized` when it is not accepted.
        """
        origin = self.origin(host)
        request = Request(method="GET", url=f"{origin}/v2/", registry=origin)
        with self._transport.send(request) as response:
            status, challenges = (
                response.status,
                parse_challenges(response.headers("www-authenticate")),
            )
        if status == 200:
            return credential
        if status != 401:
            raise RegistryError(
                f"{registry} does not answer as registries do (status {status})",
                code="registry.protocol",
                status=status,
            )
        grant = self._grant(origin, challenges, credential, (), offline=True)
        checked = Request(
            method="GET", url=f"{origin}/v2/", registry=origin, authorization=grant.authorization
        )
        with self._transport.send(checked) as response:
            if response.status != 200:
                raise RegistryError(
                    f"{registry} does not accept this user name and password",
                    code="registry.unauthorized",
                    status=response.status,
                    hint="check both; some registries want an access token instead of the password",
                )
        if grant.identity_token:
            return Credential(username=credential.username, identity_token=grant.identity_token)
        return credential

    def _probe(self, host: str) -> Origin:
        if not self._transport.allows_plain_http(host):
            return address.registry_origin(host, "https")
        plain = address.registry_origin(host, "http")
        try:
            with self._transport.send(
                Request(method="GET", url=f"{plain}/v2/", registry=plain)
            ) as response:
                # Go's servers say 400 to those who speak http where TLS is spoken.
                speaks_tls = response.status == 400
        except Unreachable as error:
            if error.trouble is not Trouble.BROKEN:
                raise
            speaks_tls = True
        return address.registry_origin(host, "https") if speaks_tls else plain

    def _current(self, origin: Origin, needed: frozenset[str]) -> Authorization | None:
        with self._lock:
            authorization, deadline = self._grants.get((origin, needed), (None, None))
            if deadline is not None and time.monotonic() > deadline:
                return None
            return authorization

    def _renew(
        self,
        origin: Origin,
        registry: str,
        needed: frozenset[str],
        scopes: Sequence[str],
        challenges: Sequence[Challenge],
        *,
        refused: Authorization | None,
    ) -> Authorization:
        """Return a new authorisation; threads that were refused together ask together."""
        with self._lock:
            current = self._current(origin, needed)
            if current is not None and current != refused:
                return current
            known = self._scopes.get((origin, needed), ())
            asked = tuple(
                scope for challenge in challenges for scope in challenge.parameter("scope").split()
            )
            wanted = tuple(dict.fromkeys((*scopes, *asked, *known)))
            self._scopes[origin, needed] = wanted
            grant = self._grant(origin, challenges, self.credential(registry), wanted)
            deadline = None
            if grant.lifetime is not None:
                deadline = time.monotonic() + grant.lifetime - _EARLY
            self._grants[origin, needed] = (grant.authorization, deadline)
            return grant.authorization

    def _grant(
        self,
        origin: Origin,
        challenges: Sequence[Challenge],
        credential: Credential | None,
        scopes: Sequence[str],
        *,
        offline: bool = False,
    ) -> Grant:
        flow = authorize(
            challenges,
            registry=origin,
            credential=credential,
            scopes=scopes,
            offline=offline,
            allows_plain=self._transport.allows_plain_http,
        )
        try:
            request = next(flow)
            while True:
                with self._transport.send(request) as response:
                    answer = Answer(response.status, response.read(MAX_ANSWER))
                request = flow.send(answer)
        except StopIteration as stop:
            grant: Grant = stop.value
            return grant
