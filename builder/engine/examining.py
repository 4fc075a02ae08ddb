"""What counts for one registry here: its places, how each is known, who we are there, and what it says to that."""

from __future__ import annotations

import msgspec

from builder.engine.accounts import Account, never
from builder.engine.lookup import Lookup
from builder.errors import ImageError, LapstrakeError, RegistryError
from builder.oci.reference import Reference
from builder.registry.address import redact
from builder.registry.endpoint import Endpoint, Need
from builder.registry.session import Session
from builder.settings import Settings

_ANY = "any"
"""Stands for a repository where only the registry is asked about."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One place: what is configured of it, and what came of contacting it.

    `user` is "" for nobody; `credential` says where that is from. `problem` and `change` are "" where all is well.
    """

    address: str
    is_mirror: bool
    why: str
    encryption: str
    proxy: str
    authorities: tuple[str, ...]
    certificate: str
    user: str
    credential: str
    ok: bool
    answer: str
    problem: str = ""
    notes: tuple[str, ...] = ()
    change: str = ""


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """All of it; `files` were read, `closed` are not for us. Without places, `problem` says why there are none."""

    name: str
    files: tuple[str, ...]
    closed: tuple[str, ...]
    places: tuple[Place, ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()
    change: str = ""

    @property
    def ok(self) -> bool:
        """Whether images can be had: from the registry itself, or from a mirror."""
        return any(each.ok for each in self.places)


def examine(settings: Settings, text: str) -> Examined:
    """Look at what is configured of a registry, or of a repository of one, and contact each of its places.

    Raises: ImageError, ReferenceInvalid: the text names neither.
    """
    reference, has_path = _named(text)
    lookup = Lookup(settings, never)
    name = reference.name if has_path else reference.registry
    try:
        endpoints = lookup.configuration.endpoints(reference, Need.RESOLVE)
        session = Session(lookup.transport(), lookup.keyring)
        places = tuple([_place(lookup, session, each, has_path=has_path) for each in endpoints])
    except RegistryError as error:
        return Examined(
            name=name,
            files=_files(lookup),
            closed=lookup.configuration.closed,
            problem=error.message,
            notes=error.notes,
            change=error.hint or "",
        )
    closed = lookup.configuration.closed
    return Examined(name=name, files=_files(lookup), closed=closed, places=places)


def _files(lookup: Lookup) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*lookup.configuration.read, *lookup.keyring.read)))


def _named(text: str) -> tuple[Reference, bool]:
    """Return what is asked about, and whether that is a repository."""
    bare = text.partition("://")[2] or text
    host, _, path = bare.rstrip("/").partition("/")
    if not ("." in host or ":" in host or host == "localhost"):
        raise ImageError(
            f"`{text[:100]}` does not begin with a registry",
            hint=f"name it: `lapstrake doctor registry docker.io/{text[:100]}`",
        )
    if path and "://" not in text:
        return Reference.parse(bare), True
    return Reference(Account.parse(host).registry, _ANY), False


def _place(lookup: Lookup, session: Session, endpoint: Endpoint, *, has_path: bool) -> Place:
    repository = endpoint.repository if has_path else _parent(endpoint.repository)
    found = lookup.keyring.find(endpoint.registry, repository)
    trust, credential = endpoint.trust, found.credential
    user = "" if credential is None else credential.username or "a token"
    scheme, answer, trouble = _contacted(session, endpoint, has_path=has_path)
    shown = f"{scheme or endpoint.scheme or 'https'}://{endpoint.authority}{endpoint.base}/"
    proxy = lookup.transport().proxy_for(shown)
    return Place(
        address=shown + repository,
        is_mirror=endpoint.is_mirror,
        why=endpoint.why,
        encryption=_encryption(scheme or endpoint.scheme, endpoint),
        proxy="" if proxy is None else redact(proxy),
        authorities=trust.authorities,
        certificate="" if trust.client is None else trust.client[0],
        user=user,
        credential=found.where,
        ok=trouble is None,
        answer=answer,
        problem="" if trouble is None else trouble.message,
        notes=() if trouble is None else trouble.notes,
        change="" if trouble is None else trouble.hint or "",
    )


def _parent(repository: str) -> str:
    """Return where a registry's repositories lie in a place of it: that of the stand-in, without it."""
    return repository.rpartition("/")[0]


def _encryption(scheme: str, endpoint: Endpoint) -> str:
    if scheme == "http":
        return "plain http"
    if not endpoint.trust.verified:
        return "TLS, whatever the certificate"
    return "TLS, or plain http" if endpoint.trust.plain and not scheme else "TLS, verified"


def _contacted(
    session: Session, endpoint: Endpoint, *, has_path: bool
) -> tuple[str, str, LapstrakeError | None]:
    """Return the scheme that is spoken, what was answered, and what is wrong."""
    scheme = ""
    try:
        scheme = session.origin(endpoint).scheme
        greeting = session.greet(endpoint)
        answer = f"it answers as {greeting.version or 'a registry'}"
        if greeting.status not in (200, 401, 403):
            fact = f"it answers with status {greeting.status}, not as registries do"
            return scheme, answer, RegistryError(fact, hint="check host and port")
        if not has_path:
            session.let_in(endpoint, greeting)
            asks = "lets us in" if greeting.status == 401 else "asks nobody who they are"
            return scheme, f"{answer} and {asks}", None
        path = f"{endpoint.base}/{endpoint.repository}/tags/list?n=1"
        scopes = (f"repository:{endpoint.repository}:pull",)
        with session.send("GET", endpoint, path, scopes=scopes) as response:
            status = response.status
    except LapstrakeError as error:
        return scheme, "", error
    return scheme, answer, _judged(session, endpoint, status)


def _judged(session: Session, endpoint: Endpoint, status: int) -> LapstrakeError | None:
    """Return what a status says of a repository's tags, None for nothing wrong."""
    if status == 200:
        return None
    if status == 404:
        return RegistryError(
            f"it has no repository `{endpoint.repository}`, or does not show it to us",
            hint=f"check the name, or run `lapstrake login {endpoint.registry}`",
        )
    if status in (401, 403):
        known = session.credential(endpoint)
        who = "those who are not logged in" if known is None else known.username or "this token"
        return RegistryError(
            f"it does not let {who} read `{endpoint.repository}`",
            hint=f"run `lapstrake login {endpoint.registry}`",
        )
    return RegistryError(f"it answers with status {status}", hint="try again later")
