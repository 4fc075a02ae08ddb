"""Groups of verbs that are there by themselves as well, imported when they are used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import click

from builder.cli.catalogue import VERBS
from builder.cli.verb import root_option


class Grouped(click.Group):
    """A group; `verbs` maps the words in it to verbs of the program."""

    def __init__(self, name: str, summary: str, verbs: Mapping[str, str]) -> None:
        super().__init__(
            name,
            params=[root_option()],
            no_args_is_help=False,
            help=f"{summary.partition(':')[0]}.",
            short_help=summary,
            subcommand_metavar="COMMAND [ARGS]...",
        )
        self.verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the words, each verb once."""
        return list({verb: word for word, verb in reversed(list(self.verbs.items()))}.values())[
            ::-1
        ]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a verb; None when there is no such word."""
        verb = self.verbs.get(cmd_name)
        if verb is None:
            return None
        command = import_module(f"builder.cli.{VERBS[verb].module}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that the first word names.

        Raises: UsageError: there is none, with the nearest.
        """
        if args[0] not in self.verbs and not args[0].startswith("-"):
            from builder.cli import failure

            raise failure.no_such_word(str(self.name), args[0], self.verbs)
        return super().resolve_command(ctx, args)


def group(name: str, summary: str, verbs: Mapping[str, str]) -> click.Group:
    """Return a group of verbs."""
    return Grouped(name, summary, verbs)
