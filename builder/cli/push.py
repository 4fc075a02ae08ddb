"""`lapstrake push`: images of the store to a registry."""

from __future__ import annotations

import sys

import click

from builder.cli.invocation import Invocation
from builder.cli.registry_options import registry_options
from builder.cli.verb import Verb, ignored
from builder.errors import ImageError, UsageError
from builder.oci.reference import DEFAULT_TAG, Reference, is_name_only


@click.command(
    "push",
    cls=Verb,
    others=ignored("--disable-content-trust"),
    short_help="Upload an image to a registry",
)
@click.option("-a", "--all-tags", is_flag=True, help="Upload all tags of the repository NAME.")
@click.option("--platform", metavar="OS/ARCH", help="Upload only the image for this platform.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the name of the image.")
@registry_options
@click.argument("name")
@click.pass_obj
def command(
    invocation: Invocation, *, name: str, all_tags: bool, platform: str | None, quiet: bool
) -> None:
    """Upload the image NAME to the registry in its name."""
    if all_tags and not is_name_only(name):
        raise UsageError("tag can't be used with --all-tags/-a", hint="name the repository alone")
    reference = Reference.parse(name)
    with invocation.engine() as engine:
        names = engine.names_of(name) if all_tags else (name,)
        if not names:
            raise ImageError(
                f"An image does not exist locally with the tag: {reference.familiar_name}",
                code="image.not-found",
                hint="`lapstrake images` lists what is here",
            )
        if not quiet:
            if not all_tags and is_name_only(name):
                invocation.say(f"Using default tag: {DEFAULT_TAG}")
            invocation.say(f"The push refers to repository [{reference.name}]")
            sys.stdout.flush()  # before the progress, which is on standard error
        for each in names:
            with invocation.progress("quiet" if quiet else None, title="Pushing") as events:
                result = engine.push(each, events, platform)
            if not quiet:
                invocation.tell_all(events.warnings)
                tag = Reference.parse(each).tag
                invocation.say(f"{tag}: digest: {result.digest} size: {result.size}")
    if quiet:
        invocation.say(reference.name if all_tags else reference.canonical())
