"""What is asked of the engine, and what it answers: plain data, shared by command line and Python API."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from builder.diagnostics import Diagnostic
from builder.errors import LapstrakeError
from builder.oci.descriptor import Descriptor
from builder.oci.reference import Reference
from builder.solve.given import AgentSource, SecretSource, SharedCache
from builder.solve.surroundings import Limits
from builder.store.pruning import LabelFilter


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """Where a result goes besides the store; `dest` is a host path, "-" the standard output."""

    type: str
    dest: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()


class OutputResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an output: `descriptor` points at what was made of it, if it has a manifest; it may have been pushed.

    `config` is the digest of the configuration where it is one image; `names` are canonical.
    """

    type: str
    dest: str | None = None
    names: tuple[str, ...] = ()
    descriptor: Descriptor | None = None
    config: str | None = None
    pushed: bool = False


def last_digest(results: Sequence[OutputResult]) -> str | None:
    """Return the digest of the manifest or index of the last output that has one."""
    made = [each.descriptor for each in results if each.descriptor is not None]
    return str(made[-1].digest) if made else None


def names_given(results: Sequence[OutputResult]) -> tuple[Reference, ...]:
    """Return the names that outputs gave to images in the store or in registries."""
    return tuple(
        [
            Reference.parse(name)
            for each in results
            if each.dest is None and each.type in ("image", "registry", "docker")
            for name in each.names
        ]
    )


ALLOWED = (
    "network.host",
    "security.insecure",
    "device",
    "leaked-secrets",
    "buildx.local.delete",
)
"""What can be allowed: the host's network where the build has its own, everything that the walls let a step do, devices,
that a step writes a secret into the image, and that an output removes other files."""


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """That a build is to tell what it was made from, and how.

    `detail` is `min` or `max`, `version` `v1` or `v0.2` of SLSA's format. `builder` and `reproducible` are what the caller says of
    itself and of the build. `form` is `index`, beside the image in an index as BuildKit has it, or `referrer`, on its own, so
    that the name keeps standing for the image alone. What is `inline_only` goes to registries and to no file; `filename` is what
    it is called beside the files of `local` and `tar`.
    """

    detail: str = "max"
    version: str = "v1"
    builder: str = ""
    reproducible: bool = False
    form: str = "index"
    inline_only: bool = False
    filename: str = "provenance.json"


class BuildRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A build. `context` is a directory, a URL, or `-` for standard input.

    `dockerfile` is a path, relative to the current directory as in Docker (in a context that is no directory:
    to its root), a URL, or `-`. `contexts` are further ones by name: a directory, a URL, or one of
    `docker-image://REFERENCE` and `oci-layout://PATH[:TAG][@DIGEST]`. A build argument without a value is taken from the caller's environment before it gets here.
    `network` is that of steps which name none: `default`, `host`, `none` or `private`. `hosts` are names with the addresses
    that steps find, or `host-gateway`.
    """

    context: str
    dockerfile: str | None = None
    tags: tuple[str, ...] = ()
    build_args: tuple[tuple[str, str | None], ...] = ()
    target: str | None = None
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()
    """Stages, lines of the Dockerfile or `STAGE:LINE`, whose steps are executed whatever is recorded."""
    cache_normalize: tuple[str, ...] = ()
    """Which noise does not tell two results of a RUN apart: of `gzip`, `pyc`, `ldconfig` and `logs`."""
    verify_cache: int = 0
    """How many of a hundred cached steps are run again, to see whether they come to the same."""
    cache_ttl: int = 0
    """For how many seconds what a RUN gave counts, 0 for ever."""
    pull: bool = False
    platforms: tuple[str, ...] = ()
    """What to build for, each as `os/architecture[/variant]` or `local`; none stands for the settings' or the host's."""
    labels: tuple[tuple[str, str], ...] = ()
    outputs: tuple[Output, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    """Attributes that every output of an image gets, as `annotation-index.KEY`."""
    tell: str = ""
    """How much of what the images were made from is told with the result: `min`, `max` or nothing."""
    push: bool = False
    provenance: Provenance | None = None
    network: str = "default"
    hosts: tuple[tuple[str, str], ...] = ()
    limits: Limits = Limits()
    contexts: tuple[tuple[str, str], ...] = ()
    jobs: int | None = None
    """How many steps run at once at most; None leaves it to the number of processors."""
    secrets: tuple[SecretSource, ...] = ()
    agents: tuple[AgentSource, ...] = ()
    cache_from: tuple[SharedCache, ...] = ()
    cache_to: tuple[SharedCache, ...] = ()
    allow: frozenset[str] = frozenset()
    """What a build may do only when it is allowed by name: see `ALLOWED`."""
    keep_failed: bool = False
    """Whether what a command wrote that then failed is kept, to look into it."""


class CallRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A question about a Dockerfile: `method` is `check`, `outline` or `targets`; the rest is as in a build."""

    method: str
    context: str
    dockerfile: str | None = None
    build_args: tuple[tuple[str, str], ...] = ()
    target: str | None = None
    platform: str | None = None
    contexts: tuple[tuple[str, str], ...] = ()
    secrets: tuple[SecretSource, ...] = ()


