"""Members of a layer's tar stream → objects below one directory, and their entries, in the stream's order.

Source: OCI image-spec, layer.md, "Applying Changesets", "Whiteouts"; overlayfs.rst.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

import msgspec

from builder.errors import LayerError
from builder.layer import attributes
from builder.layer.entry import Entry, Kind, sort_key
from builder.layer.lowers import Lowers
from builder.layer.marks import OPAQUE, PREFIX, hidden_by
from builder.layer.objects import (
    Place,
    copy,
    create,
    entry_of,
    from_status,
    hard_link,
    replaced_after_link,
    set_attributes,
    set_by_name,
    status_of,
)
from builder.layer.order import EntrySorter
from builder.layer.owners import seen_at
from builder.layer.read import Member, TarReader
from builder.layer.remove import remove_at
from builder.layer.tree import (
    DIRECTORY,
    NAME_LIMIT,
    PATH_LIMIT,
    Tree,
    is_whiteout,
    shown,
    split,
    too_long,
)

_NO_NAMES = frozenset({b"", b".", b".."})
_NODES = {
    0x33: (Kind.CHARACTER, stat.S_IFCHR),
    0x34: (Kind.BLOCK, stat.S_IFBLK),
    0x36: (Kind.FIFO, stat.S_IFIFO),
}
_MAJOR_LIMIT, _MINOR_LIMIT = 0xFFF, 0xFFFFF
_LINKS_LIMIT = 1_000_000
_ABSENT_LIMIT = 10_000


class Unpacking:
    """Places members below `root`, above the chain `lowers` (topmost first), and notes entries in `sorter`.

    Attributes of directories are left to the end; `first_names` maps the name that hard links were made to
    (as the stream gives it) to the first of all its names in order; `opaque` are directories that hide what
    is below them; without `marks`, that is told by the entries alone. `depends` tells that what is on disk is right for this chain only.
    """

    def __init__(
        self,
        root: str,
        lowers: tuple[str, ...],
        sorter: EntrySorter,
        reader: TarReader,
        *,
        marks: bool,
    ) -> None:
        self._reader = reader
        self._marks = marks and bool(lowers)
        self.sorter = sorter
        self.first_names: dict[bytes, bytes] = {}
        self.opaque: set[bytes] = set()
        self.depends = False
        self._targets: dict[bytes, bytes] = {}
        self._absent: dict[bytes, Entry] = {}
        self.lowers = Lowers(lowers)
        try:
            self.tree = Tree(root, self._imply)
        except OSError:
            self.lowers.close()
            raise
        # A directory made in a set-group-id one has the bit; a file in it would have the group.
        os.fchmod(self.tree.open(b""), 0o700)
        self.sorter.add(self.inherited(b""), implied=True)

    def close(self) -> None:
        """Close all descriptors."""
        self.tree.close()
        self.lowers.close()

    def add(self, member: Member) -> None:
        """Make one member's object and note its entry."""
        name = member.name
        if PREFIX in name and self._add_mark(split(name)):
            return
        above, _, base = name.rstrip(b"/").rpartition(b"/")
        if base in _NO_NAMES or len(name) > NAME_LIMIT:
            components = split(name)
            if not components:
                self._add_root(member)
                return
            base = components.pop()
            above = b"/".join(components)
        prefix, parent = self.tree.parent(above)
        path = prefix + b"/" + base if prefix else base
        if len(path) > PATH_LIMIT:
            raise too_long()
        place = Place(path, base, parent)
        match member.typeflag:
            case 0x30 | 0x00 | 0x37:
                self._add_file(place, member)
            case 0x35:
                self._add_directory(place, member)
            case 0x32:
                self._add_symlink(place, member)
            case 0x31:
                self._add_link(place, prefix, member)
            case _:
                self._add_node(place, member)

    def _add_root(self, member: Member) -> None:
        if member.typeflag != 0x35:
            raise LayerError("the layer replaces its root by something that is no directory")
        self.sorter.add(entry_of(b"", Kind.DIRECTORY, member))

    def _add_file(self, place: Place, member: Member) -> None:
        try:
            fd = create(place)
        except FileExistsError:
            fd = create(self._clear(place))
        try:
            size = member.size
            digest = self._reader.copy_data(fd)
            entry = entry_of(place.path, Kind.FILE, member, size=size, digest=digest)
            set_attributes(fd, entry)
        finally:
            os.close(fd)
        self.sorter.add(entry)

    def _add_directory(self, place: Place, member: Member) -> None:
        try:
            os.mkdir(place.name, 0o700, dir_fd=place.parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(place.name, dir_fd=place.parent).st_mode):
                place = self._clear(place)
                self._make_fresh(place)
        self.sorter.add(entry_of(place.path, Kind.DIRECTORY, member))

    def _make_fresh(self, place: Place) -> None:
        """Make a directory where the layer removed or replaced something: nothing shows through it."""
        os.mkdir(place.name, 0o700, dir_fd=place.parent)
        fd = os.open(place.name, DIRECTORY, dir_fd=place.parent)
        try:
            self._hide_below(place.path, fd)
        finally:
            os.close(fd)

    def _hide_below(self, path: bytes, fd: int) -> None:
        self.sorter.add(Entry(path, Kind.OPAQUE))
        self.depends = True
        if self._marks:
            os.setxattr(fd, attributes.OPAQUE, b"y")
        self.opaque.add(path)
        self.lowers.hide(path)

    def _add_symlink(self, place: Place, member: Member) -> None:
        if not 0 < len(member.link) <= PATH_LIMIT:
            raise LayerError(
                f"`{shown(place.path)}` links to nothing, or to a path that is too long"
            )
        try:
            os.symlink(member.link, place.name, dir_fd=place.parent)
        except FileExistsError:
            place = self._clear(place)
            os.symlink(member.link, place.name, dir_fd=place.parent)
        entry = entry_of(place.path, Kind.SYMLINK, member)
        set_by_name(place, entry)
        self.sorter.add(entry)

    def _add_node(self, place: Place, member: Member) -> None:
        kind, mode = _NODES[member.typeflag]
        if kind is Kind.FIFO:
            member.major = member.minor = 0
        elif member.major == 0 and member.minor == 0:
            return  # overlayfs would take it for a whiteout: not the layer's to make
        if member.major > _MAJOR_LIMIT or member.minor > _MINOR_LIMIT:
            raise LayerError(f"`{shown(place.path)}` is a device of a number that cannot be")
        entry = entry_of(place.path, kind, member)
        self.sorter.add(entry)
        try:
            place = self._make_node(place, mode | 0o600, os.makedev(member.major, member.minor))
        except PermissionError:
            # The kernel makes no devices in a user namespace, and no step could open one there.
            self._absent[place.path] = entry
            if len(self._absent) > _ABSENT_LIMIT:
                raise LayerError(
                    f"the layer has more than {_ABSENT_LIMIT} devices", code="layer.too-large"
                ) from None
        else:
            set_by_name(place, entry)

    def _make_node(self, place: Place, mode: int, device: int) -> Place:
        try:
            os.mknod(place.name, mode, device, dir_fd=place.parent)
        except FileExistsError:
            place = self._clear(place)
            os.mknod(place.name, mode, device, dir_fd=place.parent)
        return place

    def _clear(self, place: Place) -> Place:
        """Remove what the stream, or a whiteout of it, put at a place before; the last one given counts.

        Returns: the place, to be used from now on.
        """
        status = os.lstat(place.name, dir_fd=place.parent)
        if stat.S_ISDIR(status.st_mode):
            if self.first_names:
                raise replaced_after_link(place.path)
            remove_at(place.parent, place.name)
            self.sorter.remove_below(place.path)
        else:
            if status.st_nlink > 1 and not is_whiteout(status):
                raise replaced_after_link(place.path)
            os.unlink(place.name, dir_fd=place.parent)
            if not stat.S_ISLNK(status.st_mode):
                return place
        self.tree.forget()
        above = place.path.rpartition(b"/")[0]
        return Place(place.path, place.name, self.tree.open(above))

    def _imply(self, path: bytes, name: bytes, parent: int) -> None:
        """Make a parent that the stream has not listed (yet)."""
        if path in self._absent:
            raise LayerError(f"the layer puts something below the device `{shown(path)}`")
        place = Place(path, name, parent)
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:  # a whiteout of it
            os.unlink(name, dir_fd=parent)
            self._make_fresh(place)
        self.sorter.add(self.inherited(path), implied=True)

    def inherited(self, path: bytes) -> Entry:
        """Return the attributes of a directory that the stream does not list."""
        indices = self.lowers.directory(path)
        if not indices:
            return Entry(path, Kind.DIRECTORY, 0o755)
        status = self.lowers.status(indices[0], path)
        return Entry(
            path,
            Kind.DIRECTORY,
            status.st_mode & 0o7777,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            xattrs=self.lowers.attributes(indices[0], path),
        )

    def _add_mark(self, components: list[bytes]) -> bool:
        """Obey a whiteout or opaque mark; False if the name is neither."""
        hidden = hidden_by(components)
        if not hidden:
            return hidden is not None
        prefix, parent = self.tree.parent(b"/".join(components[:-1]))
        if hidden == OPAQUE:
            self._hide_below(prefix, parent)
        else:
            self._add_whiteout(prefix, hidden, parent)
        return True

    def _add_whiteout(self, prefix: bytes, name: bytes, parent: int) -> None:
        path = prefix + b"/" + name if prefix else name
        self.sorter.add(Entry(path, Kind.WHITEOUT))
        self.depends = True
        if not self.lowers.directory(prefix):
            return  # nothing to hide, and overlayfs would show the mark in a directory that it does not merge
        status = status_of(name, parent)
        if status is not None and stat.S_ISDIR(status.st_mode):
            self._hide_below(path, self.tree.open(path))
        elif self._marks and status is None:
            with suppress(FileExistsError):  # the same whiteout twice
                os.mknod(name, stat.S_IFCHR, 0, dir_fd=parent)
        else:
            self.lowers.hide(path)

    def _add_link(self, place: Place, prefix: bytes, member: Member) -> None:
        components = split(member.link)
        if not components:
            raise LayerError(f"`{shown(place.path)}` is a hard link to nothing")
        name = components.pop()
        found = self.tree.locate(b"/".join(components))
        target = b"/".join((*components, name))
        status = None
        source = -1
        if found is not None:
            target = found[0] + b"/" + name if found[0] else name
            source = os.dup(found[1])
        try:
            place = Place(place.path, place.name, self.tree.open(prefix))
            if source >= 0:
                status = status_of(name, source)
            if status is None:
                self._add_link_to_absent(place, target)
            elif target != place.path:
                self._link(place, Place(target, name, source), status)
        finally:
            if source >= 0:
                os.close(source)

    def _link(self, place: Place, target: Place, status: os.stat_result) -> None:
        if stat.S_ISDIR(status.st_mode):
            raise LayerError(f"`{shown(place.path)}` is a hard link to a directory")
        try:
            hard_link(target, place)
        except FileExistsError:
            there = os.lstat(place.name, dir_fd=place.parent)
            if (there.st_dev, there.st_ino) == (status.st_dev, status.st_ino):
                return
            if target.path.startswith(place.path + b"/"):
                raise LayerError(
                    f"`{shown(place.path)}` replaces the directory of what it is a hard link to"
                ) from None
            place = self._clear(place)
            hard_link(target, place)
        root = self._targets.get(target.path, target.path)
        self._targets[place.path] = root
        if len(self._targets) > _LINKS_LIMIT:
            raise LayerError(
                f"the layer has more than {_LINKS_LIMIT} hard links", code="layer.too-large"
            )
        first = self.first_names.get(root, root)
        self.first_names[root] = min(first, place.path, key=sort_key)
        status = seen_at(status, target.parent, target.name)
        self.sorter.add(from_status(place.path, Kind.HARDLINK, status, link=root))

    def _add_link_to_absent(self, place: Place, target: bytes) -> None:
        """Record one more name of a device that is not on disk, or copy a file of the chain below."""
        device = self._absent.get(target)
        if device is not None:
            self.sorter.add(msgspec.structs.replace(device, path=place.path))
            return
        index = self.lowers.find(target)
        if index is None:
            raise LayerError(
                f"`{shown(place.path)}` is a hard link to `{shown(target)}`, which does not exist"
            )
        status = self.lowers.status(index, target)
        if not stat.S_ISREG(status.st_mode):
            raise LayerError(f"`{shown(place.path)}` is a hard link to something that is no file")
        try:
            fd = create(place)
        except FileExistsError:
            fd = create(self._clear(place))
        try:
            source = self.lowers.open(index, target)
            try:
                digest = copy(source, fd)
                xattrs = attributes.read(source, attributes.names(source))
            finally:
                os.close(source)
            entry = from_status(place.path, Kind.FILE, status, digest=digest, xattrs=xattrs)
            set_attributes(fd, entry)
        finally:
            os.close(fd)
        self.sorter.add(entry)
