"""`docs/json.md` shows what programs are given."""

from __future__ import annotations

import json
import re
from pathlib import Path

from builder.diagnostics import SourceFile, Span
from builder.engine.calls import Checked, call
from builder.engine.contexts import Beginning
from builder.engine.differences import FileDifference as FileChange
from builder.engine.differences import LayersOf
from builder.engine.moving import Comparison
from builder.engine.requests import CallRequest
from builder.events import (
    Cause,
    Difference,
    Event,
    Explained,
    FileDifference,
    Outcome,
    VertexDone,
    VertexStarted,
)
from builder.layer.entry import Entry, Kind
from builder.solve.context import LocalContext
from builder.ui import differences, explained
from builder.ui.calls import as_json
from builder.ui.rawjson import render_diagnostic

PAGE = (Path(__file__).parents[4] / "docs/json.md").read_text()
[EXPLAINED, DIFFERENCE, DIAGNOSTIC, CHECK] = [
    json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
]


def test_the_page_shows_a_check_and_a_diagnostic_as_they_are(tmp_path: Path) -> None:
    text = "FROM scratch AS Build\nCOPY --form=a b c\n"
    beginning = Beginning(
        source=SourceFile("Dockerfile", text), context=LocalContext(root=str(tmp_path))
    )
    request = CallRequest(method="check", context=str(tmp_path))
    result = call(request, beginning, lambda *_: None)
    assert isinstance(result, Checked)
    document = json.loads(as_json(result))
    assert document["errors"] == [DIAGNOSTIC]
    [warning] = document["warnings"]
    assert warning["diagnostic"]["code"] == "StageNameCasing"
    warning["diagnostic"] = document["errors"][0] = {}
    assert document == CHECK
    line = json.loads(render_diagnostic(result.errors[0].diagnostic))
    assert line == {"type": "Diagnostic", "diagnostic": DIAGNOSTIC}


def test_the_page_shows_a_step_that_is_not_cached_as_it_is() -> None:
    events: list[Event] = [
        VertexStarted(id=3, name="[4/5] COPY src /app", span=Span(5, 1, 5, 14)),
        Explained(
            id=3,
            reason="1 file changed: src/b.py",
            since=1795897625.1,
            differences=(
                Difference(
                    cause=Cause.FILES,
                    subject="files",
                    files=(FileDifference("src/b.py", "content"),),
                    total=1,
                ),
            ),
        ),
        VertexDone(id=3, outcome=Outcome.EXECUTED, note="2 files, 4 bytes"),
    ]
    assert json.loads(explained.as_json(explained.steps_of(events)[3])) == EXPLAINED


def test_the_page_shows_a_file_that_differs_as_it_is() -> None:
    before = Entry(b"etc/passwd", Kind.FILE, 0o644)
    after = Entry(b"etc/passwd", Kind.FILE, 0o600)
    found = Comparison(
        layers=LayersOf(shared=0, before=(), after=()),
        configuration=(),
        files=iter([FileChange(before=before, after=after)]),
    )
    pieces: list[str] = []
    assert differences.show_json(found, pieces.append)
    assert json.loads("".join(pieces))["files"] == [DIFFERENCE]


def test_the_page_names_every_cause() -> None:
    assert all(f"`{cause.value}`" in PAGE for cause in Cause)


def test_the_page_names_every_event_with_its_fields() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE))
    for event in Event.__args__:
        for field in event.__struct_fields__:
            assert field == "at" or f"`{field}`" in rows[event.__name__]
