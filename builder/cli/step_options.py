"""The options of `build` that say what steps may use and which hosts they know; their words are read by `limits`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

_OPTIONS: tuple[tuple[tuple[str, ...], str, bool, str], ...] = (
    (
        ("--add-host", "add_hosts"),
        "HOST:IP",
        True,
        "Let steps find a host: HOST:IP, HOST=IP or HOST:host-gateway.",
    ),
    (("--shm-size",), "BYTES", False, "Choose the size of /dev/shm, for example 256m."),
    (
        ("--ulimit", "ulimits"),
        "TYPE=SOFT[:HARD]",
        True,
        "Limit each process of a step, for example nofile=1024:2048.",
    ),
    (("--cgroup-parent",), "PATH", False, "Make the control groups of steps in this one."),
    (
        ("--resource", "resources"),
        "KEY=VALUE",
        True,
        "Limit each step: memory, memory-swap, cpu-shares, cpu-period, cpu-quota, cpuset-cpus, cpuset-mems, pids.",
    ),
    (("-m", "--memory"), "BYTES", False, "Same as --resource memory=BYTES."),
    (("--memory-swap",), "BYTES", False, "Same as --resource memory-swap=BYTES; -1 is no limit."),
    (("-c", "--cpu-shares"), "NUMBER", False, "Same as --resource cpu-shares=NUMBER."),
    (("--cpus",), "NUMBER", False, "Let a step use this much of processors, for example 1.5."),
    (("--cpu-period",), "MICROSECONDS", False, "Same as --resource cpu-period=MICROSECONDS."),
    (("--cpu-quota",), "MICROSECONDS", False, "Same as --resource cpu-quota=MICROSECONDS."),
    (("--cpuset-cpus",), "LIST", False, "Same as --resource cpuset-cpus=LIST, such as 0-2,4."),
    (("--cpuset-mems",), "LIST", False, "Same as --resource cpuset-mems=LIST."),
)


def step_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command; their values come as keywords."""
    for names, metavar, several, text in reversed(_OPTIONS):
        command = click.option(*names, metavar=metavar, multiple=several, help=text)(command)
    return command
