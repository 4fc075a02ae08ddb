"""The store: one directory that holds everything, and the doors to its parts.

    ROOT/store.json        format version and id map
    ROOT/lock              flocked: shared by whoever uses the store, alone by whoever sweeps or mends it
    ROOT/leases            what running commands use, see `leases`
    ROOT/reserve           room for the index on a full disk
    ROOT/index.db          names, images, layers, forms, records
    ROOT/blobs, oci-layout, layers, entries, contexts, active, scratch, tmp, trees
    ROOT/downloads         files and repositories that builds fetched, see `builder.source`
    ROOT/builds            what every build leaves, see `builds`
    ROOT/mounts            directories that outlive steps, see `cache_mounts`

What a killed process left in `active`, `scratch` and `tmp` is swept by the next one that is alone here. Whoever
makes layers has something in `scratch` meanwhile; what they left in `layers`, `entries` and `contexts` without
recording it is swept along.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from builder.errors import LapstrakeError, StoreError
from builder.graph.keys import framed_digest
from builder.store.blobs import BlobStore
from builder.store.builds import Builds
from builder.store.cache import CacheIndex
from builder.store.db import Database
from builder.store.images import ImageIndex
from builder.store.jobs import Jobs
from builder.store.layers import LayerIndex
from builder.store.leases import Leases
from builder.store.ours import HEADER, ROOMS, foreign, unused
from builder.store.poor import refuse_poor
from builder.store.reserve import Reserve
from builder.store.snapshots import Snapshots

FORMAT = 1
_KEY = 32
_SWEPT = ("active", "scratch")

if TYPE_CHECKING:
    from builder.store.cache_mounts import CacheMounts, MountExchange
    from builder.store.homes import Homes
    from builder.store.inflight import InFlight
    from builder.store.limit import Limit

IdMap = tuple[tuple[int, int, int], ...]


class _Header(msgspec.Struct, frozen=True):
    """What `store.json` holds; `snapshotters` says by walls and kernel how states are kept, see `choice`."""

    format: int
    ids: IdMap | None = None
    snapshotters: dict[str, str] = {}


class Store:
    """An open store; close it, or use it as a context manager.

    `on_lock` gets the descriptor of the lock as soon as it is held.

    Raises: StoreError: it cannot be made here, where somebody keeps other things, or was written by a newer lapstrake.
    """

    def __init__(
        self, root: str, jobs: Jobs, *, on_lock: Callable[[int], None] | None = None
    ) -> None:
        self.root = root
        self.jobs = jobs
        self._lock = -1
        self._temporary = os.path.join(root, "tmp")
        try:
            self._lock = _open_lock(root)
            self._header = self._read_header()
        except OSError as error:
            raise _unusable(root, error) from error
        if on_lock is not None:
            on_lock(self._lock)
        self.reserve = Reserve(root)
        try:
            self.db = self._open_index()
        except BaseException:
            os.close(self._lock)  # whoever removes what is damaged has to be alone
            raise
        self.leases = Leases(root)
        self._limit: Limit | None = None
        self.blobs = BlobStore(root, hold=self.leases.hold, room=self.make_room)
        self.layers = LayerIndex(self.db, root, hold=self.leases.hold)
        self.images = ImageIndex(self.db)
        self.cache = CacheIndex(self.db)
        self.builds = Builds(root)
        self.snapshots = Snapshots(
            root,
            self.layers,
            self.blobs,
            jobs,
            recall=self._recall_snapshotter,
            remember=self._remember_snapshotter,
            room=self.make_room,
        )
        self._jobs = jobs
        self.mount_exchange: MountExchange | None = None
        if self._alone:
            self._sweep()
            self.reserve.keep()
            fcntl.flock(self._lock, fcntl.LOCK_SH)

    @property
    def homes(self) -> Homes:
        """Which repositories have its blobs."""
        from builder.store.homes import Homes

        return Homes(self.db)

    @property
    def in_flight(self) -> InFlight:
        """What is being executed, by whichever process."""
        from builder.store.inflight import InFlight

        return InFlight(self.root)

    def keep_below(self, most: int) -> None:
        """Keep the store at this many bytes, from now on."""
        from builder.store.limit import Limit

        self._limit = Limit(self, most)

    def make_room(self, coming: int = 0) -> None:
        """See to it that `coming` bytes, or any, can be written without going over the limit, if there is one.

        Raises: StoreError: `store.limit`.
        """
        if self._limit is not None:
            self._limit.make_room(coming)

    def end_writing(self) -> None:
        """Bring the store below its limit, if there is one, as far as what is in use allows."""
        if self._limit is not None:
            with suppress(StoreError):  # what was made is here; whoever writes next has to be told
                self._limit.end()

    @property
    def cache_mounts(self) -> CacheMounts:
        """The directories that outlive steps."""
        from builder.store.cache_mounts import CacheMounts

        return CacheMounts(self.root, self._jobs, self.mount_exchange)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what this process kept for itself, and let go of the store."""
        try:
            # Of no use on a full disk, where others have more to say.
            with suppress(StoreError):
                self.cache.remember_use()
            self.snapshots.close()
        finally:
            self.leases.close()
            self.db.close()
            os.close(self._lock)

    def trace_path(self, project: tuple[str, ...]) -> str:
        """Return the host path of what is known of a project's steps, whether it exists or not."""
        name = framed_digest([os.fsencode(each) for each in project])[:32]
        return f"{self.root}/traces/{name}"

    def secret_key(self) -> bytes:
        """Return 32 random bytes of this store's own, with which digests of secrets tell nobody else anything."""
        path = f"{self.root}/secret-key"
        try:
            with open(path, "rb") as file:
                key = file.read()
            if len(key) == _KEY:
                return key
        except FileNotFoundError:
            pass
        temporary = f"{self._temporary}/{HEADER}{os.getpid()}"
        with open(temporary, "wb", opener=_for_us_alone) as file:
            file.write(os.urandom(_KEY))
        # Whoever is first decides; a link fails where there is one already.
        with suppress(FileExistsError):
            os.link(temporary, path)
        os.unlink(temporary)
        with open(path, "rb") as file:
            return file.read()

    @property
    def lock(self) -> int:
        """The descriptor of the shared lock; a copy in another process keeps the store in use."""
        return self._lock

    def _read_header(self) -> _Header:
        """Read or write `store.json`; take the lock, exclusively if nobody else is here."""
        self._alone = _try_lock(self._lock)
        if not self._alone:
            fcntl.flock(self._lock, fcntl.LOCK_SH)
        path = f"{self.root}/store.json"
        try:
            with open(path, "rb") as file:
                header = msgspec.json.decode(file.read(), type=_Header)
        except FileNotFoundError:
            for name in ROOMS:
                os.makedirs(f"{self.root}/{name}", exist_ok=True)
            refuse_poor(self._temporary)
            header = _Header(FORMAT)
            self._write_header(header)
        except msgspec.MsgspecError as error:
            raise StoreError(
                f"`{path}` is damaged", hint="move the store away, or choose another with `--root`"
            ) from error
        if header.format > FORMAT:
            raise StoreError(
                f"the store was written by a newer lapstrake (format {header.format})",
                code="store.newer-schema",
                hint="use that version, or another store with `--root DIR`",
            )
        return header

    def _open_index(self) -> Database:
        path = f"{self.root}/index.db"
        try:
            return Database(path)
        except StoreError as error:
            if error.code != "store.no-space":
                raise
            # Even to be read it needs some room beside it; without that, nothing could be removed.
            self.reserve.give()
            return Database(path)

    def _write_header(self, header: _Header) -> None:
        temporary = os.path.join(self._temporary, f"{HEADER}{os.getpid()}")
        with open(temporary, "wb") as file:
            file.write(msgspec.json.encode(header))
            file.flush()
            # Without this a crash of the machine may leave an empty file under the name.
            os.fsync(file.fileno())
        os.rename(temporary, f"{self.root}/store.json")

    def bind_ids(self, ids: IdMap) -> None:
        """Record the id map that owners in the store's directories are to be read with.

        Raises: StoreError: `store.foreign-map`: they were written with another one.
        """
        if self._header.ids is None:
            self._change_header(msgspec.structs.replace(self._header, ids=ids))
        elif self._header.ids != ids:
            raise StoreError(
                "the store was made with other user ids than this process has",
                code="store.foreign-map",
                notes=(f"made with {self._header.ids}", f"now {ids}"),
                hint="use the same user and isolation as before, or another store with `--root DIR`",
            )

    def _recall_snapshotter(self, key: str) -> str | None:
        return self._header.snapshotters.get(key)

    def _remember_snapshotter(self, key: str, kind: str) -> None:
        known = {**self._header.snapshotters, key: kind}
        self._change_header(msgspec.structs.replace(self._header, snapshotters=known))

    def _change_header(self, header: _Header) -> None:
        self._header = header
        try:
            self._write_header(header)
        except OSError as error:
            raise _unusable(self.root, error) from error

    def _sweep(self) -> None:
        """Remove what killed processes left; nobody else is in the store.

        What cannot be removed now, for instance because there are no walls to be had, is left for the next.
        """
        self.blobs.sweep()
        for room in ("leases", "inflight"):
            if not os.path.isdir(f"{self.root}/{room}"):
                continue
            for path in unused(self.root, room, ()):
                os.unlink(path)
        for path in unused(self.root, "tmp", ()):
            if os.path.basename(path).startswith(HEADER):
                os.unlink(path)
        left = unused(self.root, _SWEPT[0], ()) + unused(self.root, _SWEPT[1], ())
        left += [path for path in unused(self.root, "trees", ()) if not self._of_this_boot(path)]
        if not left:
            return
        left += unused(self.root, "layers", self.layers.all_directories())
        for room, known in (("entries", self.layers.all_entries()), ("contexts", ())):
            for path in unused(self.root, room, known):
                # A context is remembered under a name without a dot as soon as all of it is written.
                if room == "entries" or "." in os.path.basename(path):
                    os.unlink(path)
        with suppress(LapstrakeError):
            for path in left:
                arguments = {"path": path}
                self.jobs.call("builder.layer.jobs:remove_tree", arguments, cleanup=True)

    def _of_this_boot(self, tree: str) -> bool:
        return self.layers.boot.startswith(tree.rpartition("-")[2])

    @contextmanager
    def answering_nothing(self) -> Iterator[None]:
        """Let what is built meanwhile be what its inputs give now, and later builds find what they found before.

        An earlier layer with the same contents does not stand for a new one, and no records are kept.
        """
        self.snapshots.exact, self.cache.recording = True, False
        try:
            yield
        finally:
            self.snapshots.exact, self.cache.recording = False, True

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Hold the store alone, if that can be had at once; give whether it could."""
        alone = _try_lock(self._lock)
        if not alone:
            # A lock that could not be had exclusively has been lost on the way (flock(2), "converting").
            fcntl.flock(self._lock, fcntl.LOCK_SH)
        try:
            yield alone
        finally:
            if alone:
                fcntl.flock(self._lock, fcntl.LOCK_SH)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the store alone, to mend it or to remove it.

        Raises: StoreError: `store.busy`: another process uses it.
        """
        with self.alone() as alone:
            if not alone:
                raise StoreError(
                    "another command is using the store",
                    code="store.busy",
                    hint="wait for it to finish, then try again",
                )
            yield


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _open_lock(root: str) -> int:
    # 0700: the layers hold programs with set-id bits, which nobody else may run.
    os.makedirs(root, mode=0o700, exist_ok=True)
    header = f"{root}/store.json"
    if not os.path.lexists(header):
        path = foreign(root)
        # Another process may have made it a store meanwhile.
        if path is not None and not os.path.lexists(header):
            raise StoreError(
                f"`{root}` is not empty and is no lapstrake store",
                code="store.unusable",
                notes=(f"it holds `{os.path.relpath(path, root)}`",),
                hint="choose another directory, or an empty one, with `--root DIR` or `LAPSTRAKE_ROOT`",
            )
    return os.open(f"{root}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
            return False
        raise
    return True


def _unusable(root: str, error: OSError) -> StoreError:
    code = "store.no-space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "store.unusable"
    return StoreError(
        f"the store `{root}` cannot be used: {os.strerror(error.errno or 0)}",
        code=code,
        hint="choose another directory with `--root DIR` or `LAPSTRAKE_ROOT`",
    )
