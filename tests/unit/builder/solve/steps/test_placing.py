"""Where a step stands: which network, which names."""

from __future__ import annotations

import ipaddress

import pytest

from builder.errors import BuildError
from builder.graph.operations import RunOp
from builder.solve.steps.placing import files_of, hostname_of, network_of
from builder.solve.surroundings import Surroundings
from runtime.spec import IsolationName, Network

RUN = RunOp(argv=("true",), env=(), cwd="/", user="")
RESOLVER = "nameserver 1.2.3.4\nsearch a.example\noptions ndots:2\n"


def run(**changes: object) -> RunOp:
    return RunOp(argv=("true",), env=(), cwd="/", user="", **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("step", "build", "network"),
    [
        ("default", "default", Network.HOST),
        ("default", "host", Network.HOST),
        ("default", "none", Network.NONE),
        ("default", "private", Network.PRIVATE),
        ("none", "private", Network.NONE),
        ("host", "private", Network.HOST),
        ("none", "host", Network.NONE),
    ],
)
def test_a_step_has_the_network_of_its_build_unless_it_says_otherwise(
    step: str, build: str, network: Network
) -> None:
    assert network_of(run(network=step), Surroundings(network=build)) is network


def test_names_are_asked_of_what_carries_the_packets_where_the_host_would_not_be_reached() -> None:
    around = Surroundings(resolver=RESOLVER)
    assert dict(files_of(RUN, Network.HOST, around))["/etc/resolv.conf"] == RESOLVER.encode()
    private = dict(files_of(RUN, Network.PRIVATE, around))["/etc/resolv.conf"].decode()
    assert private == "nameserver 10.0.2.3\nsearch a.example\noptions ndots:2\n"


def test_further_hosts_stand_after_the_own_name() -> None:
    around = Surroundings(hosts=(("db", "10.0.0.5"),))
    hosts = dict(files_of(run(hostname="h"), Network.HOST, around))["/etc/hosts"].decode()
    assert hosts.splitlines()[0] == "127.0.0.1\tlocalhost h"
    assert hosts.splitlines()[-1] == "10.0.0.5\tdb"


@pytest.mark.enable_socket
@pytest.mark.parametrize("network", Network)
def test_this_host_is_loopback_only_where_that_is_shared(network: Network) -> None:
    around = Surroundings(hosts=(("me", "host-gateway"),))
    last = dict(files_of(RUN, network, around))["/etc/hosts"].decode().splitlines()[-1]
    address = ipaddress.ip_address(last.partition("\t")[0])
    if network is not Network.PRIVATE:
        assert address.is_loopback
    assert last.endswith("\tme")


def test_a_name_of_its_own_needs_walls() -> None:
    assert hostname_of(RUN, IsolationName.CHROOT) == "buildkitsandbox"
    assert hostname_of(run(hostname="h"), IsolationName.ROOT) == "h"
    with pytest.raises(BuildError, match="without walls"):
        hostname_of(run(hostname="h"), IsolationName.CHROOT)
