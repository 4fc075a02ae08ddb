"""From a vertex and the states of its inputs to a cache key, and from a key to a layer that still holds.

Nothing is executed here, and no directory is made for a hit above the same state as before.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, assert_never, cast

import msgspec

from builder.graph.keys import CONTENTS, STATE, CacheKey, KeyPart, cache_key, framed_digest
from builder.graph.mounts import BindMount, SecretMount
from builder.graph.operations import CopyOp, CopySource, MakeDirOp, RunOp, literal
from builder.solve.context import LocalContext
from builder.solve.steps.copy import JOBS, SELECTING, source_trees, stands_on
from builder.store.cache import CacheRecord
from builder.store.layers import Layer, State
from builder.store.root import Store

if TYPE_CHECKING:
    from builder.solve.secrets import Secrets

Input = State | LocalContext
Step = RunOp | CopyOp | MakeDirOp


def base_of(inputs: tuple[Input, ...]) -> State:
    """Return the state that a step works on: its first input, or the empty one."""
    if inputs and isinstance(inputs[0], State):
        return inputs[0]
    return State()


class Result(msgspec.Struct, frozen=True):
    """What a step of a build came to; `note` is a short fact, `same` that it was executed and is as before."""

    made: Layer | LocalContext
    cached: bool
    note: str = ""
    same: bool = False


def below(op: Step, inputs: tuple[Input, ...]) -> State:
    """Return the state that records of a step are bound to."""
    base = base_of(inputs)
    return base if isinstance(op, RunOp) else stands_on(op, base)


def run_key(op: RunOp, base: State, shown: tuple[KeyPart, ...] = ()) -> CacheKey:
    """Return the key of a RUN: it may read everything below it, and what its mounts show of other states."""
    return cache_key(
        (
            KeyPart("operation", framed_digest(op.identity()), " ".join(op.argv)),
            KeyPart("file system", base.id),
            *shown,
        )
    )


def make_dir_key(op: MakeDirOp) -> CacheKey:
    """Return the key of a WORKDIR; what it sees of the state below are observations."""
    return cache_key((KeyPart("operation", framed_digest(op.identity()), op.path),))


def copy_key(op: CopyOp, contents: str) -> CacheKey:
    """Return the key of a copy from the digest of what it selects."""
    return cache_key(
        (
            KeyPart("operation", framed_digest(op.identity()), op.dest),
            KeyPart(CONTENTS, contents),
        )
    )


class CacheBackend(Protocol):
    """Records made elsewhere; callable from many threads. It never fails: what cannot be had is not there."""

    def lookup(self, key: CacheKey, base: str) -> tuple[CacheRecord, ...]:
        """Return the records of a key whose layers are not known to be missing, that of the base first."""

    def layer(self, record: CacheRecord) -> Layer:
        """Return the layer of a record that was looked up, which need not be here; the record counts from now on."""

    def selection(self, state: str, request: str) -> str | None:
        """Return the digest of what is selected in a state, as `CacheIndex.selection` does."""

    def have(self, state: State) -> None:
        """Have the layers of a state here that came from this backend.

        Raises: LayerLost: one cannot be had, or is not what it was said to be; it is not found any more.
        """


class Lookup:
    """Finds layers for steps of one build, here and then `elsewhere`; with `normalize`, what they count as."""

    def __init__(
        self,
        store: Store,
        elsewhere: CacheBackend | None = None,
        normalize: tuple[str, ...] = (),
        secrets: Secrets | None = None,
    ) -> None:
        self._store = store
        self._normalize = normalize
        self._secrets = secrets
        self._backend = elsewhere
        self._jobs = store.jobs

    def own_key(self, op: RunOp, inputs: tuple[Input, ...], key: CacheKey) -> CacheKey:
        """Return the key under which an execution is recorded: `key`, unless that rests on what others say they read.

        Raises: ContextError. LayerLost: what has to be read for that cannot be had.
        """
        if self._backend is None or not any(isinstance(each, BindMount) for each in op.mounts):
            return key
        return run_key(op, base_of(inputs), self.shown(op, inputs, self._fingerprint, own=True))

    def have_inputs(self, inputs: tuple[Input, ...]) -> None:
        """Have everything here that a step stands on, or reads.

        Raises: LayerLost: as `have`.
        """
        for each in inputs:
            if isinstance(each, State):
                self.have(each)

    def key(self, op: Step, inputs: tuple[Input, ...]) -> CacheKey:
        """Return the key of a step.

        Raises: ContextError: a source is missing or cannot be read.
        """
        match op:
            case RunOp():
                shown = self.shown(op, inputs, self._fingerprint) if op.mounts else ()
                return run_key(op, base_of(inputs), shown)
            case CopyOp():
                return copy_key(op, self.contents(op, inputs))
            case MakeDirOp():
                return make_dir_key(op)
            case _:
                assert_never(op)

    def _fingerprint(self, secret_id: str) -> str:
        if self._secrets is None or not self._secrets.keyed(secret_id):
            return ""
        return self._secrets.fingerprint(secret_id, self._store.secret_key())

    def worth_selecting(self, op: CopyOp, inputs: tuple[Input, ...]) -> bool:
        """Tell whether digesting first is likely cheaper than copying at once: is anything known?"""
        if self._backend is not None:
            return True
        for source in op.sources:
            origin = None if source.inline else inputs[source.input]
            if not isinstance(origin, LocalContext):
                continue
            path = origin.known_path(self._store.root, op, source)
            if path and not os.path.exists(path):
                return False
        return True

    def shown(
        self,
        op: RunOp,
        inputs: tuple[Input, ...],
        fingerprint: Callable[[str], str],
        *,
        own: bool = False,
    ) -> tuple[KeyPart, ...]:
        """Return what counts of what a RUN is shown by its mounts.

        `fingerprint` gives what counts of a secret, "" for nothing. With `own`, nobody else is asked.

        Raises: ContextError: a mount's source is missing.
        """
        parts: list[KeyPart] = []
        for mount in op.mounts:
            if isinstance(mount, BindMount):
                parts.append(self._bound(mount, inputs, own=own))
            elif isinstance(mount, SecretMount):
                found = fingerprint(mount.id)
                if found:
                    parts.append(KeyPart(f"secret {mount.id}", found))
        return tuple(parts)

    def _bound(self, mount: BindMount, inputs: tuple[Input, ...], *, own: bool) -> KeyPart:
        """Return what counts of a bind mount: what its input holds at the path."""
        state = inputs[mount.input]
        if not mount.path and isinstance(state, State):
            return KeyPart(STATE, state.id, mount.target)
        path = literal(mount.path)
        selection = CopyOp(sources=(CopySource(input=mount.input, paths=(path,)),), dest="/")
        return KeyPart(CONTENTS, self.contents(selection, inputs, own=own), mount.target)

    def contents(self, op: CopyOp, inputs: tuple[Input, ...], *, own: bool = False) -> str:
        """Return the digest of what a copy selects; with `own`, nobody else is asked.

        A context is read here, by the user's own rights; a state behind the launcher, and remembered.

        Raises: ContextError: a source is missing or cannot be read.
        """
        request = self._request(op, inputs)
        if request is not None:
            states, text = request
            known = self._store.cache.selection(states, text)
            if known is None and self._backend is not None and not own:
                known = self._backend.selection(states, text)
            if known is not None:
                return known
        trees = source_trees(op, inputs, self._store.snapshots, self._store.root)
        # What came as an archive may have modes by which only root can read it.
        if any(isinstance(each, State) or each.owners for each in self._sources(op, inputs)):
            found = self._jobs.call(f"{SELECTING}:select", {"sources": trees})
        else:
            from builder.solve.steps.selecting import select

            found = select({"sources": trees}, (), None)
        contents = str(cast("dict[str, object]", found)["contents"])
        if request is not None:
            self._store.cache.remember_selection(*request, contents)
        return contents

    def remember(self, op: CopyOp, inputs: tuple[Input, ...], contents: str) -> None:
        """Remember what a copy selected that was executed unasked, as `contents` would."""
        request = self._request(op, inputs)
        if request is not None:
            self._store.cache.remember_selection(*request, contents)

    def _sources(self, op: CopyOp, inputs: tuple[Input, ...]) -> list[Input]:
        return [inputs[source.input] for source in op.sources if not source.inline]

    def _request(self, op: CopyOp, inputs: tuple[Input, ...]) -> tuple[str, str] | None:
        """Return what identifies a selection from states alone, or None where a context takes part."""
        origins = self._sources(op, inputs)
        states = [each.id for each in origins if isinstance(each, State)]
        if len(states) != len(origins) or not origins:
            return None
        wanted: list[object] = [(source.paths, source.inline) for source in op.sources]
        if op.exclude or op.parents:
            wanted.append((op.exclude, op.parents))
        return framed_digest(states), framed_digest(["select/1", wanted])

    def find(self, key: CacheKey, base: State, ttl: int = 0) -> Layer | None:
        """Return the layer of a key above this state: recorded for it, or for one that looks the same.

        With a `ttl`, in seconds, only what was executed since then counts.
        """
        oldest = time.time() - ttl if ttl else 0.0
        layer = self._find_here(key, base, oldest)
        if layer is None and self._backend is not None:
            layer = self._find_elsewhere(self._backend, key, base, oldest)
        if layer is not None and self._normalize:
            from builder.solve.normalizing import remembered

            return remembered(self._store, layer, self._normalize)
        return layer

    def have(self, state: State) -> None:
        """Have all layers of a state here.

        Raises: LayerLost: one that was found elsewhere cannot be had.
        """
        if self._backend is not None:
            self._backend.have(state)

    def _find_elsewhere(
        self, backend: CacheBackend, key: CacheKey, base: State, oldest: float
    ) -> Layer | None:
        for record in backend.lookup(key, base.id):
            if record.created < oldest:
                continue
            if record.base == base.id or (record.observations and self._holds(record, base)):
                return backend.layer(msgspec.structs.replace(record, base=base.id))
        return None

    def _find_here(self, key: CacheKey, base: State, oldest: float) -> Layer | None:
        exact = self._store.cache.find(key.digest, base.id)
        if exact is not None:
            diff_id, created = exact
            return self._usable(diff_id) if created >= oldest else None
        for record in self._store.cache.lookup(key.digest):
            if record.observations and record.created >= oldest and self._holds(record, base):
                layer = self._usable(record.diff_id)
                if layer is not None:
                    self._store.cache.record(
                        key,
                        base.id,
                        record.diff_id,
                        record.observations,
                        record.seconds,
                        created=record.created,
                    )
                    return layer
        return None

    def expired(self, key: CacheKey, base: State, ttl: int) -> bool:
        """Tell whether there is a record that only its age keeps from being used."""
        exact = self._store.cache.find(key.digest, base.id) if ttl else None
        return exact is not None and exact[1] < time.time() - ttl

    def _usable(self, diff_id: str) -> Layer | None:
        layer = self._store.layers.get(diff_id)
        if layer is None or not self._store.snapshots.usable(layer):
            return None
        return layer

    def _holds(self, record: CacheRecord, base: State) -> bool:
        asked = [observation.path for observation in record.observations]
        with self._store.snapshots.view(base) as lowers:
            found = self._jobs.call(f"{JOBS}:observed", {"lowers": lowers, "asked": asked})
        seen = [observation.seen for observation in record.observations]
        return msgspec.convert(found, list[str]) == seen
