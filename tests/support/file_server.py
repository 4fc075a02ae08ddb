"""A web server on loopback whose answers a test decides."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class File:
    """One file that is served; `cut` ends the first answers early, at so many bytes of the body each."""

    def __init__(self, data: bytes, **headers: str) -> None:
        self.data = data
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.status = 200
        self.cut: list[int] = []
        self.ranges = True
        self.wants: str | None = None
        """The `Authorization` without which there is no answer but 401."""


class FileServer:
    """What is served, by path, and what was asked for: method, path and headers in lower case."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.files: dict[str, File] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []

    def url(self, path: str) -> str:
        """Return the address of a path that begins with a slash."""
        return f"http://127.0.0.1:{self.port}{path}"

    def asked(self, path: str) -> list[dict[str, str]]:
        """Return the headers of each request for a path."""
        return [headers for _, asked, headers in self.requests if asked == path]


@contextmanager
def serving_files() -> Iterator[FileServer]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            served.requests.append((self.command, self.path, headers))
            file = served.files.get(self.path)
            if file is None:
                self.send_error(404)
                return
            if file.wants not in (None, headers.get("authorization")):
                self.send_error(401)
                return
            self._answer(file, headers)

        def _answer(self, file: File, asked: dict[str, str]) -> None:
            etag, modified = file.headers.get("ETag"), file.headers.get("Last-Modified")
            same_etag = etag is not None and asked.get("if-none-match") == etag
            same_time = modified is not None and asked.get("if-modified-since") == modified
            if same_etag or ("if-none-match" not in asked and same_time):
                self.send_response(304)
                self.end_headers()
                return
            data, status = file.data, file.status
            begin = asked.get("range", "").removeprefix("bytes=").removesuffix("-")
            headers = dict(file.headers)
            if file.ranges and begin and asked.get("if-range") in (etag, modified):
                status = 206
                headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
                data = data[int(begin) :]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: file.cut.pop(0)] if file.cut else data)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = FileServer(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
