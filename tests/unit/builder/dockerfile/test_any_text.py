"""Whatever a text holds, reading, checking, outlining and lowering it end with an answer or with our own errors."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from builder.diagnostics import Diagnostic, SourceFile
from builder.dockerfile.bases import prospect
from builder.dockerfile.checks import Checks, ChecksFailed, read_checks
from builder.dockerfile.checks.survey import survey
from builder.dockerfile.checks.walk import Scene
from builder.dockerfile.lower import lower
from builder.dockerfile.parameters import parameters
from builder.dockerfile.parse import read
from builder.dockerfile.stages import PlanRequest
from builder.dockerfile.targets import targets
from builder.errors import LapstrakeError
from builder.oci.config import ContainerConfig, ImageConfig
from builder.oci.platform import Platform
from tests.unit.builder.dockerfile.dockerfiles import HOST, no_split
from tests.unit.builder.dockerfile.texts import dockerfiles

_CHARACTERS = "\\\n'\"$}#=[], \t\r`\0\udce9\ud800\ufeff\xa0\u2028é"
_WORDS = ["\\\n", "\n\n", "${", "${A#", ":?", "<<E", "--", "FROM ", "COPY ", "ONBUILD ", "\\ud800"]
_LINES = ["ARG A=$A\n", "RUN --mount=type=cache ", "# check=error=true\n"]
_PIECES = st.sampled_from([*_CHARACTERS, *_WORDS, *_LINES])
_BASE = ImageConfig(
    architecture="amd64",
    os="linux",
    config=ContainerConfig(env=("A=1",), on_build=("ENV B=$A", "COPY --from=base a b")),
)


@st.composite
def _texts(draw: st.DrawFn) -> str:
    text = draw(dockerfiles())
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(_PIECES) + text[at + draw(st.integers(0, 2)) :]
    return text


def _assert_placed(told: tuple[LapstrakeError | Diagnostic, ...], source: SourceFile) -> None:
    last = source.text.count("\n") + 1
    for each in told:
        if each.span is not None:
            assert 1 <= each.span.line <= each.span.end_line <= last
            assert each.span.column >= 1
            assert (each.span.line, each.span.column) < (each.span.end_line, each.span.end_column)


@given(_texts(), st.booleans())
def test_no_text_ends_in_anything_but_an_answer_or_our_errors(text: str, has_bases: bool) -> None:
    source = SourceFile("Dockerfile", text)
    reading = read(source, split=no_split)
    request = PlanRequest(host_platform=HOST, build_args=(("A", "x"),))
    found = prospect(reading, request, lambda _: _BASE if has_bases else None)
    _assert_placed(found.mistakes.told(), source)
    if not found.mistakes and found.plan is not None and found.complete:
        try:
            lower(found.plan, found.bases)
        except ChecksFailed as error:
            _assert_placed(error.warnings, source)
        except LapstrakeError as error:
            _assert_placed((error,), source)


@given(_texts())
def test_no_text_keeps_the_checks_from_an_answer(text: str) -> None:
    source = SourceFile("Dockerfile", text)
    reading = read(source, split=no_split)
    dockerfile = reading.dockerfile
    if dockerfile is None:
        return
    platform = Platform.parse(HOST)
    scene = Scene(dockerfile=dockerfile, build_args={}, host=platform, platform=platform)
    try:
        checks = read_checks(dockerfile, {})
    except LapstrakeError:
        checks = Checks()
    _assert_placed((*dockerfile.warnings, *survey(scene, checks)), source)
    if not reading.mistakes:
        targets(dockerfile)
        try:
            parameters(scene)
        except LapstrakeError as error:
            _assert_placed((error,), source)
