"""The shared caches of one build: opened before it, given to while it goes on and at its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from builder.diagnostics import Diagnostic, Severity
from builder.errors import Cancelled, LapstrakeError
from builder.events import EventSink, Outcome, VertexDone, VertexFailed, VertexStarted, Warned
from builder.oci.mediatypes import Compression
from builder.oci.reference import Reference
from builder.sharing.directory import DirectoryPlace
from builder.sharing.giving import Given, Giver, Scope, inline_bundle
from builder.sharing.mounts import Mounts, is_wanted
from builder.sharing.place import Place
from builder.sharing.reading import Reader
from builder.sharing.records import Bundle
from builder.sharing.taking import SharedCaches
from builder.solve.given import SharedCache
from builder.store.cache import Journal
from builder.store.root import Store

if TYPE_CHECKING:
    from builder.registry.client import RegistryClient

_IDS = 90_000
"""Where the ids of the vertices that caches are shown as begin: behind those of any graph."""


class Sharing:
    """What a build takes from shared caches and adds to them; a context manager around the build."""

    def __init__(
        self,
        sources: Sequence[SharedCache],
        targets: Sequence[SharedCache],
        *,
        store: Store,
        client: Callable[[], RegistryClient],
        events: EventSink,
        cancelled: Callable[[], bool],
    ) -> None:
        self._targets = [each for each in targets if each.type != "inline"]
        self._is_inline = len(self._targets) < len(targets)
        self.inline: Bundle | None = None
        """What goes into the image, once that is known."""
        self._store = store
        self._client = client
        self._events = events
        self._cancelled = cancelled
        self._next_id = _IDS
        self._started = time.monotonic()
        self.warnings: list[Diagnostic] = []
        self._mounts: Mounts | None = None
        self.taken = self._open(sources)
        self._givers: list[tuple[SharedCache, Giver]] = []
        self._ahead: list[Ahead] = []
        self._given = False

    def _open(self, sources: Sequence[SharedCache]) -> SharedCaches | None:
        """Open the caches to read.

        Raises: ImageError: something else is there. LapstrakeError: one that is required cannot be read.
        """
        opened = [(self._reader(each), each.mounts) for each in sources]
        found = [(reader, mounts) for reader, mounts in opened if reader is not None]
        shares_mounts = any(each.mounts for each in (*sources, *self._targets))
        if shares_mounts:
            self._mounts = Mounts(self._store, found, self._told_damage)
            self._store.mount_exchange = self._mounts
        readers = [reader for reader, _ in found]
        if not readers:
            return None
        taken = SharedCaches(
            readers, self._store, lost=self._told_damage, cancelled=self._cancelled
        )
        self._store.snapshots.elsewhere = taken.bring
        return taken

    def _reader(self, source: SharedCache) -> Reader | None:
        place = self._place(source, may_be_image=True)
        number = self._begin(f"importing the cache {place.name}")
        reader = Reader(place, lambda error: self._told_damage(place.name, error))
        try:
            reader.open()
        except LapstrakeError as error:
            if source.required or isinstance(error, Cancelled) or error.code == "image.invalid":
                self._fail(number, error)
                raise
            self._warn(f"the cache `{place.name}` cannot be read, and is not used", error)
            self._end(number, "not available")
            return None
        note = f"{reader.count} keys" if reader.sets else "nothing there yet"
        if reader.inline:
            note = "records inside an image"
        self._end(number, note)
        return reader

    def _place(self, cache: SharedCache, *, may_be_image: bool = False) -> Place:
        if cache.type == "local":
            return DirectoryPlace(cache.where)
        from builder.sharing.repository import RepositoryPlace

        reference = Reference.parse(cache.where)
        return RepositoryPlace(
            self._client(), reference, self._cancelled, may_be_image=may_be_image
        )

    def __enter__(self) -> Sharing:
        if not self._targets and not self._is_inline:
            return self
        journal = _Listened()
        self._store.cache.journal = journal
        for target in self._targets:
            giver = self._giver(target)
            if giver is None:
                continue
            self._givers.append((target, giver))
            if target.every_step:
                ahead = Ahead(giver, Compression(target.compression), self._store, self.taken)
                journal.listeners.append(ahead.note)
                self._ahead.append(ahead)
        return self

    def _giver(self, target: SharedCache) -> Giver | None:
        place = self._place(target)
        reader = Reader(place, lambda error: self._told_damage(place.name, error))
        try:
            reader.open()
        except LapstrakeError as error:
            if target.required or isinstance(error, Cancelled) or error.code == "image.invalid":
                raise
            self._warn(f"the cache `{place.name}` cannot be added to", error)
            return None
        return Giver(self._store, reader, self.taken)

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        try:
            if isinstance(error, LapstrakeError) and not self._given and not _is_interrupt(error):
                self._given = True
                self._give_finished()
        finally:
            for ahead in self._ahead:
                ahead.stop()
            self._store.cache.journal = None
            self._store.snapshots.elsewhere = None
            self._store.mount_exchange = None

    def _give_finished(self) -> None:
        """Give the steps of a build that failed; what goes wrong with that is not what it ends with."""
        for target, giver in self._givers:
            if target.every_step:
                self._give(msgspec.structs.replace(target, required=False), giver, ())

    def give(self, result: tuple[str, ...]) -> None:
        """Give what the build did; `result` are the diff ids of the image.

        Raises: LapstrakeError: a cache that is required cannot be added to. Cancelled.
        """
        self._given = True
        for target, giver in self._givers:
            self._give(target, giver, result)
        journal = self._store.cache.journal
        if self._is_inline and journal is not None:
            self.inline = inline_bundle(journal, self._store, self.taken, frozenset(result))

    def _give(self, target: SharedCache, giver: Giver, result: tuple[str, ...]) -> None:
        number = self._begin(f"exporting the cache to {giver.name}")
        journal = self._store.cache.journal
        assert journal is not None
        scope = Scope(
            max=target.every_step,
            result=frozenset(result),
            compression=Compression(target.compression),
        )
        for ahead in self._ahead:
            ahead.stop()
        try:
            self._give_mounts(target, giver)
            given = giver.give(journal, scope)
        except LapstrakeError as error:
            if target.required or isinstance(error, Cancelled):
                self._fail(number, error)
                raise
            self._warn(f"the cache `{giver.name}` could not be added to", error)
            self._end(number, "not exported")
            return
        self._end(number, _noted(given))

    def _give_mounts(self, target: SharedCache, giver: Giver) -> None:
        """Have the cache mounts there that steps used; one that cannot be shared keeps nothing else from it."""
        used = {} if self._mounts is None else self._mounts.in_use
        for name, cache_id in used.items():
            if not is_wanted(cache_id, target.mounts):
                continue
            try:
                giver.put_mount(name, target.mount_limit)
            except LapstrakeError as error:
                if target.required or isinstance(error, Cancelled):
                    raise
                self._warn(f"the cache mount `{cache_id}` is not shared", error)

    def _begin(self, name: str) -> int:
        number, self._next_id = self._next_id, self._next_id + 1
        self._events.emit(VertexStarted(at=self._at(), id=number, name=name))
        return number

    def _end(self, number: int, note: str) -> None:
        self._events.emit(VertexDone(at=self._at(), id=number, outcome=Outcome.EXECUTED, note=note))

    def _fail(self, number: int, error: LapstrakeError) -> None:
        self._events.emit(VertexFailed(at=self._at(), id=number, diagnostic=error.diagnostic()))

    def _at(self) -> float:
        return time.monotonic() - self._started

    def _told_damage(self, name: str, error: LapstrakeError) -> None:
        self._warn(f"a part of the cache `{name}` cannot be used, and is made again", error)

    def _warn(self, message: str, error: LapstrakeError) -> None:
        warning = Diagnostic(
            severity=Severity.WARNING,
            code="build.cache-unusable",
            message=message,
            notes=(error.message, *error.notes),
            hint=error.hint,
        )
        self.warnings.append(warning)
        self._events.emit(Warned(diagnostic=warning))


class _Listened(Journal):
    """A journal that says at once what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.listeners: list[Callable[[str, str], None]] = []

    def note(self, key: str, base: str) -> None:
        super().note(key, base)
        for listener in self.listeners:
            listener(key, base)


class Ahead:
    """Sends layers while the build goes on; what goes wrong is tried again, and told, at the end."""

    def __init__(
        self, giver: Giver, compression: Compression, store: Store, taken: SharedCaches | None
    ) -> None:
        self._giver = giver
        self._compression = compression
        self._store = store
        self._taken = taken
        self._waiting: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def note(self, key: str, base: str) -> None:
        """Take a record whose layer is wanted; callable from many threads."""
        self._waiting.put((key, base))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="cache-export", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Let the layer that is under way come to its end, and send no more."""
        self._stopping = True
        self._waiting.put(None)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (noted := self._waiting.get()) is not None and not self._stopping:
            try:
                self._giver.put_ahead(*noted, self._compression)
            except (LapstrakeError, OSError):
                return


def _is_interrupt(error: LapstrakeError) -> bool:
    return isinstance(error, Cancelled)


def _noted(given: Given) -> str:
    if not given.records and not given.selections and not given.mounts:
        return "nothing new"
    mounts = f", {given.mounts} cache mounts" if given.mounts else ""
    return f"{given.records} records, {given.layers} layers{mounts}, {given.bytes} bytes sent"
