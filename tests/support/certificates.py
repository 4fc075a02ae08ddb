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


def sign(
    folder: Path, authority: Path, name: str, *, client: bool = False, host: str = "localhost"
) -> tuple[Path, Path]:
    """Return certificate and key, signed by an authority: of a server (on loopback, and of a host), or of a client."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
    usage = "clientAuth" if client else "serverAuth"
    extensions.write_text(f"extendedKeyUsage={usage}\nsubjectAltName=DNS:{host},IP:127.0.0.1\n")
    ask = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    ask += ["-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request)]
    grant = ["x509", "-req", "-in", str(request), "-CA", str(authority), "-CAcreateserial"]
    grant += ["-CAkey", str(authority.with_suffix(".key")), "-days", "30"]
    grant += ["-extfile", str(extensions), "-out", str(certificate)]
    for words in (ask, grant):
        subprocess.run(["openssl", *words], check=True, capture_output=True)
    return certificate, key


def der(path: Path) -> bytes:
    """Return the certificate of a file."""
    return ssl.PEM_cert_to_DER_cert(path.read_text())
