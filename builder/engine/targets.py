"""The platforms that a build is for: as asked, as the environment says, or this machine's."""

from __future__ import annotations

from builder.engine.requests import BuildRequest
from builder.oci.platform import Platform
from builder.settings import Settings


def targets(request: BuildRequest, settings: Settings) -> tuple[Platform, ...]:
    """Return what is asked for in normal form, each once; nothing stands for the host alone.

    Raises: ReferenceInvalid: a word is no platform.
    """
    given = request.platforms or (settings.default_platform or "").split(",")
    words = [word for each in given if (word := each.strip())]
    found = [Platform.host() if word == "local" else Platform.parse(word) for word in words]
    return tuple(dict.fromkeys(found))
