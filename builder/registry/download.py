"""One blob in, going on where a connection broke."""

from __future__ import annotations

from collections.abc import Iterator

from builder.errors import Cancelled, RegistryError
from builder.oci.descriptor import Descriptor
from builder.oci.reference import Reference
from builder.registry import backoff
from builder.registry.client import RegistryClient
from builder.registry.exchange import Cancelled as Question
from builder.registry.meter import Meter

PROGRESS = 1024 * 1024
"""Bytes which, once they came, make a broken connection count as the first one again."""


def resumed(
    client: RegistryClient,
    reference: Reference,
    descriptor: Descriptor,
    meter: Meter,
    cancelled: Question,
    offset: int = 0,
) -> Iterator[bytes]:
    """Yield a blob's bytes from `offset` on, going on where a connection broke; bounded, even if each try brings a little.

    Raises: RegistryError: it cannot be had. Cancelled.
    """
    failures = since = 0
    meter.restart(offset)
    while True:
        try:
            for chunk in client.fetch_blob(reference, descriptor, offset):
                offset += len(chunk)
                since += len(chunk)
                yield chunk
                meter.add(len(chunk))
                if cancelled():
                    raise Cancelled
        except RegistryError as error:
            failures = 1 if since >= PROGRESS else failures + 1
            since = 0
            if offset == descriptor.size:
                return  # all came, only the end of the answer is missing
            if not error.temporary or failures >= backoff.ATTEMPTS:
                raise
            backoff.wait(backoff.delay(failures), cancelled)
        else:
            return
