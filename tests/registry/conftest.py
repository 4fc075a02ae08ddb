"""A misbehaving registry, a client without patience, and a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.events import Event, Progress
from builder.registry import backoff
from builder.registry.auth import Credential
from builder.registry.client import RegistryClient
from builder.registry.exchange import Cancelled
from builder.registry.transport import HttpTransport, Options
from builder.store.blobs import BlobStore
from tests.support.registry import Registry, hostile_registry


class Waits:
    """Remembers how long somebody wanted to wait, and does not."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float, _cancelled: Cancelled) -> None:
        self.seconds.append(seconds)


class Recorder:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def last(self, item: str) -> Progress:
        """Return the last progress of an item."""
        return [
            event for event in self.events if isinstance(event, Progress) and event.item == item
        ][-1]


class Keyring:
    """Credentials by host."""

    def __init__(self, known: dict[str, Credential]) -> None:
        self.known = known
        self.asked: list[str] = []

    def for_repository(self, host: str, _repository: str, /) -> Credential | None:
        self.asked.append(host)
        return self.known.get(host)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with hostile_registry() as running:
        yield running


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    patient = Waits()
    monkeypatch.setattr(backoff, "wait", patient)
    return patient


@pytest.fixture
def make_client(waits: Waits) -> Callable[..., RegistryClient]:
    def make(credentials: Keyring | None = None, **options: object) -> RegistryClient:
        settings = Options(**{"read_timeout": 5.0, "connect_timeout": 2.0, **options})  # type: ignore[arg-type]
        return RegistryClient(HttpTransport(settings, wait=waits), credentials)

    return make


@pytest.fixture
def client(make_client: Callable[..., RegistryClient]) -> RegistryClient:
    return make_client()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "store")


@pytest.fixture
def events() -> Recorder:
    return Recorder()
