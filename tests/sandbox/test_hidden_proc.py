"""In a container that hides parts of /proc, a user namespace gets no fresh one: what works, and what is not shown.

`test_hosts` starts these inside of a simulated container; elsewhere they are not collected (`conftest`).
"""

from __future__ import annotations

import os
from pathlib import Path

from runtime.spec import Network
from tests.sandbox.harness import Sandbox


def test_a_command_finds_itself(sandbox: Sandbox) -> None:
    ran = sandbox.run(
        "grep -c Name: /proc/self/status; echo a > /dev/stderr; cat /dev/fd/0 < /bin/sh | wc -c"
    )
    assert (ran.code, ran.err) == (0, "a\n")
    assert ran.out.split()[0] == "1"


def test_processes_of_the_container_cannot_be_looked_into(sandbox: Sandbox) -> None:
    outer = os.getpid()
    ran = sandbox.run(
        f"cat /proc/{outer}/comm; for f in environ maps; do cat /proc/{outer}/$f; done;"
        f"ls /proc/{outer}/root/ /proc/{outer}/cwd/; cat /proc/{outer}/fd/0"
    )
    shown = Path(f"/proc/{outer}/comm").read_text()
    assert ran.out == shown
    assert ran.err.count("Permission denied") == 5


def test_what_is_hidden_stays_hidden_and_what_is_frozen_frozen(sandbox: Sandbox) -> None:
    ran = sandbox.run(
        "wc -c < /proc/timer_list; ls /sys/firmware; umount /proc/timer_list; umount /proc/sys;"
        "for f in /proc/sys/kernel/hostname /proc/sysrq-trigger; do (echo x > $f) 2>&- && echo wrote; done"
    )
    assert ran.out == "0\n"


def test_sys_is_read_only_on_a_network_of_its_own_too(sandbox: Sandbox) -> None:
    ran = sandbox.run(
        "ls /sys/kernel | wc -l; grep ' /sys ' /proc/self/mountinfo", network=Network.NONE
    )
    lines = ran.out.splitlines()
    assert int(lines[0]) > 0
    assert " ro," in lines[1]


def test_nothing_is_left_running(sandbox: Sandbox) -> None:
    assert sandbox.run("sleep 4321 & true").code == 0
    names = [Path(f"/proc/{pid}/cmdline") for pid in os.listdir("/proc") if pid.isdecimal()]
    assert not [path for path in names if path.exists() and b"\x004321" in path.read_bytes()]
