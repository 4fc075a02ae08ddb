"""`lapstrake import`: a tar archive of a file system becomes an image with one layer."""

from __future__ import annotations

import click

from builder.cli.invocation import Invocation
from builder.cli.streams import reading
from builder.cli.verb import Verb


@click.command("import", cls=Verb, short_help="Make an image of the files in a tar archive")
@click.option(
    "-c",
    "--change",
    "changes",
    multiple=True,
    metavar="INSTRUCTION",
    help="Apply an instruction such as CMD or ENV.",
)
@click.option("-m", "--message", default="", metavar="TEXT", help="Put a text in the history.")
@click.option("--platform", metavar="OS/ARCH", help="Say that the image is for this platform.")
@click.argument("file")
@click.argument("name", required=False)
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    file: str,
    name: str | None,
    changes: tuple[str, ...],
    message: str,
    platform: str | None,
) -> None:
    """Make an image of the files in the tar archive FILE, `-` or at a URL, compressed or not, and give it NAME."""
    wanted = platform or invocation.settings.first_platform
    if file.startswith(("http://", "https://")):
        with invocation.engine() as engine:
            image_id = engine.import_url(file, name, changes, message, platform=wanted)
    else:
        with reading(file, "FILE") as stream, invocation.engine() as engine:
            image_id = engine.import_(stream, name, changes, message, platform=wanted)
    invocation.say(image_id)
