"""One file with credentials, Docker's `config.json` or the containers' `auth.json`: read, matched, changed as text.

A key is a registry's host, which must be met exactly, or begins with one and goes on with parts of a repository's
name; the longest that fits counts. Nothing is guessed from parts of hosts.

Source: docker/cli, "docker login"; containers-auth.json(5).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator

import msgspec

from builder.errors import RegistryError, UsageError
from builder.oci.reference import HUB
from builder.registry.auth import Credential

HUB_KEY = "https://index.docker.io/v1/"
"""The name under which Docker keeps Docker Hub's credentials, for historical reasons."""

_HUB_NAMES = frozenset({HUB, "index.docker.io", "registry-1.docker.io"})
_HELPER_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


class AuthFile(msgspec.Struct, frozen=True, kw_only=True):
    """What one file says; `path` is how it is called where something is wrong with it.

    `auths` are entries by their keys in one spelling, `helpers` names of helpers by host, `store` the one for all
    other hosts. `headers` are those that Docker's `HttpHeaders` means for registries.
    """

    path: str
    auths: dict[str, _EntryWire]
    helpers: dict[str, str]
    store: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    def for_path(self, host: str, repository: str) -> tuple[str, Credential] | None:
        """Return the credential for a path that holds the repository, the longest one, and its key."""
        for key in _paths(host, repository):
            found = self._entry(key)
            if found is not None:
                return key, found
        return None

    def for_host(self, host: str) -> Credential | None:
        """Return the credential for a registry as a whole."""
        return self._entry(normal(host))

    def helper_for(self, host: str) -> str:
        """Return the name of the helper that keeps the credential of a host, "" for none.

        Raises: RegistryError: `registry.config`, it is not a name.
        """
        return helper_name(self.path, self.helpers.get(normal(host), self.store))

    def _entry(self, key: str) -> Credential | None:
        entry = self.auths.get(key)
        if entry is None:
            return None
        username, password = entry.username or "", entry.password or ""
        if entry.auth:
            try:
                # Go's decoder, hence Docker's, passes over the ends of lines that `base64` writes.
                text = entry.auth.replace("\r", "").replace("\n", "")
                decoded = b64decode(text, validate=True).decode()
            except ValueError:
                raise malformed(
                    self.path, f"`auth` of the entry for `{key[:100]}` is not base64"
                ) from None
            username, _, password = decoded.partition(":")
            password = password.rstrip("\0")
        credential = Credential(
            username=username,
            password=password,
            identity_token=entry.identitytoken or "",
            registry_token=entry.registrytoken or "",
        )
        # Docker leaves an empty entry where a helper keeps the secret.
        return credential if credential.secrets() else None


class _EntryWire(msgspec.Struct):
    auth: str | None = None
    username: str | None = None
    password: str | None = None
    identitytoken: str | None = None
    registrytoken: str | None = None


class _Wire(msgspec.Struct):
    auths: dict[str, _EntryWire | None] | None = None
    creds_store: str | None = msgspec.field(default=None, name="credsStore")
    cred_helpers: dict[str, str] | None = msgspec.field(default=None, name="credHelpers")
    headers: dict[str, str] | None = msgspec.field(default=None, name="HttpHeaders")


def parse(path: str, raw: bytes, *, legacy: bool = False) -> AuthFile:
    """Read a file; a `legacy` one, `.dockercfg`, holds the entries alone.

    Raises: RegistryError: `registry.config`.
    """
    try:
        if legacy:
            entries = msgspec.json.decode(raw, type=dict[str, _EntryWire | None])
            wire = _Wire(auths=entries)
        else:
            wire = msgspec.json.decode(raw, type=_Wire) if raw.strip() else _Wire()
    except (ValueError, RecursionError) as error:
        # The message of the parser names a place in the document, never its contents.
        raise malformed(path, str(error)[:200]) from None
    auths: dict[str, _EntryWire] = {}
    # Exact spellings win over old ones such as `https://host/v1/`, which come first to be replaced.
    for name, entry in sorted(
        (wire.auths or {}).items(), key=lambda pair: normal(pair[0]) == pair[0]
    ):
        if entry is not None:
            auths[normal(name, legacy=legacy)] = entry
    return AuthFile(
        path=path,
        auths=auths,
        helpers={normal(name): value for name, value in (wire.cred_helpers or {}).items()},
        store=wire.creds_store or "",
        headers=_headers(path, wire.headers or {}),
    )


