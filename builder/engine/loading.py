"""Images of an archive into the store: OCI layouts, and what `docker save` and its kin write.

Everything is looked at before anything is made known, so that a bad archive adds no image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from builder.engine.contents import read_contents
from builder.engine.importing import Examined, examine, present_closure, register, whole_part
from builder.engine.tops import Top, archived, document_of
from builder.errors import Cancelled, ImageError
from builder.export.destination import never
from builder.oci.platform import Platform
from builder.store.root import Store

_MOST = 2000
"""Images that one archive is let bring."""


def load(
    store: Store,
    stream: BinaryIO,
    cancelled: Callable[[], bool] = never,
    *,
    platform: Platform | None = None,
) -> tuple[str, ...]:
    """Take the images of an archive, and name them as it says: of all platforms that are whole in it, or of one.

    Attestations are kept with the images that they are about.

    Returns: the names, or the id of an image that has none.
    Raises: ImageError: it is no such archive, is damaged or incomplete, contradicts itself, or has nothing for the
        platform. LayerError: it is over a limit. StoreError: a blob is not what its name says; the disk is
        full. Cancelled.
    """
    contents = read_contents(stream, store.blobs, cancelled)
    tops = archived(contents, store.blobs)
    found = []
    documents = 0
    for top in tops:
        if cancelled():
            raise Cancelled
        examined = _examined(top, store, platform)
        if examined is not None:
            found.append((examined, top.references))
            documents += len(examined.images)
        if documents > _MOST:
            raise ImageError(f"the archive lists more than {_MOST} images")
    if not found:
        raise ImageError(
            f"the archive holds no image{'' if platform is None else f' for {platform}'}",
            notes=() if tops else ("it lists none",),
        )
    loaded: dict[str, None] = {}
    with store.db.transaction():
        for examined, references in found:
            loaded.update(dict.fromkeys(register(examined, references, store)))
    return tuple(loaded)


def _examined(top: Top, store: Store, platform: Platform | None) -> Examined | None:
    """Look at what an entry leads to; None where nothing of it is in the archive, or not for the platform."""
    document = document_of(top, store.blobs)
    if document is None:
        return None

    def is_wanted(found: Platform) -> bool:
        return platform is None or found.matches(platform)

    closure = present_closure(document, store, is_wanted)
    if not closure.manifests:
        return None
    # Where nothing is whole, the error says what is missing.
    examined = examine(whole_part(closure, store) or closure, store)
    images = tuple([each for each in examined.images if is_wanted(each.platform)])
    return Examined(images=images, digest=examined.digest) if images else None
