"""Bytes from one descriptor to another, on threads of their own.

A command is never given a descriptor of a file, directory or terminal of the host: through
`/proc/self/fd` it could open that again with other rights, or leave its root by it. It gets pipes.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import threading
from collections.abc import Callable

_PIECE = 1 << 16


class Pump:
    """A running copy of bytes from `source` to `sink`; `at_end` is called on its thread when it is over."""

    def __init__(self, source: int, sink: int, *, at_end: Callable[[], None] | None = None) -> None:
        self._source = source
        self._sink = sink
        self._at_end = at_end
        self._woken, self._wake = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait until the source has ended and all of it is written."""
        self._thread.join()
        self._close()

    def stop(self, seconds: float = 1.0) -> bool:
        """End without waiting for the source; tell whether it did in time."""
        os.write(self._wake, b"x")
        self._thread.join(seconds)
        if self._thread.is_alive():
            return False  # it is stuck in a write; closing descriptors under it would be worse
        self._close()
        return True

    def _close(self) -> None:
        os.close(self._woken)
        os.close(self._wake)

    def _run(self) -> None:
        try:
            self._copy()
        except OSError:
            return  # one of the two has gone, as pipes and terminals do
        finally:
            if self._at_end is not None:
                self._at_end()

    def _copy(self) -> None:
        ready = select.poll()
        ready.register(self._source, select.POLLIN)
        ready.register(self._woken, select.POLLIN)
        while True:
            # What is typed after a stop belongs to whoever reads next.
            if self._woken in dict(ready.poll()):
                return
            data = os.read(self._source, _PIECE)
            if not data:
                return
            self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        write_all(self._sink, data)


class Screen(Pump):
    """A pump from a terminal, which goes on reading when nobody looks any more: the command must not hang."""

    _blind = False

    def _pass_on(self, data: bytes) -> None:
        if not self._blind:
            try:
                super()._pass_on(data)
            except OSError:
                self._blind = True


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, also where the descriptor was set not to block.

    Raises: OSError: nobody reads any more, or the disk is full.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            ready = select.poll()
            ready.register(descriptor, select.POLLOUT)
            ready.poll()


def is_pipe(descriptor: int) -> bool:
    """Tell whether a descriptor may be handed to a command as it is."""
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        return False
