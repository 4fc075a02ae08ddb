"""SHA-256 of small values, without loading OpenSSL, which costs a cached build two milliseconds.

Whatever is larger goes through `hashlib`, whose implementation is several times faster.
"""

from __future__ import annotations

try:  # since Python 3.12; `_sha256` before; some builds of the interpreter have neither
    from _sha2 import sha256 as _own
except ImportError:
    try:
        from _sha256 import sha256 as _own
    except ImportError:
        from hashlib import sha256 as _own

SMALL = 1 << 16
"""Bytes up to which the interpreter's own implementation is used."""


def sha256(data: bytes) -> bytes:
    """Return the SHA-256 of `data`, raw: 32 bytes."""
    if len(data) <= SMALL:
        digest: bytes = _own(data).digest()
        return digest
    import hashlib

    return hashlib.sha256(data).digest()
