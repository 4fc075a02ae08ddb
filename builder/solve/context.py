"""The build contexts of one build: where each lies and what its ignore rules are."""

from __future__ import annotations

import msgspec

from builder.oci.sha256 import sha256


class LocalContext(msgspec.Struct, frozen=True, kw_only=True):
    """A directory read in place; host path, and the text and name of its ignore file ("" for none)."""

    root: str
    ignore: str = ""
    ignore_name: str = ".dockerignore"

    def known_path(self, store_root: str) -> str:
        """Return the host path of what the store remembers about this context's files."""
        name = sha256(self.root.encode("utf-8", "surrogateescape")).hex()
        return f"{store_root}/contexts/{name}"
