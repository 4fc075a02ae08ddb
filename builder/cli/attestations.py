"""`build --provenance`, `--attest` and `--sbom`: what is to be claimed of an image.

Source: buildx, docs/reference/buildx_build.md, "--attest"; BuildKit, docs/attestations/slsa-provenance.md, "Parameters".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from builder.cli.words import OptionalValue
from builder.errors import UsageError

if TYPE_CHECKING:
    from builder.engine.requests import Provenance

_T = TypeVar("_T", bound=Callable[..., object])

_KEYS = (
    "mode",
    "form",
    "version",
    "builder-id",
    "reproducible",
    "inline-only",
    "filename",
    "disabled",
    "type",
)
_CHOICES = {
    "mode": {"min": "min", "max": "max", "full": "max"},
    "form": {"index": "index", "referrer": "referrer"},
    "version": {"v1": "v1", "v0.2": "v0.2"},
}
_BOOLEANS = {"true": True, "1": True, "": True, "false": False, "0": False}


def _is_value(word: str) -> bool:
    """Tell whether the word after a bare `--provenance` is its value, as with buildx, and not the context."""
    key, equals, _ = word.partition("=")
    return key in _KEYS if equals else word != "" and word.lower() in _BOOLEANS


_OPTIONS = (
    click.option(
        "--provenance",
        cls=OptionalValue,
        is_value=_is_value,
        is_flag=False,
        flag_value="true",
        metavar="[=true|false|KEY=VALUE,…]",
        help="Tell with the image what it was built from: mode=min or max, form=index or referrer.",
    ),
    click.option(
        "--attest",
        "attests",
        multiple=True,
        metavar="type=provenance[,KEY=VALUE…]",
        help="As --provenance, with all of its keys: version, builder-id, reproducible, inline-only, filename.",
    ),
    click.option(
        "--sbom", metavar="false", help="Leave out a list of contents, which is not made."
    ),
)


def attestation_options(command: _T) -> _T:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def attested(words: Iterable[str], provenance: str | None, sbom: str | None) -> dict[str, Any]:
    """Return the fields of a request for what is to be claimed; without these options nothing is.

    Raises: UsageError: a word is malformed, asks for what is not made, or asks twice.
    """
    if sbom is not None and _BOOLEANS.get(sbom.lower()) is not False:
        raise _no_list("--sbom")
    asked = [_attest(word) for word in words]
    if provenance is not None:
        asked.append(_provenance(provenance))
    if len(asked) > 1:
        raise UsageError(
            "provenance is asked for twice",
            hint="say all of it in one `--provenance` or `--attest`",
        )
    found = asked[0] if asked else None
    return {} if found is None else {"provenance": found}


def _attest(word: str) -> Provenance | None:
    from builder.cli.outputs import fields

    given = fields(word, "--attest")
    kind = next((each.partition("=")[2] for each in given if each.startswith("type=")), "")
    if kind == "sbom":
        raise _no_list(f"--attest {word}")
    if kind != "provenance":
        raise UsageError(
            f"`{kind}` is no type of attestation" if kind else f"`--attest {word}` lacks a type",
            hint="use type=provenance",
        )
    return _read(given, "--attest")


def _provenance(word: str) -> Provenance | None:
    from builder.cli.outputs import fields

    plain = _BOOLEANS.get(word.lower())
    if plain is False:
        return None
    return _read([] if plain else fields(word, "--provenance"), "--provenance")


def _read(given: Iterable[str], flag: str) -> Provenance | None:
    from builder.engine.requests import Provenance

    values: dict[str, str] = {}
    for each in given:
        key, equals, value = each.partition("=")
        if key not in _KEYS:
            from builder.dockerfile import suggest

            raise UsageError(
                f"{flag} has no key `{key[:60]}`",
                hint=suggest.hint(key, _KEYS) or f"use {', '.join(_KEYS[:-2])}",
            )
        values[key] = value if equals else "true"
    if _boolean(values, "disabled", flag):
        return None
    return Provenance(
        detail=_choice(values, "mode", "max", flag),
        form=_choice(values, "form", "index", flag),
        version=_choice(values, "version", "v1", flag),
        builder=values.get("builder-id", ""),
        reproducible=_boolean(values, "reproducible", flag),
        inline_only=_boolean(values, "inline-only", flag),
        filename=_filename(values, flag),
    )


def _filename(values: dict[str, str], flag: str) -> str:
    name = values.get("filename", "provenance.json")
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        raise UsageError(f"`filename={name[:60]}` of {flag} is no name of a file")
    return name


def _choice(values: dict[str, str], key: str, default: str, flag: str) -> str:
    found = _CHOICES[key].get(values.get(key, default).lower())
    if found is None:
        raise UsageError(
            f"`{key}={values[key][:60]}` of {flag} is not known",
            hint=f"use {' or '.join(_CHOICES[key])}",
        )
    return found


def _boolean(values: dict[str, str], key: str, flag: str) -> bool:
    found = _BOOLEANS.get(values.get(key, "false").lower())
    if found is None:
        raise UsageError(f"`{key}={values[key][:60]}` of {flag} is neither true nor false")
    return found


def _no_list(words: str) -> UsageError:
    return UsageError(
        f"`{words}` is not available in this version",
        notes=("lists of contents are made by scanners, of which none is built in",),
        hint="run a scanner on the image that is pushed or saved, or say `--sbom=false`",
    )
