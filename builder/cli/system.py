"""`lapstrake system`: the store as a whole, under the words that people know from Docker."""

from __future__ import annotations

import click

from builder.cli.df import command as df
from builder.cli.info import command as info
from builder.cli.prune import command as prune
from builder.cli.verb import root_option


@click.group(
    "system",
    params=[root_option()],
    no_args_is_help=False,
    short_help="Measure, prune or remove the store: df, prune, info",
    subcommand_metavar="COMMAND [ARGS]...",
)
def command() -> None:
    """Measure, prune or remove the store as a whole."""


for each in (df, prune, info):
    command.add_command(each)
