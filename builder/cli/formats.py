"""`--format`: what a verb has found, as a table, as JSON or through a template."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from builder.errors import TemplateFailed, TemplateRefused

if TYPE_CHECKING:
    from builder.ui.formatted import Form
    from builder.ui.template import Record, Template

_PAGE = "the templates are those of Go: {{.NAME}}, {{json .}}, table {{.NAME}}\\t{{.NAME}}"


def template_of(text: str) -> Template:
    """Read a template.

    Raises: TemplateRefused: it cannot be read.
    """
    from builder.ui.template import Template, TemplateError

    try:
        return Template.parse(text)
    except TemplateError as error:
        raise TemplateRefused(f"template parsing error: {error}", hint=_PAGE) from error


def filled(
    template: Template, value: object, *, strict: bool = False, notes: tuple[str, ...] = ()
) -> str:
    """Return what a template makes of a value; `notes` are told if it makes nothing.

    Raises: TemplateFailed: it asks for what is not there.
    """
    from builder.ui.template import TemplateError

    try:
        return template.render(value, strict=strict)
    except TemplateError as error:
        raise TemplateFailed(f"template parsing error: {error}", notes=notes) from error


def listed(form: Form, members: Iterable[Record], headers: Mapping[str, str]) -> str:
    """Return a line for each record.

    Raises: TemplateRefused, TemplateFailed: as above.
    """
    from builder.ui.formatted import rows
    from builder.ui.template import TemplateError

    template_of(form.template)  # one that cannot be read is another mistake than one that fails
    try:
        return rows(form, members, headers)
    except TemplateError as error:
        names = ", ".join(f".{name}" for name in headers)
        raise TemplateFailed(
            f"template parsing error: {error}", notes=(f"there are {names}",)
        ) from error


def object_text(text: str, value: object) -> str:
    """Return one object as `--format` asks for it, `json` or a template, with the end of the line.

    Raises: TemplateRefused, TemplateFailed: as above.
    """
    if text == "json":
        text = "{{json .}}"
    return filled(template_of(text), value, strict=True) + "\n"
