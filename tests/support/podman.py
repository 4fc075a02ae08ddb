"""Debian's podman and buildah to judge images by, with storage of their own.

They need root, run containers with runc in the host's network, and ask for no limits that the caller lacks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_CONFIGURATION = """
[containers]
default_ulimits = []
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
"""


class Podman:
    """Both programs on one storage below `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(exist_ok=True)
        (directory / "containers.conf").write_text(_CONFIGURATION)

    def run(self, *arguments: str | Path) -> str:
        """Run `podman`, which must succeed; return what it printed."""
        return self._ask("podman", arguments)

    def buildah(self, *arguments: str | Path) -> str:
        """Run `buildah`, which must succeed; return what it printed."""
        return self._ask("buildah", arguments)

    def _ask(self, program: str, arguments: tuple[str | Path, ...]) -> str:
        storage = ["--root", self._directory / "root", "--runroot", self._directory / "run"]
        done = subprocess.run(
            [program, *storage, "--storage-driver", "vfs", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "CONTAINERS_CONF": str(self._directory / "containers.conf")},
        )
        words = " ".join(map(str, (program, *arguments)))
        assert done.returncode == 0, f"{words} ended with {done.returncode}\n{done.stderr}"
        return done.stdout

    def close(self) -> None:
        """Remove the storage."""
        shutil.rmtree(self._directory, ignore_errors=True)
