"""The documentation covers the tree: every folder, every error code, every command that it shows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.dockerfile.checks.rules import RULES

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for package in ("builder", "runtime") for path in (ROOT / package).rglob("*.py")
)
CODE = re.compile(
    r"internal|output|usage"
    r"|(?:dockerfile|context|reference|image|registry|source|store|layer|build|export|container)\.[a-z][a-z-]*"
)


def folders() -> Iterator[str]:
    """Return every folder that holds sources, tests, fixtures or pages, from the top."""
    for package in ("builder", "runtime"):
        yield from sorted(
            {str(path.parent.relative_to(ROOT)) for path in SOURCES if package in path.parts}
        )
    for top in ("tests", "fixtures", "docs"):
        yield top
        for path in sorted((ROOT / top).iterdir()):
            if path.is_dir() and any(path.glob("*")) and path.name != "__pycache__":
                yield str(path.relative_to(ROOT))


def raised_codes() -> dict[str, str]:
    """Return every error code in the sources, with the first file that has it.

    A code is a whole string constant, wherever it stands: as `code=`, as `default_code` or in a table.
    """
    found: dict[str, str] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            for word in _codes_of(node):
                found.setdefault(word, str(path.relative_to(ROOT)))
    return found


def _codes_of(node: ast.AST) -> Iterator[str]:
    """Return the codes that a keyword `code=` or an assignment to `…code` can take."""
    if isinstance(node, ast.keyword) and node.arg == "code":
        value: ast.AST | None = node.value
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [ast.unparse(target).lower() for target in targets]
        value = node.value if any("code" in name for name in names) else None
    elif isinstance(node, ast.Call):
        # Helpers such as `refused("registry.protocol", …)` take the code as an argument.
        for argument in node.args:
            word = _constant(argument)
            if "." in word and CODE.fullmatch(word):
                yield word
        return
    else:
        return
    if value is not None:
        yield from filter(CODE.fullmatch, map(_constant, ast.walk(value)))


def _constant(node: ast.AST) -> str:
    """Return a string constant, or nothing."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@pytest.mark.parametrize("folder", list(folders()))
def test_every_folder_has_its_paragraph(folder: str) -> None:
    text = (ROOT / "docs/ARCHITECTURE.md").read_text()
    assert f"`{folder}/`" in text or f"`{folder}`" in text


def test_every_error_code_has_a_page() -> None:
    pages = {path.stem for path in (ROOT / "docs/errors").glob("*.md")}
    missing = {code: where for code, where in raised_codes().items() if code not in pages}
    assert not missing


def test_every_error_page_belongs_to_a_code() -> None:
    pages = {path.stem for path in (ROOT / "docs/errors").glob("*.md")} - {"README"}
    assert pages <= set(raised_codes())


def test_every_error_page_says_what_to_do() -> None:
    for path in sorted((ROOT / "docs/errors").glob("*.md")):
        if path.stem == "README":
            continue
        text = path.read_text()
        assert text.startswith(f"# {path.stem}\n\n"), path
        assert "\n**What to do.** " in text, path


def test_every_warning_has_a_page() -> None:
    rule = re.compile(r"(?:[A-Z][A-Za-z]+)")
    named = {
        node.value.value
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.keyword) and node.arg in {"code", "rule"}
        if isinstance(node.value, ast.Constant) and rule.fullmatch(str(node.value.value))
    }
    assert named == set(RULES) | {"UnusedBuildArg", "UnusedNoCacheFilter"}
    assert named == {path.stem for path in (ROOT / "docs/rules").glob("*.md")} - {"README"}


def test_every_fixture_is_read_by_a_test() -> None:
    readers = "\n".join(
        path.read_text()
        for top in ("tests", ".ci")
        for path in (ROOT / top).rglob("*")
        if path.is_file() and path.suffix in {"", ".py"} and "__pycache__" not in path.parts
    )
    for group in (ROOT / "fixtures").iterdir():
        if not group.is_dir():
            continue
        whole = f"fixtures/{group.name}" in readers or f'"fixtures" / "{group.name}"' in readers
        for fixture in group.iterdir():
            assert whole or fixture.name in readers, f"nothing reads {fixture.relative_to(ROOT)}"


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
