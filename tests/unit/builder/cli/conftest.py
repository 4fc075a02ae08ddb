from __future__ import annotations

import pytest

_OURS = (
    "BUILDKIT_PROGRESS",
    "DOCKER_DEFAULT_PLATFORM",
    "LAPSTRAKE_DEBUG",
    "LAPSTRAKE_ISOLATION",
    "LAPSTRAKE_ROOT",
    "SOURCE_DATE_EPOCH",
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _OURS:
        monkeypatch.delenv(name, raising=False)
