"""Runs commands in sandboxes and looks at what is left."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from runtime.launch import Cancellation, Launcher
from runtime.spec import (
    ContainerSpec,
    ExitStatus,
    IsolationName,
    Mount,
    Network,
    Process,
    Rootfs,
    Unset,
)


class Ran(NamedTuple):
    """How a command ended and what it wrote; which limits it reached, and which could not be set."""

    code: int
    out: str
    err: str
    upper: Path
    reached: tuple[str, ...] = ()
    unset: tuple[Unset, ...] = ()


class Sandbox:
    """Runs commands in fresh writable layers over one image."""

    def __init__(self, launcher: Launcher, directory: Path, image: Path) -> None:
        self.launcher = launcher
        self.directory = directory
        self.image = image
        self._count = 0

    def spec(
        self,
        *argv: str,
        lowers: tuple[Path, ...] = (),
        writable: bool = True,
        mounts: tuple[Mount, ...] = (),
        files: tuple[tuple[str, bytes], ...] = (),
        network: Network = Network.HOST,
        env: tuple[str, ...] = ("PATH=/bin",),
        cwd: str = "/",
        user: str = "",
        terminal: bool = False,
        **more: Any,
    ) -> ContainerSpec:
        """Return what runs `argv`; a single argument is a shell script."""
        self._count += 1
        upper = self.directory / f"upper{self._count}"
        work = self.directory / f"work{self._count}"
        if writable:
            upper.mkdir()
            work.mkdir()
        command = ("/bin/sh", "-c", argv[0]) if len(argv) == 1 else argv
        return ContainerSpec(
            rootfs=Rootfs(
                lowers=tuple(map(str, lowers or (self.image,))),
                upper=str(upper) if writable else None,
                work=str(work) if writable else None,
            ),
            process=Process(argv=command, env=env, cwd=cwd, user=user, terminal=terminal),
            mounts=mounts,
            files=files,
            network=network,
            **more,
        )

    def run(self, *argv: str, stdin: int | None = None, **options: object) -> Ran:
        """Run a command with small output to its end."""
        spec = self.spec(*argv, **options)
        out, err = self.directory / f"out{self._count}", self.directory / f"err{self._count}"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            unset: list[Unset] = []
            status = self.launcher.run(
                spec,
                stdin=stdin,
                stdout=stdout.fileno(),
                stderr=stderr.fileno(),
                on_unset=unset.append,
            )
        return Ran(
            status.code,
            out.read_text(),
            err.read_text(),
            Path(spec.rootfs.upper or "/nonexistent"),
            status.reached,
            tuple(unset),
        )

    def start(self, spec: ContainerSpec, *, cancellation: Cancellation | None = None) -> ExitStatus:
        """Run a command whose output nobody wants."""
        null = os.open(os.devnull, os.O_RDWR)
        try:
            return self.launcher.run(
                spec, stdin=None, stdout=null, stderr=null, cancellation=cancellation
            )
        finally:
            os.close(null)


def walls() -> IsolationName:
    """Return which walls the current user is to get: on a simulated host, those that it is named for."""
    if wanted := os.environ.get("LAPSTRAKE_TEST_WALLS"):
        return IsolationName(wanted)
    return IsolationName.ROOT if os.geteuid() == 0 else IsolationName.ROOTLESS


def processes_of(marker: str) -> list[str]:
    """Return the processes on this machine whose command line contains `marker`."""
    found = subprocess.run(["pgrep", "-f", marker], capture_output=True, text=True)
    return [pid for pid in found.stdout.split() if pid != str(os.getpid())]


def skipped_for_lack_of_something(said: str) -> list[str]:
    """Return the skips in what `pytest -rs` said that should not have been."""
    lines = [line for line in said.splitlines() if line.startswith("SKIPPED")]
    return [line for line in lines if "optional:" not in line]
