"""What a RUN is shown besides its own file system: a closed union of plain data.

Each writes its own `identity()`, which says what of it counts for the key of the step: where it is shown and what kind it
is. Contents of caches, values of secrets and keys of agents never count: a warm cache must not change what is built.
"""

from __future__ import annotations

from enum import Enum

import msgspec

Identity = tuple[object, ...]


class Sharing(Enum):
    """What happens when two steps want one cache: both use it, the second waits, or it gets another one."""

    SHARED = "shared"
    LOCKED = "locked"
    PRIVATE = "private"


class BindMount(msgspec.Struct, frozen=True, kw_only=True, tag="bind"):
    """The directory or file at `path` ("" is all) of an input of the step, counting from 1.

    Without `read_only` the command may write there; what it writes is dropped.
    """

    input: int
    path: str
    target: str
    read_only: bool = True

    def identity(self) -> Identity:
        """Return what counts; so does, in a part of the key of its own, what the input holds at the path."""
        return ("bind", self.target, self.read_only)


class CacheMount(msgspec.Struct, frozen=True, kw_only=True, tag="cache"):
    """A directory that outlives the step, by its `id`.

    A new one has `mode`, `uid` and `gid`, or is a copy of the input `input`, whose state is one layer (0 is none).
    """

    id: str
    target: str
    sharing: Sharing = Sharing.SHARED
    read_only: bool = False
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    input: int = 0

    def identity(self) -> Identity:
        """Return what counts."""
        return ("cache", self.target, self.read_only)


class TmpfsMount(msgspec.Struct, frozen=True, kw_only=True, tag="tmpfs"):
    """An empty directory in memory; `size` is in bytes, 0 for no limit of its own."""

    target: str
    size: int = 0
    read_only: bool = False

    def identity(self) -> Identity:
        """Return what counts."""
        return ("tmpfs", self.target, self.size, self.read_only)


class SecretMount(msgspec.Struct, frozen=True, kw_only=True, tag="secret"):
    """A value that the step may see, as a file at `target` or in the variable `env`, or both; "" is neither."""

    id: str
    target: str = ""
    env: str = ""
    required: bool = False
    mode: int = 0o400
    uid: int = 0
    gid: int = 0

    def identity(self) -> Identity:
        """Return what counts."""
        return ("secret", self.target, self.env)


class AgentMount(msgspec.Struct, frozen=True, kw_only=True, tag="ssh"):
    """The socket of an ssh agent, which SSH_AUTH_SOCK names."""

    id: str
    target: str
    required: bool = False
    mode: int = 0o600
    uid: int = 0
    gid: int = 0

    def identity(self) -> Identity:
        """Return what counts."""
        return ("ssh", self.target)


RunMount = BindMount | CacheMount | TmpfsMount | SecretMount | AgentMount
