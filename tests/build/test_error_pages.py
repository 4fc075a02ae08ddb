"""The pages of the errors that a context can have show an example, and just what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from builder.errors import DockerfileErrors
from builder.ui.diagnostic import render
from tests.build.workshop import Workshop
from tests.unit.builder.dockerfile.test_error_pages import PAGES, block

CODES = [
    "context.bad-ignore",
    "context.bad-pattern",
    "context.ignored-source",
    "context.missing-source",
]


@pytest.mark.parametrize("code", CODES)
def test_the_example_says_what_the_page_shows(
    workshop: Workshop, context: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (PAGES / f"{code}.md").read_text()
    files = re.search(r"^In a context with (.*):$", page, re.MULTILINE)
    for name in re.findall(r"`([^`]+)`", files[1]) if files is not None else ():
        (context / name).parent.mkdir(exist_ok=True)
        (context / name).write_text("")
    if ignore := block(page, "ignore"):
        (context / ".dockerignore").write_text(ignore)
    monkeypatch.chdir(context)
    error = workshop.refused(context, block(page, "dockerfile"))
    each = error.errors if isinstance(error, DockerfileErrors) else (error,)
    said = "\n".join([render(one.diagnostic()) for one in each])
    assert f"error[{code}]" in said
    assert said == block(page, "text")
