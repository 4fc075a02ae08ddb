"""The words of an output → what is requested: every attribute is understood or refused by name.

Source: BuildKit, README.md, "Output" and exporter/containerimage/exptypes.
"""

from __future__ import annotations

from typing import Any

from builder.dockerfile.suggest import hint
from builder.errors import UsageError
from builder.export.destination import STANDARD_OUTPUT
from builder.export.directory import Others
from builder.export.requested import (
    NEWEST,
    Archive,
    Directory,
    DockerArchive,
    ImageForm,
    InStore,
    Layout,
    Nothing,
    Requested,
)
from builder.export.wanted import Annotation, AnnotationPlace, LayerForm
from builder.oci.mediatypes import Compression
from builder.oci.platform import Platform
from builder.oci.reference import Reference

Pairs = tuple[tuple[str, str], ...]

OF_IMAGES = ("oci", "docker", "image", "registry")
"""The types of which the result is an image, with all that an image can be told."""

TYPES = ("local", "tar", "oci", "docker", "image", "registry", "cacheonly")

_TRUE = frozenset({"", "1", "t", "true"})
_FALSE = frozenset({"0", "f", "false"})
_LEVELS = {Compression.GZIP: 9, Compression.ZSTD: 22}
_COMPRESSIONS = {
    "uncompressed": Compression.NONE,
    "gzip": Compression.GZIP,
    "estargz": Compression.GZIP,
    "zstd": Compression.ZSTD,
}
_INSECURE = "registry.insecure"
_VERSIONS = (10, 20, NEWEST)
_OF_FILES = ("attestation-prefix", "platform-split", "source-date-epoch")
_FORMS = (
    "annotation.KEY",
    "attestation-inline",
    "compatibility-version",
    "compression",
    "compression-level",
    "force-compression",
    "oci-artifact",
    "oci-mediatypes",
    "prefer-nondist-layers",
    "rewrite-timestamp",
    "source-date-epoch",
)
_OF_STORE = (
    "name",
    "push",
    "push-by-digest",
    _INSECURE,
    "unpack",
    "store",
    "dangling-name-prefix",
    "danging-name-empty-only",
    "name-canonical",
    *_FORMS,
)
KNOWN = {
    "local": ("mode", *_OF_FILES),
    "tar": _OF_FILES,
    "oci": ("tar", "name", *_FORMS),
    "docker": ("name", *_FORMS),
    "image": _OF_STORE,
    "registry": _OF_STORE,
    "cacheonly": (),
}
"""The attributes of each type."""
_REFUSED = {
    (
        "docker",
        "context",
    ): "there is no Docker engine to load into; write an archive with `dest=FILE`",
    ("docker", "tar"): "use `type=oci,tar=false` for a directory",
}


def requested(kind: str, dest: str | None, attributes: Pairs) -> Requested:
    """Return what the words of an output ask for; `dest` is a host path or `-`.

    Raises: UsageError: an unknown type or attribute, with the nearest that exists; a value that cannot be meant, or
        does not go with another. ReferenceInvalid: a name that cannot be one.
    """
    if kind not in TYPES:
        raise UsageError(
            f"`{kind}` is not a type of output",
            hint=hint(kind, TYPES) or f"use type={', '.join(TYPES[:-1])} or {TYPES[-1]}",
        )
    for name, _ in attributes:
        _check_known(kind, name)
    given = dict(attributes)
    match kind:
        case "local":
            return Directory(
                dest=_directory(dest, "local"),
                others=_choice(given, "mode", {each.value: each for each in Others}, Others.STAY),
                split=_boolean_if_given(given, "platform-split"),
                epoch=_epoch(given),
                prefix=_prefix(given),
            )
        case "tar":
            return Archive(
                dest=_file(dest),
                split=_boolean_if_given(given, "platform-split"),
                epoch=_epoch(given),
                prefix=_prefix(given),
            )
        case "oci":
            tar = _boolean(given, "tar", default=True)
            where = _file(dest) if tar else _directory(dest, "oci,tar=false")
            return Layout(dest=where, tar=tar, names=_names(given), form=_form(given))
        case "docker" if dest:
            plain = given.keys() <= {"name"}
            return DockerArchive(dest=dest, plain=plain, names=_names(given), form=_form(given))
        case "cacheonly":
            _without(dest, kind)
            return Nothing()
        case _:
            pass
    _without(dest, kind)
    return _in_store(kind, given)


