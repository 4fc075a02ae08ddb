"""What is asked of images as wholes: in what two differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from builder.engine.catalogue import Catalogue
from builder.engine.collection import Collection

if TYPE_CHECKING:
    from builder.engine.differences import Change, FileDifference, LayersOf


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two images, compared; `files` are found while they are asked for."""

    layers: LayersOf
    configuration: tuple[Change, ...]
    files: Iterator[FileDifference]


class Moving(Collection):
    """Compares and moves the images of one open store."""

    def diff(self, before: str, after: str, *, times: bool = False) -> Comparison:
        """Compare two images by name or id: layers, configuration and trees; see `differences`.

        Raises: ImageError: one of them is not here. StoreError: a layer is lost.
        """
        from builder.engine import differences

        catalogue = Catalogue(self._store)
        one, other = (catalogue.open(catalogue.find(text)[0]) for text in (before, after))
        return Comparison(
            layers=differences.layers_of(one, other),
            configuration=differences.configuration_differences(
                one.config, other.config, times=times
            ),
            files=differences.file_differences(self._store, one.state, other.state, times=times),
        )
