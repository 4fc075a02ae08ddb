"""ADD unpacks archives: first into a directory of its own, then from there like any other source.

An archive is told by its content. Its members keep their owners (unless `--chown` says otherwise), modes and
times. Names and links in it cannot leave the destination, which is the root of all of them; where it passes
through a directory that it does not list, a link of the image there is followed, inside the destination.

Source: Dockerfile reference, "ADD", "Adding local tar archives".
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from hashlib import sha256

from builder.errors import BuildError, LayerError
from builder.layer.apply import apply
from builder.layer.entries import read_entries
from builder.layer.entry import Entry, Kind, sort_key
from builder.layer.foreign import tidy
from builder.layer.owners import recorded, with_owner
from builder.layer.read import Limits, Member, begins_tar
from builder.layer.remove import remove_tree
from builder.layer.times import MADE
from builder.layer.tree import Tree as Directory
from builder.layer.unwrapping import unwrapped
from builder.solve.steps.destination import Destination
from builder.source.known import KnownFiles
from builder.source.listing import kept_mode, listing_digest
from builder.source.select import open_file
from builder.source.stream import Object, Origin, known_item
from builder.source.tops import Top, Tree

LIMITS = Limits(size=64 << 30, entries=2_000_000)
"""What an archive may unpack to, in bytes and entries."""

_SECOND = 1_000_000_000
_TYPES = {
    Kind.DIRECTORY: stat.S_IFDIR,
    Kind.SYMLINK: stat.S_IFLNK,
    Kind.FIFO: stat.S_IFIFO,
    Kind.CHARACTER: stat.S_IFCHR,
    Kind.BLOCK: stat.S_IFBLK,
}
_ON_DISK = (Kind.FILE, Kind.HARDLINK)

_Place = tuple[bytes, bool]
"""Where a directory of the archive goes, and whether nothing of the image shows through it."""


def is_archive(tree: Tree, top: Top) -> bool:
    """Tell whether a selected file is a tar archive, compressed or not: its first header is sound."""
    fd = _open(tree, top)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return False
        return begins_tar(unwrapped(_Hashed(fd)))
    except LayerError:
        return False
    finally:
        os.close(fd)


def _open(tree: Tree, top: Top) -> int:
    directory, _, name = top.real.rpartition("/")
    above = tree.open_directory(directory)
    try:
        return open_file(above, name)
    finally:
        os.close(above)


class _Hashed:
    """A file read from its beginning, hashed on the way."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._digest = sha256()

    def read(self, size: int, /) -> bytes:
        data = os.read(self._fd, size)
        self._digest.update(data)
        return data

    def finish(self) -> bytes:
        """Read what is left, and return the digest of all."""
        while self.read(1 << 20):
            pass
        return self._digest.digest()


