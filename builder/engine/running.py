"""`run`: from the name of an image to a container in the foreground."""

from __future__ import annotations

import os

from builder.containers import foreground
from builder.containers.foreground import Container, Streams
from builder.containers.process import Overrides, process_of
from builder.containers.volumes import mounts_of
from builder.engine.catalogue import Catalogue, LocalImage
from builder.engine.registries import Registries
from builder.engine.requests import RunRequest
from builder.errors import Cancelled, ContainerError, ImageError, LapstrakeError, UsageError
from builder.events import EventSink
from builder.oci.platform import Platform
from builder.oci.reference import Reference, short_name
from builder.solve.translate import Behind
from builder.store.root import Store
from runtime.forward import Forward
from runtime.spec import Network

_CANNOT_RUN = 125
_NETWORKS = {"default": Network.HOST, "host": Network.HOST, "none": Network.NONE}
_PULL = ("always", "missing", "never")


def run(
    request: RunRequest,
    streams: Streams,
    events: EventSink,
    *,
    store: Store,
    behind: Behind,
    registries: Registries,
    signals: Forward | None = None,
) -> int:
    """Run a container and return the exit code of its command; an interrupted one has that of the signal.

    `signals` reaches the command while it runs.

    Raises: LapstrakeError: nothing has run; its exit code is 125, or 126 and 127 where the command cannot be
        executed or is not found, as with Docker.
    """
    try:
        _check(request)
        mounts = mounts_of(request.volumes)
        image = _image(request, events, store, registries)
        hostname = os.urandom(6).hex()
        container = Container(
            state=image.state,
            process=process_of(image.config.config, _overrides(request), hostname),
            hostname=hostname,
            mounts=mounts,
            network=_NETWORKS[request.network],
            interactive=request.interactive,
            platform=image.platform,
        )
        return foreground.run(container, streams, store=store, behind=behind, signals=signals).code
    except LapstrakeError as error:
        if not isinstance(error, Cancelled | ContainerError):
            error.exit_code = _CANNOT_RUN
        raise


def _check(request: RunRequest) -> None:
    if request.network not in _NETWORKS:
        raise UsageError(
            f"the network `{request.network}` is not available in this version",
            hint="use `--network host` or `--network none`",
        )
    if request.pull not in _PULL:
        raise UsageError(f"`{request.pull}` is not a time to pull", hint=f"use {', '.join(_PULL)}")


def _overrides(request: RunRequest) -> Overrides:
    return Overrides(
        argv=request.argv,
        entrypoint=request.entrypoint,
        env=request.env,
        workdir=request.workdir,
        user=request.user,
        terminal=request.terminal,
    )


def _image(
    request: RunRequest, events: EventSink, store: Store, registries: Registries
) -> LocalImage:
    """Return the image, from the store or a registry as `pull` says."""
    catalogue = Catalogue(store)
    wanted = None if request.platform is None else Platform.parse(request.platform)
    if request.pull != "always":
        local = _local(catalogue, request, wanted)
        if local is not None:
            return local
    names = registries.names(short_name(request.image), Reference.parse(request.image))
    if request.pull != "always":
        for name in names:
            found = catalogue.by_reference(name, wanted)
            if found is not None and (wanted is None or found.platform.matches(wanted)):
                return found
    pulled = registries.pull(registries.where(names), wanted, events)
    return catalogue.open(pulled.image_id)


def _local(catalogue: Catalogue, request: RunRequest, wanted: Platform | None) -> LocalImage | None:
    """Return the image that the store has; None to ask for it elsewhere."""
    try:
        image = catalogue.open(catalogue.find(request.image, wanted)[0])
    except ImageError as error:
        # The notes are the ids that a beginning of several could mean.
        if request.pull == "never" or error.notes or not _may_be_pulled(request.image):
            raise
        return None
    if wanted is None or image.platform.matches(wanted):
        return image
    if request.pull == "never":
        raise ImageError(
            f"the image `{request.image}` is for {image.platform}, not for {wanted}",
            hint="leave out `--pull never`",
        )
    return None


def _may_be_pulled(text: str) -> bool:
    """Tell whether a text names something in a registry, not an id."""
    return not text.startswith("sha256:") and len(text) != 64
