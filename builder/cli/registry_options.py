"""The options of verbs that talk to registries: which hosts are insecure, and where credentials are."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click
import msgspec

from builder.cli.invocation import Invocation
from builder.errors import UsageError
from builder.settings import Settings, insecure_registries

_NAMING = frozenset({"registry", "image", "name", "names"})
"""Arguments that name a registry or images."""

_TRUTHS = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}


def insecure_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--insecure-registry` to a command; the settings change, and nothing is passed on."""
    return click.option(
        "--insecure-registry",
        "insecure_hosts",
        multiple=True,
        metavar="HOST[:PORT]",
        expose_value=False,
        callback=_insecure,
        help="Let this registry speak plain http, or have any certificate.",
    )(command)


def authfile_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--authfile` to a command; the settings change, and nothing is passed on."""
    return click.option(
        "--authfile",
        metavar="FILE",
        expose_value=False,
        callback=_authfile,
        help="Take credentials from this file alone.",
    )(command)


def tls_verify_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--tls-verify`, as podman has it, to a command whose arguments name registries or images."""
    return click.option(
        "--tls-verify",
        flag_value="true",
        is_flag=False,
        metavar="[=false]",
        expose_value=False,
        callback=_tls_verify,
        help="With =false, same as --insecure-registry for the registry that is named.",
    )(command)


def registry_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add all of them."""
    return insecure_option(tls_verify_option(authfile_option(command)))


def _adjust(context: click.Context, change: Callable[[Settings], Settings]) -> None:
    invocation = context.find_object(Invocation)
    assert invocation is not None
    invocation.adjust(change)


def _insecure(context: click.Context, _: click.Parameter, given: tuple[str, ...]) -> None:
    if given:
        hosts = insecure_registries(given, "--insecure-registry")
        _adjust(context, lambda settings: _with_insecure(settings, hosts))


def _authfile(context: click.Context, _: click.Parameter, given: str | None) -> None:
    if given is not None:
        # What is named on the command line goes before what the environment says.
        changes = {"auth_file": os.path.abspath(given), "docker_auth_config": None}
        _adjust(context, lambda settings: msgspec.structs.replace(settings, **changes))


def _tls_verify(context: click.Context, _: click.Parameter, given: str | None) -> None:
    if given is None:
        return
    if given.lower() not in _TRUTHS:
        raise UsageError(f"`{given}` for `--tls-verify` is neither true nor false")
    if not _TRUTHS[given.lower()]:
        # The arguments are known by the time that the settings are read.
        _adjust(context, lambda settings: _with_insecure(settings, _named(context)))


def _named(context: click.Context) -> tuple[str, ...]:
    """Return the hosts of the registries and images that a command names."""
    from builder.oci.reference import Reference

    words: list[str] = []
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if parameter.name in _NAMING and value:
            words += [value] if isinstance(value, str) else value
    hosts = []
    for word in words:
        bare = word.partition("://")[2] or word
        hosts.append(bare if "/" not in bare else Reference.parse(bare).api_host)
    return tuple(hosts)


def _with_insecure(settings: Settings, hosts: tuple[str, ...]) -> Settings:
    known = (*settings.insecure_registries, *hosts)
    return msgspec.structs.replace(settings, insecure_registries=known)
