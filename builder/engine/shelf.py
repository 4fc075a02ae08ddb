"""What is kept in the store, as people ask for it: lists, details, and how to get rid of it.

Nothing here is needed to build; shapes and words are those of `docker images`, `history`, `inspect`, `rmi`
and `prune`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import cast

import msgspec

from builder.engine.catalogue import Catalogue, LocalImage
from builder.engine.requests import HistoryRow, PruneResult, RemoveResult
from builder.errors import ImageError, LapstrakeError
from builder.oci.digest import Digest
from builder.oci.document import config_bytes
from builder.oci.edit import with_whole_history
from builder.oci.manifest import parse_manifest
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.solve.translate import Behind
from builder.store.gc import collect
from builder.store.images import StoredName
from builder.store.pruning import Pruning
from builder.store.root import Store
from builder.store.usage import usage


def history(store: Store, name: str, platform: Platform | None = None) -> tuple[HistoryRow, ...]:
    """Return the lines of an image's history, the newest first, with the sizes of the layers they made.

    Raises: ImageError: there is no such image.
    """
    catalogue = Catalogue(store)
    image, _ = catalogue.meant(name, platform)
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


def inspect(store: Store, name: str, platform: Platform | None = None) -> dict[str, object]:
    """Return all that is known of an image, in the shape of `docker image inspect`.

    Raises: ImageError: there is no such image.
    """
    catalogue = Catalogue(store)
    image, meant = catalogue.meant(name, platform)
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
        # When a name was given is not written down; this is how Docker says so.
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
        "Descriptor": _descriptor(store, image, None if platform else meant),
    }
    for optional in ("Variant", "OsVersion", "Descriptor"):
        if not document[optional]:
            del document[optional]
    return document


def _descriptor(
    store: Store, image: LocalImage, name: StoredName | None
) -> dict[str, object] | None:
    """Return the descriptor of what a name stands for elsewhere, or of the image's manifest, if that is here."""
    stored = store.images.get(image.id)
    known = (None if name is None else name.digest, None if stored is None else stored.manifest)
    for text in known:
        if text is not None and store.blobs.contains(Digest(text)):
            found = parse_manifest(store.blobs.read(Digest(text))).descriptor()
            return {
                "mediaType": found.media_type,
                "digest": str(found.digest),
                "size": found.size,
            }
    return None


