"""Requests to one registry at a time, let in as needed: which scheme it speaks, which token it wants.

Tokens are kept per repository and set of scopes, renewed before they end or when they are refused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

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
from builder.registry.endpoint import Endpoint
from builder.registry.exchange import (
    Authorization,
    Request,
    Response,
    Transport,
    Upload,
)
from builder.registry.origins import MIRROR_TRIES, Origins

_EARLY = 5.0
"""Seconds before its end at which a token is not used any more."""

_RENEWALS = 2
"""How often one request may be let in anew: its token had ended, and then a wider one was wanted."""

_SHORTEST_KEY = 6
"""How many characters what is kept out of errors has at least, where it is not known to be a secret."""

_TOO_NARROW = "insufficient_scope"


class Credentials(Protocol):
    """Who we are, by repository."""

    def for_repository(self, registry: str, repository: str, /) -> Credential | None:
        """Return the credential for a repository of a registry's host, with its port; None is anonymous.

        An empty repository asks for the registry as a whole.
        """


class Anonymous:
    """The credentials of those who have none."""

    def for_repository(self, _registry: str, _repository: str, /) -> Credential | None:
        """Return None."""
        return None


class GivenCredentials:
    """Credentials by the registry's host, with its port; Docker Hub is `docker.io`."""

    def __init__(self, known: Mapping[str, Credential]) -> None:
        self._known = dict(known)

    def for_repository(self, registry: str, _repository: str, /) -> Credential | None:
        """Return the credential of a registry, None where none was given."""
        return self._known.get(registry)


class _Subject(msgspec.Struct, frozen=True):
    """Who asks for what: an origin, the repository whose credential counts, and the scopes that are needed."""

    origin: Origin
    registry: str
    repository: str
    needed: frozenset[str]


class Greeting(msgspec.Struct, frozen=True):
    """How a registry answers the question for its API: a status, challenges, and the version it claims, or ""."""

    status: int
    challenges: tuple[Challenge, ...]
    version: str


