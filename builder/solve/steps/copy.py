"""Execute a copy or a new directory: from states and contexts to one layer. Knows nothing of caching."""

from __future__ import annotations

import msgspec

from builder.errors import BuildError
from builder.graph.operations import CopyOp, MakeDirOp
from builder.layer.scanned import LayerScan
from builder.solve.context import LocalContext
from builder.store.cache import Observation
from builder.store.forms import unique_name
from builder.store.jobs import Jobs
from builder.store.layers import Layer, State
from builder.store.snapshots import Snapshots

JOBS = "builder.solve.steps.copying"
SELECTING = "builder.solve.steps.selecting"


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """A finished copy: its layer, the digest of what was really copied, and what it observed."""

    layer: Layer
    contents: str
    observations: tuple[Observation, ...]
    files: int
    bytes: int


class _Result(msgspec.Struct, frozen=True, kw_only=True):
    contents: str
    observations: tuple[tuple[str, str], ...]
    scan: LayerScan
    files: int
    bytes: int


def source_trees(
    op: CopyOp,
    inputs: tuple[State | LocalContext, ...],
    snapshots: Snapshots,
    store_root: str,
) -> list[dict[str, object]]:
    """Return the sources of a copy as plain data."""
    trees: list[dict[str, object]] = []
    for source in op.sources:
        if source.inline:
            trees.append({"inline": source.inline})
            continue
        origin = inputs[source.input]
        narrowed = {"exclude": op.exclude, "parents": op.parents, "paths": source.paths}
        if isinstance(origin, LocalContext):
            trees.append(
                {
                    **narrowed,
                    "root": origin.root,
                    "ignore": origin.ignore,
                    "ignore_name": origin.ignore_name,
                    "known": origin.known_path(store_root, op, source),
                    "unpack": origin.unpacks(op),
                    "owners": origin.owners,
                }
            )
        else:
            lowers = snapshots.directories(origin) or (snapshots.empty(),)
            trees.append({**narrowed, "lowers": lowers})
    return trees


def stands_on(op: CopyOp | MakeDirOp, base: State) -> State:
    """Return what a step sees below it: nothing, if it is to be laid over whatever is there.

    Modes are looked up in what exists, so `--link` with `--chmod` copies as if there was no `--link`.
    """
    if isinstance(op, CopyOp) and op.link and op.mode is None:
        return State()
    return base


def execute_copy(
    op: CopyOp | MakeDirOp,
    base: State,
    trees: list[dict[str, object]],
    *,
    as_directory: bool,
    snapshots: Snapshots,
    jobs: Jobs,
) -> Copied:
    """Write the layer of a copy, as a directory form or as a plain tar; `base` as `stands_on` gives it.

    Raises: ContextError, BuildError, StoreError: as `copying.execute` does.
    """
    request: dict[str, object] = {
        "sources": trees,
        "dest": op.dest if isinstance(op, CopyOp) else op.path.rstrip("/") + "/",
        "owner": op.owner if isinstance(op, CopyOp) else op.owner or None,
        "mode": op.mode if isinstance(op, CopyOp) else None,
        "scratch": snapshots.scratch(),
    }
    if isinstance(op, CopyOp) and op.link and not base.layers:
        _refuse_names(op)
    if as_directory and snapshots.layers_apart:
        with snapshots.prepare(base) as active:
            entries = f"{snapshots.scratch()}/{active.name}.entries"
            found = jobs.call(
                f"{JOBS}:execute",
                {**request, "lowers": active.lowers, "directory": active.upper, "entries": entries},
            )
            result = msgspec.convert(found, _Result)
            layer = snapshots.settle(active, result.scan, entries)
    else:
        snapshots.make_room()
        name = f"{snapshots.scratch()}/{unique_name()}"
        with snapshots.view(base) as lowers:
            found = jobs.call(
                f"{JOBS}:execute",
                {**request, "lowers": lowers, "tar": f"{name}.tar", "entries": f"{name}.entries"},
            )
        result = msgspec.convert(found, _Result)
        layer = snapshots.settle_tar(result.scan, f"{name}.entries", f"{name}.tar")
    return Copied(
        layer=layer,
        contents=result.contents,
        observations=tuple(Observation(path, seen) for path, seen in result.observations),
        files=result.files,
        bytes=result.bytes,
    )


def _refuse_names(op: CopyOp) -> None:
    """Refuse an owner by name where there is no image to look it up in; `root` is one in any image."""
    parts = (op.owner or "").split(":")
    if any(part not in {"", "root"} and not part.isdecimal() for part in parts):
        raise BuildError(
            f"with `--link`, the owner `{op.owner}` cannot be looked up",
            code="build.copy-failed",
            notes=("such a layer is made without the image that it is laid over",),
            hint="use numeric ids, or leave `--link` out",
        )
