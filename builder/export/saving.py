"""What `docker save` writes: an OCI layout as a tar, with a list of what older Dockers load.

Images that came from elsewhere go as they came. What was built here has no compressed layers yet, and gets none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import msgspec

from builder.export.archive import Part
from builder.export.existing import INDEX
from builder.export.forms import plain_tar
from builder.export.layout import (
    Named,
    blob_name,
    closure_parts,
    descriptors_of,
    docker_entry,
    document_part,
    is_too_new,
    plain_parts,
)
from builder.oci.closure import Closure
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import Manifest, build_index, parse_manifest
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.store.blobs import LAYOUT
from builder.store.root import Store


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """Images, one for each platform, that have the same names; `closure` is what they came as, None if they did not."""

    images: tuple[Named, ...]
    references: tuple[Reference, ...] = ()
    closure: Closure | None = None


def saved_parts(saved: Sequence[Saved], store: Store) -> Iterator[Part]:
    """Yield the files of an archive for `docker load`; each must be taken before the next is asked for.

    Raises: StoreError: no form of a layer is left; the disk is full.
    """
    seen: set[str] = set()
    for part in _parts(saved, store):
        if part.name not in seen:
            seen.add(part.name)
            yield part


def docker_parts(images: Sequence[Named], store: Store) -> Iterator[Part]:
    """Yield the same of images that are written as if all were built here."""
    saved = [Saved(images=(image,), references=image.references) for image in images]
    return saved_parts(saved, store)


def _parts(saved: Sequence[Saved], store: Store) -> Iterator[Part]:
    sizes: dict[str, int] = {}
    described: list[tuple[Descriptor, Sequence[Reference]]] = []
    listed: list[dict[str, object]] = []
    for each in saved:
        if each.closure is not None:
            yield from closure_parts(each.closure, store)
            top = each.closure.top.descriptor()
            manifests = list(each.closure.manifests)
        else:
            manifests = []
            for image in each.images:
                raw = b""
                for part in plain_parts(image, store, sizes):
                    raw = part.data
                    yield part
                made = parse_manifest(raw)
                assert isinstance(made, Manifest)
                manifests.append(made)
            pairs = list(zip(manifests, each.images, strict=True))
            top = _top(pairs)
            if len(pairs) > 1:
                yield document_part(_index(pairs))
        described.append((top, each.references))
        image = _for_docker(each.images)
        manifest = next((one for one in manifests if str(one.config.digest) == image.id), None)
        if manifest is not None:
            listed.append(docker_entry(manifest, image.config.diff_ids, each.references))
            yield from _plain_too(manifest, image, store)
    yield Part(name=INDEX, data=build_index(descriptors_of(described)).raw)
    yield Part(name="manifest.json", data=msgspec.json.encode(listed))
    yield Part(name="oci-layout", data=LAYOUT)


def _top(pairs: Sequence[tuple[Manifest, Named]]) -> Descriptor:
    if len(pairs) == 1:
        (manifest, image) = pairs[0]
        return msgspec.structs.replace(manifest.descriptor(), platform=image.platform)
    return parse_manifest(_index(pairs)).descriptor()


def _index(pairs: Sequence[tuple[Manifest, Named]]) -> bytes:
    return build_index(
        [
            msgspec.structs.replace(manifest.descriptor(), platform=image.platform)
            for manifest, image in pairs
        ]
    ).raw


def _for_docker(images: Sequence[Named]) -> Named:
    """Return the image that a Docker without platforms loads: the host's, or the first."""
    host = Platform.host()
    ranks = [image.platform.rank(host) for image in images]
    return min(
        zip(ranks, images, strict=True), key=lambda each: 1000 if each[0] is None else each[0]
    )[1]


def _plain_too(manifest: Manifest, image: Named, store: Store) -> Iterator[Part]:
    for descriptor, layer in zip(manifest.layers, image.state.layers, strict=True):
        if is_too_new(descriptor):
            path, made = plain_tar(layer, store)
            try:
                yield Part(
                    name=blob_name(Digest(layer.diff_id)), path=path, digest=Digest(layer.diff_id)
                )
            finally:
                if made:
                    os.unlink(path)
