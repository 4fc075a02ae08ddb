"""What a shared cache gave comes to the same image as what is made here, times that were read off a clock included."""

from __future__ import annotations

import json
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from builder.engine.requests import BuildRequest, Output
from builder.layer.entries import read_entries
from builder.layer.pack import SECOND
from builder.solve.given import SharedCache
from tests.build.workshop import Watch, Workshop

EPOCH = "2000000000"  # later than any clock says
DOCKERFILE = (
    "FROM base\n"
    "RUN mkdir /d && echo 1 > /d/f && touch -d '2001-02-03 04:05:06' /d/old\n"
    "WORKDIR /w\nCOPY a /w/\nRUN ln /d/f /hard\n"
)


def rewritten(
    shop: Workshop, context: Path, archive: Path, **request: Any
) -> tuple[str, list[str]]:
    """Build without late times; return the digest of the manifest, and what was executed."""
    watch = Watch()
    output = Output(type="oci", dest=str(archive), attributes=(("rewrite-timestamp", "true"),))
    asked = BuildRequest(
        context=str(context),
        outputs=(output,),
        build_args=(("SOURCE_DATE_EPOCH", EPOCH),),
        **request,
    )
    shop.engine.build(asked, watch)
    with tarfile.open(archive) as layout:
        index = layout.extractfile("index.json")
        assert index is not None
        digest: str = json.load(index)["manifests"][0]["digest"]
    return digest, [step for step in watch.executed() if step]


def test_an_image_of_shared_layers_is_the_one_that_is_built_without_them(
    machine: Callable[[], Workshop], context: Path, tmp_path: Path
) -> None:
    (context / "a").write_text("1")
    (context / "Dockerfile").write_text(DOCKERFILE)
    cache = SharedCache(type="local", where=str(tmp_path / "cache"), every_step=True)
    first, _ = rewritten(machine(), context, tmp_path / "1.tar", cache_to=(cache,))
    time.sleep(1.1)  # another second, in which nothing is executed and everything is
    other = machine()
    shared, executed = rewritten(other, context, tmp_path / "2.tar", cache_from=(cache,))
    assert executed == []
    alone, executed = rewritten(machine(), context, tmp_path / "3.tar")
    assert len(executed) == 4
    assert first == shared == alone


def test_the_entry_list_of_a_shared_layer_marks_what_was_read_off_a_clock(
    machine: Callable[[], Workshop], context: Path, tmp_path: Path
) -> None:
    (context / "a").write_text("1")
    (context / "Dockerfile").write_text(DOCKERFILE)
    cache = SharedCache(type="local", where=str(tmp_path / "cache"), every_step=True)
    rewritten(machine(), context, tmp_path / "1.tar", cache_to=(cache,))
    shop = machine()
    rewritten(shop, context, tmp_path / "2.tar", cache_from=(cache,))
    layers = shop.engine._store.layers
    marks = {
        entry.path: entry.mtime % SECOND
        for (diff_id,) in shop.engine._store.db.rows("SELECT diff_id FROM layers")
        if layers.get(str(diff_id)).content_id not in str(diff_id)  # type: ignore[union-attr]  # it is there
        and Path(layers.entries_path(str(diff_id))).exists()
        for entry in read_entries(layers.entries_path(str(diff_id)))
    }
    assert (marks[b"d"], marks[b"d/old"]) == (1, 0)
