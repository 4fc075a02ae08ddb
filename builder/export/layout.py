"""Images as an OCI layout, and as the archive that Docker loads: the same layout with plain layers.

    oci-layout  index.json  blobs/sha256/<hex>      every reader of OCI
    manifest.json                                   Docker, of every age

Source: OCI image-spec, image-layout.md; moby, image/spec/v1.2.md, "Combined Image JSON + Filesystem Changeset Format".
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import msgspec

from builder.export.archive import Part
from builder.export.existing import INDEX, REF_NAME
from builder.export.forms import plain_tar
from builder.export.manifest import config_descriptor
from builder.oci.closure import Closure
from builder.oci.config import ImageConfig
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import Manifest, build_manifest
from builder.oci.mediatypes import Compression, Family, compression_of
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.store.blobs import LAYOUT
from builder.store.layers import State
from builder.store.root import Store

FULL_NAME = "io.containerd.image.name"


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """An image to write, and the names that it gets in the archive."""

    id: str
    config: ImageConfig
    state: State
    references: tuple[Reference, ...] = ()

    @property
    def platform(self) -> Platform:
        """The platform that it is for."""
        return Platform.of(self.config.os, self.config.architecture, self.config.variant)


def layout_parts(closure: Closure, index: bytes, store: Store) -> Iterator[Part]:
    """Yield the files of an OCI layout that holds a closure, all of which is in the store."""
    yield from closure_parts(closure, store)
    yield Part(name=INDEX, data=index)
    yield Part(name="oci-layout", data=LAYOUT)


def packed_parts(
    closure: Closure, index: bytes, names: Sequence[Reference], store: Store
) -> Iterator[Part]:
    """Yield the files of an archive for `docker load` whose layers are as the closure of one image has them."""
    (manifest,) = closure.manifests
    entry = {
        "Config": blob_name(manifest.config.digest),
        "RepoTags": [name.familiar() for name in names] or None,
        "Layers": [blob_name(layer.digest) for layer in manifest.layers],
    }
    yield from closure_parts(closure, store)
    yield Part(name=INDEX, data=index)
    yield Part(name="manifest.json", data=msgspec.json.encode([entry]))
    yield Part(name="oci-layout", data=LAYOUT)


def closure_parts(closure: Closure, store: Store) -> Iterator[Part]:
    """Yield the blobs and documents of a closure, all of which is in the store."""
    for descriptor in closure.blobs():
        yield _blob(descriptor.digest, store.blobs.path(descriptor.digest))
    for document in closure.documents:
        yield document_part(document.raw)


def plain_parts(image: Named, store: Store, sizes: dict[str, int]) -> Iterator[Part]:
    """Yield the plain layers of an image but those whose `sizes` are known, its configuration, and a manifest of these.

    Each must be taken before the next is asked for; the last one is the manifest.

    Raises: StoreError: no form of a layer is left; the disk is full.
    """
    for layer in image.state.layers:
        if layer.diff_id not in sizes:
            path, made = plain_tar(layer, store)
            sizes[layer.diff_id] = os.stat(path).st_size
            try:
                yield _blob(Digest(layer.diff_id), path)
            finally:
                if made:
                    os.unlink(path)
    config = config_descriptor(image.id, store)
    yield _blob(config.digest, store.blobs.path(config.digest))
    layers = [_plain(layer.diff_id, sizes[layer.diff_id]) for layer in image.state.layers]
    yield document_part(build_manifest(config, layers).raw)


def docker_entry(
    manifest: Manifest, diff_ids: Sequence[str], names: Sequence[Reference]
) -> dict[str, object]:
    """Return an image's item of `manifest.json`: its layers as they are, but for those that older Dockers cannot read."""
    layers = [
        Digest(diff_id) if is_too_new(layer) else layer.digest
        for layer, diff_id in zip(manifest.layers, diff_ids, strict=True)
    ]
    return {
        "Config": blob_name(manifest.config.digest),
        "RepoTags": [name.familiar() for name in names] or None,
        "Layers": [blob_name(digest) for digest in layers],
    }


def is_too_new(layer: Descriptor) -> bool:
    """Tell whether Dockers before 23 cannot load a layer, which therefore goes plain, too."""
    return compression_of(layer.media_type) is Compression.ZSTD


def descriptors_of(images: Sequence[tuple[Descriptor, Sequence[Reference]]]) -> list[Descriptor]:
    """Return a descriptor for each name of each image, or the given one where it has none.

    The name in the layout is the tag alone, as other tools write it, unless several images have that tag.
    """
    tags = [reference.tag for _, references in images for reference in references]
    found: list[Descriptor] = []
    for bare, references in images:
        if not references:
            found.append(bare)
        for reference in references:
            tag = reference.tag or ""
            name = tag if tags.count(reference.tag) == 1 else reference.familiar()
            pairs = {**dict(bare.annotations), FULL_NAME: reference.canonical(), REF_NAME: name}
            annotations = tuple(sorted(pairs.items()))
            found.append(msgspec.structs.replace(bare, annotations=annotations))
    return found


def _plain(diff_id: str, size: int) -> Descriptor:
    media_type = Family.OCI.layer(Compression.NONE)
    return Descriptor(media_type=media_type, digest=Digest(diff_id), size=size)


def blob_name(digest: Digest) -> str:
    """Return the name of a blob in a layout."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _blob(digest: Digest, path: str) -> Part:
    return Part(name=blob_name(digest), path=path, digest=digest)


def document_part(raw: bytes) -> Part:
    """Return the file of a document."""
    return Part(name=blob_name(Digest.of(raw)), data=raw)
