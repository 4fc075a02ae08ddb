"""An image as others would read it: the layers of an OCI archive, and the tree that they come to."""

from __future__ import annotations

import io
import json
import posixpath
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

from builder.oci.manifest import Manifest, parse_manifest
from builder.oci.validate import validate

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


class Node(NamedTuple):
    """One object: `kind` is that of tar, `link` the target of a link, `same` the path a hard link was made to."""

    kind: str
    mode: int
    uid: int
    gid: int
    data: bytes = b""
    link: str = ""
    mtime: float = 0
    xattrs: tuple[tuple[str, str], ...] = ()
    same: str = ""

    @property
    def text(self) -> str:
        """The content of a file."""
        return self.data.decode()

    @property
    def access(self) -> tuple[str, int, int]:
        """Mode in octal, and the owner."""
        return f"{self.mode:o}", self.uid, self.gid


FILE, DIRECTORY, SYMLINK, HARDLINK, FIFO = "0", "5", "2", "1", "6"

Layer = dict[str, Node]
"""Paths without a leading slash, as the archive has them; whiteouts are files here."""


class Image:
    """A built image, read from an uncompressed OCI archive and judged as a whole."""

    def __init__(self, archive: Path) -> None:
        with tarfile.open(archive) as layout:
            self._blobs = {
                "sha256:" + member.name.rpartition("/")[2]: _content(layout, member)
                for member in layout
                if member.isfile() and member.name.startswith("blobs/")
            }
            index = json.loads(_content(layout, layout.getmember("index.json")))
        manifest = parse_manifest(self._blobs[index["manifests"][0]["digest"]])
        assert isinstance(manifest, Manifest)
        validate(manifest, None, lambda digest: io.BytesIO(self._blobs[str(digest)]))
        self.manifest = manifest
        self.config_bytes = self._blobs[str(manifest.config.digest)]
        self.document: dict[str, Any] = json.loads(self.config_bytes)
        self.layers = [_layer(self._blobs[str(layer.digest)]) for layer in manifest.layers]

    @property
    def config(self) -> dict[str, Any]:
        """What the image says of its containers."""
        return dict(self.document["config"])

    @property
    def diff_ids(self) -> list[str]:
        """The layers' digests, bottom first."""
        return list(self.document["rootfs"]["diff_ids"])

    @property
    def tree(self) -> Layer:
        """What the layers come to."""
        tree: Layer = {}
        for layer in self.layers:
            _lay(layer, tree)
        return tree

    def __getitem__(self, path: str) -> Node:
        return self.tree[path]

    def __contains__(self, path: str) -> bool:
        return path in self.tree


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    assert stream is not None
    return stream.read()


def _layer(data: bytes) -> Layer:
    layer: Layer = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            path = posixpath.normpath(member.name).lstrip("/")
            layer[path] = Node(
                kind=member.type.decode(),
                mode=member.mode,
                uid=member.uid,
                gid=member.gid,
                data=_content(archive, member) if member.isreg() else b"",
                link=member.linkname,
                mtime=member.mtime,
                xattrs=tuple(
                    sorted(
                        (name.rpartition("SCHILY.xattr.")[2], value)
                        for name, value in member.pax_headers.items()
                        if "xattr" in name
                    )
                ),
            )
    return layer


def _lay(layer: Layer, tree: Layer) -> None:
    for path in layer:
        directory, name = posixpath.split(path)
        if name == OPAQUE:
            _clear(tree, directory)
        elif name.startswith(WHITEOUT):
            gone = posixpath.join(directory, name.removeprefix(WHITEOUT))
            tree.pop(gone, None)
            _clear(tree, gone)
    for path, node in layer.items():
        if posixpath.basename(path).startswith(WHITEOUT):
            continue
        if node.kind != DIRECTORY:
            _clear(tree, path)
        if node.kind == HARDLINK:
            node = tree[node.link.lstrip("/")]._replace(same=node.link.lstrip("/"))
        tree[path] = node


def _clear(tree: Layer, directory: str) -> None:
    for path in [path for path in tree if path.startswith(f"{directory}/")]:
        del tree[path]
