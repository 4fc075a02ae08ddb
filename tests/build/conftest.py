"""The product as root and as an ordinary user, each with a store of their own that has an image called `box`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build.workshop import Workshop, workshop_in
from tests.support.busybox_base import find_busybox, write_busybox_base
from tests.support.product import Product
from tests.support.unprivileged import (
    Person,
    install_product,
    missing_for_rootless,
    public_directory,
    unprivileged,
)

USERS = ("root", "rootless")


@pytest.fixture(scope="session")
def products() -> Iterator[dict[str, Product]]:
    """The product of each user that this machine allows, with an image called `box`."""
    busybox = find_busybox()
    if busybox is None:
        pytest.skip("busybox-static is not installed")
    found: dict[str, Product] = {}
    with public_directory("lapstrake-run-") as ground:
        if os.geteuid() == 0:
            home = ground / "root-home"
            home.mkdir()
            found["root"] = Product(
                Path(sys.executable).parent, ground / "root-store", Person(0, 0, home)
            )
        if missing_for_rootless() is None:
            person = unprivileged()
            private = ground / "rootless"
            private.mkdir()
            os.chown(private, person.uid, person.gid)
            programs = install_product(ground / "environment")
            found["rootless"] = Product(programs, private / "store", person)
        archive = write_busybox_base(ground / "box.tar", busybox)
        for product in found.values():
            # fmt: off
            product.run("import", "--change", "ENV MODE=image", "--change", "CMD [\"echo\", \"by default\"]",
                        archive, "box")
            # fmt: on
        yield found


@pytest.fixture(params=USERS)
def product(request: pytest.FixtureRequest, products: dict[str, Product]) -> Product:
    """The product, as root and as an ordinary user."""
    if request.param not in products:
        pytest.skip(missing_for_rootless() or "running as root needs root")
    return products[request.param]


@pytest.fixture
def ours(product: Product) -> Iterator[Path]:
    """A directory of the user's."""
    with public_directory("lapstrake-run-", owner=product.person) as path:
        yield path


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A store in which many tests build, in this process."""
    _needs_a_builder()
    with workshop_in(tmp_path_factory.mktemp("workshop")) as shop:
        yield shop


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Workshop]:
    """A store of one test's own, which has nothing cached but the base."""
    _needs_a_builder()
    ground = tmp_path / "fresh"
    ground.mkdir()
    with workshop_in(ground) as shop:
        yield shop


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """An empty build context."""
    path = tmp_path / "context"
    path.mkdir()
    return path


def _needs_a_builder() -> None:
    if find_busybox() is None:
        pytest.skip("busybox-static is not installed")
    if os.geteuid() != 0 and (reason := missing_for_rootless()):
        pytest.skip(reason)
