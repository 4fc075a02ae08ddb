"""What the documents of an archive say: images of OCI layouts, and of what `docker save` and its kin write.

Everything is looked at before anything is made known, so that a bad archive adds no image.

Source: OCI image-spec, image-layout.md; moby, image/spec/v1.2.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

import msgspec

from builder.engine.catalogue import Catalogue
from builder.engine.contents import DOCKER_LIST, INDEX, Contents, read_contents
from builder.errors import ImageError
from builder.export.destination import never
from builder.export.existing import REF_NAME
from builder.export.layout import FULL_NAME
from builder.layer.compress import recognise
from builder.oci.config import ImageConfig
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.document import parse_config
from builder.oci.manifest import Index, Manifest, parse_manifest
from builder.oci.mediatypes import CONFIGS, Compression, Family, compression_of
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.store.layers import BlobForm, pulled_layer
from builder.store.root import Store

_INDEX_DEPTH = 4
_MANIFESTS_LIMIT = 1000


class _Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """An image whose blobs are all in the store; `manifest` is what it is to be sent with again."""

    id: str
    config: ImageConfig
    layers: tuple[Descriptor, ...]
    manifest: Digest | None = None
    names: tuple[Reference, ...] = ()


class _DockerImage(msgspec.Struct, rename="pascal"):
    """An item of `manifest.json`."""

    config: str
    layers: list[str] | None = None
    repo_tags: list[str] | None = None


def load(store: Store, stream: BinaryIO, cancelled: Callable[[], bool] = never) -> tuple[str, ...]:
    """Take the images of this platform from an archive, and name them as it says.

    Returns: the names, or the id of an image that has none.
    Raises: ImageError: it is no such archive, is damaged or incomplete, or contradicts itself. LayerError:
        it is over a limit. StoreError: a blob is not what its name says; the disk is full. Cancelled.
    """
    contents = read_contents(stream, store, cancelled)
    listed = _docker_images(contents)
    loaded: list[_Loaded] = []
    if INDEX in contents.documents:
        loaded = list(_layout_images(contents, store))
    if not loaded:
        loaded = [_from_docker(image, contents, store) for image in listed]
        if not loaded:
            raise ImageError(
                "the archive holds no image for this platform", notes=(str(Platform.host()),)
            )
    else:
        loaded = [_with_docker_names(image, listed, contents) for image in loaded]
    with store.db.transaction():
        return tuple(dict.fromkeys(name for image in loaded for name in _register(image, store)))


def _register(image: _Loaded, store: Store) -> list[str]:
    """Make an image known; return what it is called."""
    catalogue = Catalogue(store)
    for descriptor, diff_id in zip(image.layers, image.config.diff_ids, strict=True):
        compression = compression_of(descriptor.media_type)
        assert compression is not None
        if store.layers.get(diff_id) is None:
            store.layers.add(pulled_layer(diff_id))
        store.layers.add_blob(
            diff_id,
            BlobForm(
                digest=str(descriptor.digest),
                size=descriptor.size,
                media_type=descriptor.media_type,
                compression=compression.value,
                pulled=True,
            ),
        )
    catalogue.register(image.id, image.config, manifest=image.manifest)
    manifest = None if image.manifest is None else str(image.manifest)
    for reference in image.names:
        catalogue.name(reference, image.id, manifest)
    return [reference.familiar() for reference in image.names] or [image.id]


def _layout_images(contents: Contents, store: Store) -> Iterator[_Loaded]:
    """Yield the images of an OCI layout; those of which only other platforms' are here are passed over."""
    index = parse_manifest(contents.documents[INDEX])
    if not isinstance(index, Index):
        raise ImageError("`index.json` in the archive is not an index")
    if len(index.manifests) > _MANIFESTS_LIMIT:
        raise ImageError(f"the archive lists more than {_MANIFESTS_LIMIT} images")
    by_digest: dict[Digest, _Loaded] = {}
    for descriptor in index.manifests:
        manifest = _manifest(descriptor, store, 0)
        if manifest is None:
            continue
        digest = manifest.descriptor().digest
        known = by_digest.get(digest) or _from_manifest(manifest, store)
        names = (*known.names, *_names(descriptor))
        by_digest[digest] = msgspec.structs.replace(known, names=tuple(dict.fromkeys(names)))
    yield from by_digest.values()


