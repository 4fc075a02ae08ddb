"""Downloads and checkouts for a build: the rooms that fetch, joined to the store and the settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from builder.graph.operations import GitSource, HttpSource
from builder.settings import Settings
from builder.solve.context import Fetched, LocalContext, Origin
from builder.solve.given import SecretSource
from builder.solve.translate import Behind
from builder.store.root import Store

if TYPE_CHECKING:
    from builder.registry.exchange import Transport
    from builder.solve.secrets import Secrets
    from builder.source.checkouts import Checkouts
    from builder.source.credentials import Credential
    from builder.source.http import Downloads, Wanted


class RemoteSources:
    """What the solver asks for remote sources; nothing is loaded or contacted before it is asked for."""

    def __init__(
        self, settings: Settings, store: Store, behind: Behind, secrets: Secrets | None = None
    ) -> None:
        self._settings = settings
        self._root = f"{store.root}/downloads"
        self._leases = store.leases
        self._behind = behind
        self._secrets = secrets
        self.fetched: list[HttpSource | GitSource] = []
        """What was asked for, in the order in which it was."""
        self.resolved: dict[HttpSource | GitSource, str] = {}
        """What each source came to: a commit, or `sha256:…`."""
        self._made: Downloads | None = None
        self._cloned: Checkouts | None = None

    def _cancelled(self) -> bool:
        return self._behind.cancellation.cancelled

    def _hold(self, place: str) -> None:
        """Keep what was fetched from being removed, and remember that it is of use."""
        self._leases.hold(f"downloads{place.removeprefix(self._root)}")
        with suppress(OSError):
            os.utime(place)

    def here(self, op: HttpSource | GitSource) -> LocalContext | None:
        """Return what is here already and needs no question whether it is still right, else None."""
        if not op.checksum or not os.path.isdir(self._root):
            return None
        if isinstance(op, GitSource):
            found = self._checkouts().here(op)
            if found is not None:
                self.resolved[op] = op.ref
            return None if found is None else _context(found, Origin.CHECKOUT)
        download = self._downloads().here(_wanted(op))
        if download is not None:
            self.resolved[op] = download.digest
        return None if download is None else _context(download.directory, Origin.DOWNLOAD)

    def fetch(
        self,
        op: HttpSource | GitSource,
        *,
        progress: Callable[[str, int, int | None], None],
        log: Callable[[bytes], None],
    ) -> Fetched:
        """Have a source here; see `solve.context.Remotes`."""
        self.fetched.append(op)
        credential = self._credential(op)
        if isinstance(op, GitSource):
            checkout = self._checkouts().fetch(op, log, credential)
            self.resolved[op] = checkout.commit
            return Fetched(
                context=_context(checkout.directory, Origin.CHECKOUT),
                cached=not checkout.moved,
                note=checkout.commit[:12],
            )
        download = self._downloads().fetch(_wanted(op, credential), progress)
        self.resolved[op] = download.digest
        return Fetched(
            context=_context(download.directory, Origin.DOWNLOAD),
            cached=not download.moved,
            note=f"{download.size} bytes",
        )

    def fetch_silently(self, op: HttpSource | GitSource, _what: str) -> LocalContext:
        """Have a source here for a question that shows no progress; see `fetch`."""
        return self.fetch(op, progress=lambda *_: None, log=lambda _: None).context

    def _credential(self, op: HttpSource | GitSource) -> Credential | None:
        if self._secrets is None:
            return None
        from builder.source.credentials import credential

        return credential(op, self._secrets.value)

    def _downloads(self) -> Downloads:
        if self._made is None:
            from builder.source.http import Downloads

            self._made = Downloads(
                f"{self._root}", self._transport, cancelled=self._cancelled, hold=self._hold
            )
        return self._made

    def _transport(self, unencrypted: bool) -> Transport:  # noqa: FBT001  the one thing asked
        from builder.registry.transport import HttpTransport, Options

        options = Options(
            ca_bundle=self._settings.ca_bundle,
            proxies=self._settings.proxies,
            any_plain=unencrypted,
        )
        return HttpTransport(options, cancelled=self._cancelled)

    def _checkouts(self) -> Checkouts:
        if self._cloned is None:
            from builder.source.checkouts import Checkouts

            self._cloned = Checkouts(
                self._root,
                proxies=self._settings.proxies,
                ca_bundle=self._settings.ca_bundle,
                cancelled=self._cancelled,
                hold=self._hold,
            )
        return self._cloned


def _wanted(op: HttpSource, credential: Credential | None = None) -> Wanted:
    from builder.source.http import Wanted

    return Wanted(url=op.url, name=op.name, checksum=op.checksum, credential=credential)


def _context(directory: str, origin: Origin) -> LocalContext:
    return LocalContext(root=directory, origin=origin)


def redacted(url: str) -> str:
    """Return an address as it may be shown, without user and password."""
    from builder.dockerfile import remotes

    return remotes.redacted(url)


def secrets_of(sources: tuple[SecretSource, ...]) -> Secrets | None:
    """Return the secrets that a build was given, None for none."""
    if not sources:
        return None
    from builder.settings import variable
    from builder.solve.secrets import Secrets

    return Secrets(sources, variable)
