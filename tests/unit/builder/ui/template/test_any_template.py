"""Whatever is written as a template and whatever it is given, it is text or a mistake with a place."""

from __future__ import annotations

import random

import pytest

from builder.ui.template import (
    Duration,
    NilList,
    NilMap,
    NilPointer,
    Record,
    Template,
    TemplateError,
)
from builder.ui.template.functions import FUNCTIONS

VALUE = Record(
    "thing",
    {
        "A": "x é\x1b\udcff",
        "B": {"C": "c", "D": {"E": [1, "2", None]}},
        "L": ["1", "2"],
        "N": -5,
        "F": 1e21,
        "T": True,
        "Z": None,
        "P": NilPointer("*thing"),
        "M": NilMap(),
        "K": NilList(),
        "S": Duration(90_000_000_000),
    },
)
WORDS = [
    *FUNCTIONS, ".", "$", "$x", ".A", ".B", ".B.C", ".B.D.E", ".L", ".N", ".F", ".T", ".Z", ".P", ".P.X", ".M", ".K", ".S", ".X",
    "0", "1", "-2", "1.5", "0x1f", "1e9", "'a'", '"s"', "`%d %s`", '"%v|%q|%5.1f|%x|%c|%*d"', '""', "true", "nil",
    "(", ")", "|", ":=", "=", ",", "$y :=", "if", "else", "end", "range", "with", "break", "continue", "define", "template",
]  # fmt: skip
PIECES = ["{{", "}}", "{{- ", " -}}", "{{end}}", "{{else}}", "{{/* c */}}", "{{", "}}", "text", "\n", "{", '"', "\\"]  # fmt: skip


def _template(chance: random.Random) -> str:
    pieces = []
    for _ in range(chance.randrange(1, 8)):
        if chance.random() < 0.3:
            pieces.append(chance.choice(PIECES))
        else:
            words = " ".join(chance.choice(WORDS) for _ in range(chance.randrange(1, 6)))
            pieces.append(f"{{{{{words}}}}}")
    return "".join(pieces)


@pytest.mark.parametrize("seed", range(4))
def test_anything_is_text_or_a_mistake_with_its_place(seed: int) -> None:
    chance = random.Random(seed)
    made = 0
    for _ in range(2_500):
        text = _template(chance)
        try:
            template = Template.parse(text)
            template.headers({"A": "A", "N": "COUNT"})
            assert isinstance(template.render(VALUE, strict=chance.random() < 0.2), str)
            made += 1
        except TemplateError as error:
            assert str(error).startswith("template: :"), text
    assert made > 25
