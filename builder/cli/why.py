"""`lapstrake why`: why the steps of a build were not taken from the cache."""

from __future__ import annotations

import click

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb
from builder.errors import BuildError


@click.command("why", cls=Verb, short_help="Say why steps were not cached")
@click.argument("which", required=False, default="", metavar="[BUILD:][STEP]")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a step.")
@click.pass_obj
def command(invocation: Invocation, *, which: str, as_json: bool) -> None:
    """Say why the steps of a build were executed, or everything that was different about one.

    BUILD is the end or the beginning of an id, by default the newest build. STEP is `#N` as in the log, the
    number of a line of the Dockerfile, or STAGE:LINE.
    """
    from builder.engine.steps import find_step
    from builder.ui import explained

    with invocation.engine() as engine:
        build, step = _parts(which, {about.id for about in engine.builds()})
        _, events = engine.build_events(build)
        found = list(events)
    steps = explained.steps_of(found)
    chosen = list(steps.values())
    if step:
        number = find_step(found, step)
        if number is None:
            raise BuildError(
                f"the build has no step `{step[:60]}`",
                code="build.not-found",
                hint="name it as `#N`, by its line in the Dockerfile, or as STAGE:LINE",
            )
        chosen = [steps[number]]
    for told in chosen:
        if as_json:
            invocation.say(explained.as_json(told))
        elif step:
            for line in explained.whole(told):
                invocation.say(line)
        else:
            invocation.say(explained.short(told))


def _parts(which: str, builds: set[str]) -> tuple[str, str]:
    """Return build and step; the word before a colon may also be a stage of the newest build."""
    build, colon, step = which.partition(":")
    if build == "last":
        return "", step
    known = any(each.startswith(build) or each.endswith(build) for each in builds)
    is_step = which.startswith("#") or which.isdecimal()
    if colon and not (known and build):
        return "", which
    if not colon and is_step:
        return "", which
    return build, step
