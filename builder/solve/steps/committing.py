"""From what a command wrote to a layer, without what was only lent to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from builder.errors import BuildError
from builder.solve.steps.preparing import Prepared
from builder.solve.steps.trusting import strip
from builder.solve.surroundings import Surroundings
from builder.solve.translate import Behind
from builder.store.layers import Layer
from builder.store.root import Store
from builder.store.snapshotter import ActiveSnapshot


def commit(
    step: Prepared,
    *,
    store: Store,
    behind: Behind,
    surroundings: Surroundings,
    remark: Callable[[str], None],
) -> Layer:
    """Make a layer of what a command wrote; `remark` is told of files that keep a certificate of the builder's.

    Raises: BuildError: `build.secret-leaked`: a secret is in it that the command was shown.
    """
    if step.shown.values and not surroundings.leaks_allowed:
        _refuse_leaks(step.active, step.shown.values, behind)
    if surroundings.certificates:
        for path in strip(step.active, step.trusted, surroundings.certificates, behind):
            remark(f"`{path}` keeps a certificate of `--ca-cert`")
    return store.snapshots.commit(step.active)


def _refuse_leaks(active: ActiveSnapshot, values: Sequence[bytes], behind: Behind) -> None:
    """Refuse to make a layer of files that give away a secret that the step has seen."""
    from builder.solve.needles import forms

    needles = tuple(sorted({form for value in values for form in forms(value)}))
    # A plain tree also holds what the image had.
    since = active.since if active.rootfs.plain else 0
    arguments = {"root": active.upper, "needles": needles, "since": since}
    found = behind.call("builder.layer.leaks:find_leaks", arguments)
    paths = msgspec.convert(found, list[str])
    if paths:
        raise BuildError(
            "the step wrote a secret into the image",
            code="build.secret-leaked",
            notes=("it is in " + ", ".join(f"`{path}`" for path in paths),),
            hint="keep it out of files, or allow it with `--allow leaked-secrets`",
        )
