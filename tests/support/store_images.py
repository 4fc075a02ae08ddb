"""Images in a store, come to it in the ways that images come: pulled, or built step by step."""

from __future__ import annotations

import os
from collections.abc import Callable

from builder.engine.catalogue import Catalogue, LocalImage
from builder.oci.config import History, ImageConfig
from builder.oci.digest import Digest
from builder.oci.edit import append_layer
from builder.oci.platform import Platform
from builder.store.layers import State
from builder.store.root import Store
from tests.support.sample_image import SampleImage

TIME = 1_700_000_000


def pulled(store: Store, sample: SampleImage) -> LocalImage:
    """Put an image into the store as `pull` does."""
    for descriptor in (sample.manifest.config, *sample.manifest.layers):
        store.blobs.add(sample.blobs[descriptor.digest], media_type=descriptor.media_type)
    raw = store.blobs.add(sample.manifest.raw, media_type=sample.manifest.media_type)
    assert raw.digest == sample.manifest.descriptor().digest
    catalogue = Catalogue(store)
    return catalogue.open(catalogue.register_pulled(sample.manifest, sample.config))


def built(
    store: Store, *steps: Callable[[str], object], base: LocalImage | None = None
) -> LocalImage:
    """Build an image whose layers are what each step does to the directory that it is given."""
    host = Platform.host()
    config = (
        ImageConfig(architecture=host.architecture, os=host.os) if base is None else base.config
    )
    state = State() if base is None else base.state
    for step in steps:
        with store.snapshots.prepare(state) as active:
            step(active.upper)
            _set_times(active.upper)
            layer = store.snapshots.commit(active)
        state = state.with_layer(layer)
        config = append_layer(
            config,
            Digest(layer.diff_id),
            History(created="2024-01-01T00:00:00Z", created_by="a step"),
        )
    catalogue = Catalogue(store)
    return catalogue.open(catalogue.add(config))


def _set_times(root: str) -> None:
    for folder, folders, files in os.walk(root, topdown=False):
        for name in (*folders, *files):
            os.utime(os.path.join(folder, name), (TIME, TIME), follow_symlinks=False)
