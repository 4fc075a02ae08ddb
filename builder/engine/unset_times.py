"""What is said of an image that was given a time, but whose files were not."""

from __future__ import annotations

from collections.abc import Iterable

from builder.diagnostics import Diagnostic, Severity
from builder.engine.built import Built, BuiltImage
from builder.engine.destinations import Asked
from builder.export.requested import DockerArchive, InStore, Layout
from builder.graph.operations import RunOp


def times_kept(built: Built, outputs: Iterable[Asked]) -> tuple[Diagnostic, ...]:
    """Return a note where images have a time, and outputs hold files with those of commands instead."""
    wanted = [each.requested for each in outputs]
    images = [each for each in wanted if isinstance(each, Layout | DockerArchive | InStore)]
    plain = [each for each in images if not each.form.rewrite]
    if (images and not plain) or (wanted and not images):
        return ()
    if not any(each.epoch is not None and _has_written(each) for each in built.images):
        return ()
    note = Diagnostic(
        severity=Severity.NOTE,
        code="build.times-kept",
        message="files that commands wrote keep the time at which they ran",
        notes=("SOURCE_DATE_EPOCH is the time of the image and of its history alone",),
        hint="for the same digest each time: `-o type=image,name=NAME,rewrite-timestamp=true`",
    )
    return (note,)


def _has_written(built: BuiltImage) -> bool:
    """Tell whether a command wrote into one of the image's own layers."""
    account = built.account()
    vertices, at = account.graph.vertices, account.graph.target
    while at is not None and vertices[at].inputs:
        state = account.states.get(at)
        wrote = state is not None and state.layers and not state.layers[-1].empty
        if wrote and isinstance(vertices[at].op, RunOp):
            return True
        at = vertices[at].inputs[0]
    return False
