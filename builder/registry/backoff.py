"""How long to wait before trying again."""

from __future__ import annotations

import time

from builder.errors import Cancelled
from builder.registry.exchange import Cancelled as Question

ATTEMPTS = 6
"""How often something is tried altogether."""

LONGEST = 60.0
"""Seconds; who asks for more patience than this is not waited for."""

_SLICE = 0.1


def delay(failures: int) -> float:
    """Return seconds to wait after the given number of failures, with jitter so that clients spread out."""
    import random

    return min(15.0, 0.4 * 2.0 ** (failures - 1)) * random.uniform(0.5, 1.0)  # noqa: S311  not a secret


def requested_delay(retry_after: str | None) -> float | None:
    """Return the seconds that a `Retry-After` header asks for; None when it says nothing readable."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def wait(seconds: float, cancelled: Question) -> None:
    """Sleep, but not beyond a cancellation.

    Raises: Cancelled: it came.
    """
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if cancelled():
            raise Cancelled
        time.sleep(min(left, _SLICE))
