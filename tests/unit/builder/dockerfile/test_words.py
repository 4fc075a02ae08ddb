"""Quotes, escapes and variables."""

from __future__ import annotations

import shlex
import subprocess
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.dockerfile.words import MAX_NESTING, BadWord, expand, split

VALUES = {
    "v": "value",
    "slash": "a\\x",
    "path": "/usr/local/lib/x.tar.gz",
    "empty": "",
    "star": "a*b",
    "two": "a b",
    "lines": "ab\ncab",
    "ä": "umlaut",
}


def known(
    text: str, *, keep_quotes: bool = False, keep_unset: bool = False, quotes: bool = True
) -> str:
    return expand(text, VALUES.get, keep_quotes=keep_quotes, keep_unset=keep_unset, quotes=quotes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$v", "value"),
        ("${v}", "value"),
        ("a${v}b", "avalueb"),
        ("$v-x", "value-x"),
        ("$vx", ""),
        ("$ä", "umlaut"),
        ('${slash%"\\x"}', "a"),
        ('${slash#"\\x"}', "a\\x"),
        ("\ufeffa\ufeff", "a\ufeff"),
        ("\ufeff$v", "value"),
        ("$", "$"),
        ("$/", "$/"),
        ("a$", "a$"),
        ("\\$v", "$v"),
        ("\\\\$v", "\\value"),
        ("'$v'", "$v"),
        ('"$v"', "value"),
        ('"\\$v"', "$v"),
        ('"a\\nb"', "a\\nb"),
        ('"a\\"b"', 'a"b'),
        ('"it\'s"', "it's"),
        ("'a\"b'", 'a"b'),
        ("a\\ b", "a b"),
        ("a\\", "a"),
        ("''", ""),
        ("$1$10x$@$*$#$?$-$$$!$0", "x"),
        ("${v:-w}", "value"),
        ("${empty:-w}", "w"),
        ("${empty-w}", ""),
        ("${unset:-w}", "w"),
        ("${unset-w}", "w"),
        ("${unset:-$v}", "value"),
        ("${unset:-${unset2:-deep}}", "deep"),
        ('${unset:-"a } b"}', "a } b"),
        ("${unset:-a\\}b}", "a}b"),
        ("${v:+w}", "w"),
        ("${empty:+w}", ""),
        ("${empty+w}", "w"),
        ("${unset+w}", ""),
        ("${v:?m}", "value"),
        ("${empty?m}", ""),
        ("${path#*/}", "usr/local/lib/x.tar.gz"),
        ("${path##*/}", "x.tar.gz"),
        ("${path%.*}", "/usr/local/lib/x.tar"),
        ("${path%%.*}", "/usr/local/lib/x"),
        ("${path#nothing}", "/usr/local/lib/x.tar.gz"),
        ("${path%/*}", "/usr/local/lib"),
        ("${v#?}", "alue"),
        ("${v%??}", "val"),
        ("${v#}", "value"),
        ("${v##*}", ""),
        ("${star#a\\*}", "b"),
        ("${star%\\*b}", "a"),
        ("${path/\\/usr/X}", "X/local/lib/x.tar.gz"),
        ("${path//\\//:}", ":usr:local:lib:x.tar.gz"),
        ("${v/a/b}", "vblue"),
        ("${v//?/x}", "xxxxx"),
        ("${v/l*/}", "va"),
        ("${v//z/x}", "value"),
        ("${v//*/x}", "x"),
        ("${empty//*/x}", "x"),
        ("${v///-}", "-v-a-l-u-e-"),
        ("${lines##*b}", "\ncab"),
        ("${lines//a*b/x}", "x\ncx"),
        ("${unset#x}", ""),
        ("${unset/a/b}", ""),
        ("a < b << c", "a < b << c"),
    ],
)
def test_a_word_expands(text: str, expected: str) -> None:
    assert known(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${", "`}` is missing"),
        ("${v", "`}` is missing"),
        ("${v:-a", "`}` is missing"),
        ("${v:-${v}", "`}` is missing"),
        ("${}", "a name is missing"),
        ("${:-x}", "a name is missing"),
        ("${{v}}", "a name is missing"),
        ("${v:}", "unknown modifier"),
        ("${v:x}", "unknown modifier"),
        ("${v=x}", "unknown modifier"),
        ("${v:#x}", "unknown modifier"),
        ("${v:%x}", "unknown modifier"),
        ("${v#\\x}", "invalid escape"),
        ("${v/a}", "`/` is missing"),
        ("${v/a/b", "`}` is missing"),
        ("'a", "single quote"),
        ('"a', "double quote"),
        ("${unset:?}", "unset: is not allowed to be unset"),
        ("${empty:?}", "empty: is not allowed to be empty"),
        ("${unset?please set it}", "unset: please set it"),
    ],
)
def test_a_bad_word_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadWord) as caught:
        known("xx" + text)
    assert message in caught.value.message
    assert caught.value.at >= 2


