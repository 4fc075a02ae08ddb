"""Which platforms' commands run here, and how; what is missing for others."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import assert_never

from builder.engine.findings import Finding
from builder.oci.platform import Platform
from builder.solve.emulating import emulation_of
from builder.solve.translate import Behind
from runtime.checkup import Tried, try_machines
from runtime.emulation import How
from runtime.spec import IsolationName

USUAL = tuple(
    Platform.parse(text)
    for text in (
        *("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386"),
        *("linux/ppc64le", "linux/riscv64", "linux/s390x"),
    )
)
"""What images are built for."""

_GROUP = "platforms"


def examine(place: str, walls: IsolationName | None) -> Iterable[Finding]:
    """Try the usual platforms behind walls; `place` is a host directory on the store's file system."""
    if walls is None:
        return
    machines = {platform.machine: platform for platform in USUAL}
    with ExitStack() as stack:
        where = place if os.access(place, os.W_OK | os.X_OK) else None
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix=".doctor-", dir=where))
        tried = _tried(walls, tuple(machines), directory)
    missing: dict[tuple[str, str], list[str]] = {}
    for each in tried:
        emulation = each.emulation
        name = str(machines[emulation.machine])
        if emulation.how is How.NOT:
            missing.setdefault((emulation.reason, emulation.hint), []).append(name)
        else:
            yield Finding(group=_GROUP, name=name, ok=True, reason=_how(each))
    for (reason, hint), names in missing.items():
        yield Finding(
            group=_GROUP,
            name=", ".join(names),
            ok=False,
            reason=reason,
            cost="stages for these can copy, but not RUN",
            change=hint,
        )


def _tried(walls: IsolationName, machines: tuple[str, ...], directory: str) -> tuple[Tried, ...]:
    """Try machines behind walls; for root, what does not run there in a user namespace, as `emulating` does."""
    tried = try_machines(walls, machines, directory)
    lacking = tuple(
        each.emulation.machine
        for each in tried
        if each.emulation.how is How.NOT and each.emulation.emulator
    )
    if not lacking or walls is not IsolationName.ROOT:
        return tried
    beside = {
        each.emulation.machine: each
        for each in try_machines(IsolationName.USERNS_ROOT, lacking, directory)
    }
    return tuple(beside.get(each.emulation.machine, each) for each in tried)


def _how(tried: Tried) -> str:
    emulation = tried.emulation
    if not emulation.emulator:
        native = emulation.machine in _native()
        return "natively" if native else "by an emulator that the machine around has registered"
    emulator = f"by `{os.path.realpath(emulation.emulator)}`"
    if tried.version:
        emulator += f" {tried.version}"
    match emulation.how:
        case How.DIRECTLY:
            return f"{emulator}, which is registered with the kernel"
        case How.SHOWN:
            return f"{emulator}, which steps are shown, as it is registered without the flag F"
        case How.OWN:
            return f"{emulator}, which each build registers for itself"
        case How.NOT:
            return emulation.reason
        case _ as unreachable:
            assert_never(unreachable)


def _native() -> tuple[str, ...]:
    """Return the machines that the processor may be: this one, and its 32-bit sibling."""
    host = Platform.host().machine
    return host, *({"x86_64": ("i386",), "aarch64": ("arm",)}.get(host, ()))


def runnable(behind: Behind, directory: str) -> Iterator[str]:
    """Yield the usual platforms whose commands run, the host's first; `directory` as in `emulating`."""
    host = Platform.host()
    for platform in sorted(USUAL, key=lambda each: each != host):
        _, emulation = emulation_of(platform.machine, behind, directory)
        if emulation.how is not How.NOT:
            yield str(platform)
