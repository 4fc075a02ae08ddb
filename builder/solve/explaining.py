"""Says of each step that is not in the cache why, and remembers what it was for the next time.

Made with the first miss of a build: a cached build knows nothing of it. Used from many threads.
"""

from __future__ import annotations

import hashlib
import time
from _thread import allocate_lock
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

import msgspec

from builder.errors import LapstrakeError
from builder.events import Cause, Difference, FileDifference
from builder.graph.explain import Below, Facts, chain, compare, nearest, place_of, remark
from builder.graph.keys import CacheKey
from builder.graph.operations import SCRATCH, CopyOp, ImageSource, RunOp
from builder.graph.vertex import Graph
from builder.layer.difference import differences, how
from builder.layer.entries import read_entries
from builder.layer.entry import Entry, Kind
from builder.solve.facts import delicate_values, digests_of, kind_of, values_of
from builder.solve.lookup import Step
from builder.store.cache import Observation
from builder.store.layers import Layer, State
from builder.store.root import Store
from builder.store.traces import Trace

MOST_FILES = 2000
"""Files that are named in a difference; all are counted."""

Explanation = tuple[tuple[Difference, ...], float]
"""The differences, and when the step was built that they are to, 0 for never."""


class Missed(msgspec.Struct, frozen=True, kw_only=True):
    """A step that is executed: what it is, why, and the diff id of its result the time before, "" for none."""

    index: int
    now: Facts
    differences: tuple[Difference, ...]
    result: str


class Explainer:
    """Explains the steps of one graph; `layers` grows while it is solved."""

    def __init__(
        self,
        graph: Graph,
        layers: Mapping[int, Layer],
        *,
        store: Store,
        project: tuple[str, ...],
        images: Mapping[tuple[str, str], State],
        tell: Callable[[int, Explanation], None],
    ) -> None:
        self._graph = graph
        self._layers = layers
        self._store = store
        self._images = images
        self._tell = tell
        self._trace = Trace(store.trace_path(project))
        self._known: list[Facts] | None = None
        self._by_after: dict[str, Facts] = {}
        hidden = delicate_values(vertex.op for vertex in graph.vertices)
        self._places = [_without(place_of(each.name), hidden) for each in graph.vertices]
        self._present = frozenset(text for _, _, text in self._places)
        self._lock = allocate_lock()

    def missed(
        self,
        index: int,
        op: Step,
        key: CacheKey,
        *,
        asked: Difference | None,
        seen: tuple[Observation, ...] = (),
        made: Layer | None = None,
    ) -> Missed:
        """Say why a step is executed: what asks for it, and what is different from the time before.

        `made` is what a copy has made, from which its files are told, and `seen` what it observed.
        """
        now = self._facts(index, op, key, seen)
        with self._lock:
            if self._known is None:
                self._known = self._trace.read()
                self._by_after = {
                    each.after: each for each in self._known if each.after != each.base
                }
            before = nearest(now, self._known, self._present)
        found = self._compared(index, op, now, before)
        if asked is not None:
            real = [each for each in found if each.cause not in (Cause.NEVER, Cause.LOST)]
            found = (asked, *real)
        if before is not None and made is not None and isinstance(op, CopyOp):
            found = tuple(
                self._with_files(each, before, op, made) if each.cause is Cause.FILES else each
                for each in found
            )
        self._tell(index, (found, 0.0 if before is None else before.when))
        return Missed(
            index=index, now=now, differences=found, result="" if before is None else before.result
        )

    def settled(self, missed: Missed, layer: Layer) -> str:
        """Keep what a step was, with its result, for the next time.

        Returns: what to say of it where the result is that of the time before, else "".
        """
        self._trace.add(_with_result(missed.now, layer, self._base(missed.index)))
        return remark(missed.differences) if missed.result == layer.diff_id else ""

    def _facts(
        self, index: int, op: Step, key: CacheKey, seen: tuple[Observation, ...] = ()
    ) -> Facts:
        stage, position, text = self._places[index]
        return Facts(
            stage=stage,
            position=position,
            text=text,
            kind=kind_of(op),
            key=key.digest,
            values=values_of(op, seen, self._salted),
            digests=digests_of(op, key),
            image=self._bottom(index),
            base=self._base(index).id,
            when=time.time(),
        )

    def remember_cached(self, steps: Mapping[int, tuple[Step, CacheKey]]) -> None:
        """Keep what cached steps were, as far as that is not known."""
        with self._lock:
            known = self._trace.read() if self._known is None else self._known
        seen = {(each.key, each.text, each.place, each.base) for each in known}
        found: list[Facts] = []
        for index, (op, key) in steps.items():
            layer = self._layers.get(index)
            if layer is None:
                continue
            now = self._facts(index, op, key)
            if (now.key, now.text, now.place, now.base) not in seen:
                facts = _with_result(now, layer, self._base(index))
                found.append(msgspec.structs.replace(facts, when=layer.created))
        if found:
            self._trace.add(*found)

    def _compared(
        self, index: int, op: Step, now: Facts, before: Facts | None
    ) -> tuple[Difference, ...]:
        if before is None or not isinstance(op, RunOp) or now.base == before.base:
            return compare(now, before)
        return compare(
            now,
            before,
            below=tuple(self._below(index)),
            before_below=chain(before, self._by_after),
        )

    def _below(self, index: int) -> Iterator[Below]:
        """Yield what a step stands on, the image first."""
        bottom = self._bottom(index)
        if bottom is not None:
            yield bottom
        for at in reversed(self._steps_below(index)):
            layer = self._layers[at]
            if not layer.empty:
                yield Below(self._places[at][2], layer.content_id)

    def _steps_below(self, index: int) -> list[int]:
        """Return the steps that a step stands on, the nearest first."""
        found: list[int] = []
        inputs = self._graph.vertices[index].inputs
        while inputs and inputs[0] in self._layers:
            found.append(inputs[0])
            inputs = self._graph.vertices[inputs[0]].inputs
        return found

    def _bottom(self, index: int) -> Below | None:
        steps = [index, *self._steps_below(index)]
        inputs = self._graph.vertices[steps[-1]].inputs
        op = self._graph.vertices[inputs[0]].op if inputs else None
        return self._image(op) if isinstance(op, ImageSource) and op != SCRATCH else None

    def _base(self, index: int) -> State:
        """Return the state that a step stands on."""
        steps = self._steps_below(index)
        inputs = self._graph.vertices[steps[-1] if steps else index].inputs
        op = self._graph.vertices[inputs[0]].op if inputs else None
        layers = tuple(self._layers[each] for each in reversed(steps))
        if isinstance(op, ImageSource):
            layers = (*self._images[op.reference, op.platform].layers, *layers)
        return State(layers)

    def _image(self, op: ImageSource) -> Below:
        name = self._store.images.name(op.reference)
        identity = "" if name is None else name.digest or name.image
        state = self._images[op.reference, op.platform]
        return Below(op.reference, state.id, is_image=True, identity=identity)

    def _with_files(
        self, difference: Difference, before: Facts, op: CopyOp, layer: Layer
    ) -> Difference:
        """Return a difference with the files that differ, where both entry lists are there."""
        lists = self._store.layers.entries_path
        try:
            changed = list(
                differences(read_entries(lists(before.result)), read_entries(lists(layer.diff_id)))
            )
        except (OSError, LapstrakeError):
            return difference  # it was pruned, or never built here
        return files_of(difference, changed, op)

    def _salted(self, value: bytes) -> str:
        return hashlib.blake2b(value, key=self._store.secret_key()).hexdigest()


