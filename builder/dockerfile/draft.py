"""The configuration of an image while a stage is being lowered."""

from __future__ import annotations

import msgspec

from builder.oci.config import ContainerConfig, Healthcheck, ImageConfig
from builder.oci.platform import Platform

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL = ("/bin/sh", "-c")


class Draft:
    """A mutable `ImageConfig`; `environment` is what commands see: the image's and the build arguments.

    Triggers of the base are not taken over: they are for this stage, and end with it.
    """

    def __init__(self, base: ImageConfig) -> None:
        config = base.config
        self.base = base
        self.author = base.author
        self.user = config.user
        self.working_dir = config.working_dir
        self.entrypoint = config.entrypoint
        self.cmd = config.cmd
        self.args_escaped = config.args_escaped
        self.shell = config.shell
        self.stop_signal = config.stop_signal
        self.healthcheck: Healthcheck | None = config.healthcheck
        self.on_build: list[str] = []
        self.labels = dict(config.labels)
        self.ports = set(config.exposed_ports)
        self.volumes = set(config.volumes)
        self.environment: dict[str, str] = {}
        self.arguments: dict[str, str | None] = {}
        self._env = list(config.env)
        self._places: dict[str, int] = {}
        self._items: dict[str, str] = {}
        self._cached: tuple[str, ...] | None = None
        for place, item in enumerate(self._env):
            name, equals, value = item.partition("=")
            if self._places.setdefault(name, place) != place:
                del self._items[name]
            self.environment[name] = value
            self._items[name] = item if equals else f"{item}="
        if "PATH" not in self.environment:
            self.set_env("PATH", DEFAULT_PATH)

    @property
    def platform(self) -> Platform:
        """What the files of the base are for."""
        return Platform.of(self.base.os, self.base.architecture, self.base.variant)

    def copy(self) -> Draft:
        """Return a draft for a stage that begins where this one ends.

        Arguments in scope are passed on, but a variable of the image wins over an argument of its name.
        """
        draft = Draft(self.frozen())
        image = draft.environment
        draft.environment = {**self.environment, **image}
        draft._items = {
            **{name: item for name, item in self._items.items() if name not in image},
            **draft._items,
        }
        draft._cached = None
        draft.arguments = dict(self.arguments)
        return draft

    def set_env(self, name: str, value: str) -> None:
        """Set a variable of the image, where it stands or at the end."""
        place = self._places.get(name)
        if place is None:
            self._places[name] = len(self._env)
            self._env.append(f"{name}={value}")
        else:
            self._env[place] = f"{name}={value}"
        self.set_environment(name, value)

    def set_environment(self, name: str, value: str) -> None:
        """Set a variable of the commands only: a build argument."""
        self.environment[name] = value
        # What was set last comes last, as in BuildKit.
        self._items.pop(name, None)
        self._items[name] = f"{name}={value}"
        self._cached = None

    def command_environment(self) -> tuple[str, ...]:
        """Return `NAME=value` for each variable that commands see."""
        if self._cached is None:
            self._cached = tuple(self._items.values())
        return self._cached

    def argument_names(self) -> tuple[str, ...]:
        """Return which of the variables that commands see are build arguments."""
        given = self.arguments.items()
        return tuple(
            [name for name, value in given if value is not None and name not in self._places]
        )

    def with_shell(self, command: str) -> tuple[str, ...]:
        """Return what runs `command` through the shell in force."""
        return (*(self.shell or DEFAULT_SHELL), command)

    def frozen(self) -> ImageConfig:
        """Return the configuration; layers and history are still those of the base."""
        return msgspec.structs.replace(
            self.base,
            created="",
            author=self.author,
            config=msgspec.structs.replace(
                self.base.config,
                user=self.user,
                exposed_ports=tuple(sorted(self.ports)),
                env=tuple(self._env),
                entrypoint=self.entrypoint,
                cmd=self.cmd,
                volumes=tuple(sorted(self.volumes)),
                working_dir=self.working_dir,
                labels=tuple(sorted(self.labels.items())),
                stop_signal=self.stop_signal,
                healthcheck=self.healthcheck,
                on_build=tuple(self.on_build),
                shell=self.shell,
                args_escaped=self.args_escaped,
            ),
        )


def empty(os: str, architecture: str, variant: str) -> ImageConfig:
    """Return the configuration that `FROM scratch` begins with."""
    return ImageConfig(
        architecture=architecture,
        os=os,
        variant=variant,
        config=ContainerConfig(env=(f"PATH={DEFAULT_PATH}",), working_dir="/"),
    )
