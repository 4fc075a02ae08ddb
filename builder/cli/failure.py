"""What went wrong, as diagnostics and an exit code: the only place that knows both.

1 a build or another operation failed, 125 the command line or the start, 126 and 127 a command that cannot
be executed or found, 129, 130 and 143 interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable

import click

from builder.cli.catalogue import ABSENT, VERBS
from builder.diagnostics import Diagnostic, Severity
from builder.errors import DockerfileErrors, LapstrakeError, UsageError
from runtime.errors import SandboxError

INTERRUPTED = 130


def diagnostics_of(error: LapstrakeError) -> tuple[Diagnostic, ...]:
    """Return what to tell about an error: one thing, or each of several mistakes and how many more there are."""
    if not isinstance(error, DockerfileErrors):
        return (error.diagnostic(),)
    told = [one.diagnostic() for one in error.errors]
    return (*told, *not_shown(error.more))


def not_shown(count: int) -> tuple[Diagnostic, ...]:
    """Return the note that there are more mistakes, if there are."""
    if not count:
        return ()
    noun = "mistake is" if count == 1 else "mistakes are"
    message = f"{count} more {noun} not shown"
    return (Diagnostic(severity=Severity.NOTE, code="", message=message),)


def unexpected(error: BaseException) -> LapstrakeError:
    """Return the error for an exception that nobody has foreseen."""
    text = " ".join(str(error).split())
    return LapstrakeError(
        f"{type(error).__name__}: {text}" if text else type(error).__name__,
        hint="this is a mistake in lapstrake: run it again with LAPSTRAKE_DEBUG=1 and report what it prints",
    )


def of_runtime(error: SandboxError) -> LapstrakeError:
    """Return the error for one of the runtime's that no step of a build has raised."""
    return UsageError(error.message, code="build.no-isolation", notes=error.notes, hint=error.hint)


def no_such_verb(name: str) -> UsageError:
    """Return the error for a verb that is not in the catalogue."""
    if name in ABSENT:
        return UsageError(
            f"`{name}` is not available in this version",
            hint="run `lapstrake --help` for the list of commands",
        )
    return UsageError(f"unknown command: `{name}`", hint=_near(name, VERBS, "lapstrake"))


def no_such_word(group: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a verb that a group does not have, with the nearest of those that it has."""
    hint = _near(name, known, f"lapstrake {group}")
    return UsageError(f"unknown command: `{group} {name}`", hint=hint)


def of_click(error: click.ClickException, verb: str | None) -> UsageError:
    """Return a mistake in the words of `verb` in Docker's words, with the nearest right one."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = "lapstrake" if verb is None else f"lapstrake {verb}"
    if context is not None and context.parent is not None:
        path = context.command_path  # of a verb in a group: `context ls`
    help_hint = f"run `{path} --help` for the list of flags"
    if isinstance(error, click.NoSuchOption):
        known: list[str] = [] if context is None else _visible_flags(context.command)
        name = error.option_name
        kind = "unknown flag" if name.startswith("--") else "unknown shorthand flag"
        return UsageError(f"{kind}: `{name}`", hint=_near(name, known, path))
    if isinstance(error, click.MissingParameter) and error.param is not None:
        metavar = error.param.make_metavar(context or click.Context(click.Command(None)))
        return UsageError(f"`{path}` needs an argument: {metavar}", hint=help_hint)
    if isinstance(error, click.BadOptionUsage) and "requires an argument" in error.message:
        return UsageError(f"flag needs a value: `{error.option_name}`", hint=help_hint)
    return UsageError(_as_ours(error.format_message()), hint=help_hint)


def _visible_flags(command: click.Command) -> list[str]:
    return [
        flag
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden
        for flag in option.opts
        if flag.startswith("--")
    ]


def _near(name: str, known: Iterable[str], path: str) -> str:
    from builder.dockerfile.suggest import nearest

    # Without the dashes: two edits of `--foo` must not lead to `--root`.
    bare = name.lstrip("-")
    dashes = name[: len(name) - len(bare)]
    near = nearest(bare, [word.lstrip("-") for word in known])
    if near is None:
        return f"run `{path} --help` for the list"
    return f"did you mean `{dashes}{near}`? Run `{path} --help` for the list"


def _as_ours(message: str) -> str:
    """Return a sentence of click's as a message: no capital at its start, no full stop at its end."""
    message = message.rstrip(".").replace("'", "`")
    return message[:1].lower() + message[1:]
