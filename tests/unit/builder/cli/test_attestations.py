"""`--provenance`, `--attest` and `--sbom`: what they ask for, and what they refuse."""

from __future__ import annotations

import click
import pytest

from builder.cli.attestations import attestation_options, attested
from builder.cli.words import normalised
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


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["--provenance", "mode=max", "."], ["--provenance=mode=max", "."]),
        (["--provenance", "false", "."], ["--provenance=false", "."]),
        (["--provenance", "."], ["--provenance=true", "."]),
        (["--provenance", "mode"], ["--provenance=true", "mode"]),
        ([".", "--provenance"], [".", "--provenance=true"]),
        (["--provenance", "--", "mode=max"], ["--provenance=true", "--", "mode=max"]),
    ],
)
def test_the_value_may_be_the_next_word_as_with_buildx(given: list[str], read: list[str]) -> None:
    @attestation_options
    @click.command()
    def command() -> None:
        pass

    assert normalised(command.params, given, interspersed=True) == read
