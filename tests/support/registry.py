"""A registry on loopback that misbehaves on command.

It keeps to the distribution specification until `fault` tells it otherwise. Every request is recorded with
its headers, so that tests can say what must not have been sent.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from builder.oci.manifest import Index, Manifest
from tests.support.sample_image import SampleImage


@dataclass(frozen=True)
class Seen:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def authorization(self) -> str | None:
        """What the request proved who sent it with."""
        return self.headers.get("authorization")


@dataclass
class Fault:
    """What to do instead, for requests of `method` whose path contains `part`, `times` times (-1: always).

    `act` gets the handler and returns whether it has answered. With `early` it comes before the request's body.
    """

    method: str
    part: str
    act: Callable[[Handler], bool]
    times: int = 1
    early: bool = False


@dataclass
class Registry:
    """The state of one server; `auth` is None, "basic" or "token"."""

    auth: str | None = None
    username: str = "ada"
    password: str = "pa:ss"
    realm: str | None = None
    token_lifetime: int = 300
    mounts: bool = True
    relative_locations: bool = True
    page: int = 100
    most: int | None = None
    """The largest body that is taken."""
    least: int | None = None
    """The smallest chunk that is taken, but for the last."""
    referrers: bool = False
    """Whether it lists what refers to a manifest."""
    conditions: bool = False
    """Whether it says which version of a manifest it has, and takes another only in the place of that."""
    tells_status: bool = True
    """Whether it says how far an upload is."""
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    begun: int = 0
    """How many uploads have begun."""
    tokens: dict[str, set[str]] = field(default_factory=dict)
    identity_tokens: set[str] = field(default_factory=set)
    requests: list[Seen] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    host: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, repository: str, tag: str, image: SampleImage) -> None:
        """Publish an image."""
        for digest, data in image.blobs.items():
            self.blobs[repository, digest] = data
        self.add_manifest(repository, tag, image.manifest)

    def add_manifest(self, repository: str, tag: str, manifest: Manifest | Index) -> None:
        """Publish a manifest or index by tag and digest."""
        for name in (tag, manifest.descriptor().digest):
            self.manifests[repository, name] = (manifest.media_type, manifest.raw)

    def fault(
        self,
        method: str,
        part: str,
        act: Callable[[Handler], bool],
        *,
        times: int = 1,
        early: bool = False,
    ) -> None:
        """Misbehave."""
        self.faults.append(Fault(method, part, act, times, early))

    def count(self, method: str, part: str) -> int:
        """Return how many requests of a kind came."""
        return sum(seen.method == method and part in seen.path for seen in self.requests)

    def fault_for(self, method: str, path: str, *, early: bool) -> Fault | None:
        """Take the next fault that is meant for a request."""
        with self.lock:
            for fault in self.faults:
                meant = fault.method == method and fault.part in path and fault.early == early
                if fault.times and meant:
                    fault.times -= 1
                    return fault
        return None


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    registry: Registry
    body: bytes = b""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle_any(self) -> None:
        """Answer any request."""
        early = self.registry.fault_for(self.command, self.path, early=True)
        if early is not None and early.act(self):
            return
        length = int(self.headers.get("Content-Length") or 0)
        if self.registry.most is not None and length > self.registry.most:
            self.close_connection = True
            self.error(413, "SIZE_INVALID", "request entity too large")
            self._drain(length)
            return
        self.body = self.rfile.read(length)
        self.registry.requests.append(
            Seen(
                self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, self.body
            )
        )
        fault = self.registry.fault_for(self.command, self.path, early=False)
        if fault is not None and fault.act(self):
            return
        path = urlsplit(self.path).path
        if path == "/token":
            self.token()
        elif self.allowed():
            self.route(path)

    def _drain(self, length: int) -> None:
        """Read what nobody wants: closing before would reset the connection, and the answer with it."""
        with contextlib.suppress(OSError):
            while length > 0 and (piece := self.rfile.read(min(length, 65536))):
                length -= len(piece)

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Answer to `do_GET` and all its kind."""
        if name.startswith("do_"):
            return self.handle_any
        raise AttributeError(name)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer; underscores in header names stand for dashes."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status: int, code: str, message: str = "", **headers: str) -> None:
        """Answer as registries refuse."""
        body = json.dumps({"errors": [{"code": code, "message": message or code.lower()}]}).encode()
        self.answer(status, body, Content_Type="application/json", **headers)

    # Who may.

    def token(self) -> None:
        """Give out a token."""
        query = parse_qs(urlsplit(self.path).query)
        user = "anonymous"
        if self.command == "POST":
            form = parse_qs(self.body.decode())
            if form.get("refresh_token", [""])[0] not in self.registry.identity_tokens:
                return self.error(401, "UNAUTHORIZED", "bad refresh token")
            query, user = {"scope": form.get("scope", [""])[0].split()}, "identity"
        elif header := self.headers.get("Authorization"):
            if header != self.basic():
                return self.error(
                    401, "UNAUTHORIZED", f"incorrect password {self.registry.password}"
                )
            user = self.registry.username
        token = f"token-{len(self.registry.tokens)}-{user}"
        self.registry.tokens[token] = set(query.get("scope", []))
        answer: dict[str, object] = {"token": token, "expires_in": self.registry.token_lifetime}
        if query.get("offline_token") and user != "anonymous":
            self.registry.identity_tokens.add("identity-1")
            answer["refresh_token"] = "identity-1"
        return self.answer(200, json.dumps(answer).encode(), Content_Type="application/json")

    def basic(self) -> str:
        """Return the one right password as a header."""
        pair = f"{self.registry.username}:{self.registry.password}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def scope(self) -> str:
        """Return the scope that a request needs."""
        if self.path.startswith("/v2/_catalog"):
            return "registry:catalog:*"
        parts = self.path.split("/")
        if len(parts) < 5:
            return ""
        actions = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}
        action = actions.get(self.command, "pull,push")
        repository = self.path.split("/v2/")[1]
        for end in ("/manifests/", "/blobs/", "/tags/", "/referrers/"):
            repository = repository.split(end)[0]
        return f"repository:{repository}:{action}"

    def allowed(self) -> bool:
        """Tell whether a request may pass; else ask who sent it."""
        given = self.headers.get("Authorization", "")
        if self.registry.auth is None:
            return True
        if self.registry.auth == "basic":
            if given == self.basic():
                return True
            self.error(401, "UNAUTHORIZED", WWW_Authenticate='Basic realm="tests"')
            return False
        scope = self.scope()
        scopes = self.registry.tokens.get(given.removeprefix("Bearer "))
        wide = scope.removesuffix("pull") + "pull,push"
        if scopes is not None and (not scope or scope in scopes or wide in scopes):
            return True
        realm = self.registry.realm or f"http://{self.registry.host}/token"
        challenge = f'Bearer realm="{realm}",service="tests"'
        if scope:
            challenge += f',scope="{scope}"'
        self.error(401, "UNAUTHORIZED", WWW_Authenticate=challenge)
        return False

    # What there is.

    def route(self, path: str) -> None:
        """Answer a request of someone who may."""
        if path == "/v2/":
            return self.answer(200, b"{}")
        if path == "/v2/_catalog":
            names = sorted({repository for repository, _ in self.registry.manifests})
            return self.answer(200, json.dumps({"repositories": names}).encode())
        for part, act in (
            ("/manifests/", self.manifest),
            ("/blobs/uploads/", self.upload),
            ("/blobs/", self.blob),
            ("/tags/list", self.tags),
            *((("/referrers/", self.refers),) if self.registry.referrers else ()),
        ):
            before, found, after = path.removeprefix("/v2/").partition(part)
            if found:
                return act(before, after)
        return self.error(404, "NAME_UNKNOWN")

    def manifest(self, repository: str, name: str) -> None:
        """Give or take a manifest."""
        if self.command == "DELETE":
            gone = self.registry.manifests.pop((repository, name), None)
            return self.answer(202) if gone else self.error(404, "MANIFEST_UNKNOWN")
        if self.command == "PUT":
            digest = "sha256:" + hashlib.sha256(self.body).hexdigest()
            wanted = self.headers.get("If-Match")
            if wanted is not None and wanted != self.version(repository, name):
                return self.error(412, "PRECONDITION_FAILED")
            for known in (name, digest):
                self.registry.manifests[repository, known] = (
                    self.headers["Content-Type"],
                    self.body,
                )
            return self.answer(
                201, Location=f"/v2/{repository}/manifests/{digest}", Docker_Content_Digest=digest
            )
        found = self.registry.manifests.get((repository, name))
        if found is None:
            return self.error(404, "MANIFEST_UNKNOWN")
        media_type, raw = found
        digest = "sha256:" + hashlib.sha256(raw).hexdigest()
        more = {"ETag": self.version(repository, name)} if self.registry.conditions else {}
        return self.answer(200, raw, Content_Type=media_type, Docker_Content_Digest=digest, **more)

    def version(self, repository: str, name: str) -> str:
        """Return what tells one version of a manifest from another."""
        _, raw = self.registry.manifests.get((repository, name), ("", b""))
        return f'"{hashlib.sha256(raw).hexdigest()}"'

    def refers(self, repository: str, digest: str) -> None:
        """List what refers to a manifest, one on a page."""
        found = []
        for (home, name), (media_type, raw) in self.registry.manifests.items():
            document = json.loads(raw)
            subject = document.get("subject", {}).get("digest")
            if home == repository and name.startswith("sha256:") and subject == digest:
                found.append(
                    {
                        "mediaType": media_type,
                        "digest": name,
                        "size": len(raw),
                        "artifactType": document.get("artifactType", ""),
                    }
                )
        at = int(parse_qs(urlsplit(self.path).query).get("at", ["0"])[0])
        page = {"schemaVersion": 2, "manifests": found[at : at + 1]}
        link = f'</v2/{repository}/referrers/{digest}?at={at + 1}>; rel="next"'
        more = {"Link": link} if at + 1 < len(found) else {}
        media_type = "application/vnd.oci.image.index.v1+json"
        return self.answer(200, json.dumps(page).encode(), Content_Type=media_type, **more)

    def blob(self, repository: str, digest: str) -> None:
        """Give a blob, or a part of it."""
        data = self.registry.blobs.get((repository, digest))
        if data is None:
            return self.error(404, "BLOB_UNKNOWN")
        wanted = self.headers.get("Range")
        if wanted is None:
            return self.answer(200, data)
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        return self.answer(
            206, data[start:], Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}"
        )

    def upload(self, repository: str, session: str) -> None:
        """Take a blob."""
        query = parse_qs(urlsplit(self.path).query)
        if self.command == "POST":
            source, digest = query.get("from", [""])[0], query.get("mount", [""])[0]
            if self.registry.mounts and (source, digest) in self.registry.blobs:
                self.registry.blobs[repository, digest] = self.registry.blobs[source, digest]
                return self.answer(201, Location=f"/v2/{repository}/blobs/{digest}")
            with self.registry.lock:
                session = f"session-{self.registry.begun}"
                self.registry.begun += 1
            self.registry.uploads[session] = b""
            headers = {}
            if self.registry.least is not None:
                headers["OCI_Chunk_Min_Length"] = str(self.registry.least)
            return self.answer(202, Location=self.location(repository, session), **headers)
        if session not in self.registry.uploads:
            return self.error(404, "BLOB_UPLOAD_UNKNOWN")
        if query.get("_state") != ["a/b"]:
            return self.error(400, "BLOB_UPLOAD_INVALID")
        return self.go_on(repository, session, query.get("digest", [""])[0])

    def location(self, repository: str, session: str) -> str:
        """Return where an upload goes on: another place after each answer."""
        there = len(self.registry.uploads[session])
        location = f"/v2/{repository}/blobs/uploads/{session}?_state=a%2Fb&there={there}"
        if not self.registry.relative_locations:
            location = f"http://{self.registry.host}{location}"
        return location

    def go_on(self, repository: str, session: str, digest: str) -> None:
        """Take a part of a blob, the last one or all of it, or say how far it is."""
        uploads = self.registry.uploads
        there = len(uploads[session])
        if self.command == "GET":
            if not self.registry.tells_status:
                return self.error(405, "UNSUPPORTED")
            return self.progress(204, repository, session)
        if self.command == "DELETE":
            del uploads[session]
            return self.answer(204)
        if self.command == "PATCH":
            first, _, last = self.headers.get("Content-Range", "").partition("-")
            if first != str(there) or int(last) - int(first) + 1 != len(self.body):
                return self.progress(416, repository, session)
            uploads[session] += self.body
            return self.progress(202, repository, session)
        data = uploads.pop(session) + self.body
        algorithm = "sha512" if digest.startswith("sha512:") else "sha256"
        if digest != f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}":
            return self.error(400, "DIGEST_INVALID")
        self.registry.blobs[repository, digest] = data
        return self.answer(201, Location=f"/v2/{repository}/blobs/{digest}")

    def progress(self, status: int, repository: str, session: str) -> None:
        """Say how far an upload is."""
        end = max(len(self.registry.uploads[session]) - 1, 0)
        self.answer(status, Location=self.location(repository, session), Range=f"0-{end}")

    def tags(self, repository: str, _rest: str) -> None:
        """List tags, in pages."""
        names = sorted(t for r, t in self.registry.manifests if r == repository and ":" not in t)
        if not names:
            return self.error(404, "NAME_UNKNOWN")
        last = parse_qs(urlsplit(self.path).query).get("last", [""])[0]
        page = [name for name in names if name > last][: self.registry.page]
        headers = {}
        if page and page[-1] != names[-1]:
            headers["Link"] = f'</v2/{repository}/tags/list?last={page[-1]}>; rel="next"'
        return self.answer(200, json.dumps({"name": repository, "tags": page}).encode(), **headers)


