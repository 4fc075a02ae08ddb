"""Whether a layer's entry list and directory form are what was recorded, as a job: rootless trees have owners of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec

from builder.errors import LapstrakeError
from builder.layer.entries import read_entries, read_summary
from builder.layer.entry import CONTENT_ID_PREFIX, identity
from builder.layer.materialise import pack_directory, verify_directory


class ProveEntries(msgspec.Struct, frozen=True, kw_only=True):
    """Read an entry list, which ends with a digest of what it lists."""

    entries_path: str


class ProveDirectory(msgspec.Struct, frozen=True, kw_only=True):
    """Read a directory form, all of it; `diff_id` is that of its tar, "" where it never gives the tar again."""

    entries_path: str
    root: str
    diff_id: str


def prove_entries(
    arguments: object, fds: tuple[int, ...], report: Callable[[object], object]
) -> object:
    """Do `ProveEntries`.

    Returns: `refused`, what is wrong, "" where nothing is.
    """
    del fds, report
    request = msgspec.convert(arguments, ProveEntries)
    digest = hashlib.sha256(CONTENT_ID_PREFIX)
    try:
        for entry in read_entries(request.entries_path):
            digest.update(identity(entry))
        wanted = read_summary(request.entries_path)[0]
    except FileNotFoundError:
        return {"refused": "it is missing"}
    except (OSError, LapstrakeError, ValueError) as error:
        return {"refused": str(error) or type(error).__name__}
    same = digest.hexdigest() == wanted
    return {"refused": "" if same else "it lists other contents than were written"}


def prove_directory(
    arguments: object, fds: tuple[int, ...], report: Callable[[object], object]
) -> object:
    """Do `ProveDirectory`.

    Returns: `refused`, what is wrong, "" where nothing is.
    """
    del fds, report
    request = msgspec.convert(arguments, ProveDirectory)
    try:
        # What the entries say of the files, and then whether it is these entries of which the tar was made.
        verify_directory(request.entries_path, request.root)
        if not request.diff_id:
            return {"refused": ""}
        found, _ = pack_directory(request.entries_path, request.root, len)
    except (OSError, LapstrakeError) as error:
        return {"refused": str(error) or type(error).__name__}
    same = found == request.diff_id
    return {"refused": "" if same else "its files are not those that were recorded"}
