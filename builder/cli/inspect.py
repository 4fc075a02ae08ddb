"""`lapstrake inspect`: all that is known about images, as Docker shows it."""

from __future__ import annotations

import click
import msgspec

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb, absent
from builder.errors import ImageError


@click.command(
    "inspect",
    cls=Verb,
    others=[*absent("-f/--format", "--platform"), *absent("-s/--size", value=False)],
    short_help="Show the details of images as JSON",
)
@click.option("--type", "kind", type=click.Choice(["image"]), help="Look for images only.")
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    names: tuple[str, ...],
    kind: str | None,  # noqa: ARG001  images are all there is
) -> None:
    """Show the details of images as JSON; of those that exist also if another does not."""
    found: list[object] = []
    missing: ImageError | None = None
    with invocation.engine() as engine:
        for name in names:
            try:
                found.append(engine.inspect(name))
            except ImageError as error:
                missing = missing or error
    invocation.say(msgspec.json.format(msgspec.json.encode(found), indent=4).decode())
    if missing is not None:
        raise missing
