"""What ADD downloads in the cases: files over HTTP and git repositories, always with the same bytes, on loopback."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.conformance.ground import make_archive
from tests.support.git_server import IDENTITY, serving

MODIFIED = "Wed, 01 Jan 2014 00:00:00 GMT"
DATE = {"GIT_AUTHOR_DATE": "1500000000 +0000", "GIT_COMMITTER_DATE": "1500000000 +0000"}
ARCHIVE = {"members": [{"name": "f", "text": "in archive\n", "uid": 5, "gid": 6, "mode": "640"}]}
FILES: dict[str, tuple[bytes, dict[str, str]]] = {
    "/plain.txt": (b"over http\n", {"Last-Modified": MODIFIED}),
    "/sub/deep.txt": (b"deep\n", {"Last-Modified": MODIFIED}),
    "/no-time.txt": (b"no time\n", {}),
    "/named": (
        b"named\n",
        {"Last-Modified": MODIFIED, "Content-Disposition": 'attachment; filename="given-name.txt"'},
    ),
    "/archive.tar": (make_archive(ARCHIVE), {"Last-Modified": MODIFIED}),
    "/archive.tar.gz": (
        make_archive({**ARCHIVE, "compression": "gzip"}),
        {"Last-Modified": MODIFIED},
    ),
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/plain.txt")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data, headers = FILES.get(path, (b"not here\n", {}))
        self.send_response(200 if path in FILES else 404)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def remote(folder: Path) -> Iterator[dict[str, str]]:
    """Serve until the block ends; yield what `{http}`, `{git}` and the names of commits stand for."""
    folder.mkdir()
    commits = write_repositories(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with serving(folder) as git:
            yield {
                "{http}": f"http://127.0.0.1:{server.server_address[1]}",
                "{git}": f"http://127.0.0.1:{git.port}",
                **commits,
            }
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def write_repositories(folder: Path) -> dict[str, str]:
    """Make `other.git` and `repo.git`; the same commits every time."""
    other, repo = folder / "other.git", folder / "repo.git"
    _start(other)
    other.joinpath("other.txt").write_text("other\n")
    vendored = _commit(other)
    _start(repo)
    repo.joinpath("sub").mkdir()
    repo.joinpath("README").write_text("one\n")
    repo.joinpath("sub/file").write_text("sub\n")
    repo.joinpath("program").write_text("#!/bin/sh\n")
    repo.joinpath("program").chmod(0o755)
    repo.joinpath("link").symlink_to("README")
    first = _commit(repo)
    _git(repo, "tag", "v1")
    _git(repo, "checkout", "-q", "-b", "topic")
    repo.joinpath("topic.txt").write_text("topic\n")
    repo.joinpath(".gitmodules").write_text(
        '[submodule "vendored"]\n\tpath = vendored\n\turl = ../other.git\n'
    )
    _git(repo, "update-index", "--add", "--cacheinfo", f"160000,{vendored},vendored")
    repo.joinpath("vendored").mkdir()
    topic = _commit(repo)
    _git(repo, "checkout", "-q", "main")
    repo.joinpath("README").write_text("two\n")
    second = _commit(repo)
    return {"{first}": first, "{second}": second, "{topic}": topic}


def _start(work: Path) -> None:
    work.mkdir()
    _git(work, "init", "-q", "-b", "main")
    _git(work, "config", "uploadpack.allowAnySHA1InWant", "true")


def _commit(work: Path) -> str:
    _git(work, "add", "--all", "--ignore-errors", "--", ".", ":!vendored")
    _git(work, "commit", "-q", "-m", "change")
    return _git(work, "rev-parse", "HEAD")


def _git(work: Path, *arguments: str) -> str:
    # The umask of whoever runs the tests does not count: git keeps only the right to execute.
    done = subprocess.run(
        ["git", "-C", str(work), *arguments],
        env={**IDENTITY, **DATE, "HOME": os.devnull},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
