"""The user as whom rootless tests run, and a copy of the product that this user can execute.

A checkout often lies in a home directory that nobody else may enter, with an interpreter in another one. So
the product and its dependencies are copied to a public directory, under an interpreter that everybody can
execute: what an unprivileged user would have after `pip install`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import pwd
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

USER = "lapstrake-test"
CHECKOUT = Path(__file__).resolve().parents[2]


class Person(NamedTuple):
    """Whom a command runs as."""

    uid: int
    gid: int
    home: Path

    @property
    def is_me(self) -> bool:
        """Say whether no change of user is needed."""
        return self.uid == os.geteuid()

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: str | Path = "/",
        environment: dict[str, str] | None = None,
        stdin: str | None = None,
        timeout: float = 600,
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` as this person, with a home and a clean environment; output is captured as text."""
        given = {} if self.is_me else {"user": self.uid, "group": self.gid, "extra_groups": ()}
        return subprocess.run(
            argv,
            cwd=cwd,
            env=self.environment(environment),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            **given,
        )

    def environment(self, more: dict[str, str] | None = None) -> dict[str, str]:
        """Return the environment of a fresh login, without what the tests themselves were started with."""
        return {
            "HOME": str(self.home),
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            **(more or {}),
        }


@functools.cache
def missing_for_rootless() -> str | None:
    """Return why rootless tests cannot run here, or None when they can."""
    for program in ("newuidmap", "newgidmap"):
        if shutil.which(program) is None:
            return f"{program} is not installed (package uidmap)"
    person = _person()
    if person is None:
        return f"there is no user {USER} (`make test` as root adds it)"
    name = pwd.getpwuid(person.uid).pw_name
    for file in (Path("/etc/subuid"), Path("/etc/subgid")):
        owners = (
            {line.split(":")[0] for line in file.read_text().splitlines()}
            if file.exists()
            else set()
        )
        if not owners & {name, str(person.uid)}:
            return f"{name} has no subordinate ids in {file}"
    if public_interpreter() is None:
        return f"no Python {sys.version_info[0]}.{sys.version_info[1]} that other users can execute"
    return None


def unprivileged() -> Person:
    """Return the user of the rootless tests: the one set up for them, or the caller when that is not root.

    Only to be called where `missing_for_rootless` has nothing to say.
    """
    person = _person()
    assert person is not None
    return person


def _person() -> Person | None:
    try:
        entry = pwd.getpwnam(USER) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    except KeyError:
        return None
    return Person(entry.pw_uid, entry.pw_gid, Path(entry.pw_dir))


@functools.cache
def public_interpreter() -> Path | None:
    """Return an interpreter of this version that everybody can execute."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    own = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    for path in (own, Path(f"/usr/bin/python{version}"), Path(f"/usr/local/bin/python{version}")):
        if path.exists() and all(way.stat().st_mode & 0o001 for way in (path, *path.parents)):
            return path
    return None


@contextlib.contextmanager
def public_directory(prefix: str, *, owner: Person | None = None) -> Iterator[Path]:
    """Make a directory that everybody can enter, outside of every home, and remove it afterwards.

    It lies below /var/tmp: /tmp is often a small file system in memory.
    """
    path = Path(tempfile.mkdtemp(prefix=prefix, dir="/var/tmp"))
    path.chmod(0o755)
    if owner is not None and not owner.is_me:
        os.chown(path, owner.uid, owner.gid)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if path.exists():
            # Run without root, a rootless store holds files of our subordinate ids.
            subprocess.run(
                ["unshare", "--map-root-user", "--map-auto", "rm", "-rf", path], check=False
            )


def install_product(target: Path) -> Path:
    """Install the product of this checkout below `target`; return its directory of programs.

    Needs no network: dependencies are copied from the environment that runs the tests.
    """
    interpreter = public_interpreter()
    assert interpreter is not None
    subprocess.run([interpreter, "-m", "venv", "--without-pip", target], check=True, cwd="/")
    scheme = sysconfig.get_path("purelib", "venv", {"base": str(target), "platbase": str(target)})
    for name in sorted(_dependencies()):
        _copy_distribution(importlib.metadata.distribution(name), Path(scheme))
    for package in ("builder", "runtime"):
        shutil.copytree(
            CHECKOUT / package, Path(scheme, package), ignore=shutil.ignore_patterns("__pycache__")
        )
    information = Path(scheme, f"lapstrake-{_project()['version']}.dist-info")
    information.mkdir()
    information.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: lapstrake\nVersion: {_project()['version']}\n"
    )
    subprocess.run([target / "bin/python", "-m", "compileall", "-q", scheme], check=True, cwd="/")
    for name in ("lapstrake", "build"):
        program = target / "bin" / name
        program.write_text(
            f"#!{target}/bin/python\nimport sys\nfrom builder.cli.start import {name}\nsys.exit({name}())\n"
        )
        program.chmod(0o755)
    for folder, _, files in os.walk(target):
        for path in (folder, *(os.path.join(folder, file) for file in files)):
            if not os.path.islink(path):
                os.chmod(path, os.stat(path).st_mode | (0o055 if path == folder else 0o044))
    return target / "bin"


def _project() -> dict[str, Any]:
    return dict(tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"])


def _dependencies() -> set[str]:
    """Return all distributions that the product needs, directly or not, without extras."""
    found: set[str] = set()
    waiting = list(_project()["dependencies"])
    while waiting:
        requirement = waiting.pop()
        needed = re.match(r"[\w.-]+", requirement)
        if needed is None or ";" in requirement or needed[0].lower() in found:
            continue
        found.add(needed[0].lower())
        waiting.extend(importlib.metadata.requires(needed[0]) or ())
    return found


def _copy_distribution(distribution: importlib.metadata.Distribution, target: Path) -> None:
    for file in distribution.files or ():
        if file.parts[0] == ".." or "__pycache__" in file.parts:
            continue  # programs, for which the product has no use
        destination = target / file
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(distribution.locate_file(file)), destination)
