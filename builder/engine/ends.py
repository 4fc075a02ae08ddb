"""Where images are copied from and to, as people write it: `oci:PATH:TAG`, `docker://REFERENCE` and so on.

Source: containers-transports(5), whose spellings these are.
"""

from __future__ import annotations

import msgspec

from builder.errors import UsageError
from builder.oci.digest import Digest
from builder.oci.reference import Reference


class InRegistry(msgspec.Struct, frozen=True):
    """`docker://REFERENCE`."""

    reference: Reference

    def __str__(self) -> str:
        return f"docker://{self.reference.familiar()}"


class InLayout(msgspec.Struct, frozen=True):
    """`oci:PATH[:NAME|@DIGEST]`: a directory that is an OCI layout; a host path."""

    path: str
    name: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        return f"oci:{self.path}{_suffix(self.name, self.digest)}"


class InLayoutArchive(msgspec.Struct, frozen=True):
    """`oci-archive:PATH[:NAME|@DIGEST]`: the same as a tar, which may be compressed; a host path."""

    path: str
    name: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        return f"oci-archive:{self.path}{_suffix(self.name, self.digest)}"


class InDockerArchive(msgspec.Struct, frozen=True):
    """`docker-archive:PATH[:REFERENCE]`: what `docker save` writes; a host path."""

    path: str
    reference: Reference | None = None

    def __str__(self) -> str:
        shown = self.reference.familiar() if self.reference else None
        return f"docker-archive:{self.path}{_suffix(shown, None)}"


class InDirectory(msgspec.Struct, frozen=True):
    """`dir:PATH`: a directory with `manifest.json` and blobs by their digits, as skopeo has it; a host path."""

    path: str

    def __str__(self) -> str:
        return f"dir:{self.path}"


class InStore(msgspec.Struct, frozen=True):
    """`store:NAME`, or a name alone: in the store. As a source it may be an id."""

    name: str

    def __str__(self) -> str:
        return self.name


End = InRegistry | InLayout | InLayoutArchive | InDockerArchive | InDirectory | InStore

_ABSENT = {
    "containers-storage": "`podman save` and `buildah push` write archives and layouts, which can be copied from",
    "docker-daemon": "use `docker save`, and copy from `docker-archive:PATH`",
    "ostree": None,
    "tarball": "use `lapstrake import`",
    "sif": None,
    "docker": "write `docker://REFERENCE`",
}


def parse_end(text: str) -> End:
    """Read what a command line says.

    Raises: UsageError: the kind of place is not available, or lacks its path. ReferenceInvalid: a name is no name.
    """
    kind, colon, rest = text.partition(":")
    if text.startswith("docker://"):
        return InRegistry(Reference.parse(text.removeprefix("docker://")))
    match kind if colon else "":
        case "oci":
            return InLayout(*_in_place(kind, rest))
        case "oci-archive":
            return InLayoutArchive(*_in_place(kind, rest))
        case "docker-archive":
            path, name, digest = _in_place(kind, rest)
            if digest is not None or (name or "").startswith("@"):
                raise UsageError("images of a `docker-archive:` are chosen by their names")
            return InDockerArchive(path, Reference.parse(name) if name else None)
        case "dir":
            if not rest:
                raise _no_path(kind)
            return InDirectory(rest)
        case "store":
            if not rest:
                raise UsageError("`store:` lacks the name of an image")
            return InStore(rest)
        case _:
            pass
    if colon and kind in _ABSENT:
        raise UsageError(f"`{kind}:` is not available", hint=_ABSENT[kind])
    return InStore(text)


def _in_place(kind: str, rest: str) -> tuple[str, str | None, Digest | None]:
    """Return path, name and digest."""
    path, at, digest = rest.partition("@")
    if at and (digest.startswith(("sha256:", "sha512:")) and ":" not in path):
        name, parsed = None, Digest(digest)
    else:
        path, _, written = rest.partition(":")
        name, parsed = written or None, None
    if not path:
        raise _no_path(kind)
    return path, name, parsed


def _no_path(kind: str) -> UsageError:
    return UsageError(f"`{kind}:` lacks a path", hint=f"write `{kind}:PATH`")


def _suffix(name: str | None, digest: Digest | None) -> str:
    return f"@{digest}" if digest else f":{name}" if name else ""
