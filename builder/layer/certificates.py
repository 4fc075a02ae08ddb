"""Certificates as text and in Java's key stores: found, added and taken out again, byte for byte.

Source: RFC 7468 (PEM); the JKS format as written by sun.security.provider.JavaKeyStore.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable
from hashlib import sha1, sha256

NAME = "lapstrake-"
"""How the names of files begin that hold a certificate for the time of a step."""

_WIDTH = 61
"""Characters of a line: nobody else writes 61, and everybody reads them."""

_BLOCK = re.compile(
    rb"-----BEGIN (?P<kind>(?:X509 |TRUSTED )?CERTIFICATE)-----(?P<body>[A-Za-z0-9+/=\s]*)"
    rb"-----END (?P=kind)-----[ \t]*\r?\n?"
)
_REMARKS = re.compile(rb"(?:^#[^\n]*\n)+\Z", re.MULTILINE)
_JKS = b"\xfe\xed\xfe\xed"
_PASSWORD, _SALT = "changeit", b"Mighty Aphrodite"
_KEY, _TRUSTED = 1, 2


def read_certificates(text: bytes) -> tuple[bytes, ...]:
    """Return the certificates in the bytes of a file, PEM or DER, each in DER; none if there is none."""
    found = [_der(match) for match in _BLOCK.finditer(text)]
    if found:
        return tuple(dict.fromkeys(each for each in found if each))
    return (text,) if _is_der(text) else ()


def pem(certificate: bytes) -> bytes:
    """Return a certificate as text, in lines of a length by which this copy of it can be told from any other."""
    encoded = b64encode(certificate)
    lines = [encoded[at : at + _WIDTH] for at in range(0, len(encoded), _WIDTH)]
    return b"\n".join((b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""))


def anchor_name(certificate: bytes) -> str:
    """Return the name of the file that holds one certificate for the time of a step."""
    return f"{NAME}{sha256(certificate).hexdigest()[:16]}.crt"


def added(bundle: bytes, certificates: Iterable[bytes]) -> bytes:
    """Return a bundle with those certificates at its end that it lacks."""
    known = set(read_certificates(bundle))
    new = b"".join(pem(each) for each in certificates if each not in known)
    separator = b"" if not new or not bundle or bundle.endswith(b"\n") else b"\n"
    return bundle + separator + new


def without_ours(text: bytes, certificates: Collection[bytes]) -> bytes:
    """Return a text without what `pem` made of certificates; other copies of them stay."""

    def kept(match: re.Match[bytes]) -> bytes:
        body = match["body"].lstrip()
        first = len(body.partition(b"\n")[0].rstrip())
        return b"" if first == _WIDTH and _der(match) in certificates else match[0]

    return _BLOCK.sub(kept, text)


def without(text: bytes, certificates: Collection[bytes]) -> bytes:
    """Return a text without certificates, however they are written, and without the remarks right above each."""
    pieces: list[bytes] = []
    end = 0
    for match in _BLOCK.finditer(text):
        if _der(match) in certificates:
            pieces.append(_REMARKS.sub(b"", text[end : match.start()]))
            end = match.end()
    return b"".join((*pieces, text[end:]))


def key_store(certificates: Iterable[bytes]) -> bytes:
    """Return a Java key store that trusts certificates; its password is Java's own default."""
    entries = [
        _number(_TRUSTED) + _text(f"trusted-{number}") + bytes(8) + _text("X.509") + _data(each)
        for number, each in enumerate(certificates)
    ]
    return _signed(_JKS + _number(2) + _number(len(entries)) + b"".join(entries))


def is_key_store(data: bytes) -> bool:
    """Tell whether bytes are a Java key store of the kind that can be edited here."""
    return data.startswith(_JKS)


def key_store_without(data: bytes, certificates: Collection[bytes], *, named: bool) -> bytes | None:
    """Return a key store without certificates, unchanged if it has none of them; None if it cannot be edited.

    With `named`, only those go whose alias holds the name of our file. It cannot be edited where its password, which
    seals it, is not the default.
    """
    try:
        entries = _entries(data)
    except (IndexError, ValueError):
        return None
    kept = [
        entry
        for entry, alias, certificate in entries
        if certificate not in certificates
        or (named and anchor_name(certificate)[:-4].encode() not in alias)
    ]
    if len(kept) == len(entries):
        return data
    if _signed(data[:-20]) != data:
        return None
    return _signed(data[:8] + _number(len(kept)) + b"".join(kept))


def _der(match: re.Match[bytes]) -> bytes:
    try:
        found = b64decode(match["body"], validate=False)
    except binascii.Error:
        return b""
    if match["kind"].startswith(b"TRUSTED"):
        # What OpenSSL says of the trust follows the certificate.
        found = found[: _der_length(found)]
    return found if _is_der(found) else b""


def _der_length(data: bytes) -> int:
    """Return how long the DER sequence is that data begin with, 0 if they begin with none."""
    if data[:1] != b"\x30" or len(data) < 2:
        return 0
    if data[1] < 0x80:
        return 2 + data[1]
    size = data[1] & 0x7F
    return 2 + size + int.from_bytes(data[2 : 2 + size], "big") if 1 <= size <= 3 else 0


def _is_der(data: bytes) -> bool:
    return len(data) > 64 and _der_length(data) == len(data)


def _entries(data: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Return the entries of a key store: bytes as they are, the alias, and the certificate, b"" for a key."""
    version, count = _int(data, 4), _int(data, 8)
    if not is_key_store(data) or version not in (1, 2):
        raise ValueError(version)
    found: list[tuple[bytes, bytes, bytes]] = []
    at = 12
    for _ in range(count):
        start = at
        tag = _int(data, at)
        alias = data[at + 6 : _skip(data, at + 4, 2)]
        at = _skip(data, at + 4, 2) + 8
        if tag == _KEY:
            at = _skip(data, at, 4)
            chain, at = _int(data, at), at + 4
        elif tag == _TRUSTED:
            chain = 1
        else:
            raise ValueError(tag)
        certificate = b""
        for _ in range(chain):
            if version == 2:
                at = _skip(data, at, 2)
            end = _skip(data, at, 4)
            certificate, at = data[at + 4 : end], end
        found.append((data[start:at], alias, certificate if tag == _TRUSTED else b""))
    if at + 20 != len(data):
        raise ValueError(at)
    return found


def _int(data: bytes, at: int, size: int = 4) -> int:
    if at + size > len(data):
        raise IndexError(at)
    return int.from_bytes(data[at : at + size], "big")


def _skip(data: bytes, at: int, size: int) -> int:
    """Return where something ends that has its length, of `size` bytes, before it."""
    end = at + size + _int(data, at, size)
    if end > len(data):
        raise IndexError(end)
    return end


def _number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _text(value: str) -> bytes:
    data = value.encode()
    return len(data).to_bytes(2, "big") + data


def _data(value: bytes) -> bytes:
    return _number(len(value)) + value


def _signed(body: bytes) -> bytes:
    digest = sha1(_PASSWORD.encode("utf-16-be") + _SALT + body, usedforsecurity=False)
    return body + digest.digest()
