"""`lapstrake info`: what this host allows, and where things are."""

from __future__ import annotations

import click
import msgspec

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb
from builder.errors import UsageError
from builder.ui.cells import neutral


@click.command("info", cls=Verb, short_help="Show what this host allows and where things are kept")
@click.option("-f", "--format", "form", metavar="FORM", help="Print as json.")
@click.pass_obj
def command(invocation: Invocation, *, form: str | None) -> None:
    """Show what this host allows and where things are kept."""
    if form not in {None, "json"}:
        raise UsageError(f"`--format {form}` is not available in this version", hint="use json")
    with invocation.engine() as engine:
        facts = engine.info()
    if form == "json":
        invocation.say(msgspec.json.encode(facts).decode())
        return
    for line in _lines(facts, 0):
        invocation.say(line)


def _lines(facts: object, depth: int) -> list[str]:
    """Return nested facts as indented lines."""
    indent = "  " * depth
    if isinstance(facts, dict):
        lines: list[str] = []
        for name, value in facts.items():
            if isinstance(value, (dict, list, tuple)):
                lines += [f"{indent}{name}:", *_lines(value, depth + 1)]
            else:
                lines.append(f"{indent}{name}: {_text(value)}")
        return lines
    if isinstance(facts, (list, tuple)):
        return [line for fact in facts for line in _lines(fact, depth)]
    return [f"{indent}{_text(facts)}"]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return neutral(str(value)) if value is not None else "none"
