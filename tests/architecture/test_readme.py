"""The commands that the README shows are run as they stand there, or say what they would need."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w+)(?: ([\w-]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

REASONS = {
    "set-up": "installs into the caller's environment; the set-up itself is what runs the tests",
    "registry": "needs a registry of the reader's",
}


def test_every_command_is_run_by_a_test_or_says_why_not() -> None:
    for language, label, _ in FENCE.findall((ROOT / "README.md").read_text()):
        assert language == "sh"
        assert not label or label in REASONS


def test_the_make_targets_that_are_named_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in ("README.md", "docs/CONTRIBUTING.md"):
        for target in re.findall(r"`make ([a-z-]+)`", (ROOT / page).read_text()):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page} names make {target}"
