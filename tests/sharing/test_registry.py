"""A cache in a registry: Debian's own, and one of which every request is seen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builder.oci.digest import Digest
from builder.oci.manifest import parse_manifest
from builder.oci.reference import Reference
from builder.registry.client import RegistryClient
from builder.registry.exchange import never
from builder.registry.transport import HttpTransport, Options
from builder.sharing.repository import RepositoryPlace
from builder.solve.given import SharedCache
from tests.sharing.conftest import DOCKERFILE, Machine, steps
from tests.support.docker_registry import docker_registry
from tests.support.registry import Handler, Registry, hostile_registry
from tests.support.shared_records import answered, fill

TAG = "team/cache:main"


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    with docker_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture
def registry() -> Iterator[Registry]:
    with hostile_registry() as running:
        yield running


def forbidden(handler: Handler) -> bool:
    """Refuse a request."""
    handler.answer(403)
    return True


def remote(host: str, name: str = TAG, **options: object) -> tuple[SharedCache, ...]:
    """Return a cache in a registry."""
    return (SharedCache(type="registry", where=f"{host}/{name}", **options),)  # type: ignore[arg-type]


@pytest.mark.parametrize("every_step", [False, True], ids=["min", "max"])
def test_another_machine_executes_nothing_and_gets_the_same_image(
    machine: Machine, context: Path, debian: str, every_step: bool
) -> None:
    name = f"team/{'max' if every_step else 'min'}:main"
    to = remote(debian, name, every_step=every_step, required=True)
    first = machine().build(context, DOCKERFILE, cache_to=to)
    second = machine().build(context, DOCKERFILE, cache_from=remote(debian, name))
    assert steps(second) == []
    assert second.id == first.id
    assert not second.result.warnings


def test_writers_at_once_lose_nothing(machine: Machine, tmp_path: Path, debian: str) -> None:
    shops = [machine() for _ in range(8)]

    def build(number: int) -> None:
        context = tmp_path / f"of-{number}"
        context.mkdir()
        target = remote(debian, "team/many:main", required=True)
        shops[number].build(context, f"RUN echo {number} > /file\n", cache_to=target)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(build, range(8)))
    reader = machine()
    for number in range(8):
        context = tmp_path / f"of-{number}"
        built = reader.build(context, cache_from=remote(debian, "team/many:main"))
        assert steps(built) == [], number


def test_a_manifest_that_is_refused_for_a_moment_is_sent_again(
    machine: Machine, context: Path, registry: Registry
) -> None:
    """Debian's registry does so while several writers send it the same blob."""

    def missing(handler: Handler) -> bool:
        handler.answer(400)
        return True

    registry.fault("PUT", "/manifests/", missing, times=2)
    machine().build(context, DOCKERFILE, cache_to=remote(registry.host, required=True))
    assert steps(machine().build(context, DOCKERFILE, cache_from=remote(registry.host))) == []


def test_cache_mounts_go_along(machine: Machine, context: Path, debian: str) -> None:
    mount = "RUN --mount=type=cache,target=/cache"
    cache = remote(debian, "team/mounts:main", mounts=("all",), required=True)
    machine().build(context, f"{mount} echo kept > /cache/file\n", cache_to=cache)
    built = machine().build(context, f"{mount} cat /cache/file\n", cache_from=cache)
    assert built.watch.output() == "kept\n"


def test_sets_are_summarised_so_that_readers_ask_little(
    machine: Machine, context: Path, registry: Registry
) -> None:
    shop = machine()
    for number in range(12):
        shop.build(context, f"RUN echo {number} > /file\n", cache_to=remote(registry.host))
    registry.requests.clear()
    built = machine().build(context, cache_from=remote(registry.host))
    assert steps(built) == []
    asked = [seen for seen in registry.requests if "/manifests/" in seen.path]
    assert len(asked) < 10


def test_layers_that_are_there_are_not_sent_again(
    machine: Machine, context: Path, registry: Registry
) -> None:
    shop = machine()
    shop.build(context, DOCKERFILE, cache_to=remote(registry.host, every_step=True))
    registry.requests.clear()
    shop.build(context, DOCKERFILE + "LABEL a=b\n", cache_to=remote(registry.host, every_step=True))
    assert [seen.path for seen in registry.requests if seen.method in ("PUT", "POST")] == []


