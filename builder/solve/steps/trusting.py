"""What lets a step trust certificates that are not the image's: for its time, and without a trace in its layer.

Programs that read the distribution's bundle find ours in it; those that bring their own are told by variables. Where the
root file system is a plain tree, which cannot have a layer put between, there are the variables alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from builder.graph.operations import RunOp
from builder.layer.certificates import added, key_store, read_certificates
from builder.layer.trust import Prepared
from builder.solve.translate import Behind
from builder.store.forms import unique_name
from builder.store.root import Store
from builder.store.snapshotter import ActiveSnapshot
from runtime import spec as runtime

PLACE = "/run/lapstrake"
_VARIABLES = (
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "DENO_CERT",
)
_JAVA = "JAVA_TOOL_OPTIONS"


class Trusted(msgspec.Struct, frozen=True, kw_only=True):
    """What a step runs with."""

    rootfs: runtime.Rootfs
    mounts: tuple[runtime.Mount, ...] = ()
    env: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    own: tuple[bytes, ...] = ()


@contextmanager
def trusting(
    op: RunOp,
    active: ActiveSnapshot,
    certificates: tuple[bytes, ...],
    *,
    store: Store,
    behind: Behind,
) -> Iterator[Trusted]:
    """Have certificates trusted by what runs in `active`, until the end of the block."""
    if not certificates:
        yield Trusted(rootfs=active.rootfs)
        return
    into = f"{store.snapshots.scratch()}/{unique_name()}"
    os.mkdir(into, 0o755)
    try:
        found = behind.call(
            "builder.layer.trust:prepare_trust",
            {"lowers": active.lowers, "into": into, "certificates": certificates},
        )
        prepared = msgspec.convert(found, Prepared)
        if active.rootfs.plain:
            yield _beside(op, active, certificates, prepared)
        else:
            yield _between(op, active, certificates, prepared, into)
    finally:
        behind.call("builder.layer.jobs:remove_tree", {"path": into}, cleanup=True)


def strip(
    active: ActiveSnapshot, trusted: Trusted, certificates: tuple[bytes, ...], behind: Behind
) -> tuple[str, ...]:
    """Take the certificates out of what the step wrote; return the paths of what holds some still."""
    arguments = {
        "upper": active.upper,
        "certificates": certificates,
        "new": trusted.new,
        "own": trusted.own,
        "since": active.since if active.rootfs.plain else 0,
    }
    found = behind.call("builder.layer.trust:strip_trust", arguments)
    return tuple(msgspec.convert(found, list[str]))


def _between(
    op: RunOp,
    active: ActiveSnapshot,
    certificates: tuple[bytes, ...],
    prepared: Prepared,
    into: str,
) -> Trusted:
    rootfs = msgspec.structs.replace(active.rootfs, lowers=(into, *active.rootfs.lowers))
    env = list(_pointing(op, f"/{prepared.bundle}")) if prepared.bundle else []
    mounts: list[runtime.Mount] = []
    if prepared.java:
        mounts, env = _with_java(op, certificates, prepared, mounts, env)
    return Trusted(
        rootfs=rootfs, mounts=tuple(mounts), env=tuple(env), new=prepared.new, own=prepared.own
    )


def _beside(
    op: RunOp, active: ActiveSnapshot, certificates: tuple[bytes, ...], prepared: Prepared
) -> Trusted:
    path = f"{PLACE}/certificates.pem"
    mounts: list[runtime.Mount] = [
        runtime.FileMount(target=path, content=added(prepared.text, certificates))
    ]
    env = list(_pointing(op, path))
    if prepared.java:
        mounts, env = _with_java(op, certificates, prepared, mounts, env)
    return Trusted(rootfs=active.rootfs, mounts=tuple(mounts), env=tuple(env), own=prepared.own)


def _pointing(op: RunOp, path: str) -> Iterator[str]:
    """Yield variables that name a bundle; what the Dockerfile or image sets stays."""
    known = {each.partition("=")[0] for each in op.env}
    return (f"{name}={path}" for name in _VARIABLES if name not in known)


def _with_java(
    op: RunOp,
    certificates: tuple[bytes, ...],
    prepared: Prepared,
    mounts: list[runtime.Mount],
    env: list[str],
) -> tuple[list[runtime.Mount], list[str]]:
    """Add a key store of everything that is trusted: Java reads no bundle."""
    path = f"{PLACE}/certificates.jks"
    trusted = dict.fromkeys((*read_certificates(prepared.text), *certificates))
    mount = runtime.FileMount(target=path, content=key_store(trusted))
    option = f"-Djavax.net.ssl.trustStore={path} -Djavax.net.ssl.trustStoreType=JKS"
    given = next((each for each in op.env if each.startswith(f"{_JAVA}=")), f"{_JAVA}=")
    return [*mounts, mount], [*env, f"{given} {option}".replace("= ", "=")]
