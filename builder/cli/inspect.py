"""`lapstrake inspect`: all that is known about images, as Docker shows it."""

from __future__ import annotations

import sys

import click
import msgspec

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb
from builder.errors import ImageError, LapstrakeError, TemplateFailed

TYPES = ("image", "container", "network", "volume")


@click.command("inspect", cls=Verb, short_help="Show the details of images as JSON")
@click.option(
    "-f", "--format", "form", metavar="FORM", help="Print json on one line, or a Go template."
)
@click.option("--platform", metavar="OS/ARCH", help="Show the image for this platform.")
@click.option("-s", "--size", is_flag=True, help="Accepted: images always have sizes.")
@click.option("--type", "kind", type=click.Choice(TYPES), help="Look only for things of this kind.")
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    names: tuple[str, ...],
    form: str | None,
    platform: str | None,
    size: bool,  # noqa: ARG001
    kind: str | None,
) -> int:
    """Show the details of images as JSON; of those that exist also if another does not."""
    printer = _Printer(form or "")
    errors: list[LapstrakeError] = []
    with invocation.engine() as engine:
        for name in names:
            try:
                if kind not in (None, "image"):
                    raise _missing(kind or "object", name)
                printer.add(engine.inspect(name, platform))
            except TemplateFailed as error:
                errors.append(error)
            except ImageError as error:
                named = kind is not None or error.notes or _of_images()
                errors.append(error if named else _no_object(name, error))
    invocation.show(printer.text())
    sys.stdout.flush()  # what was found comes before what was not
    for each in errors:
        invocation.tell(each.diagnostic())
    return 1 if errors else 0


def _of_images() -> bool:
    """Tell whether this is `image inspect`, which looks for nothing but images."""
    above = click.get_current_context().parent
    return above is not None and above.info_name == "image"


def _no_object(name: str, error: ImageError) -> ImageError:
    return ImageError(f"No such object: {name}", code=error.code, hint=error.hint)


def _missing(kind: str, name: str) -> ImageError:
    return ImageError(
        f"No such {kind}: {name}",
        code="image.not-found",
        hint=f"this version keeps no {kind}s",
    )


class _Printer:
    """Collects details in one of three forms: indented JSON, JSON on one line, or through a template."""

    def __init__(self, form: str) -> None:
        from builder.cli.formats import template_of

        self._form = form
        self._template = template_of(form) if form not in ("", "json") else None
        self._found: list[object] = []

    def add(self, document: dict[str, object]) -> None:
        """Take one more image.

        Raises: TemplateFailed: the template does not fit it.
        """
        if self._template is None:
            self._found.append(document)
            return
        from builder.cli.formats import filled
        from builder.ui.inspected import record_of

        try:
            self._found.append(filled(self._template, record_of(document)))
        except TemplateFailed:  # by the names that the members have in JSON, then
            self._found.append(filled(self._template, document, strict=True))

    def text(self) -> str:
        """Return all that was found."""
        if self._template is not None:
            return "".join(f"{each}\n" for each in self._found) or "\n"
        raw = msgspec.json.encode(self._found)
        if self._form == "json" or not self._found:
            return raw.decode() + "\n"
        return msgspec.json.format(raw, indent=4).decode() + "\n"
