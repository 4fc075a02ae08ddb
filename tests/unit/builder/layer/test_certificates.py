"""Certificates in bundles and key stores: added, and taken out again."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.layer.certificates import (
    added,
    anchor_name,
    key_store,
    key_store_without,
    pem,
    read_certificates,
    without,
    without_ours,
)


def certificate(number: int, size: int = 300) -> bytes:
    """Return something that looks like a certificate from outside: a DER sequence."""
    body = number.to_bytes(4, "big") * (size // 4)
    return b"\x30\x82" + len(body).to_bytes(2, "big") + body


ONE, TWO, THREE = certificate(1), certificate(2), certificate(3)


def usual(der: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(der).encode()


def test_what_is_written_is_read_again_by_us_and_others() -> None:
    assert read_certificates(pem(ONE) + pem(TWO)) == (ONE, TWO)
    assert ssl.PEM_cert_to_DER_cert(pem(ONE).decode()) == ONE


def test_all_that_files_hold_is_read_but_keys_and_remarks() -> None:
    key = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    text = b"# remark\n" + usual(ONE).replace(b"\n", b"\r\n") + key + usual(TWO) + usual(ONE)
    assert read_certificates(text) == (ONE, TWO)
    assert read_certificates(ONE) == (ONE,)
    assert read_certificates(key) == ()
    assert read_certificates(b"-----BEGIN CERTIFICATE-----\n####\n-----END CERTIFICATE-----") == ()


def test_a_bundle_gets_what_it_lacks_and_no_more() -> None:
    bundle = b"# of the image\n" + usual(ONE)
    assert added(bundle, (ONE,)) == bundle
    assert added(bundle, (ONE, TWO)) == bundle + pem(TWO)
    assert added(b"no line end", (TWO,)) == b"no line end\n" + pem(TWO)


@given(st.lists(st.sampled_from([usual(ONE), usual(TWO), pem(TWO), pem(THREE), b"# x\n", b"y\n"])))
def test_only_our_copies_are_taken_out(pieces: list[bytes]) -> None:
    ours = {pem(TWO), pem(THREE)}
    left = b"".join(piece for piece in pieces if piece not in ours)
    assert without_ours(b"".join(pieces), {TWO, THREE}) == left


def test_ours_are_found_inside_what_a_step_made_of_the_bundle() -> None:
    text = added(usual(ONE), (TWO,)) + usual(THREE)
    assert without_ours(text, {TWO}) == usual(ONE) + usual(THREE)


def test_every_copy_is_taken_out_with_the_remarks_above_it() -> None:
    text = (
        b"# One\n"
        + usual(ONE)
        + b"\n# Two\n# of two\n"
        + usual(TWO)
        + b"\n# Three\n"
        + usual(THREE)
    )
    assert without(text, {TWO}) == b"# One\n" + usual(ONE) + b"\n\n# Three\n" + usual(THREE)
    trusted = usual(TWO).replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE")
    assert without(trusted, {TWO}) == b""


def test_a_key_store_is_edited_by_the_alias_or_by_the_certificate() -> None:
    store = key_store((ONE, TWO))
    assert key_store_without(store, {TWO}, named=False) == key_store((ONE,))
    assert key_store_without(store, {TWO}, named=True) == store
    assert key_store_without(store, {THREE}, named=False) == store
    assert key_store_without(store[:-1] + b"x", {TWO}, named=False) is None
    assert key_store_without(store[:50], {TWO}, named=False) is None


@given(st.binary(max_size=300))
def test_bytes_that_are_no_key_store_are_left_alone(data: bytes) -> None:
    assert key_store_without(b"\xfe\xed\xfe\xed" + data, {ONE}, named=False) in (
        None,
        b"\xfe\xed\xfe\xed" + data,
    )


def test_java_reads_our_key_store(tmp_path: Path) -> None:
    keytool = shutil.which("keytool")
    if keytool is None:
        pytest.skip("keytool is not installed")
    from tests.support.certificates import der, make_authority

    authority = der(make_authority(tmp_path, "authority"))
    path = tmp_path / "store.jks"
    path.write_bytes(key_store((authority,)))
    listed = subprocess.run(
        [keytool, "-list", "-keystore", path, "-storepass", "changeit"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "trusted-0" in listed.stdout
    assert "1 entry" in listed.stdout


def test_the_name_of_a_file_is_its_own() -> None:
    assert anchor_name(ONE) != anchor_name(TWO)
    assert anchor_name(ONE).startswith("lapstrake-")
