"""What is kept in the store, as people ask for it: lists, details, and how to get rid of it.

Nothing here is needed to build; shapes and words are those of `docker images`, `history`, `inspect`, `rmi`
and `prune`.
"""

from __future__ import annotations

import os
from typing import cast

import msgspec

from builder.engine.catalogue import Catalogue, LocalImage
from builder.engine.requests import HistoryRow, PruneResult
from builder.errors import ImageError, LapstrakeError
from builder.oci.document import config_bytes
from builder.oci.edit import with_whole_history
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.solve.translate import Behind
from builder.store.gc import collect
from builder.store.images import StoredName
from builder.store.pruning import Pruning
from builder.store.root import Store
from builder.store.usage import usage

_NOT_FOUND = "image.not-found"


def history(store: Store, name: str) -> tuple[HistoryRow, ...]:
    """Return the lines of an image's history, the newest first, with the sizes of the layers they made.

    Raises: ImageError: there is no such image.
    """
    catalogue = Catalogue(store)
    image = _open(catalogue, name)
    layers = iter(image.state.layers)
    rows = []
    for entry in with_whole_history(image.config).history:
        size = 0 if entry.empty_layer else catalogue.layer_size(next(layers))
        rows.append(
            HistoryRow(
                id=None,
                created=entry.created,
                created_by=entry.created_by,
                size=size,
                comment=entry.comment,
            )
        )
    if rows:
        rows[-1] = msgspec.structs.replace(rows[-1], id=image.id)
    return tuple(reversed(rows))


def inspect(store: Store, name: str) -> dict[str, object]:
    """Return all that is known of an image, in the shape of `docker image inspect`.

    Raises: ImageError: there is no such image.
    """
    catalogue = Catalogue(store)
    image = _open(catalogue, name)
    config = image.config
    references = [
        (Reference.parse(each.reference), each.digest) for each in store.images.names(image.id)
    ]
    tags = [reference.familiar() for reference, _ in references if reference.tag is not None]
    digests = {
        f"{reference.familiar_name}@{reference.digest or digest}"
        for reference, digest in references
        if reference.digest or digest
    }
    document = {
        "Id": image.id,
        "RepoTags": tags,
        "RepoDigests": sorted(digests),
        "Parent": "",
        "Comment": config.history[-1].comment if config.history else "",
        "Created": config.created,
        "DockerVersion": "",
        "Author": config.author,
        "Config": _container(image),
        "Architecture": config.architecture,
        "Variant": config.variant,
        "Os": config.os,
        "OsVersion": config.os_version,
        "Size": _size(catalogue, image),
        "RootFS": {"Type": "layers", "Layers": list(config.diff_ids)},
    }
    for optional in ("Variant", "OsVersion"):
        if not document[optional]:
            del document[optional]
    return document


def info(store: Store, behind: Behind) -> dict[str, object]:
    """Return facts about this program, host and store; the walls are tried for real."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        own = version("lapstrake")
    except PackageNotFoundError:  # run from a source tree
        own = "unknown"
    passed_over: tuple[str, ...] = ()
    weaker: tuple[str, ...] = ()
    states = "unknown"
    try:
        isolation = behind.open().value
        passed_over, weaker = behind.launcher.passed_over, behind.launcher.weaker
        states = store.snapshots.kind
    except LapstrakeError as error:
        isolation = f"none: {error.message}"
        passed_over = error.notes
    kernel = os.uname()
    used = usage(store)
    return {
        "Version": own,
        "Platform": str(Platform.host()),
        "Kernel": f"{kernel.sysname} {kernel.release}",
        "Isolation": isolation,
        "Passed over": passed_over,
        "Weaker": weaker,
        "States": states,
        "Root": store.root,
        "Images": used.images,
        "Layers": used.layers,
        "Cache records": used.records,
        "Cache mounts": used.cache_mounts,
        "Bytes": {"Blobs": used.blob_bytes, "Layers": used.layer_bytes, "Index": used.index_bytes},
    }


def remove(store: Store, names: tuple[str, ...], *, force: bool) -> tuple[str, ...]:
    """Take names away, and images that have none left; either all of it is done or nothing.

    A name is only untagged while its image has others. With `force`, an id takes all names with it, and what
    is not here is passed over. Layers stay, since other images and the cache may need them; `prune` removes
    those that nothing needs.

    Returns: what was done, a line each, in Docker's words.
    Raises: ImageError: `image.not-found`, or `image.in-use`: an id was given whose image has several names.
    """
    lines: list[str] = []
    with store.reserve.given(), store.db.transaction():
        for text in dict.fromkeys(names):
            try:
                image_id, name = Catalogue(store).find(text)
            except ImageError as error:
                # The notes are the ids that the text could mean.
                if force and error.code == _NOT_FOUND and not error.notes:
                    continue
                raise
            lines += _remove_one(store, text, image_id, name, force=force)
    return tuple(lines)


def _remove_one(
    store: Store, text: str, image_id: str, name: StoredName | None, *, force: bool
) -> list[str]:
    known = store.images.names(image_id)
    if name is None and len(known) > 1 and not force:
        raise ImageError(
            f"the image `{text}` has several names",
            code="image.in-use",
            notes=tuple(_familiar(each) for each in known[:10]),
            hint="remove it by its names, or by `-f` with all of them",
        )
    going = known if name is None else (name,)
    members = dict.fromkeys((image_id,))
    for each in going:
        members.update(dict.fromkeys([of.image for of in store.images.platforms(each.reference)]))
        store.images.remove_name(each.reference)
    lines = [f"Untagged: {_familiar(each)}" for each in going]
    for member in members:
        if not store.images.names(member):
            store.images.remove(member)
            lines.append(f"Deleted: {member}")
    return lines


def prune(store: Store, pruning: Pruning, *, dry: bool = False) -> PruneResult:
    """Remove images and whatever else is asked for, if no image that stays can need it.

    What stays cached is what made the images that stay, their other stages included. What running commands use
    stays, but nothing else of the same engine may run. If it is ended half-way, the next one goes on.

    Raises: StoreError: `store.busy`: somebody uses what there was no room to write down.
    """
    known = {image.id: store.images.names(image.id) for image in store.images.all()}
    if dry:
        collected = collect(store, pruning, dry=True)
    else:
        with store.reserve.given():
            collected = collect(store, pruning)
    lines = [
        line
        for image_id in collected.images
        for line in (
            *(f"Untagged: {_familiar(name)}" for name in known.get(image_id, ())),
            f"Deleted: {image_id}",
        )
    ]
    counted = (
        ("cache record", collected.records),
        ("layer", collected.layers),
        ("cache mount", collected.cache_mounts),
        ("download", collected.downloads),
        ("build log", collected.builds),
    )
    lines += [
        f"Deleted: {number} {noun}{'s' * (number != 1)}" for noun, number in counted if number
    ]
    return PruneResult(removed=tuple(lines), bytes=collected.bytes)


def _open(catalogue: Catalogue, name: str) -> LocalImage:
    image_id, _ = catalogue.find(name)
    return catalogue.open(image_id)


def _familiar(name: StoredName) -> str:
    return Reference.parse(name.reference).familiar()


def _size(catalogue: Catalogue, image: LocalImage) -> int:
    """Return the bytes of an image's layers; unpacked where that is known by now."""
    return sum(catalogue.layer_size(layer) for layer in image.state.layers)


def _container(image: LocalImage) -> object:
    """Return the inner object of the configuration as it stands in JSON, unknown members included."""
    document = msgspec.json.decode(config_bytes(image.config), type=dict[str, object])
    return cast("dict[str, object]", document["config"])
