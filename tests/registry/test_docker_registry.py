"""Against Debian's docker-registry, with skopeo as a second opinion."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from builder.errors import RegistryError
from builder.oci import mediatypes
from builder.oci.reference import Reference
from builder.oci.validate import validate
from builder.registry.auth import Credential
from builder.registry.client import RegistryClient
from builder.registry.pulling import pull
from builder.registry.pushing import push
from builder.store.blobs import BlobStore
from tests.registry.conftest import Keyring, Recorder
from tests.registry.test_push import outgoing
from tests.support.docker_registry import docker_registry
from tests.support.sample_image import noise, sample_image, tar

MakeClient = Callable[..., RegistryClient]
PASSWORD = "correct horse"
# bcrypt of the password above, with the lowest cost.
HTPASSWD = "ada:$2b$04$Cz9P.UTXE757N7NTwrnJeuqf3foRHGqpKTnWxsviJOr9McXRtggfa\n"

pytestmark = pytest.mark.skipif(
    shutil.which("docker-registry") is None, reason="docker-registry is not installed"
)
needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("guarded")
    (directory / "htpasswd").write_text(HTPASSWD)
    with docker_registry(directory, htpasswd=directory / "htpasswd") as host:
        yield host


def skopeo(*arguments: str) -> str:
    done = subprocess.run(["skopeo", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_skopeo
@pytest.mark.parametrize("family", list(mediatypes.Family))
def test_what_is_pushed_can_be_read_by_skopeo_and_pulled_again(
    client: RegistryClient,
    server: str,
    blobs: BlobStore,
    events: Recorder,
    tmp_path: Path,
    family: mediatypes.Family,
) -> None:
    image = sample_image(tar({"a": b"1"}), tar({"b": noise(3_000_000)}), family=family)
    reference = Reference.parse(f"{server}/skopeo/{family.value}:v1")
    descriptor = push(client, reference, image.manifest, outgoing(image), events)
    seen = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{reference.canonical()}"))
    assert seen["Digest"] == descriptor.digest
    assert seen["Layers"] == [layer.digest for layer in image.manifest.layers]
    skopeo(
        "copy",
        "--src-tls-verify=false",
        f"docker://{reference.canonical()}",
        f"dir:{tmp_path}/copy",
    )
    assert (tmp_path / "copy/manifest.json").read_bytes() == image.manifest.raw
    result = pull(client, reference, None, blobs, events, 1)
    assert result.descriptor == descriptor
    validate(result.manifest, result.config, blobs.open)


@needs_skopeo
def test_what_skopeo_pushed_can_be_pulled(
    client: RegistryClient, server: str, blobs: BlobStore, events: Recorder, tmp_path: Path
) -> None:
    image = sample_image(tar({"x": noise(200_000)}))
    source = tmp_path / "source"
    source.mkdir()
    (source / "version").write_text("Directory Transport Version: 1.1\n")
    (source / "manifest.json").write_bytes(image.manifest.raw)
    for digest, data in image.blobs.items():
        (source / digest.removeprefix("sha256:")).write_bytes(data)
    skopeo("copy", "--dest-tls-verify=false", f"dir:{source}", f"docker://{server}/from/skopeo:1")
    reference = Reference.parse(f"{server}/from/skopeo:1")
    assert pull(client, reference, None, blobs, events, 1).manifest == image.manifest
    assert client.list_tags(reference) == ("1",)
    assert client.head_manifest(reference) == image.manifest.descriptor()


def test_layers_are_mounted_from_another_repository(
    client: RegistryClient, server: str, events: Recorder
) -> None:
    image = sample_image(tar({"mounted": noise(100_000)}))
    push(client, Reference.parse(f"{server}/mount/a:1"), image.manifest, outgoing(image), events)
    mounted = outgoing(image, mount_from="mount/a")
    closed = [
        type(blob)(descriptor=blob.descriptor, open=_must_not_open, mount_from="mount/a")
        for blob in mounted
    ]
    push(client, Reference.parse(f"{server}/mount/b:1"), image.manifest, closed, events)
    assert (
        client.head_manifest(Reference.parse(f"{server}/mount/b:1")) == image.manifest.descriptor()
    )


def test_a_real_registry_takes_chunks(
    client: RegistryClient, server: str, blobs: BlobStore, events: Recorder
) -> None:
    image = sample_image(tar({"chunks": noise(3_000_000)}))
    reference = Reference.parse(f"{server}/chunked/app:1")
    client.limits.lower(reference.registry, 4_000_000)
    push(client, reference, image.manifest, outgoing(image), events)
    assert pull(client, reference, None, blobs, events, 1).manifest == image.manifest


def _must_not_open() -> NoReturn:
    pytest.fail("bytes were sent, although the registry has them")


def test_an_absent_image_is_not_found(
    client: RegistryClient, server: str, blobs: BlobStore, events: Recorder
) -> None:
    with pytest.raises(RegistryError, match="not found: manifest unknown") as caught:
        pull(client, Reference.parse(f"{server}/no/such:1"), None, blobs, events, 1)
    assert caught.value.code == "registry.not-found"


def test_a_password_opens_a_guarded_registry(
    make_client: MakeClient, guarded: str, blobs: BlobStore, events: Recorder
) -> None:
    image = sample_image()
    reference = Reference.parse(f"{guarded}/private/app:1")
    credential = Credential(username="ada", password=PASSWORD)
    client = make_client(Keyring({guarded: credential}))
    assert client.login(guarded, credential) == credential
    push(client, reference, image.manifest, outgoing(image), events)
    assert pull(client, reference, None, blobs, events, 1).manifest == image.manifest


def test_a_guarded_registry_lets_nobody_else_in(
    make_client: MakeClient, guarded: str, blobs: BlobStore, events: Recorder
) -> None:
    reference = Reference.parse(f"{guarded}/private/app:1")
    with pytest.raises(RegistryError, match="pull access denied"):
        pull(make_client(), reference, None, blobs, events, 1)
    image = sample_image()
    with pytest.raises(RegistryError, match="push access") as caught:
        push(make_client(), reference, image.manifest, outgoing(image), events)
    assert caught.value.hint == f"run `lapstrake login {guarded}`"
    with pytest.raises(RegistryError):
        make_client().login(guarded, Credential(username="ada", password="wrong"))


def test_repositories_are_listed_and_manifests_deleted(
    client: RegistryClient, server: str, events: Recorder
) -> None:
    image = sample_image(tar({"gone": b"soon"}))
    reference = Reference.parse(f"{server}/to/delete:1")
    descriptor = push(client, reference, image.manifest, outgoing(image), events)
    assert "to/delete" in client.list_repositories(server)
    client.delete_manifest(reference.with_digest(descriptor.digest))
    with pytest.raises(RegistryError, match="not found"):
        client.fetch_manifest(reference)
