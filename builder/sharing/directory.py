"""A shared cache in a directory, which may lie on a file system of several machines.

    DIR/oci-layout, index.json   an OCI layout without images
    DIR/blobs/sha256/<hex>       tables, bundles, layers
    DIR/sets/<hex>               manifests of sets

Every file appears whole, by one rename, under the digest of its contents: writers need no lock.

Source: OCI image-spec, image-layout.md.
"""

from __future__ import annotations

import io
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import BinaryIO

from builder.errors import ExportError, ImageError
from builder.oci.descriptor import MAX_DOCUMENT, Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import Index, Manifest, build_index, parse_manifest
from builder.oci.sha256 import sha256
from builder.sharing.place import Parcel, check_document, refuse_foreign
from builder.store.blobs import LAYOUT

_PIECE = 1 << 20
_PARTIAL = ".partial"
_DAY = 86400.0
_HEX = frozenset("0123456789abcdef")
_OURS = ("blobs", "sets", "index.json", "oci-layout")


class DirectoryPlace:
    """A cache in a directory; `root` is a host path."""

    def __init__(self, root: str) -> None:
        self.name = root
        self._root = os.path.abspath(root)

    def sets(self) -> Iterator[Manifest]:
        """Yield the sets."""
        self._refuse_others()
        found: dict[str, bytes | None] = {}
        while True:
            names = self._names()
            found.update(
                {name: self._read(f"{self._root}/sets/{name}") for name in names - {*found}}
            )
            # What vanished meanwhile is in a set that somebody has just written.
            if all(found[name] is not None for name in names) or self._names() == names:
                break
        for name, raw in sorted(found.items()):
            if raw is not None and sha256(raw).hex() == name:
                manifest = parse_manifest(raw)
                if isinstance(manifest, Manifest):
                    yield manifest

    def _names(self) -> set[str]:
        try:
            names = os.listdir(f"{self._root}/sets")
        except (FileNotFoundError, NotADirectoryError):
            return set()
        return {name for name in names if len(name) == 64 and _HEX.issuperset(name)}

    def _refuse_others(self) -> None:
        raw = self._read(f"{self._root}/index.json")
        if raw is None:
            return
        index = parse_manifest(raw)
        refuse_foreign(index, self.name)
        for each in index.manifests[:100] if isinstance(index, Index) else ():
            inner = self._read(self._blob(each.digest))
            if inner is not None and Digest.of(inner) == each.digest:
                with suppress(ValueError):
                    refuse_foreign(parse_manifest(inner), self.name)

    def document(self, descriptor: Descriptor) -> bytes:
        """Return a small blob, verified."""
        data = self._read(self._blob(descriptor.digest))
        if data is None:
            raise self._lacks(descriptor)
        return check_document(data, descriptor, self.name)

    def chunks(self, descriptor: Descriptor) -> Iterator[bytes]:
        """Yield the bytes of a blob."""
        try:
            with _open(self._blob(descriptor.digest)) as file:
                while piece := file.read(_PIECE):
                    yield piece
        except OSError as error:
            raise self._lacks(descriptor) from error

    def put(self, parcels: Sequence[Parcel]) -> int:
        """Write the blobs that are not there."""
        moved = 0
        with self._refusing():
            self._prepare()
            for parcel in parcels:
                path = self._blob(parcel.descriptor.digest)
                if _holds(path, parcel.descriptor):
                    continue
                with parcel.open() as source:
                    self._write(path, source)
                moved += parcel.descriptor.size
        return moved

    def publish(self, manifest: Manifest, layers: Sequence[Descriptor]) -> None:
        """Write the manifest of a set; its layers lie here until somebody removes the directory."""
        del layers
        with self._refusing():
            self._prepare()
            path = f"{self._root}/sets/{manifest.descriptor().digest.hex}"
            if not os.path.exists(path):
                self._write(path, io.BytesIO(manifest.raw))

    def summarise(self, manifest: Manifest, covered: Iterable[str]) -> None:
        """Write a set that covers others, then remove those: who has read their names reads them or this one."""
        self.publish(manifest, ())
        names = frozenset(covered)
        with self._refusing():
            for name in os.listdir(f"{self._root}/sets"):
                if name[:16] in names and name != manifest.descriptor().digest.hex:
                    with suppress(FileNotFoundError):
                        os.unlink(f"{self._root}/sets/{name}")

    def _prepare(self) -> None:
        if not os.path.exists(f"{self._root}/oci-layout") and os.path.exists(self._root):
            others = [name for name in os.listdir(self._root) if name not in _OURS]
            if any(not name.startswith(".") for name in others):
                raise ExportError(
                    f"`{self.name}` is not empty and is no cache",
                    notes=(f"it holds `{min(others)}`",),
                    hint="name an empty directory, or one that is not there yet",
                )
        self._sweep()
        for name in ("blobs/sha256", "sets"):
            os.makedirs(f"{self._root}/{name}", exist_ok=True)
        for name, data in (("index.json", build_index(()).raw), ("oci-layout", LAYOUT)):
            if not os.path.exists(f"{self._root}/{name}"):
                self._write(f"{self._root}/{name}", io.BytesIO(data))

    def _sweep(self) -> None:
        """Remove what writers left that were killed; those of other machines can only be told by their age."""
        with suppress(FileNotFoundError), os.scandir(self._root) as found:
            for each in found:
                if each.name.endswith(_PARTIAL) and each.stat().st_mtime < time.time() - _DAY:
                    with suppress(FileNotFoundError):
                        os.unlink(each.path)

    def _write(self, path: str, source: BinaryIO) -> None:
        temporary = f"{self._root}/.{os.urandom(8).hex()}{_PARTIAL}"
        try:
            with open(temporary, "xb") as file:
                while piece := source.read(_PIECE):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)

    def _blob(self, digest: Digest) -> str:
        return f"{self._root}/blobs/{digest.algorithm}/{digest.hex}"

    def _read(self, path: str) -> bytes | None:
        try:
            with _open(path) as file:
                data = file.read(MAX_DOCUMENT + 1)
        except OSError:
            return None
        if len(data) > MAX_DOCUMENT:
            raise ImageError(f"`{path}` is larger than {MAX_DOCUMENT} bytes")
        return data

    def _lacks(self, descriptor: Descriptor) -> ImageError:
        return ImageError(f"the cache `{self.name}` lacks `{descriptor.digest}`")

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ExportError(
                f"the cache `{self.name}` cannot be written: {error.strerror or error}",
                hint="choose a directory that is yours, on a disk with room",
            ) from error


def _holds(path: str, descriptor: Descriptor) -> bool:
    """Tell whether a file holds the blob; what is damaged is written again."""
    import hashlib

    try:
        with _open(path) as file:
            if os.fstat(file.fileno()).st_size != descriptor.size:
                return False
            found = hashlib.new(descriptor.digest.algorithm)
            while piece := file.read(_PIECE):
                found.update(piece)
    except OSError:
        return False
    return found.hexdigest() == descriptor.digest.hex


def _open(path: str) -> BinaryIO:
    """Open a file of a directory that others write to; a FIFO is not waited for."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(path)
    return open(fd, "rb")
