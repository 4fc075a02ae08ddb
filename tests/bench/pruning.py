"""A store of many small layers that nothing needs, and how long `prune` takes in it.

    pruning.py PLACE COUNT     prints the seconds of processor time for COUNT layers, ten times those for a tenth of them, and the peak

Run by the product's interpreter, as `timed.py` is: nothing of the tests can be imported here.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable
from importlib import import_module

import msgspec

from builder.graph.keys import KeyPart
from builder.store.gc import collect
from builder.store.pruning import Pruning
from builder.store.root import Store
from runtime.spec import IsolationName

_PARTS = msgspec.msgpack.encode((KeyPart("operation", "a"),))
_FILES = 4


class Here:
    """Jobs in this very process, as root."""

    def open(self) -> IsolationName:
        """Stand where root stands."""
        return IsolationName.ROOT

    def call(
        self,
        function: str,
        arguments: object,
        *,
        fds: tuple[int, ...] = (),
        report: Callable[[object], None] | None = None,
        cleanup: bool = False,
    ) -> object:
        """Call a function with plain data."""
        del cleanup
        module, _, name = function.partition(":")
        plain = msgspec.msgpack.decode(msgspec.msgpack.encode(arguments))
        return getattr(import_module(module), name)(plain, fds, report or (lambda _: None))


def fill(store: Store, count: int) -> None:
    """Put layers with a few files into a store, each with its entry list and the record of a step."""
    with store.db.transaction():
        for number in range(count):
            digits, name = f"{number:064x}", f"{number:024x}"
            os.makedirs(f"{store.root}/layers/{name}/fs")
            for each in range(_FILES):
                _write(f"{store.root}/layers/{name}/fs/{each}")
            _write(f"{store.root}/entries/{digits}")
            row = (f"sha256:{digits}", digits, 10, _FILES, 1.0, "")
            store.db.execute("INSERT INTO layers VALUES (?, ?, ?, ?, ?, ?)", row)
            store.db.execute(
                "INSERT INTO directories (diff_id, base, name, boot) VALUES (?, '', ?, '')",
                (f"sha256:{digits}", name),
            )
            store.db.execute(
                "INSERT INTO records (key, base, diff_id, observations, parts, created, used)"
                " VALUES (?, '', ?, x'90', ?, 1, 1)",
                (digits, f"sha256:{digits}", _PARTS),
            )


def _write(path: str) -> None:
    with open(path, "wb") as file:
        file.write(b"0123456789")


def pruned(place: str, count: int) -> float:
    """Return the seconds of processor time that it takes to prune a store of so many layers."""
    shutil.rmtree(place, ignore_errors=True)
    with Store(place, Here()) as store:
        fill(store, count)
        os.sync()
        started = time.process_time()
        found = collect(store, Pruning())
        seconds = time.process_time() - started
        assert found.layers == found.records == count
        assert os.listdir(f"{place}/layers") == []
    return seconds


def main(place: str, count: int) -> None:
    """Time both."""
    pruned(place, 10)
    few = pruned(place, count // 10)
    many = pruned(place, count)
    shutil.rmtree(place)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps([many, 10 * few, peak]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
