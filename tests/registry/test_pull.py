"""Pulling from a registry that keeps to the specification, and from one that does not."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.errors import Cancelled, ImageError, RegistryError, StoreError
from builder.oci import mediatypes
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import build_index, build_manifest
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.oci.validate import validate
from builder.registry.client import RegistryClient
from builder.registry.pulling import PulledImage, pull
from builder.store.blobs import BlobStore
from tests.registry.conftest import Recorder, Waits
from tests.support import registry as faults
from tests.support.registry import Registry, hostile_registry
from tests.support.sample_image import SampleImage, noise, sample_image, tar

AMD64 = Platform("linux", "amd64")


def reference(registry: Registry, name: str = "team/app:1") -> Reference:
    return Reference.parse(f"{registry.host}/{name}")


def pulled(
    client: RegistryClient,
    registry: Registry,
    blobs: BlobStore,
    events: Recorder,
    *,
    name: str = "team/app:1",
    platform: Platform | None = AMD64,
) -> PulledImage:
    return pull(client, reference(registry, name), platform, blobs, events, 7)


def leftovers(blobs: BlobStore) -> list[str]:
    directory = Path(blobs.temporary)
    return os.listdir(directory) if directory.exists() else []


def test_an_image_is_stored_whole_and_verified(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    image = sample_image(tar({"a": b"1"}), tar({"b": noise(100_000)}))
    registry.add("team/app", "1", image)
    result = pulled(client, registry, blobs, events)
    assert result.manifest == image.manifest
    assert result.config == image.config
    assert result.descriptor == image.manifest.descriptor()
    assert result.index is None
    validate(result.manifest, result.config, blobs.open)
    assert blobs.read(result.descriptor.digest) == image.manifest.raw
    layer = image.manifest.layers[1]
    last = events.last(f"sha256:{layer.digest.short}")
    assert (last.id, last.done, last.total) == (7, layer.size, layer.size)


def test_blobs_that_are_here_are_not_fetched_again(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    image = sample_image()
    registry.add("team/app", "1", image)
    pulled(client, registry, blobs, events)
    layer = image.manifest.layers[0].digest
    pulled(client, registry, blobs, events)
    assert registry.count("GET", layer) == 1


def test_a_layer_that_occurs_twice_is_fetched_once(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    image = sample_image(tar({"a": b""}), tar({"a": b""}))
    registry.add("team/app", "1", image)
    pulled(client, registry, blobs, events)
    assert registry.count("GET", image.manifest.layers[0].digest) == 1


def indexed(registry: Registry, *images: tuple[SampleImage, Platform | None]) -> None:
    for image, _ in images:
        registry.add("team/app", image.manifest.descriptor().digest, image)
    index = build_index(
        [
            Descriptor(
                media_type=image.manifest.media_type,
                digest=image.manifest.descriptor().digest,
                size=image.manifest.descriptor().size,
                platform=platform,
            )
            for image, platform in images
        ]
    )
    registry.add_manifest("team/app", "1", index)


def test_an_index_is_searched_by_platform(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    v6 = sample_image(tar({"v6": b""}), architecture="arm", variant="v6")
    v7 = sample_image(tar({"v7": b""}), architecture="arm", variant="v7")
    indexed(
        registry,
        (sample_image(tar({"x": b""})), Platform("unknown", "unknown")),
        (sample_image(), AMD64),
        (v6, Platform("linux", "arm", "v6")),
        (v7, Platform("linux", "arm", "v7")),
    )
    result = pulled(client, registry, blobs, events, platform=Platform("linux", "arm", "v7"))
    assert result.manifest == v7.manifest
    assert result.index is not None
    assert result.descriptor.digest == Digest.of(result.index)
    assert blobs.contains(result.descriptor.digest)
    older = pulled(client, registry, blobs, events, platform=Platform("linux", "arm", "v6"))
    assert older.manifest == v6.manifest


def test_a_platform_that_an_index_lacks_is_named_with_those_it_has(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    indexed(registry, (sample_image(), AMD64))
    with pytest.raises(RegistryError) as caught:
        pulled(client, registry, blobs, events, platform=Platform("linux", "s390x"))
    assert caught.value.code == "registry.not-found"
    assert "has no image for linux/s390x" in caught.value.message
    assert caught.value.notes == ("it has: linux/amd64",)


def test_index_entries_that_do_not_say_their_platform_are_looked_into(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    arm = sample_image(tar({"arm": b""}), architecture="arm64")
    indexed(registry, (sample_image(), None), (arm, None))
    result = pulled(client, registry, blobs, events, platform=Platform("linux", "arm64"))
    assert result.manifest == arm.manifest


def test_a_platform_asked_for_must_be_that_of_a_single_image(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.add("team/app", "1", sample_image(architecture="arm64"))
    with pytest.raises(RegistryError, match="has no image for linux/amd64"):
        pulled(client, registry, blobs, events)
    assert pulled(client, registry, blobs, events, platform=None).config.architecture == "arm64"
    only = client.resolve(reference(registry), AMD64, or_the_only_one=True)
    assert only.config.architecture == "arm64"


@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_passing_trouble_is_waited_out(
    client: RegistryClient,
    registry: Registry,
    blobs: BlobStore,
    events: Recorder,
    waits: Waits,
    code: int,
) -> None:
    registry.add("team/app", "1", sample_image())
    registry.fault("GET", "/manifests/", faults.status(code), times=3)
    registry.fault("GET", "/blobs/", faults.status(code), times=2)
    pulled(client, registry, blobs, events)
    assert len(waits.seconds) == 5
    assert all(0 < seconds <= 15 for seconds in waits.seconds)


def test_a_registry_says_how_long_to_wait(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder, waits: Waits
) -> None:
    registry.add("team/app", "1", sample_image())
    registry.fault("GET", "/manifests/", faults.status(429, Retry_After="7"))
    pulled(client, registry, blobs, events)
    assert waits.seconds == [7.0]


def test_lasting_trouble_ends_after_six_tries(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.fault("GET", "/manifests/", faults.status(429), times=-1)
    with pytest.raises(RegistryError, match="too many requests") as caught:
        pulled(client, registry, blobs, events)
    assert caught.value.code == "registry.rate-limited"
    assert caught.value.temporary
    assert caught.value.hint == f"run `lapstrake login {registry.host}`, or wait"
    assert registry.count("GET", "/manifests/") == 6


def test_nobody_waits_an_hour(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder, waits: Waits
) -> None:
    registry.fault("GET", "/manifests/", faults.status(429, Retry_After="3600"), times=-1)
    with pytest.raises(RegistryError, match="too many requests"):
        pulled(client, registry, blobs, events)
    assert waits.seconds == []


def test_resets_are_survived(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    image = sample_image()
    registry.add("team/app", "1", image)
    registry.fault("GET", "/manifests/", faults.reset, times=2)
    registry.fault("GET", "/blobs/", faults.reset, times=2)
    result = pulled(client, registry, blobs, events)
    validate(result.manifest, result.config, blobs.open)


def test_a_broken_download_goes_on_where_it_broke(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    image = sample_image(tar({"big": noise(2_000_000)}))
    registry.add("team/app", "1", image)
    layer = image.manifest.layers[0].digest
    registry.fault("GET", layer, faults.cut(700_000), times=2)
    result = pulled(client, registry, blobs, events)
    validate(result.manifest, result.config, blobs.open)
    ranges = [seen.headers.get("range") for seen in registry.requests if layer in seen.path]
    assert ranges == [None, "bytes=700000-", "bytes=1400000-"]


def test_a_server_without_ranges_starts_again_and_nothing_is_doubled(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    image = sample_image(tar({"big": noise(900_000)}))
    registry.add("team/app", "1", image)
    layer = image.manifest.layers[0].digest
    registry.fault("GET", layer, faults.cut(300_000))
    registry.fault("GET", layer, faults.body(image.blobs[layer]))
    result = pulled(client, registry, blobs, events)
    validate(result.manifest, result.config, blobs.open)


def test_a_connection_that_breaks_after_the_last_byte_has_done_its_work(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    image = sample_image()
    registry.add("team/app", "1", image)
    layer = image.manifest.layers[0]

    def act(handler: faults.Handler) -> bool:
        handler.answer(200, image.blobs[layer.digest], Content_Length=str(layer.size + 1))
        handler.close_connection = True
        return True

    registry.fault("GET", layer.digest, act)
    pulled(client, registry, blobs, events)
    assert registry.count("GET", layer.digest) == 1
    assert blobs.verify(layer.digest)


def test_a_body_that_is_always_short_is_given_up(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    image = sample_image(tar({"big": noise(900_000)}))
    registry.add("team/app", "1", image)
    layer = image.manifest.layers[0].digest
    registry.fault("GET", layer, faults.cut(10), times=-1)
    with pytest.raises(RegistryError) as caught:
        pulled(client, registry, blobs, events)
    assert caught.value.temporary
    assert registry.count("GET", layer) == 6
    assert not blobs.contains(layer)


@pytest.mark.parametrize("change", ["other", "longer", "shorter"])
def test_wrong_bytes_are_never_stored_and_the_right_ones_are_taken_later(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder, change: str
) -> None:
    image = sample_image(tar({"x": noise(50_000)}))
    registry.add("team/app", "1", image)
    layer = image.manifest.layers[0].digest
    right = image.blobs[layer]
    wrong = {"other": right[:-1] + b"?", "longer": right + b"?", "shorter": right[:-1]}[change]
    registry.fault("GET", layer, faults.body(wrong), times=6)
    with pytest.raises((StoreError, RegistryError)) as caught:
        pulled(client, registry, blobs, events)
    expected = "registry.unavailable" if change == "shorter" else "store.digest-mismatch"
    assert caught.value.code == expected
    assert not blobs.contains(layer)
    # Of what may be the beginning of the blob, the next pull makes use.
    assert bool(leftovers(blobs)) == (change == "shorter")
    registry.faults.clear()
    pulled(client, registry, blobs, events)
    assert blobs.verify(layer)


def test_a_manifest_must_have_the_digest_that_was_asked_for(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    image = sample_image()
    registry.add("team/app", "1", image)
    other = sample_image(tar({"evil": b""})).manifest
    registry.fault("GET", "/manifests/", faults.body(other.raw, Content_Type=other.media_type))
    with pytest.raises(RegistryError) as caught:
        pulled(
            client, registry, blobs, events, name=f"team/app@{image.manifest.descriptor().digest}"
        )
    assert caught.value.code == "registry.protocol"


def test_an_endless_manifest_is_refused_at_four_mebibytes(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.fault("GET", "/manifests/", faults.endless)
    with pytest.raises(RegistryError, match="larger than 4194304 bytes"):
        pulled(client, registry, blobs, events)


def test_content_type_and_document_must_agree(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    raw = sample_image().manifest.raw
    registry.fault("GET", "/manifests/", faults.body(raw, Content_Type=mediatypes.OCI_INDEX))
    with pytest.raises(ImageError, match="its sender says"):
        pulled(client, registry, blobs, events)


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 200_000,
        b'{"schemaVersion":2,"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"schemaVersion":' + b"9" * 6000 + b"}",
        b"null",
        b"",
        b'{"schemaVersion":2,"manifests":[],"layers":[]}',
    ],
)
def test_hostile_manifests_are_plain_errors(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder, raw: bytes
) -> None:
    registry.fault("GET", "/manifests/", faults.body(raw))
    with pytest.raises(ImageError):
        pulled(client, registry, blobs, events)


def test_schema_1_is_refused_by_name(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.fault(
        "GET",
        "/manifests/",
        faults.body(b'{"schemaVersion":1}', Content_Type=mediatypes.DOCKER_SCHEMA1_SIGNED),
    )
    with pytest.raises(ImageError, match="schema 1"):
        pulled(client, registry, blobs, events)


def test_layers_and_diff_ids_must_be_equally_many(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    image = sample_image(tar({"a": b""}), tar({"b": b""}))
    registry.add("team/app", "1", image)
    registry.add_manifest(
        "team/app", "1", build_manifest(image.manifest.config, image.manifest.layers[:1])
    )
    with pytest.raises(ImageError) as caught:
        pulled(client, registry, blobs, events)
    assert caught.value.notes == ("its manifest has 1 layers, its configuration 2",)


def test_what_is_no_image_is_named(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    chart = Descriptor(
        media_type="application/vnd.cncf.helm.config.v1+json", digest=Digest.of(b"{}"), size=2
    )
    registry.add_manifest("team/app", "1", build_manifest(chart, []))
    with pytest.raises(ImageError, match=r"is not an image but `application/vnd\.cncf\.helm"):
        pulled(client, registry, blobs, events)


@pytest.mark.parametrize(
    ("name", "message"), [("team/app:2", "manifest for"), ("none/here:1", "manifest for")]
)
def test_an_absent_image_is_said_as_docker_says_it(
    client: RegistryClient,
    registry: Registry,
    blobs: BlobStore,
    events: Recorder,
    name: str,
    message: str,
) -> None:
    registry.add("team/app", "1", sample_image())
    with pytest.raises(RegistryError, match=message) as caught:
        pulled(client, registry, blobs, events, name=name)
    assert caught.value.code == "registry.not-found"
    assert caught.value.message.endswith("not found: manifest unknown")


def test_what_the_registry_explains_is_a_note_fit_for_a_terminal(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    def act(handler: faults.Handler) -> bool:
        handler.error(404, "NAME_UNKNOWN", "no \x1b[31msuch\x07 thing")
        return True

    registry.fault("GET", "/manifests/", act)
    with pytest.raises(RegistryError, match=r"repository `.*` not found") as caught:
        pulled(client, registry, blobs, events)
    assert caught.value.notes == ("the registry says: no  [31msuch  thing",)


def test_a_redirect_to_a_content_server_is_followed(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    image = sample_image()
    registry.add("team/app", "1", image)
    with hostile_registry() as content:
        content.add("team/app", "1", image)
        registry.fault(
            "GET", "/blobs/", faults.redirect(f"http://{content.host}{{path}}"), times=-1
        )
        result = pulled(client, registry, blobs, events)
        assert content.count("GET", "/blobs/") == 2
    validate(result.manifest, result.config, blobs.open)


def test_redirects_end(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.fault("GET", "/manifests/", faults.redirect("{path}"), times=-1)
    with pytest.raises(RegistryError, match="more than 5 redirects"):
        pulled(client, registry, blobs, events)


@pytest.mark.parametrize(
    "target",
    [
        "http://example.com/x",
        "https://169.254.169.254/x",
        "file:///etc/passwd",
        "https://u:p@x/",
        "http://[::1",
    ],
)
def test_redirects_to_forbidden_places_are_refused(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder, target: str
) -> None:
    registry.fault("GET", "/manifests/", faults.redirect(target))
    with pytest.raises(RegistryError, match="is not contacted") as caught:
        pulled(client, registry, blobs, events)
    assert "u:p" not in str(caught.value)


def test_the_body_of_a_redirect_is_not_read(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.add("team/app", "1", sample_image())

    def act(handler: faults.Handler) -> bool:
        if "?" in handler.path:
            return False
        handler.send_response(307)
        handler.send_header("Location", f"{handler.path}?there")
        handler.send_header("Content-Length", str(1 << 40))
        handler.end_headers()
        handler.wfile.write(b"and so on")
        left.wait(20)
        handler.close_connection = True
        return True

    left = threading.Event()
    registry.fault("GET", "/manifests/", act, times=-1)
    pulled(client, registry, blobs, events)
    left.set()


def test_a_registry_that_is_not_there_is_unavailable(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    with hostile_registry() as gone:
        pass
    with pytest.raises(RegistryError, match="cannot reach the registry at") as caught:
        pulled(client, gone, blobs, events)
    assert caught.value.notes == ("nothing accepts connections there",)


def test_a_cancelled_pull_ends_soon_and_names_nothing(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    image = sample_image(*(tar({f"f{n}": noise(3_000_000, str(n))}) for n in range(4)))
    registry.add("team/app", "1", image)
    flag = threading.Event()

    class Trigger(Recorder):
        def emit(self, event: object) -> None:
            if getattr(event, "done", 0) > 0:
                flag.set()

    with pytest.raises(Cancelled):
        pull(client, reference(registry), AMD64, blobs, Trigger(), 1, cancelled=flag.is_set)
    assert not blobs.contains(image.manifest.descriptor().digest)
    assert all(name.startswith("part-") for name in leftovers(blobs))


def test_an_interrupted_pull_goes_on_from_what_came(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    image = sample_image(tar({"big": noise(900_000)}))
    registry.add("team/app", "1", image)
    layer = image.manifest.layers[0]
    registry.fault("GET", layer.digest, faults.cut(400_000))
    registry.fault("GET", layer.digest, faults.status(404))
    with pytest.raises(RegistryError, match="not found"):
        pulled(client, registry, blobs, events)
    registry.requests.clear()
    pulled(client, registry, blobs, events)
    asked = [seen for seen in registry.requests if layer.digest in seen.path]
    assert [seen.headers["range"] for seen in asked] == ["bytes=400000-"]
    assert blobs.verify(layer.digest)
    assert leftovers(blobs) == []


def test_a_blob_that_comes_wrong_once_is_fetched_anew(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    image = sample_image(tar({"x": noise(50_000)}))
    registry.add("team/app", "1", image)
    layer = image.manifest.layers[0]
    registry.fault("GET", layer.digest, faults.body(b"?" * layer.size))
    pulled(client, registry, blobs, events)
    assert blobs.verify(layer.digest)
    assert events.last(f"sha256:{layer.digest.short}").done == layer.size


def test_a_blob_that_is_always_wrong_is_fetched_twice_and_refused(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    image = sample_image(tar({"x": noise(50_000)}))
    registry.add("team/app", "1", image)
    layer = image.manifest.layers[0]
    registry.fault("GET", layer.digest, faults.body(b"?" * layer.size), times=-1)
    with pytest.raises(StoreError, match="is not what it should be"):
        pulled(client, registry, blobs, events)
    assert registry.count("GET", layer.digest) == 2
    assert leftovers(blobs) == []


def test_one_failing_layer_ends_the_pull_with_its_own_error(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    image = sample_image(*(tar({f"f{n}": noise(500_000, str(n))}) for n in range(4)))
    registry.add("team/app", "1", image)
    lost = image.manifest.layers[1].digest
    del registry.blobs["team/app", lost]
    with pytest.raises(RegistryError, match=f"blob `{lost}` of `.*` not found"):
        pulled(client, registry, blobs, events)
    assert not blobs.contains(image.manifest.descriptor().digest)


def test_tags_are_listed_over_pages(client: RegistryClient, registry: Registry) -> None:
    registry.page = 2
    for tag in ("a", "b", "c", "d", "e"):
        registry.add("team/app", tag, sample_image())
    assert client.list_tags(reference(registry)) == ("a", "b", "c", "d", "e")


def test_a_head_tells_the_digest_without_fetching(
    client: RegistryClient, registry: Registry
) -> None:
    image = sample_image()
    registry.add("team/app", "1", image)
    assert client.head_manifest(reference(registry)) == image.manifest.descriptor()
    assert registry.count("GET", "/manifests/") == 0


def test_foreign_layers_come_from_their_own_place_without_credentials(
    make_client: Callable[..., RegistryClient],
    registry: Registry,
    blobs: BlobStore,
    events: Recorder,
) -> None:
    image = sample_image()
    layer = image.manifest.layers[0]
    with hostile_registry() as elsewhere:
        elsewhere.add("x", "1", image)
        foreign = Descriptor(
            media_type="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            digest=layer.digest,
            size=layer.size,
            urls=(f"http://{elsewhere.host}/v2/x/blobs/{layer.digest}",),
        )
        registry.add("team/app", "1", image)
        del registry.blobs["team/app", layer.digest]
        registry.add_manifest("team/app", "1", build_manifest(image.manifest.config, [foreign]))
        pulled(make_client(), registry, blobs, events)
        assert blobs.contains(layer.digest)
        assert all(seen.authorization is None for seen in elsewhere.requests)


def test_bodies_are_taken_as_they_are(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    image = sample_image()
    registry.add("team/app", "1", image)
    layer = image.manifest.layers[0].digest
    # A server that takes a .gz for an encoding must not make us unpack it: the digest is of the blob.
    registry.fault("GET", layer, faults.body(image.blobs[layer], Content_Encoding="gzip"))
    pulled(client, registry, blobs, events)
    with blobs.open(layer) as blob:
        assert gzip.decompress(blob.read()).startswith(b"hello")
