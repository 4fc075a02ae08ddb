"""Digests that are none never become paths."""

from __future__ import annotations

import pytest

from builder.errors import ReferenceInvalid
from builder.oci.digest import Digest

HEX = "0123456789abcdef" * 4


def test_a_digest_is_its_text() -> None:
    digest = Digest(f"sha256:{HEX}")
    assert digest == f"sha256:{HEX}"
    assert (digest.algorithm, digest.hex, digest.short) == ("sha256", HEX, HEX[:12])
    assert Digest(f"sha512:{HEX}{HEX}").algorithm == "sha512"
    assert Digest.of(b"").hex.startswith("e3b0c442")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "x:",
        "sha256:",
        HEX,
        f"sha256:{HEX[:-1]}",
        f"sha256:{HEX.upper()}",
        f"md5:{HEX[:32]}",
        f"sha256:{HEX}0",
        f"sha512:{HEX}",
        "sha256:../../" + HEX[6:],
        f"sha256:{HEX[:-1]}\n",
    ],
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(ReferenceInvalid):
        Digest(text)
