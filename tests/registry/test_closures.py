"""Whole closures: every platform and attestation, digests preserved, each blob once."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from builder.errors import Cancelled, ImageError, RegistryError
from builder.oci import mediatypes
from builder.oci.closure import Closure, closure_of
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import Index, Manifest, build_index, build_manifest
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.registry.client import RegistryClient
from builder.registry.pulling import fetch_closure
from builder.registry.pushing import push_closure, sending
from builder.store.blobs import BlobStore
from tests.registry.conftest import Recorder
from tests.support import registry as faults
from tests.support.docker_registry import docker_registry
from tests.support.registry import Registry
from tests.support.sample_image import noise, sample_image, tar


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """An index of two platforms that share a layer, one of them with an attestation."""

    index: Index
    closure: Closure
    blobs: dict[str, bytes]

    def open(self, digest: Digest) -> io.BytesIO:
        return io.BytesIO(self.blobs[digest])


@pytest.fixture(scope="module")
def published() -> Published:
    shared = tar({"shared": noise(300_000)})
    images = [
        sample_image(shared, tar({"own": name.encode()}), architecture=name)
        for name in ("amd64", "arm64")
    ]
    blobs = images[0].blobs | images[1].blobs
    statement = b'{"_type": "https://in-toto.io/Statement/v1"}'
    blobs[Digest.of(statement)] = statement
    blobs[Digest.of(b"{}")] = b"{}"
    attestation = build_manifest(
        Descriptor(media_type=mediatypes.OCI_EMPTY, digest=Digest.of(b"{}"), size=2),
        [
            Descriptor(
                media_type="application/vnd.oci.statement+json",
                digest=Digest.of(statement),
                size=len(statement),
            )
        ],
    )
    children: list[Manifest | Index] = [*(image.manifest for image in images), attestation]
    platforms = [Platform.parse("linux/amd64"), Platform.parse("linux/arm64"), None]
    index = build_index(
        [
            msgspec.structs.replace(child.descriptor(), platform=platform)
            for child, platform in zip(children, platforms, strict=True)
        ]
    )
    known = {child.descriptor().digest: child.raw for child in children}
    closure = closure_of(index, lambda descriptor: known[descriptor.digest])
    return Published(index=index, closure=closure, blobs=blobs)


def reference(registry: Registry, name: str = "team/app:1") -> Reference:
    return Reference.parse(f"{registry.host}/{name}")


def publish(registry: Registry, published: Published, name: str = "team/app") -> None:
    for digest, data in published.blobs.items():
        registry.blobs[name, digest] = data
    for document in published.closure.documents:
        registry.add_manifest(name, "1", document)


def test_a_closure_is_fetched_whole_and_shared_blobs_once(
    client: RegistryClient,
    registry: Registry,
    blobs: BlobStore,
    events: Recorder,
    published: Published,
) -> None:
    publish(registry, published)
    assert fetch_closure(client, reference(registry), blobs, events, 1) == published.closure
    for digest, data in published.blobs.items():
        assert blobs.read(Digest(digest)) == data
        assert registry.count("GET", digest) == 1
    for document in published.closure.documents:
        assert blobs.read(document.descriptor().digest) == document.raw


def test_only_wanted_children_are_fetched(
    client: RegistryClient,
    registry: Registry,
    blobs: BlobStore,
    events: Recorder,
    published: Published,
) -> None:
    publish(registry, published)
    arm = Platform.parse("linux/arm64")
    closure = fetch_closure(
        client, reference(registry), blobs, events, 1, wanted=lambda each: each.platform == arm
    )
    assert closure.top == published.index
    assert closure.manifests == (published.closure.manifests[1],)
    assert registry.count("GET", "/manifests/") == 2


def test_a_missing_child_is_one_error_and_no_top(
    client: RegistryClient,
    registry: Registry,
    blobs: BlobStore,
    events: Recorder,
    published: Published,
) -> None:
    publish(registry, published)
    del registry.manifests["team/app", published.closure.manifests[1].descriptor().digest]
    with pytest.raises(RegistryError, match="not found"):
        fetch_closure(client, reference(registry), blobs, events, 1)
    assert blobs.size(published.index.descriptor().digest) is None


def test_an_index_that_names_itself_too_deeply_is_refused(
    client: RegistryClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    inner: Manifest | Index = build_index([])
    for _ in range(6):
        registry.add_manifest("team/app", "1", inner)
        inner = build_index([inner.descriptor()])
    registry.add_manifest("team/app", "1", inner)
    with pytest.raises(ImageError, match="nested too deeply"):
        fetch_closure(client, reference(registry), blobs, events, 1)


def test_a_closure_arrives_whole_children_first(
    client: RegistryClient, registry: Registry, events: Recorder, published: Published
) -> None:
    target = reference(registry)
    top = push_closure(client, target, published.closure, published.open, events, 1)
    assert top == published.index.descriptor()
    puts = [seen.path.rsplit("/", 1)[1] for seen in registry.requests if seen.method == "PUT"]
    children = [document.descriptor().digest for document in published.closure.documents[:-1]]
    assert puts[-4:] == [*children, "1"]
    assert registry.manifests["team/app", "1"][1] == published.index.raw
    assert {digest for _, digest in registry.blobs} == set(published.blobs)


def test_nothing_is_sent_twice_for_several_tags(
    client: RegistryClient, registry: Registry, events: Recorder, published: Published
) -> None:
    target = reference(registry)
    push_closure(client, target, published.closure, published.open, events, 1, tags=("2", "1"))
    assert registry.manifests["team/app", "2"] == registry.manifests["team/app", "1"]
    uploads = registry.count("POST", "/uploads/")
    assert uploads == len(published.blobs)
    before = len(registry.requests)
    push_closure(client, target, published.closure, must_not_open, events, 1, tags=("3",))
    assert registry.count("POST", "/uploads/") == uploads
    assert registry.manifests["team/app", "3"] == registry.manifests["team/app", "1"]
    assert len(registry.requests) - before <= 10


def must_not_open(digest: Digest) -> NoReturn:
    pytest.fail(f"{digest} was read, although the registry has it")


def test_without_a_tag_the_top_is_put_by_digest(
    client: RegistryClient, registry: Registry, events: Recorder, published: Published
) -> None:
    digest = published.index.descriptor().digest
    target = reference(registry).with_digest(digest)
    push_closure(client, target, published.closure, published.open, events, 1)
    assert ("team/app", digest) in registry.manifests
    assert all(name.startswith("sha256:") for _, name in registry.manifests)


def test_blobs_of_a_closure_are_mounted(
    client: RegistryClient, registry: Registry, events: Recorder, published: Published
) -> None:
    publish(registry, published, "base")
    push_closure(
        client,
        reference(registry),
        published.closure,
        must_not_open,
        events,
        1,
        mount_from=lambda _: "base",
    )
    assert ("team/app", "1") in registry.manifests


def test_a_cancelled_closure_publishes_no_documents(
    client: RegistryClient, registry: Registry, events: Recorder, published: Published
) -> None:
    with pytest.raises(Cancelled):
        push_closure(
            client,
            reference(registry),
            published.closure,
            published.open,
            events,
            1,
            cancelled=lambda: registry.count("POST", "/uploads/") > 0,
        )
    assert registry.manifests == {}


def test_a_registry_that_knows_no_head_of_manifests_gets_them_all(
    client: RegistryClient, registry: Registry, events: Recorder, published: Published
) -> None:
    registry.fault("HEAD", "/manifests/", faults.status(405), times=-1)
    push_closure(client, reference(registry), published.closure, published.open, events, 1)
    assert ("team/app", "1") in registry.manifests


def test_a_registry_that_has_lost_blobs_gets_them_again(
    client: RegistryClient, registry: Registry, events: Recorder, published: Published
) -> None:
    target = reference(registry)
    push_closure(client, target, published.closure, published.open, events, 1)
    registry.blobs.clear()

    def act(handler: faults.Handler) -> bool:
        """Miss the blobs."""
        if handler.registry.blobs:
            return False
        handler.error(404, "MANIFEST_BLOB_UNKNOWN")
        return True

    registry.fault("PUT", "/manifests/", act, times=-1)
    push_closure(client, target, published.closure, published.open, events, 1)
    assert {digest for _, digest in registry.blobs} == set(published.blobs)


def test_blobs_are_sent_while_others_are_made(
    client: RegistryClient, registry: Registry, events: Recorder, published: Published
) -> None:
    target = reference(registry)
    arrived = threading.Event()

    def act(_handler: faults.Handler) -> bool:
        arrived.set()
        return False

    registry.fault("PUT", "/blobs/uploads/", act)
    first, *others = published.closure.blobs()
    with sending(client, target, published.open, events, 1) as ready:
        ready(first)
        assert arrived.wait(20)
        for other in others:
            ready(other)
    assert {digest for _, digest in registry.blobs} == set(published.blobs)
    asked = registry.count("HEAD", "/blobs/")
    push_closure(client, target, published.closure, must_not_open, events, 1)
    assert registry.count("HEAD", "/blobs/") == asked
    assert ("team/app", "1") in registry.manifests


def test_what_cannot_be_sent_is_told_at_the_end_of_the_block(
    client: RegistryClient, registry: Registry, events: Recorder, published: Published
) -> None:
    registry.fault("POST", "/uploads/", faults.status(403), times=-1)
    with (
        pytest.raises(RegistryError, match="push access"),
        sending(client, reference(registry), published.open, events, 1) as ready,
    ):
        for blob in published.closure.blobs():
            ready(blob)


def test_a_block_that_fails_ends_the_sending_with_its_own_error(
    client: RegistryClient, registry: Registry, events: Recorder, published: Published
) -> None:
    with (
        pytest.raises(KeyError),
        sending(client, reference(registry), published.open, events, 1) as ready,
    ):
        ready(published.closure.blobs()[0])
        raise KeyError


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


def test_a_closure_goes_to_a_real_registry_and_comes_back(
    client: RegistryClient,
    server: str,
    blobs: BlobStore,
    events: Recorder,
    published: Published,
    tmp_path: Path,
) -> None:
    target = Reference.parse(f"{server}/closures/app:1")
    push_closure(client, target, published.closure, published.open, events, 1, tags=("2",))
    for tag in ("1", "2"):
        store = BlobStore(tmp_path / tag)
        found = fetch_closure(client, target.with_tag(tag), store, events, 1)
        assert found == published.closure
        assert all(store.contains(Digest(digest)) for digest in published.blobs)
