"""Commands of other platforms: behind which walls they run with which handlers, and what is said where they do not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.emulation import emulators_for
from runtime.machines import MACHINES, probe
from tests.support.busybox_base import find_busybox, write_busybox_base
from tests.support.foreign_busybox import write_foreign_base
from tests.support.product import Product
from tests.support.unprivileged import public_directory

PLATFORM = "linux/arm64"
RARE = ("loongarch64", "linux/loong64")
"""What nobody but these tests builds for, and so may be known to the whole machine for a moment."""

DOCKERFILE = """FROM arm
ARG TARGETPLATFORM TARGETARCH BUILDPLATFORM
RUN uname -m > /machine && sh -c 'echo "$0 $1 $TARGETPLATFORM $TARGETARCH $BUILDPLATFORM"' a b >> /machine
RUN cat /machine
USER 1000:1000
RUN id -u
"""


@pytest.fixture(scope="session")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tar of a root file system for arm64."""
    if next(iter(emulators_for("aarch64")), None) is None:
        pytest.skip("qemu-user-static is not installed")
    try:
        return write_foreign_base(tmp_path_factory.mktemp("arm") / "arm.tar", "arm64")
    except subprocess.CalledProcessError:
        pytest.skip("busybox for arm64 cannot be fetched from the Debian archive")


@pytest.fixture
def ground(product: Product, arm: Path) -> Iterator[Path]:
    """A context with the base in `arm.tar`, and a Dockerfile for it."""
    with public_directory("lapstrake-platforms-", owner=product.person) as path:
        (path / "arm.tar").write_bytes(arm.read_bytes())
        (path / "base").write_text("FROM scratch\nADD arm.tar /\n")
        (path / "Dockerfile").write_text(DOCKERFILE)
        yield path


def elsewhere(product: Product, ground: Path, *prefix: str) -> Product:
    """The product after other words, on a store of its own."""
    words = [str(word) for word in prefix]
    return Product(product.programs, ground / "store", product.person, tuple(words))


def told(where: str, machine: str, flags: str) -> tuple[str, ...]:
    """Return the words after which a command has a handler, or none."""
    if os.geteuid() != 0:
        pytest.skip("handlers are registered as root")
    program = Path(sys.executable)
    module = ("-m", "tests.support.handlers")
    return ("env", f"PYTHONPATH={os.getcwd()}", str(program), *module, where, machine, flags)


def walls(name: str) -> tuple[str, ...]:
    return ("env", f"LAPSTRAKE_ISOLATION={name}")


