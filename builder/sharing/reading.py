"""One shared cache, read: tables at once, bundles when one of their keys is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable

from builder.errors import LapstrakeError
from builder.graph.keys import CacheKey
from builder.oci.descriptor import MAX_DOCUMENT, Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import Manifest
from builder.sharing.place import Place
from builder.sharing.records import (
    BUNDLE,
    Bundle,
    Listed,
    RecordSet,
    SharedMount,
    SharedRecord,
    decoded,
    decoded_table,
    key_prefix,
    mount_prefix,
    prefixes,
    selection_prefix,
    set_of,
)

Trouble = Callable[[LapstrakeError], None]
"""Is told what could not be read; the reader goes on without it."""


class Reader:
    """Records of one place; callable from many threads. `trouble` hears of what is damaged there."""

    def __init__(self, place: Place, trouble: Trouble) -> None:
        self.place = place
        self.sets: list[RecordSet] = []
        self.lines: dict[str, Listed] = {}
        self.moved = 0
        """Bytes of documents that were read, manifests not counted where nobody tells their size."""
        self.inline = False
        """Whether there are records inside an image."""
        self._trouble = trouble
        self._lock = threading.Lock()
        self._where: dict[bytes, list[Descriptor]] = {}
        self._read: set[str] = set()
        self._records: dict[str, list[SharedRecord]] = {}
        self._selections: dict[tuple[str, str], set[str]] = {}
        self._mounts: dict[str, SharedMount] = {}

    def open(self) -> None:
        """Read what there is to know before a key is asked for.

        Raises: LapstrakeError: the place cannot be reached, or holds something else.
        """
        for manifest in self.place.sets():
            self._add(manifest)

    @property
    def count(self) -> int:
        """How many keys there are, records and selections, as far as their first bytes tell."""
        return len(self._where)

    def _add(self, manifest: Manifest) -> None:
        found = set_of(manifest)
        self.moved += len(manifest.raw)
        if found is None:
            self._add_inline(manifest)
            return
        try:
            lines = decoded_table(self._document(found.table))
        except LapstrakeError as error:
            self._trouble(error)
            return
        self.sets.append(found)
        for line in lines:
            if line.digest in self.lines:
                continue
            self.lines[line.digest] = line
            bundle = Descriptor(media_type=BUNDLE, digest=Digest(line.digest), size=line.size)
            for prefix in prefixes(line):
                self._where.setdefault(prefix, []).append(bundle)

    def _document(self, descriptor: Descriptor) -> bytes:
        self.moved += min(descriptor.size, MAX_DOCUMENT)
        return self.place.document(descriptor)

    def records(self, key: CacheKey) -> tuple[SharedRecord, ...]:
        """Return the records of a key; those of other keys are not looked at."""
        with self._lock:
            self._have(key_prefix(key.digest))
            return tuple(self._records.get(key.digest, ()))

    def selection(self, state: str, request: str) -> str | None:
        """Return what is selected in a state, None where nobody knows or several know differently."""
        with self._lock:
            self._have(selection_prefix(state, request))
            found = self._selections.get((state, request), set())
            return next(iter(found)) if len(found) == 1 else None

    def mount(self, name: str) -> SharedMount | None:
        """Return what somebody has put last into a cache mount."""
        with self._lock:
            self._have(mount_prefix(name))
            return self._mounts.get(name)

    def _have(self, prefix: bytes) -> None:
        for descriptor in self._where.get(prefix, ()):
            if str(descriptor.digest) in self._read:
                continue
            self._read.add(str(descriptor.digest))
            try:
                bundle = decoded(self._document(descriptor))
            except LapstrakeError as error:
                self.lines.pop(str(descriptor.digest), None)
                self._trouble(error)
                continue
            self._take(bundle)

    def _add_inline(self, manifest: Manifest) -> None:
        from builder.sharing.inline import records_in

        try:
            bundle = records_in(manifest)
        except LapstrakeError as error:
            self._trouble(error)
            return
        if bundle is not None:
            self.inline = True
            self._take(bundle)

    def _take(self, bundle: Bundle) -> None:
        for record in bundle.records:
            same = self._records.setdefault(record.key.digest, [])
            # Each image of several platforms speaks of all layers, but knows where its own are.
            same[:] = [each for each in same if not _is_poorer(each, record)]
            if not any(_is_poorer(record, each) for each in same):
                same.append(record)
        for each in bundle.selections:
            self._selections.setdefault((each.state, each.request), set()).add(each.contents)
        for mount in bundle.mounts:
            known = self._mounts.get(mount.name)
            if known is None or known.created < mount.created:
                self._mounts[mount.name] = mount


def _is_poorer(one: SharedRecord, other: SharedRecord) -> bool:
    """Tell whether a record speaks of the same layer as another, and only that says where it is."""
    same = (one.base, one.layer.diff_id) == (other.base, other.layer.diff_id)
    return same and one.layer.blob is None and other.layer.blob is not None
