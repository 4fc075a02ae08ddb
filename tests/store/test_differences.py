"""In what two images of a store differ."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.engine.catalogue import LocalImage
from builder.engine.differences import (
    configuration_differences,
    file_differences,
    layers_of,
)
from builder.engine.moving import Comparison
from builder.oci.config import ContainerConfig, ImageConfig
from builder.store.root import Store
from builder.ui import differences as shown
from tests.support.jobs import JobsHere
from tests.support.sample_image import sample_image, tar
from tests.support.store_images import built, pulled

pytestmark = pytest.mark.needs_root


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store"), JobsHere()) as opened:
        yield opened


def compared(
    store: Store, before: LocalImage, after: LocalImage, *, times: bool = False
) -> Comparison:
    return Comparison(
        layers=layers_of(before, after),
        configuration=configuration_differences(before.config, after.config, times=times),
        files=file_differences(store, before.state, after.state, times=times),
    )


def told(store: Store, before: LocalImage, after: LocalImage) -> list[str]:
    lines: list[str] = []
    shown.show(compared(store, before, after), lines.append)
    return lines[lines.index("Files:") + 1 :] if "Files:" in lines else []


def write(name: str, text: str = "", mode: int = 0o644) -> object:
    def step(root: str) -> None:
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(path, mode)

    return step


def test_every_attribute_that_changed_is_named(store: Store) -> None:
    base = built(store, write("app/run", "1"), write("app/kept", "k"))  # type: ignore[arg-type]

    def change(root: str) -> None:
        write("app/run", "22", 0o755)(root)  # type: ignore[operator]
        os.chown(f"{root}/app/run", 5, 6)
        os.setxattr(f"{root}/app/run", "user.x", b"v")
        os.symlink("run", f"{root}/app/link")

    after = built(store, change, base=base)
    lines = told(store, base, after)
    assert lines == [
        "A /app/link",
        "C /app/run: mode 0644 -> 0755, owner 0:0 -> 5:6, size 1 -> 2, attribute user.x v added, content",
    ]


def test_images_that_were_pulled_and_never_used_are_compared(store: Store) -> None:
    one = pulled(store, sample_image(tar({"same": b"s", "a": b"1"})))
    other = pulled(store, sample_image(tar({"same": b"s", "b": b"2"})))
    assert told(store, one, other) == ["D /a", "A /b"]


def test_the_same_files_in_other_layers_are_no_difference(store: Store) -> None:
    one = built(store, write("d/a", "1"), write("d/b", "2"))  # type: ignore[arg-type]

    def both(root: str) -> None:
        for name, text in (("d/a", "1"), ("d/b", "2")):
            write(name, text)(root)  # type: ignore[operator]

    other = built(store, both)
    found = compared(store, one, other)
    assert len(found.layers.before) == 2
    assert list(found.files) == []


def test_configuration_is_compared_variable_by_variable() -> None:
    before = ImageConfig(
        os="linux",
        architecture="amd64",
        created="2024",
        config=ContainerConfig(env=("A=1", "B="), cmd=("x",), labels=(("l", "1"),)),
    )
    after = ImageConfig(
        os="linux",
        architecture="arm64",
        created="2025",
        config=ContainerConfig(env=("A=2",), cmd=(), labels=(("l", "1"),)),
    )
    found = {
        each.name: (each.before, each.after) for each in configuration_differences(before, after)
    }
    assert found == {
        "Platform": ("linux/amd64", "linux/arm64"),
        "Cmd": (["x"], []),
        "Env A": ("1", "2"),
        "Env B": ("", None),
    }
    assert "Created" in {each.name for each in configuration_differences(before, after, times=True)}


def test_the_json_is_one_document_also_of_names_that_are_no_text(store: Store) -> None:
    def step(root: str) -> None:
        with open(os.fsencode(root) + b"/\xff\n", "wb"):
            pass

    base = built(store, write("a"))  # type: ignore[arg-type]
    after = built(store, step, base=base)
    pieces: list[str] = []
    assert shown.show_json(compared(store, base, after), pieces.append)
    document = msgspec.json.decode("".join(pieces))
    assert [each["path"] for each in document["files"]] == ["/\\xff\n"]
    lines: list[str] = []
    shown.show(compared(store, base, after), lines.append)
    assert lines[-1] == "A /\\xff␊"


def test_a_layer_that_is_lost_is_an_error(store: Store) -> None:
    sample = sample_image()
    one = pulled(store, sample)
    blob = sample.manifest.layers[0].digest
    os.unlink(store.blobs.path(blob))
    other = pulled(store, sample_image(tar({"b": gzip.compress(b"")})))
    assert not store.blobs.contains(blob)
    with pytest.raises(Exception, match="no usable form of layer"):
        list(file_differences(store, one.state, other.state))