def test_the_other_escape_character_escapes() -> None:
    assert expand("`$v \\$v", VALUES.get, escape="`") == "$v \\value"


def test_bodies_know_no_quotes() -> None:
    assert known('it\'s "$v" \\$v\n', quotes=False) == 'it\'s "value" $v\n'


def test_progress_keeps_quotes_and_unknown_variables() -> None:
    text = "echo '$v' \"$v\" $unset ${unset} ${unset:-w} ${unset#p} ${unset/a/b}"
    assert known(text, keep_quotes=True, keep_unset=True) == (
        "echo '$v' \"value\" $unset ${unset} ${unset:-w} ${unset#p} ${unset/a/b}"
    )


def test_words_are_cut_after_expansion() -> None:
    assert split("80 $two", VALUES.get) == ["80", "a", "b"]
    assert split('"$two" x"y z"', VALUES.get) == ["a b", "xy z"]
    assert split("a\\ b '' c", VALUES.get) == ["a b", "c"]
    assert split("a$two", VALUES.get) == ["aa", "b"]


def test_nesting_is_bounded() -> None:
    fine = "${u:-" * MAX_NESTING + "x" + "}" * MAX_NESTING
    assert known(fine) == "x"
    with pytest.raises(BadWord, match="nested deeper"):
        known("${u:-" * 20_000)


def test_the_result_is_bounded() -> None:
    big = "x" * 600_000
    with pytest.raises(BadWord, match="longer than"):
        expand("$a$a", {"a": big}.get)
    with pytest.raises(BadWord, match="longer than"):
        expand("${a//x/yyyy}", {"a": big}.get)


@pytest.mark.parametrize(
    "text",
    [
        "${a#" + "*a" * 5000 + "b}",
        "${a%%" + "*a" * 5000 + "b}",
        "${a//" + "a*" * 500 + "b/x}",
        "${a//a*b/x}",
        "${a#" + "a?" * 20 + "b}",
        "$" * 60_000,
        "\\" * 60_000,
        "<" * 60_000,
    ],
)
def test_expansion_is_linear(text: str) -> None:
    value = "a" * 100_000 + "\n" + "ac" * 50_000
    started = time.process_time()
    expand(text, {"a": value}.get)
    assert time.process_time() - started < 2


def test_a_pattern_that_costs_too_much_is_refused() -> None:
    with pytest.raises(BadWord, match="too long"):
        expand("${a/*" + "a?" * 500 + "b/x}", {"a": "a" * 1_000_000}.get)


@given(st.text(alphabet="$\\{}'\"`:-+?#%/*<>ab \n", max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    for action in (known, lambda word: split(word, VALUES.get, keep_unset=True, keep_escapes=True)):
        try:
            action(text)
        except BadWord as error:
            assert 0 <= error.at <= len(text)


_PLAIN = st.sampled_from(["a", "/", ".", "-", "a.b", "\\a", "\\\\", "\\$", "'s $v'", '"d"'])
_PATTERN = st.sampled_from(["a", "*", "?", "*.", "?a*", "*/", "\\*b", "a\\**", "v*e", "$empty", ""])
_NAME = st.sampled_from(["v", "path", "empty", "star", "unset"])
_VARIABLE = st.one_of(
    _NAME.map("${}".format),
    _NAME.map("${{{}}}".format),
    st.builds("${{{}{}{}}}".format, _NAME, st.sampled_from([":-", "-", ":+", "+"]), _PLAIN),
    st.builds("${{{}{}{}}}".format, _NAME, st.sampled_from(["#", "##", "%", "%%"]), _PATTERN),
)
# Between double quotes, shells keep quotes and escapes in the words of modifiers.
_QUOTED = st.one_of(_NAME.map("${{{}}}".format), st.sampled_from([" ", "\\$", '\\"', "\\a", "'"]))
_SHELL_WORD = st.lists(
    st.one_of(_PLAIN, _VARIABLE, st.lists(_QUOTED, max_size=3).map("".join).map('"{}"'.format)),
    min_size=1,
    max_size=4,
).map("".join)


@given(st.lists(_SHELL_WORD, min_size=1, max_size=10))
@settings(max_examples=max(50, settings().max_examples // 10))
def test_words_come_to_what_a_shell_makes_of_them(texts: list[str]) -> None:
    script = "".join(
        [f"{name}={shlex.quote(value)}\n" for name, value in VALUES.items() if name.isascii()]
    )
    script += "".join([f"r={text}; printf '%s\\0' \"$r\"\n" for text in texts])
    done = subprocess.run(
        ["/bin/sh"], input=script.encode(), stdout=subprocess.PIPE, check=True, env={}
    )
    assert done.stdout.decode().split("\0")[:-1] == [known(text) for text in texts]
