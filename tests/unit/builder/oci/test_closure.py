from __future__ import annotations

import pytest

from builder.errors import ImageError
from builder.oci.closure import Closure, closure_of
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import Index, Manifest, build_index, build_manifest
from builder.oci.mediatypes import OCI_CONFIG, OCI_FOREIGN_LAYER, Compression, Family
from builder.oci.platform import Platform


def blob(text: str, media_type: str = Family.OCI.layer(Compression.GZIP)) -> Descriptor:
    return Descriptor(media_type=media_type, digest=Digest.of(text.encode()), size=len(text))


def image(name: str, *layers: Descriptor) -> Manifest:
    return build_manifest(blob(name, OCI_CONFIG), layers or (blob("shared"), blob(name + " layer")))


class Documents:
    def __init__(self, *documents: Manifest | Index) -> None:
        self.raw = {Digest.of(each.raw): each.raw for each in documents}

    def __call__(self, descriptor: Descriptor) -> bytes | None:
        return self.raw.get(descriptor.digest)


def of_platform(manifest: Manifest, platform: str) -> Descriptor:
    from msgspec.structs import replace

    return replace(manifest.descriptor(), platform=Platform.parse(platform))


AMD = image("amd64")
ARM = image("arm64")
INDEX = build_index([of_platform(AMD, "linux/amd64"), of_platform(ARM, "linux/arm64")])


def test_children_come_before_the_index_that_names_them() -> None:
    found = closure_of(INDEX, Documents(AMD, ARM))
    assert found.documents == (AMD, ARM, INDEX)
    assert found.top is INDEX


def test_blobs_of_all_platforms_come_once() -> None:
    digests = [each.digest for each in closure_of(INDEX, Documents(AMD, ARM)).blobs()]
    assert len(digests) == len(set(digests)) == 5


def test_a_platform_that_is_not_wanted_is_left_out_and_the_index_keeps_its_bytes() -> None:
    found = closure_of(
        INDEX, Documents(AMD, ARM), lambda each: each.platform == Platform.parse("linux/arm64")
    )
    assert found.documents == (ARM, INDEX)
    assert found.top.raw == INDEX.raw


def test_foreign_layers_are_told_only_when_asked_for() -> None:
    foreign = blob("foreign", OCI_FOREIGN_LAYER)
    found = Closure(documents=(image("windows", foreign),))
    assert foreign not in found.blobs()
    assert foreign in found.blobs(foreign=True)


def test_indexes_that_lead_to_each_other_many_times_are_refused() -> None:
    lowest = build_index([AMD.descriptor()] * 100)
    middle = build_index([lowest.descriptor()] * 100)
    with pytest.raises(ImageError, match="more than 1000"):
        closure_of(build_index([middle.descriptor()] * 100), Documents(AMD, lowest, middle))


def test_nesting_has_an_end() -> None:
    indexes = [build_index([AMD.descriptor()])]
    for _ in range(5):
        indexes.append(build_index([indexes[-1].descriptor()]))
    with pytest.raises(ImageError, match="nested"):
        closure_of(indexes[-1], Documents(AMD, *indexes))


def test_a_document_that_is_named_by_another_algorithm_is_refused_by_name() -> None:
    digest = Digest("sha512:" + "0" * 128)
    child = Descriptor(media_type=AMD.media_type, digest=digest, size=len(AMD.raw))
    with pytest.raises(ImageError, match="by its sha512"):
        closure_of(build_index([child]), lambda _: AMD.raw)


def test_documents_that_are_too_large_together_are_refused() -> None:
    images = [
        build_manifest(blob(f"config {n}", OCI_CONFIG), [], {"padding": "x" * 3_000_000})
        for n in range(12)
    ]
    index = build_index([each.descriptor() for each in images])
    with pytest.raises(ImageError, match="documents of more than"):
        closure_of(index, Documents(*images))
