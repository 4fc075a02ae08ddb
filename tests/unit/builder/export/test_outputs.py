from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import ExportError
from builder.export.outputs import check
from builder.export.requested import Directory


@pytest.mark.parametrize("dest", ["/", "//", "/usr/..", "link"])
def test_no_image_is_written_over_the_machine(
    dest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("/")
    with pytest.raises(ExportError, match="root directory of this machine"):
        check(Directory(dest=dest))
