"""Builds each real project once as root and once without, for all the tests that judge the result."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.projects.project import PROJECTS, USERS, Builds, Built, needs
from tests.support.busybox_base import find_busybox, write_busybox_base
from tests.support.debian_base import debian_base
from tests.support.docker_engine import DockerEngine, docker_engine
from tests.support.docker_registry import docker_registry
from tests.support.product import Product
from tests.support.unprivileged import (
    CHECKOUT,
    Person,
    install_product,
    missing_for_rootless,
    public_directory,
    unprivileged,
)


@pytest.fixture(scope="session")
def ground() -> Iterator[Path]:
    """Return a public directory on a real file system, for stores and archives."""
    with public_directory("lapstrake-projects-") as path:
        yield path


@pytest.fixture(scope="session")
def products(ground: Path) -> dict[str, Product]:
    """Return the product of each user that this machine allows, with base images imported on demand."""
    products: dict[str, Product] = {}
    if os.geteuid() == 0:
        root = Person(0, 0, ground / "root-home")
        root.home.mkdir()
        products["root"] = Product(Path(sys.executable).parent, ground / "root-store", root)
    if missing_for_rootless() is None:
        person = unprivileged()
        private = ground / "rootless"
        private.mkdir()
        os.chown(private, person.uid, person.gid)
        programs = install_product(ground / "environment")
        products["rootless"] = Product(programs, private / "store", person)
    return products


@pytest.fixture(scope="session")
def bases(products: dict[str, Product], ground: Path) -> dict[str, Path]:
    """Import the base images that the projects name into every store; return their archives."""
    busybox = find_busybox()
    if busybox is None:
        pytest.skip("busybox-static is not installed")
    needs("mmdebstrap")
    archives = {
        "busybox": write_busybox_base(ground / "busybox.tar", busybox),
        "debian:bookworm": debian_base(),
    }
    for product in products.values():
        for name, archive in archives.items():
            product.run("import", archive, name)
        product.run("tag", "debian:bookworm", "python:3.11-slim")
    return archives


@pytest.fixture(scope="session")
def registry(ground: Path) -> Iterator[str]:
    """Serve a real registry on loopback; return its `host:port`."""
    needs("docker-registry")
    directory = ground / "registry"
    directory.mkdir()
    with docker_registry(directory) as address:
        yield address


@pytest.fixture(scope="session")
def engine(ground: Path) -> Iterator[DockerEngine]:
    """Run a real Docker engine."""
    needs("dockerd", "docker")
    if os.geteuid() != 0:
        pytest.skip("a Docker engine needs root")
    directory = ground / "engine"
    directory.mkdir()
    with docker_engine(directory) as engine:
        yield engine


@pytest.fixture(scope="session")
def wheels(ground: Path) -> Path:
    """Fetch the wheels of the web service for Debian's Python, from wherever pip is told to look."""
    target = ground / "wheels"
    requirements = CHECKOUT / "fixtures/projects/python-web/requirements.txt"
    # fmt: off
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:",
         "--python-version=3.11", "--implementation=cp", "--dest", target,
         "--requirement", requirements],
        capture_output=True, text=True,
    )
    # fmt: on
    if done.returncode != 0:
        pytest.skip(f"the wheels cannot be fetched: {done.stderr.strip().splitlines()[-1]}")
    for path in (target, *target.iterdir()):
        path.chmod(0o755 if path == target else 0o644)
    return target


@pytest.fixture(scope="session")
def builds(
    request: pytest.FixtureRequest,
    products: dict[str, Product],
    bases: dict[str, Path],
    registry: str,
    ground: Path,
) -> Builds:
    """Return what builds a project as a user, the first time that it is asked."""

    @functools.cache
    def build(project: str, user: str) -> Built:
        product = _of(products, user)
        context = ground / f"{project}-{user}"
        shutil.copytree(CHECKOUT / "fixtures/projects" / project, context)
        if project == "python-web":
            shutil.copytree(request.getfixturevalue("wheels"), context / "wheels")
        _readable(context)
        name = f"{registry}/projects/{project}:{user}"
        log = product.build(context, "--network", "host", "-t", name).stderr
        product.run("push", name)
        archive = product.root.parent / f"{project}-{user}.tar"
        product.run("save", "-o", archive, name)
        return Built(project, user, name, product, context, log, archive)

    return build


@pytest.fixture(params=USERS)
def user(request: pytest.FixtureRequest) -> str:
    """Return whom to build as."""
    return str(request.param)


@pytest.fixture
def product(products: dict[str, Product], bases: dict[str, Path], user: str) -> Product:
    """Return the command line of one user, with the base images in the store."""
    return _of(products, user)


@pytest.fixture(params=PROJECTS)
def project(request: pytest.FixtureRequest) -> str:
    """Return what to build."""
    return str(request.param)


@pytest.fixture
def built(builds: Builds, project: str, user: str) -> Built:
    """Return one project, built by one user, pushed to a registry and saved to an archive."""
    return builds(project, user)


def _of(products: dict[str, Product], user: str) -> Product:
    if user not in products:
        pytest.skip(missing_for_rootless() or "building as root needs root")
    return products[user]


def _readable(tree: Path) -> None:
    """Let everybody read a copied tree, whatever the umask of the checkout was."""
    for folder, _, files in os.walk(tree):
        os.chmod(folder, 0o755)
        for file in files:
            os.chmod(os.path.join(folder, file), 0o644)