CLOSED = ("sh", "-c", 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"', "sh")
"""The words after which there are no more user namespaces."""


def check_build(product: Product, ground: Path) -> None:
    product.build(ground, "-q", "--platform", PLATFORM, "-t", "arm", "-f", str(ground / "base"))
    tree = product.root.with_name("tree.tar")
    output = f"type=tar,dest={tree}"
    built = product.build(ground, "--platform", PLATFORM, "-t", "app", "-o", output)
    assert "aarch64\n" in built.stderr
    assert f"a b {PLATFORM} arm64 linux/" in built.stderr
    assert "1000\n" in built.stderr
    with tarfile.open(tree) as archive:
        assert not [name for name in archive.getnames() if "qemu" in name or "libexec" in name]
    assert product.inspect("app")["Architecture"] == "arm64"
    assert product.run("run", "--rm", "app", "uname", "-m").stdout == "aarch64\n"
    again = product.build(ground, "--platform", PLATFORM, "-t", "app")
    assert "all 3 steps were cached" in again.stderr


def test_nothing_is_needed_but_an_emulator(product: Product, ground: Path) -> None:
    prefix = told("own", "aarch64", "none") if product.person.uid == 0 else ()
    check_build(elsewhere(product, ground, *prefix), ground)


def test_with_one_id_too(products: dict[str, Product], arm: Path) -> None:
    if "rootless" not in products:
        pytest.skip("there is no user for rootless tests")
    product = products["rootless"]
    with public_directory("lapstrake-platforms-", owner=product.person) as path:
        (path / "arm.tar").write_bytes(arm.read_bytes())
        (path / "base").write_text("FROM scratch\nADD arm.tar /\n")
        (path / "Dockerfile").write_text(DOCKERFILE.replace("USER 1000:1000\n", "USER 1000\n"))
        check_build(elsewhere(product, path, *walls("single-id")), path)


@pytest.fixture
def as_root(products: dict[str, Product], arm: Path) -> Iterator[tuple[Product, Path]]:
    """The product of root, and a context of its own."""
    if "root" not in products:
        pytest.skip("handlers are registered as root")
    with public_directory("lapstrake-platforms-") as path:
        (path / "arm.tar").write_bytes(arm.read_bytes())
        (path / "base").write_text("FROM scratch\nADD arm.tar /\n")
        (path / "Dockerfile").write_text(DOCKERFILE)
        yield products["root"], path


@pytest.mark.parametrize("flags", ["PF", "P"])
def test_a_handler_serves_fixed_or_not(as_root: tuple[Product, Path], flags: str) -> None:
    product, ground = as_root
    prefix = (*told("own", "aarch64", flags), *walls("root"))
    check_build(elsewhere(product, ground, *prefix), ground)


@pytest.mark.parametrize("flags", ["F", "O"])
@pytest.mark.parametrize("name", ["root", "chroot"])
def test_a_handler_of_the_whole_machine_serves(
    as_root: tuple[Product, Path], name: str, flags: str
) -> None:
    product, ground = as_root
    machine, platform = RARE
    program = ground / "probe"
    program.write_bytes(probe(machine))
    program.chmod(0o755)
    (ground / "Dockerfile").write_text('FROM scratch\nCOPY probe /\nRUN ["/probe"]\n')
    product = elsewhere(product, ground, *told("machine", machine, flags), *walls(name))
    # It ends with this code, if it gets its words as they are.
    done = product.run("build", "--platform", platform, ground, code=1)
    assert "the command exited with code 42" in done.stderr


def test_where_nothing_is_registered_root_is_told_what_to_do(
    as_root: tuple[Product, Path],
) -> None:
    product, ground = as_root
    product = elsewhere(product, ground, *told("own", "aarch64", "none"), *CLOSED, *walls("root"))
    product.build(ground, "-q", "--platform", PLATFORM, "-t", "arm", "-f", str(ground / "base"))
    done = product.run("build", "--platform", PLATFORM, ground, code=1)
    assert "error[build.no-emulator]: `/bin/sh` is a program for `linux/arm64`" in done.stderr
    assert "not registered with the kernel" in done.stderr
    assert "`systemctl restart systemd-binfmt`" in done.stderr
    assert "Dockerfile:3:1" in done.stderr
    # A container, and a program that a script names.
    done = product.run("run", "--rm", "arm", "ls", code=126)
    assert "error[build.no-emulator]: `ls` is a program for `linux/arm64`" in done.stderr
    (ground / "Dockerfile").write_text(
        'FROM arm\nCOPY --chmod=755 <<EOF /script\n#!/bin/sh\nEOF\nRUN ["/script"]\n'
    )
    done = product.run("build", "--platform", PLATFORM, ground, code=1)
    assert "`/script` is a program for `linux/arm64`" in done.stderr


def platforms(product: Product) -> dict[str, dict[str, object]]:
    """What `doctor` says of platforms, by name."""
    report = json.loads(product.run("doctor", "--json").stdout)
    found = [each for each in report["findings"] if each["group"] == "platforms"]
    return {name: each for each in found for name in each["name"].split(", ")}


def test_doctor_tells_how_platforms_run(product: Product, ground: Path) -> None:
    if product.person.uid == 0:
        product = elsewhere(product, ground, *told("own", "aarch64", "none"))
    found = platforms(product)
    assert (found["linux/amd64"]["ok"], found["linux/amd64"]["reason"]) == (True, "natively")
    assert found["linux/arm64"]["ok"]
    assert re.match(
        r"by `/usr/bin/qemu-aarch64-static` \d+\.\d+.*, which each build registers for itself",
        str(found["linux/arm64"]["reason"]),
    )
    assert "  linux/arm64\n" in product.run("info").stdout


def test_doctor_tells_what_is_missing_and_of_which_flag(as_root: tuple[Product, Path]) -> None:
    product, ground = as_root
    prefix = (*told("own", "aarch64", "O"), *CLOSED, *walls("root"))
    found = platforms(elsewhere(product, ground, *prefix))
    assert found["linux/arm64"]["ok"]
    assert "without the flag F" in str(found["linux/arm64"]["reason"])
    assert not found["linux/s390x"]["ok"]
    assert found["linux/s390x"] is found["linux/riscv64"]  # one thing to change for all
    assert "`systemctl restart systemd-binfmt`" in str(found["linux/s390x"]["change"])
    found = platforms(elsewhere(product, ground, *told("own", "aarch64", "OF"), *walls("root")))
    assert "registered with the kernel" in str(found["linux/arm64"]["reason"])


def test_several_platforms_run_their_own_commands_side_by_side(
    product: Product, ground: Path
) -> None:
    product = elsewhere(product, ground)
    own = find_busybox()
    assert own is not None
    write_busybox_base(ground / "amd.tar", own)
    (ground / "base").write_text("FROM scratch\nARG TARGETARCH\nADD ${TARGETARCH%64}.tar /\n")
    names = "linux/amd64,linux/arm64"
    product.build(ground, "-q", "--platform", names, "-t", "both", "-f", str(ground / "base"))
    (ground / "Dockerfile").write_text(
        "FROM --platform=$BUILDPLATFORM both AS native\nRUN uname -m > /native\n"
        "FROM both\nRUN uname -m > /machine\nCOPY --from=native /native /\n"
    )
    built = product.build(ground, "--platform", names, "-t", "app")
    assert "[linux/arm64 stage-1 2/3] RUN uname -m" in built.stderr
    assert built.stderr.count("] RUN uname -m > /native") == 1
    for platform, machine in (("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")):
        done = product.run("run", "--rm", "--platform", platform, "app", "cat", "machine", "native")
        assert done.stdout == f"{machine}\nx86_64\n"
    assert "all 5 steps were cached" in product.build(ground, "--platform", names).stderr


def exits(product: Product, ground: Path, machine: str, platform: str) -> None:
    """Build for a platform what runs a program of a machine, which ends with its own code."""
    program = ground / "probe"
    program.write_bytes(probe(machine))
    program.chmod(0o755)
    (ground / "Dockerfile").write_text('FROM scratch\nCOPY probe /\nRUN ["/probe"]\n')
    done = elsewhere(product, ground).run("build", "--platform", platform, ground, code=1)
    assert "the command exited with code 42" in done.stderr


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the 32-bit sibling of x86-64")
def test_the_32_bit_sibling_needs_nothing(product: Product, ours: Path) -> None:
    exits(product, ours, "i386", "linux/386")


def test_a_program_of_this_machine_runs_in_an_image_for_another(
    product: Product, ours: Path
) -> None:
    exits(product, ours, os.uname().machine, "linux/mips64le")


def test_other_systems_are_refused_by_name(product: Product, ours: Path) -> None:
    (ours / "Dockerfile").write_text('FROM scratch\nCOPY Dockerfile /\nRUN ["/x"]\n')
    product = elsewhere(product, ours)
    done = product.run("build", "--platform", "windows/amd64", ours, code=1)
    assert "error[build.no-emulator]: commands of the platform `windows/amd64`" in done.stderr


def test_every_machine_that_has_a_name_has_a_probe() -> None:
    assert set(MACHINES) >= {"x86_64", "aarch64", "arm", "i386", "riscv64", "ppc64le", "s390x"}
