"""Files that stand in the Dockerfile itself: the here-documents of COPY."""

from __future__ import annotations

import os
import stat
import time

from builder.source.listing import listing_digest
from builder.source.stream import Object

MODE = 0o644


def inline_object(path: bytes, data: bytes) -> Object:
    """Return the object that a here-document becomes at `path`; its time is now, in whole seconds."""
    now = int(time.time())
    fields = (stat.S_IFREG | MODE, 0, 0, 1, 0, 0, len(data), now, now, now)
    status = os.stat_result(fields, {"st_mtime_ns": now * 1_000_000_000})
    found = Object(path, -1, os.fsdecode(path.rpartition(b"/")[2]), status)
    found.inline = data
    return found


def inline_digest(data: bytes) -> bytes:
    """Return what counts about a here-document, as the listing of one file: 32 bytes."""
    from hashlib import sha256

    return listing_digest([("", stat.S_IFREG | MODE, 0, 0, sha256(data).digest(), ())])


def inline_file(data: bytes) -> int:
    """Return a descriptor from which the data can be read; the caller closes it."""
    fd = os.memfd_create("here-document", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
