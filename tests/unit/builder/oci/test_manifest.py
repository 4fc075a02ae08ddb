"""Manifests and indexes, well meant and not."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import ImageError
from builder.oci import mediatypes
from builder.oci.descriptor import MAX_DOCUMENT, Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import (
    Index,
    Manifest,
    build_index,
    build_manifest,
    parse_manifest,
)
from builder.oci.platform import Platform

EMPTY = Digest.of(b"{}")
CONFIG = Descriptor(media_type=mediatypes.OCI_CONFIG, digest=EMPTY, size=2)
LAYER = Descriptor(
    media_type=mediatypes.OCI_LAYER_GZIP,
    digest=Digest.of(b"x"),
    size=1,
    annotations=(("a", "1"), ("b", "2")),
)


def document(**members: object) -> bytes:
    return msgspec.json.encode({"schemaVersion": 2, **members})


def descriptor(**members: object) -> dict[str, object]:
    return {"mediaType": mediatypes.OCI_CONFIG, "digest": str(EMPTY), "size": 2, **members}


def test_what_is_built_is_read_again_the_same() -> None:
    manifest = build_manifest(CONFIG, [LAYER, LAYER], {"z": "1", "a": "2"})
    assert parse_manifest(manifest.raw, manifest.media_type) == manifest
    index = build_index(
        [msgspec.structs.replace(manifest.descriptor(), platform=Platform("linux", "arm", "v7"))]
    )
    assert parse_manifest(index.raw, index.media_type) == index


def test_equal_input_gives_equal_bytes() -> None:
    one = build_manifest(CONFIG, [LAYER], {"b": "1", "a": "2"})
    two = build_manifest(CONFIG, [LAYER], (("a", "2"), ("b", "1")))
    assert one.raw == two.raw
    assert one.raw.startswith(b'{"annotations":{"a":"2","b":"1"},"config":{"digest"')


def test_families_are_not_mixed() -> None:
    with pytest.raises(ImageError, match="cannot mix"):
        build_manifest(
            msgspec.structs.replace(CONFIG, media_type=mediatypes.DOCKER_CONFIG), [LAYER]
        )


def test_a_docker_configuration_makes_a_docker_manifest() -> None:
    config = msgspec.structs.replace(CONFIG, media_type=mediatypes.DOCKER_CONFIG)
    assert build_manifest(config, []).media_type == mediatypes.DOCKER_MANIFEST


def test_unknown_members_and_types_are_no_error_and_the_bytes_stay() -> None:
    raw = document(
        config=descriptor(mediaType="application/x-new", extra=[1]),
        layers=None,
        annotations=None,
        more={"x": 1},
    )
    manifest = parse_manifest(raw)
    assert isinstance(manifest, Manifest)
    assert manifest.raw is raw
    assert manifest.config.media_type == "application/x-new"
    assert manifest.layers == ()


def test_without_a_media_type_the_shape_decides() -> None:
    assert parse_manifest(document(manifests=[])).media_type == mediatypes.OCI_INDEX
    assert parse_manifest(document(config=descriptor())).media_type == mediatypes.OCI_MANIFEST
    generic = parse_manifest(document(config=descriptor()), "application/json; charset=utf-8")
    assert generic.media_type == mediatypes.OCI_MANIFEST


def test_platforms_of_an_index_are_in_normal_form() -> None:
    raw = document(
        manifests=[descriptor(platform={"os": "linux", "architecture": "arm64", "variant": "v8"})]
    )
    index = parse_manifest(raw)
    assert isinstance(index, Index)
    assert index.manifests[0].platform == Platform("linux", "arm64")


@pytest.mark.parametrize(
    ("raw", "media_type", "message"),
    [
        (document(manifests=[], layers=[]), "", "manifest and an index at once"),
        (document(manifests=[], config=descriptor()), "", "manifest and an index at once"),
        (document(), "", "neither"),
        (document(manifests=[]), mediatypes.OCI_MANIFEST, "not what its media type says"),
        (document(config=descriptor()), mediatypes.DOCKER_INDEX, "not what its media type says"),
        (
            document(config=descriptor(), mediaType=mediatypes.OCI_INDEX),
            "",
            "not what its media type says",
        ),
        (
            document(config=descriptor(), mediaType=mediatypes.OCI_MANIFEST),
            mediatypes.DOCKER_MANIFEST,
            "its sender says",
        ),
        (document(config=descriptor(digest="sha256:x")), "", "invalid digest"),
        (document(config=descriptor(digest="sha256:../../etc/passwd")), "", "invalid digest"),
        (document(config=descriptor(size=-1)), "", "impossible size"),
        (document(config=descriptor(size=1 << 63)), "", "impossible size"),
        (document(config=descriptor(size="2")), "", "malformed"),
        (b'{"schemaVersion":1,"fsLayers":[]}', "", "schema 1"),
        (b"{}", mediatypes.DOCKER_SCHEMA1_SIGNED, "schema 1"),
        (b'{"schemaVersion":3,"manifests":[]}', "", "schema version 3"),
        (b"null", "", "malformed"),
        (b"", "", "malformed"),
        (b"\xff", "", "malformed"),
        (b"[" * 200_000, "", "malformed"),
        (b'{"x":' + b'{"x":' * 100_000, "", "malformed"),
        (b'{"schemaVersion":' + b"9" * 6000 + b"}", "", "malformed"),
        (b" " * (MAX_DOCUMENT + 1), "", "larger than"),
    ],
)
def test_bad_documents_are_refused(raw: bytes, media_type: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        parse_manifest(raw, media_type)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["schemaVersion", "config", "layers", "manifests", "digest", "size", "platform"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_a_document_or_an_error(value: object) -> None:
    try:
        raw = msgspec.json.encode(value)
    except (OverflowError, UnicodeEncodeError):
        return
    try:
        parse_manifest(raw)
    except ImageError:
        return
