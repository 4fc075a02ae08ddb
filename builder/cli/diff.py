"""`lapstrake diff`: in what two images differ."""

from __future__ import annotations

import sys

import click

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb
from builder.errors import LapstrakeError

_TROUBLE = 2


@click.command("diff", cls=Verb, short_help="Show in what two images differ")
@click.option("--platform", metavar="OS/ARCH", help="Compare the images for this platform.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--times", is_flag=True, help="Let the times of files and steps count, too.")
@click.argument("before", metavar="IMAGE")
@click.argument("after", metavar="IMAGE")
@click.pass_obj
@click.pass_context
def command(
    context: click.Context,
    invocation: Invocation,
    *,
    before: str,
    after: str,
    platform: str | None,
    as_json: bool,
    times: bool,
) -> None:
    """Show what was added (A), changed (C) or deleted (D) between two images.

    Layers are told where they are not the same, but only files and the configuration count for the exit code: 0 if
    there is no difference, 1 if there is one, 2 if the images cannot be compared.
    """
    from builder.ui import differences

    try:
        with invocation.engine() as engine:
            found = engine.diff(before, after, platform, times=times)
            if as_json:
                different = differences.show_json(found, sys.stdout.write, times=times)
            else:
                different = differences.show(found, invocation.say, times=times)
    except LapstrakeError as error:
        if error.exit_code == 1:
            error.exit_code = _TROUBLE  # 1 says that they differ
        raise
    context.exit(int(different))
