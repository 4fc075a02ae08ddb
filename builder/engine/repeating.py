"""What an image's first build was asked for: what its provenance says, its own time, the base by the digest that it had."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

import msgspec

from builder.engine.catalogue import LocalImage, created_seconds
from builder.engine.requests import BuildRequest
from builder.errors import ImageError, ReferenceInvalid
from builder.export.manifest import BASE_DIGEST, BASE_NAME
from builder.export.wanted import Making, making_for
from builder.oci.digest import Digest
from builder.oci.manifest import parse_manifest
from builder.oci.reference import Reference
from builder.store.root import Store

_EPOCH = "SOURCE_DATE_EPOCH"


class _Dependency(msgspec.Struct, frozen=True):
    uri: str = ""
    digest: dict[str, str] = {}


class _Asked(msgspec.Struct, frozen=True):
    args: dict[str, str] = {}


class _Invocation(msgspec.Struct, frozen=True):
    request: _Asked = _Asked()
    parameters: _Asked = _Asked()


class _Definition(msgspec.Struct, frozen=True, rename="camel"):
    external_parameters: _Invocation = _Invocation()
    resolved_dependencies: tuple[_Dependency, ...] = ()


class _Complete(msgspec.Struct, frozen=True):
    request: bool = False
    parameters: bool = False


class _Metadata(msgspec.Struct, frozen=True):
    buildkit_completeness: _Complete = _Complete()
    completeness: _Complete = _Complete()


class _Run(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()


class FirstBuild(msgspec.Struct, frozen=True, rename="camel"):
    """What the provenance of an image says of its build, in either version; nothing where there is none."""

    build_definition: _Definition = _Definition()
    run_details: _Run = _Run()
    invocation: _Invocation = _Invocation()
    metadata: _Metadata = _Metadata()
    materials: tuple[_Dependency, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether it tells all that the build was given: the shorter form leaves out values of arguments and labels."""
        return (
            self.run_details.metadata.buildkit_completeness.request
            or self.metadata.completeness.parameters
        )

    @property
    def args(self) -> dict[str, str]:
        """What was asked, by BuildKit's names: `build-arg:NAME`, `label:NAME`, `target`."""
        return (
            self.build_definition.external_parameters.request.args
            or self.invocation.parameters.args
        )

    @property
    def dependencies(self) -> tuple[_Dependency, ...]:
        """What went in."""
        return self.build_definition.resolved_dependencies or self.materials


def first_build(predicate: bytes | None) -> FirstBuild:
    """Return what counts of the provenance of an image, nothing where there is none.

    Raises: ImageError: it is malformed.
    """
    try:
        return (
            FirstBuild() if predicate is None else msgspec.json.decode(predicate, type=FirstBuild)
        )
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ImageError("the provenance of the image is malformed") from error


def asked_as(
    image: LocalImage, request: BuildRequest, store: Store, told: FirstBuild
) -> BuildRequest:
    """Return the request with what is known of the first one, from its provenance too; what it says itself wins."""
    arguments = told.args
    given = dict(request.build_args)
    if making_for(image.config) is Making.ANYWHERE:
        # Provenance may say what it was taken from instead, which may have none now.
        given.setdefault(_EPOCH, str(int(created_seconds(image.config.created))))
    for key, value in arguments.items():
        if key.startswith("build-arg:"):
            given.setdefault(key.removeprefix("build-arg:"), value)
    labels = {
        key.removeprefix("label:"): value
        for key, value in arguments.items()
        if key.startswith("label:")
    }
    return msgspec.structs.replace(
        request,
        build_args=tuple(given.items()),
        labels=tuple({**labels, **dict(request.labels)}.items()),
        target=request.target or arguments.get("target"),
        platforms=request.platforms or (str(image.platform),),
        contexts=(*_pins(image, told, store, dict(request.contexts)), *request.contexts),
        no_cache=True,
    )


def _base(image: LocalImage, store: Store) -> tuple[str, str] | None:
    """Return the name and the digest of the base that an image stands on: what its build says, else its manifest."""
    origin = store.images.origin(image.id)
    stored = store.images.get(image.id)
    if origin is not None:
        found = (origin.base, origin.digest)
    elif stored is not None and stored.manifest and store.blobs.contains(Digest(stored.manifest)):
        annotations = dict(parse_manifest(store.blobs.read(Digest(stored.manifest))).annotations)
        found = (annotations.get(BASE_NAME), annotations.get(BASE_DIGEST))
    else:
        return None
    name, digest = found
    return None if name is None or digest is None else (name, digest)


def _pins(
    image: LocalImage, told: FirstBuild, store: Store, given: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield named contexts that hold the images of the first build by their digests."""
    known: dict[str, str] = {}
    for each in told.dependencies:
        name = each.uri.removeprefix("pkg:docker/").partition("?")[0]
        if "sha256" in each.digest and each.uri.startswith("pkg:docker/"):
            path, _, tag = name.partition("@")
            full = f"{unquote(path)}:{unquote(tag)}" if tag else unquote(path)
            known[full] = f"sha256:{each.digest['sha256']}"
    base = _base(image, store)
    if base is not None:
        known.setdefault(*base)
    for name, digest in known.items():
        try:
            reference = Reference.parse(name)
            Digest(digest)
        except ReferenceInvalid:
            continue
        name = reference.familiar()
        stored = store.images.name(reference.canonical())
        is_here = stored is not None and stored.digest == digest
        if reference.digest is None and name not in given and not is_here:
            yield name, f"docker-image://{reference.name}@{digest}"
