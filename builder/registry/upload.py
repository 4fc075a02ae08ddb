"""One blob out: not sent if it is there, mounted if another repository has it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO

import msgspec

from builder.errors import Cancelled, RegistryError
from builder.oci.descriptor import Descriptor
from builder.oci.reference import Reference
from builder.registry import backoff
from builder.registry.client import RegistryClient
from builder.registry.exchange import Cancelled as Question
from builder.registry.exchange import Upload
from builder.registry.meter import Meter


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
    missing = not client.blob_exists(reference, blob.descriptor.digest)
    if missing:
        _send(client, reference, blob, meter, cancelled)
    meter.finish()
    return missing


def _send(
    client: RegistryClient,
    reference: Reference,
    blob: Outgoing,
    meter: Meter,
    cancelled: Question,
) -> None:
    """Send a blob; after a broken connection begin anew, since nobody knows what arrived."""

    def sent(count: int) -> None:
        if cancelled():
            raise Cancelled
        meter.add(count)

    failures = 0
    while True:
        upload = Upload(open=blob.open, size=blob.descriptor.size, sent=sent)
        try:
            client.upload_blob(reference, blob.descriptor, upload, mount_from=blob.mount_from)
        except RegistryError as error:
            failures += 1
            if not error.temporary or failures >= backoff.ATTEMPTS:
                raise
            meter.restart()
            backoff.wait(backoff.delay(failures), cancelled)
        else:
            return
