"""The parser directives at the top of a Dockerfile: `# syntax=`, `# escape=`, `# check=`.

They stand before everything else; the first line that is no directive ends them, and each comes once.
A file in a language with other comments may name its syntax in those: `// syntax=`.
"""

from __future__ import annotations

from builder.diagnostics import SourceFile, Span
from builder.dockerfile.arguments import SPACE
from builder.dockerfile.instructions import Directives, Word
from builder.errors import DockerfileError

_NAMES = frozenset({"syntax", "escape", "check"})


def read(source: SourceFile, lines: list[str]) -> tuple[Directives, int]:
    """Read the directives.

    Returns: them, and the index of the first line that is none.
    Raises: DockerfileError: one comes twice, or the escape character is neither backslash nor backtick.
    """
    found: dict[str, Word] = {}
    # After a `#!` line a program still finds its syntax, but the escape character stays the usual one.
    first = 1 if lines and lines[0].startswith("#!") else 0
    names = _NAMES if first == 0 else _NAMES - {"escape"}
    index = first
    for index in range(first, len(lines)):
        directive = _directive(lines[index], index + 1)
        if directive is None:
            break
        name, value = directive
        if name not in names:
            break
        if name in found:
            raise DockerfileError(
                f"the directive `{name}` stands here a second time",
                span=value.span,
                source=source,
                notes=(f"the first is on line {found[name].span.line}",),
                hint="remove one of them",
            )
        found[name] = value
    else:
        index = len(lines)
    escape = found.get("escape")
    if escape is not None and escape.text not in ("\\", "`"):
        raise DockerfileError(
            f"`{escape.text[:20]}` cannot be the escape character",
            span=escape.span,
            source=source,
            hint="use a backslash or a backtick",
        )
    return (
        Directives(
            syntax=found.get("syntax") or _slashed_syntax(lines, first),
            escape=escape.text if escape is not None else "\\",
            check=found.get("check"),
        ),
        0 if first else index,
    )


def _slashed_syntax(lines: list[str], first: int) -> Word | None:
    """Return the syntax among the directives that stand in `//` comments, from the line at `first`."""
    for index in range(first, len(lines)):
        directive = _directive(lines[index], index + 1, mark="//")
        if directive is None:
            return None
        name, value = directive
        if name == "syntax":
            return value
    return None


def _directive(line: str, number: int, *, mark: str = "#") -> tuple[str, Word] | None:
    """Read `# name = value`, or the same after another mark of comments."""
    stripped = line.lstrip(SPACE)
    if not stripped.startswith(mark):
        return None
    name, equals, value = stripped.removeprefix(mark).lstrip(SPACE).partition("=")
    name = name.rstrip(SPACE).lower()
    text = value.strip(SPACE)
    if not equals or not text or name not in _NAMES:
        return None
    column = len(line) - len(value.lstrip(SPACE)) + 1
    return name, Word(text, Span(number, column, number, column + len(text)))
