"""Records inside an image: an annotation of its manifest, which leaves the image and its id as they are.

The layers that they speak of are the image's own.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence

import msgspec

from builder.errors import ImageError
from builder.oci.descriptor import Descriptor
from builder.oci.manifest import Manifest
from builder.sharing.records import Blob, Bundle, SharedRecord, decoded, encoded

RECORDS = "dev.lapstrake.cache.records"
_LIMIT = 1 << 20
"""Bytes of an annotation: some registries end manifests at 4 MiB."""


def annotation_of(
    bundle: Bundle, layers: Sequence[Descriptor], diff_ids: Iterable[str]
) -> tuple[tuple[str, str], ...]:
    """Return records as annotations of a manifest with these layers; `diff_ids` are theirs, in order.

    Raises: ImageError: they are too many.
    """
    blobs = {
        diff_id: Blob(str(layer.digest), layer.size, layer.media_type)
        for diff_id, layer in zip(diff_ids, layers, strict=True)
    }
    records = tuple([_with_blob(record, blobs) for record in bundle.records])
    data = base64.b64encode(encoded(msgspec.structs.replace(bundle, records=records))).decode()
    if len(data) > _LIMIT:
        raise ImageError(
            f"the records of this build take {len(data)} bytes, more than fit into an image",
            hint="use --cache-to type=registry",
        )
    return ((RECORDS, data),)


def _with_blob(record: SharedRecord, blobs: dict[str, Blob]) -> SharedRecord:
    layer = record.layer
    return msgspec.structs.replace(
        record, layer=msgspec.structs.replace(layer, blob=blobs.get(layer.diff_id))
    )


def records_in(manifest: Manifest) -> Bundle | None:
    """Return the records inside an image, None where there are none.

    Raises: ImageError: they are malformed.
    """
    text = dict(manifest.annotations).get(RECORDS)
    if text is None:
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError("the records in an image are malformed") from error
    return decoded(data)
