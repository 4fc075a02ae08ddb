"""Whether the bases of a build are still what their names stand for elsewhere: a note, never a reason to build again."""

from __future__ import annotations

from collections.abc import Iterable

from builder.diagnostics import Diagnostic, Severity
from builder.engine.built import Built
from builder.engine.requests import BuildRequest
from builder.errors import LapstrakeError
from builder.oci.reference import Reference
from builder.registry.client import RegistryClient


def asked_anyway(request: BuildRequest, sent: Iterable[str]) -> frozenset[str]:
    """Return the registries that a build has asked something: those of its caches, and of the names that it `sent`."""
    caches = [
        each.where for each in (*request.cache_from, *request.cache_to) if each.type == "registry"
    ]
    return frozenset([Reference.parse(name).registry for name in (*caches, *sent)])


def newer_bases(
    built: Built, registries: frozenset[str], client: RegistryClient
) -> tuple[Diagnostic, ...]:
    """Return a note for each base whose name stands for something else now, in registries that were asked anyway.

    One short question for each; where it is not answered, nothing is said.
    """
    bases = {
        image.reference: image.digest
        for each in built.images
        for image in each.account().images
        if image.digest is not None and not image.layout
    }
    found = []
    for name, digest in bases.items():
        reference = Reference.parse(name)
        if reference.digest is not None or reference.registry not in registries:
            continue
        try:
            now = str(client.head_manifest(reference).digest)
        except LapstrakeError:
            continue
        if now != digest:
            found.append(_newer(reference, digest, now))
    return tuple(found)


def moved(reference: Reference, before: str | None, now: str) -> Diagnostic | None:
    """Return a note where a name stands for something else since it was asked for; None where it does not."""
    if before is None or before == now:
        return None
    return Diagnostic(
        severity=Severity.NOTE,
        code="build.newer-base",
        message=f"the base image `{reference.familiar()}` is another one than before",
        notes=(f"it was {before}", f"it is  {now}"),
    )


def _newer(reference: Reference, digest: str, now: str) -> Diagnostic:
    return Diagnostic(
        severity=Severity.NOTE,
        code="build.newer-base",
        message=f"the base image `{reference.familiar()}` has a newer digest",
        notes=(f"this build has {digest}", f"it is now      {now}"),
        hint="to take it, build with `--pull`",
    )