def info(store: Store, behind: Behind) -> dict[str, object]:
    """Return facts about this program, host and store; the walls are tried for real."""
    from importlib.metadata import PackageNotFoundError, version

    from builder.engine import platforms

    try:
        own = version("lapstrake")
    except PackageNotFoundError:  # run from a source tree
        own = "unknown"
    passed_over: tuple[str, ...] = ()
    weaker: tuple[str, ...] = ()
    states = "unknown"
    runnable: tuple[str, ...] = ()
    try:
        isolation = behind.open().value
        passed_over, weaker = behind.launcher.passed_over, behind.launcher.weaker
        states = store.snapshots.kind
        runnable = tuple(platforms.runnable(behind, store.snapshots.scratch()))
    except LapstrakeError as error:
        isolation = f"none: {error.message}"
        passed_over = error.notes
    kernel = os.uname()
    used = usage(store)
    return {
        "Version": own,
        "Platform": str(Platform.host()),
        "Runs": runnable,
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


def remove(
    store: Store,
    names: tuple[str, ...],
    *,
    force: bool = False,
    platforms: tuple[Platform, ...] = (),
) -> RemoveResult:
    """Take names away, and images that have none left; what cannot be removed does not keep the others.

    A name is only untagged while its image has others. With `force`, an id takes all names with it. With `platforms`,
    only the images of these are taken out of a name. Layers stay, since other images and the cache may need them;
    `prune` removes those that nothing needs.
    """
    lines: list[str] = []
    errors: list[LapstrakeError] = []
    with store.reserve.given():
        for text in dict.fromkeys(names):
            try:
                with store.db.transaction():
                    lines += _removed(store, text, force=force, platforms=platforms)
            except ImageError as error:
                errors.append(error)
    return RemoveResult(removed=tuple(lines), errors=tuple(errors))


def remove_all(store: Store) -> RemoveResult:
    """Remove all images with all their names."""
    with store.reserve.given(), store.db.transaction():
        ids = tuple(each.id for each in store.images.all())
        lines = [line for each in ids for line in _removed(store, each, force=True)]
    return RemoveResult(removed=tuple(lines))


def _removed(
    store: Store, text: str, *, force: bool, platforms: tuple[Platform, ...] = ()
) -> list[str]:
    catalogue = Catalogue(store)
    if platforms:
        return [line for each in platforms for line in _remove_platform(store, text, each)]
    image_id, name = catalogue.find(text)
    known = store.images.names(image_id)
    if name is None and "@" in text:
        return _forget(store, Reference.parse(text), known)
    if name is None and len(known) > 1 and not force:
        short = image_id.removeprefix("sha256:")[:12]
        raise ImageError(
            f"conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories",
            code="image.in-use",
            notes=tuple(_familiar(each) for each in known[:10]),
            hint="remove it by its names, or by `-f` with all of them",
        )
    going = [each for each in known if each.image == image_id] if name is None else [name]
    members = dict.fromkeys((image_id,))
    for each in going:
        members.update(dict.fromkeys([of.image for of in store.images.platforms(each.reference)]))
        store.images.remove_name(each.reference)
    for each in known if name is None else ():
        # Names that show another of their platforms keep that.
        if each.image != image_id:
            _take_out(catalogue, each, image_id)
    return [*(f"Untagged: {_familiar(each)}" for each in going), *_remove_nameless(store, members)]


def _forget(store: Store, wanted: Reference, known: Iterable[StoredName]) -> list[str]:
    """Forget that names of a repository have a digest there; as with Docker, the names themselves stay.

    Raises: ImageError: the digest is that of one platform of a name.
    """
    own = [each for each in known if Reference.parse(each.reference).name == wanted.name]
    found = [each for each in own if each.digest == wanted.digest]
    if not found:
        raise ImageError(
            f"conflict: unable to delete {wanted.familiar()} - it is one platform of a name",
            code="image.in-use",
            notes=tuple(_familiar(each) for each in own[:10]),
            hint="remove the name, or with `--platform` this part of it",
        )
    for each in found:
        store.images.set_digest(each.reference, None)
    return [f"Untagged: {wanted.familiar()}"]


def _take_out(catalogue: Catalogue, name: StoredName, image_id: str) -> bool:
    """Let a name no longer stand for an image; tell whether it still stands for others."""
    others = [of for of in catalogue.platforms(name) if of.image != image_id]
    if others:
        catalogue.name_platforms(Reference.parse(name.reference), others, name.digest)
    return bool(others)


def _remove_platform(store: Store, text: str, platform: Platform) -> list[str]:
    """Take the image of one platform out of a name; with the last one, the name goes."""
    catalogue = Catalogue(store)
    image, name = catalogue.meant(text, platform)
    if name is None or not _take_out(catalogue, name, image.id):
        return _removed(store, text, force=False)
    lines = _remove_nameless(store, (image.id,))
    return lines or [f"Untagged: {_familiar(name)} ({platform})"]


def _remove_nameless(store: Store, members: Iterable[str]) -> list[str]:
    lines = []
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


def _familiar(name: StoredName) -> str:
    return Reference.parse(name.reference).familiar()


def _size(catalogue: Catalogue, image: LocalImage) -> int:
    """Return the bytes of an image's layers; unpacked where that is known by now."""
    return sum(catalogue.layer_size(layer) for layer in image.state.layers)


def _container(image: LocalImage) -> object:
    """Return the inner object of the configuration as it stands in JSON, unknown members included."""
    document = msgspec.json.decode(config_bytes(image.config), type=dict[str, object])
    return cast("dict[str, object]", document["config"])
