"""`lapstrake system`: the store as a whole, under the words that people know from Docker."""

from __future__ import annotations

import click

from builder.cli.df import command as df
from builder.cli.info import command as info
from builder.cli.invocation import Invocation
from builder.cli.prune import command as prune
from builder.cli.prune import confirmed
from builder.cli.verb import Verb, root_option
from builder.errors import StoreError
from builder.ui.size import size


@click.group(
    "system",
    params=[root_option()],
    no_args_is_help=False,
    short_help="Measure, prune or remove the store: df, prune, reset, info",
    subcommand_metavar="COMMAND [ARGS]...",
)
def command() -> None:
    """Measure, prune or remove the store as a whole."""


for each in (df, prune, info):
    command.add_command(each)


def _removed(invocation: Invocation, error: StoreError) -> int | None:
    """Remove a store that is too damaged to be opened; return the bytes given back, None if it is something else."""
    if error.code not in {"store.corrupt", "store.unusable"}:
        return None
    from builder.engine import Engine

    return Engine.reset_damaged(invocation.settings)


@command.command("reset", cls=Verb, short_help="Remove everything that is kept")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.pass_obj
def reset(invocation: Invocation, *, force: bool) -> None:
    """Remove all images, all cache and all that is remembered of builds, whoever owns the files in them."""
    root = invocation.settings.root
    if not (force or confirmed(f"the whole store `{root}`: all images, all cache, all logs")):
        return
    try:
        with invocation.engine() as engine:
            freed = engine.reset()
    except StoreError as error:
        removed = _removed(invocation, error)
        if removed is None:
            raise
        freed = removed
    invocation.say(f"Removed {root}")
    invocation.say(f"Total reclaimed space: {size(freed)}")
