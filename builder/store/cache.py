"""Cache records: from a key to the layer that one execution gave.

A record also keeps what the execution observed of the state below it; it holds above that very state, and
above any other in which the same is observed.
"""

from __future__ import annotations

import time
from typing import TypeVar, cast

import msgspec

from builder.errors import StoreError
from builder.graph.keys import CacheKey, KeyPart
from builder.oci.sha256 import sha256
from builder.store.db import Database

T = TypeVar("T")


class Observation(msgspec.Struct, frozen=True, array_like=True):
    """What a step saw at a path of the state below it.

    `seen` is "absent", "file", "directory", "link TARGET" or, of a user or group file, the ids looked up.
    """

    path: str
    seen: str


class CacheRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One execution: its layer, the state below (`base`) and what was observed of it.

    `created` and `used` are in seconds since the epoch; `seconds` is what it took, 0 where nobody knows.
    """

    base: str
    diff_id: str
    observations: tuple[Observation, ...]
    parts: tuple[KeyPart, ...]
    created: float
    used: float
    seconds: float


class Journal:
    """What a build found and recorded, for those who share it: keys with bases, and selections with contents."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], None] = {}
        self.selections: dict[tuple[str, str], str] = {}

    def note(self, key: str, base: str) -> None:
        """Take a record; callable from many threads."""
        self.records[key, base] = None


class CacheIndex:
    """The local cache records; `project` is what new ones are said to belong to, `journal` is told what is used."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._used: list[tuple[str, str]] = []
        self.project = ""
        self.recording = True
        """Whether new records are kept."""
        self.journal: Journal | None = None

    def lookup(self, key: str) -> tuple[CacheRecord, ...]:
        """Return the records of a key, the newest first."""
        rows = self._db.rows(
            "SELECT base, diff_id, observations, parts, created, used, seconds FROM records"
            " WHERE key = ? ORDER BY created DESC",
            (key,),
        )
        return tuple(
            CacheRecord(
                base=str(base),
                diff_id=str(diff_id),
                observations=_decoded(_OBSERVATIONS, observations),
                parts=_decoded(_PARTS, parts),
                created=cast("float", created),
                used=cast("float", used),
                seconds=cast("float", seconds),
            )
            for base, diff_id, observations, parts, created, used, seconds in rows
        )

    def find(self, key: str, base: str) -> tuple[str, float] | None:
        """Return the diff id recorded for a key above this very state, if any, and when it was executed."""
        row = self._db.row(
            "SELECT diff_id, used, created FROM records WHERE key = ? AND base = ?", (key, base)
        )
        if row is None:
            return None
        if self.journal is not None:
            self.journal.note(key, base)
        if cast("float", row[1]) < time.time() - _GRAIN:
            self._used.append((key, base))
        return str(row[0]), cast("float", row[2])

    def remember_use(self) -> None:
        """Commit which records have been found since the last time: what is of use is kept longer."""
        found, self._used = self._used, []
        if found:
            now = time.time()
            with self._db.transaction():
                for key, base in found:
                    self._db.execute(
                        "UPDATE records SET used = ? WHERE key = ? AND base = ?", (now, key, base)
                    )

    def record(
        self,
        key: CacheKey,
        base: str,
        diff_id: str,
        observations: tuple[Observation, ...],
        seconds: float = 0.0,
        *,
        created: float | None = None,
    ) -> None:
        """Commit a record at once; the newest execution above the same state wins.

        `created` is when it was executed, in seconds since the epoch: now, unless it is told.
        """
        if not self.recording:
            return
        now = time.time()
        self._db.execute(
            "INSERT OR REPLACE INTO records"
            " (key, base, diff_id, observations, parts, created, used, seconds, project)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                key.digest,
                base,
                diff_id,
                msgspec.msgpack.encode(observations),
                msgspec.msgpack.encode(key.parts),
                now if created is None else created,
                now,
                seconds,
                self.project,
            ),
        )
        if self.journal is not None:
            self.journal.note(key.digest, base)

    def selection(self, state: str, request: str) -> str | None:
        """Return the remembered digest of what `request` selects in a state."""
        row = self._db.row(
            "SELECT contents FROM selections WHERE state = ? AND request = ?", (state, request)
        )
        if row is None:
            return None
        if self.journal is not None:
            self.journal.selections[state, request] = str(row[0])
        return str(row[0])

    def remember_selection(self, state: str, request: str, contents: str) -> None:
        """Remember the digest of what `request` selects in a state."""
        if self.journal is not None:
            self.journal.selections[state, request] = contents
        self._db.execute(
            "INSERT OR REPLACE INTO selections (state, request, contents) VALUES (?, ?, ?)",
            (state, request, contents),
        )

    def parsed(self, digest: str) -> bytes | None:
        """Return the remembered result of reading a Dockerfile with this digest."""
        row = self._db.row("SELECT value FROM parses WHERE digest = ?", (digest,))
        if row is None or not isinstance(row[0], bytes):
            return None
        check, value = row[0][:_CHECK], row[0][_CHECK:]
        return value if _check(digest, value) == check else None

    def remember_parsed(self, digest: str, value: bytes) -> None:
        """Remember the result of reading a Dockerfile.

        It decides what is executed, and SQLite does not notice wrong bytes: so it is kept with a digest.
        """
        self._db.execute(
            "INSERT OR REPLACE INTO parses (digest, value) VALUES (?, ?)",
            (digest, _check(digest, value) + value),
        )


_OBSERVATIONS = msgspec.msgpack.Decoder(tuple[Observation, ...])
_PARTS = msgspec.msgpack.Decoder(tuple[KeyPart, ...])


_CHECK = 16
"""Bytes."""

_GRAIN = 3600.0
"""Seconds: how much later a use must be for being written down."""


def _check(digest: str, value: bytes) -> bytes:
    return sha256(digest.encode() + value)[:_CHECK]


def _decoded(decoder: msgspec.msgpack.Decoder[T], value: object) -> T:
    try:
        if isinstance(value, bytes):
            return decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise _damaged() from error
    raise _damaged()


def _damaged() -> StoreError:
    return StoreError(
        "the store's index is damaged: a cache record cannot be read",
        hint="move the store away, or name another with `--root DIR`",
    )
