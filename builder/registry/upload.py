"""One blob out: not sent if it is there, mounted if another repository has it, gone on with after a break.

    POST ─► Location ─► PUT, all at once
                    └─► PATCH, PATCH, … PUT      where a registry takes no more at once, or part of it is there

After a break the registry is asked how far it is (`GET Location`); one that does not say begins anew.

Source: OCI distribution-spec, "Pushing blobs".
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO

import msgspec

from builder.errors import Cancelled, RegistryError
from builder.oci.descriptor import Descriptor
from builder.oci.reference import Reference
from builder.registry import backoff
from builder.registry.address import joined
from builder.registry.client import RegistryClient
from builder.registry.download import PROGRESS
from builder.registry.exchange import Cancelled as Question
from builder.registry.exchange import Response, Upload
from builder.registry.limits import CHUNK, LEAST
from builder.registry.meter import Meter

_WORTH = 1024 * 1024
"""Bytes below which nobody asks how far an upload is."""

_PATIENCE = 5.0
_BREAKS = 2
"""How often a connection may break under a whole blob until it is sent in chunks: proxies end what is too large so."""

_TOO_MUCH = frozenset({405, 411, 413, 501})
_BINARY = (("Content-Type", "application/octet-stream"),)


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A blob to push; `open` is called once for each try, and not at all when the registry has it.

    `mount_from` is a repository of the same registry that is known to have it.
    """

    descriptor: Descriptor
    open: Callable[[], AbstractContextManager[BinaryIO]]
    mount_from: str | None = None


def deliver(
    client: RegistryClient,
    reference: Reference,
    blob: Outgoing,
    meter: Meter,
    cancelled: Question,
) -> bool:
    """Have a blob in a repository; return whether it was not there.

    Raises: RegistryError: the registry refuses it, or cannot be reached. Cancelled.
    """
    digest = blob.descriptor.digest
    missing = not client.blob_exists(reference, digest)
    if missing:
        _Sending(client, reference, blob, meter, cancelled).run()
    client.delivered.add((reference.name, digest))
    meter.finish()
    return missing


class _Again(Exception):
    """The upload is to go on, or to begin anew, without a failure having been counted."""


