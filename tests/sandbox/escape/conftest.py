"""A victim outside of the sandbox, a program that attacks, and a launcher that inherits what it should not pass on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from runtime import isolation
from runtime.errors import Unsupported
from runtime.features import Features
from runtime.launch import Launcher
from runtime.spec import IsolationName
from runtime.syscalls import Syscalls
from tests.sandbox.escape import switches
from tests.sandbox.escape.ground import LEAKED, SECRET_NAME, Attack
from tests.sandbox.harness import walls
from tests.support.rootfs import BUSYBOX, make_rootfs
from tests.support.unprivileged import missing_for_rootless
from tests.support.victim import compile_attack, fingerprint, make_victim


@pytest.fixture(scope="session")
def victim_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of the host with a bit of everything."""
    return make_victim(tmp_path_factory.mktemp("victim") / SECRET_NAME)


@pytest.fixture(autouse=True)
def victim(victim_directory: Path) -> Iterator[Path]:
    """The victim, which is the same after the test as before."""
    before = fingerprint(victim_directory)
    yield victim_directory
    assert fingerprint(victim_directory) == before


@pytest.fixture(scope="session")
def attack_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of all attacks, which needs nothing of an image."""
    return compile_attack(tmp_path_factory.mktemp("attack") / "attack")


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory, attack_program: Path) -> Path:
    """The image of the attackers."""
    image = make_rootfs(tmp_path_factory.mktemp("image") / "complete")
    shutil.copy(attack_program, image / "bin/attack")
    return image


@pytest.fixture(scope="session")
def launcher(victim_directory: Path) -> Iterator[Launcher]:
    """A launcher forked from the tests, so that it is made of the code which these have, switched off or not."""
    if not BUSYBOX.exists():
        pytest.skip("busybox is not installed (package busybox-static)")
    if os.geteuid() != 0 and (reason := missing_for_rootless()):
        pytest.skip(reason)
    switches.switch_off_what_is_asked()
    leaked = os.open(victim_directory, os.O_RDONLY)
    os.dup2(leaked, LEAKED, inheritable=True)
    os.close(leaked)
    one = Launcher.fork(("tests.sandbox.jobs.",))
    try:
        one.open(walls())
    except Unsupported as error:
        one.close()
        pytest.skip(error.message)
    yield one
    one.close()
    os.close(LEAKED)


@pytest.fixture
def attack(launcher: Launcher, image: Path, tmp_path: Path) -> Attack:
    """Attacks from inside a sandbox."""
    return Attack(launcher, tmp_path, image)


@pytest.fixture
def attack_with_the_hosts_sysfs(
    victim_directory: Path, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Attack]:
    """Attacks where sysfs is that of the host, as it is without root and with the host's network."""
    probe = isolation.probe

    def as_without_root(*arguments: object, **_: object) -> Features:
        return msgspec.structs.replace(probe(*arguments, own_ids=False), own_ids=True)

    if walls() is IsolationName.ROOT:
        monkeypatch.setattr(isolation, "probe", as_without_root)
    switches.switch_off_what_is_asked()
    one = Launcher.fork()
    one.open(walls())
    yield Attack(one, tmp_path, image)
    one.close()


@pytest.fixture
def attack_without_a_filter(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Attack]:
    """Attacks on what stands behind the filter."""
    monkeypatch.setattr(Syscalls, "load_filter", lambda *_: None)
    switches.switch_off_what_is_asked()
    one = Launcher.fork()
    one.open(walls())
    yield Attack(one, tmp_path, image)
    one.close()
