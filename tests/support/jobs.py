"""Jobs in this very process: for tests that run as root and need no walls."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module

import msgspec

from runtime.spec import IsolationName


class JobsHere:
    """Runs each function at once, with plain data both ways as through the launcher."""

    def __init__(self) -> None:
        self.called: list[str] = []

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
        """Import and call `package.module:function`; its descriptors are copies, as behind the launcher."""
        self.called.append(function)
        module, _, name = function.partition(":")
        plain = msgspec.msgpack.decode(msgspec.msgpack.encode(arguments))
        copies = tuple(os.dup(fd) for fd in fds)
        try:
            result = getattr(import_module(module), name)(plain, copies, report or _ignore)
        finally:
            for fd in copies:
                # Some jobs close what they are given.
                try:
                    os.close(fd)
                except OSError:
                    continue
        return msgspec.msgpack.decode(msgspec.msgpack.encode(result))


def _ignore(value: object) -> None:
    del value
