"""The tables of the index, and how those of older versions become them.

A change gets a new number, a step in `MIGRATIONS` and an index of the version before in `fixtures/stores/`.
Columns and tables are only added, with defaults: a process of the older version that has the store open goes on.
"""

from __future__ import annotations

VERSION = 6

TABLES = """
CREATE TABLE layers (
    diff_id TEXT PRIMARY KEY, content_id TEXT NOT NULL, size INTEGER NOT NULL, entries INTEGER NOT NULL,
    created REAL NOT NULL, boot TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX layers_by_content ON layers (content_id);
CREATE TABLE directories (
    diff_id TEXT NOT NULL, base TEXT NOT NULL, name TEXT NOT NULL, boot TEXT NOT NULL,
    bytes INTEGER NOT NULL DEFAULT -1, PRIMARY KEY (diff_id, base)
) WITHOUT ROWID;
CREATE TABLE blobs (
    diff_id TEXT NOT NULL, compression TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL,
    media_type TEXT NOT NULL, pulled INTEGER NOT NULL, PRIMARY KEY (diff_id, compression)
) WITHOUT ROWID;
CREATE TABLE images (
    id TEXT PRIMARY KEY, manifest TEXT, created REAL NOT NULL, size INTEGER NOT NULL,
    layers TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE names (
    reference TEXT PRIMARY KEY, image TEXT NOT NULL, digest TEXT
) WITHOUT ROWID;
CREATE TABLE platforms (
    reference TEXT NOT NULL, platform TEXT NOT NULL, image TEXT NOT NULL, manifest TEXT,
    PRIMARY KEY (reference, platform)
) WITHOUT ROWID;
CREATE INDEX platforms_by_image ON platforms (image);
CREATE TABLE origins (
    image TEXT PRIMARY KEY, base TEXT, digest TEXT, statements BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE homes (
    digest TEXT NOT NULL, registry TEXT NOT NULL, repository TEXT NOT NULL, seen REAL NOT NULL,
    PRIMARY KEY (digest, registry, repository)
) WITHOUT ROWID;
CREATE TABLE records (
    key TEXT NOT NULL, base TEXT NOT NULL, diff_id TEXT NOT NULL, observations BLOB NOT NULL,
    parts BLOB NOT NULL, created REAL NOT NULL, used REAL NOT NULL,
    seconds REAL NOT NULL DEFAULT 0, project TEXT NOT NULL DEFAULT '', PRIMARY KEY (key, base)
) WITHOUT ROWID;
CREATE TABLE selections (
    state TEXT NOT NULL, request TEXT NOT NULL, contents TEXT NOT NULL, PRIMARY KEY (state, request)
) WITHOUT ROWID;
CREATE TABLE parses (
    digest TEXT PRIMARY KEY, value BLOB NOT NULL
) WITHOUT ROWID;
"""

MIGRATIONS = {
    1: """
ALTER TABLE records ADD COLUMN seconds REAL NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN project TEXT NOT NULL DEFAULT '';
ALTER TABLE directories ADD COLUMN bytes INTEGER NOT NULL DEFAULT -1;
""",
    2: """
CREATE TABLE platforms (
    reference TEXT NOT NULL, platform TEXT NOT NULL, image TEXT NOT NULL, manifest TEXT,
    PRIMARY KEY (reference, platform)
) WITHOUT ROWID;
CREATE INDEX platforms_by_image ON platforms (image);
""",
    3: """
CREATE TABLE origins (
    image TEXT PRIMARY KEY, base TEXT, digest TEXT, statements BLOB NOT NULL
) WITHOUT ROWID;
""",
    4: """
ALTER TABLE images ADD COLUMN layers TEXT NOT NULL DEFAULT '';
""",
    5: """
CREATE TABLE homes (
    digest TEXT NOT NULL, registry TEXT NOT NULL, repository TEXT NOT NULL, seen REAL NOT NULL,
    PRIMARY KEY (digest, registry, repository)
) WITHOUT ROWID;
""",
}
"""By version: what makes the next one of it."""
