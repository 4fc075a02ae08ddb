"""`lapstrake store check`: whether everything in the store is as it was written."""

from __future__ import annotations

import click
import msgspec

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb, root_option


@click.group(
    "store",
    params=[root_option()],
    no_args_is_help=False,
    short_help="Verify the store, and mend it",
    subcommand_metavar="check [ARGS]...",
)
def command() -> None:
    """Verify the store, and mend it."""


@command.command("check", cls=Verb, short_help="Verify everything in the store")
@click.option(
    "--repair", is_flag=True, help="Drop what is damaged, so that it is made or pulled again."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def check(invocation: Invocation, *, repair: bool, as_json: bool) -> int:
    """Verify everything in the store, every byte of it, and what refers to what.

    Exits with 1 if something is wrong and has not been mended.
    """
    from builder.store.checkup import counted

    with invocation.engine() as engine:
        found = engine.check(repair=repair)
    if as_json:
        invocation.say(msgspec.json.encode(found).decode())
        return 0 if found.whole else 1
    for each in found.problems:
        done = f" ({each.mend})" if each.mend and repair else ""
        invocation.say(f"{each.kind} {each.name}: {each.reason}{done}")
    invocation.say(f"Checked {', '.join(counted(found))}: {_result(len(found.problems))}")
    if not found.whole and not repair and any(each.mend for each in found.problems):
        invocation.note("`lapstrake store check --repair` drops what is damaged")
    return 0 if found.whole else 1


def _result(number: int) -> str:
    if not number:
        return "all is well"
    return "1 problem" if number == 1 else f"{number} problems"
