"""Walls with one user id: what a step pretends, and what is remembered of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.errors import Unsupported
from runtime.launch import Launcher
from runtime.ownership import ATTRIBUTE, owner_of
from runtime.spec import IsolationName
from tests.sandbox.harness import Ran, Sandbox


@pytest.fixture(scope="module")
def alone() -> Iterator[Launcher]:
    """A launcher behind these walls."""
    one = Launcher.spawn(("tests.sandbox.jobs.",))
    try:
        one.open(IsolationName.SINGLE_ID)
    except Unsupported as error:
        one.close()
        pytest.skip(error.message)
    yield one
    one.close()


@pytest.fixture
def box(alone: Launcher, image: Path, tmp_path: Path) -> Sandbox:
    return Sandbox(alone, tmp_path, image)


def owners(ran: Ran) -> dict[str, str]:
    """Return what is remembered of the files that a step wrote, and nothing of the others."""
    found = {}
    for path in sorted(ran.upper.rglob("*")):
        if ATTRIBUTE in os.listxattr(path, follow_symlinks=False):
            text = os.getxattr(path, ATTRIBUTE, follow_symlinks=False)
            found[str(path.relative_to(ran.upper))] = text.decode()
    return found


def test_owners_are_remembered_however_they_are_given(box: Sandbox) -> None:
    ran = box.run(
        "mkdir -p /d/e && touch /a /d/f /d/e/g && chown 33:44 /a && chown -R 7 /d && cd /d/e && chown :9 g"
        " && chown 5:5 ../f && ln -s /a /l && chown 1:2 /l && chown -h 3:4 /l && mv /a /b"
    )
    assert (ran.code, ran.err) == (0, "")
    # To change the group alone, this program names the owner that it sees.
    assert owners(ran) == {"b": "1:2", "d": "7:0", "d/e": "7:0", "d/e/g": "0:9", "d/f": "5:5"}


def test_a_change_of_owner_takes_set_id_bits_away_as_everywhere(box: Sandbox) -> None:
    ran = box.run("touch /a /b; chmod 6755 /a; chmod 2644 /b; chown 1 /a /b; stat -c %a /a /b")
    assert ran.out.split() == ["755", "2644"]


def test_what_is_not_there_has_no_owner(box: Sandbox) -> None:
    ran = box.run("chown 1 /nosuch; echo $?; chown 1 /etc/passwd/x; echo $?")
    assert ran.out == "1\n1\n"
    assert "No such file" in ran.err
    assert "Not a directory" in ran.err


@pytest.mark.parametrize("form", ["absolute", "climbing", "through cwd"])
def test_links_lead_nowhere_outside(box: Sandbox, tmp_path: Path, form: str) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").touch()
    target = str(victim) if form == "absolute" else "../../../../../../../.." + str(victim)
    enter = f"mkdir -p /in/{victim} && cd /in && " if form == "through cwd" else "cd / && "
    ran = box.run(f"{enter} ln -s {target} here; chown 1:1 here here/file; chown -R 1:1 here/.; :")
    assert ran.code == 0
    for path in (victim, victim / "file"):
        assert ATTRIBUTE not in os.listxattr(path)


def test_ids_capabilities_and_devices_are_pretended(box: Sandbox) -> None:
    ran = box.run(
        "mknod /mem c 1 1 && chroot / /bin/true && su -s /bin/sh ann -c 'id -u' && ls /mem"
    )
    assert ran.out == "0\n"
    assert "/mem" in ran.err


@pytest.mark.parametrize(
    ("user", "shown", "noted"), [("ann", "1000:1000", "1000:1000"), ("1234:7", "1234:7", "1234:7")]
)
def test_the_one_id_is_called_as_the_user(box: Sandbox, user: str, shown: str, noted: str) -> None:
    ran = box.run(
        "echo $(id -u):$(id -g); touch /tmp/x; chown $(id -u) /tmp/x && chown 0 /tmp/x;"
        "grep -e CapPrm -e CapBnd /proc/self/status",
        user=user,
    )
    assert ran.out.split() == [shown, "CapPrm:", "0" * 16, "CapBnd:", "00000000a80425fb"]
    assert "Operation not permitted" in ran.err
    assert (
        ran.upper.with_name(ran.upper.name.replace("upper", "work")) / "user"
    ).read_text() == noted


def test_a_step_that_forks_and_forks_is_answered(box: Sandbox) -> None:
    ran = box.run(
        "for i in 1 2 3 4 5 6 7 8; do (for j in 1 2 3 4 5 6 7 8; do touch /$i$j; chown $i:$j /$i$j; done) & done; wait"
    )
    assert ran.code == 0
    assert owners(ran) == {f"{i}{j}": f"{i}:{j}" for i in range(1, 9) for j in range(1, 9)}


@pytest.mark.parametrize(
    "text", [b"", b"1", b"1:", b":1", b"-1:0", b"1:4294967295", b"1:1:1", b"99999999999:1", b"a:b"]
)
def test_an_attribute_that_tells_no_owner_is_none(text: bytes) -> None:
    assert owner_of(text) is None
