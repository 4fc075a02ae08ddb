"""Which images there are, and which of them pass the filters of a list.

Source: moby, daemon/images: the filters of `docker images`.
"""

from __future__ import annotations

from collections.abc import Iterator

from builder.engine.catalogue import Catalogue
from builder.engine.requests import ImageFilter, ImageRow, TreeMember, TreeRow
from builder.errors import ContextError, LapstrakeError, UsageError
from builder.oci.reference import Reference
from builder.store.images import StoredImage, StoredName
from builder.store.root import Store


def images(store: Store, wanted: ImageFilter = ImageFilter()) -> tuple[ImageRow, ...]:  # noqa: B008  frozen
    """Return the images that pass a filter, the newest first; a damaged configuration is no reason to leave one out.

    Of a name that stands for several platforms, only the image that is meant without one is a row. Configurations
    are read only where labels are asked for.

    Raises: ImageError: an image that others are to be older or younger than is not here.
        UsageError: a pattern of names is none.
    """
    names: dict[str, list[StoredName]] = {}
    for name in store.images.names():
        names.setdefault(name.image, []).append(name)
    shown_with_others = store.images.named() - names.keys()
    sizes = store.images.sizes()
    chosen = _Filter(store, wanted)
    rows = []
    for stored in store.images.all():
        if stored.id in shown_with_others or not chosen.takes(stored):
            continue
        own = names.get(stored.id, [])
        matching = [name for name in own if chosen.names(name)]
        if not chosen.takes_names(own, matching):
            continue
        rows.append(_row(store, stored, matching, sizes.get(stored.id)))
    return tuple(rows)


def tree(store: Store, wanted: ImageFilter = ImageFilter()) -> tuple[TreeRow, ...]:  # noqa: B008  frozen
    """Return the images that pass a filter with all their platforms, by their names; those without one come last.

    Raises: as `images`.
    """
    known = {stored.id: stored for stored in store.images.all()}
    sizes, transferred = store.images.sizes(), store.images.transferred()

    def member(platform: str, image_id: str) -> TreeMember:
        size = sizes.get(image_id)
        if size is None:
            size = _opened_size(store, known[image_id]) if image_id in known else 0
        return TreeMember(
            platform=platform, id=image_id, size=size, transferred=transferred.get(image_id)
        )

    platforms: dict[str, list[TreeMember]] = {}
    for each in store.images.platforms():
        familiar = Reference.parse(each.reference).familiar()
        platforms.setdefault(familiar, []).append(member(each.platform, each.image))
    found = []
    for row in images(store, wanted):
        alone = (member(_platform(store, row.id), row.id),)
        groups: dict[tuple[TreeMember, ...], list[str]] = {} if row.names else {alone: []}
        for name in row.names:
            groups.setdefault(tuple(platforms.get(name, alone)), []).append(name)
        for members, names in groups.items():
            found.append(
                TreeRow(names=tuple(sorted(names)), top=member("", row.id), members=members)
            )
    return tuple(sorted(found, key=lambda each: (not each.names, each.names)))


def _platform(store: Store, image_id: str) -> str:
    try:
        return str(Catalogue(store).open(image_id).platform)
    except LapstrakeError:
        return ""


def _row(store: Store, stored: StoredImage, names: list[StoredName], size: int | None) -> ImageRow:
    digests = tuple(name.digest for name in names)
    return ImageRow(
        id=stored.id,
        names=tuple(Reference.parse(name.reference).familiar() for name in names),
        digests=digests,
        created=stored.created,
        size=_opened_size(store, stored) if size is None else size,
        digest=next((digest for digest in digests if digest), stored.manifest),
    )


def _opened_size(store: Store, stored: StoredImage) -> int:
    """Return the size of an image whose layers the index does not know."""
    catalogue = Catalogue(store)
    try:
        return sum(map(catalogue.layer_size, catalogue.open(stored.id).state.layers))
    except LapstrakeError:
        return stored.size


class _Filter:
    """A filter over a store."""

    def __init__(self, store: Store, wanted: ImageFilter) -> None:
        self._store = store
        self._wanted = wanted
        self._patterns = [_Pattern(text) for text in wanted.references]
        self._before = min(self._moments(wanted.before), default=None)
        self._since = max(self._moments(wanted.since), default=None)

    def _moments(self, names: tuple[str, ...]) -> Iterator[float]:
        for name in names:
            image_id, _ = Catalogue(self._store).find(name)
            stored = self._store.images.get(image_id)
            if stored is not None:
                yield stored.created

    def takes(self, image: StoredImage) -> bool:
        """Tell whether an image passes, its names apart."""
        if self._before is not None and image.created >= self._before:
            return False
        if self._since is not None and image.created <= self._since:
            return False
        if self._wanted.until is not None and image.created >= self._wanted.until:
            return False
        if not self._wanted.labels:
            return True
        labels = _labels(self._store, image)
        return all(each.takes(labels) for each in self._wanted.labels)

    def names(self, name: StoredName) -> bool:
        """Tell whether a name is to be shown."""
        if not self._patterns:
            return True
        reference = Reference.parse(name.reference)
        return any(pattern.matches(reference, name.digest) for pattern in self._patterns)

    def takes_names(self, all_names: list[StoredName], matching: list[StoredName]) -> bool:
        """Tell whether an image with these names, and of them these that match, passes."""
        if self._wanted.dangling is not None and self._wanted.dangling is bool(all_names):
            return False
        return bool(matching) or not self._patterns


def _labels(store: Store, image: StoredImage) -> dict[str, str]:
    try:
        return dict(Catalogue(store).open(image.id).config.config.labels)
    except LapstrakeError:
        return {}


class _Pattern:
    """A pattern of names, whose wildcards stop at slashes; it may leave the tag out."""

    def __init__(self, text: str) -> None:
        from builder.source.pattern import compile_component

        try:
            self._components = [compile_component(each) for each in text.split("/")]
        except ContextError as error:
            raise UsageError(f"`{text[:80]}` is no pattern of names") from error

    def matches(self, reference: Reference, digest: str | None) -> bool:
        repository = reference.familiar_name
        texts = [reference.familiar(), repository, *([f"{repository}@{digest}"] if digest else ())]
        return any(map(self._match, texts))

    def _match(self, name: str) -> bool:
        from builder.source.pattern import matches

        parts = name.split("/")
        return len(parts) == len(self._components) and all(
            matches(component, part)
            for component, part in zip(self._components, parts, strict=True)
        )
