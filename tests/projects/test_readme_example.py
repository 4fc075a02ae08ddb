"""The example at the top of the README does what its comments say, as root and not."""

from __future__ import annotations

import re

from tests.support.product import Product
from tests.support.unprivileged import CHECKOUT, public_directory


def example() -> str:
    """Return the first block of commands in the README."""
    found = re.search(
        r"^```sh\n(.*?)^```$", (CHECKOUT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert found is not None
    return found[1]


def test_the_first_example(product: Product) -> None:
    with public_directory("lapstrake-readme-", owner=product.person) as place:
        done = product.person.run(
            ["/bin/sh", "-euxc", example()],
            cwd=place,
            environment={
                "PATH": f"{product.programs}:/usr/sbin:/usr/bin:/sbin:/bin",
                "LAPSTRAKE_ROOT": str(product.root),
            },
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(
        ("busybox", "greeter", "debian", "127", "python")
    )
    assert "ahoy, shipmate\n" in done.stdout
    assert "greeter" in done.stdout
