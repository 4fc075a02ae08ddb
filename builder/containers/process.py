"""From an image's configuration and what the user asks for to the process that a container runs."""

from __future__ import annotations

import msgspec

from builder.errors import ContainerError, UsageError
from builder.oci.config import ContainerConfig
from runtime.spec import Process

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """What goes before the configuration; None and () leave it. `env` are `NAME=value`."""

    argv: tuple[str, ...] = ()
    entrypoint: str | None = None
    env: tuple[str, ...] = ()
    workdir: str | None = None
    user: str | None = None
    terminal: bool = False


def process_of(config: ContainerConfig, overrides: Overrides, hostname: str) -> Process:
    """Return the process to run.

    An entry point given takes the image's arguments away; an empty one takes the image's entry point away too.

    Raises: ContainerError: there is no command. UsageError: the working directory is not absolute.
    Source: moby, daemon/commit.go, "merge", and container/env.go.
    """
    return Process(
        argv=_argv(config, overrides),
        env=_environment(config, overrides, hostname),
        cwd=_workdir(config, overrides),
        user=config.user if overrides.user is None else overrides.user,
        terminal=overrides.terminal,
    )


def _argv(config: ContainerConfig, overrides: Overrides) -> tuple[str, ...]:
    if overrides.entrypoint is not None:
        entrypoint = (overrides.entrypoint,) if overrides.entrypoint else ()
        argv = (*entrypoint, *overrides.argv)
    else:
        argv = (*(config.entrypoint or ()), *(overrides.argv or config.cmd or ()))
    if not argv:
        raise ContainerError(
            "there is no command to run",
            code="container.start-failed",
            notes=("the image has neither an entry point nor a command",)
            if overrides.entrypoint is None
            else (),
            hint="write one after the image's name",
        )
    return argv


def _environment(config: ContainerConfig, overrides: Overrides, hostname: str) -> tuple[str, ...]:
    """Return each variable once, where it first stood, with its last value."""
    first = [DEFAULT_PATH, f"HOSTNAME={hostname}"]
    if overrides.terminal:
        first.append("TERM=xterm")
    variables: dict[str, str] = {}
    for item in (*first, *config.env, *overrides.env):
        name, equals, value = item.partition("=")
        if equals:
            variables[name] = value
    return tuple(f"{name}={value}" for name, value in variables.items())


def _workdir(config: ContainerConfig, overrides: Overrides) -> str:
    given = overrides.workdir
    if given is not None and not given.startswith("/"):
        raise UsageError(
            f"the working directory `{given}` is not an absolute path",
            hint="begin it with a slash: `-w /src`",
        )
    # Old images may say `src`; Docker took that to be below the root.
    return given or "/" + config.working_dir.lstrip("/")