def _with_result(facts: Facts, layer: Layer, base: State) -> Facts:
    return msgspec.structs.replace(
        facts, result=layer.diff_id, layer=layer.content_id, after=base.with_layer(layer).id
    )


def _without(place: tuple[str, int, str], hidden: frozenset[str]) -> tuple[str, int, str]:
    """Return a place without the values of variables that may be secrets, which its text may show."""
    stage, position, text = place
    for value in hidden:
        text = text.replace(value, "****")
    return stage, position, text


def files_of(
    difference: Difference, changed: list[tuple[Entry | None, Entry | None]], op: CopyOp | None
) -> Difference:
    """Return a difference with the files that changed, directories only where nothing else did."""
    files = [pair for pair in changed if not _is_directory(pair)] or changed
    named = [
        FileDifference(_source_path((after or before).path, op), how(before, after))  # type: ignore[union-attr]
        for before, after in islice(files, MOST_FILES)
    ]
    return msgspec.structs.replace(difference, files=tuple(named), total=len(files))


def _is_directory(pair: tuple[Entry | None, Entry | None]) -> bool:
    return all(each is None or each.kind in (Kind.DIRECTORY, Kind.OPAQUE) for each in pair)


def _source_path(path: bytes, op: CopyOp | None) -> str:
    """Return the path of a copied file as its author knows it: below the source, not the destination."""
    text = path.decode("utf-8", "backslashreplace")
    if op is None:
        return f"/{text}"
    dest = op.dest.strip("/")
    if dest and text == dest:
        text = text.rpartition("/")[2]
    elif dest and text.startswith(f"{dest}/"):
        text = text[len(dest) + 1 :]
    sources = [path for source in op.sources for path in source.paths]
    if len(sources) != 1 or op.parents or any(each in sources[0] for each in "*?["):
        return text
    source = sources[0].strip("/")
    is_file = text == source.rpartition("/")[2] or text == op.dest.rpartition("/")[2]
    if is_file:
        return source
    return f"{source}/{text}" if source not in ("", ".") else text
