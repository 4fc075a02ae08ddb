"""A git server on loopback: repositories below one directory, served by git's own program for it."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

IDENTITY = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.com",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "PATH": os.environ["PATH"],
}


class GitServer:
    """What is served: `url(name)` is the address of a repository; `requests` are the paths asked for.

    `wants` is the `Authorization` without which there is no answer but 401, `told` are those that came. With
    `sends_to`, every request is redirected to the same path below that address.
    """

    def __init__(self, root: Path, port: int) -> None:
        self.root = root
        self.port = port
        self.requests: list[str] = []
        self.wants: str | None = None
        self.told: list[str] = []
        self.sends_to = ""

    def url(self, name: str) -> str:
        """Return the address of a repository, `NAME.git`."""
        return f"http://127.0.0.1:{self.port}/{name}.git"

    def git(self, name: str, *arguments: str) -> str:
        """Run git in the work tree of a repository."""
        done = subprocess.run(
            ["git", "-C", str(self.work(name)), *arguments],
            env=IDENTITY,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def work(self, name: str) -> Path:
        """Return the work tree of a repository, where it is changed."""
        return self.root / f"{name}.git"

    def create(self, name: str, files: dict[str, str]) -> str:
        """Make a repository with one commit on `main`; return the commit."""
        work = self.work(name)
        work.mkdir()
        self.git(name, "init", "--quiet", "-b", "main")
        self.git(name, "config", "http.receivepack", "false")
        return self.commit(name, files)

    def commit(self, name: str, files: dict[str, str]) -> str:
        """Add files and commit them; return the commit."""
        for path, text in files.items():
            target = self.work(name) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        self.git(name, "add", "--all")
        self.git(name, "commit", "--quiet", "-m", "change")
        return self.git(name, "rev-parse", "HEAD")


@contextmanager
def serving(root: Path) -> Iterator[GitServer]:
    """Serve the repositories below `root` until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _answer(self, body: bytes) -> None:
            parts = urlsplit(self.path)
            served.requests.append(f"{self.command} {self.path}")
            authorization = self.headers.get("Authorization")
            if authorization is not None:
                served.told.append(authorization)
            if served.sends_to:
                self.send_response(302)
                self.send_header("Location", f"{served.sends_to}{self.path}")
                self.end_headers()
                return
            if served.wants not in (None, authorization):
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="here"')
                self.end_headers()
                return
            done = subprocess.run(
                ["git", "http-backend"],
                input=body,
                capture_output=True,
                env={
                    **IDENTITY,
                    "GIT_PROJECT_ROOT": str(root),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "PATH_INFO": parts.path,
                    "QUERY_STRING": parts.query,
                    "REQUEST_METHOD": self.command,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "CONTENT_LENGTH": str(len(body)),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                    "REMOTE_ADDR": "127.0.0.1",
                },
                check=False,
            )
            head, _, rest = done.stdout.partition(b"\r\n\r\n")
            status, headers = 200, []
            for line in head.decode().split("\r\n"):
                key, _, value = line.partition(": ")
                if key == "Status":
                    status = int(value.split()[0])
                elif key:
                    headers.append((key, value))
            self.send_response(status)
            for key, value in headers:
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(rest)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = GitServer(root, server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
