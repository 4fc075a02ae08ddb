"""What is built, by whom, and what it must print."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.product import Product

PROJECTS = ("c-two-stage", "python-web", "static-site")
USERS = ("root", "rootless")

# What the image prints when it is run: arguments for `run`, and the output.
SELF_TESTS: dict[str, tuple[tuple[str, ...], str]] = {
    "c-two-stage": (("12",), "2 3 5 7 11\n5 primes up to 12\n"),
    "python-web": (
        ("python", "-m", "service", "--self-test"),
        '[["fish",2],["one",1],["two",1]]\n',
    ),
    "static-site": (
        ("sh", "-c", "grep -c bowline knots.html; ls"),
        "1\nassets\nboats.html\nindex.tsv\nknots.html\ntides.html\n",
    ),
}


class Built(NamedTuple):
    """One project, built by one user, pushed to a registry and saved to an archive."""

    project: str
    user: str
    name: str
    product: Product
    context: Path
    log: str
    archive: Path

    @property
    def self_test(self) -> tuple[tuple[str, ...], str]:
        """Return the arguments of the self-test and what it must print."""
        return SELF_TESTS[self.project]

    @property
    def entrypoint(self) -> tuple[str, ...]:
        """Return what the image puts before the arguments of a run."""
        return tuple(self.product.inspect(self.name)["Config"].get("Entrypoint") or ())

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the image with `lapstrake run`."""
        return self.product.run("run", "--rm", "--network", "host", self.name, *arguments)


Builds = Callable[[str, str], Built]
"""Builds a project, by its name, as a user."""


def needs(*programs: str) -> None:
    """Skip where a judging program is missing."""
    for program in programs:
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            pytest.skip(f"{program} is not installed")
