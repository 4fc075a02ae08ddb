"""Whatever is done to a layout, a directory or an archive: it is copied right, or refused by an error of ours."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.engine.archives import load
from builder.engine.ends import parse_end
from builder.errors import LapstrakeError
from builder.store.root import Store
from tests.store.test_copying import copied
from tests.support.jobs import JobsHere
from tests.support.sample_closures import KINDS, read_layout, write_layout

FEW = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = [
    b'"size":0', b'"size":-1', b'"size":1e400', b'"digest":"sha256:', b"[]", b"{}", b"null", b'"', b"\\u0000",
    b'"mediaType":"application/vnd.oci.image.index.v1+json"', b"schemaVersion", b"9" * 30, b"../", b"\xff", b"",
]  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store"), JobsHere()) as opened:
        yield opened


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[int, float, float, bytes]]:
    """Changes of files: which, from where to where (as parts of its length), and what comes there instead."""
    place = st.floats(0, 1)
    word = st.one_of(st.sampled_from(WORDS), st.binary(max_size=6))
    return draw(st.lists(st.tuples(st.integers(0, 50), place, place, word), min_size=1, max_size=3))


def changed(data: bytes, start: float, end: float, word: bytes) -> bytes:
    first, last = sorted((int(start * len(data)), int(end * len(data))))
    return data[:first] + word + data[min(last, first + 12) :]


def spoil(root: Path, what: list[tuple[int, float, float, bytes]]) -> None:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for number, start, end, word in what:
        path = files[number % len(files)]
        path.write_bytes(changed(path.read_bytes(), start, end, word))


@FEW
@given(st.sampled_from(sorted(KINDS)), st.sampled_from(["oci", "dir"]), changes())
def test_a_place_that_was_tampered_with(
    tmp_path: Path, store: Store, kind: str, place: str, what: list[tuple[int, float, float, bytes]]
) -> None:
    root = tmp_path / "ground"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    layout = write_layout(root / "layout", KINDS[kind]())
    source = layout
    if place == "dir":
        source = root / "dir"
        copied(store, f"oci:{layout}", f"dir:{source}")
    spoil(source, what)
    for destination in (f"oci:{root / 'out'}", f"docker-archive:{root / 'archive'}", "kept:1"):
        with suppress(LapstrakeError):
            copied(store, f"{place}:{source}", destination)
    if (root / "out").exists():
        read_layout(root / "out")  # which looks at every digest


@FEW
@given(st.sampled_from(sorted(KINDS)), changes())
def test_an_archive_that_was_tampered_with(
    store: Store, tmp_path: Path, kind: str, what: list[tuple[int, float, float, bytes]]
) -> None:
    root = tmp_path / "ground"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    layout = write_layout(root / "layout", KINDS[kind](), "example.com/a:1")
    with suppress(LapstrakeError):
        copied(store, f"oci:{layout}", f"docker-archive:{root / 'in.tar'}:a:1")
    if not (root / "in.tar").exists():
        with tarfile.open(root / "in.tar", "w") as archive:
            archive.add(layout, ".")
    data = (root / "in.tar").read_bytes()
    for _, start, end, word in what:
        data = changed(data, start, end, word)
    (root / "in.tar").write_bytes(data)
    with suppress(LapstrakeError):
        load(store, io.BytesIO(data))
    for form in ("oci-archive", "docker-archive"):
        with suppress(LapstrakeError):
            copied(store, f"{form}:{root / 'in.tar'}", f"dir:{root / form}")


@given(st.one_of(st.text(), st.text(st.sampled_from("oci:dir@/sha256-archivedocker ."))))
def test_any_text_is_a_place_or_is_refused(text: str) -> None:
    with suppress(LapstrakeError):
        assert parse_end(str(parse_end(text)))
