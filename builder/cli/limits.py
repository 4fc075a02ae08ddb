"""The words of `--add-host`, `--shm-size`, `--ulimit`, `--cgroup-parent`, `--resource` and its older spellings.

Source: docker/go-units (sizes, ulimits); docker buildx build, "--add-host", "--resource".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from builder.cli.outputs import fields
from builder.dockerfile import suggest
from builder.errors import UsageError
from builder.settings import size_of
from builder.solve.surroundings import GATEWAY, Limits
from runtime.process_limits import NUMBERS
from runtime.spec import SHARED_MEMORY, ProcessLimit, Resources

_SIZES = ("memory", "memory-swap")
_COUNTS = ("cpu-shares", "cpu-period", "cpu-quota", "pids")
_LISTS = ("cpuset-cpus", "cpuset-mems")
RESOURCES = (*_SIZES, *_COUNTS, *_LISTS)

_MOST = 1 << 62
_MOST_PROCESSORS = 8192
_LONGEST_PATH = 1024
_PERIOD = 100_000
"""Microseconds."""


def hosts_of(words: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Read `HOST:IP`, `HOST=IP` with or without brackets around the address, or `HOST:host-gateway`.

    Raises: UsageError: a word is no such thing.
    """
    return tuple(_host(word) for word in words)


def _host(word: str) -> tuple[str, str]:
    name, mark, address = word.partition("=")
    if not mark:
        name, _, address = word.partition(":")
    if not name or not address or not name.isprintable() or set(name) & set(" \t#"):
        raise UsageError(
            f"`--add-host {word[:120]}` is not understood", hint="write `--add-host HOST:IP`"
        )
    if address == GATEWAY:
        return name.lower(), GATEWAY
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    try:
        found = ipaddress.ip_address(address)
    except ValueError as error:
        raise UsageError(
            f"`{address[:80]}` in `--add-host {word[:120]}` is not an address",
            hint=suggest.hint(address, (GATEWAY,))
            or "give an IPv4 or IPv6 address, or host-gateway",
        ) from error
    if isinstance(found, ipaddress.IPv6Address) and found.scope_id is not None:
        raise UsageError(f"the address of `--add-host {word[:120]}` has a zone")
    return name.lower(), str(found)


def limits_of(given: Mapping[str, Any]) -> Limits:
    """Read the values of the options of `step_options` that limit steps.

    Raises: UsageError: a value is no such limit.
    """
    size = given["shm_size"]
    return Limits(
        resources=_resources(given),
        processes=_ulimits(given["ulimits"]),
        shared_memory=SHARED_MEMORY if size is None else size_of(size, "--shm-size"),
    )


def _ulimits(words: Iterable[str]) -> tuple[ProcessLimit, ...]:
    found = [_ulimit(word) for word in words]
    return tuple({limit.name: limit for limit in found}.values())


def _ulimit(word: str) -> ProcessLimit:
    name, equals, values = word.partition("=")
    if not equals:
        raise UsageError(
            f"`--ulimit {word[:80]}` is not understood", hint="write `--ulimit nofile=1024:2048`"
        )
    if name not in NUMBERS:
        raise UsageError(
            f"`{name[:40]}` in `--ulimit {word[:80]}` is not a limit of processes",
            hint=suggest.hint(name, NUMBERS) or f"it can be {', '.join(NUMBERS)}",
        )
    numbers = [_ulimit_value(text, word) for text in values.split(":")]
    if len(numbers) > 2:
        raise UsageError(f"`--ulimit {word[:80]}` has more than a soft and a hard limit")
    soft, hard = numbers[0], numbers[-1]
    if hard != -1 and (soft == -1 or soft > hard):
        raise UsageError(
            f"`--ulimit {word[:80]}`: the soft limit is above the hard one",
            hint="the first number is the soft limit",
        )
    return ProcessLimit(name, soft, hard)


