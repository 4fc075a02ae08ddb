"""Functions that the tests run behind the launcher."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from runtime import view
from runtime.beneath import read_beneath
from runtime.stack import overlay
from runtime.syscalls import CLONE_NEWNS, Syscalls
from runtime.view import mounted

Report = Callable[[object], None]


def echo(arguments: object, fds: tuple[int, ...], report: Report) -> object:
    """Return the arguments and what the descriptors hold."""
    return [arguments, [os.read(fd, 100) for fd in fds]]


def count(arguments: object, fds: tuple[int, ...], report: Report) -> object:
    """Report every number below the argument."""
    assert isinstance(arguments, int)
    for number in range(arguments):
        report(number)
    return "done"


def open_file(arguments: object, fds: tuple[int, ...], report: Report) -> object:
    """Open a file."""
    assert isinstance(arguments, str)
    with open(arguments, "rb") as file:
        return file.read()


def sleep(arguments: object, fds: tuple[int, ...], report: Report) -> object:
    """Say that it begins, and take a minute."""
    report(os.getpid())
    time.sleep(60)
    return None


def kill_itself(arguments: object, fds: tuple[int, ...], report: Report) -> object:
    """End as when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)
    return None


def process_id(arguments: object, fds: tuple[int, ...], report: Report) -> object:
    """Return in which process it runs."""
    return os.getpid()


def owner(arguments: object, fds: tuple[int, ...], report: Report) -> object:
    """Give a file to an owner and return what it then has."""
    assert isinstance(arguments, list)
    path, uid = arguments
    os.chown(path, uid, uid)
    return [os.geteuid(), os.stat(path).st_uid]


def read_stacked_by_the_old_call(arguments: object, fds: tuple[int, ...], report: Report) -> object:
    """Do the same as on a kernel that takes all layers in one text."""
    view._one_by_one = False
    try:
        return [read_stacked(arguments, fds, report), os.getcwd()]
    finally:
        view._one_by_one = None


def write_stacked_by_the_old_call(
    arguments: object, fds: tuple[int, ...], report: Report
) -> object:
    """Write a file and delete another in a stack made as on an older kernel."""
    assert isinstance(arguments, list)
    lowers, upper, work, scratch_on = arguments
    calls = Syscalls()
    calls.unshare(CLONE_NEWNS)
    calls.make_private()
    scratch = calls.new_mount("tmpfs")
    calls.attach(scratch, os.open(scratch_on, os.O_PATH))
    root = overlay(calls, tuple(lowers), upper=upper, work=work, one_by_one=False, scratch=scratch)
    os.chdir("/")
    calls.make_file("new", root, b"new")
    os.unlink("old", dir_fd=root)
    return sorted(os.listdir(os.open(".", os.O_RDONLY, dir_fd=root)))


def read_stacked(arguments: object, fds: tuple[int, ...], report: Report) -> object:
    """Return the names in a stack of directories and the bytes of one file."""
    assert isinstance(arguments, list)
    lowers, path = arguments
    with mounted(tuple(lowers)) as root:
        return [sorted(os.listdir(root)), read_beneath(root, path, 1000)]
