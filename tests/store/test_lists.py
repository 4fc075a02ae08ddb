"""Manifest lists are put together here and pushed with all their images."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.engine.catalogue import Catalogue
from builder.engine.lists import ManifestLists
from builder.engine.manifest_list import Change
from builder.errors import ImageError, LapstrakeError, ReferenceInvalid, UsageError
from builder.events import Discard
from builder.oci.mediatypes import DOCKER_INDEX, OCI_INDEX, Family
from builder.oci.reference import Reference
from builder.registry.client import RegistryClient
from builder.registry.transport import HttpTransport, Options
from builder.store.reset import reset
from builder.store.root import Store
from builder.ui.manifests import raw_text, verbose_text
from tests.support.docker_registry import docker_registry
from tests.support.jobs import JobsHere
from tests.support.registry import Registry, hostile_registry
from tests.support.sample_closures import KINDS, Sample, write_layout
from tests.support.sample_image import sample_image, tar
from tests.support.store_images import pulled

ARM = sample_image(tar({"arm": b"1"}), architecture="arm64")
AMD = sample_image(tar({"amd": b"1"}))


def client() -> RegistryClient:
    options = Options(read_timeout=5.0, connect_timeout=2.0)
    return RegistryClient(HttpTransport(options, wait=lambda *_: None))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store"), JobsHere()) as opened:
        yield opened


@pytest.fixture
def lists(store: Store) -> ManifestLists:
    return ManifestLists(store, client)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with hostile_registry() as running:
        running.add("one", "1", AMD)
        running.add("two", "1", ARM)
        yield running


def publish(registry: Registry, repository: str, sample: Sample) -> None:
    for digest, data in sample.blobs.items():
        registry.blobs[repository, digest] = data
    for document in sample.closure.documents:
        registry.add_manifest(repository, "1", document)


def listed(registry: Registry, repository: str, tag: str = "1") -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(registry.manifests[repository, tag][1])["manifests"]
    return found


def test_images_of_registries_and_of_the_store_are_pushed_with_their_list(
    store: Store, lists: ManifestLists, registry: Registry
) -> None:
    Catalogue(store).name(Reference.parse("built:arm"), pulled(store, ARM).id)
    name = f"{registry.host}/app:1"
    made = lists.create(name, [f"{registry.host}/one:1", "built:arm"], amend=False, every=False)
    assert made.name == name
    registry.requests.clear()
    pushed = lists.push(name, None, Discard())
    assert [each["platform"] for each in listed(registry, "app")] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
    ]
    assert pushed.digest == lists.get(name).index.descriptor().digest
    for sample in (AMD, ARM):
        assert ("app", sample.manifest.descriptor().digest) in registry.manifests
        assert all(("app", digest) in registry.blobs for digest in sample.blobs)
    assert [each.path for each in registry.requests if "from=one" in each.path]
    fetched = [each.path for each in registry.requests if each.method == "GET"]
    assert not [path for path in fetched if "/blobs/" in path]


def test_a_list_is_changed_only_if_asked_to(lists: ManifestLists, registry: Registry) -> None:
    one, two = (f"{registry.host}/{name}:1" for name in ("one", "two"))
    lists.create("app", [one], amend=False, every=False)
    with pytest.raises(ImageError, match="already") as caught:
        lists.create("app:latest", [two], amend=False, every=False)
    assert caught.value.code == "image.exists"
    assert len(lists.create("app", [two], amend=True, every=False).children) == 2
    assert len(lists.create("app", [two], amend=True, every=False).children) == 2


def test_what_a_list_says_of_an_image_can_be_changed(
    lists: ManifestLists, registry: Registry
) -> None:
    one = f"{registry.host}/one:1"
    lists.create("app", [one], amend=False, every=False)
    change = Change(architecture="arm", variant="v6", os_features=("f",), annotations=(("k", "v"),))
    [found] = json.loads(lists.annotate("app", one, change).index.raw)["manifests"]
    assert found["platform"] == {
        "architecture": "arm",
        "os": "linux",
        "variant": "v6",
        "os.features": ["f"],
    }
    assert found["annotations"] == {"k": "v"}
    digest = str(AMD.manifest.descriptor().digest)
    assert lists.annotate("app", digest, Change(os="windows", os_version="10")).children[0].platform
    with pytest.raises(ImageError, match="has no image `three`"):
        lists.annotate("app", "three", change)
    for said in ({"architecture": "bogus!"}, {"os": "Linux"}, {"variant": "v 7"}):
        with pytest.raises(ReferenceInvalid, match="cannot stand in a platform"):
            Change(**said)


def test_a_list_of_dockers_images_is_dockers(lists: ManifestLists, registry: Registry) -> None:
    registry.add("docker", "1", sample_image(family=Family.DOCKER))
    docker, oci = (f"{registry.host}/{name}:1" for name in ("docker", "one"))
    assert lists.create("a", [docker], amend=False, every=False).index.media_type == DOCKER_INDEX
    assert lists.create("b", [docker, oci], amend=False, every=False).index.media_type == OCI_INDEX


def test_an_image_of_one_platform_may_have_an_index_of_its_own(
    lists: ManifestLists, registry: Registry
) -> None:
    publish(registry, "attested", KINDS["attestations"]())
    publish(registry, "both", KINDS["two platforms"]())
    attested, both = (f"{registry.host}/{name}:1" for name in ("attested", "both"))
    assert len(lists.create("a", [attested], amend=False, every=False).children) == 1
    with pytest.raises(ImageError, match="a list of 2 images, not one"):
        lists.add("a", both, Change(), every=False)
    assert len(lists.add("a", both, Change(), every=True).children) == 3
    digest = KINDS["two platforms"]().closure.manifests[1].descriptor().digest
    assert len(lists.create("b", [f"{registry.host}/both@{digest}"], amend=False, every=False).children) == 1  # fmt: skip


def test_images_are_taken_out_and_lists_removed(lists: ManifestLists, registry: Registry) -> None:
    one, two = (f"{registry.host}/{name}:1" for name in ("one", "two"))
    lists.create("app", [one, two], amend=False, every=False)
    assert [each.image for each in lists.remove("app", one).children] == [two]
    with pytest.raises(ImageError, match="no manifest list `nope:latest`"):
        lists.forget(["app", "nope"])
    assert lists.exists("app")
    lists.forget(["app"])
    assert not lists.exists("app")
    with pytest.raises(ImageError, match="no manifest list"):
        lists.push("app", None, Discard())


def test_an_image_that_changed_meanwhile_is_not_pushed_for_another(
    store: Store, lists: ManifestLists, registry: Registry
) -> None:
    catalogue = Catalogue(store)
    catalogue.name(Reference.parse("built"), pulled(store, AMD).id)
    name = f"{registry.host}/app:1"
    lists.create(name, ["built"], amend=False, every=False)
    catalogue.name(Reference.parse("built"), pulled(store, ARM).id)
    with pytest.raises(ImageError, match="not the image any more"):
        lists.push(name, None, Discard())
    store.images.remove_name("docker.io/library/built:latest")
    with pytest.raises(ImageError, match="No such image"):
        lists.push(name, None, Discard())
    assert ("app", "1") not in registry.manifests


def test_lists_and_what_registries_have_are_shown(lists: ManifestLists, registry: Registry) -> None:
    one = f"{registry.host}/one:1"
    lists.create("app", [one], amend=False, every=False)
    assert json.loads(raw_text(lists.inspected("app")))["manifests"][0]["size"] > 0
    [told] = json.loads(verbose_text(lists.inspected("app")))
    alone = json.loads(verbose_text(lists.inspected(one, within="app")))
    assert told == alone
    assert told["Descriptor"]["platform"]["os"] == "linux"
    assert told["OCIManifest"] == json.loads(AMD.manifest.raw)
    assert json.loads(raw_text(lists.inspected(one))) == json.loads(AMD.manifest.raw)
    assert raw_text(lists.inspected(one)).startswith('{\n   "')
    with pytest.raises(LapstrakeError, match="not found"):
        lists.inspected(f"{registry.host}/none:1")


def test_what_is_in_another_place_is_shown_if_it_is_named_so(
    store: Store, lists: ManifestLists, tmp_path: Path
) -> None:
    image = pulled(store, AMD)
    Catalogue(store).name(Reference.parse("kept:1"), image.id)
    layout = write_layout(tmp_path / "layout", KINDS["two platforms"]())
    assert json.loads(raw_text(lists.inspected("store:kept:1"))) == json.loads(AMD.manifest.raw)
    assert len(json.loads(verbose_text(lists.inspected(f"oci:{layout}:it")))) == 2
    with pytest.raises(UsageError, match="in the store or in registries"):
        lists.create("app", [f"oci:{layout}:it"], amend=False, every=False)


def test_names_that_can_be_none_are_refused(lists: ManifestLists) -> None:
    with pytest.raises(UsageError, match="no digest before it is pushed"):
        lists.create("app@sha256:" + "0" * 64, [], amend=False, every=False)
    lists.create("app", [], amend=False, every=False)
    with pytest.raises(ImageError, match="is empty"):
        lists.push("app", None, Discard())


def test_a_damaged_list_is_named_and_can_be_removed(store: Store, lists: ManifestLists) -> None:
    lists.create("app", [], amend=False, every=False)
    [name] = os.listdir(f"{store.root}/lists")
    Path(store.root, "lists", name).write_bytes(b"{")
    with pytest.raises(ImageError, match="the list `app:latest` is damaged"):
        lists.get("app")
    lists.forget(["app"])
    assert not lists.exists("app")


def test_a_store_goes_with_its_lists(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "gone"), JobsHere())
    ManifestLists(store, client).create("app", [], amend=False, every=False)
    reset(store)
    assert not (tmp_path / "gone").exists()


def test_skopeo_reads_a_list_that_was_pushed(tmp_path: Path, store: Store) -> None:
    for number, sample in enumerate((AMD, ARM)):
        image = pulled(store, sample)
        Catalogue(store).name(Reference.parse(f"image{number}"), image.id)
    with docker_registry(tmp_path) as host:
        lists = ManifestLists(store, client)
        lists.create("app", ["image0", "image1"], amend=False, every=False)
        pushed = lists.push("app", f"docker://{host}/team/app:1", Discard())
        found = subprocess.run(
            ["skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{host}/team/app:1"],
            check=True,
            capture_output=True,
        )
        assert found.stdout == lists.get("app").index.raw
        assert pushed.size == len(found.stdout)
