"""A token service as Docker Hub has one, for Debian's `docker-registry`: tokens that it verifies, signed by openssl."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

ISSUER, SERVICE = "tests", "registry"


@dataclass
class TokenServer:
    """One service: users with passwords, who may do anything below the namespace of their name, and read `public`."""

    directory: Path
    users: dict[str, str] = field(default_factory=dict)
    lifetime: int = 300
    host: str = ""
    asked: list[tuple[str, ...]] = field(default_factory=list)
    refresh: dict[str, str] = field(default_factory=dict)

    @property
    def certificate(self) -> Path:
        """The certificate with whose key tokens are signed."""
        return self.directory / "token.pem"

    @property
    def settings(self) -> dict[str, object]:
        """What the registry has to be told."""
        return {
            "realm": f"http://{self.host}/token",
            "service": SERVICE,
            "issuer": ISSUER,
            "rootcertbundle": str(self.certificate),
        }

    def make_key(self) -> None:
        """Make key and certificate."""
        words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=tokens"]
        words += ["-keyout", str(self.directory / "token.key"), "-out", str(self.certificate)]
        subprocess.run(words, check=True, capture_output=True)

    def access(self, user: str, scopes: tuple[str, ...]) -> list[dict[str, object]]:
        """Return what a user gets of what was asked for."""
        granted = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            mine = bool(user) and (name.startswith(f"{user}/") or kind == "registry")
            allowed = set(actions.split(",")) if mine else set(actions.split(",")) & {"pull"}
            if mine or name.startswith("public/"):
                granted.append({"type": kind, "name": name, "actions": sorted(allowed)})
        return granted

    def token(self, user: str, scopes: tuple[str, ...]) -> str:
        """Return a signed token."""
        der = "".join(self.certificate.read_text().splitlines()[1:-1])
        now = int(time.time())
        header = {"typ": "JWT", "alg": "RS256", "x5c": [der]}
        claims = {
            "iss": ISSUER, "sub": user, "aud": SERVICE, "iat": now, "nbf": now - 10,
            "exp": now + self.lifetime, "jti": f"{now}-{len(self.asked)}", "access": self.access(user, scopes),
        }  # fmt: skip
        body = ".".join(_encoded(json.dumps(each).encode()) for each in (header, claims))
        signed = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", str(self.directory / "token.key")],
            input=body.encode(), capture_output=True, check=True,
        )  # fmt: skip
        return f"{body}.{_encoded(signed.stdout)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class _Handler(http.server.BaseHTTPRequestHandler):
    service: TokenServer

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Give a token for a password, or for nobody."""
        query = parse_qs(urlsplit(self.path).query)
        user = ""
        given = self.headers.get("Authorization", "")
        if given:
            user, _, password = (
                base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")
            )
            if self.service.users.get(user) != password:
                return self._answer(401, {"errors": [{"code": "UNAUTHORIZED"}]})
        answer = self._grant(user, tuple(query.get("scope", [])))
        if user and query.get("offline_token"):
            answer["refresh_token"] = f"refresh-{user}"
            self.service.refresh[f"refresh-{user}"] = user
        return self._answer(200, answer)

    def do_POST(self) -> None:
        """Give a token for an identity token."""
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        user = self.service.refresh.get(form.get("refresh_token", [""])[0])
        if user is None:
            return self._answer(401, {})
        return self._answer(200, self._grant(user, tuple(form.get("scope", [""])[0].split())))

    def _grant(self, user: str, scopes: tuple[str, ...]) -> dict[str, object]:
        self.service.asked.append(scopes)
        token = self.service.token(user, scopes)
        return {"token": token, "access_token": token, "expires_in": self.service.lifetime}

    def _answer(self, status: int, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def token_server(directory: Path, **users: str) -> Iterator[TokenServer]:
    """Serve tokens on a free port of loopback for users with these passwords."""
    directory.mkdir(parents=True, exist_ok=True)
    service = TokenServer(directory, users)
    service.make_key()
    handler = type("Bound", (_Handler,), {"service": service})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        service.host = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
