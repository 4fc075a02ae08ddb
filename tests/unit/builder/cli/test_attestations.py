"""`--provenance`, `--attest` and `--sbom`: what they ask for, and what they refuse."""

from __future__ import annotations

import pytest

from builder.cli.attestations import attested
from builder.engine.requests import Provenance
from builder.errors import UsageError


@pytest.mark.parametrize(
    ("words", "provenance", "expected"),
    [
        ((), None, None),
        ((), "true", Provenance()),
        ((), "1", Provenance()),
        ((), "false", None),
        ((), "mode=min", Provenance(detail="min")),
        ((), "mode=full,version=v0.2", Provenance(version="v0.2")),
        (("type=provenance",), None, Provenance()),
        (("type=provenance,disabled=true",), None, None),
        (
            ("type=provenance,form=referrer,builder-id=https://ci/1,reproducible=true",),
            None,
            Provenance(form="referrer", builder="https://ci/1", reproducible=True),
        ),
        (("type=provenance,inline-only",), None, Provenance(inline_only=True)),
    ],
)
def test_words(words: tuple[str, ...], provenance: str | None, expected: Provenance | None) -> None:
    assert attested(words, provenance, None).get("provenance") == expected


@pytest.mark.parametrize(
    ("words", "provenance", "sbom", "said"),
    [
        ((), "mode=most", None, "mode=most"),
        ((), "modus=min", None, "modus"),
        ((), "reproducible=perhaps", None, "reproducible=perhaps"),
        (("type=provenance,filename=a/b",), None, None, "filename"),
        (("type=sbom",), None, None, "sbom"),
        (("type=signature",), None, None, "signature"),
        (("mode=min",), None, None, "lacks a type"),
        (("type=provenance",), "true", None, "twice"),
        ((), None, "true", "--sbom"),
    ],
)
def test_refusals(
    words: tuple[str, ...], provenance: str | None, sbom: str | None, said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        attested(words, provenance, sbom)
    assert said in caught.value.message


def test_no_list_of_contents_is_what_is_made_anyway() -> None:
    assert attested((), None, "false") == {}
