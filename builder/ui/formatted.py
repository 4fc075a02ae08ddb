"""Lists as `--format` asks for them: as a table, as JSON, or through a template.

Source: docker/cli, cli/command/formatter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from builder.ui.table import columns
from builder.ui.template import Record, Template

TABLE, JSON = "table", "json"


class Form(NamedTuple):
    """A form of a list: a template for each row, and whether the rows are aligned below the names of columns."""

    template: str
    is_table: bool


def form_of(text: str, default: str) -> Form:
    r"""Read what stands behind `--format`; `default` is the template of a plain `table`.

    Outside of actions, `\t` and `\n` are a tab and the end of a line.
    """
    if text in ("", TABLE):
        return Form(default, is_table=True)
    if text == JSON:
        return Form("{{json .}}", is_table=False)
    template = text.removeprefix(TABLE).strip(" ").replace("\\t", "\t").replace("\\n", "\n")
    return Form(template, is_table=text.startswith(TABLE))


def rows(form: Form, members: Iterable[Record], headers: Mapping[str, str]) -> str:
    """Return a line for each record; `headers` are the names of columns by the names of members.

    Raises: TemplateError: the template cannot be read, or does not fit.
    """
    template = Template.parse(form.template)
    lines = [template.render(each) for each in members]
    if form.is_table:
        lines.insert(0, template.headers(dict(headers)))
        text = "".join(f"{line}\n" for line in lines)
        return columns([line.split("\t") for line in text[:-1].split("\n")])
    return "".join(f"{line}\n" for line in lines)


def row(kind: str, members: dict[str, str]) -> Record:
    """Return what a template sees of a row; `kind` is its type in messages."""
    return Record(kind, members, lambda: _document(members))


def _document(members: dict[str, str]) -> object:
    """Return the members as Docker writes those of rows: in the order of their names, safe inside of HTML."""
    import msgspec

    text = msgspec.json.encode(dict(sorted(members.items()))).decode()
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return msgspec.Raw(text.encode())
