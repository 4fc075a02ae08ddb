"""The judge finds what is wrong, and nothing where nothing is."""

from __future__ import annotations

import gzip
import io
import tarfile

import msgspec
import pytest
import zstandard

from builder.errors import ImageError
from builder.oci import mediatypes
from builder.oci.config import History
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.document import config_bytes
from builder.oci.manifest import build_manifest
from builder.oci.validate import validate
from tests.support.sample_image import SampleImage, sample_image, tar


def problems(image: SampleImage) -> str:
    with pytest.raises(ImageError) as caught:
        validate(image.manifest, image.config, image.open)
    return "\n".join(caught.value.notes)


def archive(*members: tuple[str, bytes, str]) -> bytes:
    """Return a tar of (name, type, link or content)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as writer:
        for name, kind, text in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size = len(text)
                writer.addfile(member, io.BytesIO(text.encode()))
            else:
                member.linkname = text
                writer.addfile(member)
    return out.getvalue()


def test_good_images_pass() -> None:
    image = sample_image(
        archive(
            ("d", tarfile.DIRTYPE, ""),
            ("d/.wh.x", tarfile.REGTYPE, ""),
            ("d/f", tarfile.REGTYPE, "1"),
            ("d/g", tarfile.LNKTYPE, "d/f"),
        ),
        tar({"e/.wh..wh..opq": b"", "e/x": b"1"}),
    )
    validate(image.manifest, image.config, image.open)
    docker = sample_image(family=mediatypes.Family.DOCKER)
    validate(docker.manifest, None, docker.open)


@pytest.mark.parametrize("compression", list(mediatypes.Compression))
def test_all_compressions_are_read(compression: mediatypes.Compression) -> None:
    image = sample_image()
    plain = gzip.decompress(image.blobs[image.manifest.layers[0].digest])
    packed = {
        mediatypes.Compression.NONE: plain,
        mediatypes.Compression.GZIP: gzip.compress(plain[:100]) + gzip.compress(plain[100:]),
        mediatypes.Compression.ZSTD: zstandard.ZstdCompressor().compress(plain),
    }[compression]
    layer = Descriptor(
        media_type=mediatypes.Family.OCI.layer(compression),
        digest=Digest.of(packed),
        size=len(packed),
    )
    changed = SampleImage(
        manifest=build_manifest(image.manifest.config, [layer]),
        config=image.config,
        blobs={**image.blobs, layer.digest: packed},
    )
    validate(changed.manifest, changed.config, changed.open)


@pytest.mark.parametrize(
    ("members", "fact"),
    [
        ([("a", tarfile.REGTYPE, ""), ("./a", tarfile.REGTYPE, "")], "occurs twice"),
        ([("../a", tarfile.REGTYPE, "")], "not a plain relative path"),
        ([("/a", tarfile.REGTYPE, "")], "not a plain relative path"),
        ([("a", tarfile.SYMTYPE, "/"), ("a/b", tarfile.REGTYPE, "")], "not a directory"),
        ([("b", tarfile.LNKTYPE, "a")], "hard link"),
        ([(".wh.a", tarfile.REGTYPE, "x")], "not an empty file"),
        ([(".wh.", tarfile.REGTYPE, "")], "names nothing"),
        ([(".wh..", tarfile.REGTYPE, "")], "names nothing"),
        ([(".wh..wh.x", tarfile.REGTYPE, "")], "no image can hold"),
    ],
)
def test_bad_layers_are_found(members: list[tuple[str, bytes, str]], fact: str) -> None:
    assert fact in problems(sample_image(archive(*members)))


def test_a_changed_blob_is_found() -> None:
    image = sample_image()
    digest = image.manifest.layers[0].digest
    other = gzip.compress(tar({"other": b""}), mtime=0)
    found = problems(msgspec.structs.replace(image, blobs={**image.blobs, digest: other}))
    assert "its digest is" in found
    assert "its diff id is" in found


def test_bytes_after_the_end_of_the_archive_count() -> None:
    image = sample_image()
    digest = image.manifest.layers[0].digest
    found = problems(
        msgspec.structs.replace(
            image, blobs={**image.blobs, digest: image.blobs[digest] + b"\0" * 9}
        )
    )
    assert "its digest is" in found


@pytest.mark.parametrize("media_type", [mediatypes.OCI_LAYER_GZIP, mediatypes.OCI_LAYER_ZSTD])
def test_a_broken_blob_is_found(media_type: str) -> None:
    image = sample_image()
    layer = Descriptor(media_type=media_type, digest=Digest.of(b"junk"), size=4)
    assert "cannot be read" in problems(
        SampleImage(
            manifest=build_manifest(image.manifest.config, [layer]),
            config=image.config,
            blobs={**image.blobs, layer.digest: b"junk"},
        )
    )


def test_a_history_that_does_not_fit_is_found() -> None:
    image = sample_image()
    config = msgspec.structs.replace(image.config, history=(*image.config.history, History()))
    raw = config_bytes(config)
    descriptor = Descriptor(media_type=mediatypes.OCI_CONFIG, digest=Digest.of(raw), size=len(raw))
    changed = SampleImage(
        manifest=build_manifest(descriptor, image.manifest.layers),
        config=config,
        blobs={**image.blobs, descriptor.digest: raw},
    )
    assert "the history describes 2 layers" in problems(changed)


def test_another_configuration_is_found() -> None:
    image = sample_image()
    other = msgspec.structs.replace(image, config=msgspec.structs.replace(image.config, author="x"))
    assert "differs from the configuration" in problems(other)
