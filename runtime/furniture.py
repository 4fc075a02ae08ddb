"""What mounts need and a plain tree lacks: put into the tree for the time of a command, and taken away without trace.

A stack has a layer of its own for that (`stubs`); a tree that is changed in place has nowhere else to put it. Places are
kept as descriptors, so that nothing that the command does to the names leads a removal elsewhere.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from contextlib import suppress

from runtime.beneath import walk
from runtime.errors import SetupFailed
from runtime.stubs import Target, find_missing
from runtime.syscalls import Syscalls

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


class Furniture:
    """Empty directories and files in the tree below the descriptor `root`."""

    def __init__(self, calls: Syscalls, root: int, work: str | None) -> None:
        self._calls = calls
        self._root = root
        self._work = work
        self._aside: list[tuple[int, str, str]] = []
        self._shown: list[tuple[int, str]] = []
        self._moved: list[tuple[int, str, str]] = []
        self._made: list[tuple[int, str, bool]] = []
        self._touched: dict[tuple[int, int], _Touched] = {}

    def put(self, targets: tuple[Target, ...], prepared: Mapping[str, int]) -> None:
        """Make what is missing of `targets`; `prepared` holds descriptors of sources.

        The `real` ones stay: an image without /proc, /sys and /dev has them after its first step, as everywhere.

        Raises: SetupFailed: a target of the kernel's own file systems is no directory. OSError.
        """
        for each in find_missing(self._calls, self._root, targets, prepared=prepared):
            if each.real:
                self._calls.make_directory(each.path[0], self._root, 0o755)
            else:
                self._make(each.path, directory=each.directory)

    def leave(self) -> None:
        """Note how things are left for the command: what it changes itself is not undone."""
        for touched in self._touched.values():
            touched.left_at = os.fstat(touched.descriptor).st_mtime_ns

    def show_file(
        self, path: str, content: bytes, mode: int, *, owner: tuple[int, int] = (0, 0)
    ) -> None:
        """Put a file somewhere, whatever is there."""
        parent, name = self._clear(path)
        self._calls.make_file(name, parent, content, mode)
        os.chmod(name, mode, dir_fd=parent)
        os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)

    def show_directory(self, path: str, mode: int) -> None:
        """Put an empty directory somewhere, whatever is there."""
        parent, name = self._clear(path)
        self._calls.make_directory(name, parent)
        os.chmod(name, mode, dir_fd=parent)

    def show_moved(self, path: str, source: str) -> None:
        """Move a directory somewhere, whatever is there, until the end; an empty one where somebody else has it."""
        parent, name = self._clear(path)
        try:
            os.rename(source, name, dst_dir_fd=parent)
        except FileNotFoundError:
            self._calls.make_directory(name, parent)
        self._moved.append((parent, name, source))

    def show_link(self, path: str, source: str) -> None:
        """Give something of the same file system another name somewhere, whatever is there."""
        parent, name = self._clear(path)
        os.link(source, name, dst_dir_fd=parent, follow_symlinks=False)

    def show_copy(self, path: str, source: str) -> None:
        """Put a copy of a file or directory somewhere, whatever is there; `source` may be a link of proc."""
        import shutil

        parent, name = self._clear(path)
        target = f"/proc/self/fd/{parent}/{name}"
        if os.path.isdir(source):
            shutil.copytree(f"{source}/.", target, symlinks=True, copy_function=_copy)
            shutil.copystat(source, target)
        else:
            _copy(source, target)

    def show_device(self, path: str, device: int) -> None:
        """Put a device that everybody may use somewhere, whatever is there; the umask is to be 0."""
        parent, name = self._clear(path)
        try:
            os.mknod(name, stat.S_IFCHR | 0o666, device, dir_fd=parent)
            if name == "null":
                self._calls.close(self._calls.open(name, os.O_WRONLY, directory=parent))
        except PermissionError as error:
            raise SetupFailed(
                f"make the device `{path}`",
                error.strerror or str(error),
                hint="leave the container the capability MKNOD, and keep the store where devices are obeyed",
            ) from error

    def _clear(self, path: str) -> tuple[int, str]:
        """Make room at a path, links resolved; return the directory and the name."""
        place = walk(self._calls, self._root, path)
        self._calls.close(place.descriptor)
        *above, name = place.path
        parent = self._root
        for each in above:
            parent = self._enter(parent, each)
        self._touch(parent)
        if not place.missing:
            kept = f"aside-{len(self._aside)}"
            os.rename(name, f"{self._work}/{kept}", src_dir_fd=parent)
            self._aside.append((parent, name, kept))
        self._shown.append((parent, name))
        return parent, name

    def _make(self, path: tuple[str, ...], *, directory: bool) -> None:
        parent = self._root
        for name in path if directory else path[:-1]:
            parent = self._enter(parent, name)
        if not directory:
            self._touch(parent)
            with suppress(FileExistsError):  # the same target twice
                self._calls.make_file(path[-1], parent)
                self._made.append((parent, path[-1], False))

    def _enter(self, parent: int, name: str) -> int:
        try:
            return self._calls.open(name, _DIRECTORY, directory=parent)
        except FileNotFoundError:
            self._touch(parent)
            self._calls.make_directory(name, parent)
            self._made.append((parent, name, True))
            return self._calls.open(name, _DIRECTORY, directory=parent)

    def _touch(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        key = (status.st_dev, status.st_ino)
        if key not in self._touched:
            self._touched[key] = _Touched(descriptor, (status.st_atime_ns, status.st_mtime_ns))

    def remove(self) -> None:
        """Take away what was made, unless the command put something in it, and restore times that it left alone."""
        untouched = [
            touched
            for touched in self._touched.values()
            if os.fstat(touched.descriptor).st_mtime_ns == touched.left_at
        ]
        for parent, name, source in reversed(self._moved):
            with suppress(
                OSError
            ):  # somebody else brought it back first, or the command removed it
                os.rename(name, source, src_dir_fd=parent)
        for parent, name in reversed(self._shown):
            _remove_all(name, parent)
        self._bring_back()
        for parent, name, directory in reversed(self._made):
            with suppress(FileNotFoundError, NotADirectoryError):
                if directory:
                    _remove_directory(name, parent)
                elif os.lstat(name, dir_fd=parent).st_size == 0:
                    os.unlink(name, dir_fd=parent)
        for touched in untouched:
            with suppress(FileNotFoundError):
                os.utime(f"/proc/self/fd/{touched.descriptor}", ns=touched.times)

    def _bring_back(self) -> None:
        """Put what was moved aside back in its place, and tell the builder that it was not the command that did."""
        moved = []
        for parent, name, kept in reversed(self._aside):
            moved.append(os.lstat(f"{self._work}/{kept}").st_ino)
            with suppress(OSError):  # the command has removed the directory with all that was in it
                os.rename(f"{self._work}/{kept}", name, dst_dir_fd=parent)
        if moved:
            with open(f"{self._work}/moved", "w", encoding="ascii") as file:
                file.write(" ".join(map(str, moved)))


class _Touched:
    """A directory in which something was made: its times before, and when it was last left."""

    __slots__ = ("descriptor", "left_at", "times")

    def __init__(self, descriptor: int, times: tuple[int, int]) -> None:
        self.descriptor = descriptor
        self.times = times
        self.left_at = -1


def _remove_directory(name: str, parent: int) -> None:
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY}:
            raise


def _copy(source: str, target: str) -> str:
    """Copy a file with its mode, times and owner."""
    import shutil

    shutil.copy2(source, target, follow_symlinks=source.startswith("/proc/self/fd/"))
    status = os.stat(source)
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    return target


def _remove_all(name: str, parent: int) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
            os.unlink(name, dir_fd=parent)
            return
        import shutil

        shutil.rmtree(name, dir_fd=parent)
