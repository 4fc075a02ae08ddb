"""Where images came from: what the index remembers of it, and for how long."""

from __future__ import annotations

from pathlib import Path

from builder.store.db import Database
from builder.store.images import Claim, ImageIndex, Origin, StoredImage

ID = "sha256:" + "1" * 64
DIGEST = "sha256:" + "2" * 64
ORIGIN = Origin("docker.io/library/debian:12", DIGEST, (Claim("type", b"{}", "index"),))


def test_the_last_build_of_an_image_says_where_it_came_from(tmp_path: Path) -> None:
    db = Database(str(tmp_path / "index.db"))
    images = ImageIndex(db)
    assert images.origin(ID) is None
    images.set_origin(ID, ORIGIN)
    assert images.origin(ID) == ORIGIN
    images.set_origin(ID, Origin())
    assert images.origin(ID) == Origin()
    db.close()


def test_what_is_removed_came_from_nowhere(tmp_path: Path) -> None:
    db = Database(str(tmp_path / "index.db"))
    images = ImageIndex(db)
    images.add(StoredImage(ID, None, 0.0, 0))
    images.set_origin(ID, ORIGIN)
    images.remove(ID)
    assert images.origin(ID) is None
    db.close()
