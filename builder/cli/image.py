"""`lapstrake image`: the verbs about images, under the words that people know from Docker."""

from __future__ import annotations

from builder.cli.groups import group

command = group(
    "image",
    "Build, list, move and remove images: ls, pull, push, rm, …",
    {
        "build": "build",
        "history": "history",
        "import": "import",
        "inspect": "inspect",
        "load": "load",
        "ls": "images",
        "list": "images",
        "prune": "prune",
        "pull": "pull",
        "push": "push",
        "rm": "rmi",
        "remove": "rmi",
        "save": "save",
        "tag": "tag",
    },
)
