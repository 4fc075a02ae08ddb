"""The certificates that a user has trusted besides those of the system: for our own connections, and for steps."""

from __future__ import annotations

import os

import msgspec

from builder.errors import UsageError
from builder.layer.certificates import added, read_certificates
from builder.settings import Settings

_LARGEST = 16 << 20
_SYSTEM = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def certificates(paths: tuple[str, ...]) -> tuple[bytes, ...]:
    """Return the certificates in files, each in DER.

    Raises: UsageError: a file cannot be read, or holds none.
    """
    found: dict[bytes, None] = {}
    for path in paths:
        new = read_certificates(_read(path))
        if not new:
            raise UsageError(
                f"`{path}` holds no certificate",
                hint="give a file with `-----BEGIN CERTIFICATE-----` in it, or one in DER",
            )
        found.update(dict.fromkeys(new))
    return tuple(found)


def with_bundle(settings: Settings, directory: str) -> Settings:
    """Return settings whose bundle also holds the certificates that were given, written to a host directory.

    Raises: UsageError: see `certificates`.
    """
    if not settings.ca_certs:
        return settings
    system = settings.ca_bundle or next((path for path in _SYSTEM if os.path.isfile(path)), None)
    text = b"" if system is None or os.path.isdir(system) else _read(system)
    path = f"{directory}/certificates.pem"
    with open(path, "wb") as file:
        file.write(added(text, certificates(settings.ca_certs)))
    return msgspec.structs.replace(settings, ca_bundle=path)


def _read(path: str) -> bytes:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            return file.read(_LARGEST)
    except OSError as error:
        raise UsageError(
            f"the certificates in `{path}` cannot be read: {os.strerror(error.errno or 0)}"
        ) from error
