"""What a registry's refusal means, in words that people know from Docker."""

from __future__ import annotations

from enum import Enum

import msgspec

from builder.errors import RegistryError
from builder.oci.reference import Reference
from builder.registry import address, backoff
from builder.registry.exchange import Response

_MAX_EXPLANATION = 16 * 1024


class Deed(Enum):
    """What was being done."""

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"

    @property
    def actions(self) -> str:
        """What a token must allow."""
        return "pull,push" if self is Deed.PUSH else self.value


class _ErrorWire(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _ErrorsWire(msgspec.Struct):
    errors: list[_ErrorWire] | None = None


def refusal(
    response: Response,
    reference: Reference,
    *,
    deed: Deed,
    secrets: tuple[str, ...] = (),
    what: str = "",
    anonymous: bool = True,
) -> RegistryError:
    """Return the error that a refusing answer stands for, and close it.

    `what` names the thing asked for ("layer sha256:…"), "" is the image itself; `secrets` are struck out of
    what the registry says.
    """
    with response:
        codes, notes = _explanation(response, secrets)
    status = response.status
    shown = f"{deed.value} {address.redact(response.url)}"
    pause = backoff.requested_delay(response.header("retry-after"))
    name = reference.familiar_name
    thing = what or f"`{reference.familiar()}`"
    if status in (401, 403):
        return access_denied(reference, deed=deed, status=status, request=shown, notes=notes)
    if "MANIFEST_BLOB_UNKNOWN" in codes and deed is Deed.PUSH:
        return RegistryError(
            f"{reference.registry} lacks something that {thing} is made of",
            code="registry.protocol",
            status=status,
            request=shown,
            notes=notes,
        )
    if status == 404:
        if "NAME_UNKNOWN" in codes:
            message = (
                f"repository `{name}` not found: it does not exist or may require `lapstrake login`"
            )
        elif what:
            message = f"{what} of `{reference.familiar()}` not found in {reference.registry}"
        else:
            message = f"manifest for {thing} not found: manifest unknown"
        return RegistryError(
            message,
            code="registry.not-found",
            status=status,
            request=shown,
            notes=notes,
            hint=f"check the name, or run `lapstrake login {reference.registry}`",
        )
    if status == 405 and deed is Deed.DELETE:
        return RegistryError(
            f"{reference.registry} does not delete",
            code="registry.protocol",
            status=status,
            request=shown,
            notes=notes,
            hint="whoever runs it may allow that",
        )
    if status == 429:
        return RegistryError(
            f"too many requests: {reference.registry} limits how much may be pulled or pushed",
            code="registry.rate-limited",
            status=status,
            request=shown,
            temporary=True,
            pause=pause,
            notes=notes,
            hint=f"run `lapstrake login {reference.registry}`, or wait"
            if anonymous
            else "wait, then try again",
        )
    temporary = status >= 500
    return RegistryError(
        f"{reference.registry} answers with status {status} for {thing}",
        code="registry.unavailable" if temporary else "registry.protocol",
        status=status,
        request=shown,
        temporary=temporary,
        pause=pause,
        notes=notes,
        hint="try again later" if temporary else None,
    )


def access_denied(
    reference: Reference,
    *,
    deed: Deed,
    status: int = 401,
    request: str | None = None,
    notes: tuple[str, ...] = (),
) -> RegistryError:
    """Return the error of those who may not."""
    name = reference.familiar_name
    if deed is Deed.PULL:
        message = f"pull access denied for `{name}`, repository does not exist or may require `lapstrake login`"
    else:
        message = f"{deed.value} access to `{name}` is denied"
    return RegistryError(
        message,
        code="registry.unauthorized",
        status=status,
        request=request,
        notes=notes,
        hint=f"run `lapstrake login {reference.registry}`",
    )


def broken(reference: Reference, fact: str) -> RegistryError:
    """Return the error of a registry that does not keep to the protocol."""
    return RegistryError(
        f"{reference.registry} does not keep to the protocol for `{reference.familiar()}`",
        code="registry.protocol",
        notes=(fact,),
    )


def _explanation(
    response: Response, secrets: tuple[str, ...]
) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the codes and texts of an error body, which may have any form at all."""
    try:
        body = response.read_some(_MAX_EXPLANATION)
        errors = msgspec.json.decode(body, type=_ErrorsWire).errors or []
    except (ValueError, RecursionError):
        return frozenset(), ()
    notes = []
    for error in errors[:3]:
        text = (error.message or error.code or "").strip()
        for secret in secrets:
            text = text.replace(secret, "***")
        text = "".join(character if character.isprintable() else " " for character in text)[:300]
        if text:
            notes.append(f"the registry says: {text}")
    return frozenset(error.code for error in errors if error.code), tuple(dict.fromkeys(notes))
