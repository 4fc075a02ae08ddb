"""An image that holds lapstrake, built with lapstrake, in which lapstrake builds and pushes: as jobs and pods do."""

from __future__ import annotations

import os
import shutil
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.projects.judges import skopeo_inspect
from tests.projects.project import needs
from tests.support.busybox_base import find_busybox, write_busybox_base
from tests.support.debian_base import debian_base
from tests.support.docker_bundle import PATH, Profile, run_in_container
from tests.support.docker_registry import docker_registry
from tests.support.product import Product
from tests.support.unprivileged import CHECKOUT, Person, public_directory

pytestmark = [pytest.mark.needs_network, pytest.mark.slow]

STORE = "/var/lib/lapstrake"
OF_USERS = "/var/lib/lapstrake-of-users"
ENVIRONMENT = {"PATH": f"/opt/lapstrake/bin:{PATH}", "XDG_DATA_HOME": OF_USERS}
"""What the image says of it."""


def _bundle_of_the_host() -> str:
    found = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    for path in (found, "/etc/ssl/certs/ca-certificates.crt"):
        if path and os.path.isfile(path):
            return path
    pytest.skip("this host has no bundle of certificates")


@pytest.fixture(scope="module")
def yard() -> Iterator[Path]:
    """A directory on a real file system, with the image's files in `rootfs` and a project in `hello`."""
    needs("runc", "docker-registry", "skopeo", "mmdebstrap")
    if os.geteuid() != 0:
        pytest.skip("containers are run by runc as root")
    with public_directory("lapstrake-itself-") as ground:
        home = ground / "home"
        home.mkdir()
        product = Product(Path(sys.executable).parent, ground / "store", Person(0, 0, home))
        product.run("import", debian_base(), "debian:bookworm")
        dockerfile = CHECKOUT / "fixtures/projects/lapstrake/Dockerfile"
        words = ("--ca-cert", _bundle_of_the_host(), "--build-arg", "PYTHON=debian:bookworm")
        output = f"type=local,dest={ground / 'rootfs'}"
        product.build(CHECKOUT, *words, "-f", str(dockerfile), "-o", output)
        shutil.copytree(CHECKOUT / "fixtures/projects/hello", ground / "hello")
        yield ground


@pytest.fixture(scope="module")
def registry(yard: Path) -> Iterator[str]:
    """A registry on loopback that has the project's base image."""
    busybox = find_busybox()
    assert busybox is not None
    with docker_registry(yard / "registry") as address:
        product = Product(
            Path(sys.executable).parent, yard / "pushing", Person(0, 0, yard / "home")
        )
        product.run("import", write_busybox_base(yard / "box.tar", busybox), f"{address}/busybox")
        product.run("push", f"{address}/busybox")
        yield address


Build = Callable[..., str]


@pytest.fixture
def build(yard: Path, registry: str, request: pytest.FixtureRequest) -> Iterator[Build]:
    """Build and push the project in a container; return what was said."""
    place = yard / f"container-{abs(hash(request.node.name))}"

    def build(name: str, *, on_volume: bool, user: int = 0, **given: Any) -> str:
        volumes = {"/src": yard / "hello"}
        if on_volume:
            store = place / "volume"
            store.mkdir(parents=True)
            os.chown(store, user, user)
            volumes[STORE if user == 0 else OF_USERS] = store
        environment = {**ENVIRONMENT, **given.pop("environment", {})}
        base = f"busybox=docker-image://{registry}/busybox"
        words = ["lapstrake", "build", "--progress=plain", "--push", "--build-context", base]
        done = run_in_container(
            yard / "rootfs",
            [*words, "-t", f"{registry}/{name}", "/src"],
            place,
            environment=environment,
            volumes=volumes,
            user=user,
            **given,
        )
        assert done.returncode == 0, done.stderr
        assert skopeo_inspect(f"{registry}/{name}")["Labels"]["org.opencontainers.image.title"] == (
            "hello"
        )
        return done.stderr

    yield build
    shutil.rmtree(place, ignore_errors=True)


STORES = pytest.mark.parametrize("on_volume", [True, False], ids=["volume", "container"])


@STORES
def test_where_docker_s_default_holds_without_walls(build: Build, on_volume: bool) -> None:
    chosen = {"LAPSTRAKE_ISOLATION": "chroot"}
    said = build("hello:chroot", on_volume=on_volume, environment=chosen)
    assert "steps run without walls (isolation `chroot`)" in said


@STORES
@pytest.mark.parametrize("profile", [Profile.NAMESPACES, Profile.UNCONFINED])
def test_where_namespaces_are_allowed_behind_walls(
    build: Build, profile: Profile, on_volume: bool
) -> None:
    said = build(f"hello:{profile.value}", on_volume=on_volume, profile=profile)
    assert "weaker-walls" not in said


@STORES
def test_as_a_user_whom_nobody_knows(build: Build, on_volume: bool) -> None:
    said = build("hello:user", on_volume=on_volume, profile=Profile.UNCONFINED, user=1234)
    assert "isolation `single-id`" in said


def test_the_image_is_small_and_holds_no_more_than_it_needs(yard: Path) -> None:
    top = yard / "rootfs/opt/lapstrake"
    size = sum(path.lstat().st_size for path in top.rglob("*"))
    assert size < 64 << 20
    assert not list(top.glob("lib/python*/site-packages/pip"))
    assert (yard / "rootfs" / OF_USERS.strip("/")).stat().st_mode & 0o7777 == 0o1777
