"""Certificates of authorities that nobody else knows."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path


def make_authority(folder: Path, name: str) -> Path:
    """Return the file of a new authority's certificate; its key lies beside it."""
    path = folder / f"{name}.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", f"/CN={name}", "-days", "30"),
            *("-keyout", folder / f"{name}.key", "-out", path),
        ],
        check=True,
        capture_output=True,
    )
    return path


def der(path: Path) -> bytes:
    """Return the certificate of a file."""
    return ssl.PEM_cert_to_DER_cert(path.read_text())
