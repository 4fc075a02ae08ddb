"""What to say of a base image that is not to be had: what the store has instead, and what the registry said."""

from __future__ import annotations

from builder.dockerfile.suggest import nearest
from builder.engine.catalogue import Catalogue
from builder.engine.lowering import Needed
from builder.errors import RegistryError
from builder.oci.reference import Reference

_SHOWN = 3


def explain(
    error: RegistryError,
    needed: Needed,
    catalogue: Catalogue,
    near_stage: str | None,
    *,
    asked: bool,
) -> None:
    """Add to the error of a registry its place and what the store has; `asked` tells that the store did not count.

    `near_stage` is the stage that the name may have meant.
    """
    reference = Reference.parse(needed.reference)
    error.span = needed.span
    if error.code == "registry.unavailable" and not asked:
        error.notes = (error.message, *error.notes)
        error.message = f"`{reference.familiar()}` is neither in the store nor can it be pulled"
        image = catalogue.by_reference(reference)
        if image is not None:
            error.notes = (f"the store has it for {image.platform} alone", *error.notes)
    if near_stage is not None:
        error.hint = f"did you mean the stage `{near_stage}`?"
        return
    near = _near(reference, catalogue.names())
    if near:
        error.hint = f"the store has {' and '.join(f'`{each}`' for each in near)}: name one of them"


def _near(wanted: Reference, names: tuple[Reference, ...]) -> list[str]:
    """Return other tags of the same image, else the name that is nearest."""
    others = [each for each in names if each.name == wanted.name and each.tag != wanted.tag]
    if others:
        return [each.familiar() for each in others[:_SHOWN]]
    by_name = {each.familiar_name: each.familiar() for each in reversed(names)}
    near = nearest(wanted.familiar_name, by_name)
    return [] if near is None else [by_name[near]]
