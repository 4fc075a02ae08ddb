"""Images out of archives and into them: `save`, `load`, `import`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from builder.engine.catalogue import Catalogue, rfc3339
from builder.errors import Cancelled, ImageError, LayerError
from builder.export.destination import never
from builder.layer.admission import Admission
from builder.layer.read import Limits, Readable, TarReader
from builder.oci.config import History
from builder.oci.edit import append_layer
from builder.oci.mediatypes import OCI_LAYER, Compression
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.store.layers import BlobForm, pulled_layer
from builder.store.root import Store

if TYPE_CHECKING:
    from builder.export.saving import Saved

_PIECE = 1 << 18


def save(
    store: Store,
    names: tuple[str, ...],
    stream: BinaryIO,
    *,
    platform: Platform | None = None,
    cancelled: Callable[[], bool] = never,
) -> None:
    """Write images to one archive that Docker loads, and which is an OCI layout too.

    They are in it under the names by which they are asked for; a repository alone means all its tags. What came from
    elsewhere goes as it came, with all its platforms and what is claimed of them. With a `platform` it is the image
    for that.

    Raises: ImageError: there is no such image; nothing has been written then. StoreError: a form is missing.
        Cancelled. OSError: of `stream`.
    """
    from builder.export.archive import write_tar
    from builder.export.saving import saved_parts

    saved = _saved(store, names, platform)

    def write(data: bytes) -> None:
        if cancelled():
            raise Cancelled
        stream.write(data)

    write_tar(saved_parts(saved, store), write)


def save_directory(
    store: Store,
    names: tuple[str, ...],
    dest: str,
    *,
    platform: Platform | None = None,
    cancelled: Callable[[], bool] = never,
) -> None:
    """Write the same files to the directory `dest` of the host.

    Raises: ImageError, StoreError, Cancelled: as `save`. ExportError: it cannot be written.
    """
    from builder.export.archive import write_directory
    from builder.export.directory import making
    from builder.export.saving import saved_parts

    saved = _saved(store, names, platform)
    with making(dest) as unfinished:
        write_directory(saved_parts(saved, store), unfinished, dest, cancelled)


def _saved(store: Store, names: tuple[str, ...], platform: Platform | None) -> list[Saved]:
    """Return each set of images once, with all names by which it is asked for."""
    from builder.engine.outgoing import as_it_came
    from builder.export.layout import Named
    from builder.export.saving import Saved

    catalogue = Catalogue(store)
    found: dict[tuple[str, ...], Saved] = {}
    for asked in names:
        for text in catalogue.tags(asked) or (asked,):
            image, name = catalogue.meant(text, platform)
            images = [image]
            if name is not None and platform is None:
                images = [catalogue.open(each.image) for each in catalogue.platforms(name)]
            closure = as_it_came(store, images, name if platform is None else None)
            top = "" if closure is None else str(closure.top.descriptor().digest)
            key = (top, *(each.id for each in images))
            saved = found.get(key) or Saved(
                images=tuple(
                    [Named(id=each.id, config=each.config, state=each.state) for each in images]
                ),
                closure=closure,
            )
            references = () if name is None else (Reference.parse(name.reference),)
            names_of = tuple(dict.fromkeys((*saved.references, *references)))
            found[key] = msgspec.structs.replace(saved, references=names_of)
    return list(found.values())


def load(
    store: Store,
    stream: BinaryIO,
    *,
    platform: Platform | None = None,
    cancelled: Callable[[], bool] = never,
) -> tuple[str, ...]:
    """Take images from an archive; see `loading.load`."""
    from builder.engine import loading

    return loading.load(store, stream, cancelled, platform=platform)


def import_tree(
    store: Store,
    stream: BinaryIO,
    reference: str | None,
    changes: tuple[str, ...],
    message: str,
    *,
    platform: Platform | None = None,
    origin: str = "-",
    cancelled: Callable[[], bool] = never,
) -> str:
    """Make an image of one layer from a tar of a root file system, compressed or not; return its id.

    It is for `platform`, or for that of this host; `origin` is where the history says that it came from. The tar is kept byte for byte: its digest is the layer's diff id.

    Raises: ImageError: the input is no tar. LayerError: it holds what cannot be in an image.
        UsageError, DockerfileError: a change is not possible. StoreError: the disk is full. Cancelled.
    """
    from builder.engine.changes import configured
    from builder.layer.unwrapping import unwrapped

    name = None if reference is None else Reference.parse(reference)
    config = configured(changes, platform or Platform.host())
    blob = store.blobs.ingest(_checked(unwrapped(stream, cancelled)), media_type=OCI_LAYER)
    diff_id = str(blob.digest)
    store.layers.add(store.layers.get(diff_id) or pulled_layer(diff_id))
    store.layers.add_blob(
        diff_id,
        BlobForm(
            digest=diff_id,
            size=blob.size,
            media_type=OCI_LAYER,
            compression=Compression.NONE.value,
            pulled=True,
        ),
    )
    history = History(created=rfc3339(time.time()), comment=message or f"Imported from {origin}")
    catalogue = Catalogue(store)
    image_id = catalogue.add(append_layer(config, blob.digest, history))
    if name is not None:
        catalogue.name(name, image_id)
    return image_id


def _checked(stream: Readable) -> Iterator[bytes]:
    """Pass a tar stream on, piece by piece, while it is read as one."""
    passed = _Passed(stream)
    reader = TarReader(passed, Limits())
    admission = Admission()
    seen = False
    try:
        for member in reader.members():
            seen = True
            admission.admit(member)
            yield from passed.take()
            for _ in reader.data():
                yield from passed.take()
    except LayerError as error:
        if seen or error.code != "layer.invalid":
            raise
        raise ImageError(
            "the input is not a tar archive of a root file system", notes=(error.message,)
        ) from error
    if reader.size == 0:
        raise ImageError("the input is empty", hint="give a tar archive of a root file system")
    yield from passed.take()
    while piece := stream.read(_PIECE):
        yield piece


class _Passed:
    """A stream that keeps what is read from it until it is taken."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._pieces: list[bytes] = []

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._pieces.append(data)
        return data

    def take(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        return pieces
