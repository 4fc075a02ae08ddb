"""Where a secret is looked for in what a step wrote."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from builder.layer.leaks import find_leaks
from builder.solve.needles import forms

NEEDLE = "s3cr3t-value"


def found(root: Path) -> object:
    return find_leaks({"root": str(root), "needles": [NEEDLE.encode()]}, (), lambda _: None)


def test_a_name_is_told_without_the_secret_in_it(tmp_path: Path) -> None:
    (tmp_path / f"of-{NEEDLE}").mkdir()
    (tmp_path / f"of-{NEEDLE}" / "other").touch()
    assert found(tmp_path) == ["/of-****"]


@pytest.mark.parametrize(("name", "value"), [(f"user.{NEEDLE}", b"1"), ("user.a", NEEDLE.encode())])
def test_attributes_are_searched_by_name_and_value(tmp_path: Path, name: str, value: bytes) -> None:
    (tmp_path / "file").touch()
    try:
        os.setxattr(tmp_path / "file", name, value)
    except OSError:
        pytest.skip("optional: a file system with extended attributes")
    assert found(tmp_path) == ["/file"]


def test_base64_in_lines_is_found_whatever_stands_before_it(tmp_path: Path) -> None:
    value = bytes(range(30, 130))
    text = base64.encodebytes(b"user:" + value)
    (tmp_path / "file").write_bytes(b"\0" * ((1 << 20) - 60) + text)
    needles = forms(value)
    assert find_leaks({"root": str(tmp_path), "needles": needles}, (), lambda _: None) == ["/file"]


def test_a_part_of_a_large_secret_is_found_by_its_beginning(tmp_path: Path) -> None:
    value = os.urandom(20_000)
    (tmp_path / "begun").write_bytes(b"x" + value[:5000])
    (tmp_path / "other").write_bytes(value[10_000:])
    assert find_leaks({"root": str(tmp_path), "needles": [value]}, (), lambda _: None) == ["/begun"]
