"""What a directory on this host cannot have of an image, or should not: counted, with the first names."""

from __future__ import annotations

import msgspec

from builder.diagnostics import Diagnostic, Severity

_SHOWN = 5


class Named(msgspec.Struct):
    """How many there are, and the first few of their paths."""

    count: int = 0
    first: list[str] = []

    def add(self, path: bytes) -> None:
        """Count one more, by its path in the root file system."""
        self.count += 1
        if len(self.first) < _SHOWN:
            text = path.decode("utf-8", "backslashreplace")
            self.first.append("".join(each if each.isprintable() else "?" for each in text))

    def shown(self) -> str:
        """Return the names as they stand in a message."""
        listed = ", ".join(f"`{each}`" for each in self.first)
        more = self.count - len(self.first)
        return f"{listed} and {more} more" if more else listed


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """Devices, which are not there, and files that lack set-id bits or capabilities."""

    devices: Named
    set_id: Named
    capabilities: Named

    def warning(self, dest: str) -> Diagnostic | None:
        """Return what to say of it, None where nothing was left out; `dest` is what the output is called."""
        notes = []
        if self.devices.count:
            notes.append(f"devices: {self.devices.shown()}")
        if self.set_id.count:
            notes.append(f"the set-id bits of {self.set_id.shown()}")
        if self.capabilities.count:
            notes.append(f"the capabilities of {self.capabilities.shown()}")
        if not notes:
            return None
        return Diagnostic(
            severity=Severity.WARNING,
            code="export.left-out",
            message=f"`{dest}` is without some of what is in the image",
            notes=tuple(notes),
            hint="use `type=tar` where they are needed",
        )