def _ulimit_value(text: str, word: str) -> int:
    if text in {"-1", "unlimited"}:
        return -1
    number = _number(text)
    if number is None:
        raise UsageError(f"`{text[:40]}` in `--ulimit {word[:80]}` is not a number")
    return number


def _resources(given: Mapping[str, Any]) -> Resources | None:
    """Return what was given by `--resource` and by the older flags, which come first."""
    values: dict[str, int | str] = {}
    for key in (*_SIZES, "cpu-shares", "cpu-period", "cpu-quota", *_LISTS):
        text = given[key.replace("-", "_")]
        no_limit = text == "0" and key not in _LISTS  # as Docker writes it
        if text is not None and not no_limit:
            values[key] = _value(key, text, f"--{key}")
    if given["cpus"] is not None:
        values |= _cpus(given["cpus"], values)
    for word in given["resources"]:
        for field in fields(word, "--resource"):
            key, equals, text = field.partition("=")
            key = key.strip().lower()
            if not equals or key not in RESOURCES:
                raise UsageError(
                    f"`{field[:80]}` in `--resource` is not understood",
                    hint=suggest.hint(key, RESOURCES) or f"it can be {', '.join(RESOURCES)}",
                )
            values[key] = _value(key, text, f"--resource {key}")
    parent = _parent(given["cgroup_parent"])
    if not values and not parent:
        return None
    _check_swap(values)
    named: dict[str, Any] = {key.replace("-", "_"): value for key, value in values.items()}
    return Resources(**named, parent=parent)


def _cpus(text: str, values: Mapping[str, int | str]) -> dict[str, int | str]:
    """Return the share of time that a number of processors comes to, as `docker run` does."""
    whole, dot, part = text.partition(".")
    if not all(map(_is_digits, (whole, part) if dot else (whole,))) or not float(text):
        raise UsageError(
            f"`{text[:40]}` in `--cpus` is not a number of processors", hint="write it like 1.5"
        )
    if values.keys() & {"cpu-period", "cpu-quota"}:
        raise UsageError("`--cpus` goes with neither `--cpu-period` nor `--cpu-quota`")
    # The kernel takes no less than a millisecond.
    quota = max(1000, min(int(float(text) * _PERIOD), _MOST))
    return {"cpu-period": _PERIOD, "cpu-quota": quota}


def _check_swap(values: Mapping[str, int | str]) -> None:
    memory, both = values.get("memory"), values.get("memory-swap")
    if isinstance(memory, int) and isinstance(both, int) and -1 < both < memory:
        raise UsageError(
            "`memory-swap` is less than `memory`",
            hint="it is the limit of memory and swap together",
        )


def _value(key: str, text: str, flag: str) -> int | str:
    if key in _LISTS:
        return _list(text, flag)
    if key == "memory-swap" and text == "-1":
        return -1
    if key in _SIZES:
        return size_of(text, flag)
    number = _number(text)
    if not number:
        raise UsageError(f"`{text[:40]}` in `{flag}` is not a number above 0")
    return number


def _list(text: str, flag: str) -> str:
    for part in text.split(","):
        first, dash, last = part.partition("-")
        ends = [first, last] if dash else [first]
        if not all(_is_digits(each) and int(each) < _MOST_PROCESSORS for each in ends) or (
            dash and int(first) > int(last)
        ):
            raise UsageError(
                f"`{text[:80]}` in `{flag}` is not a list of numbers", hint="write it like 0-2,4"
            )
    return text


def _parent(text: str | None) -> str:
    if not text:
        return ""
    names = text.strip("/").split("/")
    bad = {"", ".", ".."} & set(names)
    if bad or not text.isprintable() or len(text.encode()) > _LONGEST_PATH:
        raise UsageError(
            f"`{text[:120]}` in `--cgroup-parent` is not the path of a control group",
            hint="write it from the top, like /builds",
        )
    return text


def _number(text: str) -> int | None:
    return int(text) if _is_digits(text) and int(text) <= _MOST else None


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20
