"""The results of a build that can be asked for, as values: one class for each type of `--output`."""

from __future__ import annotations

import msgspec

from builder.export.directory import Others
from builder.export.wanted import Annotation, LayerForm, Wanted
from builder.oci.mediatypes import Family
from builder.oci.reference import Reference

NEWEST = 30
"""The compatibility version of BuildKit whose defaults are ours."""

_OLD_DEFAULTS = 20


class ImageForm(msgspec.Struct, frozen=True, kw_only=True):
    """How an image is to look that leaves the store.

    `oci` and `artifact` are None where nobody said; `epoch` is in seconds, None for that of the build. With `rewrite`
    the image's own files hold no later time either. `inline` asks for statements that are only meant for registries.
    """

    layers: LayerForm = LayerForm()
    oci: bool | None = None
    artifact: bool | None = None
    inline: bool = False
    foreign: bool = False
    annotations: tuple[Annotation, ...] = ()
    rewrite: bool = False
    epoch: int | None = None
    compatibility: int = NEWEST

    @property
    def is_default(self) -> bool:
        """Whether nothing was asked for."""
        return self == ImageForm()

    def wanted(self, names: tuple[Reference, ...], *, claims: bool) -> Wanted:
        """Return how to package images; `claims` tells whether there are statements about them."""
        family = None if self.oci is None else Family.OCI if self.oci else Family.DOCKER
        old = self.compatibility <= _OLD_DEFAULTS
        if family is None and old and not claims:
            family = Family.DOCKER
        return Wanted(
            layers=self.layers,
            family=family,
            annotations=self.annotations,
            artifact=not old if self.artifact is None else self.artifact,
            names=names,
        )


class Directory(msgspec.Struct, frozen=True, kw_only=True):
    """The root file system as files of the caller, `type=local`; `split` is None where nobody said.

    `prefix` is what names of attestations begin with.
    """

    dest: str
    others: Others = Others.STAY
    split: bool | None = None
    epoch: int | None = None
    prefix: str = ""


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """The root file system as a tar, `type=tar`."""

    dest: str
    split: bool | None = None
    epoch: int | None = None
    prefix: str = ""


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """An OCI layout, as an archive or a directory, `type=oci`; `names` None means those of the build."""

    dest: str
    tar: bool = True
    names: tuple[Reference, ...] | None = None
    form: ImageForm = ImageForm()


class DockerArchive(msgspec.Struct, frozen=True, kw_only=True):
    """What `docker load` takes, `type=docker` with a destination; `plain` where nobody said how the image is to look."""

    dest: str
    plain: bool = True
    names: tuple[Reference, ...] | None = None
    form: ImageForm = ImageForm()


class InStore(msgspec.Struct, frozen=True, kw_only=True):
    """An image of the store, and of registries with `push`: `type=image`, `registry`, and `docker` without a destination.

    `dangling` is a repository in which it is named by its digest, with `fallback` only if it has no other name;
    `canonical` does so in each repository of its names.
    """

    names: tuple[Reference, ...] | None = None
    push: bool = False
    by_digest: bool = False
    insecure: bool = False
    unpack: bool = False
    store: bool = True
    dangling: str = ""
    fallback: bool = False
    canonical: bool = False
    form: ImageForm = ImageForm()


class Nothing(msgspec.Struct, frozen=True, kw_only=True):
    """What was built stays in the cache alone, `type=cacheonly`."""


Requested = Directory | Archive | Layout | DockerArchive | InStore | Nothing
