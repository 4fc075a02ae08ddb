"""A reader of eStargz that knows nothing of ours: it goes by the footer and the table, as a lazy snapshotter does."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zlib
from typing import Any

FOOTER = 51


def table_offset(blob: bytes) -> int:
    """Return where the table's gzip member begins, from the blob's last bytes."""
    footer = blob[-FOOTER:]
    assert footer[:4] == b"\x1f\x8b\x08\x04"
    assert int.from_bytes(footer[10:12], "little") == 26
    assert footer[12:14] == b"SG"
    assert int.from_bytes(footer[14:16], "little") == 22
    assert footer[32:38] == b"STARGZ"
    assert zlib.decompress(footer, 31) == b""
    return int(footer[16:32], 16)


def table_bytes(blob: bytes) -> bytes:
    """Return the table of contents as it stands in the blob."""
    unpacked = zlib.decompressobj(31).decompress(blob[table_offset(blob) : -FOOTER])
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
        (member,) = archive.getmembers()
        assert member.name == "stargz.index.json"
        file = archive.extractfile(member)
        assert file is not None
        return file.read()


class Stargz:
    """A blob, opened by its table, each byte of which is checked against `digest`."""

    def __init__(self, blob: bytes, digest: str) -> None:
        raw = table_bytes(blob)
        assert "sha256:" + hashlib.sha256(raw).hexdigest() == digest
        table = json.loads(raw)
        assert table["version"] == 1
        self._blob = blob
        self._lines: list[dict[str, Any]] = table["entries"]
        self.entries = {each["name"]: each for each in self._lines if each["type"] != "chunk"}

    def read(self, name: str) -> bytes:
        """Read one file, and nothing but its own gzip members."""
        entry = self.entries[name]
        assert entry["type"] == "reg"
        size = entry.get("size", 0)
        lines = [each for each in self._lines if each["name"] == name] if size else []
        data = b""
        for line in lines:
            assert line.get("chunkOffset", 0) == len(data)
            length = line.get("chunkSize", 0) or size - len(data)
            piece = zlib.decompressobj(31).decompress(self._blob[line["offset"] :], length)
            assert len(piece) == length
            assert "sha256:" + hashlib.sha256(piece).hexdigest() == line["chunkDigest"]
            data += piece
        assert len(data) == size
        assert "sha256:" + hashlib.sha256(data).hexdigest() == entry["digest"]
        return data
