"""`lapstrake login`: tries credentials at a registry and keeps them where Docker does."""

from __future__ import annotations

import sys

import click

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb
from builder.diagnostics import Diagnostic, Severity
from builder.errors import UsageError
from builder.ui.style import is_terminal

_LONGEST = 1 << 20


@click.command("login", cls=Verb, short_help="Sign in to a registry")
@click.option("-u", "--username", metavar="NAME", help="Sign in under this name.")
@click.option("-p", "--password", metavar="TEXT", help="Use this password or token.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.argument("registry", default="docker.io")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    registry: str,
    username: str | None,
    password: str | None,
    password_stdin: bool,
) -> None:
    """Sign in to REGISTRY, by default Docker Hub."""
    if password_stdin:
        if password is not None:
            raise UsageError("`--password` and `--password-stdin` exclude each other")
        if username is None:
            raise UsageError("`--password-stdin` needs a name", hint="add `-u NAME`")
        password = sys.stdin.read(_LONGEST).rstrip("\r\n")
    elif password is not None:
        invocation.tell(
            Diagnostic(
                severity=Severity.WARNING,
                code="",
                message="a password on the command line can be read by others on this host",
                hint="use `--password-stdin`",
            )
        )
    if username is None or password is None:
        username, password = _ask(username, password)
    if not username or not password:
        raise UsageError("a name and a password are needed to sign in")
    with invocation.engine() as engine:
        engine.login(registry, username, password)
    invocation.say("Login Succeeded")


def _ask(username: str | None, password: str | None) -> tuple[str, str]:
    if not is_terminal(sys.stdin):
        raise UsageError(
            "there is no terminal to ask for a name and a password",
            hint="use `-u NAME --password-stdin`",
        )
    name = username or str(click.prompt("Username", err=True))
    return name, password or str(click.prompt("Password", hide_input=True, err=True))
