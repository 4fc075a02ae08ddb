"""What takes the room in a store: every block of the disk once, by kind, image, step, project and cache mount.

    images            their layers and documents, those of several images once
    steps             layers that no image has, whether a record leads to them or none does any more
    cache mounts, downloads, checkouts, trees, contexts, builds
    rest              the index, and what is being written

An image shares with others what any other image has as well.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import msgspec

from builder.graph.keys import KeyPart
from builder.oci.reference import Reference
from builder.store.images import StoredImage, StoredPlatform
from builder.store.needs import Needs, chain_of, index_blobs, manifest_blobs
from builder.store.pruning import Kind
from builder.store.sizes import Sizes, measure
from builder.store.units import Unit, units

if TYPE_CHECKING:
    from builder.store.root import Store

_PARTS = msgspec.msgpack.Decoder(tuple[KeyPart, ...])

KINDS = {
    Kind.CACHE_MOUNTS: "cache mounts",
    Kind.DOWNLOADS: "downloads",
    Kind.CHECKOUTS: "checkouts",
    Kind.TREES: "trees",
    Kind.CONTEXTS: "contexts",
    Kind.BUILDS: "builds",
    Kind.TRACES: "traces",
}


class KindUsage(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of things; `reclaimable` are the bytes that `prune` would give back."""

    kind: str
    number: int
    bytes: int
    reclaimable: int


class ImageUsage(msgspec.Struct, frozen=True, kw_only=True):
    """An image: `shared` bytes belong to other images as well, `unique` ones to none."""

    id: str
    names: tuple[str, ...]
    created: float
    bytes: int
    shared: int
    unique: int


class StepUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The layer that a step gave, in how many `images` it is, and how many seconds it took."""

    layer: str
    step: str
    project: str
    used: float
    seconds: float
    bytes: int
    images: int


class ProjectUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of one context, each counted for the project that executed it last."""

    project: str
    steps: int
    seconds: float
    bytes: int


class MountUsage(msgspec.Struct, frozen=True, kw_only=True):
    """A cache mount by the directory that it has in the store, with the id that steps ask for."""

    name: str
    id: str
    used: float
    bytes: int


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """All of it; the bytes of `kinds` add up to `bytes`, those of all blocks below the store's directory."""

    root: str
    bytes: int
    kinds: tuple[KindUsage, ...]
    images: tuple[ImageUsage, ...]
    steps: tuple[StepUsage, ...]
    projects: tuple[ProjectUsage, ...]
    cache_mounts: tuple[MountUsage, ...]


def account(store: Store) -> Account:
    """Measure a store. What changes meanwhile is counted as it was, or as it is."""
    return _Accountant(store).account()


