"""Whether an image is what it says: the judge that tests call after every build.

It reads layers with the standard library's tarfile, on purpose not with our own reader: what both wrote and read
wrongly would go unnoticed.

Source: OCI image-spec, layer.md, config.md, manifest.md.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

from builder.errors import ImageError
from builder.oci import mediatypes
from builder.oci.config import ImageConfig
from builder.oci.descriptor import MAX_DOCUMENT, Descriptor
from builder.oci.digest import Digest
from builder.oci.document import parse_config
from builder.oci.manifest import Manifest, parse_manifest
from builder.oci.mediatypes import Compression

if TYPE_CHECKING:
    import tarfile

    from _typeshed import WriteableBuffer

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_CHUNK = 1 << 20

OpenBlob = Callable[[Digest], BinaryIO]


def validate(manifest: Manifest, config: ImageConfig | None, open_blob: OpenBlob) -> None:
    """Check everything that can be checked about an image that lapstrake made.

    `config` is what the caller believes the configuration to be, None when it believes nothing.

    Raises: ImageError: something is wrong; the notes hold all that was found.
    """
    problems = [*_check_manifest(manifest)]
    parsed = _read_config(manifest.config, open_blob, problems)
    if parsed is not None:
        if config is not None and parsed != config:
            problems.append("the configuration's blob differs from the configuration")
        problems += _check_config(parsed, len(manifest.layers))
        for number, (layer, diff_id) in enumerate(
            zip(manifest.layers, parsed.diff_ids, strict=False), 1
        ):
            problems += [
                f"layer {number}: {problem}" for problem in _check_layer(layer, diff_id, open_blob)
            ]
    if problems:
        raise ImageError("the image is not valid", notes=tuple(problems))


def _check_manifest(manifest: Manifest) -> Iterator[str]:
    if parse_manifest(manifest.raw, manifest.media_type) != manifest:
        yield "the manifest's bytes differ from the manifest"
    family = mediatypes.family_of(manifest.media_type)
    for descriptor in (manifest.config, *manifest.layers):
        if mediatypes.family_of(descriptor.media_type) is not family:
            yield f"`{descriptor.media_type}` stands in a manifest of type `{manifest.media_type}`"
    if manifest.config.media_type not in mediatypes.CONFIGS:
        yield f"the configuration has the media type `{manifest.config.media_type}`"


def _read_config(
    descriptor: Descriptor, open_blob: OpenBlob, problems: list[str]
) -> ImageConfig | None:
    with open_blob(descriptor.digest) as blob:
        raw = blob.read(MAX_DOCUMENT + 1)
    if len(raw) != descriptor.size:
        problems.append(f"the configuration has {len(raw)} bytes, not {descriptor.size}")
    if hashlib.new(descriptor.digest.algorithm, raw).hexdigest() != descriptor.digest.hex:
        problems.append("the configuration does not have its digest")
    try:
        return parse_config(raw)
    except ImageError as error:
        problems += [error.message, *error.notes]
        return None


def _check_config(config: ImageConfig, layers: int) -> Iterator[str]:
    if len(config.diff_ids) != layers:
        yield f"there are {layers} layers, but {len(config.diff_ids)} diff ids"
    described = sum(not entry.empty_layer for entry in config.history)
    if described != len(config.diff_ids):
        yield f"the history describes {described} layers, there are {len(config.diff_ids)} diff ids"
    names = [variable.partition("=")[0] for variable in config.config.env]
    if len(set(names)) != len(names):
        yield "a variable of the environment occurs twice"
    if any("=" not in variable for variable in config.config.env):
        yield "a variable of the environment has no value"


def _check_layer(layer: Descriptor, diff_id: str, open_blob: OpenBlob) -> Iterator[str]:
    import tarfile

    compression = mediatypes.compression_of(layer.media_type)
    if compression is None:
        yield f"`{layer.media_type}` is not the media type of a layer"
        return
    with open_blob(layer.digest) as blob:
        outer = _Hashed(blob, layer.digest.algorithm)
        compressed = io.BufferedReader(outer, _CHUNK)
        inner = _Hashed(_decompressed(compressed, compression), Digest(diff_id).algorithm)
        plain = io.BufferedReader(inner, _CHUNK)
        try:
            with tarfile.open(fileobj=plain, mode="r|") as archive:
                yield from _check_entries(archive)
            _drain(plain)
        except Exception as error:  # noqa: BLE001  each codec has errors of its own
            yield f"it cannot be read ({error})"
            return
        _drain(compressed)
    if outer.size != layer.size:
        yield f"it has {outer.size} bytes, not {layer.size}"
    if outer.digest() != layer.digest:
        yield f"its digest is {outer.digest()}, not {layer.digest}"
    if inner.digest() != diff_id:
        yield f"its diff id is {inner.digest()}, not {diff_id}"


def _check_entries(archive: tarfile.TarFile) -> Iterator[str]:
    seen: dict[str, bool] = {}
    for member in archive:
        name = member.name.removeprefix("./").rstrip("/")
        parts = name.split("/")
        if member.name.startswith("/") or ".." in parts or "" in parts[:-1]:
            yield f"`{member.name}` is not a plain relative path"
        if name in seen:
            yield f"`{name}` occurs twice"
        parents = ("/".join(parts[:count]) for count in range(1, len(parts)))
        if any(seen.get(parent) is False for parent in parents):
            yield f"`{name}` lies below something that is not a directory"
        if member.islnk() and member.linkname.removeprefix("./") not in seen:
            yield f"`{name}` is a hard link to `{member.linkname}`, which is not in the layer before it"
        seen[name] = member.isdir()
        yield from _check_whiteout(member, parts[-1])


def _check_whiteout(member: tarfile.TarInfo, base: str) -> Iterator[str]:
    if not base.startswith(_WHITEOUT):
        return
    if not member.isreg() or member.size:
        yield f"the whiteout `{member.name}` is not an empty file"
    if base != _OPAQUE and base[len(_WHITEOUT) :] in ("", ".", ".."):
        yield f"the whiteout `{member.name}` names nothing"
    if base != _OPAQUE and base[len(_WHITEOUT) :].startswith(_WHITEOUT):
        yield f"the whiteout `{member.name}` hides a name that no image can hold"


class _Hashed(io.RawIOBase):
    """A stream that is hashed and counted as it is read."""

    def __init__(self, source: BinaryIO, algorithm: str) -> None:
        super().__init__()
        self._source = source
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm)
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        data = self._source.read(len(view))
        view[: len(data)] = data
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def digest(self) -> str:
        return f"{self._algorithm}:{self._hash.hexdigest()}"


def _drain(stream: BinaryIO) -> None:
    while stream.read(_CHUNK):
        pass


def _decompressed(source: BinaryIO, compression: Compression) -> BinaryIO:
    match compression:
        case Compression.GZIP:
            import gzip

            return cast("BinaryIO", gzip.GzipFile(fileobj=source))
        case Compression.ZSTD:
            import zstandard

            return cast(
                "BinaryIO",
                zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True),
            )
        case Compression.NONE:
            return source
