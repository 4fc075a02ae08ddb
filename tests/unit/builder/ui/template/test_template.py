"""Templates give what Go's library gives; the expectations were taken from it."""

from __future__ import annotations

import pytest

from builder.ui.template import Duration, NilPointer, Record, Template, TemplateError, to_json

VALUE = {
    "A": "x é<&>",
    "B": {"C": "c", "D": "dd"},
    "L": ["1", "2", "b"],
    "N": 5,
    "F": 1.5,
    "T": True,
    "Z": None,
    "E": [],
    "M": {"k": 1, "j": {"q": ["a", 3, None]}},
    "S": "",
}


def made(text: str, value: object = VALUE) -> str:
    return Template.parse(text).render(value)


def mistake(text: str, value: object = VALUE, *, strict: bool = False) -> str:
    with pytest.raises(TemplateError) as caught:
        Template.parse(text).render(value, strict=strict)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{.A}}", "x é<&>"),
        ("{{.B.C}} {{ .B }} {{.M}}", "c map[C:c D:dd] map[j:map[q:[a 3 <nil>]] k:1]"),
        ("{{.L}} {{.E}} {{.T}} {{.F}}", "[1 2 b] [] true 1.5"),
        ("{{.X}} {{.Z}} {{.X.Y}}", "<no value> <no value> <no value>"),
        ("{{.M.j.q}}", "[a 3 <nil>]"),
        ("{{$.N}}{{(.B).C}}", "5c"),
        ("a {{- .N -}} b", "a5b"),
        ("a {{- /* nothing */ -}} b{{/* nothing */}}", "ab"),
        ("{{`raw`}} {{\"tab\\t\\x41\\u00e9\"}} {{'a'}} {{0x1F}} {{07}} {{1_0}} {{1e3}}", "raw tab\tAé 97 31 7 10 1000"),
        ("{{if .S}}yes{{else if .T}}both{{else}}no{{end}}", "both"),
        ("{{if not .E}}empty{{end}}", "empty"),
        ("{{range .L}}[{{.}}]{{end}}", "[1][2][b]"),
        ("{{range $i, $v := .L}}{{$i}}={{$v}};{{end}}", "0=1;1=2;2=b;"),
        ("{{range $k, $v := .B}}{{$k}}={{$v}};{{end}}", "C=c;D=dd;"),
        ("{{range .E}}x{{else}}none{{end}}", "none"),
        ("{{range .L}}{{if eq . \"2\"}}{{break}}{{end}}{{.}}{{end}}", "1"),
        ("{{range .L}}{{if eq . \"2\"}}{{continue}}{{end}}{{.}}{{end}}", "1b"),
        ("{{range $n := 3}}{{$n}}{{end}}", "012"),
        ("{{with .B}}{{.C}}{{$.N}}{{end}}{{with .S}}x{{else}}y{{end}}", "c5y"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{$x := 3}}{{end}}{{$x}}", "2"),
        ("{{json .B}} {{json .A}} {{json .Z}}", '{"C":"c","D":"dd"} "x é<&>" null'),
        ("{{join .L \", \"}} {{join .B \"-\"}}", "1, 2, b c-dd"),
        ("{{lower \"AbC\"}}{{upper \"AbC\"}} {{title \"ab-c d_e é\"}}", "abcABC Ab-C D_e É"),
        ("{{split \"a,b\" \",\"}} {{split \"ab\" \"\"}}", "[a b] [a b]"),
        ("[{{pad \"a\" 1 2}}] [{{truncate \"abc\" 2}}] [{{pad \"\" 5 5}}]", "[ a  ] [ab] []"),
        ("{{len .A}} {{len .L}} {{len .B}}", "7 3 2"),
        ("{{index .L 1}} {{index .B \"C\"}} [{{index .B \"none\"}}] {{index .M \"j\" \"q\" 1}} {{index \"abc\" 1}}", "2 c [] 3 98"),
        ("{{slice .L 1}} {{slice \"abcdef\" 1 3}}", "[2 b] bc"),
        ("{{print 1 2 \"a\" 3 nil}}|{{println 1 \"a\"}}", "1 2a3 <nil>|1 a\n"),
        ("{{.A | printf \"%s-%q\" \"v\"}}", 'v-"x é<&>"'),
        ("{{printf \"%5d|%-5s|%05d|%x|%+d|%.2f|%t|%v|%%\" 42 \"ab\" 7 255 3 1.5 true .L}}", "   42|ab   |00007|ff|+3|1.50|true|[1 2 b]|%"),
        ("{{printf \"%d %s\" \"a\" 1}} {{printf \"%d\"}} {{printf \"x\" 1}}", "%!d(string=a) %!s(int=1) %!d(MISSING) x%!(EXTRA int=1)"),
        ("{{printf \"%q\" .L}} {{printf \"%*d\" 4 1}}", '["1" "2" "b"]    1'),
        ("{{printf \"%x|% X|%q|%c|%q|%5s|%U\" \"hé\" \"hi\" 7 233 39 true 233}}", "68c3a9|68 69|'\\a'|é|'\\''|%!s(bool= true)|U+00E9"),
        ("{{printf \"%05s|%+d|%.0d|%d\" \"ab\" 3 0 .M.j.q}}", "000ab|+3||[%!d(string=a) 3 <nil>]"),
        ("{{json 1e3}} {{json 1.5}}", "1000 1.5"),
        ("{{eq .N 5}} {{eq .N 1 5}} {{ne .A \"y\"}} {{lt 1 2}} {{ge \"b\" \"a\"}}", "true true true true true"),
        ("{{and .T .S}}|{{or .S .N}}|{{and .S .X.missing.too}}", "|5|"),
        ("{{html .A}} {{urlquery \"a b/é\"}}", "x é&lt;&amp;&gt; a+b%2F%C3%A9"),
        ("{{len (split .A \" \")}}", "2"),
        ("{{ .N }}}", "5}"),
    ],
)  # fmt: skip
def test_a_template_gives_what_go_gives(text: str, expected: str) -> None:
    assert made(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{", "unclosed action"),
        ("a\nb{{.A", "unclosed action"),
        ("{{.A}", "bad character U+007D '}'"),
        ("{{}}", "missing value for command"),
        ("{{foo}}", 'function "foo" not defined'),
        ("{{if .A}}x", "unexpected EOF"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{else}}", "unexpected {{else}}"),
        ("{{$x}}", 'undefined variable "$x"'),
        ('{{"abc}}', "unterminated quoted string"),
        ("{{/* x}}", "unclosed comment"),
        ("{{(.A}}", "unclosed left paren"),
        ("{{.A)}}", "unexpected right paren"),
        ("{{.A | 3}}", "non executable command in pipeline stage 2"),
        ("{{break}}", "{{break}} outside {{range}}"),
        ("{{nil.A}}", 'unexpected . after term "nil"'),
        ("{{1x}}", 'bad number syntax: "1x"'),
        ("{{99999999999999999999}}", 'integer overflow: "99999999999999999999"'),
        ('{{"\\q"}}', "invalid syntax"),
        ("{{define \"a\"}}{{end}}", "{{define}} is not available"),
        ("{{template \"a\"}}", "{{template}} is not available"),
        ("{{block \"a\" .}}{{end}}", "{{block}} is not available"),
        ("{{call .A}}", 'function "call" is not available'),
        ("{{js .A}}", 'function "js" is not available'),
        ("{{1i}}", "complex numbers such as 1i are not available"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_as_go_tells_it(text: str, expected: str) -> None:
    line = 1 + text.count("\n")
    assert mistake(text) == f"template: :{line}: {expected}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{.A.B}}", ":1:4: executing \"\" at <.A.B>: can't evaluate field B in type interface {}"),
        ("x\n{{.N | lower}}", ':2:7: executing "" at <lower>: wrong type for value; expected string; got int'),
        ("{{lower 1}}", ':1:8: executing "" at <1>: expected string; found 1'),
        ("{{lower}}", ':1:2: executing "" at <lower>: wrong number of args for lower: want 1 got 0'),
        ("{{index .L 9}}", ':1:2: executing "" at <index .L 9>: error calling index: index out of range: 9'),
        ('{{eq 1 "a"}}', ':1:2: executing "" at <eq 1 "a">: error calling eq: incompatible types for comparison: int and string'),
        ("{{join .A \",\"}}", ':1:2: executing "" at <join .A ",">: error calling join: expected slice, got string'),
        ("{{range .T}}{{end}}", ':1:8: executing "" at <.T>: range can\'t iterate over true'),
        ("{{.B.C 1}}", ':1:4: executing "" at <.B.C>: C is not a method but has arguments'),
        ("é{{nil}}", ':1:4: executing "" at <nil>: nil is not a command'),
        ("{{$x = 1}}", ':1:7: executing "" at <1>: undefined variable: $x'),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_its_place(text: str, expected: str) -> None:
    assert mistake(text) == "template: " + expected


def test_a_record_knows_its_members() -> None:
    record = Record("image.Row", {"ID": "1", "Labels": NilPointer("*Labels")}, {"Id": "1"})
    assert made("{{.ID}} {{.Labels}} {{if .Labels}}x{{else}}none{{end}} {{json .}}", record) == (
        '1 <nil> none {"Id":"1"}'
    )
    assert mistake("{{.Id}}", record).endswith("can't evaluate field Id in type image.Row")
    assert mistake("{{.Labels.X}}", record).endswith("nil pointer evaluating *Labels.X")


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [
        (0, "0s"),
        (5_000_000_000, "5s"),
        (90_500_000_000, "1m30.5s"),
        (3_600_000_000_000, "1h0m0s"),
        (1_500_000, "1.5ms"),
        (1_050, "1.05µs"),
        (-7, "-7ns"),
    ],
)
def test_spans_of_time_are_printed_as_go_prints_them(nanoseconds: int, expected: str) -> None:
    assert made("{{.D}}", {"D": Duration(nanoseconds)}) == expected
    assert made("{{eq .D 7}} {{json .D}}", {"D": Duration(7)}) == "true 7"


def test_a_strict_run_wants_every_member_of_a_map() -> None:
    expected = 'template: :1:2: executing "" at <.Nope>: map has no entry for key "Nope"'
    assert mistake("{{.Nope}}", strict=True) == expected


def test_the_line_above_a_table_keeps_the_names_of_columns() -> None:
    names = {"ID": "IMAGE ID", "Size": "SIZE"}
    assert Template.parse("{{lower .ID}}\t{{truncate .Size 2}}\t{{.X}}").headers(names) == (
        "IMAGE ID\tSIZE\t<no value>"
    )
    assert Template.parse("{{.ID}} {{index .Nope 1}} {{.Size}}").headers(names) == "IMAGE ID "


@pytest.mark.parametrize(
    "text",
    [
        "{{if true}}" * 5000 + "{{end}}" * 5000,
        "{{" + "(" * 5000 + "1" + ")" * 5000 + "}}",
        "{{if 1}}" + "{{else if 1}}" * 5000 + "{{end}}",
    ],
)
def test_nesting_is_limited(text: str) -> None:
    assert mistake(text) == "template: :1: nested too deeply"


@pytest.mark.parametrize(
    "text",
    [
        '{{pad "x" 1 9000000000}}',
        '{{range 100}}{{printf "%999999s" "x"}}{{end}}',
        '{{$x := "aaaaaaaaaaaaaaaa"}}{{range 60}}{{$x = print $x $x}}{{end}}',
    ],
)
def test_output_is_limited(text: str) -> None:
    assert mistake(text).endswith("the output is too long")


def test_values_may_be_nested_deeply() -> None:
    deep: object = "x"
    for _ in range(100_000):
        deep = [deep]
    assert mistake("{{.A}}", {"A": deep}).endswith("the value is nested too deeply")
    assert mistake("{{json .A}}", {"A": deep}).endswith("the value is nested too deeply")


def test_work_is_limited() -> None:
    assert mistake("{{range 999999999}}{{end}}{{range 9999}}{{range 9999}}{{end}}{{end}}").endswith(
        "this takes too long"
    )


def test_bytes_that_are_no_text_become_marks_in_json() -> None:
    assert to_json({"a": "\udcff\u2028"}) == '{"a":"\ufffd\\u2028"}'
