"""`lapstrake pull`: images from a registry into the store."""

from __future__ import annotations

import sys

import click

from builder.cli.invocation import Invocation
from builder.cli.registry_options import registry_options
from builder.cli.verb import Verb, ignored
from builder.errors import UsageError
from builder.oci.reference import DEFAULT_TAG, Reference, is_name_only


@click.command(
    "pull",
    cls=Verb,
    others=ignored("--disable-content-trust"),
    short_help="Download an image from a registry",
)
@click.option("-a", "--all-tags", is_flag=True, help="Download all tags of the repository NAME.")
@click.option("--platform", metavar="OS/ARCH", help="Choose the image for this platform.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the name of the image.")
@registry_options
@click.argument("name")
@click.pass_obj
def command(
    invocation: Invocation, *, name: str, all_tags: bool, platform: str | None, quiet: bool
) -> None:
    """Download the image NAME from its registry."""
    wanted = platform or invocation.settings.first_platform
    if all_tags and not is_name_only(name):
        raise UsageError("tag can't be used with --all-tags/-a", hint="name the repository alone")
    Reference.parse(name)  # before anything is said of it
    with invocation.engine() as engine:
        names = engine.tags_elsewhere(name) if all_tags else (name,)
        if not (quiet or all_tags) and is_name_only(name):
            invocation.say(f"Using default tag: {DEFAULT_TAG}")
        for each in names:
            if not quiet:
                invocation.say(_beginning(Reference.parse(each)))
                sys.stdout.flush()  # before the progress, which is on standard error
            with invocation.progress("quiet" if quiet else None, title="Pulling") as events:
                result = engine.pull(each, wanted, events)
            if not quiet:
                invocation.tell_all(events.warnings)
                shown = Reference.parse(result.reference).familiar()
                invocation.say(f"Digest: {result.digest}")
                invocation.say(
                    f"Status: Downloaded newer image for {shown}"
                    if result.newer
                    else f"Status: Image is up to date for {shown}"
                )
            if not all_tags:
                invocation.say(result.reference)
    if all_tags:
        invocation.say(Reference.parse(name).name)


def _beginning(reference: Reference) -> str:
    if reference.digest is not None:
        return f"{reference.canonical()}: Pulling from {reference.repository}"
    return f"{reference.tag}: Pulling from {reference.repository}"
