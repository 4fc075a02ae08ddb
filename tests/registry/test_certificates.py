"""How hosts are known: authorities and certificates per host, insecure ones, against Debian's docker-registry."""

from __future__ import annotations

import select
import shutil
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import RegistryError
from builder.oci.reference import Reference
from builder.registry.auth import Credential
from builder.registry.client import RegistryClient
from builder.registry.configuration import Configuration, Places
from builder.registry.pulling import pull
from builder.registry.pushing import push
from builder.registry.transport import HttpTransport, Options
from builder.store.blobs import BlobStore
from tests.registry.conftest import Keyring, Recorder, Waits
from tests.registry.test_docker_registry import HTPASSWD, PASSWORD
from tests.registry.test_push import outgoing
from tests.support import registry as faults
from tests.support.certificates import make_authority, sign
from tests.support.docker_registry import docker_registry
from tests.support.registry import Registry, hostile_registry
from tests.support.sample_image import noise, sample_image, tar

pytestmark = [
    pytest.mark.skipif(
        shutil.which("docker-registry") is None, reason="docker-registry is not installed"
    ),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed"),
]
IMAGE = sample_image(tar({"a": noise(20_000)}))


class Town:
    """An authority, registries that it vouches for, and a machine that may or may not know it."""

    def __init__(self, ground: Path) -> None:
        self.ground = ground
        ground.mkdir(exist_ok=True)
        self.authority = make_authority(ground, "town")
        self.server = sign(ground, self.authority, "server")
        self.client = sign(ground, self.authority, "client", client=True)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return Town(tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="module")
def encrypted(town: Town) -> Iterator[str]:
    with docker_registry(town.ground / "encrypted", tls=town.server) as host:
        yield host


@pytest.fixture(scope="module")
def strict(town: Town) -> Iterator[str]:
    """A registry that wants to see a certificate of ours, and a password."""
    (town.ground / "htpasswd").write_text(HTPASSWD)
    with docker_registry(
        town.ground / "strict",
        tls=town.server,
        clients=town.authority,
        htpasswd=town.ground / "htpasswd",
    ) as host:
        yield host


class Machine:
    def __init__(self, root: Path, waits: Waits) -> None:
        self.root, self.waits = root, waits

    def keep(self, path: str, source: Path) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)

    def configuration(self, *insecure: str) -> Configuration:
        root = self.root
        places = Places(user=f"{root}/user", docker=f"{root}/docker", system=f"{root}/etc")
        return Configuration(places, insecure)

    def client(self, *insecure: str, keyring: Keyring | None = None) -> RegistryClient:
        configuration = self.configuration(*insecure)
        options = Options(read_timeout=5.0, connect_timeout=2.0, trust=configuration.trust)
        return RegistryClient(
            HttpTransport(options, wait=self.waits), keyring or Keyring({}), configuration
        )


@pytest.fixture
def machine(tmp_path: Path, waits: Waits) -> Machine:
    return Machine(tmp_path / "machine", waits)


def moved(client: RegistryClient, host: str, blobs: BlobStore, events: Recorder) -> None:
    """Push an image and pull it again."""
    reference = Reference.parse(f"{host}/team/app:1")
    push(client, reference, IMAGE.manifest, outgoing(IMAGE), events)
    assert pull(client, reference, None, blobs, events, 1).manifest == IMAGE.manifest


@pytest.mark.parametrize(
    "directory",
    [
        "etc/docker/certs.d",
        "etc/containers/certs.d",
        "etc/containerd/certs.d",
        "user/docker/certs.d",
        "user/containers/certs.d",
        "docker/certs.d",
    ],
)
def test_an_authority_in_certs_d_makes_a_host_known(
    machine: Machine, town: Town, encrypted: str, blobs: BlobStore, events: Recorder, directory: str
) -> None:
    reference = Reference.parse(f"{encrypted}/team/app:1")
    with pytest.raises(RegistryError, match="cannot be verified") as caught:
        machine.client().fetch_manifest(reference)
    assert caught.value.hint is not None
    assert f"certs.d/{encrypted}/ca.crt" in caught.value.hint
    machine.keep(f"{directory}/{encrypted}/ca.crt", town.authority)
    moved(machine.client(), encrypted, blobs, events)


