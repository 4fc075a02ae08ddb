"""The static busybox of another architecture, from Debian's package, without anything being installed.

One serves a whole day, so that only the first run of the tests waits for it:

    <temp>/lapstrake-tests-<uid>/busybox-<architecture>-<date>
"""

from __future__ import annotations

import datetime
import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.busybox_base import find_busybox, write_busybox_base

SETTINGS = """
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "";
Dir::State "{place}/state";
Dir::State::status "/dev/null";
Dir::Cache "{place}/cache";
"""


def foreign_busybox(architecture: str) -> Path:
    """Return the program, fetched now if there is none of today; everybody may execute it.

    Raises: CalledProcessError: the Debian archive could not be reached.
    """
    shared = Path(tempfile.gettempdir()) / f"lapstrake-tests-{os.getuid()}"
    shared.mkdir(mode=0o755, exist_ok=True)
    if shared.stat().st_uid != os.getuid():
        message = f"{shared} belongs to somebody else"
        raise PermissionError(message)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    target = shared / f"busybox-{architecture}-{today}"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            for old in shared.glob(f"busybox-{architecture}-*"):
                old.unlink()
            _fetch(architecture, target)
    return target


def write_foreign_base(target: Path, architecture: str) -> Path:
    """Write a root file system of another architecture's busybox; both have the same applets."""
    own = find_busybox()
    assert own is not None
    return write_busybox_base(target, foreign_busybox(architecture), lister=own)


def _fetch(architecture: str, target: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for directory in ("state/lists/partial", "cache/archives/partial"):
            place.joinpath(directory).mkdir(parents=True)
        settings = place / "apt.conf"
        settings.write_text(SETTINGS.format(architecture=architecture, place=place))
        environment = {**os.environ, "APT_CONFIG": str(settings)}
        for words in (["apt-get", "-q", "update"], ["apt-get", "-q", "download", "busybox-static"]):
            subprocess.run(words, check=True, cwd=place, env=environment, capture_output=True)
        (package,) = place.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", package, place / "files"], check=True)
        unfinished = target.with_suffix(".new")
        shutil.copyfile(place / "files/bin/busybox", unfinished)
        unfinished.chmod(0o755)
        unfinished.rename(target)
