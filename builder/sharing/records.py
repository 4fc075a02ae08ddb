"""Records as they are shared: how they are written, what of a stranger's is believed, and how sets of them are listed.

A *bundle* holds up to `BUNDLE_RECORDS` records and as many selections, as JSON compressed by zstd. A *table* tells by the
first bytes of keys which bundles are worth reading. A *set* is what one build adds: an OCI manifest of a table and its bundles.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from builder.errors import ImageError
from builder.graph.keys import CacheKey, KeyPart, cache_key, framed_digest
from builder.layer.times import Counted
from builder.oci.descriptor import MAX_DOCUMENT, Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import Manifest, parse_manifest
from builder.oci.mediatypes import OCI_EMPTY, OCI_MANIFEST
from builder.store.cache import Observation

BUNDLE_RECORDS = 256
SET = "application/vnd.lapstrake.cache.set.v1+json"
LAYERS = "application/vnd.lapstrake.cache.layers.v1+json"
TABLE = "application/vnd.lapstrake.cache.table.v1+msgpack"
BUNDLE = "application/vnd.lapstrake.cache.bundle.v1+json+zstd"
COVERS = "dev.lapstrake.cache.covers"
EMPTY = b"{}"
EMPTY_CONFIG = Descriptor(media_type=OCI_EMPTY, digest=Digest.of(EMPTY), size=len(EMPTY))

_PREFIX = 8
_NAME = 16
_UNPACKED_LIMIT = 64 << 20
_LEVEL = 9
_NOTHING = str(Digest.of(bytes(1024)))
"""The diff id of a layer without entries: a tar's end mark alone."""


class Blob(msgspec.Struct, frozen=True):
    """Where the bytes of a layer are."""

    digest: str
    size: int
    media_type: str


class SharedLayer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A layer as `builder.store.layers` knows it, with a blob if it was shared too, and the times that count for its id."""

    diff_id: str
    content_id: str
    size: int
    entries: int
    created: float
    blob: Blob | None = None
    times: Counted | None = None


class SharedRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One execution; the parts give its key. Times in seconds, `created` since the epoch."""

    parts: tuple[KeyPart, ...]
    base: str
    layer: SharedLayer
    observations: tuple[Observation, ...] = ()
    seconds: float = 0.0
    created: float = 0.0

    @property
    def key(self) -> CacheKey:
        """The key, computed from the parts."""
        return cache_key(self.parts)


class Selection(msgspec.Struct, frozen=True):
    """What a request selects in a state, see `CacheIndex.selection`."""

    state: str
    request: str
    contents: str


class Pack(msgspec.Struct, frozen=True):
    """A piece of a cache mount: `id` is made of what is in it, `digest` and `size` are of the blob."""

    id: str
    digest: str
    size: int


class SharedMount(msgspec.Struct, frozen=True, kw_only=True):
    """What was in a cache mount at some time, in seconds since the epoch; `name` as `cache_name` gives it."""

    name: str
    created: float
    packs: tuple[Pack, ...]


