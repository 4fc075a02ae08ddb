"""Pulling, pushing, logging in: the registry rooms joined to the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from builder.engine.catalogue import Catalogue, OfPlatform
from builder.engine.requests import PullResult, PushResult
from builder.events import (
    Event,
    EventSink,
    Outcome,
    VertexDone,
    VertexFailed,
    VertexStarted,
    Warned,
)
from builder.oci.digest import Digest
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.settings import Settings
from builder.solve.translate import Behind
from builder.store.root import Store

if TYPE_CHECKING:
    from builder.engine.lookup import Lookup
    from builder.oci.closure import Closure
    from builder.oci.descriptor import Descriptor
    from builder.oci.manifest import Manifest
    from builder.registry.client import RegistryClient
    from builder.registry.pulling import PulledImage
    from builder.registry.resolve import Resolved


class Registries:
    """What the engine does with registries; nothing is contacted before it is asked for."""

    def __init__(self, settings: Settings, store: Store, behind: Behind) -> None:
        self._settings = settings
        self._store = store
        self._behind = behind
        self._client: RegistryClient | None = None
        self._lookup: Lookup | None = None
        self.since = time.monotonic()
        """When what is going on began; the times of events count from here."""

    def _cancelled(self) -> bool:
        return self._behind.cancellation.cancelled

    def _looked_up(self) -> Lookup:
        if self._lookup is None:
            from builder.engine.lookup import Lookup

            self._lookup = Lookup(self._settings, self._cancelled)
        return self._lookup

    def client(self) -> RegistryClient:
        """Return the client, made at first use: its imports cost more than a cached build."""
        if self._client is None:
            self._client = self._looked_up().client()
        return self._client

    def names(self, short: str, reference: Reference) -> tuple[Reference, ...]:
        """Return what a name may mean, in order; `short` is how it was written without a registry, or "".

        Raises: RegistryError: `registry.config`. ReferenceInvalid: it may mean several, which are not to be tried.
        """
        return self._looked_up().configuration.names(short, reference) if short else (reference,)

    def where(self, names: tuple[Reference, ...]) -> Reference:
        """Return the first of several names that its registry knows; the last is not asked for."""
        return self._looked_up().where(self.client(), names) if len(names) > 1 else names[0]

    def pull(
        self,
        reference: Reference,
        platform: Platform | None,
        events: EventSink,
        vertex_id: int = 1,
        *,
        unpack: bool = True,
        or_the_only_one: bool = False,
    ) -> PullResult:
        """Fetch an image into the store and name it; `unpack` it while it arrives, if it is going to be used.

        For `platform` and `or_the_only_one` see `registry.resolve`.

        Raises: RegistryError, ImageError, StoreError, Cancelled: see `registry.pulling.pull`.
        """
        from builder.errors import LapstrakeError

        events = Stamped(events, self.since)
        events.emit(VertexStarted(id=vertex_id, name=f"pull {reference.familiar()}"))
        try:
            resolved = self.client().resolve(reference, platform, or_the_only_one=or_the_only_one)
            pulled = self._fetch(reference, resolved, events, vertex_id, unpack=unpack)
            catalogue = Catalogue(self._store)
            image_id = catalogue.register_pulled(pulled.manifest, pulled.config)
        except LapstrakeError as error:
            tried = [each.message for each in self._looked_up().remarks()]
            error.notes = (*error.notes, *tried)
            events.emit(VertexFailed(id=vertex_id, diagnostic=error.diagnostic()))
            raise
        for remark in (*self._looked_up().remarks(), *self.client().remarks()):
            events.emit(Warned(diagnostic=remark))
        self._at_home(reference, (pulled.manifest.config, *pulled.manifest.layers))
        digest = str(pulled.descriptor.digest)
        if pulled.index is None:
            catalogue.name(reference, image_id, digest)
        else:
            image = OfPlatform(
                platform=catalogue.open(image_id).platform,
                image=image_id,
                manifest=str(pulled.manifest.descriptor().digest),
            )
            catalogue.add_platform(reference, image, digest)
        events.emit(VertexDone(id=vertex_id, outcome=Outcome.EXECUTED, note=digest))
        return PullResult(reference=reference.canonical(), digest=digest, image_id=image_id)

    def _fetch(
        self,
        reference: Reference,
        resolved: Resolved,
        events: EventSink,
        vertex_id: int,
        *,
        unpack: bool,
    ) -> PulledImage:
        from builder.registry import pulling

        fetch = partial(
            pulling.fetch,
            self.client(),
            reference,
            resolved,
            self._store.blobs,
            events,
            vertex_id,
            cancelled=self._cancelled,
        )
        if not unpack:
            return fetch()
        from builder.engine.arriving import unpacking

        manifest, config = resolved.manifest, resolved.config
        with unpacking(self._store, manifest, config, events, vertex_id) as work:
            return fetch(arrivals=work.arrivals)

    def push(
        self,
        references: Sequence[Reference],
        package: Callable[[Callable[[Descriptor], None]], Closure],
        events: EventSink,
        vertex_id: int = 1,
        *,
        by_digest: bool = False,
    ) -> PushResult:
        """Send what `package` makes under names of one repository, or `by_digest` under none of their tags.

        What it is given takes each layer that is ready while it makes others.

        Raises: RegistryError, StoreError, Cancelled: see `registry.pushing.push_closure`, or as `package`.
        """
        from builder.errors import LapstrakeError
        from builder.registry import pushing

        events = Stamped(events, self.since)
        shown = ", ".join([reference.familiar() for reference in references])
        events.emit(VertexStarted(id=vertex_id, name=f"push {shown}"))
        try:
            reference = references[0]
            with self.sending(reference, events, vertex_id) as ready:
                closure = package(ready)
            if by_digest:
                reference = reference.with_digest(closure.top.descriptor().digest)
            tags = [each.tag for each in references if each.tag is not None and not by_digest]
            sent = pushing.push_closure(
                self.client(),
                reference,
                closure,
                self._verified_blob,
                events,
                vertex_id,
                tags=tuple(tags),
                mount_from=partial(self._other_home, reference),
                cancelled=self._cancelled,
            )
        except LapstrakeError as error:
            events.emit(VertexFailed(id=vertex_id, diagnostic=error.diagnostic()))
            raise
        for remark in self.client().remarks():
            events.emit(Warned(diagnostic=remark))
        self._at_home(reference, closure.blobs())
        events.emit(VertexDone(id=vertex_id, outcome=Outcome.EXECUTED, note=str(sent.digest)))
        for each in () if by_digest else references:
            Catalogue(self._store).pushed(each, str(sent.digest))
        return PushResult(
            reference=references[0].canonical(), digest=str(sent.digest), size=sent.size
        )

    def attach(
        self, reference: Reference, artifact: Manifest, events: EventSink, vertex_id: int
    ) -> None:
        """Publish an artifact that refers to an image, beside it in its repository; no tag of the image changes.

        Raises: RegistryError, Cancelled: as `push`.
        """
        from builder.errors import LapstrakeError
        from builder.oci.closure import Closure
        from builder.registry import pushing, referrers

        digest = artifact.descriptor().digest
        events.emit(VertexStarted(id=vertex_id, name=f"attach to {reference.familiar()}"))
        try:
            pushing.push_closure(
                self.client(),
                reference.with_digest(digest),
                Closure(documents=(artifact,)),
                self._verified_blob,
                events,
                vertex_id,
                cancelled=self._cancelled,
            )
            referrers.attach(self.client(), reference, artifact)
        except LapstrakeError as error:
            events.emit(VertexFailed(id=vertex_id, diagnostic=error.diagnostic()))
            raise
        events.emit(VertexDone(id=vertex_id, outcome=Outcome.EXECUTED, note=str(digest)))

    @contextmanager
    def sending(
        self, reference: Reference, events: EventSink, vertex_id: int
    ) -> Iterator[Callable[[Descriptor], None]]:
        """Give what takes blobs of the store and sends them, while the block makes others.

        Raises: RegistryError, Cancelled: as `push`.
        """
        from builder.registry import pushing

        with pushing.sending(
            self.client(),
            reference,
            self._verified_blob,
            Stamped(events, self.since),
            vertex_id,
            mount_from=partial(self._other_home, reference),
            cancelled=self._cancelled,
        ) as ready:
            yield ready

    def _verified_blob(self, digest: Digest) -> AbstractContextManager[BinaryIO]:
        from builder.engine.holders import StoreHolder

        return StoreHolder(self._store.blobs).open(digest)

    def _at_home(self, reference: Reference, blobs: Iterable[Descriptor]) -> None:
        digests = [each.digest for each in blobs]
        self._store.homes.remember(digests, reference.registry, reference.repository)

    def _other_home(self, reference: Reference, digest: Digest) -> str | None:
        return self._store.homes.repository(digest, reference.registry, reference.repository)

    def insecure(self, host: str) -> Registries:
        """Return the same with a registry that need not prove who it is, nor encrypt."""
        hosts = (*self._settings.insecure_registries, host)
        settings = msgspec.structs.replace(self._settings, insecure_registries=hosts)
        found = Registries(settings, self._store, self._behind)
        found.since = self.since
        return found


class Stamped:
    """Adds the time to events of rooms that have no clock."""

    def __init__(self, sink: EventSink, since: float) -> None:
        self._sink = sink
        self._since = since

    def emit(self, event: Event) -> None:
        """Take one event, and pass it on."""
        self._sink.emit(msgspec.structs.replace(event, at=time.monotonic() - self._since))
