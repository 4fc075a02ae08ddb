"""Named contexts: what `--build-context name=…` puts in the place of stages and images of that name.

        base=../base                 the files of a directory
        alpine=docker-image://…      another image

Source: Docker's reference, "docker buildx build --build-context".
"""

from __future__ import annotations

from builder.errors import ReferenceInvalid
from builder.oci.reference import Reference

LOCAL = "local"
IMAGE = "image:"
"""Kinds: files, which the engine knows by the name, or an image, by the reference that follows."""

_RESERVED = frozenset({"context", "scratch"})


class NamedContexts:
    """The named contexts of a request, by name as Docker compares names: without `:latest`.

    A name may end in `::` and a platform, and then counts for that one only.
    """

    def __init__(self, given: tuple[tuple[str, str], ...]) -> None:
        self._kinds: dict[str, tuple[str, str]] = {}
        for name, kind in given:
            plain, separator, platform = name.partition("::")
            self._kinds[_familiar(plain) + separator + platform] = (name, kind)

    def find(self, name: str, platform: str) -> tuple[str, str] | None:
        """Return the name as it was given, and the kind, of what takes the place of a stage or image."""
        if not self._kinds or name.lower() in _RESERVED:
            return None
        familiar = _familiar(name)
        return self._kinds.get(f"{familiar}::{platform}") or self._kinds.get(familiar)


def _familiar(name: str) -> str:
    try:
        return Reference.parse(name).familiar().removesuffix(":latest")
    except ReferenceInvalid:
        return name
