"""Refusals that tell what would allow it."""

from __future__ import annotations

import os

import pytest

from runtime import features, isolation
from runtime.errors import Unsupported
from runtime.spec import IsolationName
from runtime.syscalls import SyscallError
from tests.support.syscalls import RecordingSyscalls


class Forbidding(RecordingSyscalls):
    """A kernel that lets nobody into a namespace."""

    def unshare(self, flags: int) -> None:
        """Refuse."""
        raise SyscallError(1, "unshare")


def test_root_without_the_capability_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(Unsupported, match="CAP_SYS_ADMIN is missing"):
        isolation.enter(IsolationName.ROOT, Forbidding())


def test_root_walls_need_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234567)
    with pytest.raises(Unsupported, match="needs user 0"):
        isolation.enter(IsolationName.ROOT, Forbidding())


def test_missing_subordinate_ids_name_the_command_that_adds_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234567)
    with pytest.raises(Unsupported, match="no subordinate ids to `1234567`") as caught:
        isolation.enter(IsolationName.ROOTLESS, Forbidding())
    assert "usermod --add-subuids" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
        ("/proc/sys/user/max_user_namespaces", "0"),
    ],
)
def test_a_refused_user_namespace_names_the_switch(
    monkeypatch: pytest.MonkeyPatch, knob: str, value: str
) -> None:
    monkeypatch.setattr(features, "_first_line", lambda path: value if path == knob else "")
    refused = features.why_no_user_namespace(SyscallError(1, "unshare"))
    assert knob in refused.message
    assert "sysctl -w" in str(refused.hint)


def test_auto_says_of_each_kind_why_it_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(Unsupported, match="none of the walls") as caught:
        isolation.enter(IsolationName.AUTO, Forbidding())
    notes = " | ".join(caught.value.notes)
    assert "isolation `root`" in notes
    assert "a user namespace" in notes
    assert caught.value.hint