def _manifest(descriptor: Descriptor, store: Store, depth: int) -> Manifest | None:
    """Return the manifest of an image for this platform that a descriptor leads to, None without one."""
    if not store.blobs.contains(descriptor.digest):
        return None
    platform = descriptor.platform
    if platform is not None and platform.os and not Platform.host().matches(platform):
        return None
    found = parse_manifest(store.blobs.read(descriptor.digest), descriptor.media_type)
    if isinstance(found, Manifest):
        return found if found.config.media_type in CONFIGS else None
    if depth == _INDEX_DEPTH:
        raise ImageError("indexes in the archive are nested too deeply")
    for each in found.manifests[:_MANIFESTS_LIMIT]:
        inner = _manifest(each, store, depth + 1)
        if inner is not None:
            return inner
    return None


def _names(descriptor: Descriptor) -> tuple[Reference, ...]:
    """Return the names in a descriptor's annotations; a tag alone names no image."""
    annotations = dict(descriptor.annotations)
    text = annotations.get(FULL_NAME) or annotations.get(REF_NAME, "")
    if ":" not in text and "/" not in text:
        return ()
    return (Reference.parse(text),)


def _from_manifest(manifest: Manifest, store: Store) -> _Loaded:
    config = _config(manifest.config.digest, store)
    for descriptor in manifest.layers:
        if store.blobs.size(descriptor.digest) != descriptor.size:
            raise ImageError(
                "the archive is incomplete",
                notes=(f"it lacks the layer `{descriptor.digest}`",),
            )
        if compression_of(descriptor.media_type) is None:
            raise ImageError(
                f"layers of type `{descriptor.media_type[:100]}` cannot be unpacked",
                hint="this is no container image, but another kind of artifact",
            )
    _agree(config, manifest.layers)
    compressions = {compression_of(descriptor.media_type) for descriptor in manifest.layers}
    # Plain layers are how archives are written, not how images are sent.
    sent = compressions != {Compression.NONE}
    digest = store.blobs.add(manifest.raw, media_type=manifest.media_type).digest
    return _Loaded(
        id=str(manifest.config.digest),
        config=config,
        layers=manifest.layers,
        manifest=digest if sent else None,
    )


def _docker_images(contents: Contents) -> list[_DockerImage]:
    raw = contents.documents.get(DOCKER_LIST)
    if raw is None:
        return []
    try:
        return msgspec.json.decode(raw, type=list[_DockerImage])
    except (ValueError, RecursionError) as error:
        raise ImageError(
            "`manifest.json` in the archive is malformed", notes=(str(error)[:200],)
        ) from error


def _from_docker(image: _DockerImage, contents: Contents, store: Store) -> _Loaded:
    digest = contents.find(image.config)
    config = _config(digest, store)
    layers = tuple(_described(contents.find(name), store) for name in image.layers or ())
    _agree(config, layers)
    names = tuple(Reference.parse(text) for text in image.repo_tags or ())
    return _Loaded(id=str(digest), config=config, layers=layers, names=names)


def _with_docker_names(image: _Loaded, listed: list[_DockerImage], contents: Contents) -> _Loaded:
    """Add the names that only `manifest.json` knows."""
    names = dict.fromkeys(image.names)
    for each in listed:
        if each.repo_tags and contents.get(each.config) == image.id:
            names.update(dict.fromkeys(map(Reference.parse, each.repo_tags)))
    return msgspec.structs.replace(image, names=tuple(names))


def _described(digest: Digest, store: Store) -> Descriptor:
    """Return the descriptor of a layer, whose compression only its bytes tell."""
    with store.blobs.open(digest) as blob:
        compression = Compression(recognise(blob.read(4)).value)
    size = store.blobs.size(digest)
    assert size is not None
    return Descriptor(media_type=Family.OCI.layer(compression), digest=digest, size=size)


def _config(digest: Digest, store: Store) -> ImageConfig:
    if not store.blobs.contains(digest):
        raise ImageError(
            "the archive is incomplete", notes=(f"it lacks the configuration `{digest}`",)
        )
    return parse_config(store.blobs.read(digest))


def _agree(config: ImageConfig, layers: tuple[Descriptor, ...]) -> None:
    """Check that a configuration lists these layers; compressed ones are checked when they are unpacked."""
    if len(layers) != len(config.diff_ids):
        raise ImageError(
            f"the image has {len(layers)} layers, but its configuration lists {len(config.diff_ids)}"
        )
    for descriptor, diff_id in zip(layers, config.diff_ids, strict=True):
        plain = compression_of(descriptor.media_type) is Compression.NONE
        if plain and str(descriptor.digest) != diff_id:
            raise ImageError(
                "a layer of the image is not the one that its configuration lists",
                notes=(f"listed: {diff_id}", f"found: {descriptor.digest}"),
            )
