"""`lapstrake load`: images out of an archive into the store."""

from __future__ import annotations

import click

from builder.cli.invocation import Invocation
from builder.cli.streams import reading
from builder.cli.verb import Verb


@click.command("load", cls=Verb, short_help="Read images from a tar archive")
@click.option("-i", "--input", "source", metavar="FILE", help="Read a file, not standard input.")
@click.option("--platform", metavar="OS/ARCH", help="Read only the images for this platform.")
@click.option("-q", "--quiet", is_flag=True, help="Accepted for Docker's sake; nothing is hidden.")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    source: str | None,
    platform: str | None,
    quiet: bool,  # noqa: ARG001  there is no progress that it could hide
) -> None:
    """Read images and their names from a tar archive that `save` or Docker has written, compressed or not."""
    with reading(source or "-", "-i FILE") as stream, invocation.engine() as engine:
        loaded = engine.load(stream, platform)
    for name in loaded:
        what = "image ID" if name.startswith("sha256:") else "image"
        invocation.say(f"Loaded {what}: {name}")
