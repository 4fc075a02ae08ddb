"""A shared cache with as many records as are wanted, each unlike the others, with a layer of its own."""

from __future__ import annotations

from hashlib import sha256

from builder.graph.keys import KeyPart
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.mediatypes import OCI_LAYER_GZIP
from builder.sharing.giving import parcel
from builder.sharing.place import Place
from builder.sharing.records import (
    BUNDLE,
    TABLE,
    Blob,
    SharedLayer,
    SharedRecord,
    bundles_of,
    encoded,
    encoded_table,
    listed,
    set_manifest,
)
from builder.store.cache import Observation
from tests.support.registry import Registry


def record(number: int) -> SharedRecord:
    """Return a record like that of a copy."""
    digests = [sha256(b"%d %d" % (number, each)).hexdigest() for each in range(6)]
    return SharedRecord(
        parts=(
            KeyPart("operation", digests[0], f"/app/module-{number}"),
            KeyPart("contents", digests[1]),
        ),
        base=digests[2],
        layer=SharedLayer(
            diff_id=f"sha256:{digests[3]}",
            content_id=digests[4],
            size=100_000 + number,
            entries=20,
            created=1_700_000_000.25 + number,
            blob=Blob(f"sha256:{digests[5]}", 30_000 + number, OCI_LAYER_GZIP),
        ),
        observations=(Observation("/", "directory"), Observation("/app", "directory")),
        seconds=1.5,
        created=1_700_000_001.5 + number,
    )


def fill(place: Place, count: int) -> None:
    """Publish so many records, as one build of so many steps does; their layers are named, but not there."""
    records = [record(number) for number in range(count)]
    lines, parcels, layers = [], [], []
    for bundle in bundles_of(records, ()):
        data = encoded(bundle)
        lines.append(listed(bundle, data))
        parcels.append(parcel(data, BUNDLE))
    table = parcel(encoded_table(lines), TABLE)
    place.put((*parcels, table))
    for each in records:
        blob = each.layer.blob
        assert blob is not None
        digest = Digest(blob.digest)
        layers.append(Descriptor(media_type=blob.media_type, digest=digest, size=blob.size))
    bundles = [each.descriptor for each in parcels]
    manifest = set_manifest(table.descriptor, bundles)
    place.publish(manifest, layers)
    place.summarise(manifest, ())


def answered(registry: Registry) -> int:
    """Return the bytes of all documents and blobs that a registry has sent."""
    total = 0
    for seen in registry.requests:
        parts = seen.path.removeprefix("/v2/").rsplit("/", 2)
        if seen.method != "GET" or len(parts) != 3:
            continue
        repository, kind, name = parts
        if kind == "manifests":
            total += len(registry.manifests.get((repository, name), ("", b""))[1])
        elif kind == "blobs":
            total += len(registry.blobs[repository, name])
    return total
