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
