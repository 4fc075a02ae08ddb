"""Limits of a command that it would like to break: it hurts only itself, with control groups and without."""

from __future__ import annotations

import os
from pathlib import Path

from runtime import cgroups
from runtime.spec import ProcessLimit, Resources, Security
from tests.sandbox.harness import Sandbox
from tests.support.control_groups import groups, nothing_left_of_groups

BOMB = "f() { f | f & }; f; sleep 1"
HUNGRY = "tail -c 200000000 /dev/zero > /dev/null; exit $?"


def has_controller(name: str) -> bool:
    """Tell whether limits of this controller can be set here."""
    return os.geteuid() == 0 and name in {
        each for one in cgroups.here() for each in one.controllers
    }


def test_a_command_that_forks_wildly_is_held(sandbox: Sandbox) -> None:
    before = groups()
    ran = sandbox.run(BOMB, resources=Resources(pids=40))
    assert "can't fork" in ran.err
    if has_controller("pids"):
        assert (ran.unset, ran.reached) == ((), ("pids",))
    else:
        assert [each.limit for each in ran.unset] == ["pids=40"]
        assert "all processes of each user" in ran.unset[0].instead
    nothing_left_of_groups(before)
    assert sandbox.run("echo fine").out == "fine\n"


def test_a_command_that_eats_memory_is_ended(sandbox: Sandbox) -> None:
    before = groups()
    ran = sandbox.run(HUNGRY, resources=Resources(memory=32 << 20))
    if has_controller("memory"):
        assert ran.code == 137
        assert ran.reached == ("memory",)
    else:
        assert ran.code != 0
        assert "out of memory" in ran.err
        assert ran.unset[0].instead == "each process alone may have that much"
    nothing_left_of_groups(before)


def test_limits_of_processes_are_what_was_asked_for(sandbox: Sandbox) -> None:
    limits = (ProcessLimit("nofile", 100, 200), ProcessLimit("core", 0, 0))
    ran = sandbox.run("ulimit -Sn; ulimit -Hn; ulimit -c", limits=limits)
    assert ran.out.split() == ["100", "200", "0"]
    assert ran.unset == ()


def test_a_limit_that_may_not_be_raised_is_told_and_as_high_as_may_be(sandbox: Sandbox) -> None:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    ran = sandbox.run("ulimit -n", limits=(ProcessLimit("nofile", hard + 1, hard + 1),))
    assert ran.code == 0
    if ran.unset:  # not where the tests may raise limits
        assert ran.out.strip() == str(hard)
        assert ran.unset[0].instead == f"it is {hard}:{hard}"


def test_shared_memory_is_as_large_as_asked_for(sandbox: Sandbox) -> None:
    ran = sandbox.run(
        "dd if=/dev/zero of=/dev/shm/file bs=64k count=48; stat -c %s /dev/shm/file",
        shared_memory=1 << 20,
    )
    assert ran.out.strip() == str(1 << 20)
    assert "No space left" in ran.err


CAPABILITY_TO_MOUNT = 1 << 21


def test_a_command_that_may_do_everything_has_no_filter_no_masks_and_all_capabilities(
    sandbox: Sandbox,
) -> None:
    script = (
        "grep -E 'CapEff|CapBnd|^Seccomp:' /proc/self/status | cut -f 2; mkdir /m;"
        " mount -t tmpfs none /m && echo mounted; ls /dev"
    )
    ran = sandbox.run(script, security=Security.INSECURE)
    effective, bounding, seccomp, mounted, *devices = ran.out.split()
    assert effective == bounding
    assert int(effective, 16) & CAPABILITY_TO_MOUNT
    assert (seccomp, mounted) == ("0", "mounted")
    assert not Path("/dev/kmsg").exists() or "kmsg" in devices


def test_a_user_who_may_do_everything_has_all_capabilities_too(sandbox: Sandbox) -> None:
    ran = sandbox.run(
        "id -u; grep CapEff /proc/self/status | cut -f 2", user="7", security=Security.INSECURE
    )
    user, effective = ran.out.split()
    assert user == "7"
    assert int(effective, 16) & CAPABILITY_TO_MOUNT
