"""`lapstrake context ls`: what a build can copy from a directory, and which line excludes the rest."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
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
    from builder.source.explaining import Explanation


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
        size = "-" if each.kind == "directory" else shown_size(each.size)
        line = f"{size:>8}  {line}"
    if not each.sent and rules is not None and each.rule is not None:
        line += f"  ({rules.name}:{each.rule.line}: {neutral(each.rule.text)})"
    return line


def _as_json(each: Content, leads_to: str | None = None) -> str:
    document: dict[str, object] = {
        "path": _text(each.path),
        "type": each.kind,
        "size": each.size,
        "sent": each.sent,
    }
    if each.rule is not None:
        document |= {"line": each.rule.line, "rule": _text(each.rule.text)}
    if leads_to is not None:
        document["leads_to"] = _text(leads_to)
    return msgspec.json.encode(document).decode()


def _text(path: str) -> str:
    r"""Return a path as JSON can hold it: bytes that are no UTF-8 are written `\xff`."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _explain(
    invocation: Invocation, root: str, rules: IgnoreRules | None, path: str, *, as_json: bool
) -> None:
    """Say whether one path is part of the context, and which line decided."""
    from builder.source.explaining import explain

    relative = _relative(root, path)
    found = explain(root, relative, rules)
    if as_json:
        invocation.say(_as_json(found.content, found.leads_to))
        return
    invocation.say(f"{_subject(found)} {_verdict(found, rules)}")
    for remark in (*_remarks(found), *_meant(root, path, relative, found)):
        invocation.note(remark)


def _subject(found: Explanation) -> str:
    shown = f"`{neutral(found.content.path) or '.'}`"
    if found.leads_to is None:
        return shown
    return f"{shown}, which leads to `{neutral(found.leads_to) or '.'}`,"


def _verdict(found: Explanation, rules: IgnoreRules | None) -> str:
    sent, rule = found.content.sent, found.content.rule
    missing = found.content.kind == "missing"
    if rule is None or rules is None:
        if missing:
            return "does not exist in the context; no line would exclude it"
        return "is part of the context: no line excludes it"
    line = f"line {rule.line} of `{neutral(rules.name)}`: `{neutral(rule.text)}`"
    if missing:
        verb = "be brought back" if sent else "be excluded"
        return f"does not exist in the context; it would {verb} by {line}"
    verb = "is part of the context: brought back by" if sent else "is excluded by"
    return f"{verb} {line}"


def _remarks(found: Explanation) -> Iterator[str]:
    if found.matched not in ("", found.content.path, found.leads_to):
        yield f"that line matches `{neutral(found.matched)}`, and so all that is in it"
    back = found.brings_back
    if back is not None:
        yield f"something in it may be brought back, by line {back.line}: `{neutral(back.text)}`"
    yield from found.near


def _meant(root: str, path: str, relative: str, found: Explanation) -> Iterator[str]:
    """Say how a path was understood that may have meant something else."""
    outside = os.path.normpath(path).startswith("../") or path in ("..", "../")
    if outside or (path.startswith("/") and not _inside(root, path)):
        yield f"nothing outside the context can be copied: `{neutral(path)}` means `{neutral(relative) or '.'}` in it"
    here = os.path.relpath(path, root)
    within = here != relative and not here.startswith("../")
    if found.content.kind == "missing" and within and os.path.lexists(path):
        yield f"paths are relative to the context: write `{neutral(here)}`"


def _relative(root: str, path: str) -> str:
    """Return a path as seen from the context: an absolute one may name a file of the host in it."""
    from builder.dockerfile.rootpaths import clean

    return clean(path[len(root) :] if _inside(root, path) else path)[1:]


def _inside(root: str, path: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")
