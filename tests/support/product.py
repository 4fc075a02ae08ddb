"""The command line of the product, for one user with a store of their own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.support.unprivileged import Person


class Product:
    """`lapstrake` as `person` types it, after the words `prefix`; the store is below `root`."""

    def __init__(
        self, programs: Path, root: Path, person: Person, prefix: tuple[str, ...] = ()
    ) -> None:
        self.prefix = prefix
        self.programs = programs
        self.root = root
        self.person = person

    def command(self, *arguments: str | Path) -> list[str]:
        """Return the argument vector of one command."""
        return [
            *self.prefix,
            str(self.programs / "lapstrake"),
            "--root",
            str(self.root),
            *(str(argument) for argument in arguments),
        ]

    def run(
        self, *arguments: str | Path, stdin: str | None = None, code: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run one command and check that it ends with `code`; None accepts any."""
        done = self.person.run(self.command(*arguments), stdin=stdin)
        if code is not None:
            assert done.returncode == code, report(done)
        return done

    def build(self, context: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Build `context`, with plain progress on the captured standard error."""
        return self.run("build", "--progress", "plain", *arguments, context)

    def inspect(self, name: str) -> dict[str, Any]:
        """Return what `inspect` says of one image."""
        (found,) = json.loads(self.run("inspect", name).stdout)
        return dict(found)


def report(done: subprocess.CompletedProcess[str]) -> str:
    """Say in full how a command ended, for the message of a failed assertion."""
    words = " ".join(str(word) for word in done.args)
    return f"{words}\nended with {done.returncode}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
