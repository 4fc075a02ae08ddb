"""What is asked of images as wholes: in what two differ, and that they be somewhere else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from builder.engine.catalogue import Catalogue
from builder.engine.collection import Collection
from builder.events import EventSink
from builder.oci.platform import Platform

if TYPE_CHECKING:
    from builder.engine.copying import Access, CopyRequest, CopyResult
    from builder.engine.differences import Change, FileDifference, LayersOf
    from builder.engine.ends import End
    from builder.engine.lists import ManifestLists
    from builder.registry.client import RegistryClient


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two images, compared; `files` are found while they are asked for."""

    layers: LayersOf
    configuration: tuple[Change, ...]
    files: Iterator[FileDifference]


class Moving(Collection):
    """Compares and moves the images of one open store."""

    def copy(
        self, request: CopyRequest, events: EventSink, *, read: Access, write: Access
    ) -> CopyResult:
        """Copy an image, or anything else that has a manifest, from one place to another; see `copying.copy`."""
        from builder.engine import copying
        from builder.engine.registries import Registries

        def client(access: Access, end: End) -> RegistryClient:
            settings = access.settings(self._settings, end)
            return Registries(settings, self._store, self._behind).client()

        return copying.copy(
            request,
            store=self._store,
            read_from=lambda: client(read, request.source),
            write_to=lambda: client(write, request.destination),
            events=events,
            cancelled=self._cancelled,
        )

    def manifest_lists(
        self, images: tuple[str, ...] = (), *, insecure: bool = False
    ) -> ManifestLists:
        """Return the lists that are put together here; of the registries of these images none is verified if `insecure`."""
        from builder.engine.copying import Access
        from builder.engine.ends import InRegistry, InStore, parse_end
        from builder.engine.lists import ManifestLists
        from builder.engine.registries import Registries
        from builder.errors import ReferenceInvalid
        from builder.oci.reference import Reference

        def client() -> RegistryClient:
            settings = self._settings
            for image in images if insecure else ():
                end = parse_end(image)
                if isinstance(end, InStore):
                    try:
                        end = InRegistry(Reference.parse(end.name))
                    except ReferenceInvalid:  # an id
                        continue
                settings = Access(verify=False).settings(settings, end)
            return Registries(settings, self._store, self._behind).client()

        return ManifestLists(self._store, client, self._cancelled)

    def diff(
        self, before: str, after: str, platform: str | None = None, *, times: bool = False
    ) -> Comparison:
        """Compare two images by name or id: layers, configuration and trees; see `differences`.

        With a `platform` it is the images of two names for that.

        Raises: ImageError: one of them is not here. StoreError: a layer is lost.
        """
        from builder.engine import differences

        catalogue = Catalogue(self._store)
        wanted = Platform.parse(platform) if platform else None
        one, other = (catalogue.meant(text, wanted)[0] for text in (before, after))
        return Comparison(
            layers=differences.layers_of(one, other),
            configuration=differences.configuration_differences(
                one.config, other.config, times=times
            ),
            files=differences.file_differences(self._store, one.state, other.state, times=times),
        )
