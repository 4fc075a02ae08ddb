"""The results of a build besides the store, each written whole or not at all: trees, layouts, archives."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from builder.diagnostics import Diagnostic
from builder.errors import ExportError, UsageError
from builder.export.destination import STANDARD_OUTPUT, never, require_parent, writer, writing
from builder.export.manifest import Packed
from builder.export.requested import Archive, Directory, DockerArchive, ImageForm, Layout
from builder.export.statements import FileClaim, file_claims
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.mediatypes import Family, is_foreign
from builder.oci.reference import Reference
from builder.store.layers import State
from builder.store.root import Store

if TYPE_CHECKING:
    from builder.export.wanted import Wanted
    from builder.oci.closure import Closure

Cancelled = Callable[[], bool]


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What was written: what points at it, and at its configuration, if it has a manifest, under which names, and what is to be said of it."""

    descriptor: Descriptor | None = None
    config: Digest | None = None
    names: tuple[Reference, ...] = ()
    warning: Diagnostic | None = None


def check(requested: Directory | Archive | Layout | DockerArchive) -> None:
    """Refuse a destination before anything is built.

    Raises: ExportError: the directory above the destination does not exist, or it is the root of this machine.
    """
    if requested.dest == STANDARD_OUTPUT:
        return
    require_parent(requested.dest)
    if isinstance(requested, Directory | Layout) and os.path.realpath(requested.dest) == "/":
        # Whoever is root would give this machine the image's users, and its commands.
        raise ExportError(
            "an image is not written over the root directory of this machine",
            hint="name a directory of its own",
        )


def check_several(requested: Directory | Archive | Layout | DockerArchive) -> None:
    """Refuse an output that cannot hold several platforms.

    Raises: UsageError: it holds one.
    """
    match requested:
        case DockerArchive():
            raise UsageError(
                "an archive for `docker load` holds one platform", hint="use `type=oci` for several"
            )
        case Archive(split=False):
            raise UsageError(
                "a tar of several platforms has a directory for each",
                hint="leave out `platform-split=false`",
            )
        case _:
            return


def write(
    requested: Directory | Archive | Layout | DockerArchive,
    images: Sequence[Packed],
    names: tuple[Reference, ...],
    store: Store,
    *,
    cancelled: Cancelled = never,
) -> Written:
    """Write the images of one build, one of each platform; `names` are those where the request has none.

    Same images, same bytes, but for gzip of layers whose times nobody gave: they are made once and kept.

    `cancelled` tells, from time to time, whether to stop.

    Raises: UsageError: what is requested does not go with these images. ExportError: it cannot be written there.
        StoreError: see `package`. Cancelled.
    """
    if len(images) > 1:
        check_several(requested)
    match requested:
        case Directory():
            return _directory(requested, images, store)
        case Archive():
            return _archive(requested, images, store)
        case Layout():
            return _layout(requested, images, names, store, cancelled)
        case DockerArchive():
            return _docker(requested, images, names, store, cancelled)


def config_of(images: Sequence[Packed]) -> Digest | None:
    """Return the digest of the configuration, None where there are several images."""
    return Digest(images[0].id) if len(images) == 1 else None


def shaped(images: Sequence[Packed], form: ImageForm, store: Store) -> tuple[Packed, ...]:
    """Return images with their times and layers as requested, and with the statements that go with them.

    Raises: UsageError: nobody said which time. StoreError: no form of a layer is left; the disk is full.
    """
    if form.foreign:
        _check_foreign(images, store)
    shaped = tuple([_timed(image, form, store) for image in images])
    if form.layers.seekable:
        from builder.export.seekable import seekable

        shaped = tuple([seekable(image, form.layers, store) for image in shaped])
    if form.inline:
        return shaped
    return tuple(
        [
            msgspec.structs.replace(
                image,
                statements=tuple([each for each in image.statements if not each.inline_only]),
            )
            for image in shaped
        ]
    )


def _check_foreign(images: Sequence[Packed], store: Store) -> None:
    for layer in (layer for image in images for layer in image.state.layers):
        if any(is_foreign(form.media_type) for form in store.layers.blobs(layer.diff_id)):
            raise UsageError(
                "`prefer-nondist-layers` is not available for an image with such layers",
                hint="leave it out: they are then passed on like any other",
            )


def _timed(image: Packed, form: ImageForm, store: Store) -> Packed:
    epoch = image.epoch if form.epoch is None else form.epoch
    if form.rewrite:
        if epoch is None:
            raise UsageError(
                "`rewrite-timestamp` needs to know the time",
                hint="add `source-date-epoch=SECONDS`, or set SOURCE_DATE_EPOCH",
            )
        from builder.export.timestamps import rewritten

        return rewritten(
            image, image.inherited, store, epoch=epoch, compression=form.layers.compression
        )
    if form.epoch is None:
        return image
    from builder.export.timestamps import retimed

    return retimed(image, image.inherited, store, epoch=form.epoch)


