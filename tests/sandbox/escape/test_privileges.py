"""What root in a step may do: what Docker's may, whatever it tries."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from runtime.seccomp_names import numbers
from runtime.spec import Network
from tests.sandbox.escape.ground import Attack, refused
from tests.support.machine_code import i386_program

NAMESPACES = {
    "time": 0x80,
    "mount": 0x20000,
    "cgroup": 0x2000000,
    "uts": 0x4000000,
    "ipc": 0x8000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
users = pytest.mark.parametrize("user", ["", "ann"])


@users
def test_calls_that_reach_past_walls_are_refused(attack: Attack, user: str) -> None:
    ran = attack("calls", user=user)
    assert refused(ran), ran.out


@users
@pytest.mark.parametrize("kind", NAMESPACES.values(), ids=NAMESPACES)
def test_a_step_makes_no_namespace(attack: Attack, kind: int, user: str) -> None:
    if kind == 0x80:  # a signal number to `clone`; `unshare` alone makes these
        assert "clone" not in attack("unshare", "0x80", user=user).out.partition("reached")[0]
        return
    assert refused(attack("unshare", hex(kind), user=user))


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="optional: i386 is a sibling of x86-64")
def test_a_step_makes_no_namespace_by_a_call_of_i386(attack: Attack, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    program = layer / "program"
    program.write_bytes(i386_program((numbers("i386")["unshare"], 0x10000000)))
    program.chmod(0o755)
    ran = attack.run("/program", "x", lowers=(layer, attack.image))
    if ran.code == 127 or ran.code == 126:
        pytest.skip("optional: this kernel runs no i386 programs")
    assert ran.code == errno.EPERM


def test_root_has_no_right_beyond_dockers(attack: Attack) -> None:
    assert refused(attack("link-down", network=Network.NONE))


def test_a_set_id_program_gives_no_right_beyond_dockers(attack: Attack, tmp_path: Path) -> None:
    ran = attack.run(
        "cp /bin/attack /tmp/a && chmod 4755 /tmp/a && chroot / /bin/busybox su -s /bin/sh ann -c '/tmp/a link-down'"
        " || /bin/busybox setpriv --reuid 1000 /tmp/a link-down",
        network=Network.NONE,
    )
    assert "reached" not in ran.out
    assert "SIOCSIFFLAGS" in ran.out


def test_handles_of_files_open_nothing(attack: Attack) -> None:
    for path in ("/", "/etc", "/dev", "/proc"):
        assert refused(attack("handle", path))


def test_handles_open_nothing_without_the_filter_either(attack_without_a_filter: Attack) -> None:
    assert refused(attack_without_a_filter("handle", "/"))


def test_mounts_stay_where_they_are_by_capabilities_alone(attack_without_a_filter: Attack) -> None:
    assert refused(attack_without_a_filter("mounts"))


def test_a_limit_of_the_caller_is_not_raised(attack: Attack) -> None:
    ran = attack.run("ulimit -Hn 99999999 2>&1 || echo kept")
    assert "kept" in ran.out or "rror" in ran.out


def test_files_of_a_step_are_for_everybody_to_read_and_nobody_to_write(attack: Attack) -> None:
    ran = attack.run("touch /file; mkdir /directory; stat -c %a /file /directory")
    assert ran.out.split() == ["644", "755"]


def test_signals_are_taken_as_a_fresh_login_takes_them(attack: Attack) -> None:
    ran = attack.run("/bin/grep", "-e", "SigIgn", "-e", "SigBlk", "/proc/self/status")
    assert ran.out.split() == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16]