class ArchiveStream:
    """Streams the members of one archive in the order of a layer; `unpack` comes first, `discard` last.

    `digest()` is that of the archive as a file. `ids` are the owner given by `--chown`, `scratch` is a host path.
    """

    def __init__(
        self,
        tree: Tree,
        top: Top,
        target: bytes,
        *,
        base: Destination,
        scratch: str,
        ids: tuple[int, int] | None,
        known: KnownFiles | None,
    ) -> None:
        self._tree = tree
        self._top = top
        self._target = target
        self._base = base
        self._ids = ids
        self._known = known
        self._root = f"{scratch}/{os.getpid()}.{time.monotonic_ns()}.archive"
        self._entries = f"{self._root}.entries"
        self._digest = b""
        self._places: dict[bytes, _Place] = {b"": (target, False)}
        self._moved = False
        self.files = 0
        self.bytes = 0

    def unpack(self) -> None:
        """Unpack the archive, and look where its directories go.

        Raises: LayerError: it is damaged, hostile or over a limit. BuildError: the image has a file where a
            directory is needed.
        """
        fd = _open(self._tree, self._top)
        try:
            self._unpack(fd)
        except LayerError as error:
            raise LayerError(
                f"the archive `{self._top.name}` cannot be unpacked",
                code=error.code,
                notes=(error.message, *error.notes),
                hint=error.hint or "with `--unpack=false` it is added as it is",
            ) from error
        finally:
            os.close(fd)
        for entry in read_entries(self._entries):
            above = entry.path.rpartition(b"/")[0]
            place, fresh = self._place_of(above)
            if entry.kind is Kind.DIRECTORY and entry.path:
                place = _join(place, entry.path.rpartition(b"/")[2])
                self._places[entry.path] = (place, fresh or not self._is_directory(place))

    def _unpack(self, fd: int) -> None:
        os.mkdir(self._root, 0o700)
        status = os.fstat(fd)
        read_at = time.time_ns()
        file = _Hashed(fd)
        apply(
            unwrapped(file),
            self._root,
            lowers=(),
            entries_path=self._entries,
            limits=LIMITS,
            adjust=self._adjust,
        )
        data = file.finish()
        mode = kept_mode(status.st_mode)
        self._digest = listing_digest([("", mode, 0, 0, data, ())])
        if self._known is not None:
            found = Object(b"", -1, self._top.real.rpartition("/")[2], status)
            found.data = data
            self._known.remember(self._top.real, known_item(found, read_at))

    def _adjust(self, member: Member) -> None:
        tidy(member)
        if self._ids is not None:
            member.uid, member.gid = self._ids

    def discard(self) -> None:
        """Remove what was unpacked."""
        remove_tree(self._root)
        remove_tree(self._entries)

    def digest(self) -> tuple[str, bytes]:
        """Return (name, digest) as `Digester.top` does."""
        return self._top.name, self._digest

    def _is_directory(self, place: bytes) -> bool:
        status = self._base.look(place)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def _place_of(self, path: bytes) -> _Place:
        """Return where a directory goes; one that the archive does not list may be a link of the image."""
        known = self._places.get(path)
        if known is not None:
            return known
        above, _, name = path.rpartition(b"/")
        place, fresh = self._place_of(above)
        place = _join(place, name)
        if not fresh:
            status = self._base.look(place)
            if status is None:
                fresh = True
            elif stat.S_ISLNK(status.st_mode):
                place, fresh = self._followed(place)
            elif not stat.S_ISDIR(status.st_mode):
                raise BuildError(
                    f"`/{os.fsdecode(place)}` is a file in the image, the archive has files below it",
                    code="build.copy-failed",
                )
        self._places[path] = (place, fresh)
        return place, fresh

    def _followed(self, place: bytes) -> _Place:
        inside = place[len(self._target) :] if self._target else b"/" + place
        self._moved = True
        found = self._base.resolve(os.fsdecode(inside), self._target)
        return found, not self._is_directory(found)

    def __iter__(self) -> Iterator[Object]:
        directory = Directory(self._root)
        made = {self._target}
        last = self._target
        try:
            for place, entry in self._placed():
                above = place.rpartition(b"/")[0]
                if above != last:
                    yield from self._implied(above, made)
                    last = above
                if entry.kind is Kind.DIRECTORY:
                    made.add(place)
                yield self._object(place, entry, directory)
        finally:
            directory.close()

    def _placed(self) -> Iterator[tuple[bytes, Entry]]:
        """Yield the members with the places they go to, in order."""
        placed = (
            (
                _join(
                    self._places[entry.path.rpartition(b"/")[0]][0], entry.path.rpartition(b"/")[2]
                ),
                entry,
            )
            for entry in read_entries(self._entries)
            if entry.path and entry.kind <= Kind.FIFO
        )
        if not self._moved:
            return placed
        # The later of two members for one place counts; both are rare.
        return iter(sorted(dict(placed).items(), key=lambda pair: sort_key(pair[0])))

    def _implied(self, path: bytes, made: set[bytes]) -> Iterator[Object]:
        """Yield the directories down to `path` that the archive does not list."""
        missing: list[bytes] = []
        while path not in made:
            missing.append(path)
            made.add(path)
            path = path.rpartition(b"/")[0]
        for each in reversed(missing):
            found = Object(each, -1, "", _status(stat.S_IFDIR | 0o755, 0, 0, MADE * _SECOND))
            found.origin = Origin.IMPLIED
            yield found

    def _object(self, place: bytes, entry: Entry, directory: Directory) -> Object:
        above, _, name = entry.path.rpartition(b"/")
        parent = directory.open(above)
        if entry.kind in _ON_DISK:
            status = os.lstat(name, dir_fd=parent)
            if recorded() and entry.kind is not Kind.HARDLINK:
                status = with_owner(status, (entry.uid, entry.gid))
            self.files += 1
            self.bytes += status.st_size if entry.kind is Kind.FILE else 0
        else:
            device = os.makedev(entry.major, entry.minor)
            mode = _TYPES[entry.kind] | entry.mode
            status = _status(mode, entry.uid, entry.gid, entry.mtime, device)
        found = Object(place, parent, os.fsdecode(name), status)
        found.owned = True
        found.origin = Origin.ARCHIVE
        found.xattrs = tuple((os.fsdecode(key), value) for key, value in entry.xattrs)
        if entry.kind is Kind.SYMLINK:
            found.data = entry.link
        elif entry.kind is Kind.HARDLINK:
            first_above, _, first = entry.link.rpartition(b"/")
            found.first = _join(self._places[first_above][0], first)
        return found


def _status(mode: int, uid: int, gid: int, mtime: int, device: int = 0) -> os.stat_result:
    seconds = mtime // _SECOND
    fields = (mode, 0, 0, 1, uid, gid, 0, seconds, seconds, seconds)
    return os.stat_result(fields, {"st_mtime_ns": mtime, "st_rdev": device})


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name
