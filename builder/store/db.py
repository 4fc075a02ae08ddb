"""The index: names, images, layers, forms and cache records, in SQLite.

The authority of the store; blobs, entry lists and directories are only what it points to. The only user of
`sqlite3`. Every write is one transaction, committed when the `with` block ends; a killed process leaves the
state before it. Journal mode is write-ahead where the file system allows it.

Source: sqlite.org/wal.html, sqlite.org/pragma.html.
"""

from __future__ import annotations

import os
import sqlite3
from _thread import RLock  # `threading` is on no cached build's way
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from builder.errors import StoreError
from builder.store import schema

BUSY_SECONDS = 30.0

_FILE_KINDS = frozenset(
    {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}
)
_LITTLE = 1 << 16
"""Bytes: SQLite extends its files by a few pages at once."""


class Database:
    """One connection, shared by the threads of this process under a lock.

    Raises: StoreError: `store.newer-schema`, `store.busy`, `store.no-space` or `store.corrupt`.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = RLock()
        self._depth = 0
        with _translated(path):
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version != schema.VERSION:
                self._bring_up_to_date()
            self._connection.execute("PRAGMA synchronous=NORMAL")

    def _bring_up_to_date(self) -> None:
        """Make the tables, or those of an older version into ours; all of it or nothing."""
        # WAL fails on some network file systems; SQLite then stays with its rollback journal.
        self._connection.execute("PRAGMA journal_mode=WAL")
        with self.transaction():
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version > schema.VERSION:
                raise StoreError(
                    f"the store was written by a newer lapstrake (schema {version}, known: {schema.VERSION})",
                    code="store.newer-schema",
                    hint="use that version, or another store with `--root DIR`",
                )
            changes = [schema.TABLES] if version == 0 else []
            changes += [text for old, text in schema.MIGRATIONS.items() if 0 < version <= old]
            for statement in "".join(changes).split(";"):
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version={schema.VERSION}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all that is executed within at once, or nothing of it; may be nested."""
        with self._lock, _translated(self._path):
            if self._depth == 0:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                if self._depth == 1:
                    self._connection.execute("COMMIT")
            except BaseException:
                # After some errors, such as a full disk, SQLite has rolled back already.
                if self._depth == 1 and self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> None:
        """Run one statement that returns nothing."""
        with self._lock, _translated(self._path):
            self._connection.execute(statement, parameters)

    def row(self, statement: str, parameters: Sequence[object] = ()) -> tuple[object, ...] | None:
        """Return the first row, or None."""
        with self._lock, _translated(self._path):
            found: tuple[object, ...] | None = self._connection.execute(
                statement, parameters
            ).fetchone()
            return found

    def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Return all rows."""
        with self._lock, _translated(self._path):
            return self._connection.execute(statement, parameters).fetchall()

    def close(self) -> None:
        """Close the connection; nothing may be executed after it."""
        with self._lock:
            self._connection.close()


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except sqlite3.DatabaseError as error:
        raise _refusal(error, path) from error


def _refusal(error: sqlite3.DatabaseError, path: str) -> StoreError:
    """Return what to say about an error; SQLite names one of a few kinds in the low byte of its code."""
    kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(
            "the store is busy",
            code="store.busy",
            notes=(f"another process kept it locked for {BUSY_SECONDS:.0f} seconds",),
            hint="wait for the other command, or use another store with `--root DIR`",
        )
    if kind == sqlite3.SQLITE_FULL or (kind in _FILE_KINDS and _is_full(path)):
        return StoreError(
            "no space is left for the store's index",
            code="store.no-space",
            notes=(str(error),),
            hint="free some space, or run `lapstrake prune`",
        )
    if kind in _FILE_KINDS:
        return StoreError(
            f"the store's index `{path}` cannot be used: {error}",
            code="store.unusable",
            hint="check who owns it and whether the disk is in order, or name another store with `--root DIR`",
        )
    return StoreError(
        f"the store's index is damaged: {error}",
        code="store.corrupt",
        hint="move the store away, or name another with `--root DIR`",
    )


def _is_full(path: str) -> bool:
    """Tell whether the file system has room for no more data, or for no more files."""
    found = os.statvfs(os.path.dirname(path))
    no_files = found.f_files > 0 and found.f_favail == 0
    return no_files or found.f_bavail * found.f_frsize < _LITTLE
