"""Manifest lists put together by hand: what `manifest create`, `add`, `annotate` and `push` work on.

A list is a small document of the store. Its images stay where they are, in registries or in the store, until the list is
pushed: then all of them are where the list goes, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO

import msgspec

from builder.engine.catalogue import Catalogue
from builder.engine.ends import End, InRegistry, InStore, parse_end
from builder.engine.holders import Holder
from builder.engine.importing import is_image
from builder.engine.looked import Inspected, as_in_list, looked
from builder.engine.manifest_list import Change, Child, ManifestList, PlatformOf
from builder.engine.sources import Source, Whole, opened
from builder.errors import ImageError, LapstrakeError, UsageError
from builder.events import EventSink, Outcome, VertexDone, VertexFailed, VertexStarted
from builder.export.destination import never
from builder.oci.closure import Closure, Document, closure_of
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.document import parse_config
from builder.oci.manifest import Manifest
from builder.oci.mediatypes import CONFIGS
from builder.oci.reference import Reference
from builder.registry.client import RegistryClient
from builder.registry.pushing import push_closure
from builder.store.lists import Lists
from builder.store.root import Store

_MOST = 500


class ManifestLists:
    """The lists of a store. `client` reaches registries."""

    def __init__(
        self,
        store: Store,
        client: Callable[[], RegistryClient],
        cancelled: Callable[[], bool] = never,
    ) -> None:
        self._store = store
        self._client = client
        self._cancelled = cancelled
        self._files = Lists(store.root)

    def create(self, name: str, images: Sequence[str], *, amend: bool, every: bool) -> ManifestList:
        """Begin a list with images, each by a name or id of the store, else of its registry.

        With `amend` a list that is there gets them, too. Of an index that has several images all are taken with
        `every`, and otherwise none.

        Raises: ImageError: `image.exists`: there is such a list. Else as `add`.
        """
        reference = _reference(name)
        found = [child for image in images for child in self._children(image, every=every)]
        with self._files.changing():
            old = self._read(reference)
            if old is not None and not amend:
                raise ImageError(
                    f"there is a list `{reference.familiar()}` already",
                    code="image.exists",
                    hint="add to it by `--amend`, or remove it: `lapstrake manifest rm`",
                )
            return self._written(old or ManifestList(name=reference.canonical()), found)

    def add(self, name: str, image: str, change: Change, *, every: bool) -> ManifestList:
        """Add an image, or another one in the place of what is in the list under its name or digest.

        Raises: ImageError: `image.not-found`: there is no such list or image; it is not one image.
            RegistryError: the registry does not give it.
        """
        reference = _reference(name)
        self.get(name)
        found = [change.applied(child) for child in self._children(image, every=every)]
        with self._files.changing():
            return self._written(self._needed(reference), found)

    def annotate(self, name: str, image: str, change: Change) -> ManifestList:
        """Say something else of the images in a list that were named so, or that have this digest.

        Raises: ImageError: `image.not-found`: there is no such list, or no such image in it.
        """
        with self._files.changing():
            found = self._needed(_reference(name))
            meant = self._meant(found, image)
            children = [change.applied(each) if each in meant else each for each in found.children]
            return self._written(msgspec.structs.replace(found, children=()), children)

    def remove(self, name: str, image: str) -> ManifestList:
        """Take images out of a list; see `annotate`.

        Raises: ImageError: as `annotate`.
        """
        with self._files.changing():
            found = self._needed(_reference(name))
            meant = self._meant(found, image)
            children = [each for each in found.children if each not in meant]
            return self._written(msgspec.structs.replace(found, children=()), children)

    def get(self, name: str) -> ManifestList:
        """Return a list.

        Raises: ImageError: `image.not-found`: there is none.
        """
        return self._needed(_reference(name))

    def exists(self, name: str) -> bool:
        """Tell whether there is such a list."""
        return self._read(_reference(name)) is not None

    def forget(self, names: Sequence[str]) -> None:
        """Remove lists, all of them or none; their images stay.

        Raises: ImageError: `image.not-found`: one of them is not there.
        """
        references = [_reference(name) for name in names]
        with self._files.changing():
            for reference in references:
                if self._files.read(reference.canonical()) is None:
                    raise _no_list(reference)
            for reference in references:
                self._files.remove(reference.canonical())

    def inspected(self, image: str, *, within: str | None = None) -> Inspected:
        """Return a list that is put together here, or else what its registry, or another place, has under a name.

        With `within` it is an image in that list.

        Raises: ImageError: `image.not-found`. RegistryError: the registry does not give it.
        """
        if within is not None:
            meant = self._meant(self.get(within), image)[0]
            shown = self._looked(self._place(meant), meant.digest)
            return msgspec.structs.replace(shown, images=(as_in_list(shown, meant),))
        end = parse_end(image)
        if not isinstance(end, InStore) or image.startswith("store:"):
            return self._looked(end, None)
        if not self.exists(image):
            # As in Docker: what is in the store was looked at by `inspect`.
            return self._looked(InRegistry(Reference.parse(image)), None)
        found = self.get(image)
        images = [
            as_in_list(self._looked(self._place(each), each.digest), each)
            for each in found.children
        ]
        return Inspected(document=found.index, images=tuple(images))

    def _place(self, child: Child) -> End:
        end = child.end
        if isinstance(end, InRegistry):
            return InRegistry(end.reference.with_digest(child.digest))
        return end

    def _looked(self, end: End, digest: Digest | None) -> Inspected:
        with self._open(end) as source:
            return looked(source.closure, end, digest)

    def push(self, name: str, destination: str | None, events: EventSink) -> Descriptor:
        """Have a list and all its images in a registry, under its name or another one.

        Raises: ImageError: an image is gone, or is another one now. RegistryError: the registry refuses it. Cancelled.
        """
        found = self.get(name)
        reference = Reference.parse(destination.removeprefix("docker://") if destination else name)
        if not found.children:
            raise ImageError(
                f"the list `{name}` is empty", hint="`lapstrake manifest add` adds images"
            )
        events.emit(VertexStarted(id=1, name=f"push {reference.familiar()}"))
        try:
            pieces = self._gathered(found)
            repositories = {
                digest: source.repository.repository
                for digest, source in pieces.sources.items()
                if source.repository is not None
                and source.repository.registry == reference.registry
            }
            pushed = push_closure(
                self._client(),
                reference,
                pieces.closure,
                pieces.open,
                events,
                1,
                mount_from=repositories.get,
                cancelled=self._cancelled,
            )
        except LapstrakeError as error:
            events.emit(VertexFailed(id=1, diagnostic=error.diagnostic()))
            raise
        events.emit(VertexDone(id=1, outcome=Outcome.EXECUTED, note=str(pushed.digest)))
        return pushed

    def _gathered(self, found: ManifestList) -> _Pieces:
        """Find all images of a list again, where they were."""
        documents: dict[Digest, Document] = {}
        sources: dict[Digest, Source] = {}
        for child in found.children:
            with self._open(self._place(child)) as source:
                top = _document_in(source, child)

                def read(descriptor: Descriptor, source: Source = source) -> bytes:
                    return source.holder.read(descriptor.digest)

                closure = closure_of(top, read)
                for document in closure.documents:
                    documents.setdefault(document.descriptor().digest, document)
                for blob in closure.blobs(foreign=True):
                    sources.setdefault(blob.digest, source)
        return _Pieces(
            closure=Closure(documents=(*documents.values(), found.index)), sources=sources
        )

    def _open(self, end: End) -> AbstractContextManager[Source]:
        return opened(
            end, Whole.ALL, store=self._store, client=self._client, cancelled=self._cancelled
        )

    def _end(self, image: str) -> End:
        """Return where an image is that may be in a list: in the store if it is there, else in its registry."""
        end = parse_end(image)
        if isinstance(end, InRegistry):
            return end
        if not isinstance(end, InStore):
            raise UsageError(
                "images of a list are in the store or in registries",
                hint=f"bring it into the store first: `lapstrake copy {end} NAME`",
            )
        image = end.name
        try:
            image_id, name = Catalogue(self._store).find(image)
        except ImageError as error:
            if error.code != "image.not-found" or error.notes:
                raise
        else:
            return InStore(image_id if name is None else name.reference)
        return InRegistry(Reference.parse(image))

    def _children(self, image: str, *, every: bool) -> list[Child]:
        end = self._end(image)
        with self._open(end) as source:
            top = source.closure.top
            if isinstance(top, Manifest):
                return [_child(top, end, source.holder)]
            images = [each for each in source.closure.manifests if is_image(each)]
            if not images or (len(images) > 1 and not every):
                raise ImageError(
                    f"`{image}` is a list of {len(images)} images, not one",
                    notes=tuple([str(each.descriptor().digest) for each in images[:5]]),
                    hint="take all of them by `--all`, or name one by its digest",
                )
            return [_child(each, end, source.holder) for each in images]

    def _meant(self, found: ManifestList, image: str) -> list[Child]:
        canonical = image
        if not image.startswith(("sha256:", "sha512:")):
            canonical = Reference.parse(image).canonical()
        meant = [
            child
            for child in found.children
            if image in (str(child.digest), child.image) or child.image == canonical
        ]
        if not meant:
            raise ImageError(
                f"the list `{_familiar(found.name)}` has no image `{image[:200]}`",
                code="image.not-found",
                notes=tuple([f"it has: {child.image} {child.digest}" for child in found.children]),
            )
        return meant

    def _written(self, found: ManifestList, more: Sequence[Child]) -> ManifestList:
        """Write a list with more images, each in the place of what was in it under its name or digest."""
        digests = {child.digest for child in more}
        names = {child.image for child in more}
        kept = [
            child
            for child in found.children
            if child.digest not in digests and child.image not in names
        ]
        children = {child.digest: child for child in (*kept, *more)}
        if len(children) > _MOST:
            raise UsageError(f"a list holds {_MOST} images at most")
        result = msgspec.structs.replace(found, children=tuple(children.values()))
        self._files.write(result.name, msgspec.json.encode(result, enc_hook=str))
        return result

    def _read(self, reference: Reference) -> ManifestList | None:
        raw = self._files.read(reference.canonical())
        if raw is None:
            return None
        try:
            return msgspec.json.decode(raw, type=ManifestList, dec_hook=_digest)
        except msgspec.MsgspecError as error:
            raise ImageError(
                f"the list `{reference.familiar()}` is damaged",
                notes=(str(error)[:200],),
                hint=f"remove it: `lapstrake manifest rm {reference.familiar()}`",
            ) from error

    def _needed(self, reference: Reference) -> ManifestList:
        found = self._read(reference)
        if found is None:
            raise _no_list(reference)
        return found


class _Pieces(msgspec.Struct, frozen=True, kw_only=True):
    """The closure of a list, and where each of its blobs is."""

    closure: Closure
    sources: dict[Digest, Source]

    def open(self, digest: Digest) -> AbstractContextManager[BinaryIO]:
        return self.sources[digest].holder.open(digest)


def _document_in(source: Source, child: Child) -> Document:
    for document in source.closure.documents:
        if document.descriptor().digest == child.digest:
            return document
    raise ImageError(
        f"`{child.image}` is not the image any more that was put into the list",
        notes=(f"put into it: {child.digest}", f"now: {source.closure.top.descriptor().digest}"),
        hint="add it again: `lapstrake manifest add`",
    )


def _child(manifest: Manifest, end: End, holder: Holder) -> Child:
    descriptor = manifest.descriptor()
    platform = None
    if manifest.config.media_type in CONFIGS:
        config = parse_config(holder.read(manifest.config.digest))
        platform = PlatformOf(
            architecture=config.architecture,
            os=config.os,
            variant=config.variant,
            os_version=config.os_version,
            os_features=config.os_features,
        )
    image = end.reference.canonical() if isinstance(end, InRegistry) else str(end)
    return Child(
        media_type=manifest.media_type,
        digest=descriptor.digest,
        size=descriptor.size,
        platform=platform,
        image=image,
        stored=isinstance(end, InStore),
        artifact_type=manifest.artifact_type,
    )


def _no_list(reference: Reference) -> ImageError:
    return ImageError(
        f"there is no manifest list `{reference.familiar()}`",
        code="image.not-found",
        hint=f"make it: `lapstrake manifest create {reference.familiar()} IMAGE…`",
    )


def _reference(name: str) -> Reference:
    reference = Reference.parse(name)
    if reference.digest is not None:
        raise UsageError("a list has no digest before it is pushed", hint="name it by a tag")
    return reference


def _familiar(canonical: str) -> str:
    return Reference.parse(canonical).familiar()


def _digest(kind: type, value: object) -> object:
    return kind(value)