def test_an_authority_is_for_its_host_alone(machine: Machine, town: Town, encrypted: str) -> None:
    machine.keep("etc/docker/certs.d/other.example/ca.crt", town.authority)
    machine.keep(f"etc/docker/certs.d/{encrypted}0/ca.crt", town.authority)
    with pytest.raises(RegistryError, match="cannot be verified"):
        machine.client().fetch_manifest(Reference.parse(f"{encrypted}/team/app:1"))


def test_an_authority_beside_others_does_not_take_their_place(
    machine: Machine, town: Town, encrypted: str, blobs: BlobStore, events: Recorder
) -> None:
    other = make_authority(machine.root.parent, "other")
    machine.keep(f"etc/docker/certs.d/{encrypted}/a.crt", other)
    machine.keep(f"user/containers/certs.d/{encrypted}/b.crt", town.authority)
    moved(machine.client(), encrypted, blobs, events)


def test_hosts_toml_names_authorities_and_may_skip_them(
    machine: Machine, town: Town, encrypted: str, blobs: BlobStore, events: Recorder
) -> None:
    directory = machine.root / f"etc/containerd/certs.d/{encrypted}"
    machine.keep(f"etc/containerd/certs.d/{encrypted}/mine.pem", town.authority)
    (directory / "hosts.toml").write_text(f'server = "https://{encrypted}"\nca = "mine.pem"\n')
    moved(machine.client(), encrypted, blobs, events)
    (directory / "hosts.toml").write_text(f'server = "https://{encrypted}"\nskip_verify = true\n')
    moved(machine.client(), encrypted, blobs, events)


def test_an_insecure_host_may_have_any_certificate(
    machine: Machine, encrypted: str, blobs: BlobStore, events: Recorder
) -> None:
    moved(machine.client(encrypted), encrypted, blobs, events)
    with pytest.raises(RegistryError, match="cannot be verified"):
        machine.client("127.0.0.1").fetch_manifest(Reference.parse(f"{encrypted}/a:1"))


def test_a_certificate_of_ours_is_shown_to_its_host(
    machine: Machine, town: Town, strict: str, blobs: BlobStore, events: Recorder
) -> None:
    keyring = Keyring({strict: Credential(username="ada", password=PASSWORD)})
    directory = f"etc/docker/certs.d/{strict}"
    machine.keep(f"{directory}/ca.crt", town.authority)
    with pytest.raises(RegistryError) as caught:
        machine.client(keyring=keyring).fetch_manifest(Reference.parse(f"{strict}/a:1"))
    assert caught.value.code == "registry.unavailable"
    machine.keep(f"{directory}/client.cert", town.client[0])
    machine.keep(f"{directory}/client.key", town.client[1])
    moved(machine.client(keyring=keyring), strict, blobs, events)


@pytest.mark.parametrize(
    ("name", "text", "fact"),
    [
        ("ca.crt", "nonsense", "no certificates in PEM"),
        ("client.cert", "nonsense", "no pair"),
    ],
)
def test_a_certificate_that_is_none_is_one_error_with_its_path(
    machine: Machine, encrypted: str, name: str, text: str, fact: str
) -> None:
    directory = machine.root / f"etc/docker/certs.d/{encrypted}"
    directory.mkdir(parents=True)
    for each in {name, name.replace(".cert", ".key")}:
        (directory / each).write_text(text)
    with pytest.raises(RegistryError, match="cannot be used") as caught:
        machine.client().fetch_manifest(Reference.parse(f"{encrypted}/a:1"))
    assert caught.value.code == "registry.config"
    assert str(directory / name) in caught.value.message
    assert fact in caught.value.notes[0]


