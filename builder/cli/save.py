"""`lapstrake save`: images to an archive that Docker and others load."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import BinaryIO

import click

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb, absent
from builder.errors import UsageError
from builder.ui.style import is_terminal


@click.command(
    "save", cls=Verb, others=absent("--platform"), short_help="Write images to a tar archive"
)
@click.option("-o", "--output", metavar="FILE", help="Write to a file, not to standard output.")
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@click.pass_obj
def command(invocation: Invocation, *, names: tuple[str, ...], output: str | None) -> None:
    """Write images to one tar archive."""
    if output is None or output == "-":
        if is_terminal(sys.stdout):
            raise UsageError(
                "an archive is not written to a terminal", hint="redirect it, or use `-o FILE`"
            )
        with invocation.engine() as engine:
            engine.save(names, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        return
    with invocation.engine() as engine:
        _to_file(output, lambda stream: engine.save(names, stream))


def _to_file(path: str, write: Callable[[BinaryIO], None]) -> None:
    """Write beside `path` first, so that a failure leaves what was there before."""
    from builder.export.destination import writing

    with writing(path) as fd, os.fdopen(os.dup(fd), "wb") as stream:
        write(stream)
