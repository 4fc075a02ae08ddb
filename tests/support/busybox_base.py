"""A base image of one static busybox: a root file system as a tar, made from Debian's `busybox-static`.

    python -m tests.support.busybox_base OUT.tar [BUSYBOX]

Same input, same bytes: entries are sorted, times are zero.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
GROUP = "root:x:0:\nnogroup:x:65534:\n"
DIRECTORIES = {
    "bin": 0o755,
    "dev": 0o755,
    "etc": 0o755,
    "proc": 0o755,
    "root": 0o700,
    "sys": 0o755,
    "tmp": 0o1777,
    "usr": 0o755,
    "usr/bin": 0o755,
    "usr/local": 0o755,
    "usr/local/bin": 0o755,
    "var": 0o755,
}


def find_busybox() -> Path | None:
    """Return the machine's statically linked busybox."""
    found = shutil.which("busybox", path="/bin:/usr/bin")
    if found is None:
        return None
    path = Path(found).resolve()
    # A dynamically linked program names its loader; in an image without libraries it would not start.
    return None if b"/ld-linux" in path.read_bytes() else path


def write_busybox_base(target: Path, busybox: Path, *, lister: Path | None = None) -> Path:
    """Write a root file system with `busybox` and a link for each of its applets, which `lister` names, to `target`."""
    applets = subprocess.run(
        [lister or busybox, "--list"], check=True, capture_output=True, text=True
    ).stdout.split()
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, mode in DIRECTORIES.items():
            member = tarfile.TarInfo(name)
            member.type, member.mode = tarfile.DIRTYPE, mode
            archive.addfile(member)
        _add_file(archive, "bin/busybox", busybox.read_bytes(), 0o755)
        _add_file(archive, "etc/group", GROUP.encode(), 0o644)
        _add_file(archive, "etc/passwd", PASSWD.encode(), 0o644)
        for applet in sorted(set(applets) - {"busybox"}):
            member = tarfile.TarInfo(f"bin/{applet}")
            member.type, member.linkname, member.mode = tarfile.SYMTYPE, "busybox", 0o777
            archive.addfile(member)
    return target


def _add_file(archive: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), mode
    archive.addfile(member, io.BytesIO(data))


def main(arguments: list[str]) -> int:
    """Write the archive that the command line names."""
    if len(arguments) not in {1, 2}:
        print("usage: python -m tests.support.busybox_base OUT.tar [BUSYBOX]", file=sys.stderr)
        return 2
    busybox = Path(arguments[1]) if len(arguments) == 2 else find_busybox()
    if busybox is None:
        print("no statically linked busybox: apt-get install busybox-static", file=sys.stderr)
        return 1
    write_busybox_base(Path(arguments[0]), busybox)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
