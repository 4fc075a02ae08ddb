"""What is written for limits and hosts of steps, and what it means."""

from __future__ import annotations

import pytest

from builder.cli.limits import hosts_of
from builder.solve.surroundings import Limits
from runtime.spec import ProcessLimit, Resources
from tests.unit.builder.cli.fake import refusal, request_of


@pytest.mark.parametrize(
    ("word", "host"),
    [
        ("a:1.2.3.4", ("a", "1.2.3.4")),
        ("A.example=1.2.3.4", ("a.example", "1.2.3.4")),
        ("a=2001:DB8::1", ("a", "2001:db8::1")),
        ("a:2001:db8::1", ("a", "2001:db8::1")),
        ("a:[::1]", ("a", "::1")),
        ("a=[::1]", ("a", "::1")),
        ("a:host-gateway", ("a", "host-gateway")),
    ],
)
def test_hosts(word: str, host: tuple[str, str]) -> None:
    assert hosts_of([word]) == (host,)


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("a", "write `--add-host HOST:IP`"),
        (":1.2.3.4", "write `--add-host HOST:IP`"),
        ("a:", "write `--add-host HOST:IP`"),
        ("a b:1.2.3.4", "write `--add-host HOST:IP`"),
        ("a\nb:1.2.3.4", "write `--add-host HOST:IP`"),
        ("a:1.2.3", "`1.2.3` in"),
        ("a:host-gatway", "did you mean `host-gateway`?"),
        ("a:[::1", "is not an address"),
        ("a:fe80::1%eth0", "has a zone"),
    ],
)
def test_hosts_that_cannot_be(word: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in refusal(capsys, "--add-host", word, ".")


def test_nothing_given_limits_nothing() -> None:
    assert request_of(".").limits == Limits()
    assert request_of(".").hosts == ()


def test_all_of_it_reaches_the_engine() -> None:
    # fmt: off
    request = request_of(
        "--add-host", "a:1.2.3.4", "--add-host=b=::1", "--shm-size", "1m", "--ulimit", "nofile=10:20",
        "--cgroup-parent", "/x/y", "--resource", "memory=1g,pids=50", "-c", "512", "--cpuset-cpus=0-1", ".",
    )
    # fmt: on
    assert request.hosts == (("a", "1.2.3.4"), ("b", "::1"))
    assert request.limits == Limits(
        resources=Resources(
            memory=1 << 30, pids=50, cpu_shares=512, cpuset_cpus="0-1", parent="/x/y"
        ),
        processes=(ProcessLimit("nofile", 10, 20),),
        shared_memory=1 << 20,
    )


@pytest.mark.parametrize(
    ("words", "resources"),
    [
        (["-m", "512m"], Resources(memory=512 << 20)),
        (["-m512m"], Resources(memory=512 << 20)),
        (["--memory=1.5g", "--memory-swap", "2GiB"], Resources(memory=3 << 29, memory_swap=2 << 30)),
        (["--memory-swap=-1"], Resources(memory_swap=-1)),
        (["-m", "0"], None),
        (["--cpu-period", "1000", "--cpu-quota=500"], Resources(cpu_period=1000, cpu_quota=500)),
        (["--cpuset-mems", "0"], Resources(cpuset_mems="0")),
        (["--cpus", "1.5"], Resources(cpu_period=100_000, cpu_quota=150_000)),
        (["-m", "1g", "--resource", "memory=2g"], Resources(memory=2 << 30)),
        (["--resource", "memory=1g", "--resource", "memory=2g"], Resources(memory=2 << 30)),
        (["--resource", '"cpuset-cpus=0,2-3",pids=9'], Resources(cpuset_cpus="0,2-3", pids=9)),
        (["--resource", "Memory=10k"], Resources(memory=10240)),
    ],
)  # fmt: skip
def test_resources(words: list[str], resources: Resources | None) -> None:
    assert request_of(*words, ".").limits.resources == resources


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--resource", "memori=1g"], "did you mean `memory`?"),
        (["--resource", "memory"], "`memory` in `--resource` is not understood"),
        (["--resource", "disk=1"], "it can be memory, memory-swap, cpu-shares"),
        (["--resource", "pids=0"], "`0` in `--resource pids` is not a number above 0"),
        (["--resource", "pids=x"], "not a number above 0"),
        (["--resource", "memory=-1"], "not a size"),
        (["-m", "1z"], "`1z` in `--memory` is not a size"),
        (["-m", "m"], "not a size"),
        (["-m", "1.2.3m"], "not a size"),
        (["-m", "99999999999p"], "not a size that can be"),
        (["-m", "2g", "--memory-swap", "1g"], "`memory-swap` is less than `memory`"),
        (["--cpus", "x"], "`x` in `--cpus` is not a number of processors"),
        (["--cpus", "0"], "not a number of processors"),
        (["--cpus", "1", "--cpu-quota", "5000"], "`--cpus` goes with neither"),
        (["--cpuset-cpus", "3-1"], "not a list of numbers"),
        (["--cpuset-cpus", "0-999999999"], "not a list of numbers"),
        (["--cpuset-cpus", "0,,1"], "not a list of numbers"),
        (["--shm-size", "0"], "`0` in `--shm-size`"),
        (["--ulimit", "nofile"], "write `--ulimit nofile=1024:2048`"),
        (["--ulimit", "nofiles=1"], "did you mean `nofile`?"),
        (["--ulimit", "as=1"], "is not a limit of processes"),
        (["--ulimit", "nofile=2:1"], "the soft limit is above the hard one"),
        (["--ulimit", "nofile=-1:1"], "the soft limit is above the hard one"),
        (["--ulimit", "nofile=1:2:3"], "more than a soft and a hard limit"),
        (["--ulimit", "nofile=x"], "`x` in"),
        (["--cgroup-parent", "/a/../b"], "not the path of a control group"),
        (["--cgroup-parent", "/"], "not the path of a control group"),
        (["--allow", "network.hots"], "did you mean `network.host`?"),
        (["--allow", "everything"], "it can be network.host, security.insecure"),
        (["--network", "bridge"], "is not one of"),
    ],
)
def test_limits_that_cannot_be(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refusal(capsys, *words, ".")


@pytest.mark.parametrize(
    ("word", "limit"),
    [
        ("nofile=1024", ProcessLimit("nofile", 1024, 1024)),
        ("nofile=10:-1", ProcessLimit("nofile", 10, -1)),
        ("core=unlimited", ProcessLimit("core", -1, -1)),
    ],
)
def test_limits_of_processes(word: str, limit: ProcessLimit) -> None:
    assert request_of("--ulimit", word, ".").limits.processes == (limit,)


def test_the_last_limit_of_a_kind_counts() -> None:
    found = request_of("--ulimit", "core=1", "--ulimit", "nproc=5", "--ulimit", "core=0", ".")
    assert found.limits.processes == (ProcessLimit("core", 0, 0), ProcessLimit("nproc", 5, 5))


def test_everything_that_can_be_allowed_may_be_named_at_once() -> None:
    words = "network.host,security.insecure,leaked-secrets,device"
    assert request_of("--allow", words, ".").allow == frozenset(words.split(","))
