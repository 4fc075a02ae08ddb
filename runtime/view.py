"""A read-only view of stacked directories for jobs: a descriptor, never a path.

The mount is attached nowhere, so nobody else can reach it and nothing is left when the process ends.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from runtime.errors import SetupFailed
from runtime.stack import overlay
from runtime.syscalls import CLONE_NEWNS, SyscallError, Syscalls


@contextmanager
def mounted(lowers: tuple[str, ...]) -> Iterator[int]:
    """Show `lowers`, host paths, the topmost first, as one directory; only behind the launcher.

    Use what it yields with `runtime.beneath`: links in it are to be resolved below it. One directory alone is
    not mounted at all.

    Yields: a descriptor of the root, closed at the end.
    Raises: SetupFailed: the kernel does not stack them, or there are too many. OSError: one does not exist.
    """
    calls = _calls()
    if len(lowers) == 1:
        root = calls.open(lowers[0], os.O_RDONLY | os.O_DIRECTORY)
    else:
        try:
            mount = _stack(calls, lowers)
        except SyscallError as error:
            raise SetupFailed(f"stack {len(lowers)} layers to read them", str(error)) from error
        # The mount's own descriptor cannot be listed.
        root = calls.open(".", os.O_RDONLY | os.O_DIRECTORY, directory=mount)
        calls.close(mount)
    try:
        yield root
    finally:
        calls.close(root)


@contextmanager
def writable(lowers: tuple[str, ...], upper: str, work: str) -> Iterator[int]:
    """Show `lowers` with a writable directory on top; only behind the launcher, and for a trial.

    Yields: a descriptor of the root, closed at the end.
    Raises: SetupFailed, OSError: the kernel does not stack them.
    """
    calls = _calls()
    mount = _stack(calls, lowers, upper, work)
    root = calls.open(".", os.O_RDONLY | os.O_DIRECTORY, directory=mount)
    calls.close(mount)
    try:
        yield root
    finally:
        calls.close(root)


def _stack(
    calls: Syscalls, lowers: tuple[str, ...], upper: str | None = None, work: str | None = None
) -> int:
    global _one_by_one  # noqa: PLW0603 - one kernel per process
    if _one_by_one is None:
        _one_by_one = calls.takes_option("overlay", "lowerdir+", "/")
    if _one_by_one:
        return overlay(calls, lowers, upper=upper, work=work)
    # The old call needs a place to attach to: a tmpfs over `/`, in a mount namespace of this process alone.
    here = os.open(".", os.O_PATH | os.O_CLOEXEC)
    calls.unshare(CLONE_NEWNS)
    calls.make_private()
    scratch = calls.new_mount("tmpfs", (("mode", "0700"),))
    top = calls.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        calls.attach(scratch, top)
        return overlay(calls, lowers, upper=upper, work=work, one_by_one=False, scratch=scratch)
    finally:
        calls.detach(".", scratch)
        calls.change_directory(here)
        for descriptor in (scratch, top, here):
            calls.close(descriptor)


_one_by_one: bool | None = None
_kernel: Syscalls | None = None


def _calls() -> Syscalls:
    global _kernel  # noqa: PLW0603 - loading libc once per process
    if _kernel is None:
        _kernel = Syscalls()
    return _kernel
