"""The base images of the cases, written with the standard library alone: one layer, four configurations.

| name           | configuration |
|----------------|---------------|
| `case-base`    | nothing but PATH and `/` as working directory |
| `case-bare`    | nothing at all, not even PATH |
| `case-rich`    | every setting that an image can have |
| `case-trigger` | PATH and ONBUILD triggers |
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from tests.support.busybox_base import write_busybox_base

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CREATED = "2020-01-02T03:04:05Z"
MODIFIED = 1_500_000_000  # seconds: older than anything that a case makes

# Files under /given: name -> (type, mode, uid, gid, text or link target).
GIVEN: dict[str, tuple[bytes, int, int, int, str]] = {
    "given": (tarfile.DIRTYPE, 0o755, 0, 0, ""),
    "given/file": (tarfile.REGTYPE, 0o640, 5, 6, "given\n"),
    "given/other": (tarfile.REGTYPE, 0o644, 0, 0, "other\n"),
    "given/empty": (tarfile.REGTYPE, 0o600, 0, 0, ""),
    "given/set-id": (tarfile.REGTYPE, 0o6755, 5, 6, "set-id\n"),
    "given/capable": (tarfile.REGTYPE, 0o755, 0, 0, "capable\n"),
    "given/hard-1": (tarfile.REGTYPE, 0o644, 0, 0, "hard\n"),
    "given/hard-2": (tarfile.LNKTYPE, 0o644, 0, 0, "given/hard-1"),
    "given/fifo": (tarfile.FIFOTYPE, 0o644, 0, 0, ""),
    "given/link": (tarfile.SYMTYPE, 0o777, 0, 0, "file"),
    "given/link-to-directory": (tarfile.SYMTYPE, 0o777, 0, 0, "directory"),
    "given/absolute-link": (tarfile.SYMTYPE, 0o777, 0, 0, "/given/directory"),
    "given/outward-link": (tarfile.SYMTYPE, 0o777, 0, 0, "../../../../given/directory"),
    "given/dangling": (tarfile.SYMTYPE, 0o777, 0, 0, "nowhere/yet"),
    "given/directory": (tarfile.DIRTYPE, 0o750, 7, 8, ""),
    "given/directory/inner": (tarfile.REGTYPE, 0o604, 9, 10, "inner\n"),
    "given/directory/deeper": (tarfile.DIRTYPE, 0o711, 0, 0, ""),
    "given/directory/deeper/leaf": (tarfile.REGTYPE, 0o644, 0, 0, "leaf\n"),
    "given/sticky": (tarfile.DIRTYPE, 0o1777, 0, 0, ""),
    "given/owned-by-app": (tarfile.DIRTYPE, 0o700, 1001, 1002, ""),
}
# cap_net_bind_service=ep in the second revision of the kernel's format (linux/capability.h, vfs_cap_data).
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
PASSWD = (
    "root:x:0:0:root:/root:/bin/sh\n"
    "app:x:1001:1002:the application:/home/app:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/:/bin/false\n"
)
GROUP = "root:x:0:\napp:x:1002:\nextra:x:1003:app,other\nmore:x:1004:app\nnogroup:x:65534:\n"

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "case-base": {"Env": [PATH], "WorkingDir": "/"},
    "case-bare": {},
    "case-rich": {
        "Env": [PATH, "RICH=very", "COLOUR=blue"],
        "Entrypoint": ["/bin/rich"],
        "Cmd": ["rich-command"],
        "User": "app",
        "WorkingDir": "/srv/work",
        "ExposedPorts": {"8080/tcp": {}},
        "Volumes": {"/data": {}},
        "Labels": {"base": "rich", "kept": "yes"},
        "StopSignal": "SIGQUIT",
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 7_000_000_000, "Retries": 2},
        "Shell": ["/bin/sh", "-ec"],
    },
    "case-trigger": {
        "Env": [PATH],
        "WorkingDir": "/",
        "OnBuild": [
            "ENV TRIGGERED=yes",
            "COPY trigger.txt /triggered/",
            "RUN echo $TRIGGERED >/ran",
        ],
    },
}


def write_bases(folder: Path, busybox: Path) -> dict[str, str]:
    """Write an OCI layout with all bases to `folder`; return the digest of each one's manifest."""
    layer = _layer(folder, busybox)
    digests, manifests = {}, []
    for name, configuration in CONFIGURATIONS.items():
        config = {
            "architecture": "amd64",
            "os": "linux",
            "created": CREATED,
            "config": configuration,
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            "history": [{"created": CREATED, "created_by": "made for the conformance cases"}],
        }
        if name == "case-rich":
            config["author"] = "the author of the base"
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _blob(folder, _json(config), "application/vnd.oci.image.config.v1+json"),
            "layers": [_blob(folder, layer, "application/vnd.oci.image.layer.v1.tar")],
        }
        descriptor = _blob(folder, _json(manifest), str(manifest["mediaType"]))
        digests[name] = str(descriptor["digest"])
        names = {
            "io.containerd.image.name": f"docker.io/library/{name}:latest",
            "org.opencontainers.image.ref.name": "latest",
        }
        manifests.append({**descriptor, "annotations": names})
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    }
    (folder / "index.json").write_bytes(_json(index))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    return digests


def write_archive(target: Path, layout: Path) -> Path:
    """Put the layout `layout` into an archive that `load` reads."""
    with tarfile.open(target, "w") as archive:
        for name in ("oci-layout", "index.json", "blobs"):
            archive.add(layout / name, name)
    return target


def _layer(folder: Path, busybox: Path) -> bytes:
    folder.mkdir(parents=True, exist_ok=True)
    path = write_busybox_base(folder / "layer.tar", busybox)
    with tarfile.open(path, "a", format=tarfile.PAX_FORMAT) as archive:
        for name, text in (("etc/passwd", PASSWD), ("etc/group", GROUP)):
            _add(archive, name, (tarfile.REGTYPE, 0o644, 0, 0, text))
        for name, given in GIVEN.items():
            _add(archive, name, given)
    data = path.read_bytes()
    path.unlink()
    return data


def _add(archive: tarfile.TarFile, name: str, given: tuple[bytes, int, int, int, str]) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.uid, member.gid, text = given
    member.mtime = MODIFIED
    data = b""
    if member.type == tarfile.REGTYPE:
        data = text.encode()
        member.size = len(data)
    else:
        member.linkname = text
    if name == "given/capable":
        value = CAPABILITY.decode("utf-8", "surrogateescape")
        member.pax_headers = {"SCHILY.xattr.security.capability": value}
    archive.addfile(member, io.BytesIO(data))


def _blob(folder: Path, data: bytes, media_type: str) -> dict[str, Any]:
    digest = _digest(data)
    path = folder / "blobs" / digest.replace(":", "/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True).encode()