def test_docker_s_registry_as_a_mirror_of_another(
    machine: Machine, town: Town, blobs: BlobStore, events: Recorder, tmp_path: Path
) -> None:
    with (
        docker_registry(tmp_path / "origin") as origin,
        docker_registry(tmp_path / "mirror", proxy=f"http://{origin}", tls=town.server) as mirror,
    ):
        reference = Reference.parse(f"{origin}/team/app:1")
        push(machine.client(), reference, IMAGE.manifest, outgoing(IMAGE), events)
        machine.keep(f"etc/containers/certs.d/{mirror}/ca.crt", town.authority)
        conf = machine.root / "etc/containers/registries.conf"
        conf.write_text(
            f'[[registry]]\nlocation = "{origin}"\n[[registry.mirror]]\nlocation = "{mirror}"\n'
        )
        client = machine.client()
        assert pull(client, reference, None, blobs, events, 1).manifest == IMAGE.manifest
        assert client.remarks() == ()
        cached = list((tmp_path / "mirror").rglob(f"*{IMAGE.manifest.layers[0].digest.hex}*"))
    assert cached, "it came through the mirror"


def test_what_is_said_of_a_host_does_not_hold_where_it_sends_us(
    machine: Machine, town: Town, encrypted: str
) -> None:
    """A host that is known in a way of its own redirects to one that is not."""
    with hostile_registry() as registry:
        registry.fault("GET", "/v2/a", faults.redirect(f"https://{encrypted}{{path}}"), times=-1)
        machine.keep(f"etc/docker/certs.d/{registry.host}/ca.crt", town.authority)
        client = machine.client(registry.host)
        with pytest.raises(RegistryError, match=f"`{encrypted}` cannot be verified"):
            client.fetch_manifest(Reference.parse(f"{registry.host}/a:1"))


def test_an_insecure_host_elsewhere_is_spoken_to_in_plain_http_when_it_has_no_tls(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from builder.registry import address

    # As if loopback were another machine.
    monkeypatch.setattr(address, "is_loopback", lambda _host: False)
    with hostile_registry(Registry()) as registry:
        registry.add("a", "1", IMAGE)
        reference = Reference.parse(f"{registry.host}/a:1")
        with pytest.raises(RegistryError):
            machine.client().fetch_manifest(reference)
        assert registry.requests == []
        machine.client(registry.host).fetch_manifest(reference)


class _Tunnel(socketserver.BaseRequestHandler):
    """A proxy that leads every tunnel to one port of loopback."""

    port: int
    asked: list[str]

    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.request.recv(4096)
        self.asked.append(head.partition(b"\r\n")[0].decode())
        self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self.port)) as there:
            pair = {self.request: there, there: self.request}
            while True:
                for one in select.select(list(pair), [], [])[0]:
                    data = one.recv(65536)
                    if not data:
                        return
                    pair[one].sendall(data)


def test_a_host_behind_a_proxy_is_known_in_its_own_way_too(
    machine: Machine, town: Town, tmp_path: Path, waits: Waits
) -> None:
    name = "registry.invalid"
    certificate = sign(tmp_path, town.authority, "named", host=name)
    with docker_registry(tmp_path / "registry", tls=certificate, clients=town.authority) as host:
        asked: list[str] = []
        handler = type("Bound", (_Tunnel,), {"port": int(host.partition(":")[2]), "asked": asked})
        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as proxy:
            proxy.daemon_threads = True
            threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
            directory = f"etc/docker/certs.d/{name}"
            machine.keep(f"{directory}/ca.crt", town.authority)
            machine.keep(f"{directory}/client.cert", town.client[0])
            machine.keep(f"{directory}/client.key", town.client[1])
            configuration = machine.configuration()
            options = Options(
                proxies=(("https_proxy", f"http://127.0.0.1:{proxy.server_address[1]}"),),
                trust=configuration.trust,
            )
            client = RegistryClient(HttpTransport(options, wait=waits), None, configuration)
            assert client.list_repositories(name) == ()
            proxy.shutdown()
    assert [each.split()[:2] for each in asked] == [["CONNECT", f"{name}:443"]]
