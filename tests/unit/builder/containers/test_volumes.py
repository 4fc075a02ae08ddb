from __future__ import annotations

from pathlib import Path

import pytest

from builder.containers.volumes import mounts_of
from builder.errors import UsageError


def test_a_directory_is_shown_for_writing_unless_said_otherwise(tmp_path: Path) -> None:
    (first, second) = mounts_of((f"{tmp_path}:/data", f"{tmp_path}:/src/:ro"))
    assert (first.source, first.target, first.read_only) == (str(tmp_path), "/data", False)
    assert (second.target, second.read_only) == ("/src", True)


def test_a_path_that_begins_with_a_dot_starts_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert [mount.source for mount in mounts_of(("./here:/a", ".:/b"))] == [
        str(tmp_path / "here"),
        str(tmp_path),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data:/data", "named volumes, such as `data`, are not available"),
        ("/data", "anonymous volumes are not available"),
        ("data", "is not a volume"),
        (":/data", "is not a volume"),
        ("/tmp:", "is not a volume"),
        ("/tmp:/a:ro:more", "is not a volume"),
        ("/tmp:data", "`data` is not an absolute path"),
        ("/tmp:/", "below the root"),
        ("/tmp://", "below the root"),
        ("/tmp:/a/..", "below the root"),
        ("/nowhere/x:/a", "`/nowhere/x` cannot be shown: No such file"),
        ("/tmp:/a:z", "the option `z` is not available"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        mounts_of((text,))
    assert message in caught.value.message


def test_two_volumes_cannot_be_at_one_place(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two volumes"):
        mounts_of((f"{tmp_path}:/a", f"{tmp_path}:/a/"))
