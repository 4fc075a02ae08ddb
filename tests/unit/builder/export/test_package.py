"""Closures made of images of the store."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
import zstandard

from builder.engine.catalogue import Catalogue, LocalImage
from builder.errors import UsageError
from builder.export.outputs import shaped
from builder.export.package import Packed, Statement, package, top_descriptor
from builder.export.requested import ImageForm
from builder.export.wanted import Annotation, AnnotationPlace, LayerForm, Wanted
from builder.oci import mediatypes
from builder.oci.closure import Closure
from builder.oci.digest import Digest
from builder.oci.manifest import Index, Manifest, parse_manifest
from builder.oci.mediatypes import Compression, Family
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.oci.validate import validate
from builder.store.root import Store
from tests.support.jobs import JobsHere
from tests.support.sample_image import noise, sample_image
from tests.support.store_images import built, pulled

pytestmark = pytest.mark.needs_root

PROVENANCE = Statement(predicate_type="https://slsa.dev/provenance/v1", predicate=b'{"a":[1]}')
ARM = Platform("linux", "arm64")


def put(name: str, data: bytes = b"data"):
    return lambda root: Path(root, name).write_bytes(data)


def for_arm(store: Store, image: LocalImage) -> LocalImage:
    catalogue = Catalogue(store)
    config = msgspec.structs.replace(image.config, architecture="arm64", variant="")
    return catalogue.open(catalogue.add(config))


def packed(*images: LocalImage, statements: tuple[Statement, ...] = ()) -> list[Packed]:
    return [
        Packed(id=image.id, config=image.config, state=image.state, statements=statements)
        for image in images
    ]


def everything_is_here(closure: Closure, store: Store) -> None:
    for document in closure.documents:
        assert store.blobs.read(document.descriptor().digest) == document.raw
        assert parse_manifest(document.raw, document.media_type) == document
    for blob in closure.blobs():
        assert store.blobs.size(blob.digest) == blob.size
        assert store.blobs.verify(blob.digest)


def images_of(closure: Closure) -> Iterable[Manifest]:
    return [each for each in closure.manifests if each.config.media_type in mediatypes.CONFIGS]


def test_one_image_is_a_manifest(store: Store) -> None:
    image = built(store, put("a"))
    closure = package(packed(image), Wanted(), store)
    (manifest,) = closure.documents
    assert isinstance(manifest, Manifest)
    everything_is_here(closure, store)
    validate(manifest, image.config, store.blobs.open)


def test_one_image_is_an_index_where_that_is_wanted(store: Store) -> None:
    image = built(store, put("a"))
    closure = package(packed(image), Wanted(index=True), store)
    assert isinstance(closure.top, Index)
    (child,) = closure.top.manifests
    assert child == msgspec.structs.replace(
        closure.manifests[0].descriptor(), platform=Platform.host()
    )


@pytest.mark.parametrize("family", list(Family))
def test_images_of_several_platforms_are_an_index_in_the_order_given(
    store: Store, family: Family
) -> None:
    one = built(store, put("a"))
    other = for_arm(store, one)
    closure = package(packed(other, one), Wanted(family=family), store)
    index = closure.top
    assert isinstance(index, Index)
    assert index.media_type == family.index
    assert [each.platform for each in index.manifests] == [ARM, Platform.host()]
    assert [each.media_type for each in index.manifests] == [family.manifest] * 2
    assert [Digest.of(each.raw) for each in closure.manifests] == [
        each.digest for each in index.manifests
    ]
    everything_is_here(closure, store)
    for manifest, image in zip(closure.manifests, (other, one), strict=True):
        validate(manifest, image.config, store.blobs.open)


def test_the_same_images_are_the_same_bytes(store: Store) -> None:
    images = packed(built(store, put("a")), statements=(PROVENANCE,))
    assert package(images, Wanted(), store) == package(images, Wanted(), store)


@pytest.mark.parametrize("family", list(Family))
def test_a_pulled_image_keeps_its_manifest_in_an_index_too(
    store: Store, jobs: JobsHere, family: Family
) -> None:
    sample = sample_image(family=family)
    image = pulled(store, sample)
    closure = package(packed(image), Wanted(index=True), store)
    assert [each.raw for each in closure.manifests] == [sample.manifest.raw]
    assert jobs.called == []


def test_annotations_of_a_pulled_image_leave_its_blobs_alone(store: Store, jobs: JobsHere) -> None:
    sample = sample_image(family=Family.DOCKER)
    image = pulled(store, sample)
    wanted = Wanted(annotations=(Annotation(key="a", value="b"),))
    (manifest,) = package(packed(image), wanted, store).manifests
    assert manifest.annotations == (("a", "b"),)
    assert manifest.media_type == mediatypes.OCI_MANIFEST
    assert [each.digest for each in manifest.layers] == [
        each.digest for each in sample.manifest.layers
    ]
    assert jobs.called == []
    (again,) = package(packed(image), Wanted(), store).manifests
    assert again.raw == sample.manifest.raw


def test_each_annotation_is_where_it_belongs(store: Store) -> None:
    one = built(store, put("a"))
    images = packed(one, for_arm(store, one))
    wanted = Wanted(
        annotations=(
            Annotation(key="m", value="all"),
            Annotation(key="m", value="arm", platform=ARM),
            Annotation(key="d", value="1", place=AnnotationPlace.MANIFEST_DESCRIPTOR),
            Annotation(key="i", value="2", place=AnnotationPlace.INDEX),
            Annotation(key="t", value="3", place=AnnotationPlace.INDEX_DESCRIPTOR),
        )
    )
    closure = package(images, wanted, store)
    assert [each.annotations for each in closure.manifests] == [(("m", "all"),), (("m", "arm"),)]
    assert isinstance(closure.top, Index)
    assert closure.top.annotations == (("i", "2"),)
    assert [each.annotations for each in closure.top.manifests] == [(("d", "1"),)] * 2
    assert top_descriptor(closure, images, wanted).annotations == (("t", "3"),)


@pytest.mark.parametrize(
    ("annotation", "family", "message"),
    [
        (Annotation(key="a", value="", platform=Platform("plan9", "386")), None, "not built"),
        (Annotation(key="a", value="", place=AnnotationPlace.INDEX), None, "one image has none"),
        (
            Annotation(key="a", value="", place=AnnotationPlace.MANIFEST_DESCRIPTOR),
            Family.DOCKER,
            "Docker's media types",
        ),
    ],
)
def test_an_annotation_without_a_place_is_refused(
    store: Store, annotation: Annotation, family: Family | None, message: str
) -> None:
    images = packed(built(store, put("a")))
    with pytest.raises(UsageError, match=message):
        package(images, Wanted(annotations=(annotation,), family=family), store)


@pytest.mark.parametrize("artifact", [True, False])
def test_what_is_claimed_of_an_image_stands_beside_it(store: Store, artifact: bool) -> None:
    image = built(store, put("a"))
    names = (Reference.parse("localhost:5000/team/app:1"), Reference.parse("app"))
    wanted = Wanted(artifact=artifact, names=names)
    closure = package(packed(image, statements=(PROVENANCE,)), wanted, store)
    everything_is_here(closure, store)
    index = closure.top
    assert isinstance(index, Index)
    subject, claim = index.manifests
    assert subject.platform == Platform.host()
    assert claim.platform == Platform("unknown", "unknown")
    assert dict(claim.annotations) == {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": str(subject.digest),
    }
    manifest = closure.manifests[1]
    assert Digest.of(manifest.raw) == claim.digest
    (layer,) = manifest.layers
    assert layer.media_type == mediatypes.IN_TOTO
    assert dict(layer.annotations) == {"in-toto.io/predicate-type": PROVENANCE.predicate_type}
    statement = json.loads(store.blobs.read(layer.digest))
    platform = str(Platform.host()).replace("/", "%2F")
    assert statement.pop("subject") == [
        {"name": name, "digest": {"sha256": subject.digest.hex}}
        for name in (
            f"pkg:docker/localhost:5000/team/app@1?platform={platform}",
            f"pkg:docker/app@latest?platform={platform}",
        )
    ]
    assert statement == {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": PROVENANCE.predicate_type,
        "predicate": {"a": [1]},
    }
    if artifact:
        assert manifest.subject == closure.manifests[0].descriptor()
        assert manifest.artifact_type == "application/vnd.docker.attestation.manifest.v1+json"
        assert store.blobs.read(manifest.config.digest) == b"{}"
    else:
        assert manifest.subject is None
        config = json.loads(store.blobs.read(manifest.config.digest))
        assert config["rootfs"]["diff_ids"] == [layer.digest]
        assert (config["os"], config["architecture"]) == ("unknown", "unknown")


def test_claims_come_after_all_images(store: Store) -> None:
    one = built(store, put("a"))
    closure = package(packed(one, for_arm(store, one), statements=(PROVENANCE,)), Wanted(), store)
    assert isinstance(closure.top, Index)
    known = [each.platform != Platform("unknown", "unknown") for each in closure.top.manifests]
    assert known == [True, True, False, False]


def test_claims_in_dockers_media_types_are_refused(store: Store) -> None:
    images = packed(built(store, put("a")), statements=(PROVENANCE,))
    with pytest.raises(UsageError, match="attestations"):
        package(images, Wanted(family=Family.DOCKER), store)


def forced(compression: Compression, level: int | None = None) -> Wanted:
    return Wanted(layers=LayerForm(compression=compression, level=level, force=True))


def test_a_forced_compression_reaches_what_was_pulled(store: Store) -> None:
    sample = sample_image()
    image = built(store, put("a"), base=pulled(store, sample))
    (manifest,) = package(packed(image), forced(Compression.ZSTD), store).manifests
    assert [each.media_type for each in manifest.layers] == [mediatypes.OCI_LAYER_ZSTD] * 2
    validate(manifest, image.config, store.blobs.open)
    (plain,) = package(packed(image), Wanted(), store).manifests
    assert plain.layers[0].digest == sample.manifest.layers[0].digest


def test_what_was_forced_is_not_what_a_pulled_image_is_from_then_on(store: Store) -> None:
    sample = sample_image()
    image = pulled(store, sample)
    (other,) = package(packed(image), forced(Compression.NONE), store).manifests
    assert [each.media_type for each in other.layers] == [mediatypes.OCI_LAYER]
    (again,) = package(packed(image), Wanted(), store).manifests
    assert again.raw == sample.manifest.raw


def test_each_level_is_another_blob_and_remembered(store: Store, jobs: JobsHere) -> None:
    image = built(store, put("a", noise(1000) * 500))
    seen = {}
    for compression, level in [
        (Compression.GZIP, None),
        (Compression.GZIP, 0),
        (Compression.GZIP, 9),
        (Compression.ZSTD, None),
        (Compression.ZSTD, 1),
        (Compression.ZSTD, 22),
    ]:
        wanted = Wanted(layers=LayerForm(compression=compression, level=level))
        (manifest,) = package(packed(image), wanted, store).manifests
        validate(manifest, image.config, store.blobs.open)
        seen[compression, level] = manifest.layers[0]
    assert len({layer.digest for layer in seen.values()}) == len(seen)
    sizes = {key: layer.size for key, layer in seen.items()}
    assert sizes[Compression.GZIP, 0] > sizes[Compression.GZIP, None] > sizes[Compression.GZIP, 9]
    jobs.called.clear()
    wanted = Wanted(layers=LayerForm(level=9))
    (again,) = package(packed(image), wanted, store).manifests
    assert again.layers == (seen[Compression.GZIP, 9],)
    assert jobs.called == []


def test_a_layer_of_which_only_a_blob_with_a_level_is_left_serves_everything(store: Store) -> None:
    image = built(store, put("a"))
    for compression in (Compression.GZIP, Compression.ZSTD):
        package(packed(image), Wanted(layers=LayerForm(compression=compression, level=9)), store)
    for name in store.layers.directory_names(image.config.diff_ids[0]):
        store.layers.drop_directory(name)
    (manifest,) = package(packed(image), Wanted(), store).manifests
    data = gzip.decompress(Path(store.blobs.path(manifest.layers[0].digest)).read_bytes())
    assert str(Digest.of(data)) == image.config.diff_ids[0]
    with store.snapshots.view(image.state) as (path,):
        assert Path(path, "a").read_bytes() == b"data"


def test_zstd_blobs_are_read_by_others(store: Store) -> None:
    image = built(store, put("a"))
    wanted = Wanted(layers=LayerForm(compression=Compression.ZSTD, level=19))
    (manifest,) = package(packed(image), wanted, store).manifests
    data = Path(store.blobs.path(manifest.layers[0].digest)).read_bytes()
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    assert str(Digest.of(plain)) == image.config.diff_ids[0]


def test_records_go_into_the_manifest_and_are_told_the_layers(store: Store) -> None:
    image = built(store, put("a"))
    (one,) = packed(image)
    one = msgspec.structs.replace(
        one,
        records=lambda ids, layers: (
            ("records", ",".join((*ids, *[each.digest for each in layers]))),
        ),
    )
    (manifest,) = package([one], Wanted(), store).manifests
    (diff_id,) = image.config.diff_ids
    assert dict(manifest.annotations)["records"] == f"{diff_id},{manifest.layers[0].digest}"


@pytest.mark.parametrize(("inline", "kept"), [(False, 1), (True, 2)])
def test_what_is_only_claimed_in_registries_stays_out_unless_it_is_asked_for(
    store: Store, inline: bool, kept: int
) -> None:
    only = msgspec.structs.replace(PROVENANCE, inline_only=True)
    images = packed(built(store, put("a")), statements=(PROVENANCE, only))
    (image,) = shaped(images, ImageForm(inline=inline), store)
    assert len(image.statements) == kept
