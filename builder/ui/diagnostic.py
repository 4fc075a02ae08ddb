"""Shows a diagnostic: the message, the place with carets under it, facts, and one thing to try.

    error[dockerfile.unknown-flag]: COPY has no flag `--form`
     --> Dockerfile:4:6
    3 | FROM debian
    4 | COPY --form=build /out /app
      |      ^^^^^^
      = hint: did you mean `--from`?

rich is not imported for it: an error must be as quick as a success.
"""

from __future__ import annotations

import msgspec

from builder.diagnostics import Diagnostic, Severity, SourceFile, Span
from builder.ui.cells import ELLIPSIS, neutral, width
from builder.ui.style import PLAIN, Palette

_TAB = 4
_MOST_LINES = 6
"""A longer span is shown by its first and last lines."""
_NARROWEST = 8
"""Cells of a line that are shown however narrow the terminal is."""


def render(diagnostic: Diagnostic, *, palette: Palette = PLAIN, columns: int = 120) -> str:
    """Return the lines of a diagnostic, each ended by a newline; excerpts are at most `columns` wide.

    Text from outside is shown with its control characters made visible.
    """
    lines = [_headline(diagnostic, palette)]
    if diagnostic.span is not None and diagnostic.source is not None:
        lines += _excerpt(diagnostic.source, diagnostic.span, palette, columns)
        indent = " " * len(str(_last_line(diagnostic.source, diagnostic.span)))
    else:
        indent = " "
    for note in diagnostic.notes:
        lines += _remark("note", note, indent, palette.note, palette)
    if diagnostic.hint is not None:
        lines += _remark("hint", diagnostic.hint, indent, palette.hint, palette)
    return "".join(f"{line}\n" for line in lines)


def to_json(diagnostic: Diagnostic) -> bytes:
    """Return a diagnostic as one JSON object without the source text; see `docs/json.md`.

    `line` and `column` count from 1, the end is exclusive.
    """
    place: dict[str, object] | None = None
    if diagnostic.span is not None:
        place = {name: getattr(diagnostic.span, name) for name in Span.__struct_fields__}
        if diagnostic.source is not None:
            place = {"file": diagnostic.source.name, **place}
    return msgspec.json.encode(
        {
            "severity": diagnostic.severity,
            "code": diagnostic.code,
            "message": diagnostic.message,
            "place": place,
            "notes": diagnostic.notes,
            "hint": diagnostic.hint,
        }
    )


def _headline(diagnostic: Diagnostic, palette: Palette) -> str:
    role = {
        Severity.ERROR: palette.error,
        Severity.WARNING: palette.warning,
        Severity.NOTE: palette.note,
    }[diagnostic.severity]
    code = f"[{neutral(diagnostic.code)}]" if diagnostic.code else ""
    severity = palette.paint(role, f"{diagnostic.severity.value}{code}")
    first, *more = diagnostic.message.splitlines() or [""]
    message = palette.paint(palette.strong, neutral(first))
    return "\n".join([f"{severity}: {message}", *(f"    {neutral(line)}" for line in more)])


def _remark(kind: str, text: str, indent: str, role: str, palette: Palette) -> list[str]:
    first, *more = text.splitlines() or [""]
    equals = palette.paint(palette.margin, "=")
    head = f"{indent} {equals} {palette.paint(role, f'{kind}:')} {neutral(first, colour=False)}"
    space = " " * (len(indent) + len(kind) + 5)
    return [head, *(space + neutral(line, colour=False) for line in more)]


def _last_line(source: SourceFile, span: Span) -> int:
    """Return the last line that a span marks and the source has."""
    last = span.end_line
    if span.end_column <= 1 and last > span.line:
        last -= 1  # the end is exclusive: nothing of that line is marked
    return max(1, min(max(last, span.line), len(_lines(source))))


def _lines(source: SourceFile) -> list[str]:
    """Split at newlines only: the other line ends that Python knows do not end a line of a Dockerfile."""
    return [line.removesuffix("\r") for line in source.text.split("\n")]


def _excerpt(source: SourceFile, span: Span, palette: Palette, columns: int) -> list[str]:
    texts = _lines(source)
    last = _last_line(source, span)
    first = max(1, min(span.line, last))
    digits = len(str(last))
    arrow = palette.paint(palette.margin, "-->")
    shown = [f"{' ' * digits}{arrow} {neutral(source.name)}:{span.line}:{span.column}"]
    room = max(columns - digits - 3, _NARROWEST)

    def numbered(number: str, text: str) -> str:
        margin = palette.paint(palette.margin, f"{number:>{digits}} |")
        return f"{margin} {text}".rstrip()

    if first > 1 and texts[first - 2].strip():
        shown.append(numbered(str(first - 1), _clipped(texts[first - 2], 0, 0, room)[0]))
    for number in range(first, last + 1):
        if last - first >= _MOST_LINES and first + 2 < number < last - 1:
            if number == first + 3:
                shown.append(numbered(ELLIPSIS, ""))
            continue
        start, end = _marked(texts[number - 1], number, span)
        text, before, marked = _clipped(texts[number - 1], start, end, room)
        shown.append(numbered(str(number), text))
        if marked:
            carets = palette.paint(palette.error, "^" * marked)
            shown.append(numbered("", " " * before + carets))
    return shown


def _marked(text: str, number: int, span: Span) -> tuple[int, int]:
    """Return the part of one line that the span covers, as offsets; at least one character.

    Of the lines after the first, the indentation is left out.
    """
    blank = len(text) - len(text.lstrip())
    start = span.column - 1 if number == span.line else blank
    end = span.end_column - 1 if number == span.end_line else len(text.rstrip())
    start = max(0, min(start, len(text)))
    if number != span.line and end <= start:
        return start, start  # an empty line within a span
    return start, max(end, start + 1)


def _clipped(text: str, start: int, end: int, room: int) -> tuple[str, int, int]:
    """Return a line as shown, the cells before the mark, and the cells of the mark.

    A line that does not fit is cut around the mark; a mark that does not fit either is cut at its end.
    """
    # A mark after the end of the line takes a cell of its own.
    cells = [_shown(character) for character in text] + [" "] * max(0, end - len(text))
    widths = [width(cell) for cell in cells]
    if sum(widths) <= room:
        return "".join(cells), sum(widths[:start]), _mark(widths, start, end)
    left = 0
    lead = room // 4
    if sum(widths[: min(end, len(widths))]) > room - 1:
        left, spent = start, 0
        while left > 0 and spent + widths[left - 1] <= lead:
            left -= 1
            spent += widths[left]
    prefix = ELLIPSIS if left else ""
    right, used = left, len(prefix)
    while right < len(cells) and used + widths[right] <= room - 1:
        used += widths[right]
        right += 1
    suffix = ELLIPSIS if right < len(cells) else ""
    before = len(prefix) + sum(widths[left:start])
    return (
        prefix + "".join(cells[left:right]) + suffix,
        before,
        _mark(widths, start, min(end, right)),
    )


def _mark(widths: list[int], start: int, end: int) -> int:
    return max(sum(widths[start:end]), 1) if end > start else 0


def _shown(character: str) -> str:
    return " " * _TAB if character == "\t" else neutral(character)
