"""`lapstrake doctor`: what this host allows, tried for real, and what to change."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
import msgspec

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb
from builder.ui.cells import neutral
from builder.ui.style import Palette, palette_for

if TYPE_CHECKING:
    from builder.engine.doctor import Finding, Report


@click.command("doctor", cls=Verb, short_help="Try what this host allows, and say what to change")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_obj
def command(invocation: Invocation, *, as_json: bool) -> int:
    """Try what this host allows, and say what each lack costs and what would mend it.

    The exit code is 0 if Dockerfiles can be built here, else 1.
    """
    from builder.engine.doctor import examine

    report = examine(invocation.settings)
    if as_json:
        encoded = {"can_build": report.can_build, **msgspec.structs.asdict(report)}
        invocation.say(msgspec.json.encode(encoded).decode())
    else:
        for line in _lines(report, palette_for(sys.stdout, invocation.settings)):
            invocation.say(line)
    return 0 if report.can_build else 1


def _lines(report: Report, palette: Palette) -> list[str]:
    lines: list[str] = []
    group = ""
    for finding in report.findings:
        if finding.group != group:
            group = finding.group
            lines += (
                ["", palette.paint(palette.strong, group)]
                if lines
                else [palette.paint(palette.strong, group)]
            )
        lines += _finding(finding, palette)
    verdict = (
        f"Dockerfiles can be built here, behind the walls `{report.isolation}`."
        if report.can_build
        else "Dockerfiles with RUN cannot be built here as it is: see what to change above."
    )
    return [*lines, "", verdict]


def _finding(finding: Finding, palette: Palette) -> list[str]:
    mark = (
        palette.paint(palette.good, "yes") if finding.ok else palette.paint(palette.warning, " no")
    )
    reason = f": {finding.reason}" if finding.reason else ""
    lines = [f"  {mark}  {neutral(finding.name + reason)}"]
    if finding.cost:
        lines.append(f"         costs: {neutral(finding.cost)}")
    if finding.change:
        lines.append(f"         change: {neutral(finding.change)}")
    return lines
