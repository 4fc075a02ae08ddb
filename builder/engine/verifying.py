"""Whether an image is what its inputs give: built again without the cache, compared, and the differences put into words.

What was given to the first build is taken from its provenance where that is at hand: arguments, target, labels, images by
digest. Its time is that of the image, where that was given. Layers come to the same where they hold the same; times
count where they were rewritten, for then the inputs decide them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from heapq import merge
from itertools import groupby

import msgspec

from builder.engine.account import Account
from builder.engine.built import BuiltImage
from builder.engine.catalogue import LocalImage
from builder.engine.differences import Change, FileDifference, configuration_differences
from builder.engine.repeating import asked_as, first_build
from builder.engine.requests import BuildRequest
from builder.export.manifest import Packed
from builder.export.timestamps import rewritten
from builder.graph.operations import CopyOp, MakeDirOp, RunOp
from builder.graph.vertex import Vertex
from builder.layer.entries import read_entries
from builder.layer.entry import Entry, Kind, sort_key
from builder.layer.pack import SECOND
from builder.oci.mediatypes import Compression
from builder.store.layers import Layer, State
from builder.store.root import Store

_REASONS = (
    (r"etc/(shadow|gshadow)-?", "it holds the day on which a user or password was made"),
    (r"var/log/.+", "logs tell when they were written"),
    (r".+\.pyc", "it holds the time of its source, unless SOURCE_DATE_EPOCH is set in the step"),
    (r"(etc/ld\.so\.cache|var/cache/ldconfig/aux-cache)", "it holds times and inode numbers"),
    (r"var/(lib|cache)/(apt|dpkg|debconf|apk|dnf|yum|rpm)/.+", "package managers keep times there"),
    (r".+\.(gz|tgz|zip|jar|whl|a)", "archives hold times"),
)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One difference. `layer` counts from 1, 0 for none; `step` is what made it, `line` where that stands in the Dockerfile.

    `path` is absolute, "" where it is about no file; `reason` says why such a file is seldom the same.
    """

    what: str
    layer: int = 0
    step: str = ""
    line: int = 0
    path: str = ""
    reason: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of building an image again: ids of both, and in what they differ.

    `times` tells whether times were compared: only where they were rewritten do the inputs decide them.
    """

    image: str
    rebuilt: str
    times: bool
    told: bool
    """Whether provenance told all that the first build was given, not only flags."""
    found: tuple[Found, ...]
    more: int = 0

    @property
    def same(self) -> bool:
        """Whether the image is what the inputs give."""
        return not self.found


def compared(
    image: LocalImage, built: BuiltImage, store: Store, *, most: int, told: bool
) -> Verdict:
    """Compare an image with what its inputs gave now; at most so many differences are told, the others counted.

    Raises: StoreError: no form of a layer is left.
    """
    account = built.account()
    plain = Packed(
        id=built.image.id,
        config=built.image.config,
        state=built.image.state,
        inherited=built.inherited,
        epoch=built.epoch,
    )
    times, again = False, plain
    if built.epoch is not None:
        again = rewritten(
            plain, built.inherited, store, epoch=built.epoch, compression=Compression.NONE
        )
        times = _is_rewritten(image, again, store, epoch=built.epoch)
        again = again if times else plain
    differences = _differences(image, again, account, store, times=times)
    found: list[Found] = []
    more = 0
    for each in differences:
        if len(found) < most:
            found.append(each)
        else:
            more += 1
            if most == 1:
                break
    return Verdict(
        image=image.id, rebuilt=again.id, times=times, told=told, found=tuple(found), more=more
    )


def _differences(
    image: LocalImage, again: Packed, account: Account, store: Store, *, times: bool
) -> Iterator[Found]:
    below = again.inherited.layers
    one, other = image.state.layers, again.state.layers
    if [each.diff_id for each in one[:below]] != [each.diff_id for each in other[:below]]:
        yield Found(what="the base image is another one", layer=1)
        return
    steps = _steps(account)
    for number in range(below, min(len(one), len(other))):
        if one[number].diff_id == other[number].diff_id:
            continue
        step, line = steps[number - below] if number - below < len(steps) else ("", 0)
        for file in _files(one[number], other[number], store, times=times):
            path = os.fsdecode(file.path)
            yield Found(
                what=_words(file, times=times),
                layer=number + 1,
                step=step,
                line=line,
                path=f"/{path}",
                reason=_reason(path),
            )
    if len(one) != len(other):
        yield Found(what=f"it has {len(one)} layers, and now there are {len(other)}")
    for change in configuration_differences(image.config, again.config, times=times):
        yield Found(what=_changed(change))


def _steps(account: Account) -> list[tuple[str, int]]:
    """Return what made each new layer, and the line on which it stands, bottom first."""
    graph = account.graph
    found: list[Vertex] = []
    at = graph.target
    while at is not None and isinstance(graph.vertices[at].op, RunOp | CopyOp | MakeDirOp):
        found.append(graph.vertices[at])
        at = graph.vertices[at].inputs[0]
    return [
        (each.name.partition("] ")[2], 0 if each.span is None else each.span.line)
        for each in reversed(found)
    ]


def _is_rewritten(image: LocalImage, again: Packed, store: Store, *, epoch: int) -> bool:
    """Tell whether the files of an image were given its time: none is later, and what has it `again` had it before."""
    below = again.inherited.layers
    compared = False
    found = False
    for number, layer in enumerate(image.state.layers[below:], below):
        times = {each.path: each.mtime // SECOND for each in _entries(layer, store)}
        if any(each > epoch for each in times.values()):
            return False
        if number < len(again.state.layers) and not found:
            for entry in _entries(again.state.layers[number], store):
                if entry.mtime // SECOND == epoch and entry.path in times:
                    compared = True
                    found = found or times[entry.path] == epoch
    return found or not compared


def _entries(layer: Layer, store: Store) -> Iterator[Entry]:
    if layer.empty:
        return
    path = store.layers.entries_path(layer.diff_id)
    if not os.path.exists(path):
        with store.snapshots.view(State((layer,))):
            pass  # what unpacks a layer writes its list
    yield from read_entries(path)


def _files(one: Layer, other: Layer, store: Store, *, times: bool) -> Iterator[FileDifference]:
    """Yield in what two layers differ, what they remove included."""

    def keyed(layer: Layer, side: int) -> Iterator[tuple[tuple[bytes, bool], int, Entry]]:
        for entry in _entries(layer, store):
            plain = msgspec.structs.replace(
                entry, mtime=entry.mtime // SECOND * SECOND if times else 0
            )
            yield (sort_key(entry.path), entry.kind is Kind.OPAQUE), side, plain

    together = merge(keyed(one, 0), keyed(other, 1), key=lambda each: each[:2])
    for _, group in groupby(together, key=lambda each: each[0]):
        sides = {side: entry for _, side, entry in group}
        if sides.get(0) != sides.get(1):
            yield FileDifference(before=sides.get(0), after=sides.get(1))


def _words(file: FileDifference, *, times: bool) -> str:
    if file.before is None or file.after is None:
        there = file.before or file.after
        assert there is not None
        kind = there.kind.name.lower()
        if there.kind >= Kind.WHITEOUT:
            return "it is removed " + ("now" if file.before is None else "no more")
        return f"this {kind} is " + ("new" if file.before is None else "not there now")
    return (
        ", ".join(_changed(each) for each in file.changes(times=times)) or "its place in the layer"
    )


def _changed(change: Change) -> str:
    if change.name == "content":
        return "its content"
    if change.name == "time":
        return f"its time: {_seconds(change.before)}, now {_seconds(change.after)}"
    return f"{change.name}: {_value(change.before)}, now {_value(change.after)}"


def _seconds(value: object) -> str:
    from builder.engine.catalogue import rfc3339

    return rfc3339(value // SECOND) if isinstance(value, int) else "none"


def _value(value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _reason(path: str) -> str:
    return next((reason for pattern, reason in _REASONS if re.fullmatch(pattern, path)), "")


def verified(
    image: LocalImage,
    request: BuildRequest,
    build: Callable[[BuildRequest], BuiltImage],
    store: Store,
    *,
    most: int,
    predicate: bytes | None = None,
) -> Verdict:
    """Build an image again as it was built first, and compare; what is made for this is forgotten, unless it was here.

    `predicate` is its provenance.

    Raises: LapstrakeError: it cannot be built, or read.
    """
    first = first_build(predicate)
    asked = asked_as(image, request, store, first)
    before = {each.id: store.images.origin(each.id) for each in store.images.all()}
    with store.answering_nothing():
        built = build(asked)
    try:
        return compared(image, built, store, most=most, told=first.is_complete)
    finally:
        if built.image.id not in before:
            store.images.remove(built.image.id)
        for known in {image.id, built.image.id}:
            origin = before.get(known)
            if origin is not None:
                store.images.set_origin(known, origin)
