"""The steps that turn a fresh process in new namespaces into one that may become the command.

Each is plain data with `describe()`, in words that complete "cannot …", and `execute()`, which works on a `Scene` through
`Syscalls`. Until the pivot, all mount targets are descriptors opened below the new root; no path of the root file
system is ever resolved in the view of the host.
"""

from __future__ import annotations

import os

from runtime.beneath import open_beneath, walk
from runtime.mounts import make_missing
from runtime.network import bring_up_loopback
from runtime.scene import CLOSED, Operation, Scene
from runtime.stack import overlay
from runtime.stubs import Target, find_missing, make_stub_layer
from runtime.syscalls import Syscalls
from runtime.user import find_user

_REAL_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


class MakeScratch(Operation, frozen=True):
    """A private tmpfs on top of the old root, which nobody sees and the pivot throws away."""

    def describe(self) -> str:
        """Return what is done."""
        return "make a private directory"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Attach a tmpfs over `/`: paths still start below it, descriptors reach it."""
        scene.scratch = calls.new_mount("tmpfs", (("mode", "0700"),), attributes=CLOSED)
        top = calls.open("/", _REAL_DIRECTORY)
        calls.attach(scene.scratch, top)
        calls.close(top)


class StackRoot(Operation, frozen=True, kw_only=True):
    """The root file system: the stack of directories, and below the writable one whatever mounts need."""

    lowers: tuple[str, ...]
    upper: str | None
    work: str | None
    targets: tuple[Target, ...]
    one_by_one: bool

    def describe(self) -> str:
        """Return what is done."""
        kind = "writable" if self.upper else "read-only"
        if not self.lowers:
            return "mount a plain tree as the root"
        return f"stack {len(self.lowers)} layers as a {kind} root"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Look first, read-only, which targets of mounts are missing; then stack once, with a layer that has them.

        A read-only stack costs a fortieth of a writable one, which makes files on the disk. Into a plain tree the keeper
        has put what is missing.
        """
        if not self.lowers:
            scene.root = overlay(calls, (), upper=self.upper)
            calls.attach(scene.root, scene.scratch)
            return
        layers = self.lowers if self.upper is None else (self.upper, *self.lowers)
        look = overlay(calls, layers, one_by_one=self.one_by_one, scratch=scene.scratch)
        place, place_path = scene.scratch, f"/proc/self/fd/{scene.scratch}"
        if self.work is not None:
            place, place_path = calls.open(self.work, _REAL_DIRECTORY), self.work
        missing = find_missing(calls, look, self.targets, prepared=scene.prepared)
        kept = tuple(each for each in missing if each.real and self.upper is not None)
        shown = tuple(each for each in missing if each not in kept)
        stubs = make_stub_layer(calls, look, shown, (place, place_path))
        if stubs is None and self.upper is None:
            scene.root = look
        else:
            calls.close(look)
            scene.root = self._stack(calls, scene, place, stubs)
        calls.attach(scene.root, scene.scratch)
        for each in kept:
            calls.make_directory(each.path[0], scene.root, 0o755)

    def _stack(self, calls: Syscalls, scene: Scene, place: int, stubs: str | None) -> int:
        lowers, work = self.lowers, self.work
        if stubs is not None:
            lowers = (stubs, *lowers)
            if work is not None:
                # No layer may lie inside the work directory, so that moves down, too.
                calls.make_directory("work", place, 0o700)
                work = f"{work}/work"
        return overlay(
            calls,
            lowers,
            upper=self.upper,
            work=work,
            one_by_one=self.one_by_one,
            scratch=scene.scratch,
        )


class FindUser(Operation, frozen=True):
    """Who will run the command, by the files of the root file system alone."""

    user: str

    def describe(self) -> str:
        """Return what is done."""
        return f"find the user `{self.user or '0'}`"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Look it up before anything is mounted over the files."""
        scene.user = find_user(scene.root, self.user, syscalls=calls)


class NoteUser(Operation, frozen=True):
    """Leave word of who the step is, where its files do not tell: there is one owner for all."""

    work: str

    def describe(self) -> str:
        """Return what is done."""
        return "note the user"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Write both ids to the file `user` in the step's work directory."""
        place = calls.open(self.work, _REAL_DIRECTORY)
        calls.make_file("user", place, b"%d:%d" % (scene.user.uid, scene.user.gid))
        calls.close(place)


class SetHostName(Operation, frozen=True):
    """The host name of the own UTS namespace."""

    name: str

    def describe(self) -> str:
        """Return what is done."""
        return f"set the host name `{self.name}`"

    def execute(self, calls: Syscalls, scene: Scene) -> None:  # noqa: ARG002 - as all operations
        """Set it."""
        calls.set_host_name(self.name)


class BringUpLoopback(Operation, frozen=True):
    """The loopback interface of the own network namespace."""

    def describe(self) -> str:
        """Return what is done."""
        return "bring up the loopback interface"

    def execute(self, calls: Syscalls, scene: Scene) -> None:  # noqa: ARG002 - as all operations
        """Set it up."""
        bring_up_loopback()


class JoinOutside(Operation, frozen=True):
    """The control group and the network that the launcher has made for this command."""

    def describe(self) -> str:
        """Return what is done."""
        return "enter the step's own control group and network"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Join what there is."""
        scene.outside.join(calls)


class Pivot(Operation, frozen=True):
    """From here on `/` is the new root, and the old one is gone."""

    def describe(self) -> str:
        """Return what is done."""
        return "change to the new root"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Pivot and detach the old root, with the private directory that lies over it."""
        calls.pivot(scene.root, above=1)


class EnterDirectory(Operation, frozen=True):
    """The working directory; made, owned by root, where it is missing."""

    path: str

    def describe(self) -> str:
        """Return what is done."""
        return f"enter the directory `{self.path}`"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Open it below the root, so that no link of proc leads out, and change to it."""
        place = walk(calls, scene.root, self.path)
        make_missing(calls, place.descriptor, place.path[len(place.path) - place.missing :])
        directory = open_beneath(scene.root, self.path, os.O_PATH | os.O_DIRECTORY, syscalls=calls)
        calls.change_directory(directory)
        calls.close(directory)
        calls.close(place.descriptor)
