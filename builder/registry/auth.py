"""How a client is let in: the token flow as a generator that asks for requests and is sent their answers.

Nothing here touches the network, so the whole flow is tested with lists.

Source: the token authentication specification of the distribution project; RFC 9110 section 11.6 (challenges);
OCI distribution-spec is silent.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Generator, Sequence

import msgspec

from builder.errors import RegistryError
from builder.registry import address
from builder.registry.address import Origin
from builder.registry.exchange import Authorization, Request

CLIENT_ID = "lapstrake"
MAX_ANSWER = 1024 * 1024
"""The largest answer of a token service that is read, in bytes."""

_SHORTEST_LIFE = 60
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """Who we are to a registry; an identity token stands in for a password, a registry token for all else."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        return f"Credential(username={self.username!r}, …)"

    def secrets(self) -> tuple[str, ...]:
        """Return what must never be shown."""
        from urllib.parse import quote, quote_plus

        basic = _base64(self.username, self.password) if self.password else ""
        # What holds others goes first, or a part of it would stay.
        plain = filter(None, (basic, self.password, self.identity_token, self.registry_token))
        spellings = [form for each in plain for form in (quote_plus(each), quote(each), each)]
        return tuple(dict.fromkeys(spellings))


class Challenge(msgspec.Struct, frozen=True):
    """One scheme of a `WWW-Authenticate` header, in lower case, with its parameters."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()

    def parameter(self, name: str) -> str:
        """Return a parameter, "" when it is absent."""
        return dict(self.parameters).get(name, "")


class Answer(msgspec.Struct, frozen=True):
    """What a token service said."""

    status: int
    body: bytes = b""


class Grant(msgspec.Struct, frozen=True):
    """Permission, and for how many seconds it lasts; None is for good."""

    authorization: Authorization
    lifetime: float | None = None
    identity_token: str = ""


Flow = Generator[Request, Answer, Grant]


def authorize(
    challenges: Sequence[Challenge],
    *,
    registry: Origin,
    credential: Credential | None,
    scopes: Sequence[str],
    allows_plain: Callable[[str], bool] | None = None,
    offline: bool = False,
) -> Flow:
    """Answer a registry's challenge; `scopes` are what is needed, the newest first.

    `offline` asks for an identity token to keep, as `login` does.

    Yields: requests to token services; send the answer of each back.
    Returns: what to put into requests to `registry`.
    Raises: RegistryError: `registry.unauthorized`, or the challenge is malformed or dangerous.
    """
    if credential is not None and credential.registry_token:
        return Grant(Authorization("Bearer " + _header_safe(credential.registry_token), registry))
    bearer = next((challenge for challenge in challenges if challenge.scheme == "bearer"), None)
    if bearer is not None:
        return (
            yield from _bearer(
                bearer,
                registry=registry,
                credential=credential,
                scopes=scopes,
                allows_plain=allows_plain,
                offline=offline,
            )
        )
    if any(challenge.scheme == "basic" for challenge in challenges):
        if credential is None or not credential.username:
            raise unauthorized(registry.authority, "the registry wants a user name and a password")
        return Grant(_basic(credential, registry))
    names = ", ".join(f"`{challenge.scheme[:20]}`" for challenge in challenges) or "none"
    raise RegistryError(
        f"{registry.authority} asks for a kind of authentication that lapstrake does not know",
        code="registry.unauthorized",
        notes=(f"offered: {names}",),
    )


def unauthorized(host: str, fact: str) -> RegistryError:
    """Return the error of those who are not let in."""
    return RegistryError(
        f"{host} does not let us in",
        code="registry.unauthorized",
        status=401,
        notes=(fact,),
        hint=f"run `lapstrake login {'docker.io' if host.endswith('docker.io') else host}`",
    )


def _bearer(
    challenge: Challenge,
    *,
    registry: Origin,
    credential: Credential | None,
    scopes: Sequence[str],
    allows_plain: Callable[[str], bool] | None,
    offline: bool,
) -> Flow:
    realm = challenge.parameter("realm")
    if not realm:
        raise RegistryError(
            f"{registry.authority} sends a challenge without a realm", code="registry.protocol"
        )
    # Passwords go to the realm: `check` refuses plain http off loopback, and this machine's own services.
    origin = address.check(realm, registry=registry, allows_plain=allows_plain)
    asked = tuple(dict.fromkeys((*scopes, *challenge.parameter("scope").split())))
    service = challenge.parameter("service")
    if credential is not None and credential.identity_token:
        answer = yield _refresh(realm, service, asked, credential, registry)
        if answer.status not in (404, 405):
            return _grant(answer, registry, origin, credential)
    query = [("service", service)] if service else []
    query += [("scope", scope) for scope in asked]
    if offline:
        query += [("offline_token", "true"), ("client_id", CLIENT_ID)]
    known = None if credential is None else _as_password(credential)
    if known is not None:
        query.insert(0, ("account", known.username))
    answer = yield Request(
        method="GET",
        url=_with_query(realm, query),
        registry=registry,
        authorization=None if known is None else _basic(known, origin),
    )
    return _grant(answer, registry, origin, credential)


def _as_password(credential: Credential) -> Credential | None:
    """Return a user and a password for a service without the newer flow, which may take a token for one."""
    secret = credential.password or credential.identity_token
    if not credential.username or not secret:
        return None
    return Credential(username=credential.username, password=secret)


def _refresh(
    realm: str, service: str, scopes: Sequence[str], credential: Credential, registry: Origin
) -> Request:
    from urllib.parse import urlencode

    form = {
        "grant_type": "refresh_token",
        "service": service,
        "client_id": CLIENT_ID,
        "scope": " ".join(scopes),
        "refresh_token": credential.identity_token,
    }
    return Request(
        method="POST",
        url=realm,
        registry=registry,
        headers=(("Content-Type", "application/x-www-form-urlencoded"),),
        body=urlencode(form).encode(),
        stays=True,
    )


class _TokenWire(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None
    refresh_token: str | None = None


def _grant(answer: Answer, registry: Origin, realm: Origin, credential: Credential | None) -> Grant:
    if answer.status in (400, 401, 403):
        fact = (
            "the user name or password is wrong, or has expired"
            if credential is not None
            else "it gives nothing to those who are not logged in"
        )
        raise unauthorized(registry.authority, fact)
    if answer.status != 200:
        raise RegistryError(
            f"the token service {realm.authority} answers with status {answer.status}",
            code="registry.rate-limited" if answer.status == 429 else "registry.unavailable",
            status=answer.status,
            temporary=answer.status == 429 or answer.status >= 500,
        )
    try:
        wire = msgspec.json.decode(answer.body, type=_TokenWire)
    except (ValueError, RecursionError):
        raise RegistryError(
            f"the token service {realm.authority} answers with something else than a token",
            code="registry.protocol",
        ) from None
    token = wire.token or wire.access_token
    if not token:
        raise RegistryError(
            f"the token service {realm.authority} answers without a token", code="registry.protocol"
        )
    lifetime = max(float(_SHORTEST_LIFE), min(wire.expires_in or 0.0, 86400.0))
    return Grant(
        Authorization("Bearer " + _header_safe(token), registry),
        lifetime,
        identity_token=wire.refresh_token or "",
    )


def parse_challenges(headers: Sequence[str]) -> tuple[Challenge, ...]:
    """Read `WWW-Authenticate` headers; commas inside quoted strings belong to them.

    What cannot be read ends the reading of its header: challenges before it count.
    """
    return tuple(challenge for header in headers for challenge in _challenges(header[:8192]))


def _challenges(header: str) -> list[Challenge]:
    found: list[tuple[str, dict[str, str]]] = []
    position = 0
    while True:
        position = _skip(header, position, " \t,")
        word, position = _word(header, position)
        if not word:
            break
        after = _skip(header, position, " \t")
        if header[after : after + 1] == "=" and found:
            value, position = _value(header, _skip(header, after + 1, " \t"))
            found[-1][1].setdefault(word.lower(), value)
        else:
            found.append((word.lower(), {}))
    return [Challenge(scheme, tuple(parameters.items())) for scheme, parameters in found]


def _skip(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position


def _word(text: str, position: int) -> tuple[str, int]:
    start = position
    while position < len(text) and text[position] in _TOKEN:
        position += 1
    return text[start:position], position


def _value(text: str, position: int) -> tuple[str, int]:
    if text[position : position + 1] != '"':
        return _word(text, position)
    position += 1
    value = []
    while position < len(text) and text[position] != '"':
        if text[position] == "\\":
            position += 1
        value.append(text[position : position + 1])
        position += 1
    return "".join(value), position + 1


def _with_query(url: str, query: Sequence[tuple[str, str]]) -> str:
    from urllib.parse import urlencode

    if not query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"


def _basic(credential: Credential, origin: Origin) -> Authorization:
    return Authorization("Basic " + _base64(credential.username, credential.password), origin)


def _base64(username: str, password: str) -> str:
    return b64encode(f"{username}:{password}".encode()).decode()


def _header_safe(token: str) -> str:
    if not token.isascii() or not token.isprintable() or " " in token:
        raise RegistryError(
            "the token holds characters that no token has", code="registry.protocol"
        )
    return token