def test_layers_are_sent_while_the_build_goes_on(
    machine: Machine, context: Path, registry: Registry
) -> None:
    """The second step waits until the registry has the layer of the first."""

    def tell(handler: Handler) -> bool:
        sent = any(seen.method == "PUT" and "/blobs/" in seen.path for seen in registry.requests)
        handler.answer(200 if sent else 404)
        return True

    registry.fault("GET", "/sent", tell, times=-1)
    wait = f"for n in $(seq 100); do wget -q -O /dev/null http://{registry.host}/sent && exit; sleep 0.1; done; false"
    dockerfile = f"RUN echo first > /file\nRUN {wait}\n"
    target = remote(registry.host, every_step=True)
    built = machine().build(context, dockerfile, cache_to=target, network="host")
    assert len(steps(built)) == 2


def test_nothing_but_tables_is_read_when_nothing_is_of_use(
    machine: Machine, context: Path, registry: Registry
) -> None:
    machine().build(context, DOCKERFILE, cache_to=remote(registry.host, every_step=True))
    registry.requests.clear()
    machine().build(context, "RUN echo other\n", cache_from=remote(registry.host))
    assert len([seen for seen in registry.requests if "/blobs/" in seen.path]) == 1


def test_a_thousand_records_cost_200_kilobytes_at_most_when_nothing_is_of_use(
    machine: Machine, context: Path, registry: Registry
) -> None:
    client = RegistryClient(HttpTransport(Options()))
    fill(RepositoryPlace(client, Reference.parse(f"{registry.host}/{TAG}"), never), 1000)
    registry.requests.clear()
    built = machine().build(context, "RUN echo other\n", cache_from=remote(registry.host))
    assert len(steps(built)) == 1
    assert 8_000 < answered(registry) < 200_000


def test_a_registry_that_cannot_be_reached_is_a_warning(machine: Machine, context: Path) -> None:
    with hostile_registry() as registry:
        host = registry.host
    built = machine().build(context, "RUN true\n", cache_from=remote(host), cache_to=remote(host))
    assert {each.code for each in built.result.warnings} == {"build.cache-unusable"}


def test_an_image_under_the_tag_of_a_cache_is_not_written_over(
    machine: Machine, context: Path, registry: Registry
) -> None:
    shop = machine()
    shop.build(context, DOCKERFILE, tags=(f"{registry.host}/{TAG}",), push=True)
    before = dict(registry.manifests)
    error = shop.refused(context, DOCKERFILE, cache_to=remote(registry.host))
    assert "is no cache of lapstrake's" in error.message
    assert registry.manifests == before


def test_a_cache_of_buildkit_is_refused_by_name(
    machine: Machine, context: Path, registry: Registry
) -> None:
    config = {
        "mediaType": "application/vnd.buildkit.cacheconfig.v0",
        "digest": str(Digest.of(b"{}")),
        "size": 2,
    }
    raw = json.dumps({"schemaVersion": 2, "manifests": [config]}).encode()
    registry.add_manifest("team/cache", "main", parse_manifest(raw))
    for request in ({"cache_from": remote(registry.host)}, {"cache_to": remote(registry.host)}):
        error = machine().refused(context, DOCKERFILE, **request)
        assert "is a cache of BuildKit" in error.message


def test_an_export_that_was_interrupted_leaves_the_cache_usable(
    machine: Machine, context: Path, registry: Registry
) -> None:
    shop = machine()
    shop.build(context, "RUN echo before > /file\n", cache_to=remote(registry.host))
    registry.fault("PUT", "/manifests/", forbidden, times=-1)
    built = shop.build(context, DOCKERFILE, cache_to=remote(registry.host, every_step=True))
    assert {each.code for each in built.result.warnings} == {"build.cache-unusable"}
    registry.faults.clear()
    other = machine()
    again = other.build(context, "RUN echo before > /file\n", cache_from=remote(registry.host))
    assert steps(again) == []
    shop.build(context, DOCKERFILE, cache_to=remote(registry.host, every_step=True))
    assert steps(other.build(context, DOCKERFILE, cache_from=remote(registry.host))) == []
