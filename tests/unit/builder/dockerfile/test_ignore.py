"""Ignore rules, against examples and against a slow, obvious matcher."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.dockerfile.ignore import IgnoreRules
from builder.errors import ContextError


def rules(text: str) -> IgnoreRules:
    return IgnoreRules.parse(text, ".dockerignore")


def ignored(text: str, path: str) -> bool:
    return rules(text).match(path).ignored


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("*.pyc", "a.pyc", True),
        ("*.pyc", "b/a.pyc", False),
        ("**/*.pyc", "a.pyc", True),
        ("**/*.pyc", "b/c/a.pyc", True),
        ("node_modules", "node_modules/x/y.js", True),
        ("node_modules", "sub/node_modules", False),
        ("**/node_modules", "sub/node_modules/x", True),
        ("/etc", "etc/passwd", True),
        ("./etc//", "etc", True),
        ("a/../b", "b", True),
        ("docs/*.md", "docs/a.md", True),
        ("docs/*.md", "docs/sub/a.md", False),
        ("docs/**", "docs", False),
        ("docs/**", "docs/a/b", True),
        ("docs/**/*.md", "docs/a.md", True),
        ("docs/**/*.md", "docs/x/y/a.md", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[ab].txt", "b.txt", True),
        ("[^ab].txt", "c.txt", True),
        ("[^ab].txt", "b.txt", False),
        ("[a-c]x", "bx", True),
        ("\\*", "*", True),
        ("\\*", "x", False),
        ("*", "anything", True),
        ("**", "a/b/c", True),
        ("foo**", "foobar/x", True),
        ("**foo", "barfoo", True),
        ("#x", "#x", False),
        (" #x", "#x", True),
        ("\ufeffa", "a", True),
        ("a\r\nb\r\n", "b", True),
        ("  a  ", "a", True),
        ("!!a\n", "a", False),
        (".", "a", False),
        ("..", "a", False),
        ("ä*", "äö", True),
        ("[^a]b", "/b", True),
        ("a[^b]c", "a/c", True),
        ("foo**bar", "foo/x/bar", True),
        ("foo**bar", "fooxbar", False),
        ("a**/b", "ab", True),
        ("***.py", "x/a.py", True),
        ("?\udcff", "a\udcfe", True),
        ("a\udcff", "a\udcfe", False),
    ],
)
def test_a_pattern_hides(text: str, path: str, expected: bool) -> None:
    assert ignored(text, path) is expected


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        # The expression that Docker makes of a pattern leaves these as they are.
        ("^a*", "ab", True),
        ("a^*", "a^b", False),
        ("a^b", "a^b", True),
        ("a|b*", "ax", True),
        ("a|b*", "xb", True),
        ("x*|b", "ab", True),
        ("x|m|*y", "am.", True),
        ("\\d?", "1a", True),
        ("\\d?", "da", False),
        ("\\D?", "da", True),
        ("[[:digit:]]*", "1a", True),
        ("[[:^digit:]]*", "1a", False),
        ("a*[\\w-]x", "a-x", True),
        ("[^\\W]x", "-x", False),
        ("[*]", "*", False),
        ("[*]", "^/]", True),
        ("[a-c]{x,y}", "b{x,y}", True),
        ("x\\n?", "x\na", True),
        ("**/*a", "x\n/a", False),
        # A `!` that only comes first when the pattern has been cleaned counts.
        ("*\n/!a", "a", False),
        ("*\n./!a", "a", False),
        ("x/..\n/ a", "a", True),
        ("a /b/..", "a", True),
    ],
)
def test_an_odd_pattern_means_what_it_means_to_docker(text: str, path: str, expected: bool) -> None:
    assert ignored(text, path) is expected


def test_the_last_matching_rule_decides() -> None:
    assert not ignored("*.md\n!README.md", "README.md")
    assert ignored("*.md\n!README*.md\nREADME-secret.md", "README-secret.md")
    assert ignored("!README.md\n*.md", "README.md")


def test_a_file_below_a_hidden_directory_comes_back() -> None:
    text = "dir\n!dir/keep"
    assert ignored(text, "dir")
    assert ignored(text, "dir/x")
    assert not ignored(text, "dir/keep")
    assert not ignored(text, "dir/keep/below")


def test_bringing_back_a_directory_that_was_not_hidden_changes_nothing_below_it() -> None:
    # As a walk does: the rule `!dir` has nothing to do when the walk is at `dir`.
    assert ignored("dir/x\n!dir", "dir/x")


def test_the_verdict_names_the_line_that_decided() -> None:
    found = rules("# comment\n\n  *.log  \n!keep.log\n")
    verdict = found.match("a.log")
    assert verdict.rule is not None
    assert (verdict.rule.line, verdict.rule.text) == (3, "*.log")
    kept = found.match("keep.log")
    assert not kept.ignored
    assert kept.rule is not None
    assert (kept.rule.line, kept.rule.text) == (4, "!keep.log")
    assert found.match("other").rule is None


@pytest.mark.parametrize(
    "text",
    [
        *("!", "a\n! \n", "!/", "/!", "[", "[]", "[a", "[a-]", "[b-a]", "a\\", "[-a]", "*[b"),
        *("bin\\q", "[[:letter:]]", "[a-\\d]", "\\ä*", "[^]", "*x{2}", "*[b-a]"),
    ],
)
def test_a_malformed_pattern_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(ContextError) as caught:
        rules(text)
    assert caught.value.code == "context.bad-ignore"
    assert caught.value.span is not None
    assert caught.value.source is not None


@pytest.mark.parametrize(
    ("text", "directory", "expected"),
    [
        ("dir", "dir", True),
        ("dir", "dir/sub", True),
        ("dir", "other", False),
        ("dir\n!dir/keep", "dir", False),
        ("dir\n!dir/keep", "dir/sub", True),
        ("dir\n!dir/*/keep", "dir/sub", False),
        ("dir\n!dir/*/keep", "dir/sub/deeper", True),
        ("dir\n!other/x", "dir", True),
        ("dir\n!**/keep", "dir", False),
        ("dir\n!dir/ke[e]p", "dir", False),
        ("dir\n!other/ke[e]p", "dir", True),
        ("dir\n!di**", "dir", False),
    ],
)
def test_a_directory_is_prunable_when_nothing_below_it_can_come_back(
    text: str, directory: str, expected: bool
) -> None:
    assert rules(text).prunable(directory) is expected


def test_the_identity_is_that_of_the_meaning() -> None:
    assert rules("a\n!b").identity == IgnoreRules.parse("# x\n\n/a/ \n! b\n", "other").identity
    assert rules("a\n!b").identity != rules("!b\na").identity


def test_nothing_is_hidden_without_rules() -> None:
    assert not rules("# only a comment\n").match("a/b").ignored
    assert not rules("*").match("").ignored


def test_hostile_patterns_take_linear_time() -> None:
    star = "*a" * 2000 + "b"
    question = "*" + "a?" * 100 + "*b"
    deep = "**/a/" * 400 + "b"
    bracket = "[a]*" * 200 + "b"
    found = rules("\n".join([star, question, deep, bracket]))
    started = time.process_time()
    found.match("a" * 250)
    found.match("/".join(["a"] * 500))
    assert time.process_time() - started < 5


LARGE = "\n".join(["x" * 60_000] * 5)  # leaves little room for what is remembered


def test_what_is_remembered_is_bounded_and_forgetting_changes_no_verdict() -> None:
    found = rules("**/*a*b*c*d*\n!keep/**\n**/*.tmp\n" + LARGE)
    names = [
        f"{'keep' if n % 7 == 0 else n}/{chr(0x4E00 + n)}a{n}b{'c' * (n % 2)}d" for n in range(3000)
    ]
    verdicts = [found.match(name).ignored for name in names]
    assert verdicts == [n % 7 != 0 and n % 2 == 1 for n in range(3000)]
    assert [found.match(name).ignored for name in reversed(names)] == verdicts[::-1]


def test_several_threads_may_ask_at_once() -> None:
    found = rules("**/*.tmp\n!**/keep*\n" + LARGE)
    names = [f"d{n % 50}/{'keep' if n % 3 else 'other'}{n}.tmp" for n in range(2000)]
    with ThreadPoolExecutor(4) as pool:
        several = pool.map(lambda _: [found.match(name).ignored for name in names], range(8))
    assert all(verdicts == [n % 3 == 0 for n in range(2000)] for verdicts in several)


# The slow way: moby's translation to a regular expression, and its walk with the results of the parents.


def _expression(pattern: str) -> tuple[str, re.Pattern[str] | None]:
    kind = "exact"
    out = ""
    at = 0
    first = True
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*" and pattern[at : at + 1] == "*":
            at += 1
            if pattern[at : at + 1] == "/":
                at += 1
            if at >= len(pattern):
                if kind == "exact":
                    kind = "prefix"
                else:
                    out += ".*"
                    kind = "regexp"
            else:
                out += "(.*/)?"
                kind = "regexp"
            if first:
                kind = "suffix"
        elif char == "*":
            out += "[^/]*"
            kind = "regexp"
        elif char == "?":
            out += "[^/]"
            kind = "regexp"
        elif char == "[":
            end = pattern.index("]", at + 1)
            out += pattern[at - 1 : end + 1]
            at = end + 1
            kind = "regexp"
        else:
            out += re.escape(char)
        first = False
    return kind, re.compile(f"(?s:{out})")


def _slow_match(pattern: str, path: str) -> bool:
    kind, expression = _expression(pattern)
    if kind == "exact":
        return path == pattern
    if kind == "prefix":
        return path.startswith(pattern[:-2])
    if kind == "suffix":
        suffix = pattern[2:]
        return path.endswith(suffix) or (suffix[:1] == "/" and path == suffix[1:])
    assert expression is not None
    return expression.fullmatch(path) is not None


def _slow(patterns: list[tuple[bool, str]], path: str) -> bool:
    above: list[bool] = []
    parts = path.split("/")
    hidden = False
    for length in range(1, len(parts) + 1):
        directory = "/".join(parts[:length])
        hidden = False
        now: list[bool] = []
        for index, (includes, pattern) in enumerate(patterns):
            match = bool(above) and above[index]
            if not match:
                if includes != hidden:
                    now.append(False)
                    continue
                match = _slow_match(pattern, directory)
            now.append(match)
            if match:
                hidden = not includes
        above = now
    return hidden


_NAMES = st.sampled_from(["a", "b", "ab", "aa", "ba"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map("/".join)
_GLOBS = st.lists(
    st.sampled_from(["a", "b", "*", "?", "**", "/", "**/", "/**", "[ab]", "[^a]", "[a-b]"]),
    min_size=1,
    max_size=6,
).map("".join)


@st.composite
def _rule_lists(draw: st.DrawFn) -> list[tuple[bool, str]]:
    found = []
    for _ in range(draw(st.integers(1, 4))):
        text = draw(_GLOBS)
        parts = [part for part in text.split("/") if part]
        if parts:
            found.append((draw(st.booleans()), "/".join(parts)))
    return found


@given(_rule_lists(), _PATHS)
@settings(max_examples=max(1500, settings().max_examples))
def test_it_decides_as_the_slow_way_does(patterns: list[tuple[bool, str]], path: str) -> None:
    found = rules("\n".join(("!" if includes else "") + pattern for includes, pattern in patterns))
    assert found.match(path).ignored is _slow(patterns, path)


@given(_rule_lists(), _PATHS, _PATHS)
@settings(max_examples=max(800, settings().max_examples))
def test_a_prunable_directory_has_nothing_visible_below(
    patterns: list[tuple[bool, str]], directory: str, below: str
) -> None:
    found = rules("\n".join(("!" if includes else "") + pattern for includes, pattern in patterns))
    if found.prunable(directory):
        assert found.match(f"{directory}/{below}").ignored


@given(st.text(alphabet="ab*?[]^-\\!#/. \n\r\t{}$|ä", max_size=40), st.text("ab/*", max_size=10))
@settings(max_examples=max(800, settings().max_examples))
def test_no_text_raises_anything_but_a_context_error(text: str, path: str) -> None:
    try:
        found = rules(text)
    except ContextError:
        return
    found.match(path)
    found.prunable(path)
