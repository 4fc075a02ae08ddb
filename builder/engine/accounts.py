"""Signing in to registries and out: without a store, since credentials are none of its business."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from builder.engine.lookup import Lookup
from builder.errors import ImageError, ReferenceInvalid, RegistryError
from builder.oci.reference import HUB, Reference
from builder.registry.auth import Credential
from builder.registry.auth_file import storage_key
from builder.settings import Settings


def never() -> bool:
    """Nobody cancels."""
    return False


class Account(msgspec.Struct, frozen=True):
    """A registry, or a part of one: `registry` is its host with its port, `path` a repository or a namespace, or ""."""

    registry: str
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Account:
        """Read what a user writes: a host, an address of which the host counts, or a host and a path.

        Raises: ImageError: it is none of these.
        """
        bare = text.partition("://")[2] if "://" in text else text
        host, _, path = bare.rstrip("/").partition("/")
        if "://" in text or path in ("v1", "v2"):
            path = ""
        if host.lower() in ("", HUB, "index.docker.io", "registry-1.docker.io"):
            host = HUB
        try:
            Reference.parse(
                f"{host}/{path or 'x'}" if "." in host or ":" in host else f"{host}:1/x"
            )
            if path:
                Reference.parse(f"placeholder.invalid/{path}")
        except ReferenceInvalid as error:
            raise ImageError(
                f"`{text.rpartition('@')[2][:100]}` is not a registry",
                notes=(error.message,),
                hint="name the host, as in `registry.example.com`",
            ) from error
        return cls(host.lower(), path)

    @property
    def name(self) -> str:
        """Host and path."""
        return f"{self.registry}/{self.path}" if self.path else self.registry

    @property
    def kept_as(self) -> str:
        """The name under which it is kept."""
        return self.name if self.path else storage_key(self.registry)


class Accounts:
    """The accounts of a user."""

    def __init__(self, settings: Settings, cancelled: Callable[[], bool] = never) -> None:
        self._lookup = Lookup(settings, cancelled)

    def username(self, account: Account) -> str | None:
        """Return under which name a user is signed in, None if not at all; "" for a token without one."""
        found = self._found(account)
        return None if found is None else found.username

    def again(self, account: Account) -> bool:
        """Try the credential that is known; tell whether the registry still accepts it.

        Raises: RegistryError: it cannot be reached.
        """
        found = self._found(account)
        if found is None:
            return False
        try:
            self._lookup.client().login(account.registry, found)
        except RegistryError as error:
            if error.code != "registry.unauthorized":
                raise
            return False
        return True

    def login(self, account: Account, username: str, password: str) -> str:
        """Try a credential at its registry, then keep it; return where it is kept.

        Raises: RegistryError: it is refused, or cannot be kept.
        """
        credential = Credential(username=username, password=password)
        checked = self._lookup.client().login(account.registry, credential)
        return self._lookup.keyring.store(account.name, checked)

    def logout(self, account: Account) -> bool:
        """Forget a credential; tell whether there was one.

        Raises: RegistryError: a file or a helper cannot be changed.
        """
        return self._lookup.keyring.erase(account.name)

    def elsewhere(self, account: Account) -> str:
        """Return where the credential that counts is from, "" for nowhere: `login` and `logout` change one place only."""
        found = self._lookup.keyring.find(account.registry, account.path)
        return found.where if found.credential is not None else ""

    def _found(self, account: Account) -> Credential | None:
        return self._lookup.keyring.find(account.registry, account.path).credential
