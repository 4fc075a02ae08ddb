"""A Debian base image: a minimal bookworm with Python, made by `mmdebstrap` from the Debian archive.

One archive serves a whole day, so that only the first run of the tests waits for it:

    <temp>/lapstrake-tests-<uid>/debian-bookworm-<date>.tar
"""

from __future__ import annotations

import datetime
import fcntl
import os
import subprocess
import tempfile
from pathlib import Path

PACKAGES = "python3,python3-venv"


def debian_base() -> Path:
    """Return the tar of the base, made now if there is none of today; everybody may read it.

    Raises: CalledProcessError: the archive could not be reached, or mmdebstrap may not work here.
    """
    shared = Path(tempfile.gettempdir()) / f"lapstrake-tests-{os.getuid()}"
    shared.mkdir(mode=0o755, exist_ok=True)
    if shared.stat().st_uid != os.getuid():
        message = f"{shared} belongs to somebody else"
        raise PermissionError(message)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    target = shared / f"debian-bookworm-{today}.tar"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            for old in shared.glob("debian-bookworm-*.tar*"):
                old.unlink()
            _make(target)
    return target


def _make(target: Path) -> None:
    unfinished = target.with_suffix(".tar.new")
    # fmt: off
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "--format=tar",
         "bookworm", str(unfinished)],
        check=True, cwd="/", stdin=subprocess.DEVNULL,
    )
    # fmt: on
    unfinished.chmod(0o644)
    unfinished.rename(target)
