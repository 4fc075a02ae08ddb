"""What is published about an image: listed by the registry, or in the index that takes the place of its list."""

from __future__ import annotations

import json

import pytest

from builder.errors import RegistryError
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import Manifest, build_manifest
from builder.oci.mediatypes import IN_TOTO, OCI_EMPTY, OCI_INDEX
from builder.oci.reference import Reference
from builder.registry.client import RegistryClient
from builder.registry.referrers import attach, referrers, tag_of
from tests.support.registry import Handler, Registry
from tests.support.sample_image import sample_image

IMAGE = sample_image()
SUBJECT = IMAGE.manifest.descriptor()
EMPTY = Descriptor(media_type=OCI_EMPTY, digest=Digest.of(b"{}"), size=2)
REPOSITORY = "team/app"


def artifact(kind: str, text: bytes = b"statement") -> Manifest:
    layer = Descriptor(media_type=IN_TOTO, digest=Digest.of(text), size=len(text))
    return build_manifest(EMPTY, [layer], {"made": kind}, artifact_type=kind, subject=SUBJECT)


def where(registry: Registry) -> Reference:
    return Reference.parse(f"{registry.host}/{REPOSITORY}:1")


def published(client: RegistryClient, registry: Registry, made: Manifest) -> None:
    registry.add_manifest(REPOSITORY, str(made.descriptor().digest), made)
    attach(client, where(registry), made)


def fallback(registry: Registry) -> dict[str, object]:
    _, raw = registry.manifests[REPOSITORY, tag_of(SUBJECT.digest)]
    found: dict[str, object] = json.loads(raw)
    return found


def test_the_registrys_own_list_is_read_to_its_end(
    client: RegistryClient, registry: Registry
) -> None:
    registry.referrers = True
    first, second = artifact("a/a"), artifact("b/b")
    published(client, registry, first)
    published(client, registry, second)
    found = referrers(client, where(registry), SUBJECT.digest)
    assert [each.artifact_type for each in found] == ["a/a", "b/b"]
    (one,) = referrers(client, where(registry), SUBJECT.digest, "b/b")
    assert one.digest == second.descriptor().digest
    assert (REPOSITORY, tag_of(SUBJECT.digest)) not in registry.manifests


def test_a_registry_without_a_list_gets_an_index_under_a_tag(
    client: RegistryClient, registry: Registry
) -> None:
    assert referrers(client, where(registry), SUBJECT.digest) == ()
    first, second = artifact("a/a"), artifact("b/b")
    published(client, registry, first)
    published(client, registry, second)
    assert tag_of(SUBJECT.digest) == str(SUBJECT.digest).replace(":", "-")
    document = fallback(registry)
    assert document["mediaType"] == OCI_INDEX
    (entry, _) = document["manifests"]  # type: ignore[misc]  # a list of two
    assert entry == {
        "mediaType": first.media_type,
        "digest": str(first.descriptor().digest),
        "size": len(first.raw),
        "annotations": {"made": "a/a"},
        "artifactType": "a/a",
    }
    found = referrers(client, where(registry), SUBJECT.digest)
    assert [each.artifact_type for each in found] == ["a/a", "b/b"]


def test_the_same_is_listed_once(client: RegistryClient, registry: Registry) -> None:
    published(client, registry, artifact("a/a"))
    before = fallback(registry)
    published(client, registry, artifact("a/a"))
    assert fallback(registry) == before
    assert registry.count("PUT", tag_of(SUBJECT.digest)) == 1


def test_what_others_add_meanwhile_is_kept(client: RegistryClient, registry: Registry) -> None:
    registry.conditions = True
    published(client, registry, artifact("a/a"))
    other = artifact("c/c")

    def another_comes_first(handler: Handler) -> bool:
        assert handler.headers["If-Match"]
        published_by_other = fallback(registry)
        published_by_other["manifests"].append(  # type: ignore[attr-defined]  # it is a list
            {**other.descriptor().document(), "artifactType": "c/c"}
        )
        registry.manifests[REPOSITORY, tag_of(SUBJECT.digest)] = (
            OCI_INDEX,
            json.dumps(published_by_other).encode(),
        )
        return False

    registry.fault("PUT", tag_of(SUBJECT.digest), another_comes_first)
    published(client, registry, artifact("b/b"))
    found = referrers(client, where(registry), SUBJECT.digest)
    assert [each.artifact_type for each in found] == ["a/a", "c/c", "b/b"]


def test_something_else_under_the_tag_is_neither_believed_nor_overwritten(
    client: RegistryClient, registry: Registry
) -> None:
    registry.add_manifest(REPOSITORY, tag_of(SUBJECT.digest), IMAGE.manifest)
    with pytest.raises(RegistryError) as caught:
        published(client, registry, artifact("a/a"))
    assert "not an index" in str(caught.value.notes)
    assert registry.manifests[REPOSITORY, tag_of(SUBJECT.digest)][1] == IMAGE.manifest.raw


def test_an_artifact_without_a_subject_is_a_mistake_of_the_caller(
    client: RegistryClient, registry: Registry
) -> None:
    with pytest.raises(ValueError, match="subject"):
        attach(client, where(registry), IMAGE.manifest)


def test_an_endless_list_ends(client: RegistryClient, registry: Registry) -> None:
    page = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()

    def again(handler: Handler) -> bool:
        handler.answer(200, page, Content_Type=OCI_INDEX, Link=f'<{handler.path}>; rel="next"')
        return True

    registry.fault("GET", "/referrers/", again, times=100_000)
    with pytest.raises(RegistryError) as caught:
        referrers(client, where(registry), SUBJECT.digest)
    assert "does not end" in str(caught.value.notes)
