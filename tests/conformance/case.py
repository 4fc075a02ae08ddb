"""A case as its folder describes it: what is built, how, and what must come out."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

CASES = Path(__file__).parents[2] / "fixtures" / "dockerfiles"
HERE = Path(__file__).parent
KEYS = {
    "why", "source", "feature", "buildkit", "build", "setup", "config", "layers", "tree", "absent",
    "history", "platform", "error", "again",
}  # fmt: skip
BUILD_KEYS = {
    "target", "build_args", "labels", "environment", "contexts", "context", "stdin", "arguments",
}  # fmt: skip
ERROR_KEYS = {"code", "line", "column", "words"}


class Case(NamedTuple):
    """One behaviour of the Dockerfile language."""

    name: str
    folder: Path
    why: str
    source: str
    feature: str
    buildkit: str | None  # what BuildKit does instead, where we differ on purpose
    build: dict[str, Any]
    setup: dict[str, Any]
    expected: dict[str, Any]

    @property
    def fails(self) -> bool:
        """Say whether the build must be refused or fail."""
        return "error" in self.expected

    @property
    def unsupported(self) -> bool:
        """Say whether the case shows that something is refused by name."""
        return self.expected.get("error", {}).get("code") == "dockerfile.unsupported"


class Feature(NamedTuple):
    """A row of the table of features."""

    id: str
    section: str
    title: str
    without_case: str | None  # why no case shows it


def load(folder: Path) -> Case:
    """Read the case in `folder`."""
    text = tomllib.loads(folder.joinpath("expect.toml").read_text())
    unknown = set(text) - KEYS
    unknown |= {f"build.{key}" for key in set(text.get("build", {})) - BUILD_KEYS}
    unknown |= {f"error.{key}" for key in set(text.get("error", {})) - ERROR_KEYS}
    assert not unknown, f"{folder.name}: unknown keys {sorted(unknown)}"
    return Case(
        name=folder.name,
        folder=folder,
        why=text.pop("why"),
        source=text.pop("source"),
        feature=text.pop("feature"),
        buildkit=text.pop("buildkit", None),
        build=text.pop("build", {}),
        setup=text.pop("setup", {}),
        expected=text,
    )


@functools.cache
def all_cases() -> tuple[Case, ...]:
    """Return every case, by name."""
    return tuple(load(path.parent) for path in sorted(CASES.glob("*/expect.toml")))


@functools.cache
def features() -> tuple[Feature, ...]:
    """Return the table of features, in the order of the page."""
    table = tomllib.loads(HERE.joinpath("features.toml").read_text())
    return tuple(
        Feature(row["id"], section["title"], row["title"], row.get("without_case"))
        for section in table["section"]
        for row in section["row"]
    )