class PlatformImage(msgspec.Struct, frozen=True, kw_only=True):
    """The image that a build made for a platform; `size` is in bytes."""

    platform: str
    image_id: str
    size: int


class BuildResult(msgspec.Struct, frozen=True, kw_only=True):
    """A finished build: sizes in bytes, `digest` of the manifest or index if one was pushed.

    `platforms` are the images, one of each platform, in the order in which they were asked for; `image_id` is that of the
    host's, or else of the first, `size` that of all.
    """

    image_id: str
    platforms: tuple[PlatformImage, ...] = ()
    names: tuple[str, ...]
    digest: str | None
    size: int
    steps: int
    cached: int
    seconds: float
    warnings: tuple[Diagnostic, ...] = ()
    outputs: tuple[OutputResult, ...] = ()
    build: str = ""
    """The id of the build, by which `why`, `debug` and others know it."""
    provenance: tuple[tuple[str, bytes], ...] = ()
    """What each image was built from, by platform: predicates as JSON, if they were asked for."""

    @property
    def made(self) -> OutputResult | None:
        """The last output that is an image."""
        images = [each for each in self.outputs if each.descriptor or each.config]
        return images[-1] if images else None

    @property
    def stored(self) -> str:
        """The id of the image that the names in the store stand for: an output may make another of what was built."""
        named = [
            each.config
            for each in self.outputs
            if each.config and each.dest is None and each.type in ("image", "registry", "docker")
        ]
        return named[-1] if named else self.image_id

    @property
    def identity(self) -> str:
        """What the image is known by: its id, as in the last output, or the digest of the index of several."""
        made = self.made
        if made is None:
            return self.image_id
        if made.descriptor is not None and len(self.platforms) > 1:
            return str(made.descriptor.digest)
        return made.config or self.image_id


class PullResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was pulled, the id it has here, and whether its name stood for something else until now."""

    reference: str
    digest: str
    image_id: str
    newer: bool = True


class PushResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was pushed; `size` is that of the manifest in bytes, as Docker prints it."""

    reference: str
    digest: str
    size: int


class ImageFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which images are listed: those that pass all of this.

    `references` are patterns of names, one of which has to match; of `before` and `since`, names or ids of images,
    each counts; `until` is in seconds since the epoch; `dangling` asks for images without a name, or with one.
    """

    references: tuple[str, ...] = ()
    dangling: bool | None = None
    labels: tuple[LabelFilter, ...] = ()
    before: tuple[str, ...] = ()
    since: tuple[str, ...] = ()
    until: float | None = None


class ImageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One image with its names, and the digest that each of them has in its registry, if known.

    `created` is in seconds since the epoch, `size` in bytes; `digest` is the first of the digests, or that of the
    manifest that the image came with.
    """

    id: str
    names: tuple[str, ...]
    digests: tuple[str | None, ...]
    created: float
    size: int
    digest: str | None


class TreeMember(msgspec.Struct, frozen=True, kw_only=True):
    """An image of a tree; `platform` is "" where that cannot be known, `size` in bytes, `transferred` in compressed ones."""

    platform: str
    id: str
    size: int
    transferred: int | None


class TreeRow(msgspec.Struct, frozen=True, kw_only=True):
    """Names that stand for the same images, and these: one of each platform, `top` the one that is meant without one."""

    names: tuple[str, ...]
    top: TreeMember
    members: tuple[TreeMember, ...]


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an image's history, the newest first; `id` is the image's on the first line."""

    id: str | None
    created: str
    created_by: str
    size: int
    comment: str


class PruneResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed, in words, and the bytes given back."""

    removed: tuple[str, ...]
    bytes: int


class RemoveResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed, a line each, in Docker's words, and why the rest was not."""

    removed: tuple[str, ...]
    errors: tuple[LapstrakeError, ...] = ()


class DebugRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A step to look into: `build` is the beginning or end of an id, "" the newest; `step` as in `steps.find_step`.

    Without `argv` it is a shell that runs there. With `keep`, an image of that name is made of what it leaves.
    """

    build: str = ""
    step: str | None = None
    argv: tuple[str, ...] = ()
    keep: str | None = None
    interactive: bool = True
    terminal: bool = False
    secrets: tuple[SecretSource, ...] = ()
    agents: tuple[AgentSource, ...] = ()


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A container to run in the foreground; `volumes` are `HOST:TARGET[:ro]`."""

    image: str
    argv: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    workdir: str | None = None
    user: str | None = None
    volumes: tuple[str, ...] = ()
    interactive: bool = False
    terminal: bool = False
    entrypoint: str | None = None
    network: str = "host"
    pull: str = "missing"
    platform: str | None = None
