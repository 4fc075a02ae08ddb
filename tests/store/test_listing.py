"""Which images pass the filters of a list, and where their sizes come from; jobs run in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.engine.catalogue import Catalogue
from builder.engine.listing import images
from builder.engine.requests import ImageFilter
from builder.errors import ImageError, UsageError
from builder.oci.config import ContainerConfig, ImageConfig
from builder.oci.digest import Digest
from builder.oci.reference import Reference
from builder.store.layers import BlobForm, Layer, pulled_layer
from builder.store.pruning import LabelFilter
from builder.store.root import Store
from tests.support.jobs import JobsHere

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="jobs without walls need root")
DAY = 86_400


class Filled:
    """A store with images of one day each: `add` returns the id of the next."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.catalogue = Catalogue(store)
        self.days = 0

    def add(self, *names: str, layers: tuple[str, ...] = (), **labels: str) -> str:
        self.days += 1
        config = ImageConfig(
            architecture="amd64",
            os="linux",
            created=f"2024-01-{self.days:02d}T00:00:00Z",
            diff_ids=layers,
            config=ContainerConfig(labels=tuple(sorted(labels.items()))),
        )
        image_id = self.catalogue.add(config)
        for name in names:
            self.catalogue.name(Reference.parse(name), image_id)
        return image_id

    def listed(self, **wanted: object) -> list[tuple[str, ...]]:
        return [row.names for row in images(self.store, ImageFilter(**wanted))]  # type: ignore[arg-type]


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Filled]:
    with Store(str(tmp_path), JobsHere()) as store:
        yield Filled(store)


def test_patterns_match_names_with_and_without_tags(filled: Filled) -> None:
    filled.add("debian:12", "reg.example:5000/team/debian:12")
    filled.add("alpine:3")
    filled.add()
    assert filled.listed(references=("debian",)) == [("debian:12",)]
    assert filled.listed(references=("*:12",)) == [("debian:12",)]
    assert filled.listed(references=("*/*/debian",)) == [("reg.example:5000/team/debian:12",)]
    assert filled.listed(references=("[ad]*", "reg.example:5000/*/*")) == [
        ("alpine:3",),
        ("debian:12", "reg.example:5000/team/debian:12"),
    ]
    assert filled.listed(references=("deb?an:1[^3]",)) == [("debian:12",)]
    assert filled.listed(references=("bian",)) == []
    digest = "sha256:" + "d" * 64
    filled.catalogue.pushed(Reference.parse("alpine:3"), digest)
    assert filled.listed(references=(f"alpine@{digest}",)) == [("alpine:3",)]
    assert filled.listed(references=(f"debian@{digest}",)) == []
    with pytest.raises(UsageError, match="no pattern"):
        filled.listed(references=("a[",))


def test_images_are_told_apart_by_having_names(filled: Filled) -> None:
    filled.add("a:1")
    filled.add()
    assert filled.listed(dangling=True) == [()]
    assert filled.listed(dangling=False) == [("a:1",)]


def test_labels_all_have_to_be_there(filled: Filled) -> None:
    filled.add("a:1", x="1", y="2")
    filled.add("b:1", x="2")
    both = (LabelFilter("x", None, wanted=True), LabelFilter("y", "2", wanted=True))
    assert filled.listed(labels=both) == [("a:1",)]
    assert filled.listed(labels=both[:1]) == [("b:1",), ("a:1",)]
    assert filled.listed(labels=both, references=("b",)) == []


def test_images_are_older_or_younger_than_others_and_than_a_moment(filled: Filled) -> None:
    ids = [filled.add(f"a:{number}") for number in range(1, 6)]
    assert filled.listed(before=("a:3",)) == [("a:2",), ("a:1",)]
    assert filled.listed(since=(ids[2][7:19],)) == [("a:5",), ("a:4",)]
    assert filled.listed(before=("a:5",), since=("a:1", "a:2")) == [("a:4",), ("a:3",)]
    assert filled.listed(until=1_704_067_200.0 + DAY) == [("a:1",)]
    with pytest.raises(ImageError, match="nowhere"):
        filled.listed(before=("nowhere",))


def test_sizes_are_known_without_reading_configurations(filled: Filled) -> None:
    unpacked, packed = (f"sha256:{digit * 64}" for digit in "ab")
    filled.store.layers.add(Layer(unpacked, unpacked[7:], 1000, 1, 0.0))
    filled.store.layers.add(pulled_layer(packed))
    for compression, size, pulled in (("gzip", 70, True), ("zstd", 60, False)):
        form = BlobForm(f"sha256:{size:064x}", size, "", compression, pulled=pulled)
        filled.store.layers.add_blob(packed, form)
    image_id = filled.add("a:1", layers=(unpacked, packed, unpacked))
    os.unlink(filled.store.blobs.path(Digest(image_id)))
    assert [row.size for row in images(filled.store)] == [2070]
    filled.store.layers.add(Layer(packed, packed[7:], 5000, 1, 0.0))
    assert [row.size for row in images(filled.store)] == [7000]


def test_sizes_of_images_of_an_older_store_are_read_from_their_configurations(
    filled: Filled,
) -> None:
    layer = f"sha256:{'a' * 64}"
    filled.store.layers.add(Layer(layer, layer[7:], 1000, 1, 0.0))
    filled.add("a:1", layers=(layer,))
    filled.store.db.execute("UPDATE images SET layers = '', size = 5")
    assert [row.size for row in images(filled.store)] == [1000]
