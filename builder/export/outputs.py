"""The results of a build besides the store: which there are, what they may be told, and how each is written."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from builder.diagnostics import Diagnostic
from builder.dockerfile.suggest import hint
from builder.errors import UsageError
from builder.export.destination import STANDARD_OUTPUT, never, require_parent, writer, writing
from builder.export.layout import Named
from builder.oci.config import ImageConfig
from builder.oci.mediatypes import Compression, Family
from builder.oci.reference import Reference
from builder.store.layers import State
from builder.store.root import Store

Attributes = tuple[tuple[str, str], ...]

_BOOLEANS = {"true": True, "1": True, "": True, "false": False, "0": False}
_COMPRESSIONS = {
    "uncompressed": Compression.NONE,
    "gzip": Compression.GZIP,
    "zstd": Compression.ZSTD,
}
_SWITCHES = {
    "oci-mediatypes": True,
    "force-compression": False,
    "rewrite-timestamp": False,
    "platform-split": False,
}
"""Attributes that may say what happens anyway."""

_KNOWN: dict[str, tuple[str, ...]] = {
    "oci": (
        "tar",
        "name",
        "compression",
        "oci-mediatypes",
        "force-compression",
        "rewrite-timestamp",
    ),
    "docker": ("name", "compression", "oci-mediatypes", "force-compression", "rewrite-timestamp"),
    "tar": ("platform-split",),
    "local": ("mode", "platform-split"),
    "image": (),
}
_ELSEWHERE = {
    "name": "name the image with `--tag`",
    "push": "use `--push` with `--tag`",
    "registry": "use `--push` with `--tag`",
    "cacheonly": "leave `--output` out: images always go to the store",
}


class _Request(msgspec.Struct, frozen=True, kw_only=True):
    """A checked output."""

    kind: str
    dest: str
    compression: Compression
    tar: bool = True
    references: tuple[Reference, ...] | None = None


def check(kind: str, dest: str | None, attributes: Attributes) -> None:
    """Refuse what `export` would refuse, before anything is built.

    Raises: UsageError: unknown or unavailable types and attributes, with the nearest that exists. ExportError: the
        directory above the destination does not exist.
    """
    request = _request(kind, dest, attributes)
    if request.dest and request.dest != STANDARD_OUTPUT:
        require_parent(request.dest)


def export(
    kind: str,
    dest: str | None,
    attributes: Attributes,
    image_id: str,
    config: ImageConfig,
    state: State,
    references: tuple[Reference, ...],
    store: Store,
    *,
    cancelled: Callable[[], bool] = never,
) -> Diagnostic | None:
    """Write an image to `dest`, a host path or `-`; it is there when it is complete, or not at all.

    Same image, same bytes, but for gzip, whose bytes are made once and kept.

    `cancelled` tells, from time to time, whether to stop.

    Returns: a warning that names what of the image is not there.
    Raises: UsageError: as `check`. ExportError: it cannot be written there. StoreError: see `package`.
        Cancelled.
    """
    request = _request(kind, dest, attributes)
    if request.kind == "image":
        return None
    names = references if request.references is None else request.references
    image = Named(id=image_id, config=config, state=state, references=names)
    match request.kind:
        case "oci":
            _oci(request, image, store, cancelled)
        case "docker":
            _docker(request, image, store, cancelled)
        case "tar":
            _tar(request, image, store)
        case _:
            return _local(request, image, store)
    return None


def _request(kind: str, dest: str | None, attributes: Attributes) -> _Request:
    if kind not in _KNOWN:
        known = f"use type={', '.join(list(_KNOWN)[:-1])} or {list(_KNOWN)[-1]}"
        raise UsageError(
            f"`{kind}` is not a type of output that is available",
            hint=_ELSEWHERE.get(kind) or hint(kind, _KNOWN) or known,
        )
    found = _Request(kind=kind, dest=dest or "", compression=Compression.GZIP)
    for name, value in attributes:
        found = _with_attribute(found, name, value)
    if not dest and kind != "image":
        raise UsageError(f"`type={kind}` lacks a destination", hint="add `dest=PATH`")
    if dest == STANDARD_OUTPUT and (kind == "local" or not found.tar):
        raise UsageError("a directory cannot be written to standard output", hint="use `type=tar`")
    return found


def _with_attribute(request: _Request, name: str, value: str) -> _Request:
    if name not in _KNOWN[request.kind]:
        raise UsageError(
            f"`type={request.kind}` has no attribute `{name}` here",
            hint=hint(name, _KNOWN[request.kind]) or _ELSEWHERE.get(name),
        )
    if name == "tar":
        return msgspec.structs.replace(request, tar=_boolean(name, value))
    if name == "name":
        given = tuple(Reference.parse(text.strip()) for text in value.split(",") if text.strip())
        return msgspec.structs.replace(request, references=given)
    if name == "compression":
        return msgspec.structs.replace(request, compression=_compression(request.kind, value))
    if name == "mode":
        if value != "copy":
            raise UsageError(
                f"`mode={value}` is not available", hint="leave it out, or say `mode=copy`"
            )
    elif _boolean(name, value) is not _SWITCHES[name]:
        raise UsageError(f"`{name}={value}` is not available", hint="leave it out")
    return request


def _compression(kind: str, value: str) -> Compression:
    found = _COMPRESSIONS.get(value)
    if found is None:
        raise UsageError(
            f"`compression={value}` is not available",
            hint=hint(value, _COMPRESSIONS) or "use `uncompressed`, `gzip` or `zstd`",
        )
    if kind == "docker" and found is not Compression.NONE:
        raise UsageError(
            "layers in an archive for `docker load` are not compressed", hint="use `type=oci`"
        )
    return found


def _boolean(name: str, value: str) -> bool:
    found = _BOOLEANS.get(value.lower())
    if found is None:
        raise UsageError(f"`{name}={value}` is neither true nor false")
    return found


def _oci(request: _Request, image: Named, store: Store, cancelled: Callable[[], bool]) -> None:
    from builder.export.archive import write_directory, write_tar
    from builder.export.directory import making
    from builder.export.existing import locked_index, with_images
    from builder.export.layout import descriptors_of, layout_parts
    from builder.export.package import Packed, Wanted, package
    from builder.export.wanted import LayerForm

    wanted = Wanted(layers=LayerForm(compression=request.compression), family=Family.OCI)
    packed = Packed(id=image.id, config=image.config, state=image.state)
    (manifest,) = package((packed,), wanted, store).manifests
    descriptors = descriptors_of([(image, manifest)])
    if request.tar:
        index = with_images(None, descriptors, request.dest)
        with writing(request.dest) as fd:
            write_tar(layout_parts(manifest, index, store), writer(fd, request.dest, cancelled))
        return
    with locked_index(request.dest) as before, making(request.dest) as directory:
        index = with_images(before, descriptors, request.dest)
        parts = layout_parts(manifest, index, store)
        write_directory(parts, directory, request.dest, cancelled)


def _docker(request: _Request, image: Named, store: Store, cancelled: Callable[[], bool]) -> None:
    from builder.export.archive import write_tar
    from builder.export.layout import docker_parts

    with writing(request.dest) as fd:
        write_tar(docker_parts([image], store), writer(fd, request.dest, cancelled))


def _tar(request: _Request, image: Named, store: Store) -> None:
    arguments = {
        "lowers": _lowers(image.state, store),
        "lists": _lists(image.state, store),
        "dest": request.dest,
    }
    with writing(request.dest) as fd:
        store.jobs.call("builder.export.flatten:write_tar", arguments, fds=(fd,))


def _local(request: _Request, image: Named, store: Store) -> Diagnostic | None:
    from builder.export.directory import making
    from builder.export.left_out import LeftOut

    lowers = _lowers(image.state, store)
    with making(request.dest) as directory:
        arguments = {
            "lowers": lowers,
            "lists": _lists(image.state, store),
            "root": directory,
            "dest": request.dest,
        }
        left = store.jobs.call("builder.export.flatten:write_directory", arguments)
    return msgspec.convert(left, LeftOut).warning(request.dest)


def _lowers(state: State, store: Store) -> tuple[str, ...]:
    # A layer that comes twice shows nothing where it is lower, and the kernel stacks no directory twice.
    lowers = tuple(dict.fromkeys(store.snapshots.directories(state)))
    return lowers or (store.snapshots.empty(),)


def _lists(state: State, store: Store) -> tuple[str, ...]:
    return tuple([store.layers.entries_path(layer.diff_id) for layer in state.layers])
