"""Programs that keep credentials: `docker-credential-NAME get|store|erase`, the host on their standard input.

They are started by argument list, without a shell; how long they may take and how much they may say is bounded.
What they say is shown only where the secret is ours, and can be looked for in it.

Source: docker-credential-helpers, README.
"""

from __future__ import annotations

import os
import select
import subprocess
import time

import msgspec

from builder.errors import RegistryError
from builder.registry.auth import Credential

SECONDS = 60.0
"""How long a helper may take: it may have to ask a person."""

LONGEST = 1024 * 1024
"""How many bytes it may answer."""

_TOKEN_USER = "<token>"  # noqa: S105  a marker, which says that the secret is an identity token
_NOT_FOUND = ("credentials not found", "not found in", "no credentials")


class _SecretWire(msgspec.Struct):
    username: str = msgspec.field(default="", name="Username")
    secret: str = msgspec.field(default="", name="Secret")


def ask(helper: str, key: str) -> Credential | None:
    """Return what a helper knows of a host, None for nothing.

    Raises: RegistryError: `registry.helper`.
    """
    output = _run(helper, "get", key.encode())
    if output is None:
        return None
    try:
        wire = msgspec.json.decode(output, type=_SecretWire)
    except (ValueError, RecursionError):
        raise _failed(helper, "its answer is not what helpers answer") from None
    if not wire.secret:
        return None
    if wire.username == _TOKEN_USER:
        return Credential(identity_token=wire.secret)
    return Credential(username=wire.username, password=wire.secret)


def tell(helper: str, key: str, credential: Credential) -> None:
    """Give a helper a credential to keep.

    Raises: RegistryError: `registry.helper`.
    """
    is_token = bool(credential.identity_token)
    message = {
        "ServerURL": key,
        "Username": _TOKEN_USER if is_token else credential.username,
        "Secret": credential.identity_token if is_token else credential.password,
    }
    _run(helper, "store", msgspec.json.encode(message), credential.secrets())


def forget(helper: str, key: str) -> None:
    """Let a helper forget a host.

    Raises: RegistryError: `registry.helper`.
    """
    _run(helper, "erase", key.encode())


def _run(helper: str, verb: str, message: bytes, secrets: tuple[str, ...] = ()) -> bytes | None:
    """Return what a helper answers, None if it knows nothing of it."""
    # In memory, and not a pipe: a helper that reads nothing must not make us wait.
    given = os.memfd_create("credential", os.MFD_CLOEXEC)
    try:
        with os.fdopen(given, "wb", closefd=False) as file:
            file.write(message)
        os.lseek(given, 0, os.SEEK_SET)
        try:
            process = subprocess.Popen(  # noqa: S603  a checked name, an argument list, no shell
                [f"docker-credential-{helper}", verb],
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except FileNotFoundError:
            raise _failed(helper, "it is not installed") from None
        except OSError as error:
            raise _failed(helper, error.strerror or "it cannot be started") from None
    finally:
        os.close(given)
    with process:
        try:
            output = _output(helper, process)
            code = process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            raise _failed(helper, "it does not end") from None
        finally:
            process.kill()
    if code == 0:
        return output
    said = _explanation(output, secrets)
    if any(each in said.lower() for each in _NOT_FOUND):
        return None
    if secrets and said:
        raise _failed(helper, said)
    # Whatever is not asked to keep something may say what it keeps, and we would not know it for a secret.
    raise RegistryError(
        f"the credential helper `docker-credential-{helper}` fails",
        code="registry.helper",
        notes=(f"it ended with code {code}",),
        hint=f"to see why, run `echo HOST | docker-credential-{helper} {verb}`"
        if verb != "store"
        else "repair the helper, or remove it from Docker's config.json",
    )


def _output(helper: str, process: subprocess.Popen[bytes]) -> bytes:
    """Return all of a helper's answer, as far as time and room allow."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    deadline = time.monotonic() + SECONDS
    output = bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            raise _failed(helper, f"it does not answer within {SECONDS:g} seconds")
        piece = os.read(descriptor, 65536)
        if not piece:
            return bytes(output)
        output += piece
        if len(output) > LONGEST:
            raise _failed(helper, f"it answers more than {LONGEST} bytes")


def _explanation(output: bytes, secrets: tuple[str, ...]) -> str:
    """Return what a helper that failed says, "" where it may hold a secret: helpers explain on standard output."""
    said = output[:500].decode(errors="replace").strip().partition("\n")[0][:200]
    if "{" in said or '"' in said or any(secret in said for secret in secrets):
        return ""
    return "".join(character if character.isprintable() else " " for character in said)


def _failed(helper: str, fact: str) -> RegistryError:
    return RegistryError(
        f"the credential helper `docker-credential-{helper}` fails",
        code="registry.helper",
        notes=(fact,),
        hint="repair the helper, or remove it from Docker's config.json",
    )
