"""`lapstrake import`: a tar archive of a file system becomes an image with one layer."""

from __future__ import annotations

import click

from builder.cli.invocation import Invocation
from builder.cli.streams import reading
from builder.cli.verb import Verb, absent
from builder.errors import UsageError


@click.command(
    "import",
    cls=Verb,
    others=absent("--platform"),
    short_help="Make an image of the files in a tar archive",
)
@click.option(
    "-c",
    "--change",
    "changes",
    multiple=True,
    metavar="INSTRUCTION",
    help="Apply an instruction such as CMD or ENV.",
)
@click.option("-m", "--message", default="", metavar="TEXT", help="Put a text in the history.")
@click.argument("file")
@click.argument("name", required=False)
@click.pass_obj
def command(
    invocation: Invocation, *, file: str, name: str | None, changes: tuple[str, ...], message: str
) -> None:
    """Make an image of the files in the tar archive FILE, or `-`, and give it NAME."""
    if file.startswith(("http://", "https://")):
        raise UsageError(
            "importing from a URL is not available in this version",
            hint="download it first: `curl -L URL | lapstrake import - NAME`",
        )
    with reading(file, "FILE") as stream, invocation.engine() as engine:
        image_id = engine.import_(stream, name, changes, message)
    invocation.say(image_id)
