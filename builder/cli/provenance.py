"""`lapstrake provenance`: what an image is said to be made from."""

from __future__ import annotations

import sys

import click

from builder.cli.invocation import Invocation
from builder.cli.registry_options import insecure_option
from builder.cli.verb import Verb


@click.command("provenance", cls=Verb, short_help="Show what an image was built from")
@click.option("--platform", metavar="OS/ARCH", help="Show that of the image for this platform.")
@insecure_option
@click.argument("image", metavar="IMAGE")
@click.pass_obj
def command(invocation: Invocation, *, image: str, platform: str | None) -> None:
    """Print the provenance of IMAGE as JSON: what its last build here says, else what its registry has.

    Nothing of it is signed: it is as good as who may write to the registry.
    """
    import msgspec

    with invocation.engine() as engine:
        found = engine.provenance(image, platform)
    sys.stderr.write(f"{found.type}, from {found.where}\n")
    invocation.say(msgspec.json.format(found.predicate, indent=2).decode())
