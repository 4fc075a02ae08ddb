"""An independent reader of OCI layouts: configuration and merged tree, by the standard library alone.

It shares nothing with the product, so that a mistake in the product's reader cannot hide one in its writer.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

Entry = dict[str, Any]
Tree = dict[str, Entry]
TYPES = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.FIFOTYPE: "fifo",
    tarfile.CHRTYPE: "character-device",
    tarfile.BLKTYPE: "block-device",
}
XATTR = "SCHILY.xattr."
WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


class Image(NamedTuple):
    """What an image says and holds."""

    document: dict[str, Any]
    layers: list[bytes]  # uncompressed tars

    @property
    def diff_ids(self) -> list[str]:
        """Return the digests of the uncompressed layers, from the bottom."""
        return list(self.document["rootfs"]["diff_ids"] or ())

    def tree(self, *, above: Iterable[bytes] | None = None) -> Tree:
        """Return all entries by absolute path, or those of some layers alone."""
        found: Tree = {}
        for layer in self.layers if above is None else above:
            apply(layer, found)
        return found


def read(folder: Path) -> Image:
    """Read the first image of a layout and check every digest on the way."""
    index = json.loads((folder / "index.json").read_bytes())
    document = index
    while "manifests" in document:
        document = json.loads(_blob(folder, document["manifests"][0]))
    config = json.loads(_blob(folder, document["config"]))
    layers = [_uncompressed(_blob(folder, descriptor)) for descriptor in document["layers"] or ()]
    found = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    assert found == (config["rootfs"]["diff_ids"] or []), "the diff ids are not those of the layers"
    return Image(config, layers)


def _blob(folder: Path, descriptor: dict[str, Any]) -> bytes:
    algorithm, _, value = descriptor["digest"].partition(":")
    data = (folder / "blobs" / algorithm / value).read_bytes()
    assert len(data) == descriptor["size"], f"{descriptor['digest']} has another size"
    assert hashlib.new(algorithm, data).hexdigest() == value, f"{descriptor['digest']} is damaged"
    return data


def _uncompressed(data: bytes) -> bytes:
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def apply(layer: bytes, tree: Tree) -> None:
    """Apply one layer to `tree`.

    Source: OCI image-spec, layer.md ("Applying Changesets", "Whiteouts").
    """
    with tarfile.open(fileobj=io.BytesIO(layer), mode="r:") as archive:
        written: set[str] = set()
        for member in archive:
            path = "/" + member.name.strip("/").removeprefix("./").removeprefix(".")
            parent, _, name = path.rpartition("/")
            if name == OPAQUE:
                _remove_below(tree, parent, written)
            elif name.startswith(WHITEOUT):
                hidden = f"{parent}/{name.removeprefix(WHITEOUT)}"
                tree.pop(hidden, None)
                _remove_below(tree, hidden, written)
            elif path != "/":
                entry = _entry(archive, member, tree)
                if entry["type"] != "directory":
                    _remove_below(tree, path, written)
                tree[path] = entry
                written.add(path)


def _remove_below(tree: Tree, path: str, but: set[str]) -> None:
    prefix = path + "/"
    for gone in [known for known in tree if known.startswith(prefix) and known not in but]:
        del tree[gone]


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo, tree: Tree) -> Entry:
    if member.type == tarfile.LNKTYPE:
        target = "/" + member.linkname.strip("/")
        # Both names become one entry's: what is said of one holds for the other.
        entry = tree[target]
        entry["group"] = entry.get("group", target)
        return entry
    entry = {
        "type": TYPES[member.type],
        "mode": f"{member.mode & 0o7777:04o}",
        "uid": member.uid,
        "gid": member.gid,
        "mtime": int(member.mtime),
    }
    if member.issym():
        entry["link"] = member.linkname
        del entry["mode"]
    if member.isreg():
        file = archive.extractfile(member)
        assert file is not None
        entry["data"] = file.read()
    xattrs = {
        key.removeprefix(XATTR): value.encode("utf-8", "surrogateescape").hex()
        for key, value in member.pax_headers.items()
        if key.startswith(XATTR)
    }
    if xattrs:
        entry["xattrs"] = xattrs
    return entry