def _in_store(kind: str, given: dict[str, str]) -> InStore:
    push = kind == "registry" or _boolean(given, "push", default=False)
    if kind == "registry" and not _boolean(given, "push", default=True):
        raise UsageError("`type=registry` pushes", hint="use `type=image`")
    asked = InStore(
        names=_names(given),
        push=push,
        by_digest=_boolean(given, "push-by-digest", default=False),
        insecure=_boolean(given, _INSECURE, default=False),
        unpack=_boolean(given, "unpack", default=False),
        store=_boolean(given, "store", default=True),
        dangling=given.get("dangling-name-prefix", ""),
        fallback=_boolean(given, "danging-name-empty-only", default=False),
        canonical=_boolean(given, "name-canonical", default=False),
        form=_form(given),
    )
    if asked.dangling:
        Reference.parse(asked.dangling)
    if asked.by_digest and not push:
        raise UsageError("`push-by-digest` pushes nothing by itself", hint="add `push=true`")
    if asked.by_digest and any(":" in each.rpartition("/")[2] for each in _texts(given)):
        raise UsageError(
            f"`name={given['name']}` has a tag, which is not pushed with `push-by-digest`",
            hint="name the repository alone",
        )
    if asked.unpack and asked.form.rewrite:
        raise UsageError("`unpack` does not go with `rewrite-timestamp`", hint="leave one out")
    return asked


def _form(given: dict[str, str]) -> ImageForm:
    form = ImageForm(
        layers=_layers(given),
        oci=_boolean_if_given(given, "oci-mediatypes"),
        artifact=_boolean_if_given(given, "oci-artifact"),
        inline=_boolean(given, "attestation-inline", default=False),
        foreign=_boolean(given, "prefer-nondist-layers", default=False),
        annotations=tuple(_annotations(given)),
        rewrite=_boolean(given, "rewrite-timestamp", default=False),
        epoch=_epoch(given),
        compatibility=_version(given),
    )
    if form.oci is False and form.layers.seekable:
        raise UsageError("`compression=estargz` does not go with `oci-mediatypes=false`")
    if form.oci is False and form.artifact:
        raise UsageError("`oci-artifact=true` does not go with `oci-mediatypes=false`")
    if form.compatibility == min(_VERSIONS) and form.layers.compression is Compression.ZSTD:
        raise UsageError("`compression=zstd` does not go with `compatibility-version=10`")
    return form


def _layers(given: dict[str, str]) -> LayerForm:
    compression = _choice(given, "compression", _COMPRESSIONS, Compression.GZIP)
    level = _number(given, "compression-level")
    if level is not None:
        most = _LEVELS.get(compression)
        if most is None:
            raise UsageError("`compression-level` does not go with `compression=uncompressed`")
        if not 0 <= level <= most:
            raise UsageError(f"`compression-level={level}` is not a level", hint=f"use 0 to {most}")
    return LayerForm(
        compression=compression,
        level=level,
        force=_boolean(given, "force-compression", default=False),
        seekable=given.get("compression") == "estargz",
    )


def _annotations(given: dict[str, str]) -> list[Annotation]:
    return [
        annotation
        for name, value in given.items()
        if (annotation := _annotation(name, value)) is not None
    ]


def _annotation(name: str, value: str) -> Annotation | None:
    """Read `annotation[-PLACE][[PLATFORM]].KEY`; None for another attribute."""
    head, dot, key = name.partition(".")
    if head.partition("[")[0].partition("-")[0] != "annotation" or not dot or not key:
        return None
    if any(character.isspace() for character in key):
        raise UsageError(f"the key `{key[:60]}` of an annotation holds a blank")
    place, platform = placed(head.removeprefix("annotation").removeprefix("-"), name)
    if place in (AnnotationPlace.INDEX, AnnotationPlace.INDEX_DESCRIPTOR):
        platform = None  # an index is of all platforms: as with BuildKit, one that is named narrows nothing
    return Annotation(key=key, value=value, place=place, platform=platform)


