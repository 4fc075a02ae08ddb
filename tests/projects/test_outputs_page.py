"""The commands of `docs/outputs.md`, run one after the other by somebody without rights."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.product import Product
from tests.support.unprivileged import CHECKOUT

BLOCK = re.compile(r"^```sh(?: registry)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DOCKERFILE = "FROM busybox\nRUN echo built > /built\nCOPY Dockerfile /\n"


def commands() -> list[str]:
    text = (CHECKOUT / "docs/outputs.md").read_text()
    return [line for block in BLOCK.findall(text) for line in block.splitlines()]


@pytest.fixture(scope="module")
def place(products: dict[str, Product], bases: dict[str, Path], ground: Path) -> Iterator[Product]:
    """A product whose home has a context."""
    assert "busybox" in bases
    if not products:
        pytest.skip("nobody can build here")
    product = products.get("rootless") or products["root"]
    context = ground / "outputs-page"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE)
    os.chown(context, product.person.uid, product.person.gid)
    yield product


@pytest.mark.parametrize("command", commands())
def test_each_command_does_what_it_says(
    place: Product, command: str, ground: Path, registry: str
) -> None:
    words = command.replace("registry.example.com", registry)
    environment = {
        "PATH": f"{place.programs}:/usr/bin:/bin",
        "LAPSTRAKE_ROOT": str(place.root),
        "LAPSTRAKE_ISOLATION": "auto",
    }
    done = place.person.run(
        ["sh", "-ec", words], cwd=ground / "outputs-page", environment=environment
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    if "--metadata-file" in command:
        built = json.loads((ground / "outputs-page/built.json").read_text())
        assert built["containerimage.config.digest"] == (ground / "outputs-page/id").read_text()
        assert built["image.name"] == "docker.io/library/app:latest"


def test_every_type_and_attribute_has_its_line() -> None:
    from builder.export.attributes import KNOWN

    text = (CHECKOUT / "docs/outputs.md").read_text()
    for kind, names in KNOWN.items():
        for name in (kind, *names):
            assert f"`{name}`" in text, f"{name} of {kind}"
