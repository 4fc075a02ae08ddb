"""What a caller gives to the steps of a build: where secrets and the keys of ssh agents come from."""

from __future__ import annotations

import msgspec


class SecretSource(msgspec.Struct, frozen=True, kw_only=True):
    """Where a secret comes from: the host path `path`, or the caller's variable `env`.

    With `keyed` a digest of the value, which tells nothing without the store's own key, counts for the keys of steps.
    """

    id: str
    path: str = ""
    env: str = ""
    keyed: bool = False

    def described(self) -> str:
        """Return where it was looked for."""
        return f"the variable `{self.env}`" if self.env else f"the file `{self.path}`"


class AgentSource(msgspec.Struct, frozen=True, kw_only=True):
    """Where the keys of an agent come from: a socket, or files of private keys; host paths."""

    id: str
    paths: tuple[str, ...] = ()


class SharedCache(msgspec.Struct, frozen=True, kw_only=True):
    """A cache that a build reads or adds to. `where` is a reference for `registry`, a host path for `local`, "" for `inline`.

    With `every_step` the layers of all steps are added, else those of the image alone. Without `required`, a cache that
    cannot be used is no reason to fail. `mounts` are the ids of cache mounts that go along, `("all",)` for every one,
    none of them larger than `mount_limit`, in bytes.
    """

    type: str
    where: str
    every_step: bool = False
    required: bool = False
    compression: str = "gzip"
    mounts: tuple[str, ...] = ()
    mount_limit: int = 2 << 30
