"""`lapstrake rmi`: names and images out of the store."""

from __future__ import annotations

import click

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb
from builder.errors import LapstrakeError, UsageError


@click.command("rmi", cls=Verb, short_help="Remove images")
@click.option("-f", "--force", is_flag=True, help="Remove images with all their names.")
@click.option("-a", "--all", "everything", is_flag=True, help="Remove all images.")
@click.option("--ignore", is_flag=True, help="Say nothing of images that are not there.")
@click.option("--no-prune", is_flag=True, help="Accepted: layers stay until `prune` in any case.")
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="OS/ARCH",
    help="Remove only the image for this platform; may be repeated.",
)
@click.argument("names", nargs=-1, metavar="IMAGE...")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    names: tuple[str, ...],
    force: bool,
    everything: bool,
    ignore: bool,
    no_prune: bool,  # noqa: ARG001  images here have no parents that could go with them
    platforms: tuple[str, ...],
) -> int:
    """Remove images by name, digest or id; an image goes with its last name.

    What can be removed is, even if something else cannot.
    """
    if everything and (names or platforms):
        raise UsageError("`--all` removes all images: it takes no names and no platforms")
    if not (everything or names):
        raise UsageError("`lapstrake rmi` needs an argument: IMAGE...")
    wanted = tuple(part for each in platforms for part in each.split(","))
    with invocation.engine() as engine:
        if everything:
            result = engine.remove_all_images()
        else:
            result = engine.remove_images(names, force=force, platforms=wanted)
    for line in result.removed:
        invocation.say(line)
    fatal = False
    for error in result.errors:
        missing = _is_missing(error)
        fatal |= not (missing and (force or ignore))
        if not (missing and ignore):
            invocation.tell(error.diagnostic())
    return 1 if fatal else 0


def _is_missing(error: LapstrakeError) -> bool:
    # The notes are the ids that the text could mean, or the platforms for which there is one.
    return error.code == "image.not-found" and not error.notes
