"""Several mistakes of one Dockerfile: told together, each once, and none that another one brings about."""

from __future__ import annotations

import pytest

from builder.diagnostics import SourceFile
from builder.dockerfile.bases import Prospect, prospect
from builder.dockerfile.lower import look_further
from builder.dockerfile.mistakes import MOST_TOLD, Mistakes
from builder.dockerfile.parse import read
from builder.dockerfile.stages import ImageNeeded, PlanRequest
from builder.errors import DockerfileError, DockerfileErrors
from builder.oci.config import ContainerConfig, ImageConfig
from tests.unit.builder.dockerfile.dockerfiles import HOST, marked, no_split

BASE = ImageConfig(architecture="amd64", os="linux")


def looked_at(text: str, *, target: str | None = None, all_stages: bool = False) -> Prospect:
    """Look at a text; only images whose name holds `known` are here."""

    def known(image: ImageNeeded) -> ImageConfig | None:
        return BASE if "known" in image.reference else None

    request = PlanRequest(target=target, host_platform=HOST, all_stages=all_stages)
    found = prospect(read(SourceFile("Dockerfile", text), split=no_split), request, known)
    if found.plan is not None and found.complete:
        look_further(found.plan, found.bases, found.mistakes)
    return found


def told(text: str, *, target: str | None = None, all_stages: bool = False) -> list[str]:
    """Return `LINE: WORD` for each mistake of a text."""
    found = looked_at(text, target=target, all_stages=all_stages).mistakes.told()
    return [
        f"{each.span.line}: {marked(each)}" if each.span is not None else each.message
        for each in found
    ]


def test_mistakes_of_reading_planning_and_lowering_are_told_together() -> None:
    text = "FROM a\nRUNN x\nCOPY --from=TYPO:: a b\nCOPY --frm=a b c\nEXPOSE 80/x\nFROM a\n"
    assert told(text, all_stages=True) == ["2: RUNN", "3: TYPO::", "4: --frm", "5: 80/x"]


def test_each_stage_is_judged_whatever_is_wrong_with_its_base() -> None:
    text = "FROM --platform=a/b/c/d x AS one\nEXPOSE x\nFROM UPPER\nCOPY --from=one a b\nSTOPSIGNAL x\n"
    assert told(text) == ["1: a/b/c/d", "2: x", "3: UPPER", "5: x"]


@pytest.mark.parametrize(
    "text",
    [
        "FORM scratch AS a\nFROM scratch\nCOPY --from=a x y\nCOPY --from=0 x y",
        "FROM scratch as\nFROM scratch\nCOPY --from=0 x y",
        "FROM scratch AS 1\nFROM scratch AS B\nCOPY --from=0 x y",
        "FROM --platfrom=x scratch AS a\nFROM a\nCOPY --from=0 x y",
        "ARGG V=1\nFROM x:$V\n",
        "ARG V=${\nFROM $V\n",
        "FROM scratch\nENVV M=9\nCOPY --chmod=$M a b\nSTOPSIGNAL $M\nUSER ${M:?}",
        "FROM scratch\nENV M=${N:?}\nCOPY --chmod=x$M a b\nUSER ${M:?}",
        "FROM scratch AS a\nARG =\nFROM a\nUSER ${M:?}",
        "FROM scratch\nRUN cat <<EOF\nTHIS IS\nno instruction\n",
        "FROM scratch\nRUN set -e\n  this\n  that\n  and that",
        "FROM scratch\nRUN --mount=type=cahce,target=/x y",
        "FROM scratch AS a\nCOPY --from=b x y\nFROM scratch AS b\nCOPY --from=a x y",
        "FROM scratch AS a\nONBUILD EXPOSE x\nFROM a\nFROM a\n",
    ],
)
def test_a_mistake_brings_no_other(text: str) -> None:
    assert len(told(text, all_stages=True)) == 1


def test_a_variable_that_an_image_may_set_is_not_judged_before_the_image_is_known() -> None:
    assert told("FROM x\nUSER ${V:?}\nSTOPSIGNAL y") == ["3: y"]
    assert told("FROM known\nUSER ${V:?}\nEXPOSE x") == ["2: ${V:?}", "3: x"]


