"""The words of `--secret`, `--ssh` and `--allow`."""

from __future__ import annotations

import os
from collections.abc import Iterable

from builder.cli.outputs import fields
from builder.dockerfile import suggest
from builder.engine.requests import ALLOWED
from builder.errors import UsageError
from builder.settings import variable
from builder.solve.given import AgentSource, SecretSource

_KEYS = ("id", "src", "source", "env", "type", "cache")


def secrets_of(words: Iterable[str]) -> tuple[SecretSource, ...]:
    """Read `id=NAME[,src=FILE|,env=NAME][,cache=digest]`; of several with one id the last counts.

    Raises: UsageError: a word is malformed, or there is nothing where it says.
    """
    found = [_secret(word) for word in words]
    return tuple({source.id: source for source in found}.values())


def _secret(word: str) -> SecretSource:
    given: dict[str, str] = {}
    for field in fields(word, "--secret"):
        key, equals, value = field.partition("=")
        key = key.lower()
        if not equals or key not in _KEYS:
            raise UsageError(
                f"`{field}` in `--secret {word}` is not understood",
                hint=suggest.hint(key, _KEYS) or "write it like `--secret id=NAME,src=FILE`",
            )
        given["src" if key == "source" else key] = value
    kind = given.get("type", "file")
    if kind not in ("file", "env"):
        raise UsageError(f"`{kind}` is no type of `--secret`", hint="use type=file or type=env")
    if given.get("cache", "digest") != "digest":
        raise UsageError(
            f"`cache={given['cache']}` of `--secret` is not understood",
            hint="write cache=digest, so that another value runs the steps again that see it",
        )
    name = given.get("id", "")
    if not name:
        raise UsageError(f"`--secret {word}` has no id", hint="write `--secret id=NAME,src=FILE`")
    path, env = given.get("src", ""), given.get("env", "")
    if kind == "env" and not env:
        path, env = "", path or name
    if not path and not env:
        path, env = ("", name) if variable(name) is not None else (name, "")
    source = SecretSource(id=name, path="" if env else path, env=env, keyed="cache" in given)
    _check(source)
    return source


def _check(source: SecretSource) -> None:
    """Refuse before anything is built what could not be read by the step that needs it."""
    if source.env:
        missing = variable(source.env) is None
        reason = "it is not set"
    else:
        missing = not os.access(source.path, os.R_OK) or os.path.isdir(source.path)
        reason = "there is no such file" if not os.path.exists(source.path) else "it cannot be read"
    if missing:
        raise UsageError(
            f"the secret `{source.id}` cannot be read from {source.described()}: {reason}",
            hint=f"name where it is: `--secret id={source.id},src=FILE` or `,env=NAME`",
        )


def agents_of(words: Iterable[str]) -> tuple[AgentSource, ...]:
    """Read `default` or `ID=SOCKET` or `ID=KEY[,KEY…]`; an id alone is the agent of SSH_AUTH_SOCK.

    Raises: UsageError: there is no such agent or key, or two of one id.
    """
    found: dict[str, AgentSource] = {}
    for word in words:
        name, _, places = word.partition("=")
        name = name or "default"
        if name in found:
            raise UsageError(f"`--ssh` names `{name}` twice")
        paths = tuple(place for place in places.split(",") if place)
        if not paths:
            agent = variable("SSH_AUTH_SOCK")
            if not agent:
                raise UsageError(
                    f"`--ssh {word}` needs an agent, and SSH_AUTH_SOCK is not set",
                    hint=f"start one with `eval $(ssh-agent)`, or give a key: `--ssh {name}=KEY`",
                )
            paths = (agent,)
        for path in paths:
            if not os.path.exists(path):
                raise UsageError(
                    f"`--ssh {name}`: there is no `{path}`", hint="name a socket or a private key"
                )
        found[name] = AgentSource(id=name, paths=tuple(os.path.abspath(path) for path in paths))
    return tuple(found.values())


def allowed_of(words: Iterable[str]) -> frozenset[str]:
    """Read what is allowed; a word may name several, with commas.

    Raises: UsageError: there is no such thing.
    """
    names = [name for word in words for name in word.split(",")]
    for name in names:
        if name not in ALLOWED:
            raise UsageError(
                f"`{name}` in `--allow` is not known, or not available in this version",
                hint=suggest.hint(name, ALLOWED) or f"it can be {', '.join(ALLOWED)}",
            )
    return frozenset(names)
