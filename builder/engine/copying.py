"""From one place to another, digests preserved: whole closures, with everything that nobody here understands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import BinaryIO, assert_never, cast

import msgspec

from builder.engine import sinks
from builder.engine.ends import (
    End,
    InDirectory,
    InDockerArchive,
    InLayout,
    InLayoutArchive,
    InRegistry,
    InStore,
    parse_end,
)
from builder.engine.importing import examine, register
from builder.engine.sources import Choice, Source, Whole, opened
from builder.errors import Cancelled, ImageError, LapstrakeError, RegistryError, UsageError
from builder.events import EventSink, Outcome, VertexDone, VertexFailed, VertexStarted
from builder.export.destination import never
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.reference import Reference
from builder.registry import backoff
from builder.registry.auth_file import storage_key
from builder.registry.client import RegistryClient
from builder.registry.meter import Meter
from builder.registry.pushing import push_closure
from builder.settings import Settings
from builder.store.root import Store

__all__ = ["Access", "Choice", "CopyRequest", "CopyResult", "Whole", "copy", "parse_end"]


class CopyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be copied where. `tags` are further names at the destination.

    `exact` refuses to make a manifest where the source has none; `tries` is how often a lasting fault of a
    registry is tried again.
    """

    source: End
    destination: End
    choice: Choice = Whole.ALL
    tags: tuple[Reference, ...] = ()
    exact: bool = False
    tries: int = 0


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """How the registry at one end is to be reached: with which user and password, and whether it must be known.

    None leaves both to what is configured.
    """

    credentials: tuple[str, str] | None = None
    verify: bool | None = None

    def __repr__(self) -> str:
        return f"Access(…, verify={self.verify})"

    def settings(self, settings: Settings, end: End) -> Settings:
        """Return settings that say so of an end."""
        if not isinstance(end, InRegistry):
            return settings
        registry = end.reference.registry
        if self.verify is False:
            insecure = (*settings.insecure_registries, registry)
            settings = msgspec.structs.replace(settings, insecure_registries=insecure)
        elif self.verify:
            kept = tuple([each for each in settings.insecure_registries if each != registry])
            settings = msgspec.structs.replace(settings, insecure_registries=kept)
        if self.credentials is None:
            return settings
        from base64 import b64encode

        auth = b64encode(":".join(self.credentials).encode()).decode()
        auths = {"auths": {storage_key(registry): {"auth": auth}}}
        text = msgspec.json.encode(auths).decode()
        return msgspec.structs.replace(settings, docker_auth_config=text)


class CopyResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was copied: the digest and size, in bytes, of the top document, and whether it had to be made."""

    digest: Digest
    size: int
    made: bool = False


def copy(
    request: CopyRequest,
    *,
    store: Store,
    read_from: Callable[[], RegistryClient],
    write_to: Callable[[], RegistryClient],
    events: EventSink,
    cancelled: Callable[[], bool] = never,
) -> CopyResult:
    """Copy an image, or anything else that has a manifest; see `CopyRequest`.

    Raises: ImageError, RegistryError: it is not there or malformed. ExportError: it cannot be written. StoreError:
        bytes do not have their digest; the disk is full. UsageError: the ends do not go together. Cancelled.
    """
    _check(request)
    events.emit(VertexStarted(id=1, name=f"copy {request.source} to {request.destination}"))
    failures = 0
    while True:
        try:
            with opened(
                request.source, request.choice, store=store, client=read_from, cancelled=cancelled
            ) as source:
                _check_exact(request, source)
                _deliver(request, source, store, write_to, events, cancelled)
                top = source.closure.top.descriptor()
        except LapstrakeError as error:
            if error.code == "export.no-space":
                error.notes = ("what was there before stays",)
            failures += 1
            again = isinstance(error, RegistryError) and error.temporary
            if not again or failures > request.tries:
                events.emit(VertexFailed(id=1, diagnostic=error.diagnostic()))
                raise
            backoff.wait(backoff.delay(failures), cancelled)
        else:
            events.emit(VertexDone(id=1, outcome=Outcome.EXECUTED, note=str(top.digest)))
            return CopyResult(digest=top.digest, size=top.size, made=source.made)


def _check(request: CopyRequest) -> None:
    destination = request.destination
    if isinstance(request.source, InStore) and isinstance(destination, InStore):
        raise UsageError(
            "both ends are in the store", hint="use `lapstrake tag` to give an image another name"
        )
    match destination:
        case InLayout() | InLayoutArchive() if destination.digest is not None:
            raise UsageError(
                "a digest cannot be chosen for what is written", hint="name it: `oci:PATH:NAME`"
            )
        case InStore() if Reference.parse(destination.name).digest is not None:
            raise UsageError("a digest cannot be given to an image", hint="use a tag: `NAME:TAG`")
        case InRegistry() if any(
            tag.name != destination.reference.name or tag.digest for tag in request.tags
        ):
            raise UsageError(
                "further tags in a registry are of the same repository",
                hint=f"write them like `{destination.reference.familiar_name}:TAG`",
            )
        case InLayout() | InLayoutArchive() | InDirectory() if request.tags:
            raise UsageError(
                "further names can be given in the store, a registry or a `docker-archive:`"
            )
        case _:
            pass


def _check_exact(request: CopyRequest, source: Source) -> None:
    if source.made and request.exact:
        raise ImageError(
            f"{source.shown} has no manifest whose digest could be preserved",
            notes=(
                "archives of `docker save` before version 25 hold layers and a configuration alone",
            ),
            hint="leave out `--preserve-digests`, and a manifest is made",
        )


def _deliver(
    request: CopyRequest,
    source: Source,
    store: Store,
    write_to: Callable[[], RegistryClient],
    events: EventSink,
    cancelled: Callable[[], bool],
) -> None:
    closure = source.closure
    blobs = sinks.blobs_of(closure, source.holder)
    open_blob = _metered(source, events, cancelled)
    to_archive = partial(sinks.to_archive, scratch=store.snapshots.scratch(), cancelled=cancelled)
    match request.destination:
        case InRegistry() as end:
            _push(end, request, source, write_to(), events, cancelled)
        case InLayout() as end:
            sinks.to_layout(end, closure, blobs, open_blob, cancelled)
        case InLayoutArchive() as end:
            to_archive(end, closure, blobs, open_blob, names=())
        case InDockerArchive() as end:
            own = () if end.reference is None else (end.reference,)
            names = (*own, *request.tags)
            to_archive(end, closure, blobs, open_blob, names=names)
        case InDirectory() as end:
            sinks.to_directory(end, closure, blobs, open_blob, cancelled)
        case InStore() as end:
            _keep(end, request, source, store, open_blob, events, cancelled)
        case _:
            assert_never(request.destination)


def _push(
    end: InRegistry,
    request: CopyRequest,
    source: Source,
    client: RegistryClient,
    events: EventSink,
    cancelled: Callable[[], bool],
) -> None:
    near = source.repository
    same = near is not None and near.registry == end.reference.registry

    def mount_from(_digest: Digest) -> str | None:
        return near.repository if near is not None and same else None

    push_closure(
        client,
        end.reference,
        source.closure,
        source.holder.open,
        events,
        1,
        tags=tuple([tag.tag for tag in request.tags if tag.tag]),
        mount_from=mount_from,
        cancelled=cancelled,
    )


def _keep(
    end: InStore,
    request: CopyRequest,
    source: Source,
    store: Store,
    open_blob: sinks.Open,
    events: EventSink,
    cancelled: Callable[[], bool],
) -> None:
    closure = source.closure
    if source.fetch is not None:
        # An image with a layer that is nowhere at hand could not be used: its other places are asked, too.
        source.fetch(store.blobs, closure.blobs(foreign=True), events)
    else:
        blobs = sinks.blobs_of(closure, source.holder)
        sinks.fill(store.blobs, blobs, open_blob, cancelled)
    examined = examine(source.closure, store)
    register(examined, (Reference.parse(end.name), *request.tags), store)


def _metered(source: Source, events: EventSink, cancelled: Callable[[], bool]) -> sinks.Open:
    """Return how blobs are opened: progress is told while they are read."""

    @contextmanager
    def open_blob(descriptor: Descriptor) -> Iterator[BinaryIO]:
        meter = Meter(events, 1, descriptor)
        with source.holder.open(descriptor.digest) as file:
            yield cast("BinaryIO", _Metered(file, meter, cancelled))
        meter.finish()

    def opening(descriptor: Descriptor) -> AbstractContextManager[BinaryIO]:
        return open_blob(descriptor)

    return opening


class _Metered:
    """A stream that is counted while it is read."""

    def __init__(self, file: BinaryIO, meter: Meter, cancelled: Callable[[], bool]) -> None:
        self._file = file
        self._meter = meter
        self._cancelled = cancelled

    def read(self, size: int, /) -> bytes:
        if self._cancelled():
            raise Cancelled
        data = self._file.read(size)
        self._meter.add(len(data))
        return data
