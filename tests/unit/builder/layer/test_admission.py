"""What headers alone tell about a root file system: only what could not be unpacked is refused."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.errors import LayerError
from builder.layer.admission import Admission
from builder.layer.read import Limits, TarReader
from tests.unit.builder.layer.archives import (
    END,
    Result,
    block,
    directory,
    file,
    hardlink,
    symlink,
)

NAMES = [b"a", b"b", b"a/b", b"b/a", b"a/b/c", b"./", b"a/.wh.b", b".wh.a", b".wh..wh..opq"]


def admit(data: bytes) -> None:
    admission = Admission()
    for member in TarReader(io.BytesIO(data + END), Limits()).members():
        admission.admit(member)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (hardlink(b"a", b"missing"), "`a` is a hard link to `missing`"),
        (hardlink(b"a", b"b") + file(b"b"), "no such file comes before it"),
        (directory(b"d") + hardlink(b"a", b"d"), "no such file"),
        (hardlink(b"a", b"/"), "no such file"),
        (block(b"null", kind=b"3") + hardlink(b"a", b"null"), "no such file"),
        (file(b"./"[:1]), "its root"),
        (symlink(b"/", b"x"), "its root"),
        (file(b".wh."), "removes nothing"),
        (file(b"d/.wh.."), "removes nothing"),
        (file(b"d/.wh..."), "removes nothing"),
        (file(b".wh.d/f"), "below a name that begins"),
        (symlink(b"a", b""), "links to nothing"),
        (file(b"a") + file(b"a/b"), "below `a`, which is no directory"),
        (symlink(b"a", b"a") + file(b"a/b"), "no directory"),
    ],
)
def test_what_cannot_be_unpacked_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(LayerError, match=message) as caught:
        admit(data)
    assert caught.value.code == "layer.invalid"


@pytest.mark.parametrize(
    "data",
    [
        file(b"a") + hardlink(b"b", b"/a") + hardlink(b"c", b"./b"),
        symlink(b"lib", b"usr/lib") + file(b"lib/x") + hardlink(b"y", b"usr/lib/x"),
        symlink(b"usr/lib", b"../l") + file(b"l/x") + hardlink(b"y", b"usr/lib/x"),
        symlink(b"s", b"/nowhere")
        + hardlink(b"t", b"s")
        + file(b"t/x")
        + hardlink(b"z", b"nowhere/x"),
        file(b"a") + directory(b"a") + file(b"a/b"),
        file(b"a/.wh.x") + file(b".wh..wh.plnk/1"),
        directory(b"./") + file(b"./a"),
    ],
)
def test_what_can_be_unpacked_is_admitted(data: bytes) -> None:
    admit(data)


@pytest.mark.needs_root
@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.builds(file, st.sampled_from(NAMES)),
            st.builds(directory, st.sampled_from(NAMES)),
            st.builds(
                symlink, st.sampled_from(NAMES), st.sampled_from([b"a", b"b", b"/b/a", b".."])
            ),
            st.builds(hardlink, st.sampled_from(NAMES), st.sampled_from(NAMES)),
            st.builds(lambda name: block(name, kind=b"3"), st.sampled_from(NAMES)),
        ),
        max_size=6,
    )
)
def test_nothing_is_refused_that_unpacks(members: list[bytes]) -> None:
    data = b"".join(members)
    with tempfile.TemporaryDirectory() as folder:
        try:
            Result(Path(folder) / "layer", data + END)
        except LayerError:
            return
    admit(data)
