"""Mirrors and other places: asked in their order, passed over when they fail, never trusted with more than is theirs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import RegistryError, StoreError
from builder.oci.reference import Reference
from builder.registry.auth import Credential
from builder.registry.client import RegistryClient
from builder.registry.configuration import Configuration, Places
from builder.registry.endpoint import Need
from builder.registry.pulling import pull
from builder.registry.pushing import push
from builder.registry.transport import HttpTransport, Options
from builder.store.blobs import BlobStore
from tests.registry.conftest import Keyring, Recorder, Waits
from tests.registry.test_push import outgoing
from tests.support import registry as faults
from tests.support.registry import Registry, hostile_registry
from tests.support.sample_image import noise, sample_image, tar

IMAGE = sample_image(tar({"a": noise(50_000)}))
ADA = Credential(username="ada", password="pa:ss")
EVE = Credential(username="eve", password="word")


@pytest.fixture
def mirror() -> Iterator[Registry]:
    with hostile_registry() as running:
        yield running


class House:
    """A machine with its files, and a client that reads them."""

    def __init__(self, root: Path, waits: Waits) -> None:
        self.root = root
        self.waits = waits
        self.keyring = Keyring({})

    def write(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def configuration(self) -> Configuration:
        root = self.root
        return Configuration(
            Places(user=f"{root}/user", docker=f"{root}/docker", system=f"{root}/etc")
        )

    def client(self) -> RegistryClient:
        configuration = self.configuration()
        options = Options(read_timeout=5.0, connect_timeout=2.0, trust=configuration.trust)
        transport = HttpTransport(options, wait=self.waits)
        return RegistryClient(transport, self.keyring, configuration)

    def mirrored(self, registry: Registry, *mirrors: str) -> None:
        lines = [f'[[registry]]\nlocation = "{registry.host}"\n']
        lines += [f'[[registry.mirror]]\nlocation = "{each}"\n' for each in mirrors]
        self.write("etc/containers/registries.conf", "".join(lines))


@pytest.fixture
def house(tmp_path: Path, waits: Waits) -> House:
    return House(tmp_path / "house", waits)


def named(registry: Registry, name: str = "team/app:1") -> Reference:
    return Reference.parse(f"{registry.host}/{name}")


def test_a_mirror_is_asked_first_and_the_registry_not_at_all(
    house: House, registry: Registry, mirror: Registry, blobs: BlobStore, events: Recorder
) -> None:
    mirror.add("proxy/team/app", "1", IMAGE)
    house.mirrored(registry, f"{mirror.host}/proxy")
    client = house.client()
    assert pull(client, named(registry), None, blobs, events, 1).manifest == IMAGE.manifest
    assert registry.requests == []
    assert client.remarks() == ()


def test_a_mirror_without_the_image_is_passed_over_with_a_note(
    house: House, registry: Registry, mirror: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.add("team/app", "1", IMAGE)
    house.mirrored(registry, mirror.host)
    client = house.client()
    pull(client, named(registry), None, blobs, events, 1)
    [remark] = client.remarks()
    assert remark.message == f"the mirror `{mirror.host}/team/app` was passed over"
    assert "not found" in remark.notes[0]
    assert client.remarks() == ()


@pytest.mark.parametrize("trouble", ["away", "500", "403", "nonsense", "other bytes"])
def test_a_mirror_that_fails_is_passed_over(
    house: House,
    registry: Registry,
    mirror: Registry,
    blobs: BlobStore,
    events: Recorder,
    trouble: str,
) -> None:
    registry.add("team/app", "1", IMAGE)
    mirror.add("team/app", "1", IMAGE)
    act = {
        "away": faults.reset,
        "500": faults.status(500),
        "403": faults.status(403),
        "nonsense": faults.body(b"<html>", Content_Type="text/html"),
        "other bytes": faults.body(
            sample_image(tar({"z": b"1"})).manifest.raw,
            Content_Type=IMAGE.manifest.media_type,
            Docker_Content_Digest=str(IMAGE.manifest.descriptor().digest),
        ),
    }[trouble]
    mirror.fault("GET", "/v2/team", act, times=-1)
    house.mirrored(registry, mirror.host)
    client = house.client()
    assert pull(client, named(registry), None, blobs, events, 1).manifest == IMAGE.manifest
    assert len(client.remarks()) == 1
    asked = mirror.count("GET", "/v2/team")
    client.fetch_manifest(named(registry))
    if trouble != "nonsense":
        assert mirror.count("GET", "/v2/team") == asked, "who fails is not asked again"


def test_a_mirror_that_nobody_answers_for_is_passed_over(
    house: House, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.add("team/app", "1", IMAGE)
    house.mirrored(registry, "localhost:1", "mirror.invalid/x")
    client = house.client()
    pull(client, named(registry), None, blobs, events, 1)
    assert [each.notes[0] for each in client.remarks()] == [
        "cannot reach the registry at `localhost:1`",
        "cannot reach the registry at `mirror.invalid`",
    ]


def test_blobs_that_a_mirror_lacks_come_from_the_registry(
    house: House, registry: Registry, mirror: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.add("team/app", "1", IMAGE)
    mirror.add_manifest("team/app", "1", IMAGE.manifest)
    house.mirrored(registry, mirror.host)
    pull(house.client(), named(registry), None, blobs, events, 1)
    assert mirror.count("GET", "/manifests/") == 1
    assert registry.count("GET", "/manifests/") == 0
    assert registry.count("GET", "/blobs/") == 2


def test_a_mirror_with_other_bytes_for_a_layer_is_not_believed(
    house: House, registry: Registry, mirror: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.add("team/app", "1", IMAGE)
    mirror.add("team/app", "1", IMAGE)
    [layer] = IMAGE.manifest.layers
    mirror.blobs["team/app", layer.digest] = noise(layer.size)
    house.mirrored(registry, mirror.host)
    client = house.client()
    assert pull(client, named(registry), None, blobs, events, 1).manifest == IMAGE.manifest
    assert blobs.read(layer.digest) == IMAGE.blobs[layer.digest]
    [remark] = client.remarks()
    assert "is something else" in remark.notes[0]


def test_a_mirror_whose_connections_break_is_left(
    house: House, registry: Registry, mirror: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.add("team/app", "1", IMAGE)
    mirror.add("team/app", "1", IMAGE)
    [layer] = IMAGE.manifest.layers
    mirror.fault("GET", f"/blobs/{layer.digest}", faults.cut(1000), times=-1)
    house.mirrored(registry, mirror.host)
    pull(house.client(), named(registry), None, blobs, events, 1)
    assert mirror.count("GET", f"/blobs/{layer.digest}") == 2
    assert registry.count("GET", f"/blobs/{layer.digest}") == 1


def test_where_nobody_has_it_the_registry_s_word_counts_and_the_mirror_s_is_noted(
    house: House, registry: Registry, mirror: Registry
) -> None:
    house.mirrored(registry, mirror.host)
    with pytest.raises(RegistryError, match="not found: manifest unknown") as caught:
        house.client().fetch_manifest(named(registry))
    assert any(mirror.host in note for note in caught.value.notes)


@pytest.mark.parametrize("scheme", ["basic", "token"])
def test_a_mirror_gets_its_own_credentials_and_never_the_registry_s(
    house: House,
    registry: Registry,
    mirror: Registry,
    blobs: BlobStore,
    events: Recorder,
    scheme: str,
) -> None:
    mirror.auth, mirror.username, mirror.password = scheme, "eve", "word"
    mirror.add("proxy/team/app", "1", IMAGE)
    house.mirrored(registry, f"{mirror.host}/proxy")
    house.keyring.known = {registry.host: ADA, mirror.host: EVE}
    pull(house.client(), named(registry), None, blobs, events, 1)
    assert set(house.keyring.asked) == {mirror.host}

    registry.add("team/app", "1", IMAGE)
    house.keyring.known = {registry.host: ADA}
    mirror.requests.clear()
    pull(house.client(), named(registry), None, blobs, events, 1)
    sent = [seen.authorization or "" for seen in mirror.requests]
    assert not any("YWRhOnBhOnNz" in each for each in sent)
    assert not any(each.startswith("Basic") for each in sent)


def test_a_path_of_a_registry_has_a_credential_of_its_own(
    house: House, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.auth = "basic"
    registry.add("team/app", "1", IMAGE)
    registry.add("other/app", "1", IMAGE)

    class ByPath(Keyring):
        def for_repository(self, host: str, repository: str, /) -> Credential | None:
            return ADA if repository == "team/app" else None

    house.keyring = ByPath({})
    client = house.client()
    pull(client, named(registry), None, blobs, events, 1)
    with pytest.raises(RegistryError, match="pull access denied"):
        client.fetch_manifest(named(registry, "other/app:1"))
    others = [seen for seen in registry.requests if "other/app" in seen.path]
    assert all(seen.authorization is None for seen in others)


def test_pushes_go_to_the_registry_itself(
    house: House, registry: Registry, mirror: Registry, events: Recorder
) -> None:
    house.mirrored(registry, mirror.host)
    push(house.client(), named(registry), IMAGE.manifest, outgoing(IMAGE), events)
    assert ("team/app", "1") in registry.manifests
    assert mirror.requests == []


def test_what_is_blocked_is_not_contacted(
    house: House, registry: Registry, events: Recorder
) -> None:
    house.write(
        "user/containers/registries.conf",
        f'[[registry]]\nlocation = "{registry.host}/team"\nblocked = true\n',
    )
    client = house.client()
    for deed in (
        lambda: client.fetch_manifest(named(registry)),
        lambda: push(client, named(registry), IMAGE.manifest, outgoing(IMAGE), events),
    ):
        with pytest.raises(RegistryError, match=r"is blocked by .*/user/containers/registries"):
            deed()
    assert registry.requests == []
    registry.add("other/app", "1", IMAGE)
    client.fetch_manifest(named(registry, "other/app:1"))


def test_a_user_s_file_takes_the_place_of_the_machine_s_and_drop_ins_add(house: House) -> None:
    house.write("etc/containers/registries.conf", 'unqualified-search-registries = ["a.example"]')
    house.write("etc/containers/registries.conf.d/1.conf", '[aliases]\n"x" = "b.example/x"')
    house.write("etc/containers/registries.conf.d/notes.txt", "not read")
    conf = house.configuration().conf
    assert (conf.search, len(conf.aliases)) == (("a.example",), 1)
    house.write("user/containers/registries.conf.d/2.conf", '[aliases]\n"x" = "c.example/x"')
    conf = house.configuration().conf
    assert [alias.name for _, alias in conf.aliases] == ["c.example/x"]
    house.write("user/containers/registries.conf", 'unqualified-search-registries = ["d.example"]')
    configuration = house.configuration()
    assert configuration.conf.search == ("d.example",)
    assert [path.rpartition("house/")[2] for path in configuration.read] == [
        "user/containers/registries.conf",
        "user/containers/registries.conf.d/2.conf",
    ]


def test_the_variable_names_the_only_file(house: House, tmp_path: Path) -> None:
    (tmp_path / "mine.conf").write_text('unqualified-search-registries = ["mine.example"]')
    places = Places(user="/none", docker="/none", system="/none")
    other = Places(
        user="/none", docker="/none", system="/none", registries_conf=str(tmp_path / "mine.conf")
    )
    assert Configuration(places).conf.search is None
    assert Configuration(other).conf.search == ("mine.example",)
    gone = Places(user="/none", docker="/none", system="/none", registries_conf="/no/such.conf")
    with pytest.raises(RegistryError, match=r"there is no `/no/such\.conf`"):
        _ = Configuration(gone).conf


def test_hosts_toml_names_places_in_order_with_their_headers_and_tells_the_namespace(
    house: House, registry: Registry, mirror: Registry, blobs: BlobStore, events: Recorder
) -> None:
    mirror.add("team/app", "1", IMAGE)
    house.write(
        f"etc/containerd/certs.d/{registry.host}/hosts.toml",
        f"""
