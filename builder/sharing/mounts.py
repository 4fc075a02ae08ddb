"""Cache mounts as they are shared: a tree in order, cut into packs, of which only those move that are not there.

A pack is the tar of some entries, compressed by zstd, and called by what is in it: names, owners, times, digests. Where one ends is decided by
names and sizes around it alone, so that a change in one place leaves the packs of others as they are.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import BinaryIO
from zlib import crc32

import msgspec

from builder.errors import Cancelled, LapstrakeError, StoreError
from builder.layer.compress import Compression, decompressor
from builder.layer.entries import read_entries, write_entries
from builder.layer.entry import Entry
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.sharing.place import Parcel, Place
from builder.sharing.reading import Reader
from builder.sharing.records import Pack, SharedMount
from builder.store.cache_mounts import ROOM
from builder.store.forms import unique_name
from builder.store.root import Store

PACK = "application/vnd.lapstrake.cache.mount.v1.tar+zstd"
_LEAST = 256 << 10
_MOST = 4 << 20
_ONE_IN = 16
_BLOCK = 512
_END = bytes(1024)
_PIECE = 1 << 20
_ENCODER = msgspec.msgpack.Encoder()

Told = Callable[[str, LapstrakeError], None]


class Mounts:
    """The cache mounts of one build, as a `MountExchange`: filled from `readers`, those of them whose ids are wanted.

    `lost` hears the name of a place and why a mount could not be had from it.
    """

    def __init__(
        self, store: Store, readers: Sequence[tuple[Reader, tuple[str, ...]]], lost: Told
    ) -> None:
        self._store = store
        self._readers = readers
        self._lost = lost
        self.in_use: dict[str, str] = {}
        """Ids of the caches that steps used, by name."""
        self.filled = 0

    def used(self, name: str, cache_id: str) -> None:
        """Hear that a step uses a cache."""
        self.in_use[name] = cache_id

    def fill(self, name: str, cache_id: str, path: str) -> bool:
        """Fill an empty cache from the first place that has it whole."""
        for reader, ids in self._readers:
            mount = reader.mount(name) if is_wanted(cache_id, ids) else None
            if mount is None:
                continue
            try:
                unpack(mount, reader.place, path, self._store)
            except Cancelled:
                raise
            except LapstrakeError as error:
                self._lost(reader.place.name, error)
                return False
            self.filled += 1
            return True
        return False


def is_wanted(cache_id: str, ids: Sequence[str]) -> bool:
    """Tell whether a cache is among those that were named; `all` names every one."""
    return cache_id in ids or "all" in ids


def packed(
    name: str, known: SharedMount | None, place: Place, store: Store, *, limit: int
) -> tuple[SharedMount, list[Descriptor], int] | None:
    """Have the packs of a cache mount at a place; None where nothing has changed since `known`.

    Returns: the mount, what points at its packs, and the bytes that were moved.
    Raises: StoreError: it is in use, or larger than `limit` bytes. LapstrakeError: it cannot be packed or sent.
    """
    scratch = f"{store.snapshots.scratch()}/{unique_name()}"
    entries_path = f"{scratch}.entries"
    with _held(name, store) as root:
        store.jobs.call(
            "builder.layer.jobs:commit_upper", {"upper": root, "entries_path": entries_path}
        )
        try:
            size = sum(entry.size for entry in read_entries(entries_path))
            if size > limit:
                raise StoreError(
                    f"it holds {size} bytes, more than {limit}",
                    code="store.no-space",
                    hint="allow more with max-mount-size=…",
                )
            there = {} if known is None else {pack.id: pack for pack in known.packs}
            packs: list[Pack] = []
            moved = 0
            for entries in cut(read_entries(entries_path)):
                pack = there.get(pack_id(entries))
                if pack is None:
                    pack, sent = _put(entries, root, place, store, scratch)
                    moved += sent
                packs.append(pack)
        finally:
            os.unlink(entries_path)
    mount = SharedMount(name=name, created=time.time(), packs=tuple(packs))
    if known is not None and known.packs == mount.packs:
        return None
    return mount, [_descriptor(pack) for pack in packs], moved


@contextmanager
def _held(name: str, store: Store) -> Iterator[str]:
    """Give the directory of a cache mount that nobody changes meanwhile."""
    place = f"{store.root}/{ROOM}/{name}"
    try:
        lock = os.open(f"{place}/lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError("it is not here any more") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield f"{place}/fs"
    except BlockingIOError as error:
        raise StoreError("another build is using it", code="store.busy") from error
    finally:
        os.close(lock)


def cut(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """Divide entries, in order, into packs."""
    pack: list[Entry] = []
    size = 0
    for entry in entries:
        pack.append(entry)
        size += _BLOCK + entry.size
        if size >= _MOST or (size >= _LEAST and crc32(entry.path) % _ONE_IN == 0):
            yield pack
            pack, size = [], 0
    if pack:
        yield pack


def pack_id(entries: Sequence[Entry]) -> str:
    """Return what a pack is called, from what is in it."""
    from hashlib import sha256

    return sha256(_ENCODER.encode(entries)).hexdigest()


def _put(
    entries: list[Entry], root: str, place: Place, store: Store, scratch: str
) -> tuple[Pack, int]:
    write_entries(f"{scratch}.pack", entries)
    path = f"{scratch}.tar"
    try:
        found = store.jobs.call(
            "builder.layer.jobs:pack_layer",
            {
                "entries_path": f"{scratch}.pack",
                "root": root,
                "path": path,
                "compression": Compression.ZSTD.value,
            },
        )
        made = msgspec.convert(found, _Packed)
        pack = Pack(pack_id(entries), made.digest, made.compressed_size)
        sent = place.put((Parcel(descriptor=_descriptor(pack), open=partial(_opened, path)),))
    finally:
        for left in (f"{scratch}.pack", path):
            with suppress(FileNotFoundError):
                os.unlink(left)
    return pack, sent


def _opened(path: str) -> BinaryIO:
    return open(path, "rb")


class _Packed(msgspec.Struct, frozen=True):
    digest: str
    compressed_size: int


def _descriptor(pack: Pack) -> Descriptor:
    return Descriptor(media_type=PACK, digest=Digest(pack.digest), size=pack.size)


def unpack(mount: SharedMount, place: Place, path: str, store: Store) -> None:
    """Unpack a cache mount into an empty directory, a host path, as one tar of all its packs.

    Raises: LapstrakeError: a pack cannot be had or is damaged; the directory holds a part of it.
    """
    read, write = os.pipe()
    feeder = _Feeder(mount, place, store, write)
    feeder.start()
    entries = f"{store.snapshots.scratch()}/{unique_name()}.entries"
    try:
        arguments = {"root": path, "entries_path": entries, "compression": "none"}
        store.jobs.call("builder.layer.jobs:apply_layer", arguments, fds=(read,))
    finally:
        os.close(read)
        feeder.join()
        with suppress(FileNotFoundError):
            os.unlink(entries)
        # A feeder that failed has cut the stream off: its reason is the better one.
        if feeder.error is not None:
            raise feeder.error


class _Feeder(threading.Thread):
    """Writes the tar of a mount into a pipe, each pack verified before any of it."""

    def __init__(self, mount: SharedMount, place: Place, store: Store, target: int) -> None:
        super().__init__(name="cache-mount", daemon=True)
        self.error: LapstrakeError | None = None
        self._mount = mount
        self._place = place
        self._store = store
        self._target = target

    def run(self) -> None:
        try:
            with open(self._target, "wb") as pipe:
                for pack in self._mount.packs:
                    pipe.writelines(self._pieces(pack))
                pipe.write(_END)
        except LapstrakeError as error:
            self.error = error
        except OSError:
            pass  # the reader has given up, and says why

    def _pieces(self, pack: Pack) -> Iterator[bytes]:
        """Yield the tar of a pack but for its end mark."""
        descriptor = _descriptor(pack)
        known = self._store.blobs.contains(descriptor.digest)
        self._store.blobs.ingest(
            self._place.chunks(descriptor),
            media_type=PACK,
            expected=descriptor.digest,
            size=pack.size,
        )
        try:
            with self._store.blobs.open(descriptor.digest) as blob:
                stream = decompressor(blob, Compression.ZSTD)
                held = b""
                while data := stream.read(_PIECE):
                    held += data
                    yield held[: -len(_END)]
                    held = held[-len(_END) :]
                if held != _END:
                    raise StoreError("a pack of a cache mount is cut off")
        finally:
            if not known:
                self._store.blobs.remove(descriptor.digest)
