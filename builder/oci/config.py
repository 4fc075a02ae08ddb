"""The image configuration: how a container is made from the layers, and which layers.

Source: OCI image-spec, config.md; Healthcheck, OnBuild, Shell and ArgsEscaped as Docker writes them.
"""

from __future__ import annotations

import msgspec


class Healthcheck(msgspec.Struct, frozen=True, kw_only=True):
    """How to test that a container is well; durations in nanoseconds, 0 inherits."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ContainerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The defaults of a container; `env` holds `NAME=value`, `exposed_ports` `80/tcp`.

    None for `entrypoint`, `cmd` and `shell` means "not set", which is different from empty.
    Sets are kept as sorted tuples, labels as pairs sorted by name.
    """

    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: tuple[str, ...] = ()
    working_dir: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    stop_signal: str = ""
    healthcheck: Healthcheck | None = None
    on_build: tuple[str, ...] = ()
    shell: tuple[str, ...] | None = None
    args_escaped: bool = False


class History(msgspec.Struct, frozen=True, kw_only=True):
    """One line of how the image came to be; `created` is RFC 3339 text or "" when unknown."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration document, parsed; `diff_ids` bottom first.

    `extra` are top-level members and `extra_config` members of the inner object that lapstrake does not
    know, as JSON texts, kept so that a rebuild on a base image loses nothing.
    """

    architecture: str
    os: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    created: str = ""
    author: str = ""
    config: ContainerConfig = ContainerConfig()
    diff_ids: tuple[str, ...] = ()
    history: tuple[History, ...] = ()
    extra: tuple[tuple[str, bytes], ...] = ()
    extra_config: tuple[tuple[str, bytes], ...] = ()
