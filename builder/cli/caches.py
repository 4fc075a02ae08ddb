"""The words of `--cache-from` and `--cache-to`: `type=registry,ref=NAME`, `type=local,src=DIR`, `type=inline`, or a name alone."""

from __future__ import annotations

from collections.abc import Iterable

from builder.cli.outputs import fields
from builder.dockerfile import suggest
from builder.errors import UsageError
from builder.oci.reference import Reference
from builder.solve.given import SharedCache

_TYPES = ("registry", "local", "inline")
_ELSEWHERE = ("gha", "s3", "azblob")
_FROM = ("type", "ref", "src", "ignore-error", "required", "mounts")
_TO = (
    "type",
    "ref",
    "dest",
    "mode",
    "ignore-error",
    "required",
    "mounts",
    "max-mount-size",
    "compression",
    "image-manifest",
    "oci-mediatypes",
)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_COMPRESSIONS = {"gzip": "gzip", "zstd": "zstd", "uncompressed": "none"}
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def sources_of(words: Iterable[str]) -> tuple[SharedCache, ...]:
    """Read what `--cache-from` names.

    Raises: UsageError: a word is malformed, or names what is not available.
    """
    return tuple([_cache(word, "--cache-from", _FROM, "src") for word in words])


def targets_of(words: Iterable[str]) -> tuple[SharedCache, ...]:
    """Read what `--cache-to` names.

    Raises: UsageError: as `sources_of`.
    """
    return tuple([_cache(word, "--cache-to", _TO, "dest") for word in words])


def _cache(word: str, flag: str, known: tuple[str, ...], directory: str) -> SharedCache:
    given = _given(word, flag, known)
    kind = given.get("type", "")
    if kind in _ELSEWHERE:
        raise UsageError(
            f"`{flag} type={kind}` is not available in this version",
            hint="use type=registry or type=local",
        )
    if kind not in _TYPES:
        raise UsageError(
            f"`{kind}` is no type of cache" if kind else f"`{flag} {word}` lacks a type",
            hint=suggest.hint(kind, _TYPES) or "use type=registry, type=local or type=inline",
        )
    if kind == "inline" and directory == "src":
        raise UsageError(
            "a cache inside an image is read by the name of the image",
            hint="write `--cache-from type=registry,ref=IMAGE`",
        )
    mounts = tuple(each for each in given.get("mounts", "").split("\0") if each)
    every_step = _mode(given.get("mode", "min"), flag)
    if kind == "inline" and (every_step or mounts):
        raise UsageError(
            "a cache inside an image holds the steps of that image alone",
            hint="for more, use type=registry",
        )
    return SharedCache(
        type=kind,
        where=_where(given, kind, directory, f"{flag} {word}"),
        every_step=every_step,
        required=_required(given, flag),
        compression=_compression(given.get("compression", "gzip"), flag),
        mounts=mounts,
        mount_limit=_size(given.get("max-mount-size", "2g"), flag),
    )


def _given(word: str, flag: str, known: tuple[str, ...]) -> dict[str, str]:
    if "=" not in word:
        return {"type": "inline"} if word == "inline" else {"type": "registry", "ref": word}
    given: dict[str, str] = {}
    for field in fields(word, flag):
        key, equals, value = field.partition("=")
        key = key.strip().lower()
        if key == "required" and not equals:
            value = "true"
        elif not equals:
            raise UsageError(f"`{field}` in `{flag} {word}` is not KEY=value")
        if key not in known:
            raise UsageError(
                f"`{key}` is not known to `{flag}`",
                hint=suggest.hint(key, known) or f"known are {', '.join(known)}",
            )
        # The only one that may be given several times.
        before = f"{given[key]}\0" if key == "mounts" and key in given else ""
        given[key] = before + value
    for key in ("image-manifest", "oci-mediatypes"):
        if not _boolean(given.get(key, "true"), key, flag):
            raise UsageError(f"`{flag} {key}=false` is not available in this version")
    return given


def _where(given: dict[str, str], kind: str, directory: str, written: str) -> str:
    wanted = {"registry": "ref", "local": directory, "inline": ""}[kind]
    for key in ("ref", "src", "dest"):
        if key in given and key != wanted:
            raise UsageError(
                f"`{key}` does not go with type={kind} in `{written}`",
                hint=f"use {wanted}=…" if wanted else "leave it out",
            )
    if not wanted:
        return ""
    if not given.get(wanted):
        raise UsageError(f"`{written}` lacks a place", hint=f"add {wanted}=…")
    if kind == "registry":
        reference = Reference.parse(given[wanted])
        if reference.digest is not None:
            raise UsageError(f"`{written}` names a digest", hint="name a tag")
    return given[wanted]


def _mode(text: str, flag: str) -> bool:
    if text not in ("min", "max"):
        raise UsageError(f"`{flag} mode={text}` is not understood", hint="use mode=min or mode=max")
    return text == "max"


def _required(given: dict[str, str], flag: str) -> bool:
    if "required" in given:
        return _boolean(given["required"], "required", flag)
    return not _boolean(given.get("ignore-error", "true"), "ignore-error", flag)


def _compression(text: str, flag: str) -> str:
    found = _COMPRESSIONS.get(text)
    if found is None:
        raise UsageError(
            f"`{flag} compression={text}` is not available", hint="use gzip, zstd or uncompressed"
        )
    return found


def _boolean(text: str, key: str, flag: str) -> bool:
    found = _BOOLEANS.get(text.lower())
    if found is None:
        raise UsageError(f"`{flag} {key}={text}` is neither true nor false")
    return found


def _size(text: str, flag: str) -> int:
    number = text.lower().removesuffix("b").rstrip("kmgt")
    unit = text.lower().removesuffix("b")[len(number) :]
    if not number.isdecimal() or unit not in _UNITS:
        raise UsageError(
            f"`{flag} max-mount-size={text}` is no size", hint="write it like 500m or 2g"
        )
    return int(number) * _UNITS[unit]