def _layout(
    requested: Layout,
    images: Sequence[Packed],
    names: tuple[Reference, ...],
    store: Store,
    cancelled: Cancelled,
) -> Written:
    from builder.export.archive import write_directory, write_tar
    from builder.export.directory import making
    from builder.export.existing import locked_index, with_images
    from builder.export.layout import descriptors_of, layout_parts

    names = names if requested.names is None else requested.names
    images = shaped(images, requested.form, store)
    claims = any(image.statements for image in images)
    wanted = requested.form.wanted(names, claims=claims)
    if requested.form.oci is None:
        wanted = msgspec.structs.replace(wanted, family=Family.OCI)
    closure, top = _packaged(images, wanted, store)
    dest, described = requested.dest, descriptors_of([(top, names)])
    if requested.tar:
        parts = layout_parts(closure, with_images(None, described, dest), store)
        with writing(dest) as fd:
            write_tar(parts, writer(fd, dest, cancelled))
    else:
        with locked_index(dest) as before, making(dest) as directory:
            parts = layout_parts(closure, with_images(before, described, dest), store)
            write_directory(parts, directory, dest, cancelled)
    return Written(descriptor=top, config=config_of(images), names=names)


def _docker(
    requested: DockerArchive,
    images: Sequence[Packed],
    names: tuple[Reference, ...],
    store: Store,
    cancelled: Cancelled,
) -> Written:
    from builder.export.archive import write_tar
    from builder.export.existing import with_images
    from builder.export.layout import Named, descriptors_of, packed_parts
    from builder.export.saving import docker_parts

    names = names if requested.names is None else requested.names
    dest, form = requested.dest, requested.form
    # What an earlier build claims of the same image has no place here.
    images = [
        msgspec.structs.replace(image, statements=()) for image in shaped(images, form, store)
    ]
    if requested.plain:
        # Plain layers: nothing has to be compressed, nor kept.
        (image,) = images
        named = Named(id=image.id, config=image.config, state=image.state, references=names)
        with writing(dest) as fd:
            write_tar(docker_parts([named], store), writer(fd, dest, cancelled))
        return Written(config=config_of(images), names=names)
    closure, top = _packaged(images, form.wanted(names, claims=False), store)
    index = with_images(None, descriptors_of([(top, names)]), dest)
    with writing(dest) as fd:
        parts = packed_parts(closure, index, names, store)
        write_tar(parts, writer(fd, dest, cancelled))
    return Written(descriptor=top, config=config_of(images), names=names)


def _packaged(images: Sequence[Packed], wanted: Wanted, store: Store) -> tuple[Closure, Descriptor]:
    from builder.export.package import package, top_descriptor

    closure = package(images, wanted, store)
    return closure, top_descriptor(closure, images, wanted)


def _archive(requested: Archive, images: Sequence[Packed], store: Store) -> Written:
    with writing(requested.dest) as fd:
        arguments = {
            "trees": _trees(images, store, split=requested.split, prefix=requested.prefix),
            "dest": requested.dest,
            "epoch": _epoch(images, requested.epoch),
        }
        store.jobs.call("builder.export.flatten:write_tar", arguments, fds=(fd,))
    return Written()


def _directory(requested: Directory, images: Sequence[Packed], store: Store) -> Written:
    from builder.export.directory import alone_in, making
    from builder.export.left_out import LeftOut

    trees = _trees(images, store, split=requested.split, prefix=requested.prefix)
    with alone_in(requested.dest), making(requested.dest, requested.others) as directory:
        arguments = {
            "trees": trees,
            "root": directory,
            "dest": requested.dest,
            "epoch": _epoch(images, requested.epoch),
        }
        left = store.jobs.call("builder.export.flatten:write_directory", arguments)
    return Written(warning=msgspec.convert(left, LeftOut).warning(requested.dest))


def _epoch(images: Sequence[Packed], asked: int | None) -> int | None:
    return images[0].epoch if asked is None else asked


def _trees(
    images: Sequence[Packed], store: Store, *, split: bool | None, prefix: str
) -> list[dict[str, object]]:
    """Return the root file systems; each in a directory of its own where there are several, or where that is wanted."""
    apart = len(images) > 1 if split is None else split
    return [
        {
            "lowers": _lowers(image.state, store),
            "lists": _lists(image.state, store),
            "below": _directory_name(image) if apart else "",
            "claims": file_claims(
                [
                    FileClaim(
                        name=each.filename,
                        predicate_type=each.predicate_type,
                        predicate=each.predicate,
                    )
                    for each in image.statements
                    if not each.inline_only
                ],
                prefix,
                _directory_name(image) if len(images) > 1 and not apart else "",
            ),
        }
        for image in images
    ]


def _directory_name(image: Packed) -> str:
    return str(image.platform).replace("/", "_")


def _lowers(state: State, store: Store) -> tuple[str, ...]:
    # A layer that comes twice shows nothing where it is lower, and the kernel stacks no directory twice.
    lowers = tuple(dict.fromkeys(store.snapshots.directories(state)))
    return lowers or (store.snapshots.empty(),)


def _lists(state: State, store: Store) -> tuple[str, ...]:
    return tuple([store.layers.entries_path(layer.diff_id) for layer in state.layers])
