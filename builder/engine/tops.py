"""What the index of a layout or an archive lists: top documents, each with the names that it has there.

    index.json       an OCI layout; names are annotations of its descriptors
    manifest.json    what `docker save` and its kin write; a manifest is made for each of its images

Source: OCI image-spec, image-layout.md; moby, image/spec/v1.2.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from builder.engine.contents import DOCKER_LIST, INDEX, Contents
from builder.errors import ImageError, ReferenceInvalid
from builder.export.existing import REF_NAME
from builder.export.layout import FULL_NAME
from builder.layer.compress import recognise
from builder.oci.closure import Document
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.document import parse_config
from builder.oci.manifest import Index, Manifest, build_manifest, parse_manifest
from builder.oci.mediatypes import Compression, Family
from builder.oci.reference import Reference
from builder.store.blobs import BlobStore

_TOPS_LIMIT = 1000


class Top(msgspec.Struct, frozen=True, kw_only=True):
    """A document that is listed, or was `made`. `labels` are its names as written, `references` those that are whole."""

    descriptor: Descriptor
    made: Manifest | None = None
    references: tuple[Reference, ...] = ()
    labels: tuple[str, ...] = ()


class _DockerImage(msgspec.Struct, rename="pascal"):
    """An item of `manifest.json`."""

    config: str
    layers: list[str] | None = None
    repo_tags: list[str] | None = None


def listed(raw: bytes) -> tuple[Top, ...]:
    """Return what an `index.json` lists, each document once, in its order.

    Raises: ImageError: it is no index, or lists too much.
    """
    index = parse_manifest(raw)
    if not isinstance(index, Index):
        raise ImageError("`index.json` is not an index")
    if len(index.manifests) > _TOPS_LIMIT:
        raise ImageError(f"`index.json` lists more than {_TOPS_LIMIT} images")
    found: dict[Digest, Top] = {}
    for descriptor in index.manifests:
        top = found.get(descriptor.digest) or Top(descriptor=descriptor)
        found[descriptor.digest] = msgspec.structs.replace(
            top,
            references=tuple(dict.fromkeys((*top.references, *_references(descriptor)))),
            labels=tuple(dict.fromkeys((*top.labels, *_labels(descriptor)))),
        )
    return tuple(found.values())


def archived(contents: Contents, blobs: BlobStore) -> tuple[Top, ...]:
    """Return what an archive lists, whose blobs are all among `blobs`.

    An archive that is both things at once is read as a layout; names that only `manifest.json` knows are added. Of
    other archives the manifests are made, and put among the blobs, of layers as they are.

    Raises: ImageError: a document is malformed, or what it names is missing.
    """
    docker = _docker_images(contents)
    tops = listed(contents.documents[INDEX]) if INDEX in contents.documents else ()
    if not any(blobs.contains(top.descriptor.digest) for top in tops):
        return tuple([_made(image, contents, blobs) for image in docker])
    return tuple([_with_docker_names(top, docker, contents, blobs) for top in tops])


def document_of(top: Top, blobs: BlobStore) -> Document | None:
    """Return what is listed, None if it is not among the blobs.

    Raises: ImageError: it is malformed. StoreError: it is too large.
    """
    if top.made is not None:
        return top.made
    descriptor = top.descriptor
    if not blobs.contains(descriptor.digest):
        return None
    return parse_manifest(blobs.read(descriptor.digest), descriptor.media_type)


def find_top(tops: Sequence[Top], name: str | None, digest: Digest | None, place: str) -> Top:
    """Return the document that a name or a digest means; without either, the only one there is.

    Raises: ImageError: `image.not-found`: there is none, or more than one.
    """
    found = [top for top in tops if _is_meant(top, name, digest)]
    if len(found) == 1:
        return found[0]
    names = [label for top in tops for label in top.labels or (str(top.descriptor.digest),)]
    what = "image" if name is None and digest is None else "image of that name"
    raise ImageError(
        f"{place} has {'no' if not found else 'more than one'} {what}",
        code="image.not-found",
        notes=(f"it has: {', '.join(names[:10])[:500]}",) if names else ("it is empty",),
        hint="add `:NAME` or `@sha256:…`" if names else None,
    )


def _is_meant(top: Top, name: str | None, digest: Digest | None) -> bool:
    if digest is not None:
        return top.descriptor.digest == digest
    if name is None or name in top.labels:
        return True
    try:
        return Reference.parse(name) in top.references
    except ReferenceInvalid:
        return False


def _labels(descriptor: Descriptor) -> Iterator[str]:
    annotations = dict(descriptor.annotations)
    for key in (REF_NAME, FULL_NAME):
        text = annotations.get(key)
        if text:
            yield text
            if "/" not in text.rpartition(":")[2] and ":" in text:
                yield text.rpartition(":")[2]


def _references(descriptor: Descriptor) -> tuple[Reference, ...]:
    """Return the whole name in a descriptor; a tag alone is none."""
    annotations = dict(descriptor.annotations)
    text = annotations.get(FULL_NAME) or annotations.get(REF_NAME, "")
    if ":" not in text and "/" not in text:
        return ()
    return (Reference.parse(text),)


def _docker_images(contents: Contents) -> list[_DockerImage]:
    raw = contents.documents.get(DOCKER_LIST)
    if raw is None:
        return []
    try:
        found = msgspec.json.decode(raw, type=list[_DockerImage])
    except (ValueError, RecursionError) as error:
        raise ImageError(
            "`manifest.json` in the archive is malformed", notes=(str(error)[:200],)
        ) from error
    if len(found) > _TOPS_LIMIT:
        raise ImageError(f"`manifest.json` lists more than {_TOPS_LIMIT} images")
    return found


def _with_docker_names(
    top: Top, docker: Sequence[_DockerImage], contents: Contents, blobs: BlobStore
) -> Top:
    """Add the names that only `manifest.json` knows."""
    names = [
        (config, tuple(map(Reference.parse, each.repo_tags or ())))
        for each in docker
        if (config := contents.get(each.config)) is not None
    ]
    known = frozenset(top.references)
    # Reading what an index leads to is worth it only if it can give a name that the layout does not know.
    if all(known.issuperset(references) for _, references in names):
        return top
    configs = _configurations(top.descriptor, blobs, 0)
    found = dict.fromkeys(top.references)
    for config, references in names:
        if config in configs:
            found.update(dict.fromkeys(references))
    return msgspec.structs.replace(top, references=tuple(found))


def _configurations(descriptor: Descriptor, blobs: BlobStore, depth: int) -> set[Digest]:
    """Return the configurations of the images that a document and the entries of an index lead to."""
    document = document_of(Top(descriptor=descriptor), blobs)
    if document is None:
        return set()
    if isinstance(document, Manifest):
        return {document.config.digest}
    if depth or len(document.manifests) > _TOPS_LIMIT:
        return set()
    return set().union(*(_configurations(each, blobs, depth + 1) for each in document.manifests))


def _made(image: _DockerImage, contents: Contents, blobs: BlobStore) -> Top:
    """Make the manifest of an image that came without one."""
    digest = contents.find(image.config)
    names = tuple(image.repo_tags or ())
    raw = blobs.read(digest)
    listed = len(parse_config(raw).diff_ids)
    if listed != len(image.layers or ()):
        raise ImageError(
            f"the image has {len(image.layers or ())} layers, but its configuration lists {listed}"
        )
    config = Descriptor(media_type=Family.OCI.config, digest=digest, size=len(raw))
    layers = [_described(contents.find(name), blobs) for name in image.layers or ()]
    manifest = build_manifest(config, layers)
    return Top(
        descriptor=manifest.descriptor(),
        made=manifest,
        references=tuple(map(Reference.parse, names)),
        labels=names,
    )


def _described(digest: Digest, blobs: BlobStore) -> Descriptor:
    """Return the descriptor of a layer, whose compression only its bytes tell."""
    with blobs.open(digest) as blob:
        compression = Compression(recognise(blob.read(4)).value)
    size = blobs.size(digest)
    assert size is not None
    return Descriptor(media_type=Family.OCI.layer(compression), digest=digest, size=size)
