"""Every rule has a page, and the examples of the page do what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.dockerfile.checks.rules import EXPERIMENTAL, OWN, RULES
from tests.unit.builder.dockerfile.checks.checking import image, rules

PAGES = Path(__file__).parents[5] / "docs/rules"
FOREIGN = {0: image(architecture="arm64")}
NATIVE = {0: image()}


def block(page: str, heading: str, language: str) -> str:
    """Return the fenced block after a heading, "" where there is none."""
    _, _, after = page.partition(f"\n{heading}\n\n```{language}\n")
    return after.partition("```")[0]


@pytest.mark.parametrize("rule", sorted(RULES))
def test_the_bad_example_breaks_just_this_rule_and_the_good_one_none(rule: str) -> None:
    page = (PAGES / f"{rule}.md").read_text()
    bad, good = block(page, "Bad:", "dockerfile"), block(page, "Good:", "dockerfile")
    ignore = block(page, "With this `.dockerignore`:", "ignore")
    assert bad
    assert good
    platform = rule == "InvalidBaseImagePlatform"
    assert rules(bad, ignore=ignore, bases=FOREIGN if platform else {}) == [rule]
    assert rules(good, ignore=ignore, bases=NATIVE if platform else {}) == []


@pytest.mark.parametrize("rule", sorted(RULES))
def test_pages_say_what_to_do(rule: str) -> None:
    page = (PAGES / f"{rule}.md").read_text()
    assert page.startswith(f"# {rule}\n\n")
    assert "\n**What to do.** " in page
    assert ("lapstrake's own. " in page) is (rule in OWN)
    assert ("\nExperimental: " in page) is (rule in EXPERIMENTAL)


def test_the_list_names_every_rule_with_its_summary() -> None:
    table = (PAGES / "README.md").read_text()
    for name, rule in RULES.items():
        assert f"| [{name}]({name}.md)" in table
        assert f"| {rule.summary} |" in table


def test_pages_that_docker_has_are_linked_by_the_name_they_have_there() -> None:
    assert RULES["JSONArgsRecommended"].url.endswith("/rule/json-args-recommended/")
    assert RULES["FromAsCasing"].url.endswith("/rule/from-as-casing/")
    assert RULES["ExposeProtoCasing"].url.endswith("/rule/expose-proto-casing/")
    assert RULES["InvalidBaseImagePlatform"].url == ""
    assert RULES["AptUpdateAlone"].url == ""
