"""Where blobs of the store have been seen: a registry that has one in a repository gives it to another for the asking."""

from __future__ import annotations

import time
from collections.abc import Iterable

from builder.oci.digest import Digest
from builder.store.db import Database


class Homes:
    """What the database knows of that; a registry is called as in references."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def remember(self, digests: Iterable[Digest], registry: str, repository: str) -> None:
        """Remember that a repository has blobs."""
        seen = time.time()
        with self._db.transaction():
            for digest in digests:
                self._db.execute(
                    "INSERT OR REPLACE INTO homes (digest, registry, repository, seen)"
                    " VALUES (?, ?, ?, ?)",
                    (digest, registry, repository, seen),
                )

    def repository(self, digest: Digest, registry: str, besides: str) -> str | None:
        """Return the repository of a registry where a blob was seen last, another one than `besides`."""
        row = self._db.row(
            "SELECT repository FROM homes WHERE digest = ? AND registry = ? AND repository != ?"
            " ORDER BY seen DESC LIMIT 1",
            (digest, registry, besides),
        )
        return None if row is None else str(row[0])

    def forget_others(self, kept: frozenset[str]) -> None:
        """Forget the blobs that are not among those kept, by digest."""
        for (digest,) in self._db.rows("SELECT DISTINCT digest FROM homes"):
            if digest not in kept:
                self._db.execute("DELETE FROM homes WHERE digest = ?", (str(digest),))
