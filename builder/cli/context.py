"""`lapstrake context ls`: what a build can copy from a directory, and which line excludes the rest."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click
import msgspec

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb, root_option
from builder.errors import ContextError, UsageError
from builder.ui.cells import neutral
from builder.ui.size import size as shown_size

if TYPE_CHECKING:
    from builder.dockerfile.ignore import IgnoreRules
    from builder.source.contents import Content


@click.group(
    "context",
    params=[root_option()],
    no_args_is_help=False,
    short_help="Show what a build context holds",
    subcommand_metavar="ls [ARGS]...",
)
def command() -> None:
    """Show what a build context holds."""


@command.command("ls", cls=Verb, short_help="List what can be copied, or what is excluded")
@click.option("-f", "--file", "dockerfile", metavar="PATH", help="Use the ignore file beside this.")
@click.option("--size", "sizes", is_flag=True, help="Show sizes.")
@click.option("--excluded", is_flag=True, help="List what is excluded instead, and by which line.")
@click.option("--why", metavar="PATH", help="Explain one path.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.argument("context", default=".", metavar="[CONTEXT]")
@click.pass_obj
def ls(
    invocation: Invocation,
    *,
    dockerfile: str | None,
    sizes: bool,
    excluded: bool,
    why: str | None,
    as_json: bool,
    context: str,
) -> None:
    """List what a build can copy from CONTEXT, a directory, and what its ignore file excludes."""
    if why is not None and (excluded or sizes):
        raise UsageError("`--why` explains one path, so `--size` and `--excluded` mean nothing")
    root = os.path.abspath(context)
    if not os.path.isdir(root):
        raise ContextError(
            f"the build context `{context}` is not a directory", code="context.not-found"
        )
    rules = _rules(root, dockerfile)
    if why is not None:
        _explain(invocation, root, rules, why, as_json=as_json)
        return
    from builder.source.contents import contents

    kept = left_out = total = 0
    for each in contents(root, rules):
        if each.kind == "directory" and (each.sent or (rules and not rules.prunable(each.path))):
            continue  # what is in it follows
        if each.sent:
            kept += 1
            total += each.size
        else:
            left_out += 1
        if each.sent is not excluded:
            invocation.say(_line(each, rules, sizes=sizes, as_json=as_json))
    if not as_json:
        sys.stdout.flush()
        noun = "file" if kept == 1 else "files"
        sys.stderr.write(f"{kept} {noun}, {shown_size(total)}; {left_out} excluded\n")


def _rules(root: str, dockerfile: str | None) -> IgnoreRules | None:
    from builder.dockerfile.ignore import IgnoreRules
    from builder.engine.texts import context_of

    found = context_of(root, dockerfile)
    return IgnoreRules.parse(found.ignore, found.ignore_name) if found.ignore else None


def _line(each: Content, rules: IgnoreRules | None, *, sizes: bool, as_json: bool) -> str:
    if as_json:
        return _as_json(each)
    line = neutral(each.path) + ("/" if each.kind == "directory" else "")
    if sizes:
        line = f"{shown_size(each.size):>8}  {line}"
    if not each.sent and rules is not None and each.rule is not None:
        line += f"  ({rules.name}:{each.rule.line}: {neutral(each.rule.text)})"
    return line


def _as_json(each: Content) -> str:
    document: dict[str, object] = {
        "path": each.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"),
        "type": each.kind,
        "size": each.size,
        "sent": each.sent,
    }
    if each.rule is not None:
        document |= {"line": each.rule.line, "rule": each.rule.text}
    return msgspec.json.encode(document).decode()


def _explain(
    invocation: Invocation, root: str, rules: IgnoreRules | None, path: str, *, as_json: bool
) -> None:
    """Say whether one path is part of the context, and which line decided."""
    from builder.source.contents import content_at

    found = content_at(root, _relative(root, path), rules)
    if as_json:
        invocation.say(_as_json(found))
        return
    shown = neutral(found.path) or "."
    if found.kind == "missing":
        invocation.note(f"there is no `{shown}` in the context")
    if found.rule is None or rules is None:
        invocation.say(f"`{shown}` is part of the context: no line excludes it")
        return
    verb = "is part of the context: brought back by" if found.sent else "is excluded by"
    where = f"line {found.rule.line} of `{neutral(rules.name)}`"
    invocation.say(f"`{shown}` {verb} {where}: `{neutral(found.rule.text)}`")
    if not found.sent and found.kind == "directory" and not rules.prunable(found.path):
        invocation.note("a later line brings back something below it")


def _relative(root: str, path: str) -> str:
    """Return a path as seen from the context: an absolute one may name a file of the host in it."""
    from builder.dockerfile.rootpaths import clean

    if path == root or path.startswith(root.rstrip("/") + "/"):
        path = path[len(root) :]
    return clean(path)[1:]
