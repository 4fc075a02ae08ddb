"""A look into a step of a build, in this process."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from builder.containers.foreground import Streams
from builder.diagnostics import Diagnostic
from builder.engine.requests import DebugRequest
from tests.build.workshop import Workshop


class Looked:
    """What a look into a step gave."""

    def __init__(self, workshop: Workshop, *argv: str, **request: Any) -> None:
        self.told: list[Diagnostic] = []
        with tempfile.TemporaryFile() as out, open(os.devnull, "rb") as nothing:
            streams = Streams(stdin=nothing.fileno(), stdout=out.fileno(), stderr=out.fileno())
            asked = DebugRequest(argv=argv, **request)
            self.code = workshop.engine.debug(asked, streams, self.told.append)
            out.seek(0)
            self.out = out.read().decode()

    @property
    def said(self) -> str:
        """All remarks."""
        return "\n".join(word for each in self.told for word in (each.message, *each.notes))
