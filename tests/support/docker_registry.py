"""A real registry on loopback: Debian's `docker-registry`, started and ended by the tests."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATIENCE = 20.0  # seconds until the registry must answer


def free_port() -> int:
    """Return a port of the loopback interface on which nobody listens at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_answer(port: int, path: str, *, process: subprocess.Popen[bytes]) -> None:
    """Wait until something on `port` answers http, or fail when `process` ends before it does."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            message = f"the server ended with code {process.returncode} before it answered"
            raise RuntimeError(message)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", path)
            connection.getresponse().read()
        except OSError:
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
    message = f"nothing answered on port {port} within {PATIENCE:.0f} s"
    raise TimeoutError(message)


@contextlib.contextmanager
def docker_registry(
    directory: Path,
    *,
    htpasswd: Path | None = None,
    tls: tuple[Path, Path] | None = None,
    clients: Path | None = None,
    proxy: str | None = None,
    token: dict[str, object] | None = None,
) -> Iterator[str]:
    """Serve a registry that stores in `directory`; yield its `host:port`.

    With `htpasswd`, a file of bcrypt lines, it asks for basic authentication. With `tls`, a certificate and its key,
    it speaks TLS, with `clients` only to those whose certificate that authority has signed. With `proxy`, the address
    of another registry, it is a mirror that fetches what it lacks from there. `token` are the settings of a token service.
    """
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "blobs")},
            "delete": {"enabled": True},
        },
        "http": {"addr": f"127.0.0.1:{port}", "secret": "only for tests"},
    }
    if htpasswd is not None:
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(htpasswd)}}
    if tls is not None:
        config["http"]["tls"] = {"certificate": str(tls[0]), "key": str(tls[1])}
        if clients is not None:
            config["http"]["tls"]["clientcas"] = [str(clients)]
    if token is not None:
        config["auth"] = {"token": token}
    if proxy is not None:
        config["proxy"] = {"remoteurl": proxy}
    path = directory / "config.yml"
    path.write_text(json.dumps(config))  # JSON is YAML
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(path)], stdout=log, stderr=log, cwd=directory
        )
        try:
            wait_for_answer(port, "/v2/", process=process)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=20)
