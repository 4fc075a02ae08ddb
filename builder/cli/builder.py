"""`lapstrake builder`: building and pruning, under the words that people know from Docker."""

from __future__ import annotations

from builder.cli.groups import group

command = group(
    "builder",
    "Build images, prune the cache: build, prune",
    {"build": "build", "prune": "prune"},
)