class Bundle(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Records and selections, or mounts, that are read together."""

    records: tuple[SharedRecord, ...] = ()
    selections: tuple[Selection, ...] = ()
    mounts: tuple[SharedMount, ...] = ()


class Listed(msgspec.Struct, frozen=True):
    """A bundle in a table, with the first bytes of its keys, one after the other."""

    digest: str
    size: int
    prefixes: bytes


class RecordSet(msgspec.Struct, frozen=True, kw_only=True):
    """A set: where its table is, and the names of the sets whose bundles it lists too."""

    name: str
    table: Descriptor
    bundles: tuple[Descriptor, ...]
    covers: frozenset[str] = frozenset()


def bundles_of(
    records: Sequence[SharedRecord], selections: Sequence[Selection]
) -> tuple[Bundle, ...]:
    """Divide what is to be shared into bundles; equal input in any order gives equal bundles."""
    ordered = sorted(records, key=lambda each: (each.key.digest, each.base, each.layer.diff_id))
    chosen = sorted(selections, key=lambda each: (each.state, each.request))
    count = max(len(ordered), len(chosen))
    return tuple(
        Bundle(
            records=tuple(ordered[at : at + BUNDLE_RECORDS]),
            selections=tuple(chosen[at : at + BUNDLE_RECORDS]),
        )
        for at in range(0, count, BUNDLE_RECORDS)
    )


def encoded(bundle: Bundle) -> bytes:
    """Return a bundle as it is stored."""
    import zstandard

    return zstandard.ZstdCompressor(level=_LEVEL).compress(msgspec.json.encode(bundle))


def decoded(data: bytes) -> Bundle:
    """Read a bundle; records that make no sense are left out.

    Raises: ImageError: it is malformed or too large.
    """
    import zstandard

    try:
        reader = zstandard.ZstdDecompressor().stream_reader(data)
        text = reader.read(_UNPACKED_LIMIT + 1)
        if len(text) > _UNPACKED_LIMIT:
            raise ImageError(f"records of a cache are larger than {_UNPACKED_LIMIT} bytes")
        bundle = msgspec.json.decode(text, type=Bundle)
    except (zstandard.ZstdError, ValueError, RecursionError) as error:
        raise ImageError("records of a cache are malformed", notes=(str(error)[:200],)) from error
    records = tuple([record for record in bundle.records if _is_sound(record)])
    mounts = tuple([mount for mount in bundle.mounts if _is_sound_mount(mount)])
    return msgspec.structs.replace(bundle, records=records, mounts=mounts)


def _is_sound_mount(mount: SharedMount) -> bool:
    return math.isfinite(mount.created) and all(
        _is_digest(pack.digest) and 0 <= pack.size < 1 << 50 for pack in mount.packs
    )


def _is_sound(record: SharedRecord) -> bool:
    layer = record.layer
    times = (layer.created, record.created, record.seconds)
    sizes = (layer.size, layer.entries, 0 if layer.blob is None else layer.blob.size)
    return (
        all(math.isfinite(time) and 0 <= time < 1 << 34 for time in times)
        and all(0 <= size < 1 << 50 for size in sizes)
        and _is_digest(layer.diff_id)
        # What is said to change nothing is not even mounted, so that nothing else would find out.
        and (layer.entries > 0 or layer.diff_id == _NOTHING)
        and _is_digest(f"sha256:{layer.content_id}")
        and (layer.blob is None or _is_digest(layer.blob.digest))
    )


def _is_digest(text: str) -> bool:
    return (
        len(text) == 71
        and text.startswith("sha256:")
        and set("0123456789abcdef").issuperset(text[7:])
    )


def key_prefix(key: str) -> bytes:
    """Return what a table says of a key, given in hex."""
    return bytes.fromhex(key)[:_PREFIX]


def selection_prefix(state: str, request: str) -> bytes:
    """Return what a table says of a selection."""
    return key_prefix(framed_digest(("selection/1", state, request)))


def mount_prefix(name: str) -> bytes:
    """Return what a table says of a cache mount."""
    return key_prefix(framed_digest(("mount/1", name)))


def listed(bundle: Bundle, data: bytes) -> Listed:
    """Return the line of a table for a bundle, which is stored as `data`."""
    found = {key_prefix(record.key.digest) for record in bundle.records}
    found |= {selection_prefix(each.state, each.request) for each in bundle.selections}
    found |= {mount_prefix(each.name) for each in bundle.mounts}
    return Listed(str(Digest.of(data)), len(data), b"".join(sorted(found)))


def encoded_table(lines: Iterable[Listed]) -> bytes:
    """Return a table as it is stored."""
    ordered = sorted({line.digest: line for line in lines}.values(), key=lambda line: line.digest)
    return msgspec.msgpack.encode(ordered)


def decoded_table(data: bytes) -> list[Listed]:
    """Read a table.

    Raises: ImageError: it is malformed.
    """
    try:
        lines = msgspec.msgpack.decode(data, type=list[Listed])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ImageError("the table of a cache is malformed", notes=(str(error)[:200],)) from error
    if any(len(line.prefixes) % _PREFIX or not 0 <= line.size <= MAX_DOCUMENT for line in lines):
        raise ImageError("the table of a cache is malformed")
    return [line for line in lines if _is_digest(line.digest)]


def prefixes(line: Listed) -> Iterable[bytes]:
    """Yield what a line says of each key."""
    return (line.prefixes[at : at + _PREFIX] for at in range(0, len(line.prefixes), _PREFIX))


def set_manifest(
    table: Descriptor, bundles: Sequence[Descriptor], covers: Iterable[str] = ()
) -> Manifest:
    """Return the manifest of a set."""
    return _artifact(SET, (table, *bundles), {COVERS: ",".join(sorted(covers))})


def layers_manifest(layers: Sequence[Descriptor]) -> Manifest:
    """Return a manifest that keeps layers from being collected, and tells nothing else."""
    return _artifact(LAYERS, layers, {})


def set_name(manifest: Manifest) -> str:
    """Return what a set is called."""
    return manifest.descriptor().digest.hex[:_NAME]


def set_of(manifest: Manifest) -> RecordSet | None:
    """Return the set that a manifest describes, None if it describes something else."""
    if manifest.artifact_type != SET or not manifest.layers:
        return None
    table, *bundles = manifest.layers
    if table.media_type != TABLE:
        return None
    covers = dict(manifest.annotations).get(COVERS, "")
    return RecordSet(
        name=set_name(manifest),
        table=table,
        bundles=tuple(each for each in bundles if each.media_type == BUNDLE),
        covers=frozenset(covers.split(",")) - {""},
    )


def _artifact(kind: str, layers: Sequence[Descriptor], annotations: dict[str, str]) -> Manifest:
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": kind,
        "config": EMPTY_CONFIG.document(),
        "layers": [each.document() for each in layers],
    }
    pairs = {name: value for name, value in annotations.items() if value}
    if pairs:
        document["annotations"] = pairs
    manifest = parse_manifest(msgspec.json.encode(document, order="deterministic"), OCI_MANIFEST)
    assert isinstance(manifest, Manifest)
    return manifest
