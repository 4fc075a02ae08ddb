"""Names without a registry, where a `registries.conf` says in which ones to look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import LapstrakeError, ReferenceInvalid
from builder.events import Discard, Warned
from tests.build.workshop import Built, Workshop, workshop_in
from tests.support.registry import Registry, hostile_registry
from tests.support.sample_image import sample_image, tar

IMAGE = sample_image(tar({"found": b"here"}))


class Street:
    """Two registries, which are searched in this order, and a machine."""

    def __init__(self, first: Registry, second: Registry, shop: Workshop, conf: Path) -> None:
        self.first, self.second, self.shop, self.conf = first, second, shop, conf

    def configure(self, more: str = "") -> None:
        self.conf.parent.mkdir(parents=True, exist_ok=True)
        hosts = f'["{self.first.host}", "{self.second.host}"]'
        self.conf.write_text(f"unqualified-search-registries = {hosts}\n{more}")

    def names(self) -> list[str]:
        return [name for row in self.shop.engine.images() for name in row.names]


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    config_home = tmp_path / "config"
    with (
        hostile_registry() as first,
        hostile_registry() as second,
        workshop_in(tmp_path, config_home=str(config_home)) as shop,
    ):
        yield Street(first, second, shop, config_home / "containers/registries.conf")


def inspected_base(street: Street, built: Built) -> str | None:
    """Return what the store remembers an image to stand on."""
    origin = street.shop.engine._store.images.origin(built.id)
    return None if origin is None else origin.base


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    directory.mkdir()
    return directory


def test_a_base_is_looked_for_in_order_and_named_after_where_it_was(
    street: Street, context: Path
) -> None:
    street.configure()
    street.second.add("team/tool", "1", IMAGE)
    built = street.shop.build(context, "FROM team/tool:1\nCOPY Dockerfile /d\n")
    assert street.first.count("HEAD", "/v2/team/tool/manifests/1") == 1
    where = f"{street.first.host}/team/tool:1"
    notes = [each.diagnostic.message for each in built.watch.events if isinstance(each, Warned)]
    assert notes == [f"`{where}` was not found, and the next registry is asked"]
    assert f"{street.second.host}/team/tool:1" in street.names()
    found = f"{street.second.host}/team/tool:1"
    assert inspected_base(street, built) == found
    asked = len(street.second.requests)
    built = street.shop.build(context, "FROM team/tool:1\nCOPY Dockerfile /d\n")
    assert built.executed == []
    assert inspected_base(street, built) == found
    assert len(street.second.requests) == asked


def test_what_the_store_has_under_docker_s_name_comes_first(street: Street, context: Path) -> None:
    street.configure()
    street.first.add("base", "latest", IMAGE)
    street.shop.build(context, "FROM base\nCOPY Dockerfile /d\n")
    assert street.first.requests == []


def test_an_alias_leads_to_one_name_only(street: Street) -> None:
    street.configure(f'[aliases]\n"tool" = "{street.second.host}/team/tool"\n')
    street.second.add("team/tool", "2", IMAGE)
    pulled = street.shop.engine.pull("tool:2", None, Discard())
    assert pulled.reference == f"{street.second.host}/team/tool:2"
    assert street.first.requests == []


def test_pull_says_where_it_has_looked(street: Street) -> None:
    street.configure()
    with pytest.raises(LapstrakeError, match="not found") as caught:
        street.shop.engine.pull("nowhere", None, Discard())
    assert any(f"{street.first.host}/nowhere" in note for note in caught.value.notes)


def test_enforcing_does_not_look_around(street: Street) -> None:
    street.configure('short-name-mode = "enforcing"\n')
    with pytest.raises(ReferenceInvalid, match="may be in several registries"):
        street.shop.engine.pull("tool", None, Discard())
    assert street.first.requests == street.second.requests == []


def test_a_full_name_is_looked_for_nowhere_else(street: Street) -> None:
    street.configure()
    street.second.add("tool", "latest", IMAGE)
    with pytest.raises(LapstrakeError):
        street.shop.engine.pull(f"{street.first.host}/tool", None, Discard())
    assert street.second.requests == []
