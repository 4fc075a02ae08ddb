"""Which findings are shown, and which end a build."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.dockerfile.checks import ChecksFailed
from builder.errors import DockerfileError, UsageError
from tests.unit.builder.dockerfile.checks.checking import check, rules

TWO = "FROM scratch\nMAINTAINER x\nCMD y\n"


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("skip=MaintainerDeprecated", ["JSONArgsRecommended"]),
        ("skip=MaintainerDeprecated,JSONArgsRecommended", []),
        ("skip=all", []),
        ("error=false", ["MaintainerDeprecated", "JSONArgsRecommended"]),
        ("skip=NoSuchRule", ["MaintainerDeprecated", "JSONArgsRecommended"]),
    ],
)
def test_rules_are_skipped_by_the_directive_or_the_build_argument(
    option: str, expected: list[str]
) -> None:
    assert rules(f"# check={option}\n{TWO}") == expected
    given = {"BUILDKIT_DOCKERFILE_CHECK": option}
    assert rules(f"# check=error=true\n{TWO}", build_args=given) == expected


def test_what_follows_a_blank_in_the_directive_is_a_remark() -> None:
    option = "skip=MaintainerDeprecated , JSONArgsRecommended"
    assert rules(f"# check={option}\n{TWO}") == ["JSONArgsRecommended"]
    assert rules(TWO, build_args={"BUILDKIT_DOCKERFILE_CHECK": option}) == []


def test_a_comment_above_an_instruction_counts_for_that_one() -> None:
    text = (
        "FROM scratch\n# check=skip=MaintainerDeprecated because\nMAINTAINER x\nMAINTAINER y\n"
        "#check=skip=all\nENV token=1\n# check=skip=all\n#\nARG key\n"
    )
    assert rules(text) == ["MaintainerDeprecated", "SecretsUsedInArgOrEnv"]


def test_a_comment_that_is_no_option_changes_nothing() -> None:
    assert rules("FROM scratch\n# check=foo\nMAINTAINER x\n") == ["MaintainerDeprecated"]


def test_findings_that_end_a_build_are_all_told() -> None:
    with pytest.raises(ChecksFailed) as caught:
        check("# check=error=true\n" + TWO + "MAINTAINER z\n")
    message = "lint violation found for rules: JSONArgsRecommended, MaintainerDeprecated"
    assert caught.value.message == message
    assert len(caught.value.warnings) == 3


def test_a_comment_cannot_make_findings_errors() -> None:
    assert rules("FROM scratch\n# check=error=true\nMAINTAINER x\n") == ["MaintainerDeprecated"]


def test_skipping_leaves_experimental_rules_alone() -> None:
    text = "# check=skip=all;experimental=InvalidDefinitionDescription\n# a\nARG X\nFROM scratch\n"
    assert rules(text) == ["InvalidDefinitionDescription"]


def test_rules_that_docker_does_not_have_fail_a_build_only_when_named() -> None:
    text = "FROM debian\nRUN apt-get update\n"
    assert rules("# check=error=true\n" + text) == ["AptUpdateAlone"]
    with pytest.raises(ChecksFailed):
        check("# check=error=true;experimental=AptUpdateAlone\n" + text)
    assert not rules("# check=skip=AptUpdateAlone\n" + text)


def test_malformed_options_are_refused_where_they_stand() -> None:
    with pytest.raises(DockerfileError):
        check("# check=error=maybe\nFROM scratch\n")
    with pytest.raises(UsageError):
        check("FROM scratch\n", build_args={"BUILDKIT_DOCKERFILE_CHECK": "foo"})


WORDS = st.lists(
    st.sampled_from(
        ["FROM", "scratch", "AS", "x", "\n", " ", "\\\n", "$", "${", "}", ":", "-", "RUN", "ENV", "ARG",
         "COPY", "EXPOSE", "WORKDIR", "LABEL", "CMD", "=", "'", '"', "#", "<<E", "E", "/", "a", "80",
         "chown -R", "apt-get", "update", "&&", "(", "check=skip=all", "VERSION", "--platform=", "\u00e9"]
    ),
    max_size=40,
)  # fmt: skip


@given(WORDS)
def test_no_text_raises_anything_but_a_diagnostic(words: list[str]) -> None:
    try:
        check("FROM scratch\n" + " ".join(words))
    except (DockerfileError, UsageError) as error:
        assert error.message
