"""Single objects made below a directory descriptor, with all that is to be said of them."""

from __future__ import annotations

import errno
import hashlib
import os
import stat

import msgspec

from builder.errors import LayerError
from builder.layer import attributes, owners
from builder.layer.entry import Entry, Kind
from builder.layer.pack import write_fully
from builder.layer.read import Member
from builder.layer.tree import is_whiteout, shown

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 20


KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHARACTER,
    stat.S_IFBLK: Kind.BLOCK,
    stat.S_IFIFO: Kind.FIFO,
}


class Place(msgspec.Struct, frozen=True):
    """Where an object belongs: its path in the layer, and its name in the directory `parent`."""

    path: bytes
    name: bytes
    parent: int


def create(place: Place) -> int:
    """Make an empty file that nobody else can read, and return its descriptor.

    Raises: FileExistsError: something is there.
    """
    return os.open(place.name, _CREATE, 0o600, dir_fd=place.parent)


def hard_link(target: Place, place: Place) -> None:
    """Make one more name of `target`, whatever it is but a directory."""
    os.link(
        target.name,
        place.name,
        src_dir_fd=target.parent,
        dst_dir_fd=place.parent,
        follow_symlinks=False,
    )


def set_attributes(fd: int, entry: Entry) -> None:
    """Set owner, mode, attributes and times, in this order: each takes away some of the next.

    Raises: LayerError: the owner does not exist in this user namespace.
    """
    if entry.uid or entry.gid or os.geteuid() or os.getegid():
        try:
            owners.give(fd, entry.uid, entry.gid)
        except OSError as error:
            raise _foreign_owner(error, entry) from error
    os.fchmod(fd, entry.mode)
    if entry.xattrs:
        attributes.write(fd, entry.xattrs)
    os.utime(fd, ns=(entry.mtime, entry.mtime))


def set_by_name(place: Place, entry: Entry) -> None:
    """Do the same for what cannot be opened: a symlink, device or FIFO, made a moment ago."""
    try:
        owners.give_at(place.name, entry.uid, entry.gid, directory=place.parent)
    except OSError as error:
        raise _foreign_owner(error, entry) from error
    if entry.kind is not Kind.SYMLINK:
        os.chmod(place.name, entry.mode, dir_fd=place.parent)
    times = (entry.mtime, entry.mtime)
    os.utime(place.name, ns=times, dir_fd=place.parent, follow_symlinks=False)


def status_of(name: bytes, parent: int) -> os.stat_result | None:
    """Return what is there, or None for nothing or a whiteout."""
    try:
        status = os.lstat(name, dir_fd=parent)
    except FileNotFoundError:
        return None
    return None if is_whiteout(status) else status


def copy(source: int, target: int) -> bytes:
    """Copy the bytes of a file and return their SHA-256, raw."""
    digest = hashlib.sha256()
    while data := os.read(source, _PIECE):
        digest.update(data)
        write_fully(target, data)
    return digest.digest()


def digest_of(source: int) -> bytes:
    """Return the SHA-256 of a file's bytes, raw."""
    digest = hashlib.sha256()
    while data := os.read(source, _PIECE):
        digest.update(data)
    return digest.digest()


def entry_of(
    path: bytes, kind: Kind, member: Member, *, size: int = 0, digest: bytes = b""
) -> Entry:
    """Return the entry of a member of the stream; attributes that are not a layer's are left out."""
    xattrs: attributes.Attributes = ()
    if member.xattrs and kind in (Kind.FILE, Kind.DIRECTORY):
        xattrs = tuple(
            sorted(pair for pair in member.xattrs if attributes.belongs(os.fsdecode(pair[0])))
        )
    return Entry(
        path,
        kind,
        0o777 if kind is Kind.SYMLINK else member.mode,
        member.uid,
        member.gid,
        member.mtime,
        size,
        member.link if kind is Kind.SYMLINK else b"",
        digest,
        member.major,
        member.minor,
        xattrs,
    )


def from_status(
    path: bytes,
    kind: Kind,
    status: os.stat_result,
    *,
    link: bytes = b"",
    digest: bytes = b"",
    xattrs: attributes.Attributes = (),
) -> Entry:
    """Return the entry of what is on disk."""
    device = kind in (Kind.CHARACTER, Kind.BLOCK)
    return Entry(
        path,
        kind,
        status.st_mode & 0o7777,
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        status.st_size if kind is Kind.FILE else 0,
        link,
        digest,
        os.major(status.st_rdev) if device else 0,
        os.minor(status.st_rdev) if device else 0,
        xattrs,
    )


def replaced_after_link(path: bytes) -> LayerError:
    """Return the error for a stream that goes back on a name which it has linked to."""
    return LayerError(
        f"the layer replaces `{shown(path)}` after it made hard links",
        notes=("an image layer may hold each path only once",),
    )


def _foreign_owner(error: OSError, entry: Entry) -> Exception:
    if error.errno not in (errno.EINVAL, errno.EPERM):
        return error
    return LayerError(
        f"`{shown(entry.path)}` belongs to {entry.uid}:{entry.gid}, which does not exist here",
        code="layer.foreign-owner",
        notes=(f"the kernel says: {error.strerror}",),
        hint="give this user more subordinate ids in `/etc/subuid` and `/etc/subgid`",
    )
