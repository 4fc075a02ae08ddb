"""Errors of the runtime in the builder's words."""

from __future__ import annotations

import errno

import pytest

from builder.errors import (
    BuildError,
    Cancelled,
    ContainerError,
    ContextError,
    LapstrakeError,
    StoreError,
)
from builder.solve.translate import translate, translated
from runtime.errors import (
    Interrupted,
    JobFailed,
    LauncherGone,
    SandboxError,
    SetupFailed,
    StartFailed,
    Unsupported,
)


@pytest.mark.parametrize(
    ("error", "kind", "code", "exit_code"),
    [
        (Unsupported("userns", "no"), BuildError, "build.no-isolation", 125),
        (
            StartFailed("no such program", exit_code=127),
            ContainerError,
            "container.start-failed",
            127,
        ),
        (SetupFailed("mount", "no"), BuildError, "build.setup-failed", 1),
        (Interrupted(signal_number=15), Cancelled, "build.cancelled", 143),
        (LauncherGone("gone"), BuildError, "build.launcher-gone", 1),
    ],
)
def test_each_kind_has_its_code(error: SandboxError, kind: type, code: str, exit_code: int) -> None:
    told = translate(error)
    assert isinstance(told, kind)
    assert (told.code, told.exit_code) == (code, exit_code)


def test_what_the_kernel_refuses_behind_the_launcher_is_told_as_such() -> None:
    detail: dict[str, object] = {"message": "cannot stack 501 layers: no", "hint": "have fewer"}
    told = translate(JobFailed("cannot stack 501 layers: no", kind="SetupFailed", detail=detail))
    assert (told.code, told.message) == ("build.setup-failed", "cannot stack 501 layers: no")
    assert told.hint == "have fewer"


def test_an_error_of_ours_comes_back_as_it_was_raised() -> None:
    original = ContextError("`a` is gone", notes=("fact",), hint="try", code="context.changed")
    detail: dict[str, object] = {
        "message": original.message,
        "code": original.code,
        "notes": list(original.notes),
        "hint": original.hint,
    }
    told = translate(JobFailed("`a` is gone", kind="ContextError", detail=detail))
    assert isinstance(told, ContextError)
    assert (told.message, told.code, told.notes, told.hint) == (
        original.message,
        original.code,
        original.notes,
        original.hint,
    )


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_as_one(number: int) -> None:
    told = translate(JobFailed("full", kind="OSError", detail={"errno": number}))
    assert isinstance(told, StoreError)
    assert told.code == "store.no-space"
    with pytest.raises(StoreError, match="no space"), translated():
        raise OSError(number, "full", "/path")


def test_what_nobody_expected_asks_for_a_report() -> None:
    told = translate(JobFailed("boom", kind="ZeroDivisionError"))
    assert isinstance(told, LapstrakeError)
    assert told.code == "internal"
    assert "ZeroDivisionError: boom" in told.message
