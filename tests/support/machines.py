"""The same project, built as on machines that have nothing in common but the inputs; what comes out must be one image.

`make repro` runs this module; `tests/projects/test_reproducible.py` tries the same on fewer machines.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.busybox_base import find_busybox, write_busybox_base
from tests.support.product import Product, report
from tests.support.unprivileged import (
    CHECKOUT,
    Person,
    install_product,
    missing_for_rootless,
    public_directory,
    unprivileged,
)

PROJECTS = CHECKOUT / "fixtures/projects"
COMPRESSIONS = ("gzip", "zstd", "uncompressed")

EPOCH = 2_000_000_000
"""Later than any clock says: what was read off one must not show although it is earlier."""

EARLIER = 1_700_000_000


class Machine(NamedTuple):
    """Where and how is built: `words` stand before the command, `environment` counts for it, `flags` go to the build."""

    name: str
    rootless: bool = False
    words: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    store: str = ""
    warm: bool = False


_ELSEWHERE = 'hostname elsewhere 2>/dev/null; umask 077; exec "$@"'

FIRST = Machine("first")
CACHED = Machine("cached", warm=True)
"""Its store has the steps of an earlier build, with another epoch."""

ELSEWHERE = Machine(
    "elsewhere",
    words=("unshare", "--uts", "taskset", "1", "sh", "-c", _ELSEWHERE, "sh"),
    environment=("TZ=Asia/Tokyo", "LC_ALL=C", "TMPDIR=/dev/shm", "HOME=/nowhere"),
    flags=("-j", "1"),
    store="/dev/shm",
)
"""Another host name, mask, time zone, language, home, number of processors, and a file system in memory."""

CHROOT = Machine("chroot", environment=("LAPSTRAKE_ISOLATION=chroot",))
USERNS = Machine("userns-root", environment=("LAPSTRAKE_ISOLATION=userns-root",))
ROOTLESS = Machine("rootless", rootless=True)
SINGLE_ID = Machine("single-id", rootless=True, environment=("LAPSTRAKE_ISOLATION=single-id",))
ALL = (FIRST, CACHED, ELSEWHERE, USERNS, CHROOT, ROOTLESS, SINGLE_ID)


class Ground(NamedTuple):
    """Where machines are: programs that everybody can execute, the archive of the base, room for stores."""

    place: Path
    programs: Path
    base: Path


@contextmanager
def ground() -> Iterator[Ground]:
    """Give the ground of one comparison."""
    busybox = find_busybox()
    assert busybox is not None, "busybox-static is not installed"
    with public_directory("lapstrake-repro-") as place:
        programs = install_product(place / "environment")
        tree = write_busybox_base(place / "busybox.tar", busybox)
        home = place / "home"
        home.mkdir()
        me = Product(programs, place / "base", Person(os.geteuid(), os.getegid(), home))
        me.run("import", tree, "busybox")
        me.run("save", "-o", place / "base.tar", "busybox")
        (place / "base.tar").chmod(0o644)
        yield Ground(place, programs, place / "base.tar")


def usable(machine: Machine) -> bool:
    """Tell whether this host can stand in for a machine."""
    if machine.rootless:
        return missing_for_rootless() is None
    if machine.store and not os.access(machine.store, os.W_OK):
        return False
    return os.geteuid() == 0


def images(machine: Machine, project: str, at: Ground) -> dict[str, str]:
    """Build a project on a machine; return the digest of its manifest by compression, and `id`."""
    person = unprivileged() if machine.rootless else Person(0, 0, at.place / "home")
    room = at.place / f"{machine.name}-{project}"
    room.mkdir()
    store = Path(machine.store or room) / f"{room.name}-store-{os.getpid()}"
    try:
        return _images(machine, project, at, person, room, store)
    finally:
        shutil.rmtree(store, ignore_errors=True)


def _images(
    machine: Machine, project: str, at: Ground, person: Person, room: Path, store: Path
) -> dict[str, str]:
    context = _checkout(PROJECTS / project, room / "context")
    os.chown(room, person.uid, person.gid)
    words = ("env", *machine.environment, f"SOURCE_DATE_EPOCH={EPOCH}", *machine.words)
    product = Product(at.programs, store, person, words)
    product.run("load", "-q", "-i", at.base)
    if machine.warm:
        other = Product(at.programs, store, person, ("env", f"SOURCE_DATE_EPOCH={EARLIER}"))
        other.run("build", "-q", _checkout(PROJECTS / project, room / "earlier"))
    found: dict[str, str] = {}
    for compression in COMPRESSIONS:
        archive = room / f"{compression}.tar"
        output = f"type=oci,dest={archive},rewrite-timestamp=true,compression={compression}"
        done = product.run("build", "-q", *machine.flags, "-o", output, context, code=None)
        assert done.returncode == 0, report(done)
        found["id"] = done.stdout.strip()
        with tarfile.open(archive) as layout:
            index = layout.extractfile("index.json")
            assert index is not None
            found[compression] = json.load(index)["manifests"][0]["digest"]
    return found


def _checkout(project: Path, target: Path) -> Path:
    """Copy a project as a checkout does: at any time, in any order."""
    for folder, folders, files in os.walk(project):
        there = target / Path(folder).relative_to(project)
        there.mkdir(exist_ok=True)
        names = [*files, *(name for name in folders if Path(folder, name).is_symlink())]
        random.shuffle(names)
        for name in names:
            source = Path(folder, name)
            if source.is_symlink():
                (there / name).symlink_to(source.readlink())
                continue
            shutil.copyfile(source, there / name)
            executable = source.stat().st_mode & 0o100
            (there / name).chmod(0o755 if executable else 0o644)
            time = random.randrange(1_000_000_000, EPOCH) + random.random()
            os.utime(there / name, (time, time))
    for folder, _, _ in os.walk(target):
        Path(folder).chmod(0o755)
    _write_archive(target / "archive.tar.gz")
    return target


def _write_archive(path: Path) -> None:
    """Write an archive whose times say something."""
    with tarfile.open(path, "w:gz") as archive:
        for name, time in (("old", 981_158_400), ("future", EPOCH + 5)):
            member = tarfile.TarInfo(name)
            member.mtime = time
            member.uid = member.gid = 7
            archive.addfile(member)


def main() -> int:
    """Compare all machines that this host can stand in for; return the exit code."""
    differing = 0
    with ground() as at:
        for project in ("hello", "static-site", "every-step"):
            expected: dict[str, str] = {}
            for machine in ALL:
                if not usable(machine):
                    print(f"{project}: {machine.name}: not possible here")
                    continue
                found = images(machine, project, at)
                expected = expected or found
                other = [key for key in COMPRESSIONS if found[key] != expected[key]]
                differing += bool(other)
                said = f"another image: {', '.join(other)}" if other else "the same"
                print(f"{project}: {machine.name}: {said}", flush=True)
            for compression in COMPRESSIONS:
                print(f"{project}: {compression}: {expected[compression]}")
    print("images differ" if differing else "every machine came to the same images")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
