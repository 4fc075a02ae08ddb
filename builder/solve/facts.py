"""From an operation and its key to the facts by which a miss is explained; see `builder.graph.explain`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import assert_never

from builder.graph.explain import FILES, ORDER
from builder.graph.keys import CONTENTS, STATE, CacheKey
from builder.graph.mounts import (
    AgentMount,
    BindMount,
    CacheMount,
    RunMount,
    SecretMount,
    TmpfsMount,
)
from builder.graph.operations import CopyOp, MakeDirOp, Op, RunOp
from builder.oci.sha256 import sha256
from builder.solve.lookup import Step
from builder.store.cache import Observation

_MOST_SEEN = 200
_LONGEST = 4096
_SHORTEST = 4
_SOUNDS_SECRET = frozenset(
    [
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "passphrase",
        "passwd",
        "password",
        "pat",
        "pwd",
        "pword",
        "secret",
        "token",
    ]
)


def kind_of(op: Step) -> str:
    """Return what sort of step it is; only steps of one sort are compared."""
    match op:
        case RunOp():
            return "run"
        case CopyOp():
            return "copy"
        case MakeDirOp():
            return "directory"


def values_of(
    op: Step, seen: Iterable[Observation], salted: Callable[[bytes], str]
) -> dict[str, str]:
    """Return all that counts of an operation by name; `salted` hides a value, and is the same for the same one."""
    match op:
        case RunOp():
            return _of_run(op, salted)
        case CopyOp():
            flags = _of_copy(op)
        case MakeDirOp():
            flags = {"directory": op.path, "user": op.owner}
        case _:
            assert_never(op)
    observed = [each for _, each in zip(range(_MOST_SEEN), seen, strict=False)]
    return {**flags, **{f"seen {each.path}": each.seen for each in observed}}


def _of_copy(op: CopyOp) -> dict[str, str]:
    mode = f"{op.mode:o}" if isinstance(op.mode, int) else op.mode or ""
    return {
        "destination": op.dest,
        "--chown": op.owner or "",
        "--chmod": mode,
        "--exclude": " ".join(op.exclude),
        "--parents": str(op.parents),
        "--link": str(op.link),
        "--unpack": op.unpack.value,
    }


def _of_run(op: RunOp, salted: Callable[[bytes], str]) -> dict[str, str]:
    found = {"command": " ".join(op.argv)[:_LONGEST]}
    if len(" ".join(op.argv)) > _LONGEST:
        found["command"] += f" ({sha256(' '.join(op.argv).encode('utf-8', 'replace')).hex()})"
    if op.script is not None:
        found["script"] = op.script.decode("utf-8", "replace")[:_LONGEST]
    names: list[str] = []
    for variable in op.env:
        name, _, value = variable.partition("=")
        names.append(name)
        kind = "ARG" if name in op.arguments else "ENV"
        found[f"{kind} {name}"] = _shown(name, value, salted)
    found |= {
        ORDER: " ".join(names),
        "directory": op.cwd,
        "user": op.user,
        "network": op.network,
        "security": op.security,
        "host name": op.hostname,
        "hosts": " ".join(op.hosts),
        "platform": op.platform,
    }
    found |= {f"mount {_target(mount)}": _mount(mount) for mount in op.mounts}
    return found


def delicate_values(operations: Iterable[Op]) -> frozenset[str]:
    """Return the values of the variables of commands that may be secrets, long enough to be told from other words."""
    variables = {
        variable.partition("=")
        for op in operations
        if isinstance(op, RunOp)
        for variable in (*op.env, *op.hidden_env)
    }
    return frozenset(
        value
        for name, _, value in variables
        if len(value) >= _SHORTEST and _is_delicate(name, value)
    )


def _is_delicate(name: str, value: str) -> bool:
    parts = set(name.lower().replace("-", "_").split("_"))
    return bool(parts & _SOUNDS_SECRET) or ("://" in value and "@" in value)


def _shown(name: str, value: str, salted: Callable[[bytes], str]) -> str:
    """Return a value, or what stands for it where it may be a secret or is long."""
    if _is_delicate(name, value) or len(value) > _LONGEST:
        return f"****{salted(value.encode('utf-8', 'surrogateescape'))[:12]}"
    return value.encode("utf-8", "replace").decode()


def _target(mount: RunMount) -> str:
    if isinstance(mount, SecretMount):
        return mount.target or f"${mount.env}"
    return mount.target


def _mount(mount: RunMount) -> str:
    match mount:
        case BindMount() | CacheMount():
            return " ".join([str(mount.identity()[0]), "ro" if mount.read_only else "rw"])
        case TmpfsMount():
            return f"tmpfs {mount.size}"
        case SecretMount():
            return f"secret {mount.target} {mount.env}"
        case AgentMount():
            return "ssh"


def digests_of(op: Step, key: CacheKey) -> dict[str, str]:
    """Return the parts of a key that are digests of what was read, by what they are of."""
    found: dict[str, str] = {}
    for part in key.parts:
        if part.name in (CONTENTS, STATE):
            found[FILES if isinstance(op, CopyOp) else f"bind {part.shown}"] = part.digest
        elif part.name.startswith("secret "):
            found[part.name] = part.digest
    return found
