"""A cache inside the image that was pushed: nothing more to name, nothing more to keep."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.oci.manifest import parse_manifest
from builder.sharing.inline import RECORDS
from builder.solve.given import SharedCache
from tests.sharing.conftest import DOCKERFILE, Machine, steps
from tests.support.registry import Registry, hostile_registry

INLINE = (SharedCache(type="inline", where=""),)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with hostile_registry() as running:
        yield running


def remote(host: str) -> tuple[SharedCache, ...]:
    """Return the image as a cache to read."""
    return (SharedCache(type="registry", where=f"{host}/app:main"),)


def test_another_machine_executes_nothing_and_gets_the_same_image(
    machine: Machine, context: Path, registry: Registry
) -> None:
    name = f"{registry.host}/app:main"
    first = machine().build(context, DOCKERFILE, tags=(name,), push=True, cache_to=INLINE)
    second = machine().build(context, DOCKERFILE, cache_from=remote(registry.host))
    assert steps(second) == []
    assert not second.result.warnings
    assert second.id == first.id


def test_the_image_is_the_same_with_and_without_records(
    machine: Machine, context: Path, registry: Registry
) -> None:
    shop = machine()
    with_records = shop.build(
        context, DOCKERFILE, tags=(f"{registry.host}/app:main",), push=True, cache_to=INLINE
    )
    without = shop.build(context, DOCKERFILE, tags=(f"{registry.host}/app:plain",), push=True)
    assert with_records.id == without.id
    one, other = (
        msgspec.json.decode(registry.manifests["app", tag][1]) for tag in ("main", "plain")
    )
    assert one["annotations"].pop(RECORDS)
    assert one == other


def test_it_is_refused_without_a_push(machine: Machine, context: Path) -> None:
    error = machine().refused(context, DOCKERFILE, cache_to=INLINE)
    assert error.code == "usage"


@pytest.mark.parametrize("text", ["", "%%%", "aGVsbG8="], ids=["empty", "no base64", "no zstd"])
def test_damaged_records_are_ignored_with_a_note(
    machine: Machine, context: Path, registry: Registry, text: str
) -> None:
    name = f"{registry.host}/app:main"
    machine().build(context, DOCKERFILE, tags=(name,), push=True, cache_to=INLINE)
    document = msgspec.json.decode(registry.manifests["app", "main"][1])
    document["annotations"][RECORDS] = text
    registry.add_manifest("app", "main", parse_manifest(msgspec.json.encode(document)))
    built = machine().build(context, DOCKERFILE, cache_from=remote(registry.host))
    assert {each.code for each in built.result.warnings} == {"build.cache-unusable"}
    assert len(steps(built)) == 5


def test_an_image_without_records_is_no_trouble(
    machine: Machine, context: Path, registry: Registry
) -> None:
    machine().build(context, DOCKERFILE, tags=(f"{registry.host}/app:main",), push=True)
    built = machine().build(context, DOCKERFILE, cache_from=remote(registry.host))
    assert len(steps(built)) == 5
    assert not built.result.warnings


SEVERAL = """FROM --platform=$BUILDPLATFORM base AS make
ARG TARGETARCH
RUN echo "for $TARGETARCH" > /made
FROM scratch
COPY --from=make /made /
COPY src/a /
"""


def test_images_of_several_platforms_each_bring_their_own(
    machine: Machine, context: Path, registry: Registry
) -> None:
    name = f"{registry.host}/app:main"
    platforms = ("linux/amd64", "linux/arm64", "linux/s390x")
    given = {"platforms": platforms, "tags": (name,), "push": True, "cache_to": INLINE}
    first = machine().build(context, SEVERAL, **given)
    second = machine().build(
        context, SEVERAL, platforms=platforms, cache_from=remote(registry.host)
    )
    assert [each for each in steps(second) if each.startswith("COPY")] == []
    assert second.result.platforms == first.result.platforms
    assert not second.result.warnings
