"""What becomes of the images of a build: files, names in the store, registries; one output after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import msgspec

from builder.diagnostics import Diagnostic
from builder.engine.catalogue import Catalogue, OfPlatform
from builder.engine.destinations import Asked
from builder.engine.requests import OutputResult, Provenance
from builder.errors import LapstrakeError
from builder.events import (
    EventSink,
    Outcome,
    VertexDone,
    VertexFailed,
    VertexStarted,
    Warned,
)
from builder.export.manifest import Packed, Statement
from builder.export.requested import Archive, Directory, InStore, Layout, Nothing
from builder.oci.closure import Closure
from builder.oci.descriptor import Descriptor
from builder.oci.reference import Reference
from builder.store.root import Store

if TYPE_CHECKING:
    from builder.engine.built import Built
    from builder.engine.registries import Registries
    from builder.sharing.records import Bundle

_IDS = 100_000
"""Where the ids of the vertices of deliveries begin: behind those of any graph."""


def packed_images(built: Built, store: Store) -> tuple[Packed, ...]:
    """Return what a build made as images that are to leave the store, with what was claimed of them last."""
    from builder.engine.claiming import claimed

    return tuple(
        [
            claimed(
                Packed(
                    id=each.image.id,
                    config=each.image.config,
                    state=each.image.state,
                    inherited=each.inherited,
                    epoch=each.epoch,
                ),
                store,
            )
            for each in built.images
        ]
    )


class Delivery:
    """The images of one build, one of each platform, on their way; `names` are those of the build.

    `claims` is what this build claims of them, if it does.
    """

    def __init__(
        self,
        images: Sequence[Packed],
        names: tuple[Reference, ...],
        store: Store,
        *,
        registries: Callable[[], Registries],
        events: EventSink,
        records: Bundle | None = None,
        claims: Provenance | None = None,
        cancelled: Callable[[], bool],
    ) -> None:
        self._images = tuple(images)
        self._names = names
        self._store = store
        self._registries = registries
        self._events = events
        self._records = records
        self._claims = claims
        self._cancelled = cancelled
        self._catalogue = Catalogue(store)
        self._shown = _IDS
        self.warnings: tuple[Diagnostic, ...] = ()
        """What is to be said of what was written."""

    def deliver(self, outputs: Sequence[Asked]) -> tuple[OutputResult, ...]:
        """Deliver each output whole, in their order; at the first that fails it ends.

        Raises: LapstrakeError: with notes about the others.
        """
        results: list[OutputResult] = []
        for number, each in enumerate(outputs):
            try:
                results.append(self._deliver(each))
            except LapstrakeError as error:
                done = [f"`{other.words}` is done" for other in outputs[:number]]
                left = [f"`{other.words}` was not begun" for other in outputs[number + 1 :]]
                error.notes = (*error.notes, *done, *left)
                raise
        return tuple(results)

    def _deliver(self, each: Asked) -> OutputResult:
        what = each.requested
        if isinstance(what, Nothing):
            return OutputResult(type=each.output.type)
        if isinstance(what, InStore):
            return self._in_store(each.output.type, what)
        from builder.export.outputs import write

        images = self._images
        if isinstance(what, Layout) and self._records is not None:
            records = self._records
            images = tuple([_with_records(each, records) for each in images])
        if isinstance(what, Directory | Archive):
            images = tuple([self._beside_files(each) for each in images])
        written = write(what, images, self._names, self._store, cancelled=self._cancelled)
        if written.warning is not None:
            self._events.emit(Warned(diagnostic=written.warning))
            self.warnings = (*self.warnings, written.warning)
        return OutputResult(
            type=each.output.type,
            dest=each.output.dest,
            names=tuple([name.canonical() for name in written.names]),
            descriptor=written.descriptor,
            config=None if written.config is None else str(written.config),
        )

    def _beside_files(self, image: Packed) -> Packed:
        """Return an image with the statements of this build; those of an earlier one are no files of this one."""
        statements: tuple[Statement, ...] = ()
        if self._claims is not None:
            name = self._claims.filename
            statements = tuple(
                [msgspec.structs.replace(each, filename=name) for each in image.statements]
            )
        return msgspec.structs.replace(image, statements=statements)

    def _in_store(self, kind: str, what: InStore) -> OutputResult:
        names = self._names if what.names is None else what.names
        images = self._images
        form = what.form
        if not form.is_default:
            from builder.export.outputs import shaped

            images = shaped(images, msgspec.structs.replace(form, inline=True), self._store)
        closure: Closure | None = None
        top: Descriptor | None = None
        if what.push or what.dangling or what.canonical or not form.is_default:
            closure, top = self._packaged(images, what, names)
        if what.by_digest and what.names is not None and top is not None:
            # It gets no tag there, so none here either.
            names = tuple([each.with_digest(top.digest) for each in names])
        if what.dangling and top is not None and not (what.fallback and names):
            names = (*names, Reference.parse(what.dangling).with_digest(top.digest))
        if what.store:
            # What is only pushed is known by a digest when that has been done.
            known = what.dangling or what.canonical or what.by_digest or not form.is_default
            self._name(images, names, what, closure if known else None, top)
        if what.unpack:
            for image in images:
                self._store.snapshots.directories(image.state)
        if what.push and closure is not None:
            self._push(closure, names, what)
            self._attach(images, closure, names, what)
        return OutputResult(
            type=kind,
            names=tuple([name.canonical() for name in names]),
            descriptor=top,
            config=images[0].id if len(images) == 1 else None,
            pushed=what.push,
        )

    def _packaged(
        self, images: Sequence[Packed], what: InStore, names: tuple[Reference, ...]
    ) -> tuple[Closure, Descriptor]:
        from builder.export.package import package, top_descriptor

        if self._records is not None and what.push:
            images = [_with_records(image, self._records) for image in images]
        claims = any(image.statements for image in images)
        wanted = what.form.wanted(names, claims=claims)
        number, self._shown = self._shown, self._shown + 1
        self._events.emit(VertexStarted(id=number, name="export layers"))
        try:
            with self._ahead(what, names, number) as ready:
                closure = package(images, msgspec.structs.replace(wanted, ready=ready), self._store)
        except LapstrakeError as error:
            self._events.emit(VertexFailed(id=number, diagnostic=error.diagnostic()))
            raise
        top = top_descriptor(closure, images, wanted)
        self._events.emit(
            VertexDone(id=number, outcome=Outcome.EXECUTED, note=f"manifest {top.digest}")
        )
        return closure, top

    def _ahead(
        self, what: InStore, names: Sequence[Reference], number: int
    ) -> AbstractContextManager[Callable[[Descriptor], None] | None]:
        """Send layers to the first of the repositories while others are being compressed."""
        if not what.push or not names:
            return nullcontext()
        registries = self._registries()
        if what.insecure:
            registries = registries.insecure(names[0].registry)
        return registries.sending(names[0], self._events, number)

    def _name(
        self,
        images: Sequence[Packed],
        names: Sequence[Reference],
        what: InStore,
        closure: Closure | None,
        top: Descriptor | None,
    ) -> None:
        """Let names stand for the images here, with the documents that were made of them if there are any."""
        rows = []
        for number, image in enumerate(images):
            if self._store.images.get(image.id) is None:
                self._catalogue.register(image.id, image.config, manifest=None)
            manifest = None if closure is None else closure.manifests[number]
            digest = None if manifest is None else str(manifest.descriptor().digest)
            rows.append(OfPlatform(platform=image.platform, image=image.id, manifest=digest))
        names = list(names)
        if what.canonical and top is not None:
            names += [each.with_digest(top.digest) for each in names if each.digest is None]
        for name in names:
            digest = None if top is None or closure is None else str(top.digest)
            if len(rows) == 1 and rows[0].manifest is None:
                self._catalogue.name(name, rows[0].image, digest)
            else:
                self._catalogue.name_platforms(name, rows, digest)

    def _push(self, closure: Closure, names: Sequence[Reference], what: InStore) -> None:
        for repository in _by_repository(names):
            registries = self._registries()
            if what.insecure:
                registries = registries.insecure(repository[0].registry)
            number, self._shown = self._shown, self._shown + 1
            registries.push(
                repository,
                lambda _: closure,
                self._events,
                number,
                by_digest=what.by_digest,
            )

    def _attach(
        self,
        images: Sequence[Packed],
        closure: Closure,
        names: Sequence[Reference],
        what: InStore,
    ) -> None:
        """Publish what is claimed of images beside them, in each of the repositories."""
        if not any(image.referrers for image in images):
            return
        from builder.export.package import referrer

        for repository in _by_repository(names):
            registries = self._registries()
            if what.insecure:
                registries = registries.insecure(repository[0].registry)
            for image, manifest in zip(images, closure.manifests, strict=True):
                made = referrer(image, manifest, repository, self._store)
                if made is not None:
                    number, self._shown = self._shown, self._shown + 1
                    registries.attach(repository[0], made, self._events, number)


def _with_records(image: Packed, records: Bundle) -> Packed:
    from builder.sharing.inline import annotation_of

    # What was made of the layers since is told by their diff ids, which the records then do not know.
    return msgspec.structs.replace(
        image, records=lambda diff_ids, layers: annotation_of(records, layers, diff_ids)
    )


def _by_repository(names: Sequence[Reference]) -> Iterator[tuple[Reference, ...]]:
    """Yield the names of each repository together, in the order of their first ones."""
    found: dict[str, list[Reference]] = {}
    for name in names:
        found.setdefault(name.name, []).append(name)
    for each in found.values():
        yield tuple(each)