class _Accountant:
    """Measures one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sizes = Sizes(store)
        self._images = store.images.all()
        self._names: dict[str, list[str]] = defaultdict(list)
        self._platforms: dict[str, list[StoredPlatform]] = defaultdict(list)
        for each in store.images.platforms():
            self._platforms[each.image].append(each)
        for name in store.images.names():
            self._names[name.image].append(Reference.parse(name.reference).familiar())
        self._layers: dict[str, frozenset[str]] = {}
        self._documents: dict[str, frozenset[str]] = {}
        known = {str(digest) for (digest,) in store.db.rows("SELECT digest FROM blobs")}
        for image in self._images:
            self._layers[image.id] = frozenset(chain_of(store, image))
            self._documents[image.id] = self._documents_of(image, known)
        self._holders = Counter(each for found in self._layers.values() for each in found)
        self._readers = Counter(each for found in self._documents.values() for each in found)

    def account(self) -> Account:
        """Put it together."""
        store = self._store
        needs = Needs(store, store.images.named())
        pieces = self._sizes.measured(units(store, needs))
        images = tuple(self._image(image) for image in self._images)
        steps = self._steps()
        mounts = tuple(self._mounts(pieces))
        kinds = [
            self._image_kind(needs),
            self._step_kind(steps, pieces, needs),
            *(self._kind(pieces, kind, word) for kind, word in KINDS.items()),
        ]
        (total,) = measure(store, [store.root])
        rest = total - sum(each.bytes for each in kinds)
        loose = self._sizes.loose(needs.blobs | needs.layers | self._readers.keys())
        kinds.append(KindUsage(kind="rest", number=0, bytes=rest, reclaimable=loose))
        return Account(
            root=store.root,
            bytes=total,
            kinds=tuple(kinds),
            images=images,
            steps=steps,
            projects=_projects(steps),
            cache_mounts=mounts,
        )

    def _documents_of(self, image: StoredImage, known: set[str]) -> frozenset[str]:
        """Return the digests of an image's configuration and manifests, and of blobs that only these list."""
        found = {image.id}
        manifests = {each.manifest for each in self._platforms[image.id]} | {image.manifest}
        for digest in manifests:
            if digest is not None:
                found |= manifest_blobs(self._store, digest) - known
        for name in self._store.images.names(image.id):
            if name.digest is not None:
                found |= index_blobs(self._store, name.digest)
        return frozenset(found)

    def _image(self, image: StoredImage) -> ImageUsage:
        sizes = {each: self._sizes.layer(each) for each in self._layers[image.id]}
        sizes |= {each: self._sizes.blobs.get(each, 0) for each in self._documents[image.id]}
        shared = sum(
            count
            for each, count in sizes.items()
            if self._holders[each] > 1 or self._readers[each] > 1
        )
        total = sum(sizes.values())
        return ImageUsage(
            id=image.id,
            names=tuple(self._names.get(image.id, ())),
            created=image.created,
            bytes=total,
            shared=shared,
            unique=total - shared,
        )

    def _image_kind(self, needs: Needs) -> KindUsage:
        layers = {each: self._sizes.layer(each) for each in self._holders}
        documents = {each: self._sizes.blobs.get(each, 0) for each in self._readers}
        unneeded = sum(count for each, count in layers.items() if each not in needs.layers)
        unneeded += sum(count for each, count in documents.items() if each not in needs.blobs)
        return KindUsage(
            kind="images",
            number=len(self._images),
            bytes=sum(layers.values()) + sum(documents.values()),
            reclaimable=unneeded,
        )

    def _step_kind(
        self, steps: tuple[StepUsage, ...], pieces: Iterable[Unit], needs: Needs
    ) -> KindUsage:
        loose = self._sizes.layers().difference(self._holders)
        recorded = {each.layer for each in steps}
        unneeded = {each.name for each in pieces if each.kind is Kind.STEPS}
        unneeded |= loose - recorded - needs.layers
        return KindUsage(
            kind="steps",
            number=len(steps),
            bytes=sum(map(self._sizes.layer, loose)),
            reclaimable=sum(map(self._sizes.layer, loose & unneeded)),
        )

    def _steps(self) -> tuple[StepUsage, ...]:
        rows = self._store.db.rows(
            "SELECT diff_id, parts, project, used, seconds FROM records ORDER BY used"
        )
        found: dict[str, StepUsage] = {}
        for diff_id, parts, project, used, seconds in rows:
            layer = str(diff_id)
            found[layer] = StepUsage(
                layer=layer,
                step=_said(parts),
                project=str(project),
                used=cast("float", used),
                seconds=cast("float", seconds),
                bytes=self._sizes.layer(layer),
                images=self._holders[layer],
            )
        return tuple(sorted(found.values(), key=lambda each: (-each.bytes, each.layer)))

    def _kind(self, pieces: Iterable[Unit], kind: Kind, word: str) -> KindUsage:
        sizes = [each.bytes for each in pieces if each.kind is kind]
        total = sum(sizes)
        kept = kind in (Kind.BUILDS, Kind.TRACES, Kind.CONTEXTS)
        return KindUsage(
            kind=word, number=len(sizes), bytes=total, reclaimable=0 if kept else total
        )

    def _mounts(self, pieces: Iterable[Unit]) -> Iterable[MountUsage]:
        known = self._store.cache_mounts.all()
        for piece in pieces:
            if piece.kind is Kind.CACHE_MOUNTS:
                name = os.path.basename(piece.name)
                about = known.get(name)
                yield MountUsage(
                    name=name,
                    id="" if about is None else about.id,
                    used=piece.used,
                    bytes=piece.bytes,
                )


def _said(parts: object) -> str:
    """Return what a record's key says of its step."""
    try:
        decoded = _PARTS.decode(cast("bytes", parts))
    except (msgspec.MsgspecError, TypeError):
        return ""
    return next((part.shown for part in decoded if part.name == "operation"), "")


def _projects(steps: Iterable[StepUsage]) -> tuple[ProjectUsage, ...]:
    found: dict[str, list[StepUsage]] = defaultdict(list)
    for step in steps:
        found[step.project].append(step)
    projects = [
        ProjectUsage(
            project=project,
            steps=len(each),
            seconds=sum(step.seconds for step in each),
            bytes=sum(step.bytes for step in each),
        )
        for project, each in found.items()
    ]
    return tuple(sorted(projects, key=lambda each: (-each.bytes, each.project)))
