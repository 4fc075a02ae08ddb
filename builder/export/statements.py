"""What is claimed of something, as in-toto has it; beside the files of an image where there is no manifest.

Source: in-toto attestation framework, spec/v1/statement.md; BuildKit, docs/attestations/README.md, on outputs of files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import msgspec

from builder.errors import ExportError

_STATEMENT = "https://in-toto.io/Statement/v1"

Subject = dict[str, object]


class FileClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim of the files in a tree, to be written beside them under a name."""

    name: str
    predicate_type: str
    predicate: bytes


class Subjects:
    """The regular files of a tree with their digests, in the order in which they came."""

    def __init__(self) -> None:
        self._digests: dict[bytes, bytes] = {}

    def add(self, path: bytes, digest: bytes) -> None:
        """Take a file by its path in the tree; the digest is the raw SHA-256 of its data."""
        self._digests[path] = digest

    def link(self, path: bytes, first: bytes) -> None:
        """Take another name of a file."""
        if first in self._digests:
            self._digests[path] = self._digests[first]

    def statement(self, claim: FileClaim) -> bytes:
        """Return the statement that makes a claim of these files.

        Raises: ExportError: one of them has the name of the claim.
        """
        if os.fsencode(claim.name) in self._digests:
            raise ExportError(
                f"the image has a file `{claim.name}` of its own",
                hint="say `attestation-prefix=PREFIX`",
            )
        subjects: list[Subject] = [
            {"name": path.decode("utf-8", "backslashreplace"), "digest": {"sha256": digest.hex()}}
            for path, digest in self._digests.items()
        ]
        found = statement(claim.predicate_type, claim.predicate, subjects)
        return msgspec.json.format(found, indent=2)


def statement(predicate_type: str, predicate: bytes, subjects: Iterable[Subject]) -> bytes:
    """Return a statement as JSON; `predicate` is JSON too."""
    return msgspec.json.encode(
        {
            "_type": _STATEMENT,
            "predicateType": predicate_type,
            "subject": list(subjects),
            "predicate": msgspec.Raw(predicate),
        }
    )


def file_claims(claims: Sequence[FileClaim], prefix: str, platform: str) -> list[dict[str, object]]:
    """Return claims under the names that they get, as plain data; `platform` is part of the name unless it is ""."""
    found = []
    for each in claims:
        stem, dot, end = each.name.rpartition(".")
        name = f"{stem}.{platform}{dot}{end}" if platform and dot else each.name
        renamed = msgspec.structs.replace(each, name=prefix + name)
        found.append(msgspec.to_builtins(renamed, builtin_types=(bytes,)))
    return found
