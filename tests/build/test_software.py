"""Ordinary software is installed behind every kind of walls: packages with users and set-id programs, a compiler, wheels."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.debian_base import debian_base
from tests.support.hosts import DOCKER, ON_OVERLAY, WITHOUT_MOUNTS
from tests.support.product import Product
from tests.support.unprivileged import (
    CHECKOUT,
    Person,
    install_product,
    missing_for_rootless,
    public_directory,
    unprivileged,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs_network,
    pytest.mark.needs_root,
    pytest.mark.skipif(os.geteuid() != 0, reason="optional: simulating hosts needs root"),
]

DOCKERFILE = """
FROM debian
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    openssh-server dbus cron gcc libc6-dev
RUN printf 'int main(void) { return 7; }' > /x.c && gcc -o /x /x.c && { /x; test $? = 7; }
COPY wheels /wheels
RUN python3 -m venv /v && /v/bin/pip install --no-index --find-links /wheels click && /v/bin/python -c 'import click'
RUN useradd -m ann && install -o ann -g ann -m 600 /x.c /home/ann/x.c && rm /x.c
USER ann
RUN test "$(id -un)" = ann && touch /home/ann/own && ! rm /home/ann/nosuch
"""

OWNED = {
    "usr/bin/crontab": (0, "crontab"),
    "usr/bin/ssh-agent": (0, "_ssh"),
    "usr/lib/dbus-1.0/dbus-daemon-launch-helper": (0, "messagebus"),
    "var/spool/cron/crontabs": (0, "crontab"),
    "etc/shadow": (0, "shadow"),
    "home/ann": ("ann", "ann"),
    "home/ann/x.c": ("ann", "ann"),
    "home/ann/own": ("ann", "ann"),
}


class Way(NamedTuple):
    """How the product is run: behind which walls, before which words, as whom."""

    walls: str
    prefix: tuple[str, ...] = ()
    unprivileged: bool = False


WAYS = {
    "root": Way("root"),
    "root, the store on an overlay": Way("root"),
    "userns-root": Way("userns-root", WITHOUT_MOUNTS.prefix),
    "rootless": Way("rootless", unprivileged=True),
    "single-id": Way("single-id", unprivileged=True),
    "chroot, in a container of Docker's": Way("chroot", DOCKER.prefix),
}


@pytest.fixture(scope="module")
def ground() -> Iterator[Path]:
    with public_directory("lapstrake-software-") as path:
        yield path


@pytest.fixture(scope="module")
def context(ground: Path) -> Path:
    place = ground / "context"
    (place / "wheels").mkdir(parents=True)
    # fmt: off
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--dest", place / "wheels", "click"],
        capture_output=True, text=True,
    )
    # fmt: on
    if done.returncode != 0:
        pytest.skip(f"the wheel cannot be fetched: {done.stderr.strip().splitlines()[-1]}")
    (place / "Dockerfile").write_text(DOCKERFILE)
    subprocess.run(["chmod", "-R", "a+rX", place], check=True)
    return place


def product(way: Way, ground: Path) -> Product:
    """Return the product as it is run in a way, with an empty store."""
    environment = ("env", f"LAPSTRAKE_ISOLATION={way.walls}", f"PYTHONPATH={CHECKOUT}")
    if not way.unprivileged:
        home = ground / "home"
        home.mkdir(exist_ok=True)
        person, programs = Person(0, 0, home), Path(sys.executable).parent
    else:
        if reason := missing_for_rootless():
            pytest.skip(reason)
        person, programs = unprivileged(), ground / "environment/bin"
        if not programs.exists():
            install_product(ground / "environment")
    private = ground / f"{way.walls}-{len(list(ground.iterdir()))}"
    private.mkdir()
    os.chown(private, person.uid, person.gid)
    prefix = (*environment, *way.prefix)
    return Product(programs, private / "store", person, prefix)


def accounts(archive: tarfile.TarFile, path: str) -> dict[str, int]:
    """Return the numbers of names in a file such as passwd."""
    file = archive.extractfile(path)
    assert file is not None
    lines = file.read().decode().splitlines()
    return {name: int(number) for name, _, number, *_ in (line.split(":") for line in lines)}


@pytest.mark.parametrize("name", WAYS)
def test_software_is_installed_with_its_owners(name: str, context: Path, ground: Path) -> None:
    one = product(WAYS[name], ground)
    archive = one.root.with_name("image.tar")
    # fmt: off
    commands = [
        one.command("import", debian_base(), "debian"),
        one.command("build", "--progress", "plain", "-o", f"type=tar,dest={archive}", context),
    ]
    # fmt: on
    if "overlay" in name:
        place = one.root
        place.mkdir()
        script = " && ".join(" ".join(f"'{word}'" for word in command) for command in commands)
        both = ["sh", "-ec", script]
        commands = [ON_OVERLAY.command(place, *both)]
    for command in commands:
        done = one.person.run(command, timeout=1500)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    with tarfile.open(archive) as tree:
        users, groups = accounts(tree, "etc/passwd"), accounts(tree, "etc/group")
        members = {member.name: member for member in tree}
    found = {path: (members[path].uid, members[path].gid) for path in OWNED}
    assert found == {
        path: (users.get(str(user), user), groups[group]) for path, (user, group) in OWNED.items()
    }
    assert members["usr/bin/ssh-agent"].mode == 0o2755
    assert "etc/apt/apt.conf.d/99-single-id" not in members
    assert not [path for path in members if path.startswith("proc/")]
    archive.unlink()
