"""`lapstrake verify`: whether an image is what a context builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from builder.cli import build_words, building
from builder.cli.invocation import Invocation
from builder.cli.pairs import named, with_environment
from builder.cli.verb import Verb
from builder.errors import LapstrakeError

if TYPE_CHECKING:
    from builder.engine.verifying import Found, Verdict

_TROUBLE = 2
_MOST = 1000


@click.command(
    "verify", cls=Verb, short_help="Build an image again, and say whether it is the same"
)
@click.option("-f", "--file", "dockerfile", metavar="PATH", help="Read this Dockerfile.")
@click.option("--target", metavar="STAGE", help="Build this stage instead of the last one.")
@click.option("--build-arg", multiple=True, metavar="NAME[=VALUE]", help="Set an ARG.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Add a label.")
@click.option("--platform", metavar="OS/ARCH", help="Verify the image for this platform.")
@click.option(
    "--build-context",
    "contexts",
    multiple=True,
    metavar="NAME=VALUE",
    help="Add a context: a directory, a URL, docker-image://… or oci-layout://….",
)
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="id=NAME[,src=FILE|,env=NAME]",
    help="Let steps that ask for it see a secret.",
)
@click.option(
    "--network",
    type=click.Choice(["default", "host", "none", "private"]),
    default="default",
    help="Choose the network of RUN steps.",
)
@click.option("--all", "every", is_flag=True, help="Show every difference, not only the first.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--progress", metavar="MODE", help="Show progress as auto, plain, tty, quiet or rawjson."
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.argument("image", metavar="IMAGE")
@click.argument("context", metavar="CONTEXT")
@click.pass_obj
@click.pass_context
def command(
    click_context: click.Context,
    invocation: Invocation,
    *,
    image: str,
    context: str,
    dockerfile: str | None,
    target: str | None,
    build_arg: tuple[str, ...],
    labels: tuple[str, ...],
    platform: str | None,
    contexts: tuple[str, ...],
    secrets: tuple[str, ...],
    network: str,
    every: bool,
    as_json: bool,
    progress: str | None,
    quiet: bool,
) -> None:
    """Build IMAGE again from CONTEXT, without the cache, and say in what it differs.

    What its build was given is taken from its provenance, if it has some; its time, if that was given, and the digest
    of its base from the image. Flags say the rest. The exit code is 0 if it is the same, 1 if not, 2 if that cannot be found out.
    """
    from builder.engine import BuildRequest

    request = BuildRequest(
        context=context,
        dockerfile=dockerfile,
        target=target,
        build_args=with_environment(build_arg, "--build-arg"),
        labels=named(labels, "--label"),
        platforms=() if platform is None else (platform,),
        contexts=build_words.contexts(contexts),
        network=network,
        **build_words.given(secrets, (), ()),
    )
    mode = building.mode_of(invocation, progress, quiet=quiet or as_json)
    try:
        with invocation.engine() as engine, invocation.progress(mode, title="Verifying") as shown:
            verdict = engine.verify(image, request, shown, most=_MOST if every else 1)
    except LapstrakeError as error:
        if error.exit_code == 1:
            error.exit_code = _TROUBLE  # 1 says that it differs
        raise
    if as_json:
        _say_json(invocation, verdict)
    else:
        _say(invocation, image, verdict)
        if not verdict.same and not verdict.told:
            invocation.note(
                "what the first build was given is not known here: its `--build-arg`, `--label` and `--target` are those of this command"
            )
    click_context.exit(0 if verdict.same else 1)


def _say(invocation: Invocation, image: str, verdict: Verdict) -> None:
    if verdict.same:
        compared = "" if verdict.times else "; times were not compared, for they were not rewritten"
        invocation.say(f"{image} is what the context builds{compared}")
        return
    for each in verdict.found:
        invocation.say(_line(each))
    if verdict.more:
        shown = "more" if len(verdict.found) > 1 else "more: `--all` shows them"
        invocation.say(
            f"and {verdict.more} {shown}" if len(verdict.found) > 1 else f"there is {shown}"
        )


def _line(each: Found) -> str:
    from builder.ui.cells import neutral

    words = []
    if each.layer:
        step = f", {each.step}" if each.step else ""
        line = f" (line {each.line})" if each.line else ""
        words.append(f"layer {each.layer}{step}{line}")
    if each.path:
        words.append(each.path)
    words.append(each.what)
    reason = f" - {each.reason}" if each.reason else ""
    return neutral(": ".join(words) + reason)


def _say_json(invocation: Invocation, verdict: Verdict) -> None:
    import msgspec

    document = {"same": verdict.same, **msgspec.to_builtins(verdict)}
    invocation.say(msgspec.json.encode(document).decode())
