"""Pushing: nothing is sent that is there, all that points comes after what it points to."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from builder.errors import Cancelled, RegistryError
from builder.oci import mediatypes
from builder.oci.descriptor import Descriptor
from builder.oci.manifest import build_index, build_manifest
from builder.oci.reference import Reference
from builder.registry.auth import Credential
from builder.registry.client import RegistryClient
from builder.registry.pushing import push
from builder.registry.upload import Outgoing
from tests.registry.conftest import Keyring, Recorder
from tests.support import registry as faults
from tests.support.registry import Registry, hostile_registry
from tests.support.sample_image import SampleImage, noise, sample_image, tar


def reference(registry: Registry, name: str = "team/app:1") -> Reference:
    return Reference.parse(f"{registry.host}/{name}")


def outgoing(image: SampleImage, mount_from: str | None = None) -> list[Outgoing]:
    def blob(descriptor: Descriptor) -> Outgoing:
        return Outgoing(
            descriptor=descriptor,
            open=lambda: io.BytesIO(image.blobs[descriptor.digest]),
            mount_from=mount_from,
        )

    return [blob(descriptor) for descriptor in (*image.manifest.layers, image.manifest.config)]


def pushed(
    client: RegistryClient, registry: Registry, image: SampleImage, events: Recorder, **more: str
) -> Descriptor:
    return push(client, reference(registry), image.manifest, outgoing(image, **more), events, 3)


def test_an_image_arrives_whole(
    client: RegistryClient, registry: Registry, events: Recorder
) -> None:
    image = sample_image(tar({"a": b""}), tar({"b": noise(700_000)}))
    assert pushed(client, registry, image, events) == image.manifest.descriptor()
    assert registry.manifests["team/app", "1"] == (image.manifest.media_type, image.manifest.raw)
    for digest, data in image.blobs.items():
        assert registry.blobs["team/app", digest] == data
    layer = image.manifest.layers[1]
    assert events.last(f"sha256:{layer.digest.short}").done == layer.size


def test_the_manifest_comes_last(
    client: RegistryClient, registry: Registry, events: Recorder
) -> None:
    pushed(client, registry, sample_image(tar({"a": b""}), tar({"b": b""})), events)
    puts = [seen.path for seen in registry.requests if seen.method == "PUT"]
    assert len(puts) == 4
    assert "/manifests/" in puts[-1]


def test_blobs_that_are_there_are_not_sent(
    client: RegistryClient, registry: Registry, events: Recorder
) -> None:
    image = sample_image()
    pushed(client, registry, image, events)
    uploads = registry.count("POST", "/uploads/")
    layer = f"sha256:{image.manifest.layers[0].digest.short}"
    assert not events.last(layer).here
    pushed(client, registry, image, events)
    assert registry.count("POST", "/uploads/") == uploads
    assert events.last(layer).here


def test_absolute_locations_are_as_good_as_relative_ones(
    client: RegistryClient, registry: Registry, events: Recorder
) -> None:
    registry.relative_locations = False
    image = sample_image()
    pushed(client, registry, image, events)
    assert registry.blobs["team/app", image.manifest.config.digest]


@pytest.mark.parametrize(
    "where", ["http://[::1", "file:///etc/passwd", "http://127.0.0.1:99999999/"]
)
def test_a_location_that_is_no_address_is_refused(
    client: RegistryClient, registry: Registry, events: Recorder, where: str
) -> None:
    registry.fault("POST", "/uploads/", faults.status(202, Location=where), times=-1)
    with pytest.raises(RegistryError, match="is not contacted"):
        pushed(client, registry, sample_image(), events)


def test_blobs_of_another_repository_are_mounted(
    client: RegistryClient, registry: Registry, events: Recorder
) -> None:
    image = sample_image()
    registry.add("other", "1", image)
    pushed(client, registry, image, events, mount_from="other")
    assert registry.count("PUT", "/blobs/") == 0
    assert registry.blobs["team/app", image.manifest.layers[0].digest]


def test_a_mount_that_is_not_granted_becomes_an_upload(
    client: RegistryClient, registry: Registry, events: Recorder
) -> None:
    registry.mounts = False
    image = sample_image()
    pushed(client, registry, image, events, mount_from="other")
    assert registry.count("POST", "/uploads/") == 2
    assert registry.count("PUT", "/blobs/") == 2


def test_a_mount_that_is_forbidden_becomes_an_upload(
    client: RegistryClient, registry: Registry, events: Recorder
) -> None:
    registry.fault("POST", "mount=", faults.status(403), times=-1)
    image = sample_image()
    pushed(client, registry, image, events, mount_from="other")
    assert registry.count("PUT", "/blobs/") == 2


@pytest.mark.parametrize("trouble", [faults.reset, faults.status(503), faults.status(429)])
def test_an_upload_that_breaks_begins_anew(
    client: RegistryClient,
    registry: Registry,
    events: Recorder,
    trouble: Callable[[faults.Handler], bool],
) -> None:
    image = sample_image(tar({"a": noise(600_000)}))
    registry.fault("PUT", "/blobs/uploads/", trouble, times=3)
    pushed(client, registry, image, events)
    assert registry.blobs["team/app", image.manifest.layers[0].digest]


def test_lasting_trouble_is_bounded(
    client: RegistryClient, registry: Registry, events: Recorder
) -> None:
    image = sample_image()
    registry.fault("PUT", "/blobs/uploads/", faults.reset, times=-1)
    with pytest.raises(RegistryError) as caught:
        pushed(client, registry, image, events)
    assert caught.value.temporary
    assert registry.count("PUT", "/blobs/uploads/") <= 12


def test_the_manifest_is_retried(
    client: RegistryClient, registry: Registry, events: Recorder
) -> None:
    registry.fault("PUT", "/manifests/", faults.reset)
    registry.fault("PUT", "/manifests/", faults.status(502))
    pushed(client, registry, sample_image(), events)
    assert ("team/app", "1") in registry.manifests


def test_a_refusal_says_what_the_registry_said(
    client: RegistryClient, registry: Registry, events: Recorder
) -> None:
    def act(handler: faults.Handler) -> bool:
        handler.error(400, "MANIFEST_INVALID", "too many layers")
        return True

    registry.fault("PUT", "/manifests/", act)
    with pytest.raises(RegistryError, match="status 400") as caught:
        pushed(client, registry, sample_image(), events)
    assert caught.value.notes == ("the registry says: too many layers",)
    assert caught.value.code == "registry.protocol"


def test_a_manifest_stored_under_another_digest_is_noticed(
    client: RegistryClient, registry: Registry, events: Recorder
) -> None:
    def act(handler: faults.Handler) -> bool:
        handler.answer(201, Docker_Content_Digest="sha256:" + "0" * 64)
        return True

    registry.fault("PUT", "/manifests/", act)
    with pytest.raises(RegistryError, match="does not keep to the protocol"):
        pushed(client, registry, sample_image(), events)


def test_foreign_layers_are_not_sent(
    client: RegistryClient, registry: Registry, events: Recorder
) -> None:
    image = sample_image()
    layer = image.manifest.layers[0]
    foreign = Descriptor(
        media_type=mediatypes.OCI_FOREIGN_LAYER + "+gzip", digest=layer.digest, size=layer.size
    )
    changed = SampleImage(
        manifest=build_manifest(image.manifest.config, [foreign]),
        config=image.config,
        blobs=image.blobs,
    )
    pushed(client, registry, changed, events)
    assert ("team/app", layer.digest) not in registry.blobs


def test_an_index_is_pushed_like_a_manifest(
    client: RegistryClient, registry: Registry, events: Recorder
) -> None:
    image = sample_image()
    inner = image.manifest.descriptor()
    push(
        client,
        reference(registry).with_digest(inner.digest),
        image.manifest,
        outgoing(image),
        events,
    )
    index = build_index([inner])
    push(client, reference(registry), index, [], events)
    assert registry.manifests["team/app", "1"] == (mediatypes.OCI_INDEX, index.raw)
    assert ("team/app", inner.digest) in registry.manifests


def test_credentials_do_not_follow_an_upload_location_to_another_host(
    make_client: Callable[..., RegistryClient], registry: Registry, events: Recorder
) -> None:
    registry.auth = "basic"
    keyring = Keyring({registry.host: Credential(username="ada", password="pa:ss")})
    image = sample_image()
    with hostile_registry() as elsewhere:
        registry.fault("POST", "/uploads/", faults.upload_at(elsewhere), times=-1)
        pushed(make_client(keyring), registry, image, events)
        assert elsewhere.count("PUT", "/uploads/") == 2
        assert all(seen.authorization is None for seen in elsewhere.requests)


def test_a_cancelled_push_publishes_nothing(
    client: RegistryClient, registry: Registry, events: Recorder
) -> None:
    image = sample_image(tar({"a": noise(3_000_000)}))
    flag: list[bool] = []

    class Trigger(Recorder):
        def emit(self, event: object) -> None:
            if getattr(event, "done", 0) > 0:
                flag.append(True)

    with pytest.raises(Cancelled):
        push(
            client,
            reference(registry),
            image.manifest,
            outgoing(image),
            Trigger(),
            cancelled=lambda: bool(flag),
        )
    assert registry.manifests == {}
