"""The same tests once more, as a user without privileges."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.harness import skipped_for_lack_of_something
from tests.support.unprivileged import (
    CHECKOUT,
    _copy_distribution,
    install_product,
    missing_for_rootless,
    public_directory,
    unprivileged,
)

_TEST_TOOLS = [
    "pytest",
    "pluggy",
    "iniconfig",
    "packaging",
    "pygments",
    "pytest-socket",
    "hypothesis",
    "sortedcontainers",
    "attrs",
]


@pytest.fixture(scope="module")
def public_tests() -> Iterator[tuple[Path, Path]]:
    """An interpreter and a checkout that everybody can reach: these, or copies of them."""
    if reason := missing_for_rootless():
        pytest.skip(reason)
    own = Path(sys.executable)
    if all(_is_public(path) for path in (CHECKOUT, own, own.resolve())):
        yield own, CHECKOUT
        return
    with public_directory("sandbox-tests-") as place:
        interpreter = install_product(place / "environment") / "python"
        (place / "checkout").mkdir()
        tools = place / "checkout"
        for name in _TEST_TOOLS:
            try:
                _copy_distribution(importlib.metadata.distribution(name), tools)
            except importlib.metadata.PackageNotFoundError:
                continue  # another version of a tool needs it
        for name in ("tests/sandbox", "tests/support"):
            shutil.copytree(
                CHECKOUT / name,
                place / "checkout" / name,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        for name in ("pyproject.toml", "tests/conftest.py"):
            shutil.copyfile(CHECKOUT / name, place / "checkout" / name)
        subprocess.run(["chmod", "-R", "a+rX", place], check=True)
        yield interpreter, place / "checkout"


def _is_public(path: Path) -> bool:
    return all(way.stat().st_mode & 0o001 for way in (path, *path.parents) if way.exists())


@pytest.mark.needs_userns
@pytest.mark.parametrize(
    "module",
    [
        "test_run.py",
        "test_walls.py",
        "test_jobs.py",
        "test_mounts.py",
        "test_checkup.py",
        "test_limits.py",
        "test_private_network.py",
        "escape",
    ],
)
@pytest.mark.skipif(
    os.geteuid() != 0, reason="optional: these tests run without privileges already"
)
def test_the_walls_hold_without_privileges(module: str, public_tests: tuple[Path, Path]) -> None:
    interpreter, checkout = public_tests
    person = unprivileged()
    with public_directory("sandbox-", owner=person) as home:
        ran = person.run(
            [
                interpreter,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                "-rs",
                f"--basetemp={home}/t",
                f"tests/sandbox/{module}",
            ],
            cwd=checkout,
            environment={"HOME": str(home), "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert "passed" in ran.stdout
    assert not skipped_for_lack_of_something(ran.stdout)
