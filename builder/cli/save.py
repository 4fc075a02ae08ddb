"""`lapstrake save`: images to an archive that Docker and others load."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import BinaryIO

import click

from builder.cli.descriptors import is_lost
from builder.cli.invocation import Invocation
from builder.cli.verb import Verb
from builder.errors import UsageError
from builder.ui.style import is_terminal

FORMATS = ("docker-archive", "oci-archive", "oci-dir")


@click.command("save", cls=Verb, short_help="Write images to a tar archive")
@click.option("-o", "--output", metavar="FILE", help="Write to a file, not to standard output.")
@click.option("--platform", metavar="OS/ARCH", help="Write the images for this platform.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default=FORMATS[0],
    help="An archive, which is one of Docker's and an OCI layout at once, or the same as a directory.",
)
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    names: tuple[str, ...],
    output: str | None,
    platform: str | None,
    form: str,
) -> None:
    """Write images to one tar archive; a repository alone means all its tags."""
    if form == "oci-dir":
        if output in (None, "-"):
            raise UsageError("`--format oci-dir` needs a directory", hint="name it by `-o DIR`")
        assert output is not None
        with invocation.engine() as engine:
            engine.save_directory(names, output, platform)
        return
    if output is None or output == "-":
        if is_terminal(sys.stdout):
            raise UsageError(
                "an archive is not written to a terminal", hint="redirect it, or use `-o FILE`"
            )
        if is_lost(sys.stdout):
            raise UsageError(
                "an archive cannot be written to standard output, which is closed",
                hint="use `-o FILE`",
            )
        with invocation.engine() as engine:
            engine.save(names, sys.stdout.buffer, platform)
            sys.stdout.buffer.flush()
        return
    with invocation.engine() as engine:
        _to_file(output, lambda stream: engine.save(names, stream, platform))


def _to_file(path: str, write: Callable[[BinaryIO], None]) -> None:
    """Write beside `path` first, so that a failure leaves what was there before."""
    from builder.export.destination import writing

    with writing(path) as fd, os.fdopen(os.dup(fd), "wb") as stream:
        write(stream)
