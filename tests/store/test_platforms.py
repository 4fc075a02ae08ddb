"""A name stands for one image of each platform."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.engine import listing, shelf
from builder.engine.catalogue import Catalogue, OfPlatform
from builder.errors import ImageError
from builder.oci.config import ImageConfig
from builder.oci.digest import Digest
from builder.oci.manifest import Manifest, build_index, build_manifest
from builder.oci.mediatypes import IN_TOTO, OCI_CONFIG, OCI_EMPTY
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.store.layers import BlobForm, Layer
from builder.store.pruning import Pruning
from builder.store.root import Store
from tests.support.jobs import JobsHere

APP = Reference.parse("registry.example/app:1")
AMD, ARM, ARM_V6 = (Platform.parse(text) for text in ("linux/amd64", "linux/arm64", "linux/arm/v6"))


class Kept:
    """A store with images of several platforms."""

    def __init__(self, root: Path) -> None:
        self.store = Store(str(root), JobsHere())
        self.catalogue = Catalogue(self.store)

    def image(self, platform: Platform, text: str = "") -> OfPlatform:
        config = ImageConfig(
            os=platform.os,
            architecture=platform.architecture,
            variant=platform.variant,
            author=text,
        )
        image_id = self.catalogue.add(config)
        raw = self.store.blobs.read(Digest(image_id))
        manifest = build_manifest(self.store.blobs.add(raw, media_type=OCI_CONFIG), ())
        self.store.blobs.add(manifest.raw, media_type=manifest.media_type)
        self.manifests[image_id] = manifest
        digest = str(manifest.descriptor().digest)
        return OfPlatform(platform=platform, image=image_id, manifest=digest)

    @property
    def manifests(self) -> dict[str, Manifest]:
        return self.__dict__.setdefault("_manifests", {})

    def on(self, platform: Platform | None) -> str:
        found = self.catalogue.by_reference(APP, platform)
        assert found is not None
        return found.id

    def ids(self) -> set[str]:
        return {image.id for image in self.store.images.all()}


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    one = Kept(tmp_path / "store")
    yield one
    one.store.close()


def test_each_platform_has_its_image_and_the_host_is_meant_without_one(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Platform, "host", lambda: AMD)
    arm, amd = kept.image(ARM), kept.image(AMD)
    kept.catalogue.name_platforms(APP, (arm, amd))
    assert (kept.on(AMD), kept.on(ARM), kept.on(None)) == (amd.image, arm.image, amd.image)


def test_where_the_host_has_none_the_first_is_meant(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Platform, "host", lambda: Platform.parse("linux/s390x"))
    arm, amd = kept.image(ARM), kept.image(AMD)
    kept.catalogue.name_platforms(APP, (arm, amd))
    assert kept.on(None) == arm.image


def test_a_lower_variant_serves_where_there_is_no_better_one(kept: Kept) -> None:
    v6 = kept.image(ARM_V6)
    kept.catalogue.name_platforms(APP, (kept.image(AMD), v6))
    assert kept.on(Platform.parse("linux/arm/v7")) == v6.image


def test_a_second_platform_of_the_same_index_joins_the_first(kept: Kept) -> None:
    amd, arm = kept.image(AMD), kept.image(ARM)
    kept.catalogue.add_platform(APP, amd, "sha256:" + "1" * 64)
    kept.catalogue.add_platform(APP, arm, "sha256:" + "1" * 64)
    assert (kept.on(AMD), kept.on(ARM)) == (amd.image, arm.image)


def test_another_index_under_the_name_replaces_all_platforms(kept: Kept) -> None:
    kept.catalogue.add_platform(APP, kept.image(AMD), "sha256:" + "1" * 64)
    arm = kept.image(ARM)
    kept.catalogue.add_platform(APP, arm, "sha256:" + "2" * 64)
    assert kept.on(AMD) == kept.on(ARM) == arm.image


def test_a_name_of_one_image_that_came_from_the_index_stays_when_another_platform_comes(
    kept: Kept,
) -> None:
    amd, arm = kept.image(AMD), kept.image(ARM)
    kept.catalogue.name(APP, amd.image, "sha256:" + "1" * 64)
    kept.catalogue.add_platform(APP, arm, "sha256:" + "1" * 64)
    assert (kept.on(AMD), kept.on(ARM)) == (amd.image, arm.image)


def test_naming_one_image_forgets_the_platforms(kept: Kept) -> None:
    kept.catalogue.name_platforms(APP, (kept.image(AMD), kept.image(ARM)))
    other = kept.image(AMD, "other")
    kept.catalogue.name(APP, other.image)
    assert kept.on(ARM) == other.image
    assert kept.store.images.platforms() == ()


def test_a_platform_is_found_by_the_digest_of_its_manifest(kept: Kept) -> None:
    arm = kept.image(ARM)
    kept.catalogue.name_platforms(APP, (kept.image(AMD), arm))
    found = kept.catalogue.by_reference(Reference.parse(f"registry.example/app@{arm.manifest}"))
    assert found is not None
    assert found.id == arm.image


def test_images_of_all_platforms_stay_when_what_has_no_name_is_pruned(kept: Kept) -> None:
    amd, arm = kept.image(AMD), kept.image(ARM)
    loose = kept.image(AMD, "loose")
    kept.catalogue.name_platforms(APP, (amd, arm))
    shelf.prune(kept.store, Pruning())
    assert kept.ids() == {amd.image, arm.image}
    for each in (amd, arm):
        assert each.manifest is not None
        assert kept.store.blobs.contains(kept.manifests[each.image].descriptor().digest)
    assert not kept.store.blobs.contains(kept.manifests[loose.image].descriptor().digest)


def test_statements_of_an_index_stay_with_its_images(kept: Kept) -> None:
    amd, arm = kept.image(AMD), kept.image(ARM)
    statement = kept.store.blobs.add(b'{"_type":"statement"}', media_type=IN_TOTO)
    empty = kept.store.blobs.add(b"{}", media_type=OCI_EMPTY)
    about = build_manifest(msgspec.structs.replace(empty, media_type=OCI_CONFIG), (statement,))
    kept.store.blobs.add(about.raw, media_type=about.media_type)
    parts = [kept.manifests[each.image].descriptor() for each in (amd, arm)]
    index = build_index([*parts, about.descriptor()])
    kept.store.blobs.add(index.raw, media_type=index.media_type)
    kept.catalogue.name_platforms(APP, (amd, arm), str(index.descriptor().digest))
    shelf.prune(kept.store, Pruning())
    for descriptor in (index.descriptor(), about.descriptor(), statement):
        assert kept.store.blobs.contains(descriptor.digest)


def test_removing_the_name_removes_the_images_of_all_platforms(kept: Kept) -> None:
    amd, arm = kept.image(AMD), kept.image(ARM)
    kept.catalogue.name_platforms(APP, (amd, arm))
    other = Reference.parse("other")
    kept.catalogue.name(other, arm.image)
    lines = shelf.remove(kept.store, ("registry.example/app:1",), force=False)
    assert lines.removed == ("Untagged: registry.example/app:1", f"Deleted: {amd.image}")
    assert kept.ids() == {arm.image}


def test_the_list_shows_a_name_of_several_platforms_once(kept: Kept) -> None:
    amd, arm = kept.image(AMD), kept.image(ARM)
    kept.catalogue.name_platforms(APP, (amd, arm))
    (row,) = listing.images(kept.store)
    assert row.names == ("registry.example/app:1",)


def test_a_removed_image_leaves_the_name_to_other_platforms(kept: Kept) -> None:
    amd, arm = kept.image(AMD), kept.image(ARM)
    kept.catalogue.name_platforms(APP, (amd, arm))
    kept.store.images.remove(kept.on(None))
    (name,) = kept.store.images.names()
    assert {name.image} == kept.ids()


def test_the_id_of_a_further_platform_takes_nothing_else_along(kept: Kept) -> None:
    host = next(each for each in (AMD, ARM) if each.matches(Platform.host()))
    further = ARM if host is AMD else AMD
    shown, other = kept.image(host), kept.image(further)
    kept.catalogue.name_platforms(APP, (shown, other))
    assert shelf.remove(kept.store, (other.image,)).removed == (f"Deleted: {other.image}",)
    assert kept.ids() == {shown.image}
    kept.catalogue.name_platforms(APP, (shown, kept.image(further)))
    assert shelf.remove(kept.store, (shown.image,)).removed == (
        f"Untagged: {APP.familiar()}",
        f"Deleted: {shown.image}",
        f"Deleted: {other.image}",
    )
    assert kept.ids() == set()


def test_one_platform_can_be_taken_out_of_a_name(kept: Kept) -> None:
    amd, arm = kept.image(AMD), kept.image(ARM)
    kept.catalogue.name_platforms(APP, (amd, arm), "sha256:" + "a" * 64)
    name = APP.familiar()
    wrong = shelf.remove(kept.store, (name,), platforms=(Platform.parse("linux/s390x"),))
    assert [error.message for error in wrong.errors] == [f"No such image: {name} for linux/s390x"]
    assert wrong.errors[0].notes == (f"it is here for {ARM}, {AMD}",) or wrong.errors[0].notes == (
        f"it is here for {AMD}, {ARM}",
    )
    assert shelf.remove(kept.store, (name,), platforms=(ARM,)).removed == (f"Deleted: {arm.image}",)
    assert kept.ids() == {amd.image}
    assert kept.store.images.names()[0].digest == "sha256:" + "a" * 64
    assert shelf.remove(kept.store, (name,), platforms=(AMD,)).removed == (
        f"Untagged: {name}",
        f"Deleted: {amd.image}",
    )


def test_details_are_those_of_the_platform_that_is_asked_for(kept: Kept) -> None:
    amd, arm = kept.image(AMD), kept.image(ARM)
    kept.catalogue.name_platforms(APP, (amd, arm))
    name = APP.familiar()
    for platform, image in ((AMD, amd), (ARM, arm)):
        assert shelf.inspect(kept.store, name, platform)["Id"] == image.image
    with pytest.raises(ImageError, match="for linux/s390x"):
        shelf.inspect(kept.store, name, Platform.parse("linux/s390x"))
    with pytest.raises(ImageError, match=f"for {ARM}"):
        shelf.inspect(kept.store, amd.image, ARM)


def test_the_tree_shows_the_platforms_of_a_name(kept: Kept) -> None:
    amd, arm = kept.image(AMD), kept.image(ARM)
    kept.catalogue.name_platforms(APP, (amd, arm))
    kept.catalogue.name_platforms(Reference.parse("registry.example/app:2"), (amd, arm))
    kept.catalogue.name(Reference.parse("alone"), amd.image)
    nameless = kept.image(ARM_V6)
    several, alone, last = sorted(
        listing.tree(kept.store), key=lambda row: (-len(row.members), not row.names)
    )
    assert several.names == (APP.familiar(), "registry.example/app:2")
    assert [(each.platform, each.id) for each in several.members] == [
        (str(AMD), amd.image),
        (str(ARM), arm.image),
    ]
    assert (alone.names, [each.platform for each in alone.members]) == (
        ("alone:latest",),
        [str(AMD)],
    )
    assert (last.names, last.top.id, last.members[0].platform) == ((), nameless.image, str(ARM_V6))
    assert listing.tree(kept.store)[-1] == last


def test_the_tree_knows_what_is_compressed(kept: Kept) -> None:
    layer = f"sha256:{'a' * 64}"
    config = ImageConfig(os="linux", architecture="amd64", diff_ids=(layer,))
    kept.store.layers.add(Layer(layer, layer[7:], 1000, 1, 0.0))
    kept.catalogue.name(APP, kept.catalogue.add(config))
    assert listing.tree(kept.store)[0].top.transferred is None
    form = BlobForm(f"sha256:{'b' * 64}", 300, "", "gzip", pulled=True)
    kept.store.layers.add_blob(layer, form)
    (row,) = listing.tree(kept.store)
    assert (row.top.size, row.top.transferred) == (1000, 300)
