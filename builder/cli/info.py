"""`lapstrake info`: what this host allows, and where things are."""

from __future__ import annotations

import click

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb
from builder.ui.cells import neutral


@click.command("info", cls=Verb, short_help="Show what this host allows and where things are kept")
@click.option(
    "-f", "--format", "form", metavar="FORM", help="Print json, or through a Go template."
)
@click.pass_obj
def command(invocation: Invocation, *, form: str | None) -> None:
    """Show what this host allows and where things are kept."""
    from builder.cli.formats import object_text, template_of

    if form is not None:
        template_of(
            "" if form == "json" else form
        )  # a mistake in it is told before anything is tried
    with invocation.engine() as engine:
        facts = engine.info()
    if form is not None:
        invocation.show(object_text(form, facts))
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