class _Sending:
    """The sending of one blob. `_location` is where to, "" before that is known; `_offset` bytes are there."""

    def __init__(
        self,
        client: RegistryClient,
        reference: Reference,
        blob: Outgoing,
        meter: Meter,
        cancelled: Question,
    ) -> None:
        self._client = client
        self._reference = reference
        self._blob = blob
        self._size = blob.descriptor.size
        self._limits = client.limits
        self._meter = meter
        self._cancelled = cancelled
        self._location = ""
        self._offset = 0
        self._least = 0
        self._mounts = blob.mount_from not in (None, reference.repository)
        self._failures = 0
        self._confirmed = 0
        """What was there at the last failure."""

    def run(self) -> None:
        """Send it."""
        try:
            while True:
                try:
                    return self._attempt()
                except _Again:
                    continue
                except RegistryError as error:
                    self._count(error)
                    pause = backoff.delay(self._failures) if error.pause is None else error.pause
                    backoff.wait(pause, self._cancelled)
                    self._find_out()
        except BaseException:
            self._abandon()
            raise

    def _attempt(self) -> None:
        if not self._location and not self._begin():
            return
        registry = self._reference.registry
        if not self._offset and self._limits.most(registry) is None:
            self._finish(self._size)
            return
        while self._offset < self._size:
            most = self._limits.most(registry)
            left = self._size - self._offset
            self._patch(left if most is None else min(left, max(most, self._least)))
        self._finish(0)

    def _begin(self) -> bool:
        """Ask where to send it to; return whether it has to be sent at all."""
        self._offset = 0
        self._meter.restart()
        if self._mounts:
            self._mounts = False
            # Not being allowed to read the other repository is no reason to fail: the bytes are at hand.
            with contextlib.suppress(RegistryError), self._mount() as response:
                if response.status == 201:
                    return False
                if response.status == 202 and self._take_location(response):
                    return True
        with self._ask("POST", "blobs/uploads/") as response:
            if response.status != 202 or not self._take_location(response):
                raise self._refusal(response)
        return True

    def _mount(self) -> Response:
        digest, source = self._blob.descriptor.digest, self._blob.mount_from
        return self._client.post(
            "POST",
            self._reference,
            f"blobs/uploads/?mount={digest}&from={source}",
            more_scopes=(f"repository:{source}:pull",),
        )

    def _finish(self, size: int) -> None:
        """Say that this is all, with the last `size` bytes."""
        target = self._location
        target += f"{'&' if '?' in target else '?'}digest={self._blob.descriptor.digest}"
        with self._ask("PUT", target, self._piece(size), _BINARY) as response:
            if response.status in (201, 204):
                return
            if response.status in _TOO_MUCH and size > LEAST:
                self._send_less(size)
            raise self._refusal(response)

    def _patch(self, size: int) -> None:
        first, last = self._offset, self._offset + size - 1
        headers = (*_BINARY, ("Content-Range", f"{first}-{last}"))
        with self._ask("PATCH", self._location, self._piece(size), headers) as response:
            if response.status == 413 and size > max(LEAST, self._least):
                self._send_less(size)
            if response.status not in (201, 202, 204):
                raise self._refusal(response)
            self._take_location(response)
            there = _end(response)
        if there is not None and not first < there <= last + 1:
            raise self._astray(there)
        self._offset = last + 1 if there is None else there
        self._meter.restart(self._offset)
        if self._offset <= last:
            raise self._took_less(self._offset - first, size)

    def _piece(self, size: int) -> Upload:
        def sent(count: int) -> None:
            if self._cancelled():
                raise Cancelled
            self._meter.add(count)

        return Upload(open=self._blob.open, size=size, offset=self._offset, sent=sent)

    def _send_less(self, size: int) -> None:
        self._limits.lower(self._reference.registry, size)
        self._find_out()
        raise _Again

    def _count(self, error: RegistryError) -> None:
        """Take note of a failure.

        Raises: RegistryError: the same, if there is no use in going on.
        """
        if not self._location:
            raise error  # what the transport has tried often enough
        # An upload that the registry has forgotten, or sees otherwise after a break, can be begun anew.
        lost = error.status in (404, 416) or (error.status == 400 and self._failures > 0)
        if not (error.temporary or lost):
            raise error
        if error.pause is not None and error.pause > backoff.LONGEST:
            raise error
        moved = self._offset - self._confirmed >= PROGRESS
        self._failures = 1 if moved else self._failures + 1
        self._confirmed = self._offset
        if self._failures >= backoff.ATTEMPTS:
            raise error
        whole = self._limits.most(self._reference.registry) is None
        if whole and error.status is None and self._failures >= _BREAKS and self._size > CHUNK:
            self._limits.lower(self._reference.registry, self._size)

    def _find_out(self) -> None:
        """Learn how much is there; begin anew where the registry does not say."""
        location, self._location = self._location, ""
        if not location or self._size < _WORTH:
            return
        with contextlib.suppress(RegistryError), self._brief("GET", location) as response:
            there = _end(response)
            if response.status in (200, 202, 204) and there is not None and there <= self._size:
                self._location = location
                self._take_location(response)
                self._offset = there
                self._meter.restart(there)

    def _abandon(self) -> None:
        """Tell the registry that nothing more comes; whether it listens does not matter."""
        if self._location:
            with contextlib.suppress(RegistryError, Cancelled):
                self._brief("DELETE", self._location).close()

    def _take_location(self, response: Response) -> bool:
        location = response.header("location")
        least = response.header("oci-chunk-min-length") or ""
        if least.isascii() and least.isdecimal():
            self._least = max(self._least, int(least[:10]))
        if location is None:
            return False
        self._location = joined(response.url, location)
        return True

    def _ask(
        self,
        method: str,
        path: str,
        body: Upload | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        return self._client.post(method, self._reference, path, headers=headers, body=body)

    def _brief(self, method: str, path: str) -> Response:
        return self._client.post(method, self._reference, path, patience=_PATIENCE)

    def _refusal(self, response: Response) -> RegistryError:
        return self._client.refuse(response, self._reference, self._blob.descriptor.digest)

    def _took_less(self, count: int, size: int) -> RegistryError:
        # Of a few bytes each time there would be no end.
        return RegistryError(
            f"{self._reference.registry} takes less than it is sent",
            code="registry.unavailable",
            temporary=True,
            notes=(f"of {size} bytes of `{self._blob.descriptor.digest}` it took {count}",),
        )

    def _astray(self, there: int) -> RegistryError:
        return RegistryError(
            f"{self._reference.registry} does not keep to the protocol",
            code="registry.protocol",
            notes=(
                f"of `{self._blob.descriptor.digest}` it has {there} bytes, which were not sent",
            ),
        )


def _end(response: Response) -> int | None:
    """Return how many bytes an answer says that there are, None if it does not say."""
    text = (response.header("range") or "").strip().removeprefix("bytes=").removeprefix("bytes ")
    first, dash, last = text.partition("-")
    if not dash or first != "0" or not (last.isascii() and last.isdecimal()) or len(last) > 18:
        return None
    # `0-0` is what most say of an upload that has just begun; of one byte it would be wrong by one.
    return int(last) + 1 if last != "0" else 0
