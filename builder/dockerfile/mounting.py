"""The mounts of a RUN to what the graph knows of them, once variables and working directory are known."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from functools import partial

import msgspec

from builder.diagnostics import SourceFile
from builder.dockerfile import mounts, rootpaths
from builder.dockerfile.instructions import Flag, Run
from builder.dockerfile.mounts import Mount
from builder.errors import DockerfileError
from builder.graph.mounts import (
    AgentMount,
    BindMount,
    CacheMount,
    RunMount,
    SecretMount,
    Sharing,
    TmpfsMount,
)

SECRETS = "/run/secrets"
AGENTS = "/run/buildkit/ssh_agent"
NAMESPACE = "BUILDKIT_CACHE_MOUNT_NS"
"""The build argument that keeps caches of one name apart."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a RUN stands: its working directory, what expands a word, and the namespace of its caches."""

    source: SourceFile
    directory: str
    expand: mounts.Expand
    namespace: str = ""


def run_mounts(run: Run, place: Place, inputs: Callable[[Mount, int], int]) -> tuple[RunMount, ...]:
    """Return the mounts of a RUN, in order.

    `inputs` gives the input of the step that holds what a mount, the flag of this index, is to show.

    Raises: DockerfileError: a mount cannot be, or is not supported.
    """
    found: list[RunMount] = []
    agents = 0
    for number, flag in enumerate(run.mounts):
        mount = mounts.read_mount(flag, place.source, place.expand)
        mounts.check_target(mount, flag, place.directory, place.source)
        found.append(_mount(mount, flag, place, agents, partial(_input, inputs, number)))
        agents += mount.type == mounts.SSH
    return tuple(found)


def _input(inputs: Callable[[Mount, int], int], number: int, mount: Mount) -> int:
    return inputs(mount, number)


def secret_variables(found: tuple[RunMount, ...]) -> frozenset[str]:
    """Return the variables that hold secrets."""
    return frozenset(mount.env for mount in found if isinstance(mount, SecretMount) and mount.env)


def _mount(
    mount: Mount, flag: Flag, place: Place, agents: int, input_of: Callable[[Mount], int]
) -> RunMount:
    target = rootpaths.join(place.directory, mount.target)
    match mount.type:
        case mounts.CACHE:
            return _cache(mount, flag, place, input_of)
        case mounts.TMPFS:
            return TmpfsMount(target=target, size=mount.size, read_only=mount.read_only)
        case mounts.SECRET:
            return _secret(mount, target)
        case mounts.SSH:
            return AgentMount(
                id=mount.id or "default",
                target=target if mount.target else f"{AGENTS}.{agents}",
                required=mount.required,
                mode=0o600 if mount.mode is None else mount.mode,
                uid=mount.uid or 0,
                gid=mount.gid or 0,
            )
        case _:
            return BindMount(
                input=input_of(mount),
                path=rootpaths.clean(mount.source)[1:],
                target=target,
                read_only=mount.read_only,
            )


def _cache(mount: Mount, flag: Flag, place: Place, input_of: Callable[[Mount], int]) -> CacheMount:
    if mount.source and not mount.from_:
        raise DockerfileError(
            "`source` of a cache without `from` is not supported",
            code="dockerfile.unsupported",
            span=flag.span,
            source=place.source,
            notes=("it would be a directory inside a cache that begins empty",),
            hint="leave `source` out, or name with `from` what the cache begins with",
        )
    name = mount.id or posixpath.normpath(mount.target or ".")
    return CacheMount(
        id=f"{place.namespace}/{name}" if place.namespace else name,
        target=rootpaths.join(place.directory, mount.target),
        sharing=Sharing(mount.sharing or "shared"),
        read_only=mount.read_only,
        mode=0o755 if mount.mode is None else mount.mode & 0o7777,
        uid=mount.uid or 0,
        gid=mount.gid or 0,
        input=input_of(mount) if mount.from_ else 0,
    )


def _secret(mount: Mount, target: str) -> SecretMount:
    name = mount.source or mount.id or posixpath.basename(mount.target)
    if mount.target:
        shown = target
    else:
        shown = "" if mount.env is not None else f"{SECRETS}/{posixpath.basename(name)}"
    return SecretMount(
        id=name,
        target=shown,
        env="" if mount.env is None else mount.env or name,
        required=mount.required,
        mode=0o400 if mount.mode is None else mount.mode,
        uid=mount.uid or 0,
        gid=mount.gid or 0,
    )
