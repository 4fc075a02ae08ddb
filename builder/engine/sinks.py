"""Where closures are copied to: a registry, a layout, an archive, a directory, or the store.

What is written appears whole or not at all; a layout that is there keeps what it has.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from itertools import chain
from typing import BinaryIO

import msgspec

from builder.engine.ends import InDirectory, InDockerArchive, InLayout, InLayoutArchive
from builder.engine.holders import Holder, flat_name, read_document
from builder.engine.importing import check_layers, is_image
from builder.errors import ExportError, ImageError, LayerError, StoreError
from builder.export.archive import Part, write_directory, write_tar
from builder.export.destination import (
    partial_name,
    partial_names,
    refusal,
    refusing,
    writer,
    writing,
)
from builder.export.directory import making
from builder.export.existing import INDEX, REF_NAME, locked_index, with_images
from builder.export.layout import FULL_NAME, blob_name, docker_entry, is_too_new
from builder.layer.compress import Compression, decompressor
from builder.layer.read import Limits
from builder.oci.closure import Closure
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.document import parse_config
from builder.oci.manifest import Manifest
from builder.oci.mediatypes import is_foreign
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.registry.parallel import in_parallel
from builder.registry.pulling import DOWNLOADS
from builder.store.blobs import LAYOUT, BlobStore
from builder.store.forms import unique_name

Open = Callable[[Descriptor], AbstractContextManager[BinaryIO]]
"""Opens a blob for reading; what it gives in full has been verified."""

_VERSION = b"Directory Transport Version: 1.1\n"
_PIECE = 1 << 20
_NOT_HERE = 1000
"""The rank of an image for another platform."""


def blobs_of(closure: Closure, holder: Holder) -> tuple[Descriptor, ...]:
    """Return the blobs to copy: foreign layers, which may be elsewhere, only where they are at hand."""
    return tuple(
        [
            each
            for each in closure.blobs(foreign=True)
            if not is_foreign(each.media_type) or holder.size(each.digest) == each.size
        ]
    )


def to_layout(
    end: InLayout,
    closure: Closure,
    blobs: tuple[Descriptor, ...],
    open_blob: Open,
    cancelled: Callable[[], bool],
) -> None:
    """Write a closure into an OCI layout, new or there already; what that has is not written again.

    Raises: ExportError: it cannot be written there.
    """
    entries = (_described(closure, end.name),)
    with _told(end.path), locked_index(end.path) as before:
        if before is None:
            with making(end.path) as directory:
                _fill(BlobStore(directory), closure, blobs, open_blob, cancelled)
                _write_index(directory, with_images(None, entries, end.path), end.path)
            return
        index = with_images(before, entries, end.path)
        _fill(BlobStore(end.path), closure, blobs, open_blob, cancelled)
        _write_index(end.path, index, end.path)


@contextmanager
def _told(dest: str) -> Iterator[None]:
    """Say of a full disk, and of what else the system refuses, where it was."""
    try:
        with refusing(dest):
            yield
    except StoreError as error:
        if error.code != "store.no-space":
            raise
        raise refusal(OSError(errno.ENOSPC, ""), dest) from error


def fill(
    content: BlobStore,
    blobs: tuple[Descriptor, ...],
    open_blob: Open,
    cancelled: Callable[[], bool],
) -> None:
    """Have blobs in a content store, several at once; what is there is not opened.

    Raises: StoreError: one is not what its digest says; the disk is full. Cancelled.
    """

    def take(blob: Descriptor, _stopped: Callable[[], bool]) -> None:
        content.ingest(
            _pieces(partial(open_blob, blob)),
            media_type=blob.media_type,
            expected=blob.digest,
            size=blob.size,
        )

    in_parallel(take, blobs, DOWNLOADS, cancelled)


def to_archive(
    end: InLayoutArchive | InDockerArchive,
    closure: Closure,
    blobs: tuple[Descriptor, ...],
    open_blob: Open,
    *,
    names: tuple[Reference, ...],
    scratch: str,
    cancelled: Callable[[], bool],
) -> None:
    """Write a closure as one tar; for Docker that is a layout with a list of what older ones load besides.

    What these cannot read goes uncompressed, too, by way of the host directory `scratch`.

    Raises: ImageError: there is no image in it that Docker could load. ExportError: it cannot be written there.
    """
    last: list[Part] = []
    plain: Iterator[Part] = iter(())
    if isinstance(end, InDockerArchive):
        image = _loadable(closure, blobs, open_blob)
        entry = docker_entry(image.manifest, image.diff_ids, names)
        last = [Part(name="manifest.json", data=msgspec.json.encode([entry]))]
        plain = _plain_parts(image, open_blob, scratch)
        entries = [
            _described(closure, name.tag or name.familiar(), name.canonical()) for name in names
        ] or [_described(closure, None)]
    else:
        entries = [_described(closure, end.name)]
    index = with_images(None, entries, end.path)
    last = [Part(name=INDEX, data=index), *last, Part(name="oci-layout", data=LAYOUT)]
    parts = chain(_layout_parts(closure, blobs, open_blob), plain, last)
    with writing(end.path) as fd:
        write_tar(parts, writer(fd, end.path, cancelled))


def to_directory(
    end: InDirectory,
    closure: Closure,
    blobs: tuple[Descriptor, ...],
    open_blob: Open,
    cancelled: Callable[[], bool],
) -> None:
    """Write a closure as files in one directory, as skopeo does; the directory is empty, or was written so before.

    Raises: ExportError: something else is in it, or it cannot be written.
    """
    with refusing(end.path):
        there = os.path.isdir(end.path) and len(os.listdir(end.path)) > len(
            partial_names(f"{end.path}/new")  # of those who were killed
        )
    if there and not (read_document(f"{end.path}/version") or b"").startswith(_VERSION[:27]):
        raise ExportError(
            f"`{end.path}` is neither empty nor an image that was copied to `dir:`",
            hint="name another directory",
        )
    with making(end.path) as directory:
        write_directory(_flat_parts(closure, blobs, open_blob), directory, end.path, cancelled)


def _flat_parts(closure: Closure, blobs: tuple[Descriptor, ...], open_blob: Open) -> Iterator[Part]:
    for each in blobs:
        yield _part(flat_name(each.digest), each, open_blob)
    for document in closure.documents[:-1]:
        name = f"{flat_name(document.descriptor().digest)}.manifest.json"
        yield Part(name=name, data=document.raw)
    yield Part(name="version", data=_VERSION)
    yield Part(name="manifest.json", data=closure.top.raw)


def _layout_parts(
    closure: Closure, blobs: tuple[Descriptor, ...], open_blob: Open
) -> Iterator[Part]:
    for each in blobs:
        yield _part(blob_name(each.digest), each, open_blob)
    for document in closure.documents:
        yield Part(name=blob_name(document.descriptor().digest), data=document.raw)


def _part(name: str, blob: Descriptor, open_blob: Open) -> Part:
    return Part(name=name, open=partial(open_blob, blob), size=blob.size)


def _described(closure: Closure, name: str | None, full: str | None = None) -> Descriptor:
    """Return the entry of an `index.json`."""
    pairs = {REF_NAME: name, FULL_NAME: full}
    annotations = tuple(sorted((key, value) for key, value in pairs.items() if value))
    return msgspec.structs.replace(closure.top.descriptor(), annotations=annotations)


def _fill(
    content: BlobStore,
    closure: Closure,
    blobs: tuple[Descriptor, ...],
    open_blob: Open,
    cancelled: Callable[[], bool],
) -> None:
    content.sweep()  # what those who were killed have left
    try:
        fill(content, blobs, open_blob, cancelled)
        for document in closure.documents:
            content.add(document.raw, media_type=document.media_type)
    finally:
        with suppress(OSError):  # somebody else is writing as well
            os.rmdir(content.temporary)


def _write_index(directory: str, index: bytes, dest: str) -> None:
    """Put an index in its place."""
    with refusing(dest):
        path = partial_name(f"{directory}/{INDEX}")
        try:
            with open(path, "xb") as file:
                file.write(index)
            os.rename(path, f"{directory}/{INDEX}")
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(path)
            raise


class _Loadable(msgspec.Struct, frozen=True):
    """An image that Docker can load, with the diff ids of its layers."""

    manifest: Manifest
    diff_ids: tuple[str, ...]

    def plain_too(self) -> dict[Digest, Descriptor]:
        """Return by diff id the layers that older Dockers cannot read."""
        pairs = zip(self.manifest.layers, self.diff_ids, strict=True)
        return {Digest(diff_id): layer for layer, diff_id in pairs if is_too_new(layer)}


def _loadable(closure: Closure, blobs: tuple[Descriptor, ...], open_blob: Open) -> _Loadable:
    """Return what a Docker without platforms loads of a closure: the host's image, or the first.

    Raises: ImageError: there is none, or it has layers that are not at hand.
    """
    found: list[tuple[int, _Loadable]] = []
    for manifest in filter(is_image, closure.manifests):
        with open_blob(manifest.config) as file:
            config = parse_config(b"".join(iter(lambda: file.read(_PIECE), b"")))
        check_layers(manifest, config)
        rank = Platform.of(config.os, config.architecture, config.variant).rank(Platform.host())
        found.append((_NOT_HERE if rank is None else rank, _Loadable(manifest, config.diff_ids)))
    if not found:
        raise ImageError(
            "there is no image in it that Docker could load",
            hint="copy it to `oci:` or `oci-archive:`, which hold anything",
        )
    chosen = min(found, key=lambda each: each[0])[1]
    here = {each.digest for each in blobs}
    missing = [layer for layer in chosen.manifest.layers if layer.digest not in here]
    if missing:
        raise ImageError(
            "the image has layers that are kept elsewhere, which `docker-archive:` cannot hold",
            notes=tuple(str(layer.digest) for layer in missing[:3]),
        )
    return chosen


def _plain_parts(image: _Loadable, open_blob: Open, scratch: str) -> Iterator[Part]:
    """Yield the layers that older Dockers cannot read, uncompressed; each must be taken before the next."""
    for diff_id, layer in image.plain_too().items():
        path = f"{scratch}/{unique_name()}.plain"
        try:
            with open(path, "xb") as file, open_blob(layer) as blob:
                plain = decompressor(blob, Compression.ZSTD)
                left = Limits().size
                while piece := plain.read(_PIECE):
                    left -= len(piece)
                    if left < 0:
                        raise LayerError(f"the layer `{layer.digest}` is too large")
                    file.write(piece)
            yield Part(name=blob_name(diff_id), path=path, digest=diff_id)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)


def _pieces(open_one: Callable[[], AbstractContextManager[BinaryIO]]) -> Iterator[bytes]:
    with open_one() as file:
        while piece := file.read(_PIECE):
            yield piece
