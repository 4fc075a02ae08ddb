"""The same builds once more with the store on other file systems, and what is special where nothing can be stacked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.build.conftest import _needs_a_builder
from tests.support.busybox_base import find_busybox, write_busybox_base
from tests.support.hosts import (
    ON_BTRFS,
    ON_EXT4,
    ON_OVERLAY,
    ON_TMPFS,
    ON_XFS,
    WITHOUT_ATTRIBUTES,
    Ground,
)
from tests.support.unprivileged import CHECKOUT

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(os.geteuid() != 0, reason="optional: mounting needs root"),
]
GROUNDS = [ON_OVERLAY, ON_TMPFS, WITHOUT_ATTRIBUTES, ON_EXT4, ON_XFS, ON_BTRFS]
MODULES = [
    "test_run",
    "test_copy",
    "test_stages",
    "test_add",
    "test_cache",
    "test_cutoff",
    "test_normalized",
    "test_verify_cache",
    "test_onbuild",
    "test_kept",
]
DIFFERENT = "deletions_are_marks or renames_and_hard_links_across_layers or attributes_set_to_what_they_were"
ATTRIBUTES = "attribute or capabilit or xattr"


def run_there(ground: Ground, place: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    if lacking := ground.missing():
        pytest.skip(f"optional: {lacking}")
    return subprocess.run(
        ground.command(place, *words),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=1200,
    )


@pytest.mark.parametrize(
    ("ground", "module"),
    [
        pytest.param(
            ground,
            module,
            id=f"{ground.name}-{module}",
            marks=() if ground is ON_OVERLAY and module == "test_run" else pytest.mark.slow,
        )
        for ground in GROUNDS
        for module in MODULES
    ],
)
def test_builds_are_the_same_there(ground: Ground, module: str, tmp_path: Path) -> None:
    left_out = DIFFERENT if ground.snapshotter == "copying" else "nothing"
    if ground is WITHOUT_ATTRIBUTES:
        left_out += f" or {ATTRIBUTES}"
    # fmt: off
    done = run_there(ground, tmp_path, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                     f"--basetemp={tmp_path}/t", "-k", f"not ({left_out})", f"tests/build/{module}.py")
    # fmt: on
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout


SCRIPT = """
set -e
l="$1 --root $2/store"
$l import $3 box > /dev/null
$l build -q -t it -o type=oci,dest=$4,compression=uncompressed $5 > /dev/null
cat $2/store/store.json
"""


@pytest.mark.parametrize("ground", GROUNDS, ids=lambda ground: ground.name)
def test_how_states_are_kept_is_tried_once_and_remembered(
    ground: Ground, tmp_path: Path, context: Path
) -> None:
    _needs_a_builder()
    busybox = find_busybox()
    assert busybox is not None
    box = write_busybox_base(tmp_path / "box.tar", busybox)
    (context / "Dockerfile").write_text("FROM box\nRUN rm /etc/group; touch /new\n")
    place = tmp_path / "ground"
    place.mkdir()
    program = Path(sys.executable).with_name("lapstrake")
    done = run_there(
        ground, place, "sh", "-c", SCRIPT, "-", program, place, box, tmp_path / "out.tar", context
    )
    assert done.returncode == 0, done.stderr
    kept = json.loads(done.stdout)["snapshotters"]
    assert kept == {f"root {os.uname().release}": ground.snapshotter}


UPKEEP = """
set -e
l="$1 --root $2/store"
$l import $3 box > /dev/null
$l build -q -t it $4 > /dev/null
$l df -v
$l store check
$l build -q --no-cache $4 > /dev/null
$l rmi it > /dev/null
$l prune -f
$l store check --repair
$l build -q --max-size 200m $4 > /dev/null
$l system reset -f > /dev/null
test ! -e $2/store
"""


@pytest.mark.parametrize("ground", GROUNDS, ids=lambda ground: ground.name)
def test_a_store_is_measured_checked_and_pruned_there(
    ground: Ground, tmp_path: Path, context: Path
) -> None:
    _needs_a_builder()
    busybox = find_busybox()
    assert busybox is not None
    box = write_busybox_base(tmp_path / "box.tar", busybox)
    (context / "Dockerfile").write_text("FROM box\nRUN rm /etc/group; touch /new\nCOPY . /in\n")
    place = tmp_path / "ground"
    place.mkdir()
    program = Path(sys.executable).with_name("lapstrake")
    done = run_there(ground, place, "sh", "-c", UPKEEP, "-", program, place, box, context)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("all is well") == 2


DUPLICATE = """
import os, sys
from builder.layer.duplicate import duplicate
place = sys.argv[1]
os.mkdir(place + "/one"); os.mkdir(place + "/two")
with open(place + "/one/big", "wb") as file:
    file.write(os.urandom(100 << 20))
os.sync()
before = os.statvfs(place).f_bfree
duplicate(place + "/one", place + "/two")
os.sync()
found = os.statvfs(place)
assert open(place + "/one/big", "rb").read() == open(place + "/two/big", "rb").read()
print((before - found.f_bfree) * found.f_frsize)
"""


@pytest.mark.parametrize("ground", [ON_XFS, ON_BTRFS, ON_EXT4], ids=lambda ground: ground.name)
def test_copied_trees_share_their_blocks_where_the_file_system_can(
    ground: Ground, tmp_path: Path
) -> None:
    place = tmp_path / "ground"
    place.mkdir()
    done = run_there(ground, place, sys.executable, "-c", DUPLICATE, place)
    assert done.returncode == 0, done.stderr
    shared = int(done.stdout) < 10 << 20
    assert shared is (ground is not ON_EXT4)
