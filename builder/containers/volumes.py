"""`-v HOST:DIR[:ro|rw]`: directories and files of the host, shown in a container."""

from __future__ import annotations

import os
import posixpath

from builder.errors import UsageError
from runtime.spec import BindMount, Mount

_ACCESS = {"ro": True, "rw": False}


def mounts_of(volumes: tuple[str, ...]) -> tuple[Mount, ...]:
    """Return the mounts that volumes ask for.

    Raises: UsageError: one is not written right, is not here, or is of a kind that is not available.
    """
    mounts: dict[str, Mount] = {}
    for text in volumes:
        mount = _mount_of(text)
        if mount.target in mounts:
            raise UsageError(f"two volumes are to be shown at `{mount.target}`")
        mounts[mount.target] = mount
    return tuple(mounts.values())


def _mount_of(text: str) -> Mount:
    parts = text.split(":")
    if len(parts) not in {2, 3} or not all(parts):
        if len(parts) == 1 and text.startswith("/"):
            raise UsageError(
                f"`-v {text}`: anonymous volumes are not available in this version",
                hint="leave it out: whatever a container writes is gone with it",
            )
        raise UsageError(
            f"`-v {text}` is not a volume", hint="write it like `-v /host/directory:/directory:ro`"
        )
    source, target = parts[0], posixpath.normpath(parts[1])
    if not target.startswith("/") or not target.strip("/"):
        raise UsageError(
            f"`-v {text}`: `{parts[1]}` is not an absolute path below the root of the container",
            hint="begin it with a slash: `-v /host/directory:/directory`",
        )
    return BindMount(
        source=_host_path(source, text),
        target="/" + target.lstrip("/"),
        read_only=_read_only(parts[2] if len(parts) == 3 else "rw", text),
    )


def _host_path(source: str, text: str) -> str:
    if source.startswith("."):
        source = os.path.abspath(source)
    if not source.startswith("/"):
        raise UsageError(
            f"`-v {text}`: named volumes, such as `{source}`, are not available in this version",
            hint=f"show a directory of the host by its path: `-v ./{source}:…`",
        )
    try:
        os.stat(source)
    except OSError as error:
        raise UsageError(
            f"`-v {text}`: `{source}` cannot be shown: {os.strerror(error.errno or 0)}",
            hint="create it first: unlike Docker, lapstrake makes no directories on the host"
            if isinstance(error, FileNotFoundError)
            else None,
        ) from error
    return source


def _read_only(options: str, text: str) -> bool:
    if options not in _ACCESS:
        raise UsageError(
            f"`-v {text}`: the option `{options}` is not available in this version",
            hint="use `ro` or `rw`",
        )
    return _ACCESS[options]
