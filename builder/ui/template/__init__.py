"""Go's templates, as far as `--format` needs them.

Values come in as plain data and records, text goes out; nothing is opened, run or imported. How deep a template may
be nested, how long it may work and how much it may write is limited.

    template = Template.parse("{{.Repository}}:{{.Tag}}")
    template.render({"Repository": "debian", "Tag": "12"})

Source: Go's text/template; docker/cli, "Format command and log output".
"""

from __future__ import annotations

from contextlib import suppress

from builder.ui.template.errors import TemplateError
from builder.ui.template.evaluate import Evaluation
from builder.ui.template.nodes import Node
from builder.ui.template.parse import parse
from builder.ui.template.shown import (
    Duration,
    NilList,
    NilMap,
    NilPointer,
    Record,
    StringMap,
    to_json,
)

__all__ = [
    "Duration",
    "NilList",
    "NilMap",
    "NilPointer",
    "Record",
    "StringMap",
    "Template",
    "TemplateError",
    "to_json",
]


class Template:
    """A template that has been read."""

    def __init__(self, source: str, nodes: tuple[Node, ...]) -> None:
        self._source = source
        self._nodes = nodes

    @classmethod
    def parse(cls, source: str) -> Template:
        """Read a template.

        Raises: TemplateError: it cannot be read, or uses what is not here.
        """
        return cls(source, parse(source))

    def render(self, value: object, *, strict: bool = False) -> str:
        """Return what the template makes of a value; with `strict`, a member that a map lacks is a mistake.

        Raises: TemplateError: the template does not fit the value.
        """
        evaluation = Evaluation(self._source, strict=strict)
        try:
            evaluation.run(self._nodes, value)
        except RecursionError:
            raise TemplateError("template: :1: the value is nested too deeply") from None
        return "".join(evaluation.pieces)

    def headers(self, names: dict[str, str]) -> str:
        """Return the line above a table: the template over the names of its columns, as far as that goes."""
        evaluation = Evaluation(self._source, headers=True)
        with suppress(TemplateError):
            evaluation.run(self._nodes, names)
        return "".join(evaluation.pieces)