def status(code: int, **headers: str) -> Callable[[Handler], bool]:
    """Return a fault: answer with a status."""

    def act(handler: Handler) -> bool:
        handler.error(code, {429: "TOOMANYREQUESTS"}.get(code, "UNKNOWN"), "slow down", **headers)
        return True

    return act


def reset(handler: Handler) -> bool:
    """Do as a machine that went away."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    with contextlib.suppress(OSError):
        handler.connection.shutdown(socket.SHUT_RDWR)
    return True


def cut(after: int) -> Callable[[Handler], bool]:
    """Return a fault: send that many bytes of a blob's answer, then hang up."""

    def act(handler: Handler) -> bool:
        repository, _, digest = handler.path.removeprefix("/v2/").partition("/blobs/")
        data = handler.registry.blobs[repository, digest]
        wanted = handler.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        handler.send_response(206 if wanted else 200)
        if wanted:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        handler.wfile.write(data[start : start + after])
        handler.close_connection = True
        return True

    return act


def lose(after: int, *, keeps: bool = True) -> Callable[[Handler], bool]:
    """Return an early fault: take that many bytes of an upload, then go away; `keeps` says if they are kept."""

    def act(handler: Handler) -> bool:
        data = handler.rfile.read(after)
        session = urlsplit(handler.path).path.rpartition("/")[2]
        if keeps:
            handler.registry.uploads[session] += data
        return reset(handler)

    return act


