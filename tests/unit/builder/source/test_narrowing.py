"""The patterns of one copy are ignore rules relative to what is copied."""

from __future__ import annotations

from builder.dockerfile.ignore import IgnoreRules
from builder.source.narrowing import Narrowed


def hidden(rules: IgnoreRules, *paths: str) -> list[str]:
    return [path for path in paths if rules.match(path).ignored]


def test_excluded_names_are_relative_to_the_copied_directory() -> None:
    rules = Narrowed(None, "src", exclude=("*.txt", "sub"))
    paths = ("src", "src/a.txt", "src/a.md", "src/deep/a.txt", "src/sub/a.md", "a.txt")
    assert hidden(rules, *paths) == ["src/a.txt", "src/sub/a.md"]
    assert rules.prunable("src/sub")
    assert not rules.prunable("src/deep")


def test_an_exclusion_may_bring_back_what_an_earlier_one_hid() -> None:
    rules = Narrowed(None, "", exclude=("sub", "!sub/keep"))
    assert hidden(rules, "sub", "sub/other", "sub/keep") == ["sub", "sub/other"]
    assert not rules.prunable("sub")


def test_only_what_is_included_and_what_is_below_it_is_left() -> None:
    rules = Narrowed(None, "", include=("a/*/c", "**/z"))
    assert hidden(rules, "a", "a/b", "a/b/c", "a/b/c/f", "a/b/d") == ["a", "a/b", "a/b/d"]
    assert hidden(rules, "q/r/z", "q/r/z/f", "z") == []
    assert not rules.prunable("a/b")


def test_directories_out_of_reach_of_a_plain_path_need_not_be_walked() -> None:
    rules = Narrowed(None, "", include=("a/b/c",))
    assert rules.prunable("other")
    assert rules.prunable("a/other")
    assert not rules.prunable("a/b")


def test_the_context_keeps_hiding_what_its_ignore_file_hides() -> None:
    outer = IgnoreRules.parse("secret\n", ".dockerignore")
    rules = Narrowed(outer, "", include=("**",))
    verdict = rules.match("secret")
    assert verdict.ignored
    assert verdict.rule is not None
    assert verdict.rule.text == "secret"
    assert rules.prunable("secret")
    assert hidden(rules, "open") == []


def test_special_beginnings_are_part_of_the_name() -> None:
    assert hidden(Narrowed(None, "", exclude=("#x",)), "#x", "y") == ["#x"]
    assert hidden(Narrowed(None, "", include=("!x",)), "!x", "x") == ["x"]


def test_rules_with_other_patterns_have_another_identity() -> None:
    one, two = Narrowed(None, "", exclude=("a",)), Narrowed(None, "", exclude=("b",))
    assert one.identity != two.identity
    assert one.identity == Narrowed(None, "top", exclude=("a",)).identity
