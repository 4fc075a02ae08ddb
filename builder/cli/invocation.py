"""What every verb is given: where the settings, the engine and the streams come from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING

from builder.cli.interruption import Interruption
from builder.diagnostics import Diagnostic, Severity
from builder.settings import Settings, current
from builder.ui.style import palette_for

if TYPE_CHECKING:
    from builder.engine import Engine
    from builder.ui.progress import Watched
    from runtime.launch import Launcher

OpenEngine = Callable[[Settings, "Launcher | None"], AbstractContextManager["Engine"]]


class Invocation:
    """One run of the program; `root` is what `--root` said, `machine` whether errors are JSON.

    Tests hand in `open_engine`; otherwise the engine is imported when a verb asks for it.
    """

    def __init__(
        self, launcher: Launcher | None = None, open_engine: OpenEngine | None = None
    ) -> None:
        self.launcher = launcher
        self.root: str | None = None
        self.machine = False
        self.interruption = Interruption()
        self._open_engine = open_engine
        self._settings: Settings | None = None
        self._adjustments: list[Callable[[Settings], Settings]] = []

    @property
    def settings(self) -> Settings:
        """The settings, read when first asked for.

        Raises: UsageError: a variable holds a value that cannot be meant.
        """
        if self._settings is None:
            settings = current(self.root)
            for change in self._adjustments:
                settings = change(settings)
            self._settings = settings
        return self._settings

    def change(self, settings: Settings) -> None:
        """Put settings that flags have changed in the place of those of the environment."""
        self._settings = settings

    def adjust(self, change: Callable[[Settings], Settings]) -> None:
        """Have the settings changed once they are read: flags come in any order, `--root` among them."""
        if self._settings is None:
            self._adjustments.append(change)
        else:
            self._settings = change(self._settings)

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """Open the engine; while it is open, signals cancel what it does."""
        open_engine = self._open_engine
        if open_engine is None:
            from builder.engine import Engine

            open_engine = Engine.open
        with (
            open_engine(self.settings, self.launcher) as engine,
            self.interruption.cancels(engine),
        ):
            yield engine

    @contextmanager
    def progress(self, mode: str | None = None, *, title: str) -> Iterator[Watched]:
        """Open the sink for events on standard error, in a mode or in the one of the environment."""
        from builder.ui.progress import open_progress

        chosen = mode or self.settings.progress
        with open_progress(chosen, sys.stderr, self.settings, title=title) as progress:
            yield progress

    def tell(self, diagnostic: Diagnostic) -> None:
        """Show a diagnostic on standard error."""
        from builder.ui.diagnostic import render

        if self.machine:
            from builder.ui.rawjson import render_diagnostic

            text = render_diagnostic(diagnostic)
        else:
            palette = palette_for(sys.stderr, self.settings)
            text = render(diagnostic, palette=palette, columns=_columns())
        with suppress(OSError):  # a full or broken standard error: the exit code has to say it
            sys.stderr.write(text)

    def tell_all(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Show several diagnostics, on a terminal or in a log with an empty line between them."""
        for index, diagnostic in enumerate(diagnostics):
            if index and not self.machine:
                with suppress(OSError):
                    sys.stderr.write("\n")
            self.tell(diagnostic)

    def note(self, message: str) -> None:
        """Tell something that changes nothing, such as a flag that has no effect."""
        self.tell(Diagnostic(severity=Severity.NOTE, code="", message=message))

    def show(self, text: str) -> None:
        """Write lines that may hold what others have written; on a terminal they cannot do more than be read."""
        from builder.ui.style import is_terminal

        if is_terminal(sys.stdout):
            from builder.ui.cells import neutral

            text = "\n".join(map(neutral, text.split("\n")))
        elif not text.isascii():  # bytes that are no text
            text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        sys.stdout.write(text)

    def say(self, line: str) -> None:
        """Write one line of a result to standard output."""
        sys.stdout.write(line + "\n")


def _columns() -> int:
    import os

    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 120
    except (OSError, ValueError):
        return 120
