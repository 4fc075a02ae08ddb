"""The judge of trees sees what it should: it is what equality of builds is measured by."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from tests.support.trees import differences, image_tree


def layer(*members: tuple[str, bytes | None]) -> bytes:
    """Return a layer; a name with None is a directory, a name with `=` a hard link."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members:
            path, _, target = name.partition("=")
            info = tarfile.TarInfo(path)
            info.mode = 0o755
            if target:
                info.type, info.linkname = tarfile.LNKTYPE, target
                archive.addfile(info)
            elif content is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def image(path: Path, *layers: bytes) -> Path:
    names = [f"{number}.tar" for number in range(len(layers))]
    manifest = json.dumps([{"Layers": names}]).encode()
    with tarfile.open(path, "w") as archive:
        for name, content in (*zip(names, layers, strict=True), ("manifest.json", manifest)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_whiteouts_remove_what_lies_below_and_nothing_of_their_own_layer(tmp_path: Path) -> None:
    below = layer(("a", None), ("a/old", b"1"), ("b", None), ("b/old", b"2"), ("c", b"3"))
    above = layer((".wh.c", b""), ("a/new", b"4"), ("a/.wh..wh..opq", b""), ("b/.wh.old", b""))
    assert set(image_tree(image(tmp_path / "image.tar", below, above))) == {"a", "a/new", "b"}


def test_a_hard_link_is_what_it_links_to(tmp_path: Path) -> None:
    tree = image_tree(image(tmp_path / "image.tar", layer(("one", b"x"), ("two=one", b""))))
    assert tree["one"] == tree["two"]


def test_a_file_in_the_place_of_a_directory_takes_its_contents_away(tmp_path: Path) -> None:
    below = layer(("a", None), ("a/b", b"1"))
    assert set(image_tree(image(tmp_path / "image.tar", below, layer(("a", b"2"))))) == {"a"}


def test_every_kind_of_difference_is_said(tmp_path: Path) -> None:
    before = image_tree(image(tmp_path / "one.tar", layer(("a", b"1"), ("b", b"2"), ("c", b"3"))))
    after = image_tree(image(tmp_path / "two.tar", layer(("a", b"1"), ("b", None), ("d", b"4"))))
    said = differences(before, after)
    assert said[:2] == ["gone: c", "new: d"]
    assert any(line.startswith("b: kind") for line in said)
    assert not any(line.startswith("a:") for line in said)
    assert differences(before, before) == []
