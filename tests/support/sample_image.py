"""Small valid images, made without any of our layer code."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping

import msgspec

from builder.oci import mediatypes
from builder.oci.config import ContainerConfig, History, ImageConfig
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.document import config_bytes
from builder.oci.manifest import Manifest, build_manifest


class SampleImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image and all its blobs."""

    manifest: Manifest
    config: ImageConfig
    blobs: dict[str, bytes]

    def open(self, digest: Digest) -> io.BytesIO:
        """Open a blob."""
        return io.BytesIO(self.blobs[digest])


def tar(files: Mapping[str, bytes]) -> bytes:
    """Return a tar of regular files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def noise(size: int, seed: str = "") -> bytes:
    """Return bytes that do not compress, the same ones for the same seed."""
    return hashlib.shake_128(seed.encode()).digest(size)


def sample_image(
    *layers: bytes,
    family: mediatypes.Family = mediatypes.Family.OCI,
    architecture: str = "amd64",
    variant: str = "",
) -> SampleImage:
    """Return an image of plain tars, gzip-compressed; without arguments, of one small layer."""
    tars = layers or (tar({"hello": b"hello\n"}),)
    config = ImageConfig(
        architecture=architecture,
        os="linux",
        variant=variant,
        created="2024-01-01T00:00:00Z",
        config=ContainerConfig(env=("PATH=/bin",), cmd=("/hello",)),
        diff_ids=tuple(str(Digest.of(data)) for data in tars),
        history=tuple(History(created_by=f"layer {number}") for number in range(len(tars))),
    )
    blobs: dict[str, bytes] = {}

    def add(data: bytes, media_type: str) -> Descriptor:
        digest = Digest.of(data)
        blobs[digest] = data
        return Descriptor(media_type=media_type, digest=digest, size=len(data))

    descriptors = [
        add(gzip.compress(data, 1, mtime=0), family.layer(mediatypes.Compression.GZIP))
        for data in tars
    ]
    manifest = build_manifest(add(config_bytes(config), family.config), descriptors)
    return SampleImage(manifest=manifest, config=config, blobs=blobs)
