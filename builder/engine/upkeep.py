"""What is asked of a store besides building: what is in it, how much, whether it is whole, and what can go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.engine.requests import PruneResult
from builder.solve.translate import Behind
from builder.store.builds import About
from builder.store.pruning import Pruning
from builder.store.root import Store

if TYPE_CHECKING:
    from builder.store.accounting import Account
    from builder.store.checkup import Checkup


class Upkeep:
    """Looks after one open store."""

    def __init__(self, store: Store, behind: Behind) -> None:
        self._store = store
        self._behind = behind

    def forget_kept(self) -> None:
        """Forget what the failed steps of the newest build wrote."""
        from builder.store.kept import forget_newest

        forget_newest(self._store)

    def builds(self) -> list[About]:
        """Return what is remembered of builds, the newest first."""
        return self._store.builds.all()

    def prune(self, pruning: Pruning | None = None, *, dry: bool = False) -> PruneResult:
        """Remove what no name refers to, or what is asked for; see `shelf.prune`."""
        from builder.engine import shelf

        return shelf.prune(self._store, pruning or Pruning(), dry=dry)

    def check(self, *, repair: bool = False) -> Checkup:
        """Verify everything in the store, and mend it if that is asked for; see `builder.store.checkup`."""
        from builder.store import checkup

        return checkup.check(self._store, repair=repair)

    def disk_usage(self) -> Account:
        """Measure what takes the room in the store; see `builder.store.accounting`."""
        from builder.store.accounting import account

        return account(self._store)

    def reset(self) -> int:
        """Remove the whole store; return the bytes given back. Nothing can be asked of it afterwards."""
        from builder.store.reset import reset

        return reset(self._store)

    def info(self) -> dict[str, object]:
        """Return facts about this store and host."""
        from builder.engine import shelf

        return shelf.info(self._store, self._behind)
