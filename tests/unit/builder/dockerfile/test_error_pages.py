"""The pages of the errors that a Dockerfile can have show an example, and just what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.diagnostics import SourceFile
from builder.engine.calls import call
from builder.engine.contexts import Beginning
from builder.engine.requests import CallRequest
from builder.solve.context import LocalContext
from builder.ui.calls import Checked
from builder.ui.diagnostic import render

PAGES = Path(__file__).parents[4] / "docs/errors"
WITHOUT_DOCKERFILE = {"dockerfile.not-found"}
LANGUAGE = sorted(
    {path.stem for path in PAGES.glob("dockerfile.*.md")} - WITHOUT_DOCKERFILE
    | {"reference.invalid"}
)


def block(page: str, language: str) -> str:
    """Return the fenced block of a language, "" where there is none."""
    return page.partition(f"\n```{language}\n")[2].partition("```")[0]


@pytest.mark.parametrize("code", LANGUAGE)
def test_the_example_says_what_the_page_shows(code: str, tmp_path: Path) -> None:
    page = (PAGES / f"{code}.md").read_text()
    example, expected = block(page, "dockerfile"), block(page, "text")
    assert example
    beginning = Beginning(
        source=SourceFile("Dockerfile", example), context=LocalContext(root=str(tmp_path))
    )
    request = CallRequest(method="check", context=str(tmp_path))
    result = call(request, beginning, lambda *_: None)
    assert isinstance(result, Checked)
    said = "\n".join([render(found.diagnostic) for found in result.errors])
    assert f"error[{code}]" in said
    assert said == expected