def body(data: bytes, **headers: str) -> Callable[[Handler], bool]:
    """Return a fault: answer 200 with other bytes."""

    def act(handler: Handler) -> bool:
        handler.answer(200, data, **headers)
        return True

    return act


def redirect(url: str, code: int = 307) -> Callable[[Handler], bool]:
    """Return a fault: send the client elsewhere; `{path}` stands for the path asked for."""

    def act(handler: Handler) -> bool:
        handler.answer(code, Location=url.replace("{path}", handler.path))
        return True

    return act


def upload_at(other: Registry) -> Callable[[Handler], bool]:
    """Return a fault: have a blob sent to another registry; whoever has not said who he is gets asked first."""

    def act(handler: Handler) -> bool:
        if handler.registry.auth is not None and handler.headers.get("Authorization") is None:
            return False
        with other.lock:
            session = f"stray-{other.begun}"
            other.begun += 1
            other.uploads[session] = b""
        where = f"http://{other.host}/v2/x/blobs/uploads/{session}?_state=a%2Fb"
        handler.answer(202, Location=where)
        return True

    return act


def endless(handler: Handler) -> bool:
    """Answer with a body that does not end, until the client leaves."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    piece = b" " * 65536
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
    handler.close_connection = True
    return True


@contextlib.contextmanager
def hostile_registry(registry: Registry | None = None) -> Iterator[Registry]:
    """Serve a registry on a free port of loopback."""
    state = registry or Registry()
    handler = type("BoundHandler", (Handler,), {"registry": state})

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Clients that hang up are no news."""

    with Server(("127.0.0.1", 0), handler) as server:
        state.host = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
