"""A product for each user, a base image in a registry, and stores that may be spoilt."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.ground import Content, Setting, content, write_context
from tests.support.busybox_base import find_busybox, write_busybox_base
from tests.support.product import Product
from tests.support.registry import hostile_registry
from tests.support.sample_image import sample_image
from tests.support.unprivileged import (
    Person,
    install_product,
    missing_for_rootless,
    public_directory,
    public_interpreter,
    unprivileged,
)


@pytest.fixture(scope="session")
def ground() -> Iterator[Path]:
    """Return a public directory on a real file system."""
    with public_directory("lapstrake-faults-") as path:
        yield path


@pytest.fixture(scope="session")
def base_tar(ground: Path) -> Path:
    """Return a root file system of busybox, as a tar."""
    busybox = find_busybox()
    if busybox is None:
        pytest.skip("busybox-static is not installed")
    return write_busybox_base(ground / "base.tar", busybox)


@pytest.fixture(scope="session")
def base(base_tar: Path) -> Iterator[str]:
    """Serve the base image from a registry; return its name."""
    with hostile_registry() as registry:
        registry.add("base", "latest", sample_image(base_tar.read_bytes()))
        yield f"{registry.host}/base:latest"


@pytest.fixture(scope="session")
def products(ground: Path) -> dict[str, Product]:
    """Return the product of each user that this machine allows."""
    programs = Path(sys.executable).parent
    if public_interpreter() is not None:
        programs = install_product(ground / "environment")
    products: dict[str, Product] = {}
    if os.geteuid() == 0:
        person = Person(0, 0, ground / "root-home")
        person.home.mkdir()
        products["root"] = Product(programs, ground / "root", person)
    if missing_for_rootless() is None:
        products["rootless"] = Product(programs, ground / "rootless", unprivileged())
    for product in products.values():
        product.root.mkdir()
        os.chown(product.root, product.person.uid, product.person.gid)
    return products


@pytest.fixture(scope="session")
def context(ground: Path, base: str) -> Path:
    """Return what is built."""
    return write_context(ground / "context", base)


@pytest.fixture(params=["root", "rootless"])
def user(request: pytest.FixtureRequest, products: dict[str, Product]) -> str:
    """Return whom to build as."""
    name = str(request.param)
    if name not in products:
        pytest.skip(missing_for_rootless() or "building as root needs root")
    return name


@pytest.fixture
def setting(
    user: str, products: dict[str, Product], context: Path, request: pytest.FixtureRequest
) -> Iterator[Setting]:
    """Return a product with a store that does not exist yet, and is removed after the test."""
    place = products[user]
    root = place.root / f"store-{os.urandom(4).hex()}"
    setting = Setting(
        Product(place.programs, root, place.person), context, place.root / f"{root.name}.archive"
    )
    yield setting
    if root.exists():
        setting.forget()


@pytest.fixture(scope="session")
def undisturbed(products: dict[str, Product], context: Path) -> dict[str, Content]:
    """Return what each user's build gives when nothing happens to it."""
    found = {}
    for user, place in products.items():
        root = place.root / "undisturbed"
        setting = Setting(
            Product(place.programs, root, place.person), context, place.root / "undisturbed.archive"
        )
        setting.build()
        found[user] = content(setting.archive)
        setting.forget()
    return found
