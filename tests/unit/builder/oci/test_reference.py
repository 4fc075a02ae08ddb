"""The grammar of image names, as Docker reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import ReferenceInvalid
from builder.oci.digest import Digest
from builder.oci.reference import Reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("alpine:3.19", "docker.io/library/alpine:3.19", "alpine:3.19"),
        ("team/app", "docker.io/team/app:latest", "team/app:latest"),
        ("docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("index.docker.io/team/app", "docker.io/team/app:latest", "team/app:latest"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1", "localhost:5000/app:1"),
        ("ghcr.io/a/b/c", "ghcr.io/a/b/c:latest", "ghcr.io/a/b/c:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"),
        ("REGISTRY/app", "REGISTRY/app:latest", "REGISTRY/app:latest"),
        (f"alpine@{DIGEST}", f"docker.io/library/alpine@{DIGEST}", f"alpine@{DIGEST}"),
        (f"alpine:3@{DIGEST}", f"docker.io/library/alpine:3@{DIGEST}", f"alpine:3@{DIGEST}"),
        ("a__b", "docker.io/library/a__b:latest", "a__b:latest"),
        ("a---b/c.d_e", "docker.io/a---b/c.d_e:latest", "a---b/c.d_e:latest"),
    ],
)
def test_names_are_completed(text: str, canonical: str, familiar: str) -> None:
    reference = Reference.parse(text)
    assert reference.canonical() == canonical
    assert reference.familiar() == familiar


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/app",
        "app/",
        "a//b",
        "app:",
        "app:-x",
        "app:" + "x" * 129,
        "a..b",
        "a___b",
        "a-",
        "-a",
        ".a",
        "a b",
        "app@",
        "app@sha256:abc",
        f"@{DIGEST}",
        "http://host/app",
        "host:port/app",
        "host:99999/app",
        "-host.io/app",
        "[::1/app",
        "app\n",
        "äpp",
        "a" * 64,
        "x/" * 130 + "y",
    ],
)
def test_what_breaks_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(ReferenceInvalid):
        Reference.parse(text)


def test_upper_case_is_named_as_the_reason() -> None:
    with pytest.raises(ReferenceInvalid, match="must be lowercase"):
        Reference.parse("Alpine")


def test_the_hub_answers_elsewhere() -> None:
    assert Reference.parse("alpine").api_host == "registry-1.docker.io"
    assert Reference.parse("localhost:5000/a").api_host == "localhost:5000"


def test_the_digest_decides() -> None:
    assert Reference.parse(f"alpine:3@{DIGEST}").selector == DIGEST
    assert Reference.parse("alpine:3").selector == "3"


def test_other_tags_and_digests_of_the_same_repository() -> None:
    reference = Reference.parse("team/app:1")
    assert reference.with_tag("2").familiar() == "team/app:2"
    assert reference.with_digest(Digest(DIGEST)).familiar() == f"team/app@{DIGEST}"
    with pytest.raises(ReferenceInvalid):
        reference.with_tag("no tag")


@given(st.text(max_size=80))
def test_no_text_crashes_and_what_is_read_is_read_again_the_same(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except ReferenceInvalid:
        return
    assert Reference.parse(reference.canonical()) == reference
    assert Reference.parse(reference.familiar()) == reference