server = "http://{registry.host}"
[host."http://{mirror.host}"]
capabilities = ["pull", "resolve"]
[host."http://{mirror.host}".header]
x-pool = ["a", "b"]
""",
    )
    client = house.client()
    pull(client, named(registry), None, blobs, events, 1)
    assert registry.requests == []
    assert all(seen.headers["x-pool"] == "a, b" for seen in mirror.requests)
    assert all(f"?ns={registry.host}" in seen.path for seen in mirror.requests)
    push(client, named(registry), IMAGE.manifest, outgoing(IMAGE), events)
    assert ("team/app", "1") in registry.manifests


def test_hosts_toml_may_let_a_place_resolve_and_another_pull(
    house: House, registry: Registry, mirror: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.add("team/app", "1", IMAGE)
    mirror.add("team/app", "1", IMAGE)
    house.write(
        f"docker/certs.d/{registry.host}/hosts.toml",
        f'[host."http://{mirror.host}"]\ncapabilities = ["pull"]\nserver = "ignored"\n'
        f'[host."http://{registry.host}"]\ncapabilities = ["resolve", "push"]\n',
    )
    pull(house.client(), named(registry), None, blobs, events, 1)
    assert mirror.count("GET", "/manifests/") == 0
    assert registry.count("GET", "/blobs/") == 0


def test_hosts_toml_may_override_the_path(
    house: House, registry: Registry, mirror: Registry
) -> None:
    house.write(
        "etc/containerd/certs.d/_default/hosts.toml",
        f'[host."http://{mirror.host}/v2/all"]\noverride_path = true\n',
    )
    registry.add("team/app", "1", IMAGE)
    mirror.add("all/team/app", "1", IMAGE)
    house.client().fetch_manifest(named(registry))
    assert registry.requests == []
    assert mirror.requests[-1].path == f"/v2/all/team/app/manifests/1?ns={registry.host}"


def test_headers_for_a_place_do_not_follow_its_redirects(
    house: House, registry: Registry, mirror: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.add("team/app", "1", IMAGE)
    mirror.add("team/app", "1", IMAGE)
    house.write(
        f"etc/docker/certs.d/{registry.host}/hosts.toml",
        f'server = "http://{registry.host}"\n[header]\nx-key = "s3cret"\n',
    )
    registry.fault("GET", "/blobs/", faults.redirect(f"http://{mirror.host}{{path}}"), times=-1)
    pull(house.client(), named(registry), None, blobs, events, 1)
    assert registry.requests[-1].headers["x-key"] == "s3cret"
    assert mirror.requests
    assert all("x-key" not in seen.headers for seen in mirror.requests)


def test_headers_for_a_place_are_not_shown_when_it_repeats_them(
    house: House, registry: Registry
) -> None:
    house.write(
        f"etc/docker/certs.d/{registry.host}/hosts.toml",
        f'server = "http://{registry.host}"\n[header]\nx-key = "Bearer s3cret/key"\n',
    )

    def repeat(handler: faults.Handler) -> bool:
        heard = handler.headers["x-key"]
        handler.error(400, "X", f"{heard} is {heard.split()[1]}", Warning=f'299 - "{heard}"')
        return True

    registry.fault("GET", "/manifests/", repeat, times=-1)
    client = house.client()
    with pytest.raises(RegistryError) as caught:
        client.fetch_manifest(named(registry))
    assert "*** is ***" in str(caught.value.notes)
    assert "s3cret" not in f"{caught.value.diagnostic()} {client.remarks()}"


def test_a_place_without_capabilities_has_all(house: House, registry: Registry) -> None:
    registry.add("team/app", "1", IMAGE)
    text = f'server = "http://{registry.host}"\ncapabilities = []\n'
    house.write(f"etc/docker/certs.d/{registry.host}/hosts.toml", text)
    house.client().fetch_manifest(named(registry))
    assert registry.requests


def test_the_mirrors_of_docker_s_engine_are_for_docker_hub(
    house: House, registry: Registry, mirror: Registry, blobs: BlobStore, events: Recorder
) -> None:
    house.write("etc/docker/daemon.json", f'{{"registry-mirrors": ["http://{mirror.host}/"]}}')
    mirror.add("library/alpine", "3", IMAGE)
    pull(house.client(), Reference.parse("alpine:3"), None, blobs, events, 1)
    registry.add("team/app", "1", IMAGE)
    mirror.requests.clear()
    house.client().fetch_manifest(named(registry))
    assert mirror.requests == []


def test_insecure_registries_of_docker_s_engine_are_hosts_and_networks(house: House) -> None:
    house.write(
        "user/docker/daemon.json", '{"insecure-registries": ["lab.example:5000", "10.1.0.0/16"]}'
    )
    trust = house.configuration().trust
    insecure = ["lab.example:5000", "10.1.2.3:5000", "10.1.2.3"]
    assert all(trust(host).plain and not trust(host).verified for host in insecure)
    for host in ("lab.example", "lab.example:5001", "10.2.0.1", "x.lab.example:5000"):
        assert trust(host).is_default
        assert not trust(host).plain


def test_a_namespace_that_is_insecure_makes_no_other_so(house: House) -> None:
    house.write(
        "etc/containers/registries.conf",
        '[[registry]]\nlocation = "r.example/lab"\ninsecure = true\n',
    )
    configuration = house.configuration()

    def plain(name: str, need: Need) -> bool:
        return configuration.endpoints(Reference.parse(name), need)[0].trust.plain

    for need in Need:
        assert plain("r.example/lab/x", need)
        assert not plain("r.example/other/x", need)
    assert not configuration.trust("r.example").plain


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("etc/containers/registries.conf", "[[["),
        ("etc/containers/registries.conf.d/x.conf", "unqualified-search-registries = 1"),
        ("etc/docker/daemon.json", "{"),
        ("etc/docker/daemon.json", '{"registry-mirrors": ["mirror.example"]}'),
        ("etc/containerd/certs.d/docker.io/hosts.toml", "server = 5"),
        ("etc/containerd/certs.d/docker.io/hosts.toml", '[host."ftp://x"]'),
        ("etc/containerd/certs.d/docker.io/hosts.toml", '[host."https://x"]\ncapabilities = ["fly"]'),
        ("etc/containerd/certs.d/docker.io/hosts.toml", '[header]\n"a b" = "c"'),
        ("etc/containerd/certs.d/docker.io/hosts.toml", '[host."https://x:99999"]'),
        ("etc/containerd/certs.d/docker.io/hosts.toml", '[host."https://a b"]'),
        ("etc/containerd/certs.d/docker.io/hosts.toml", '[header]\nContent-Length = "5"'),
        ("etc/containerd/certs.d/docker.io/hosts.toml", '[header]\nhost = "elsewhere.example"'),
        ("etc/containers/registries.conf", '[[registry]]\nprefix = "docker.io"\nlocation = "x:99999"'),
        ("etc/containers/registries.conf", '[[registry]]\nlocation = "x"\n[[registry.mirror]]\nlocation = "a b/c"'),
        ("etc/docker/daemon.json", '{"registry-mirrors": ["https://x:99999"]}'),
        ("etc/docker/certs.d/docker.io/client.cert", ""),
    ],
)  # fmt: skip
def test_what_is_malformed_is_one_error_with_the_path(house: House, path: str, text: str) -> None:
    house.write(path, text)
    with pytest.raises(RegistryError) as caught:
        house.client().fetch_manifest(Reference.parse("alpine"))
    assert caught.value.code == "registry.config"
    assert path in caught.value.message


def test_configuration_is_read_once(
    house: House, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.mirrored(registry)
    configuration = house.configuration()
    for _ in range(3):
        configuration.endpoints(named(registry), Need.PULL)
    monkeypatch.setattr(
        "builder.registry.files.Files.content", lambda *_: pytest.fail("read again")
    )
    configuration.endpoints(named(registry), Need.PULL)


def test_files_of_engines_that_are_closed_to_us_are_passed_over(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.write("etc/docker/daemon.json", "{}")
    house.write("etc/containers/registries.conf", "")
    closed = {f"{house.root}/etc/docker/daemon.json"}
    really = os.open

    def opened(path: str, *more: int) -> int:
        if path in closed:
            raise PermissionError(13, "Permission denied", path)
        return really(path, *more)

    monkeypatch.setattr(os, "open", opened)
    configuration = house.configuration()
    assert configuration.endpoints(Reference.parse("alpine"), Need.PULL)
    assert configuration.closed == tuple(closed)
    closed.add(f"{house.root}/etc/containers/registries.conf")
    with pytest.raises(RegistryError, match="cannot read") as caught:
        house.configuration().endpoints(Reference.parse("alpine"), Need.PULL)
    assert caught.value.code == "registry.config"


def test_the_only_place_that_gives_other_bytes_is_not_asked_for_ever(
    house: House, registry: Registry, mirror: Registry, blobs: BlobStore, events: Recorder
) -> None:
    mirror.add("team/app", "1", IMAGE)
    [layer] = IMAGE.manifest.layers
    mirror.blobs["team/app", layer.digest] = noise(layer.size)
    house.write(
        f"etc/containerd/certs.d/{registry.host}/hosts.toml",
        f'capabilities = ["push"]\n[host."http://{mirror.host}"]\n',
    )
    with pytest.raises(StoreError) as caught:
        pull(house.client(), named(registry), None, blobs, events, 1)
    assert caught.value.code == "store.digest-mismatch"
    assert mirror.count("GET", f"/blobs/{layer.digest}") <= 4


def test_a_mirror_that_asks_for_patience_is_not_waited_for(
    house: House, registry: Registry, mirror: Registry
) -> None:
    registry.add("team/app", "1", IMAGE)
    mirror.add("team/app", "1", IMAGE)
    mirror.fault("GET", "/manifests/", faults.status(429, Retry_After="30"), times=-1)
    house.mirrored(registry, mirror.host)
    house.client().fetch_manifest(named(registry))
    assert 30.0 not in house.waits.seconds
    assert registry.count("GET", "/manifests/") == 1
