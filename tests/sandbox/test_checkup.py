"""What a host allows, as it is found by trying; some hosts are simulated."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap

import pytest

from runtime import cgroups
from runtime.checkup import (
    LIMITS,
    try_filter,
    try_limits,
    try_own_network,
    try_private_network,
    try_walls,
)
from runtime.spec import IsolationName
from tests.sandbox.harness import walls
from tests.support.control_groups import groups, nothing_left_of_groups

# A container of Docker's: fourteen capabilities, and its filter. What is to be tried is appended.
IN_A_CONTAINER = """
    import json, sys
    sys.path[:] = json.loads(sys.argv[1])
    import os
    from runtime import capabilities, seccomp
    from runtime.syscalls import Syscalls
    calls = Syscalls()
    for capability in capabilities.to_drop(40):
        calls.drop_bounding(capability)
    calls.load_filter(seccomp.program(os.uname().machine))
    calls.become(0, 0, (0,))
    calls.set_capabilities(capabilities.DEFAULT_MASK)
"""


def in_a_container(code: str) -> object:
    """Return what `code` prints as JSON, run by root in a container with Docker's default profile."""
    if os.geteuid() != 0:
        pytest.skip("optional: to simulate a container needs root")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(IN_A_CONTAINER) + textwrap.dedent(code),
            json.dumps(sys.path),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_the_walls_of_this_host_can_be_entered_and_trying_changes_nothing() -> None:
    before = [os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "user")]
    assert try_walls(walls()).ok
    assert try_walls(IsolationName.AUTO).ok
    assert try_filter(walls()).ok
    assert try_own_network(walls()).ok
    assert [os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "user")] == before


def test_walls_that_are_refused_say_why_and_what_would_help() -> None:
    if os.geteuid() == 0:
        attempt = try_walls(IsolationName.ROOTLESS)
        if attempt.ok:
            pytest.skip("optional: root has subordinate ids here")
        assert "/etc/subuid" in attempt.reason
        assert "usermod" in attempt.hint
    else:
        assert try_walls(IsolationName.ROOT).reason == "it needs user 0"


def test_a_container_with_dockers_profile_has_no_walls_and_knows_why() -> None:
    found = in_a_container(
        """
        from runtime.checkup import WALLS, try_walls
        print(json.dumps({name.value: [a.ok, a.reason, a.hint] for name in WALLS for a in [try_walls(name)]}))
        """
    )
    assert isinstance(found, dict)
    assert [name for name, (ok, _, _) in found.items() if ok] in ([], ["chroot"])
    assert "CAP_SYS_ADMIN" in found["root"][1]
    assert "the kernel refused it" in found["userns-root"][1]
    assert "seccomp=unconfined" in found["userns-root"][2]


def test_doctor_says_what_to_change_in_such_a_container() -> None:
    report = in_a_container(
        """
        import msgspec
        from builder.engine.doctor import examine
        from builder.settings import current
        report = examine(current("/tmp/no-such-store"))
        print(json.dumps({"can": report.can_build, **msgspec.to_builtins(report)}))
        """
    )
    assert isinstance(report, dict)
    assert report["can"] is False
    assert report["isolation"] == ""
    [auto] = [each for each in report["findings"] if each["name"] == "auto"]
    assert not auto["ok"]
    assert auto["change"]


def test_limits_are_tried_one_by_one_and_nothing_is_left() -> None:
    before = groups()
    attempts = try_limits(walls())
    nothing_left_of_groups(before)
    assert attempts.keys() == LIMITS.keys()
    there = {each for one in cgroups.here() for each in one.controllers}
    for name, attempt in attempts.items():
        assert attempt.ok or attempt.reason
        if os.geteuid() == 0 and name in there:
            assert attempt.ok


def test_a_private_network_is_tried_to_its_end() -> None:
    attempt = try_private_network(walls())
    usable = os.access("/dev/net/tun", os.R_OK | os.W_OK)
    if usable and shutil.which("slirp4netns"):
        assert attempt.ok
    elif not usable:
        assert "/dev/net/tun" in attempt.reason
        assert attempt.hint
