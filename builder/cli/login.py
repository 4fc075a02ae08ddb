"""`lapstrake login`: tries credentials at a registry and keeps them where Docker does."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from builder.cli.invocation import Invocation
from builder.cli.registry_options import registry_options
from builder.cli.verb import Verb, absent, ignored
from builder.diagnostics import Diagnostic, Severity
from builder.errors import UsageError
from builder.ui.style import is_terminal

if TYPE_CHECKING:
    from builder.engine.accounts import Account, Accounts

_LONGEST = 1 << 20


@click.command(
    "login",
    cls=Verb,
    others=[
        *absent("--cert-dir", "--compat-auth-file", "--secret"),
        *ignored("-v/--verbose"),
    ],
    short_help="Sign in to a registry",
)
@click.option("-u", "--username", metavar="NAME", help="Sign in under this name.")
@click.option("-p", "--password", metavar="TEXT", help="Use this password or token.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option(
    "--get-login", is_flag=True, help="Print the name that is signed in, and nothing else."
)
@registry_options
@click.argument("registry", default="docker.io")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    registry: str,
    username: str | None,
    password: str | None,
    password_stdin: bool,
    get_login: bool,
) -> None:
    """Sign in to REGISTRY, by default Docker Hub; with a path, as in registry.example/team, to that part of it."""
    from builder.engine.accounts import Account, Accounts

    account, accounts = Account.parse(registry), Accounts(invocation.settings)
    if get_login:
        known = accounts.username(account)
        if known is None:
            raise UsageError(
                f"not logged in to {account.name}", hint=f"run `lapstrake login {account.name}`"
            )
        invocation.say(known)
        return
    if password_stdin:
        password = _from_stdin(username, password)
    elif password is not None:
        _warn(invocation)
    if username is None and password is None and _again(invocation, accounts, account):
        return
    if username is None or password is None:
        username, password = _ask(username, password, accounts.username(account))
    if not username or not password:
        raise UsageError("a name and a password are needed to sign in")
    _check_text("name", username)
    _check_text("password", password)
    where = accounts.login(account, username, password)
    if where.startswith("/"):
        invocation.note(f"the credential is kept unencrypted in `{where}`")
    first = accounts.elsewhere(account)
    if not first.startswith(where):
        invocation.tell(
            Diagnostic(
                severity=Severity.WARNING,
                code="",
                message=f"what {first} says of {account.name} goes before it",
                hint="remove that, or nothing will use what was kept now",
            )
        )
    invocation.say("Login Succeeded")


def _from_stdin(username: str | None, password: str | None) -> str:
    if password is not None:
        raise UsageError("`--password` and `--password-stdin` exclude each other")
    if username is None:
        raise UsageError("`--password-stdin` needs a name", hint="add `-u NAME`")
    try:
        given = sys.stdin.read(_LONGEST).rstrip("\r\n")
    except UnicodeDecodeError:
        raise _no_text("password") from None
    if not given:
        raise UsageError("there is no password on standard input")
    return given


def _check_text(what: str, given: str) -> None:
    """Refuse bytes that are no text: Python hides them in characters that cannot be sent."""
    try:
        given.encode()
    except UnicodeEncodeError:
        raise _no_text(what) from None


def _no_text(what: str) -> UsageError:
    return UsageError(f"the {what} is not text in UTF-8")


def _warn(invocation: Invocation) -> None:
    invocation.tell(
        Diagnostic(
            severity=Severity.WARNING,
            code="",
            message="a password on the command line can be read by others on this host",
            hint="use `--password-stdin`",
        )
    )


def _again(invocation: Invocation, accounts: Accounts, account: Account) -> bool:
    """Sign in with what is known, as Docker does when nothing is given; tell whether that did."""
    known = accounts.username(account)
    if known is None:
        return False
    name = f" [Username: {known}]" if known else ""
    invocation.say(f"Authenticating with existing credentials...{name}")
    if accounts.again(account):
        invocation.say("Login Succeeded")
        return True
    invocation.note(f"{account.registry} does not accept the credentials that are known any more")
    return False


def _ask(username: str | None, password: str | None, known: str | None) -> tuple[str, str]:
    if not is_terminal(sys.stdin):
        raise UsageError(
            "there is no terminal to ask for a name and a password",
            hint="use `-u NAME --password-stdin`",
        )
    name = username or str(click.prompt("Username", default=known or None, err=True))
    return name, password or str(click.prompt("Password", hide_input=True, err=True))
