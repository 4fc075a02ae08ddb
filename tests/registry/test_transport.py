"""TLS, proxies, and what the environment must not decide."""

from __future__ import annotations

import http.server
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.errors import RegistryError
from builder.oci.reference import Reference
from builder.registry.client import RegistryClient
from builder.registry.endpoint import INSECURE, ORDINARY, Endpoint, host_alone
from builder.registry.exchange import Request
from builder.registry.session import Session
from builder.registry.transport import HttpTransport, Options
from tests.registry.conftest import Keyring, Waits
from tests.support import registry as faults
from tests.support.registry import Registry, hostile_registry
from tests.support.sample_image import sample_image

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl is not installed"
)


class TlsServer:
    """A TLS server on loopback with a certificate that nobody signed."""

    def __init__(self, directory: Path) -> None:
        self.certificate = directory / "cert.pem"
        key = directory / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-keyout", str(key), "-out", str(self.certificate), "-subj", "/CN=localhost", "-days", "2",
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
            check=True, capture_output=True,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self.state = Registry()
        handler = type("BoundHandler", (faults.Handler,), {"registry": self.state})

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Handshakes that fail are what is tested."""

        self.server = Quiet(("127.0.0.1", 0), handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        self.state.host = self.host


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[TlsServer]:
    running = TlsServer(tmp_path)
    thread = threading.Thread(target=running.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield running
    running.server.shutdown()
    thread.join()
    running.server.server_close()


@needs_openssl
def test_a_certificate_nobody_knows_is_refused(tls: TlsServer, waits: Waits) -> None:
    client = RegistryClient(HttpTransport(wait=waits))
    with pytest.raises(RegistryError, match=r"identity of .* cannot be verified") as caught:
        client.fetch_manifest(Reference.parse(f"{tls.host}/a:1"))
    assert caught.value.notes == ("self-signed certificate",)
    assert tls.state.requests == []


@needs_openssl
def test_a_bundle_that_holds_it_makes_it_known(tls: TlsServer, waits: Waits) -> None:
    tls.state.add("a", "1", sample_image())
    options = Options(ca_bundle=str(tls.certificate))
    client = RegistryClient(HttpTransport(options, wait=waits))
    assert client.fetch_manifest(Reference.parse(f"{tls.host}/a:1")) == sample_image().manifest


def test_a_bundle_that_is_not_there_is_named(registry: Registry, waits: Waits) -> None:
    client = RegistryClient(HttpTransport(Options(ca_bundle="/no/such.pem"), wait=waits))
    with pytest.raises(RegistryError, match=r"no certificate bundle at `/no/such\.pem`"):
        client.fetch_manifest(Reference.parse(f"{registry.host}/a:1"))


@pytest.mark.parametrize(
    "proxy", ["http://ada:pa55@127.0.0.1:x", "ftp://ada:pa55@127.0.0.1:1", "http://ada:pa55@a b:1"]
)
def test_a_proxy_that_cannot_be_is_blamed_itself(waits: Waits, proxy: str) -> None:
    options = Options(proxies=(("HTTPS_PROXY", proxy),))
    client = RegistryClient(HttpTransport(options, wait=waits))
    with pytest.raises(RegistryError, match=r"the proxy `.*` cannot be used") as caught:
        client.fetch_manifest(Reference.parse("r.example/a:1"))
    assert "pa55" not in str(caught.value.diagnostic())


def test_a_proxy_may_be_written_without_a_scheme() -> None:
    transport = HttpTransport(Options(proxies=(("https_proxy", "ada:x@proxy.example:3128"),)))
    assert transport.proxy_for("https://r.example/v2/") == "http://ada:x@proxy.example:3128"


def test_a_bundle_without_certificates_is_named(
    tls: TlsServer, waits: Waits, tmp_path: Path
) -> None:
    (tmp_path / "bundle.pem").write_text("none\n")
    options = Options(ca_bundle=str(tmp_path / "bundle.pem"))
    client = RegistryClient(HttpTransport(options, wait=waits))
    with pytest.raises(RegistryError, match="bundle of certificates holds none"):
        client.fetch_manifest(Reference.parse(f"{tls.host}/a:1"))


def test_a_server_that_answers_400_to_plain_http_is_taken_for_a_tls_one(
    registry: Registry, waits: Waits
) -> None:
    registry.fault("GET", "/v2/", faults.status(400))
    session = Session(HttpTransport(wait=waits), Keyring({}))
    assert session.origin(host_alone(registry.host)).scheme == "https"


def test_elsewhere_plain_http_is_never_tried(waits: Waits) -> None:
    session = Session(HttpTransport(wait=waits), Keyring({}))
    assert session.origin(host_alone("registry.example")).scheme == "https"
    trust = {"old.example:5000": INSECURE}
    insecure = HttpTransport(Options(trust=lambda host: trust.get(host, ORDINARY)), wait=waits)
    assert insecure.allows_plain_http("old.example:5000")
    assert not insecure.allows_plain_http("old.example")


def test_the_environment_decides_nothing(
    registry: Registry, waits: Waits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login eve password leak\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    registry.add("a", "1", sample_image())
    client = RegistryClient(HttpTransport(wait=waits))
    client.fetch_manifest(Reference.parse(f"{registry.host}/a:1"))
    assert all(seen.authorization is None for seen in registry.requests)


def test_a_proxy_is_used_for_hosts_that_it_covers(waits: Waits) -> None:
    with hostile_registry() as proxy:
        options = Options(
            proxies=(
                ("http_proxy", f"http://{proxy.host}"),
                ("NO_PROXY", "direct.example,10.0.0.0/8"),
            ),
        )
        transport = HttpTransport(options, wait=waits)
        session = Session(transport, Keyring({}))
        plain = Endpoint(
            registry="far.example",
            authority="far.example",
            repository="x",
            scheme="http",
            trust=INSECURE,
        )
        session.send("GET", plain, "/v2/x/tags/list", scopes=()).close()
        assert [seen.path for seen in proxy.requests] == [
            "http://far.example/v2/x/tags/list",
        ]
        for url in (
            "https://direct.example/",
            "https://a.direct.example/",
            "http://10.1.2.3/",
            "http://localhost/",
        ):
            assert transport._proxies_for(url) == {}
        assert transport._proxies_for("https://indirect.example/") == {}
        assert transport._proxies_for("http://far.example/") == {"http": f"http://{proxy.host}"}


def test_cookies_are_neither_kept_nor_sent(registry: Registry, waits: Waits) -> None:
    def act(handler: faults.Handler) -> bool:
        handler.answer(200, b"{}", Set_Cookie="id=1; Path=/")
        return True

    transport = HttpTransport(wait=waits)
    session = Session(transport, Keyring({}))
    origin = session.origin(host_alone(registry.host))
    registry.fault("GET", "/v2/", act)
    for _ in range(2):
        transport.send(Request(method="GET", url=f"{origin}/v2/", registry=origin)).close()
    assert all("cookie" not in seen.headers for seen in registry.requests)


def test_a_server_that_speaks_something_else_is_an_error(waits: Waits) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def talk() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"220 smtp.example ESMTP\r\n")

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        client = RegistryClient(HttpTransport(wait=waits))
        with pytest.raises(RegistryError):
            client.fetch_manifest(Reference.parse(f"127.0.0.1:{port}/a:1"))
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_a_silent_server_is_given_up(make_client: Callable[..., RegistryClient]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = make_client(read_timeout=0.2)
        with pytest.raises(RegistryError, match="cannot reach") as caught:
            client.fetch_manifest(Reference.parse(f"127.0.0.1:{listener.getsockname()[1]}/a:1"))
        assert caught.value.temporary


def test_requests_is_imported_at_the_first_request_only() -> None:
    code = (
        "import sys\n"
        "import builder.registry.pulling, builder.registry.pushing, builder.registry.credentials\n"
        "from builder.registry.transport import HttpTransport\n"
        "from builder.registry.client import RegistryClient\n"
        "RegistryClient(HttpTransport())\n"
        "print(sorted({'requests', 'urllib3', 'ssl', 'http.client'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
