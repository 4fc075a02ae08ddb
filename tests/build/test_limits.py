"""What steps of a build may use and whom they know: names, networks, limits, and leave to do everything."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from builder.errors import RunFailed
from builder.events import Warned
from builder.solve.surroundings import Limits
from runtime import cgroups
from runtime.spec import ProcessLimit, Resources
from tests.build.workshop import Workshop

HOSTS = "RUN cat /etc/hosts | tail -n +3"


def test_hosts_are_found_by_steps_in_the_order_given(workshop: Workshop, context: Path) -> None:
    hosts = (("a", "1.2.3.4"), ("b", "2001:db8::1"), ("a", "5.6.7.8"), ("me", "host-gateway"))
    built = workshop.build(context, HOSTS, hosts=hosts)
    assert built.watch.output() == "1.2.3.4\ta\n2001:db8::1\tb\n5.6.7.8\ta\n127.0.0.1\tme\n"


def test_another_address_runs_nothing_again_and_another_name_does(
    workshop: Workshop, context: Path
) -> None:
    workshop.build(context, HOSTS, hosts=(("a", "1.2.3.4"),))
    assert workshop.build(context, HOSTS, hosts=(("a", "1.2.3.5"),)).executed == []
    assert workshop.build(context, HOSTS, hosts=(("b", "1.2.3.4"),)).executed == [HOSTS]


def test_limits_run_nothing_again(workshop: Workshop, context: Path) -> None:
    text = "RUN echo a >/limited-not"
    workshop.build(context, text)
    limits = Limits(processes=(ProcessLimit("core", 0, 0),), shared_memory=1 << 20)
    assert workshop.build(context, text, limits=limits).executed == []


def test_processes_and_shared_memory_are_limited(workshop: Workshop, context: Path) -> None:
    limits = Limits(processes=(ProcessLimit("nofile", 77, 88),), shared_memory=1 << 20)
    text = "RUN ulimit -Sn; ulimit -Hn; df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2"
    built = workshop.build(context, text, limits=limits)
    assert built.watch.output().split() == ["77", "88", "1024"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who owns control groups")
def test_a_step_that_reaches_a_limit_fails_with_the_limit(
    workshop: Workshop, context: Path
) -> None:
    if "memory" not in {each for one in cgroups.here() for each in one.controllers}:
        pytest.skip("needs the controller `memory` of control groups")
    error = workshop.refused(
        context,
        "RUN tail -c 200000000 /dev/zero >/x",
        limits=Limits(resources=Resources(memory=32 << 20)),
    )
    assert isinstance(error, RunFailed)
    assert error.notes[0] == "it reached the limit `memory=33554432`"


def test_a_limit_that_cannot_be_set_is_told_once(workshop: Workshop, context: Path) -> None:
    # No machine has this processor.
    limits = Limits(resources=Resources(cpuset_cpus="8000"))
    built = workshop.build(context, "RUN echo told\nRUN echo told again", limits=limits)
    warnings = [each.diagnostic for each in built.watch.events if isinstance(each, Warned)]
    assert [each.code for each in warnings] == ["build.limit-unset"]
    assert "`cpuset-cpus=8000` cannot be set here" in warnings[0].message
    assert warnings[0].notes == ("the steps run without it",)


def test_the_host_has_the_name_that_an_argument_gives(workshop: Workshop, context: Path) -> None:
    text = "RUN hostname; head -n 1 /etc/hosts"
    arguments = (("BUILDKIT_SANDBOX_HOSTNAME", "my.host"),)
    built = workshop.build(context, text, build_args=arguments)
    assert built.watch.output() == "my.host\n127.0.0.1\tlocalhost my.host\n"
    assert workshop.build(context, text).executed == [text]


def test_a_step_may_do_everything_only_with_leave(workshop: Workshop, context: Path) -> None:
    text = "RUN --security=insecure mkdir /m && mount -t tmpfs none /m && echo mounted"
    error = workshop.refused(context, text)
    assert error.code == "build.not-allowed"
    assert error.span is not None
    assert error.span.line == 2
    assert error.hint == "if you trust the Dockerfile, give `--allow security.insecure`"
    built = workshop.build(context, text, allow=frozenset({"security.insecure"}))
    assert built.watch.output() == "mounted\n"


def test_a_step_that_nothing_needs_needs_no_leave(workshop: Workshop, context: Path) -> None:
    text = "FROM base AS one\nRUN --security=insecure true\nFROM base\nRUN true"
    assert workshop.build(context, text).executed == ["RUN true"]


def test_leave_to_do_everything_makes_another_step(workshop: Workshop, context: Path) -> None:
    workshop.build(context, "RUN echo insecure")
    built = workshop.build(
        context, "RUN --security=insecure echo insecure", allow=frozenset({"security.insecure"})
    )
    assert built.executed == ["RUN --security=insecure echo insecure"]


@pytest.mark.parametrize("network", ["private", "none"])
def test_the_hosts_network_needs_leave_where_the_build_has_another(
    workshop: Workshop, context: Path, network: str
) -> None:
    text = f"RUN --network=host : {network}; ls /sys/class/net"
    error = workshop.refused(context, text, network=network)
    assert error.code == "build.not-allowed"
    assert error.notes == (f"the build has `--network {network}`, and this step would leave it",)
    allowed = workshop.build(context, text, network=network, allow=frozenset({"network.host"}))
    assert sorted(allowed.watch.output().split()) == sorted(os.listdir("/sys/class/net"))


def test_a_network_that_is_none_is_refused(workshop: Workshop, context: Path) -> None:
    assert workshop.refused(context, "RUN true", network="bridge").code == "usage"


def test_the_hosts_network_needs_no_leave_where_the_build_has_it(
    workshop: Workshop, context: Path
) -> None:
    workshop.build(context, "RUN --network=host true")


@pytest.mark.skipif(
    not os.access("/dev/net/tun", os.R_OK | os.W_OK) or shutil.which("slirp4netns") is None,
    reason="optional: needs slirp4netns and /dev/net/tun",
)
def test_a_private_network_is_what_default_means_then(workshop: Workshop, context: Path) -> None:
    text = """
    RUN ls /sys/class/net; head -n 1 /etc/resolv.conf
    RUN --network=none ls /sys/class/net
    """
    built = workshop.build(context, text, network="private")
    assert built.watch.output().split() == ["lo", "tap0", "nameserver", "10.0.2.3", "lo"]
    assert workshop.build(context, text).executed == []
