"""A real Docker engine to judge images by: Debian's `dockerd`, without network of its own.

Needs root. It stores below one directory, makes no firewall rules and no bridge, and is ended by its
process id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PATIENCE = 60.0  # seconds until the engine must answer


class DockerEngine:
    """The `docker` client, bound to one engine."""

    def __init__(self, socket: Path) -> None:
        self._host = f"unix://{socket}"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `docker` with `arguments`; its output is captured as text."""
        return subprocess.run(
            ["docker", "--host", self._host, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )


@contextlib.contextmanager
def docker_engine(directory: Path) -> Iterator[DockerEngine]:
    """Run an engine whose whole state is below `directory`, which must not be on an overlay."""
    socket = directory / "docker.sock"
    # fmt: off
    argv = [
        # In a mount namespace of its own, so that the network namespace it pins goes with it.
        "unshare", "--mount", "--propagation", "private",
        "dockerd", "--data-root", str(directory / "data"), "--exec-root", str(directory / "exec"),
        "--pidfile", str(directory / "pid"), "--host", f"unix://{socket}", "--iptables=false",
        "--bridge=none", "--log-level=warn",
    ]
    # fmt: on
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, env=environment)
        try:
            engine = DockerEngine(socket)
            _wait(engine, process, directory / "log")
            yield engine
        finally:
            process.terminate()
            process.wait(timeout=60)
            shutil.rmtree(directory / "data", ignore_errors=True)


def _wait(engine: DockerEngine, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if engine.run("info").returncode == 0:
            return
        time.sleep(0.3)
    message = f"the Docker engine did not start:\n{log.read_text(errors='replace')[-2000:]}"
    raise RuntimeError(message)
