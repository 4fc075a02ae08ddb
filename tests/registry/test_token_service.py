"""Debian's docker-registry behind a token service, whose tokens it verifies."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest

from builder.errors import RegistryError
from builder.oci.reference import Reference
from builder.registry.auth import Credential
from builder.registry.client import RegistryClient
from builder.registry.pulling import pull
from builder.registry.pushing import push
from builder.store.blobs import BlobStore
from tests.registry.conftest import Keyring, Recorder
from tests.registry.test_push import outgoing
from tests.support.docker_registry import docker_registry
from tests.support.sample_image import noise, sample_image, tar
from tests.support.token_server import TokenServer, token_server

MakeClient = Callable[..., RegistryClient]
ADA = Credential(username="ada", password="correct horse")
EVE = Credential(username="eve", password="battery staple")
IMAGE = sample_image(tar({"a": noise(100_000)}))

pytestmark = [
    pytest.mark.skipif(
        shutil.which("docker-registry") is None, reason="docker-registry is not installed"
    ),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed"),
]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, TokenServer]]:
    ground = tmp_path_factory.mktemp("hub")
    users = {"ada": ADA.password, "eve": EVE.password, "public": "p"}
    with (
        token_server(ground / "tokens", **users) as service,
        docker_registry(ground / "registry", token=service.settings) as host,
    ):
        yield host, service


def test_what_is_pushed_can_be_pulled_by_its_owner_alone(
    make_client: MakeClient,
    hub: tuple[str, TokenServer],
    blobs: BlobStore,
    events: Recorder,
) -> None:
    host, _ = hub
    reference = Reference.parse(f"{host}/ada/app:1")
    ada = make_client(Keyring({host: ADA}))
    push(ada, reference, IMAGE.manifest, outgoing(IMAGE), events)
    assert pull(ada, reference, None, blobs, events, 1).manifest == IMAGE.manifest
    for other in (Keyring({host: EVE}), Keyring({})):
        with pytest.raises(RegistryError, match="pull access denied"):
            make_client(other).fetch_manifest(reference)
        with pytest.raises(RegistryError, match="push access") as caught:
            push(make_client(other), reference, IMAGE.manifest, outgoing(IMAGE), events)
        assert caught.value.hint == f"run `lapstrake login {host}`"


def test_public_images_are_for_everybody(
    make_client: MakeClient, hub: tuple[str, TokenServer], blobs: BlobStore, events: Recorder
) -> None:
    host, _ = hub
    reference = Reference.parse(f"{host}/public/app:1")
    owner = make_client(Keyring({host: Credential(username="public", password="p")}))
    push(owner, reference, IMAGE.manifest, outgoing(IMAGE), events)
    assert pull(make_client(), reference, None, blobs, events, 1).manifest == IMAGE.manifest


def test_login_keeps_an_identity_token_which_then_does(
    make_client: MakeClient, hub: tuple[str, TokenServer], events: Recorder
) -> None:
    host, _ = hub
    kept = make_client().login(host, ADA)
    assert (kept.username, kept.password, kept.identity_token) == ("ada", "", "refresh-ada")
    client = make_client(Keyring({host: kept}))
    reference = Reference.parse(f"{host}/ada/by-token:1")
    push(client, reference, IMAGE.manifest, outgoing(IMAGE), events)
    with pytest.raises(RegistryError, match="does not let us in"):
        make_client().login(host, Credential(username="ada", password="wrong"))


def test_layers_are_mounted_from_where_we_may_read(
    make_client: MakeClient, hub: tuple[str, TokenServer], events: Recorder
) -> None:
    host, service = hub
    client = make_client(Keyring({host: ADA}))
    image = sample_image(tar({"mounted": noise(50_000)}))
    first, second = (Reference.parse(f"{host}/ada/{name}:1") for name in ("from", "to"))
    push(client, first, image.manifest, outgoing(image), events)
    service.asked.clear()
    push(client, second, image.manifest, outgoing(image, mount_from="ada/from"), events)
    assert any("repository:ada/from:pull" in scopes for scopes in service.asked)
    theirs = Reference.parse(f"{host}/eve/copy:1")
    eve = make_client(Keyring({host: EVE}))
    push(eve, theirs, image.manifest, outgoing(image, mount_from="ada/from"), events)
    assert eve.head_manifest(theirs) == image.manifest.descriptor()


def test_few_tokens_are_asked_for(
    make_client: MakeClient, hub: tuple[str, TokenServer], blobs: BlobStore, events: Recorder
) -> None:
    host, service = hub
    client = make_client(Keyring({host: ADA}))
    reference = Reference.parse(f"{host}/ada/few:1")
    service.asked.clear()
    push(client, reference, IMAGE.manifest, outgoing(IMAGE), events)
    pull(client, reference, None, blobs, events, 1)
    assert [scopes[0] for scopes in service.asked] == [
        "repository:ada/few:pull,push",
        "repository:ada/few:pull",
    ]


def test_repositories_are_listed_for_those_who_may(
    make_client: MakeClient, hub: tuple[str, TokenServer]
) -> None:
    host, _ = hub
    assert isinstance(make_client(Keyring({host: ADA})).list_repositories(host), tuple)
    with pytest.raises(RegistryError, match="does not list its repositories to us"):
        make_client().list_repositories(host)
