"""The forms of a secret, and how they are masked in a stream."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.solve.needles import MASK, Mask, forms

SECRET = b"p\xc3\xa4ss/w0rd+x"
SECRETS = st.binary(min_size=8, max_size=60)


def masked(values: list[bytes], pieces: list[bytes]) -> bytes:
    mask = Mask(values)
    return b"".join([*(mask.feed(piece) for piece in pieces), mask.flush()])


def test_what_is_shorter_than_six_bytes_is_not_looked_for() -> None:
    assert forms(b"short") == ()
    assert masked([b"short"], [b"a short text"]) == b"a short text"


@pytest.mark.parametrize("before", [b"", b"u", b"us", b"user:"])
@pytest.mark.parametrize("after", [b"", b"\n", b" and more"])
def test_base64_is_found_whatever_stands_around_the_value(before: bytes, after: bytes) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(before + SECRET + after)
        assert any(form in encoded for form in forms(SECRET))


def test_percent_encoding_is_found() -> None:
    assert quote(SECRET, safe="").encode() in forms(SECRET)
    assert b"p%C3%A4ss%2Fw0rd%2Bx" in forms(SECRET)


def test_base64_in_lines_is_found() -> None:
    value = bytes(range(48, 122)) * 30
    assert any(form in base64.encodebytes(value) for form in forms(value))


@given(
    seed=st.binary(max_size=4),
    size=st.integers(60, 300),
    before=st.binary(max_size=80),
    width=st.sampled_from([64, 70, 76]),
    data=st.data(),
)
def test_base64_in_lines_is_masked_wherever_they_end_and_the_stream_is_cut(
    seed: bytes, size: int, before: bytes, width: int, data: st.DataObject
) -> None:
    secret = hashlib.shake_256(seed).digest(size)
    encoded = base64.b64encode(before + secret + b"more")
    text = b"\n".join(encoded[at : at + width] for at in range(0, len(encoded), width)) + b"\n"
    first, second = sorted(data.draw(st.integers(0, len(text))) for _ in range(2))
    said = masked([secret], [text[:first], text[first:second], text[second:]])
    assert said.count(MASK) == 1
    # The rest is of what stands around it, but for the characters that both share.
    rest = b"".join(said.replace(MASK, b"").split())
    assert len(rest) <= len(encoded) - size * 8 // 6 + 4


def test_a_value_is_found_without_the_line_end_that_its_file_has() -> None:
    assert masked([SECRET + b"\n"], [b"<" + SECRET + b">"]) == b"<" + MASK + b">"


def test_each_line_of_a_value_is_masked() -> None:
    key = b"-----BEGIN KEY-----\nAAAABBBBCCCC\nDDDDEEEEFFFF\n-----END KEY-----\n"
    said = masked(
        [key], [b"first AAAABBBBCCCC\n", b"then DDDDEEEEFFFF\n", b"-----BEGIN KEY-----\n"]
    )
    assert said == b"first ****\nthen ****\n-----BEGIN KEY-----\n"


@given(secret=SECRETS, before=st.binary(max_size=40), after=st.binary(max_size=40), data=st.data())
def test_however_a_stream_is_cut_the_value_does_not_get_through(
    secret: bytes, before: bytes, after: bytes, data: st.DataObject
) -> None:
    text = before + secret + after
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    said = masked([secret], pieces)
    assert secret not in said


@given(text=st.binary(max_size=200), secret=SECRETS, data=st.data())
def test_what_is_no_secret_gets_through_whole(
    text: bytes, secret: bytes, data: st.DataObject
) -> None:
    mask = Mask([secret])
    if masked([secret], [text]) != text:
        return  # it holds a form by chance
    cut = data.draw(st.integers(0, len(text)))
    assert mask.feed(text[:cut]) + mask.feed(text[cut:]) + mask.flush() == text


def test_text_that_cannot_begin_a_secret_is_not_held_back() -> None:
    mask = Mask([SECRET])
    assert mask.feed(b"Password: ") == b"Password: "
    assert mask.feed(b"half a p\xc3\xa4s") == b"half a "
    assert mask.feed(b"t\n") == b"p\xc3\xa4st\n"
