"""`lapstrake tags`: the tags of a repository in its registry."""

from __future__ import annotations

import click
import msgspec

from builder.cli.invocation import Invocation
from builder.cli.registry_options import registry_options
from builder.cli.verb import Verb


@click.command("tags", cls=Verb, short_help="List the tags of a repository in its registry")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, as skopeo does.")
@registry_options
@click.argument("name", metavar="REPOSITORY")
@click.pass_obj
def command(invocation: Invocation, *, name: str, as_json: bool) -> None:
    """List the tags that REPOSITORY has in its registry, a line each."""
    from builder.engine.remote import Remote
    from builder.oci.reference import Reference

    tags = Remote(invocation.settings).tags(name)
    if as_json:
        repository = Reference.parse(name.removeprefix("docker://")).name
        document = {"Repository": repository, "Tags": tags}
        invocation.say(msgspec.json.format(msgspec.json.encode(document), indent=4).decode())
        return
    for tag in tags:
        invocation.say(tag)