def placed(text: str, whole: str) -> tuple[AnnotationPlace, Platform | None]:
    """Read where an annotation belongs, `PLACE[PLATFORM]`, each of which may be missing; `whole` is for messages.

    Raises: UsageError, ReferenceInvalid: there is no such place, or it is no platform.
    """
    word, bracket, rest = text.partition("[")
    places = {each.value: each for each in AnnotationPlace}
    place = places.get(word or AnnotationPlace.MANIFEST.value)
    if place is None:
        raise UsageError(
            f"`{word}` in `{whole}` is no place for an annotation",
            hint=hint(word, places) or f"use one of: {', '.join(places)}",
        )
    if not bracket:
        return place, None
    if not rest.endswith("]"):
        raise UsageError(f"the bracket in `{whole}` is not closed")
    return place, Platform.parse(rest[:-1])


def _check_known(kind: str, name: str) -> None:
    if name in KNOWN[kind] or ("annotation.KEY" in KNOWN[kind] and _annotation(name, "")):
        return
    refusal = _REFUSED.get((kind, name))
    raise UsageError(
        f"`type={kind}` has no attribute `{name}` here",
        hint=refusal or hint(name, KNOWN[kind]),
    )


def _directory(dest: str | None, kind: str) -> str:
    if not dest:
        raise UsageError(f"`type={kind}` lacks a destination", hint="add `dest=DIRECTORY`")
    if dest == STANDARD_OUTPUT:
        raise UsageError("a directory cannot be written to standard output", hint="use `type=tar`")
    return dest


def _file(dest: str | None) -> str:
    return dest or STANDARD_OUTPUT


def _without(dest: str | None, kind: str) -> None:
    if dest:
        raise UsageError(f"`type={kind}` has no destination", hint="leave out `dest=`")


def _texts(given: dict[str, str]) -> list[str]:
    return [text.strip() for text in given.get("name", "").split(",") if text.strip()]


def _names(given: dict[str, str]) -> tuple[Reference, ...] | None:
    return tuple(map(Reference.parse, _texts(given))) or None


def _choice(given: dict[str, str], name: str, values: dict[str, Any], default: Any) -> Any:
    text = given.get(name)
    if text is None:
        return default
    if text not in values:
        raise UsageError(
            f"`{name}={text}` is not available",
            hint=hint(text, values) or f"use one of: {', '.join(values)}",
        )
    return values[text]


def _boolean_if_given(given: dict[str, str], name: str) -> bool | None:
    return _boolean(given, name, default=False) if name in given else None


def _boolean(given: dict[str, str], name: str, *, default: bool) -> bool:
    text = given.get(name)
    if text is None:
        return default
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise UsageError(f"`{name}={text}` is neither true nor false")


def _number(given: dict[str, str], name: str) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 12):
        raise UsageError(f"`{name}={text}` is not a number")
    return int(text)


def _epoch(given: dict[str, str]) -> int | None:
    if given.get("source-date-epoch") == "":
        return None
    seconds = _number(given, "source-date-epoch")
    if seconds is not None and seconds < 0:
        raise UsageError(f"`source-date-epoch={seconds}` is before 1970")
    return seconds


def _prefix(given: dict[str, str]) -> str:
    prefix = given.get("attestation-prefix", "")
    if "/" in prefix or "\0" in prefix:
        raise UsageError(f"`attestation-prefix={prefix}` is no beginning of a file's name")
    return prefix


def _version(given: dict[str, str]) -> int:
    version = _number(given, "compatibility-version")
    if version is None:
        return NEWEST
    if version not in _VERSIONS:
        raise UsageError(
            f"`compatibility-version={version}` is not available",
            hint=f"use one of: {', '.join(map(str, _VERSIONS))}",
        )
    return version
