"""Cache keys: a versioned, framed digest of what an operation is and what it really reads.

The parts of a key are kept beside it, so that a miss can be explained.
"""

from __future__ import annotations

import msgspec

from builder.oci.sha256 import sha256

SCHEMA = "lapstrake key 1"
CONTENTS = "contents"
"""The name of the part that is the digest of what was selected from other states."""

STATE = "state"
"""The name of the part that is the id of another state, all of which may be read."""

_ENCODER = msgspec.msgpack.Encoder()


class KeyPart(msgspec.Struct, frozen=True, array_like=True):
    """One named part of a key: `digest` decides, `shown` is what explains it to a person."""

    name: str
    digest: str
    shown: str = ""


class CacheKey(msgspec.Struct, frozen=True):
    """The key of one execution; `digest` is lower-case hex, 64 characters."""

    digest: str
    parts: tuple[KeyPart, ...]


def framed_digest(value: object) -> str:
    """Return the SHA-256, in hex, of a value's msgpack form, which frames every part.

    `value` consists of tuples, lists, strings, bytes, integers, booleans and None.
    """
    return sha256(_ENCODER.encode(value)).hex()


def cache_key(parts: tuple[KeyPart, ...]) -> CacheKey:
    """Combine named parts, in order, into a key."""
    return CacheKey(framed_digest((SCHEMA, [(part.name, part.digest) for part in parts])), parts)


def state_id(layer_ids: tuple[str, ...]) -> str:
    """Return the id of a stack of layers, bottom first, from their content ids; "" is the empty stack."""
    return framed_digest(("state/1", layer_ids)) if layer_ids else ""
