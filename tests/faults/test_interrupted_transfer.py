"""Pulls and pushes that end in the middle: the next one goes on, and nothing half-made is ever seen."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.ground import Setting, litter, nothing_left
from tests.support import registry as faults
from tests.support.product import Product
from tests.support.registry import Handler, Registry, hostile_registry
from tests.support.sample_image import noise, sample_image, tar

IMAGE = sample_image(tar({"one": noise(3_000_000)}), tar({"two": noise(2_000_000, "2")}))
BIG = IMAGE.manifest.layers[0]
BEGINNING = 1_000_000


@pytest.fixture
def registry() -> Iterator[Registry]:
    with hostile_registry() as running:
        running.add("app", "1", IMAGE)
        yield running


class Stall:
    """A fault: the beginning of a blob comes, and then nothing until somebody has been killed."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.ended = threading.Event()

    def __call__(self, handler: Handler) -> bool:
        data = IMAGE.blobs[BIG.digest]
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:BEGINNING])
        self.begun.set()
        self.ended.wait(60)
        handler.close_connection = True
        return True


def written(part: Path) -> Path:
    """Wait until something of a blob is on disk."""
    deadline = time.monotonic() + 60
    while not part.exists() or not part.stat().st_size:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return part


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_pull_that_is_ended_is_gone_on_with(
    setting: Setting, registry: Registry, number: signal.Signals
) -> None:
    stall = Stall()
    registry.fault("GET", BIG.digest, stall)
    name = f"{registry.host}/app:1"
    started = setting.start(*setting.product.command("pull", name))
    assert stall.begun.wait(60)
    part = written(setting.root / "tmp" / f"part-sha256-{BIG.digest.hex}")
    started.send_signal(number)
    started.communicate(timeout=60)
    stall.ended.set()
    assert not (setting.root / "blobs/sha256" / BIG.digest.hex).exists()
    came = part.stat().st_size
    assert 0 < came <= BEGINNING
    registry.requests.clear()
    setting.product.run("pull", "-q", name)
    asked = [seen.headers.get("range") for seen in registry.requests if BIG.digest in seen.path]
    assert asked == [f"bytes={came}-"]
    nothing_left(setting.root)
    assert litter(setting.root) == []


def test_a_push_that_is_ended_publishes_nothing_and_is_gone_on_with(
    setting: Setting, registry: Registry
) -> None:
    name, target = f"{registry.host}/app:1", f"{registry.host}/other:1"
    product: Product = setting.product
    product.run("pull", "-q", name)
    product.run("tag", name, target)
    registry.mounts = False
    begun, ended = threading.Event(), threading.Event()

    def act(handler: Handler) -> bool:
        handler.rfile.read(1000)
        begun.set()
        ended.wait(60)
        return faults.reset(handler)

    registry.fault("PUT", BIG.digest.hex, act, early=True)
    started = setting.start(*product.command("push", target))
    assert begun.wait(60)
    started.send_signal(signal.SIGKILL)
    started.communicate(timeout=60)
    ended.set()
    assert ("other", "1") not in registry.manifests
    registry.requests.clear()
    product.run("push", "-q", target)
    assert registry.manifests["other", "1"][1] == IMAGE.manifest.raw
    nothing_left(setting.root)
