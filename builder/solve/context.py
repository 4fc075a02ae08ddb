"""The build contexts of one build: where each lies and what its ignore rules are."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

import msgspec

from builder.graph.keys import framed_digest
from builder.graph.operations import CopyOp, CopySource, GitSource, HttpSource, Unpack
from builder.oci.sha256 import sha256


class Origin(Enum):
    """Where the files of a directory are from, which decides what ADD does to archives among them.

    SCRATCH is a context that was unpacked for this build alone: nothing of it is worth remembering.
    """

    CONTEXT = "context"
    SCRATCH = "scratch"
    DOWNLOAD = "download"
    CHECKOUT = "checkout"


class LocalContext(msgspec.Struct, frozen=True, kw_only=True):
    """A directory read in place; host path, and the text and name of its ignore file ("" for none).

    `owners` is a host file with the owners of what was unpacked, by path; "" where all is root's.
    """

    root: str
    owners: str = ""
    ignore: str = ""
    ignore_name: str = ".dockerignore"
    origin: Origin = Origin.CONTEXT

    def known_path(self, store_root: str, op: CopyOp, source: CopySource) -> str:
        """Return the host path of what the store remembers about this context's files, "" if nothing.

        Patterns of the instruction hide files of their own, so that what is known is kept apart.
        """
        if self.origin is Origin.SCRATCH:
            return ""
        name = sha256(self.root.encode("utf-8", "surrogateescape")).hex()
        if op.exclude or op.parents:
            name += "-" + framed_digest((op.exclude, op.parents, source.paths))[:16]
        return f"{store_root}/contexts/{name}"

    def unpacks(self, op: CopyOp) -> bool:
        """Tell whether archives among the files are unpacked: local ones, and downloads if that is asked for."""
        match self.origin:
            case Origin.CONTEXT | Origin.SCRATCH:
                return op.unpack is not Unpack.NEVER
            case Origin.DOWNLOAD:
                return op.unpack is Unpack.ALWAYS
            case Origin.CHECKOUT:
                return False


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """A remote source that is here now; `cached` tells that nothing had to be moved."""

    context: LocalContext
    cached: bool
    note: str = ""


class Remotes(Protocol):
    """Where downloads and checkouts come from; callable from many threads."""

    def here(self, op: HttpSource | GitSource) -> LocalContext | None:
        """Return what is here already and needs no question whether it is still right, else None."""

    def fetch(
        self,
        op: HttpSource | GitSource,
        *,
        progress: Callable[[str, int, int | None], None],
        log: Callable[[bytes], None],
    ) -> Fetched:
        """Have a source here, asking whether it has changed; idempotent.

        What is returned stays as it is for as long as the store is in use. `progress` takes an item with its
        bytes done and in all, `log` what a program says.

        Raises: SourceError: it cannot be had, or is not what was asked for. Cancelled.
        """
