"""`lapstrake doctor`: what this host allows, tried for real, and what to change."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
import msgspec

from builder.cli.invocation import Invocation
from builder.cli.registry_options import registry_options
from builder.cli.verb import Verb, root_option
from builder.ui.cells import neutral
from builder.ui.style import Palette, palette_for

if TYPE_CHECKING:
    from builder.engine.doctor import Report
    from builder.engine.examining import Examined, Place
    from builder.engine.findings import Finding


@click.group(
    "doctor",
    invoke_without_command=True,
    params=[root_option()],
    short_help="Try what this host allows, and say what to change",
    subcommand_metavar="[registry HOST]",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> int:
    """Try what this host allows, and say what each lack costs and what would mend it.

    The exit code is 0 if Dockerfiles can be built here, else 1.
    """
    if context.invoked_subcommand is not None:
        return 0
    invocation = context.find_object(Invocation)
    assert invocation is not None
    from builder.engine.doctor import examine

    report = examine(invocation.settings)
    if as_json:
        encoded = {"can_build": report.can_build, **msgspec.structs.asdict(report)}
        invocation.say(msgspec.json.encode(encoded).decode())
    else:
        for line in _lines(report, palette_for(sys.stdout, invocation.settings)):
            invocation.say(line)
    return 0 if report.can_build else 1


@command.command("registry", cls=Verb, short_help="Say what counts for a registry, and contact it")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@registry_options
@click.argument("registry", metavar="HOST[/PATH]")
@click.pass_obj
def registry(invocation: Invocation, *, registry: str, as_json: bool) -> int:
    """Say which files, mirrors, certificates and credentials count for HOST, or for a repository of it, and contact it.

    The exit code is 0 if images can be had there, else 1.
    """
    from builder.engine.examining import examine

    found = examine(invocation.settings, registry)
    if as_json:
        encoded = {"ok": found.ok, **msgspec.structs.asdict(found)}
        invocation.say(msgspec.json.encode(encoded).decode())
    else:
        for line in _registry_lines(found, palette_for(sys.stdout, invocation.settings)):
            invocation.say(line)
    return 0 if found.ok else 1


def _registry_lines(found: Examined, palette: Palette) -> list[str]:
    lines = [palette.paint(palette.strong, neutral(found.name))]
    lines += [f"  read  {neutral(each)}" for each in found.files] or [
        "  no file says anything of it"
    ]
    lines += [f"  closed to us  {neutral(each)}" for each in found.closed]
    for number, place in enumerate(found.places, 1):
        kind = "mirror" if place.is_mirror else "registry"
        lines += ["", palette.paint(palette.strong, f"{number}. {kind} {neutral(place.address)}")]
        known = [f"and by {each}" for each in place.authorities]
        if place.proxy:
            known.append(f"through the proxy {place.proxy}")
        if place.certificate:
            known.append(f"showing {place.certificate}")
        who = f"as {place.user}, from {place.credential}" if place.user else "as nobody"
        lines += [
            f"        {neutral(each)}"
            for each in (place.why, "; ".join((place.encryption, *known)), who)
        ]
        lines += _verdict(place.problem or place.answer, place, palette)
    if found.problem:
        lines += ["", *_verdict(found.problem, found, palette)]
    return lines


def _verdict(text: str, about: Place | Examined, palette: Palette) -> list[str]:
    mark = palette.paint(palette.good, "yes") if about.ok else palette.paint(palette.warning, " no")
    lines = [f"   {mark}  {neutral(text)}"]
    lines += [f"        {neutral(each)}" for each in about.notes]
    if about.change:
        lines.append(f"        change: {neutral(about.change)}")
    return lines


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
