from __future__ import annotations

import pytest

from builder.errors import ContextError
from builder.source.pattern import compile_component, has_wildcard, matches


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*.py", "a.py", True),
        ("*.py", ".py", True),
        ("*.py", "a.pyc", False),
        ("*", ".hidden", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("[a-c]x", "bx", True),
        ("[a-c]x", "dx", False),
        ("[^a-c]x", "dx", True),
        ("[^a-c]x", "ax", False),
        ("a\\*b", "a*b", True),
        ("a\\*b", "axb", False),
        ("*a*b*c", "xxaxxbxxc", True),
        ("*a*b*c", "xxaxxcxxb", False),
        ("", "", True),
        ("[]a]x", "ax", False),
    ],
)
def test_a_component_matches_as_in_go(pattern: str, name: str, expected: bool) -> None:
    try:
        tokens = compile_component(pattern)
    except ContextError:
        assert not expected
        return
    assert matches(tokens, name) is expected


@pytest.mark.parametrize("pattern", ["[", "[a", "[a-", "a\\", "[]", "[-x]"])
def test_a_malformed_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ContextError) as caught:
        compile_component(pattern)
    assert caught.value.code == "context.bad-pattern"


def test_many_stars_cost_no_more_than_the_product_of_the_lengths() -> None:
    tokens = compile_component("*a" * 200)
    assert not matches(tokens, "a" * 199 + "b")


def test_wildcards_are_told_from_plain_paths() -> None:
    assert has_wildcard("src/*.c")
    assert not has_wildcard("src/main.c")