class Session:
    """Authorised requests; many threads may send at once, and share tokens."""

    def __init__(self, transport: Transport, credentials: Credentials) -> None:
        self._transport = transport
        self._credentials = credentials
        self._lock = threading.RLock()
        self._origins = Origins(transport)
        self._known: dict[tuple[str, str], Credential | None] = {}
        self._grants: dict[_Subject, tuple[Authorization, float | None]] = {}
        self._scopes: dict[_Subject, tuple[str, ...]] = {}
        self._challenges: dict[Origin, tuple[Challenge, ...]] = {}
        self._given: set[str] = set()

    def origin(self, endpoint: Endpoint) -> Origin:
        """Return scheme, host and port of a registry: https, unless plain http is allowed and spoken.

        Raises: RegistryError: plain http is allowed, and it speaks neither.
        """
        return self._origins.of(endpoint)

    def credential(self, endpoint: Endpoint) -> Credential | None:
        """Return who we are to a repository, asked once: a helper may be slow, or ask a person."""
        key = (endpoint.registry, endpoint.repository)
        with self._lock:
            if key not in self._known:
                self._known[key] = self._credentials.for_repository(*key)
            return self._known[key]

    def secrets(self, endpoint: Endpoint) -> tuple[str, ...]:
        """Return what must never be shown of an answer of this place, were it to repeat what we said."""
        credential = self.credential(endpoint)
        with self._lock:
            tokens = [value.partition(" ")[2] for value in self._given]
        # A header of a `hosts.toml` may be a key, alone or behind a word such as `Bearer`.
        values = [word for _, value in endpoint.headers for word in (value, *value.split())]
        keys = [word for word in values if len(word) >= _SHORTEST_KEY]
        return (*tokens, *(credential.secrets() if credential else ()), *keys)

    def send(
        self,
        method: str,
        endpoint: Endpoint,
        path: str,
        *,
        scopes: Sequence[str],
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes | Upload | None = None,
        patience: float | None = None,
    ) -> Response:
        """Send a request and, when the registry asks who we are, send it again with the answer.

        `path` begins with a slash, or is an absolute address that the registry gave. With `patience`, in seconds, it
        is tried once.

        Returns: any answer; 401 and 403 mean that we are not let in even so.
        Raises: RegistryError: there is no answer, or the token service refuses.
        """
        origin = self.origin(endpoint)
        url = f"{origin}{path}" if path.startswith("/") else path
        subject = _Subject(origin, endpoint.registry, endpoint.repository, frozenset(scopes))
        authorization, is_new = self._in_advance(endpoint, subject, scopes)
        request = Request(
            method=method,
            url=url,
            registry=origin,
            headers=headers,
            body=body,
            authorization=authorization,
            own_headers=endpoint.headers,
            trust=endpoint.trust,
            tries=1 if patience else MIRROR_TRIES if endpoint.is_mirror else None,
            patience=patience,
        )
        response = self._transport.send(request)
        for _ in range(_RENEWALS):
            challenges = self._challenged(response, url, origin)
            # What was given a moment ago and is refused is refused for good, unless something else is wanted.
            if not challenges or (is_new and not self._wants_more(subject, challenges)):
                break
            response.close()
            renewed = self._renew(
                endpoint, subject, scopes, challenges, refused=request.authorization
            )
            request, is_new = msgspec.structs.replace(request, authorization=renewed), True
            response = self._transport.send(request)
        return response

    def login(self, endpoint: Endpoint, credential: Credential) -> Credential:
        """Show a credential to a registry.

        Returns: what to keep: the credential, or an identity token that stands for it.
        Raises: RegistryError: `registry.unauthorized` when it is not accepted.
        """
        greeting = self.greet(endpoint)
        if greeting.status not in (200, 401):
            raise RegistryError(
                f"{endpoint.registry} does not answer as registries do (status {greeting.status})",
                code="registry.protocol",
                status=greeting.status,
            )
        grant = self._shown(endpoint, greeting, credential)
        if grant is not None and grant.identity_token:
            return Credential(username=credential.username, identity_token=grant.identity_token)
        return credential

    def let_in(self, endpoint: Endpoint, greeting: Greeting) -> None:
        """Show who we are to a registry that has greeted us, if it wants to know.

        Raises: RegistryError: `registry.unauthorized` when that is not accepted.
        """
        self._shown(endpoint, greeting, self.credential(endpoint))

    def _shown(
        self, endpoint: Endpoint, greeting: Greeting, credential: Credential | None
    ) -> Grant | None:
        """Return what a registry gives for a credential, None if it asks for none."""
        if greeting.status == 200:
            return None
        grant = self._grant(endpoint, greeting.challenges, credential, (), offline=True)
        status = self.greet(endpoint, grant.authorization).status
        if status != 200:
            what = "this user name and password" if credential else "those who are not logged in"
            raise RegistryError(
                f"{endpoint.registry} does not accept {what}",
                code="registry.unauthorized",
                status=status,
                hint="check both; some registries want an access token instead of the password"
                if credential
                else f"run `lapstrake login {endpoint.registry}`",
            )
        return grant

    def greet(self, endpoint: Endpoint, authorization: Authorization | None = None) -> Greeting:
        """Ask a registry for the version of its API, with or without an authorisation.

        Raises: RegistryError: there is no answer.
        """
        origin = self.origin(endpoint)
        request = Request(
            method="GET",
            url=f"{origin}{endpoint.base}/",
            registry=origin,
            authorization=authorization,
            own_headers=endpoint.headers,
            trust=endpoint.trust,
        )
        with self._transport.send(request) as response:
            version = response.header("docker-distribution-api-version") or ""
            return Greeting(
                response.status,
                parse_challenges(response.headers("www-authenticate")),
                version if version.isprintable() and len(version) < 40 else "",
            )

    def _in_advance(
        self, endpoint: Endpoint, subject: _Subject, scopes: Sequence[str]
    ) -> tuple[Authorization | None, bool]:
        """Return a valid authorisation and whether it is new; it is asked for where it is known how.

        A body is then not sent in vain, and a request is saved.
        """
        with self._lock:
            current = self._current(subject)
            challenges = self._challenges.get(subject.origin)
            if current is not None or challenges is None:
                return current, False
        try:
            return self._renew(endpoint, subject, scopes, challenges, refused=None), True
        except RegistryError as error:
            if error.code != "registry.unauthorized":
                raise
            # Perhaps nobody wants to know: then it goes without, and else it is asked for again.
            return None, False

    def _challenged(self, response: Response, url: str, origin: Origin) -> tuple[Challenge, ...]:
        """Return the challenges of a registry that asks who we are, or for a wider token; none of others."""
        if response.status not in (401, 403) or address.origin_of(response.url or url) != origin:
            return ()
        challenges = parse_challenges(response.headers("www-authenticate"))
        if response.status == 403:
            return tuple([each for each in challenges if each.parameter("error") == _TOO_NARROW])
        return challenges

    def _wants_more(self, subject: _Subject, challenges: Sequence[Challenge]) -> bool:
        with self._lock:
            return not set(_scopes(challenges)) <= set(self._scopes.get(subject, ()))

    def _current(self, subject: _Subject) -> Authorization | None:
        with self._lock:
            authorization, deadline = self._grants.get(subject, (None, None))
            if deadline is not None and time.monotonic() > deadline:
                return None
            return authorization

    def _renew(
        self,
        endpoint: Endpoint,
        subject: _Subject,
        scopes: Sequence[str],
        challenges: Sequence[Challenge],
        *,
        refused: Authorization | None,
    ) -> Authorization:
        """Return a new authorisation; threads that were refused together ask together."""
        with self._lock:
            current = self._current(subject)
            asked = _scopes(challenges)
            known = self._scopes.get(subject, ())
            if current is not None and current != refused and set(asked) <= set(known):
                return current
            # Some token services read the first scope only: what is missing goes before what we had.
            missing = [scope for scope in asked if scope not in known] if known else []
            wanted = tuple(dict.fromkeys((*missing, *scopes, *asked, *known)))
            self._scopes[subject] = wanted
            grant = self._grant(endpoint, challenges, self.credential(endpoint), wanted)
            deadline = None
            if grant.lifetime is not None:
                deadline = time.monotonic() + grant.lifetime - _EARLY
            self._grants[subject] = (grant.authorization, deadline)
            self._given.add(grant.authorization.value)
            self._challenges[subject.origin] = tuple(map(_without_scope, challenges))
            return grant.authorization

    def _grant(
        self,
        endpoint: Endpoint,
        challenges: Sequence[Challenge],
        credential: Credential | None,
        scopes: Sequence[str],
        *,
        offline: bool = False,
    ) -> Grant:
        flow = authorize(
            challenges,
            registry=self.origin(endpoint),
            credential=credential,
            scopes=scopes,
            offline=offline,
            allows_plain=self._transport.allows_plain_http,
        )
        try:
            request = next(flow)
            while True:
                known = msgspec.structs.replace(request, trust=endpoint.trust)
                with self._transport.send(known) as response:
                    answer = Answer(response.status, response.read(MAX_ANSWER))
                request = flow.send(answer)
        except StopIteration as stop:
            grant: Grant = stop.value
            return grant


def _scopes(challenges: Sequence[Challenge]) -> tuple[str, ...]:
    return tuple([word for each in challenges for word in each.parameter("scope").split()])


def _without_scope(challenge: Challenge) -> Challenge:
    """Return what a challenge says of all repositories."""
    kept = [pair for pair in challenge.parameters if pair[0] in ("realm", "service")]
    return Challenge(challenge.scheme, tuple(kept))
