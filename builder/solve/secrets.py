"""The values that steps may see and that nothing may keep: where each comes from, and what is said where one is missing."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from threading import Lock

from builder.errors import UsageError
from builder.solve.given import SecretSource

LARGEST = 500 << 10
"""Bytes of a secret; Docker's limit too."""


class Secrets:
    """The secrets that one build was given. Values are read when a step first asks, and are kept in memory alone."""

    def __init__(
        self,
        sources: Iterable[SecretSource] = (),
        variable: Callable[[str], str | None] | None = None,
    ) -> None:
        self._sources = {source.id: source for source in sources}
        self._variable = variable or (lambda _: None)
        self._values: dict[str, bytes] = {}
        self._reading = Lock()

    @classmethod
    def of_values(cls, values: Mapping[str, bytes], given: Iterable[str]) -> Secrets:
        """Return the secrets that were given, with the values of those that will be asked for."""
        secrets = cls(SecretSource(id=secret_id) for secret_id in given)
        secrets._values.update(values)
        return secrets

    def __repr__(self) -> str:
        """Return the ids alone."""
        return f"Secrets({', '.join(self._sources)})"

    def value(self, secret_id: str) -> bytes | None:
        """Return a value, None if no secret of this id was given.

        Raises: UsageError: it was given, and cannot be read.
        """
        source = self._sources.get(secret_id)
        if source is None:
            return None
        # Downloads ask from threads of their own, and a FIFO can be read once.
        with self._reading:
            if secret_id not in self._values:
                self._values[secret_id] = self._read(source)
            return self._values[secret_id]

    def given(self) -> tuple[str, ...]:
        """Return the ids that were given."""
        return tuple(self._sources)

    def fingerprint(self, secret_id: str, key: bytes) -> str:
        """Return what counts of a secret for the key of a step: "" unless that was asked for."""
        source = self._sources.get(secret_id)
        value = self.value(secret_id)
        if source is None or value is None or not source.keyed:
            return ""
        return hmac.new(key, value, hashlib.sha256).hexdigest()

    def keyed(self, secret_id: str) -> bool:
        """Tell whether a change of this secret is to run steps again."""
        source = self._sources.get(secret_id)
        return source is not None and source.keyed

    def _read(self, source: SecretSource) -> bytes:
        if source.env:
            text = self._variable(source.env)
            if text is None:
                raise _unreadable(source, "it is not set")
            value = text.encode("utf-8", "surrogateescape")
        else:
            value = _file(source)
        if len(value) > LARGEST:
            raise _unreadable(source, f"it is larger than {LARGEST >> 10} KiB")
        return value


def _file(source: SecretSource) -> bytes:
    try:
        # Opening a FIFO that nobody writes to would never end.
        descriptor = os.open(source.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unreadable(source, os.strerror(error.errno or 0)) from error
    with open(descriptor, "rb") as file:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(kind):
            raise _unreadable(source, "it is a directory")
        if stat.S_ISFIFO(kind):
            # What a shell gives for `<(…)`: somebody is writing to it.
            os.set_blocking(descriptor, True)
        try:
            value = file.read(LARGEST + 1)
        except OSError as error:
            raise _unreadable(source, os.strerror(error.errno or 0)) from error
        if not value and stat.S_ISFIFO(kind):
            raise _unreadable(source, "it is a FIFO to which nobody writes")
        return value


def _unreadable(source: SecretSource, why: str) -> UsageError:
    return UsageError(
        f"the secret `{source.id}` cannot be read from {source.described()}: {why}",
        hint=f"give it with `--secret id={source.id},src=FILE` or `--secret id={source.id},env=NAME`",
    )
