"""`lapstrake logout`: forgets the credentials for a registry."""

from __future__ import annotations

import click

from builder.cli.invocation import Invocation
from builder.cli.registry_options import authfile_option
from builder.cli.verb import Verb, absent


@click.command(
    "logout", cls=Verb, others=absent("-a/--all", value=False), short_help="Sign out of a registry"
)
@authfile_option
@click.argument("registry", default="docker.io")
@click.pass_obj
def command(invocation: Invocation, *, registry: str) -> None:
    """Forget the credentials for REGISTRY, by default Docker Hub."""
    from builder.engine.accounts import Account, Accounts

    account, accounts = Account.parse(registry), Accounts(invocation.settings)
    if accounts.logout(account):
        invocation.say(f"Removing login credentials for {account.kept_as}")
    else:
        invocation.say(f"Not logged in to {account.kept_as}")
    elsewhere = accounts.elsewhere(account)
    if elsewhere:
        invocation.note(f"credentials for {account.name} are still known: {elsewhere}")
