"""Closures of every kind that moves between registries, layouts and archives, with all their blobs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import zstandard

from builder.oci import mediatypes
from builder.oci.closure import Closure, closure_of
from builder.oci.config import ImageConfig
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.document import config_bytes
from builder.oci.manifest import Manifest, build_index, build_manifest
from builder.oci.mediatypes import Family
from builder.oci.platform import Platform
from tests.support.sample_image import SampleImage, noise, sample_image, tar


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A closure and its blobs by digest."""

    closure: Closure
    blobs: dict[str, bytes]

    @property
    def everything(self) -> dict[str, bytes]:
        """Documents and blobs by digest."""
        raws = [document.raw for document in self.closure.documents]
        return self.blobs | {str(Digest.of(raw)): raw for raw in raws}


def write_layout(root: Path, sample: Sample, name: str | None = "it") -> Path:
    """Write a sample as an OCI layout, without any of our code."""
    for digest, data in sample.everything.items():
        path = root / "blobs" / digest.replace(":", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    descriptor = sample.closure.top.descriptor().document()
    if name is not None:
        descriptor["annotations"] = {"org.opencontainers.image.ref.name": name}
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [descriptor]}))
    (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return root


def read_layout(root: Path) -> tuple[str, dict[str, bytes]]:
    """Return the digest of the only entry of a layout, and all blobs by digest, checked."""
    [entry] = json.loads((root / "index.json").read_text())["manifests"]
    blobs = {}
    for path in (root / "blobs").glob("*/*"):
        data = path.read_bytes()
        assert hashlib.new(path.parent.name, data).hexdigest() == path.name
        blobs[f"{path.parent.name}:{path.name}"] = data
    return entry["digest"], blobs


def image(*layers: bytes, family: Family = Family.OCI, architecture: str = "amd64") -> Sample:
    """Return an image alone."""
    return _of(sample_image(*layers, family=family, architecture=architecture))


def _of(made: SampleImage) -> Sample:
    return Sample(closure=Closure(documents=(made.manifest,)), blobs=made.blobs)


def index_of(*children: tuple[Sample, Platform | None], family: Family = Family.OCI) -> Sample:
    """Return an index of samples."""
    tops = [child.closure.top for child, _ in children]
    descriptors = [
        msgspec.structs.replace(top.descriptor(), platform=platform)
        for top, (_, platform) in zip(tops, children, strict=True)
    ]
    index = build_index(descriptors, family=family)
    known = {
        document.descriptor().digest: document.raw
        for child, _ in children
        for document in child.closure.documents
    }
    blobs = {digest: data for child, _ in children for digest, data in child.blobs.items()}
    closure = closure_of(index, lambda descriptor: known[descriptor.digest])
    return Sample(closure=closure, blobs=blobs)


def with_zstd() -> Sample:
    """Return an image with a layer that is compressed by zstd."""
    plain = tar({"z": noise(5000)})
    data = zstandard.ZstdCompressor().compress(plain)
    return _image_of([(data, mediatypes.OCI_LAYER_ZSTD, plain)])


def with_sha512() -> Sample:
    """Return an image whose layer is named by its SHA-512."""
    plain = tar({"long": b"digest"})
    sample = _image_of([(plain, mediatypes.OCI_LAYER, plain)])
    manifest = sample.closure.top
    assert isinstance(manifest, Manifest)
    digest = Digest("sha512:" + hashlib.sha512(plain).hexdigest())
    layer = Descriptor(media_type=mediatypes.OCI_LAYER, digest=digest, size=len(plain))
    made = build_manifest(manifest.config, [layer])
    blobs = {str(digest): plain, str(manifest.config.digest): sample.blobs[manifest.config.digest]}
    return Sample(closure=Closure(documents=(made,)), blobs=blobs)


def with_foreign_layer() -> Sample:
    """Return an image of which a layer lies elsewhere."""
    gone, here = tar({"far": b"away"}), tar({"near": b"by"})
    sample = _image_of(
        [
            (gone, mediatypes.OCI_FOREIGN_LAYER, gone),
            (here, mediatypes.OCI_LAYER, here),
        ]
    )
    blobs = {key: data for key, data in sample.blobs.items() if data != gone}
    return Sample(closure=sample.closure, blobs=blobs)


def without_layers() -> Sample:
    """Return an image that is a configuration alone."""
    return _image_of([])


def with_a_layer_twice() -> Sample:
    """Return an image that has the same layer two times, and an empty one."""
    plain, empty = tar({"twice": b"2"}), tar({})
    media_type = mediatypes.OCI_LAYER
    return _image_of([(each, media_type, each) for each in (plain, empty, plain)])


def artifact(subject: Descriptor | None = None) -> Sample:
    """Return something that is no image."""
    data = b"a bill of materials"
    layer = Descriptor(media_type="application/spdx+json", digest=Digest.of(data), size=len(data))
    empty = Descriptor(media_type=mediatypes.OCI_EMPTY, digest=Digest.of(b"{}"), size=2)
    manifest = build_manifest(
        empty, [layer], artifact_type="application/vnd.example.sbom", subject=subject
    )
    blobs = {str(layer.digest): data, str(empty.digest): b"{}"}
    return Sample(closure=Closure(documents=(manifest,)), blobs=blobs)


def attestation() -> Sample:
    """Return statements as BuildKit keeps them, in what looks like an image."""
    data = b'{"_type":"https://in-toto.io/Statement/v1"}'
    return _image_of([(data, mediatypes.IN_TOTO, data)], "unknown")


def two_platforms(family: Family = Family.OCI) -> Sample:
    """Return an index of two images that share a layer."""
    shared = tar({"shared": noise(3000)})
    return index_of(
        *(
            (image(shared, tar({"own": name.encode()}), family=family, architecture=name),
             Platform.parse(f"linux/{name}"))
            for name in ("amd64", "arm64")
        ),
        family=family,
    )  # fmt: skip


def _image_of(layers: list[tuple[bytes, str, bytes]], architecture: str = "amd64") -> Sample:
    """Return an image of layers, each as its blob, media type and plain tar."""
    os = "linux" if architecture != "unknown" else "unknown"
    config = config_bytes(
        ImageConfig(
            os=os,
            architecture=architecture,
            diff_ids=tuple(str(Digest.of(plain)) for _, _, plain in layers),
        )
    )
    descriptors = [
        Descriptor(media_type=media_type, digest=Digest.of(data), size=len(data))
        for data, media_type, _ in layers
    ]
    made = build_manifest(
        Descriptor(media_type=mediatypes.OCI_CONFIG, digest=Digest.of(config), size=len(config)),
        descriptors,
    )
    blobs = {str(Digest.of(data)): data for data, _, _ in layers}
    blobs[str(Digest.of(config))] = config
    return Sample(closure=Closure(documents=(made,)), blobs=blobs)


def _nested() -> Sample:
    inner = index_of((image(architecture="arm64"), Platform.parse("linux/arm64")))
    return index_of((inner, None), (image(), Platform.parse("linux/amd64")))


def _attested() -> Sample:
    made = image()
    return index_of(
        (made, Platform.parse("linux/amd64")),
        (attestation(), Platform("unknown", "unknown")),
        (artifact(made.closure.top.descriptor()), None),
    )


KINDS: dict[str, Callable[[], Sample]] = {
    "oci": image,
    "schema 2": lambda: image(tar({"a": b"1"}), tar({"b": b"2"}), family=Family.DOCKER),
    "zstd": with_zstd,
    "plain": lambda: _image_of([(tar({"p": b"p"}), mediatypes.OCI_LAYER, tar({"p": b"p"}))]),
    "two platforms": two_platforms,
    "manifest list": lambda: two_platforms(Family.DOCKER),
    "nested index": _nested,
    "attestations": _attested,
    "artifact": artifact,
    "a subject": lambda: artifact(image().closure.top.descriptor()),
    "foreign layer": with_foreign_layer,
    "no layers": without_layers,
    "a layer twice": with_a_layer_twice,
    "sha512": with_sha512,
}
"""By name, what has to come back byte for byte."""
