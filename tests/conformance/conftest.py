"""Builds every case that was selected, as root and as an ordinary user, several at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conformance.bases import write_archive, write_bases
from tests.conformance.building import Results, Workbench
from tests.conformance.case import Case
from tests.conformance.layout import read
from tests.conformance.remote import remote
from tests.support.busybox_base import find_busybox
from tests.support.product import Product
from tests.support.unprivileged import (
    Person,
    install_product,
    missing_for_rootless,
    public_directory,
    unprivileged,
)


@pytest.fixture(scope="session")
def workbenches() -> Iterator[dict[str, Workbench]]:
    """A place to build for each user that this machine allows, with the base images in its store."""
    busybox = find_busybox()
    if busybox is None:
        pytest.skip("busybox-static is not installed")
    found: dict[str, Workbench] = {}
    with (
        public_directory("lapstrake-conformance-") as ground,
        remote(ground / "remote") as addresses,
    ):
        layout = ground / "bases"
        write_bases(layout, busybox)
        (base,) = read(layout).layers
        archive = write_archive(ground / "bases.tar", layout)
        if os.geteuid() == 0:
            home = ground / "root-home"
            home.mkdir()
            programs = Path(sys.executable).parent
            product = Product(programs, ground / "root-store", Person(0, 0, home))
            found["root"] = _bench(product, ground / "root", base, archive, addresses)
        if missing_for_rootless() is None:
            person = unprivileged()
            private = ground / "rootless"
            private.mkdir()
            os.chown(private, person.uid, person.gid)
            product = Product(install_product(ground / "environment"), private / "store", person)
            found["rootless"] = _bench(product, private / "cases", base, archive, addresses)
        yield found


def _bench(
    product: Product, folder: Path, base: bytes, archive: Path, addresses: dict[str, str]
) -> Workbench:
    folder.mkdir()
    if not product.person.is_me:
        os.chown(folder, product.person.uid, product.person.gid)
    product.run("load", "-i", archive)
    return Workbench(product, folder, base, addresses)


@pytest.fixture(scope="session")
def results(workbenches: dict[str, Workbench], request: pytest.FixtureRequest) -> Iterator[Results]:
    """What came of each selected case for each user; builds go on while earlier ones are judged."""
    pool = ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2))
    started: Results = {}
    for item in request.session.items:
        if "results" not in getattr(item, "fixturenames", ()):
            continue
        parameters = item.callspec.params  # type: ignore[attr-defined]
        case: Case = parameters["case"]
        user: str = parameters["user"]
        if user in workbenches:
            judges = parameters.get("judges", False)
            started[user, case.name] = pool.submit(
                workbenches[user].differences, case, judges=judges
            )
    try:
        yield started
    finally:
        pool.shutdown(cancel_futures=True)