def test_what_the_target_does_not_need_is_judged_only_where_all_is_asked_for() -> None:
    text = "FROM scratch AS a\nEXPOSE x\nFROM scratch\nCOPY --chmod=9 a b\n"
    assert told(text) == ["4: 9"]
    assert told(text + "USER ${V:?}") == ["4: 9", "5: ${V:?}"]
    assert told(text, all_stages=True) == ["2: x", "4: 9"]


@pytest.mark.parametrize(
    ("head", "under"),
    [
        ("FROM Upper AS a", "Upper"),
        ("FROM --platform=$none x AS a", "$none"),
        ("FROM --platform=x/y/z/w x AS a", "x/y/z/w"),
        ("FROM x AS a\nCOPY --from=b: c d", "b:"),
        ("FROM x AS a\nRUN --mount=from=b:,target=/c d", "b:"),
    ],
)
def test_images_and_platforms_are_read_in_every_stage(head: str, under: str) -> None:
    [found] = told(head + "\nFROM scratch\n")
    assert found.endswith(f": {under}")


def test_a_line_that_continues_nothing_is_a_mistake() -> None:
    assert told("FROM scratch\nUSER x\n  \\\n\n# c\n") == ["3: \\"]


def test_a_stage_of_no_platform_brings_no_triggers() -> None:
    assert told("FROM --platform=a/b/c/d known") == ["1: a/b/c/d"]


def test_the_form_of_a_mount_counts_in_every_stage_but_its_words_where_the_stage_is_needed() -> (
    None
):
    text = "FROM scratch AS a\nRUN --mount=type=cahce,target=/x y\nFROM scratch\n"
    assert told(text) == []
    assert told(text, all_stages=True) == ["2: cahce"]
    text = "FROM scratch AS a\nRUN --mount=from=$x,target=/x y\nFROM scratch\n"
    assert told(text) == ["2: $x"]


def test_lines_that_follow_a_command_without_its_backslash_are_one_mistake() -> None:
    [error] = looked_at("FROM scratch\nRUN a &&\n  bcd\n  efg\n  hij\nCMD x").mistakes.told()
    assert marked(error) == "bcd"
    assert error.notes == ("lines 4 to 5 do not begin with an instruction either",)


def test_another_language_has_no_mistakes_of_ours() -> None:
    assert told("# syntax=other/language\nFROM scratch\nINCLUDE x\n") == ["1: other/language"]


def test_an_unknown_target_is_told_with_the_rest_but_not_where_its_stage_cannot_be_read() -> None:
    assert told("FROM scratch\nEXPOSE x", target="a") == ["there is no stage `a` to build", "2: x"]
    assert told("FROM scratch as a b", target="a") == ["1: a b"]


def test_the_rest_of_many_is_counted() -> None:
    error = DockerfileErrors
    with pytest.raises(error) as caught:
        looked_at("FROM scratch\n" + "EXPOSE x\nUSER\n" * 20).mistakes.raise_any()
    assert len(caught.value.errors) == MOST_TOLD
    assert caught.value.more == 20


def test_each_counts_once_and_in_the_order_of_the_file() -> None:
    mistakes = Mistakes()
    for _ in range(2):
        with mistakes.collecting():
            raise DockerfileError("a")
    assert [each.message for each in mistakes.told()] == ["a"]
    with pytest.raises(DockerfileError, match="a"):
        mistakes.raise_any()
    Mistakes().raise_any()


def test_the_triggers_of_an_image_that_is_here_are_judged() -> None:
    config = ImageConfig(
        architecture="amd64",
        os="linux",
        config=ContainerConfig(on_build=("EXPOSE x", "COPY --from=later /a /b")),
    )
    text = "FROM known\nUSER ${V:?}\nFROM scratch AS later\nFROM known"
    request = PlanRequest(host_platform=HOST, all_stages=True)
    reading = read(SourceFile("Dockerfile", text), split=no_split)
    found = prospect(reading, request, lambda _image: config).mistakes.told()
    assert [each.span.line for each in found if each.span is not None] == [1, 1, 2, 4]