def with_entry(path: str, raw: bytes, key: str, credential: Credential | None) -> bytes:
    """Return the text of a file with one more entry; all else stays. None is an entry that only says "logged in".

    Raises: RegistryError: `registry.config`. UsageError: a user name that cannot be kept.
    """
    members, auths = _members(path, raw)
    for name in [name for name in auths if normal(name) == normal(key)]:
        del auths[name]
    entry: dict[str, str] = {}
    if credential is not None and credential.identity_token:
        entry = {
            "auth": _encode(credential.username, ""),
            "identitytoken": credential.identity_token,
        }
    elif credential is not None:
        entry = {"auth": _encode(credential.username, credential.password)}
    auths[key] = msgspec.Raw(msgspec.json.encode(entry))
    return _text(members, auths)


def without_entry(path: str, raw: bytes, key: str) -> bytes | None:
    """Return the text of a file without the entry of a key, None if it has none.

    Raises: RegistryError: `registry.config`.
    """
    members, auths = _members(path, raw)
    matching = [name for name in auths if normal(name) == normal(key)]
    for name in matching:
        del auths[name]
    return _text(members, auths) if matching else None


def helper_name(origin: str, text: str) -> str:
    """Return the name of a credential helper that stands in a file: it must lead to no other program.

    Raises: RegistryError: `registry.config`, it is not a name.
    """
    if not _HELPER_NAME.issuperset(text):
        raise malformed(
            origin, "the name of a credential helper holds other characters than letters"
        )
    return text


def storage_key(name: str) -> str:
    """Return the name under which Docker keeps the credential of a host."""
    return HUB_KEY if normal(name) == HUB else name


def normal(key: str, *, legacy: bool = False) -> str:
    """Return the host, or host and path, that a key means; old clients wrote addresses such as `https://host/v1/`."""
    bare = key.removeprefix("https://").removeprefix("http://").rstrip("/")
    host, slash, path = bare.partition("/")
    host = host.lower()
    if host in _HUB_NAMES:
        host = HUB
    # What stands behind the host of an address is a version of the protocol.
    is_address = len(bare) != len(key.rstrip("/")) or (host == HUB and path in ("v1", "v2"))
    return host if legacy or is_address else host + slash + path


def malformed(origin: str, fact: str) -> RegistryError:
    """Return the error of a file that is not what it should be."""
    return RegistryError(
        f"{origin} is malformed",
        code="registry.config",
        notes=(fact,),
        hint="correct or delete the file",
    )


def _paths(host: str, repository: str) -> Iterator[str]:
    """Yield host and repository, then each namespace above it; not the host alone."""
    while repository:
        yield f"{normal(host)}/{repository}"
        repository = repository.rpartition("/")[0]


def _headers(path: str, headers: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the headers for registries: Docker's engine passes on those that begin with `X-Meta-`."""
    kept = [(name, value) for name, value in headers.items() if name.lower().startswith("x-meta-")]
    for name, value in kept:
        fine = name.isascii() and name.replace("-", "").isalnum()
        if not fine or not value.isascii() or not value.isprintable():
            raise malformed(path, f"the header `{name[:40]}` in `HttpHeaders` cannot be sent")
    return tuple(kept)


def _members(path: str, raw: bytes) -> tuple[dict[str, msgspec.Raw], dict[str, msgspec.Raw]]:
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw] | None).decode
    try:
        members = decode(raw) or {} if raw.strip() else {}
        return members, decode(members["auths"]) or {} if "auths" in members else {}
    except (ValueError, RecursionError) as error:
        raise malformed(path, str(error)[:200]) from None


def _text(members: dict[str, msgspec.Raw], auths: dict[str, msgspec.Raw]) -> bytes:
    whole = {**members, "auths": msgspec.Raw(msgspec.json.encode(auths))}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"


def _encode(username: str, password: str) -> str:
    if ":" in username:
        raise UsageError("a user name cannot contain a colon")
    return b64encode(f"{username}:{password}".encode()).decode()
