"""What an examination finds: one thing with the reason, what its lack costs, and the one thing to change."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing: whether it works; if not, why, what that costs, and what to change. "" is nothing to say.

    `group` is what it belongs to, `needed` tells that nothing can be built without it.
    """

    group: str
    name: str
    ok: bool
    reason: str = ""
    cost: str = ""
    change: str = ""
    needed: bool = False
