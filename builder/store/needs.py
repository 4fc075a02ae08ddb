"""What images need of a store: for themselves, and to be built again from the cache.

image ─► layers, documents ─► records that gave these layers ─► what they copied ─► the state of another
    stage that it was selected from ─► the records that gave this state, layer by layer ─► …
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable
from typing import cast

import msgspec

from builder.errors import LapstrakeError
from builder.graph.keys import CONTENTS, STATE, KeyPart, framed_digest, state_id
from builder.oci.closure import closure_of
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.document import parse_config
from builder.oci.manifest import Manifest, parse_manifest
from builder.oci.mediatypes import IN_TOTO
from builder.store.images import StoredImage
from builder.store.root import Store

_PARTS = msgspec.msgpack.Decoder(tuple[KeyPart, ...])

Chain = tuple[str, ...]
"""The diff ids of an image, bottom first."""


class _Record(msgspec.Struct, frozen=True):
    """A cache record; `contents` are digests of what was read of other states, `states` the ids of such as a whole."""

    key: str
    base: str
    diff_id: str
    created: float
    contents: tuple[str, ...]
    states: tuple[str, ...]


class Needs:
    """What the images with the ids in `kept` need, and what is in use (`held`, by digest); see the fields.

    An image whose documents are damaged needs what can still be read of it.
    """

    def __init__(
        self, store: Store, kept: frozenset[str], held: frozenset[str] = frozenset()
    ) -> None:
        self.blobs: set[str] = set(held)
        """Digests."""
        self.layers: set[str] = set(held)
        """Diff ids, and digests that are none."""
        self.records: set[tuple[str, str]] = set()
        """Keys with the states below."""
        self.selections: set[str] = set()
        """What remembered selections are made from, as the index calls it."""
        self._store = store
        for image in store.images.all():
            if image.id in kept:
                self.layers.update(self._documents(image))
        for each in store.images.platforms():
            if each.image in kept and each.manifest is not None:
                self.blobs.update(manifest_blobs(store, each.manifest))
        for name in store.images.names():
            if name.image in kept and name.digest is not None:
                self.blobs.update(index_blobs(store, name.digest))
        self._need_records(_History(store))
        for digest, diff_id in texts(store, "SELECT digest, diff_id FROM blobs"):
            if diff_id in self.layers:
                self.blobs.add(digest)

    def _documents(self, image: StoredImage) -> Chain:
        self.blobs.add(image.id)
        if image.manifest is not None:
            self.blobs.update(manifest_blobs(self._store, image.manifest))
        return chain_of(self._store, image)

    def _need_records(self, past: _History) -> None:
        layers, states = sorted(self.layers), list[str]()
        followed: set[str] = set()
        while layers or states:
            if layers:
                for record in past.giving.get(layers.pop(), ()):
                    self.records.add((record.key, record.base))
                    states += [
                        past.origins[each] for each in record.contents if each in past.origins
                    ]
                    states += record.states
                continue
            state = states.pop()
            if state in followed:
                continue
            followed.add(state)
            self.selections.add(selection_of(state))
            for record in past.making.get(state, ()):
                states.append(record.base)
                if record.diff_id not in self.layers:
                    self.layers.add(record.diff_id)
                    layers.append(record.diff_id)


class _History:
    """The cache records, as they hang together.

    The id of a state does not tell its layers, so states are followed upwards from those of the images.
    """

    def __init__(self, store: Store) -> None:
        self._content = {
            layer[0]: layer[1] for layer in texts(store, "SELECT diff_id, content_id FROM layers")
        }
        self._empty = {
            row[0] for row in texts(store, "SELECT diff_id FROM layers WHERE entries = 0")
        }
        self.giving: dict[str, list[_Record]] = defaultdict(list)
        """The records that gave a layer."""
        self.making: dict[str, list[_Record]] = defaultdict(list)
        """The records whose layer makes a state out of the one below it."""
        self.origins: dict[str, str] = {}
        """The state that contents were selected from, the newest of several."""
        above: dict[str, list[_Record]] = defaultdict(list)
        for record in _records(store):
            self.giving[record.diff_id].append(record)
            above[record.base].append(record)
        known = self._follow(above, [chain_of(store, image) for image in store.images.all()])
        self._find_origins(store, known)

    def _follow(self, above: dict[str, list[_Record]], chains: list[Chain]) -> set[str]:
        known: dict[str, tuple[str, ...]] = {"": ()}
        for chain in chains:
            contents: tuple[str, ...] = ()
            for diff_id in chain:
                contents = self._with(contents, diff_id)
                known[state_id(contents)] = contents
        waiting = list(known)
        while waiting:
            base = waiting.pop()
            for record in above.get(base, ()):
                contents = self._with(known[base], record.diff_id)
                state = state_id(contents)
                self.making[state].append(record)
                if state not in known:
                    known[state] = contents
                    waiting.append(state)
        return set(known)

    def _find_origins(self, store: Store, known: set[str]) -> None:
        states = {selection_of(state): state for state in known}
        for selected, contents in texts(store, "SELECT state, contents FROM selections"):
            state = states.get(selected)
            if state is None:
                continue
            other = self.origins.get(contents)
            if other is None or self._made_at(state) > self._made_at(other):
                self.origins[contents] = state

    def _made_at(self, state: str) -> float:
        return max((record.created for record in self.making.get(state, ())), default=0.0)

    def _with(self, contents: tuple[str, ...], diff_id: str) -> tuple[str, ...]:
        if diff_id in self._empty:
            return contents
        return (*contents, self._content.get(diff_id) or diff_id.partition(":")[2])


def selection_of(state: str) -> str:
    """Return what the index calls a selection from one state."""
    return framed_digest([state])


def chain_of(store: Store, image: StoredImage) -> Chain:
    """Return the diff ids of an image; none if its configuration cannot be read."""
    try:
        return parse_config(store.blobs.read(Digest(image.id))).diff_ids
    except LapstrakeError:
        return ()


def manifest_blobs(store: Store, digest: str) -> set[str]:
    """Return the digests of a manifest and of its layers; of itself alone if it cannot be read."""
    found = {digest}
    with contextlib.suppress(LapstrakeError):
        manifest = parse_manifest(store.blobs.read(Digest(digest)))
        # Two images may have different blobs of the same layer; the index knows one of them.
        if isinstance(manifest, Manifest):
            found.update(str(layer.digest) for layer in manifest.layers)
    return found


def index_blobs(store: Store, digest: str) -> set[str]:
    """Return the digests of an index and of what it leads to besides images; of itself alone if it is none, or gone.

    Images of an index are known by themselves: those that have gone are not kept by it.
    """
    found = {digest}
    with contextlib.suppress(LapstrakeError):
        if not store.blobs.contains(Digest(digest)):
            return found
        closure = closure_of(parse_manifest(store.blobs.read(Digest(digest))), _present(store))
        for document in closure.documents:
            if not isinstance(document, Manifest):
                found.add(str(document.descriptor().digest))
            elif document.artifact_type or is_attestation(document):
                found.add(str(document.descriptor().digest))
                found.add(str(document.config.digest))
                found.update(str(layer.digest) for layer in document.layers)
    return found


def _present(store: Store) -> Callable[[Descriptor], bytes | None]:
    def read(descriptor: Descriptor) -> bytes | None:
        if store.blobs.size(descriptor.digest) != descriptor.size:
            return None
        return store.blobs.read(descriptor.digest)

    return read


def is_attestation(manifest: Manifest) -> bool:
    """Tell whether a manifest holds statements about an image instead of an image."""
    return any(layer.media_type == IN_TOTO for layer in manifest.layers)


def texts(store: Store, statement: str) -> list[tuple[str, ...]]:
    """Return rows of which every column is text."""
    return cast("list[tuple[str, ...]]", store.db.rows(statement))


def _records(store: Store) -> list[_Record]:
    rows = store.db.rows("SELECT key, base, diff_id, created, parts FROM records")
    return [
        _Record(str(key), str(base), str(diff_id), cast("float", created), *_read(parts))
        for key, base, diff_id, created, parts in rows
    ]


def _read(parts: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the digests of contents and the ids of states among the parts of a key."""
    decoded = _PARTS.decode(cast("bytes", parts))
    return (
        tuple([part.digest for part in decoded if part.name == CONTENTS]),
        tuple([part.digest for part in decoded if part.name == STATE]),
    )
