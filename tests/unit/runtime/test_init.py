"""What a refused step of the set-up advises."""

from __future__ import annotations

import errno

import pytest

from runtime.init import explained
from runtime.syscalls import SyscallError


@pytest.mark.parametrize("call", ["fsopen", "open_tree", "mount_setattr"])
def test_root_that_may_not_mount_is_told_of_user_namespaces(call: str) -> None:
    error = explained("mount sysfs on `/sys`", SyscallError(errno.EPERM, call, "sysfs"))
    assert error.hint is not None
    assert "--isolation userns-root" in error.hint


def test_other_refusals_keep_their_own_advice() -> None:
    masked = explained("mount proc", SyscallError(errno.EPERM, "fsmount", "proc"))
    assert masked.hint is not None
    assert "unmasked /proc" in masked.hint
    assert explained("change the owner", SyscallError(errno.EPERM, "chown", "x")).hint is None
