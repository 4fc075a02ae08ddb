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
from urllib.parse import unquote

import msgspec

from builder.engine.account import Account
from builder.engine.built import BuiltImage
from builder.engine.catalogue import LocalImage, created_seconds
from builder.engine.differences import Change, FileDifference, configuration_differences
from builder.engine.requests import BuildRequest
from builder.errors import ImageError, ReferenceInvalid
from builder.export.manifest import BASE_DIGEST, BASE_NAME, Packed
from builder.export.timestamps import rewritten
from builder.export.wanted import Making, making_for
from builder.graph.operations import CopyOp, MakeDirOp, RunOp
from builder.graph.vertex import Vertex
from builder.layer.entries import read_entries
from builder.layer.entry import Entry, Kind, sort_key
from builder.layer.pack import SECOND
from builder.oci.digest import Digest
from builder.oci.manifest import parse_manifest
from builder.oci.mediatypes import Compression
from builder.oci.reference import Reference
from builder.store.layers import Layer, State
from builder.store.root import Store

_EPOCH = "SOURCE_DATE_EPOCH"

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
    """Whether the inputs were told by provenance, not only by flags."""
    found: tuple[Found, ...]
    more: int = 0

    @property
    def same(self) -> bool:
        """Whether the image is what the inputs give."""
        return not self.found


class _Dependency(msgspec.Struct, frozen=True):
    uri: str = ""
    digest: dict[str, str] = {}


class _Asked(msgspec.Struct, frozen=True):
    args: dict[str, str] = {}


class _Invocation(msgspec.Struct, frozen=True):
    request: _Asked = _Asked()
    parameters: _Asked = _Asked()


class _Definition(msgspec.Struct, frozen=True, rename="camel"):
    external_parameters: _Invocation = _Invocation()
    resolved_dependencies: tuple[_Dependency, ...] = ()


class _Predicate(msgspec.Struct, frozen=True, rename="camel"):
    """What counts of provenance, in either of its versions."""

    build_definition: _Definition = _Definition()
    invocation: _Invocation = _Invocation()
    materials: tuple[_Dependency, ...] = ()

    @property
    def args(self) -> dict[str, str]:
        return (
            self.build_definition.external_parameters.request.args
            or self.invocation.parameters.args
        )

    @property
    def dependencies(self) -> tuple[_Dependency, ...]:
        return self.build_definition.resolved_dependencies or self.materials


def asked_as(
    image: LocalImage, request: BuildRequest, store: Store, predicate: bytes | None
) -> BuildRequest:
    """Return the request with what is known of the first one, from its provenance too; what it says itself wins.

    Raises: ImageError: the provenance is malformed.
    """
    try:
        told = (
            _Predicate() if predicate is None else msgspec.json.decode(predicate, type=_Predicate)
        )
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ImageError("the provenance of the image is malformed") from error
    arguments = told.args
    given = dict(request.build_args)
    for key, value in arguments.items():
        if key.startswith("build-arg:"):
            given.setdefault(key.removeprefix("build-arg:"), value)
    if making_for(image.config) is Making.ANYWHERE:
        given.setdefault(_EPOCH, str(int(created_seconds(image.config.created))))
    labels = {
        key.removeprefix("label:"): value
        for key, value in arguments.items()
        if key.startswith("label:")
    }
    return msgspec.structs.replace(
        request,
        build_args=tuple(given.items()),
        labels=tuple({**labels, **dict(request.labels)}.items()),
        target=request.target or arguments.get("target"),
        platforms=request.platforms or (str(image.platform),),
        contexts=(*_pins(image, told, store, dict(request.contexts)), *request.contexts),
        no_cache=True,
    )


def _base(image: LocalImage, store: Store) -> tuple[str, str] | None:
    """Return the name and the digest of the base that an image stands on: what its build says, else its manifest."""
    origin = store.images.origin(image.id)
    stored = store.images.get(image.id)
    if origin is not None:
        found = (origin.base, origin.digest)
    elif stored is not None and stored.manifest and store.blobs.contains(Digest(stored.manifest)):
        annotations = dict(parse_manifest(store.blobs.read(Digest(stored.manifest))).annotations)
        found = (annotations.get(BASE_NAME), annotations.get(BASE_DIGEST))
    else:
        return None
    name, digest = found
    return None if name is None or digest is None else (name, digest)


def _pins(
    image: LocalImage, told: _Predicate, store: Store, given: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield named contexts that hold the images of the first build by their digests."""
    known: dict[str, str] = {}
    for each in told.dependencies:
        name = each.uri.removeprefix("pkg:docker/").partition("?")[0]
        if "sha256" in each.digest and each.uri.startswith("pkg:docker/"):
            path, _, tag = name.partition("@")
            full = f"{unquote(path)}:{unquote(tag)}" if tag else unquote(path)
            known[full] = f"sha256:{each.digest['sha256']}"
    base = _base(image, store)
    if base is not None:
        known.setdefault(*base)
    for name, digest in known.items():
        try:
            reference = Reference.parse(name)
            Digest(digest)
        except ReferenceInvalid:
            continue
        name = reference.familiar()
        stored = store.images.name(reference.canonical())
        is_here = stored is not None and stored.digest == digest
        if reference.digest is None and name not in given and not is_here:
            yield name, f"docker-image://{reference.name}@{digest}"


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
    asked = asked_as(image, request, store, predicate)
    before = {each.id: store.images.origin(each.id) for each in store.images.all()}
    with store.answering_nothing():
        built = build(asked)
    try:
        return compared(image, built, store, most=most, told=predicate is not None)
    finally:
        if built.image.id not in before:
            store.images.remove(built.image.id)
        for known in {image.id, built.image.id}:
            origin = before.get(known)
            if origin is not None:
                store.images.set_origin(known, origin)
