"""Makes an image of what was done in a step that somebody looked into."""

from __future__ import annotations

import time

from builder.engine.catalogue import Catalogue, rfc3339
from builder.graph.operations import RunOp
from builder.oci.config import ContainerConfig, History, ImageConfig
from builder.oci.digest import Digest
from builder.oci.edit import append_layer, with_whole_history
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.store.layers import Layer, State
from builder.store.root import Store


def keep(
    store: Store, reference: Reference, state: State, layer: Layer, run: RunOp, step: str
) -> str:
    """Name an image of a state with one more layer, which runs as the step's command did; return its id."""
    host = Platform.host()
    config = ImageConfig(
        architecture=host.architecture,
        os=host.os,
        variant=host.variant or "",
        config=ContainerConfig(
            user=run.user, env=run.env, working_dir=run.cwd or "/", cmd=("/bin/sh",)
        ),
        diff_ids=tuple(each.diff_id for each in state.layers),
    )
    line = History(created=rfc3339(time.time()), created_by=f"lapstrake debug {step}")
    config = append_layer(with_whole_history(config), Digest(layer.diff_id), line)
    catalogue = Catalogue(store)
    image_id = catalogue.add(config)
    catalogue.name(reference, image_id)
    return image_id
