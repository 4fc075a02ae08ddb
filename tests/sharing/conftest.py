"""Stores that share caches: each is a machine of its own, with the same image called `base`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from builder.engine.engine import Engine
from builder.settings import Settings
from builder.solve.given import SharedCache
from runtime.launch import Launcher
from tests.build.workshop import Built, Workshop, workshop_in
from tests.support.busybox_base import find_busybox

Machine = Callable[[], Workshop]

DOCKERFILE = """
    FROM base AS build
    COPY src /src
    RUN cat /src/* > /out && echo built >> /log
    FROM base
    WORKDIR /app
    COPY --from=build /out /app/out
    RUN cat /app/out /app/out > /app/twice
    ENV NAME=value
    """


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with the image that all machines start from."""
    if find_busybox() is None:
        pytest.skip("busybox-static is not installed")
    ground = tmp_path_factory.mktemp("base")
    with workshop_in(ground) as shop, (ground / "base-image.tar").open("wb") as file:
        shop.engine.save(("base",), file)
    return ground / "base-image.tar"


@contextmanager
def machine_in(ground: Path, base: Path) -> Iterator[Workshop]:
    """Open a store that has the base image alone."""
    settings = Settings(root=str(ground / "store"), docker_config=str(ground / "docker"))
    with Engine.open(settings, Launcher.spawn()) as engine:
        with base.open("rb") as stream:
            engine.load(stream)
        yield Workshop(engine, ground)


@pytest.fixture
def machine(tmp_path: Path, base: Path) -> Iterator[Machine]:
    """What makes another machine."""
    with ExitStack() as stack:
        count = 0

        def another() -> Workshop:
            nonlocal count
            count += 1
            ground = tmp_path / f"machine-{count}"
            ground.mkdir()
            return stack.enter_context(machine_in(ground, base))

        yield another


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A context with two sources."""
    path = tmp_path / "context"
    (path / "src").mkdir(parents=True)
    (path / "src" / "a").write_text("a\n")
    (path / "src" / "b").write_text("b\n")
    return path


def local(path: Path, **options: object) -> tuple[SharedCache, ...]:
    """Return a cache in a directory."""
    return (SharedCache(type="local", where=str(path), **options),)  # type: ignore[arg-type]


def steps(built: Built) -> list[str]:
    """Return the steps of the Dockerfile that were executed."""
    return [name for name in built.executed if name]
