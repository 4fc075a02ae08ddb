"""The verbs, as data: enough to print the help and to start, without importing any of them.

The module of a verb is `builder.cli.<module>`, with the click command under the name `command`.
"""

from __future__ import annotations


class Entry:
    """One verb: its module within `builder.cli`, what it does in one line, and whether it may need the
    launcher, because it starts processes or touches the files of images.
    """

    __slots__ = ("launches", "module", "summary")

    def __init__(self, module: str, summary: str, *, launches: bool) -> None:
        self.module = module
        self.summary = summary
        self.launches = launches


VERBS: dict[str, Entry] = {
    "build": Entry("build", "Build an image from a Dockerfile", launches=True),
    "run": Entry("run", "Run a command in a new container", launches=True),
    "images": Entry("images", "List images", launches=False),
    "pull": Entry("pull", "Download an image from a registry", launches=True),
    "push": Entry("push", "Upload an image to a registry", launches=True),
    "tag": Entry("tag", "Give an image another name", launches=False),
    "rmi": Entry("rmi", "Remove images", launches=True),
    "inspect": Entry("inspect", "Show the details of images as JSON", launches=False),
    "history": Entry("history", "Show how an image was made", launches=False),
    "save": Entry("save", "Write images to a tar archive", launches=True),
    "load": Entry("load", "Read images from a tar archive", launches=True),
    "import": Entry("import_", "Make an image of the files in a tar archive", launches=True),
    "prune": Entry("prune", "Remove what is not used", launches=True),
    "login": Entry("login", "Sign in to a registry", launches=False),
    "logout": Entry("logout", "Sign out of a registry", launches=False),
    "info": Entry("info", "Show what this host allows and where things are kept", launches=True),
    "version": Entry("version", "Show the version of lapstrake", launches=False),
}

ABSENT = frozenset(
    (
        "attach",
        "bake",
        "builder",
        "buildx",
        "commit",
        "compose",
        "config",
        "container",
        "context",
        "cp",
        "create",
        "diff",
        "events",
        "exec",
        "export",
        "image",
        "kill",
        "logs",
        "manifest",
        "network",
        "node",
        "pause",
        "plugin",
        "port",
        "ps",
        "rename",
        "restart",
        "rm",
        "search",
        "secret",
        "service",
        "stack",
        "start",
        "stats",
        "stop",
        "swarm",
        "system",
        "top",
        "trust",
        "unpause",
        "update",
        "volume",
        "wait",
    )
)
"""Docker's verbs that are not here yet: refused by name."""


def verb_of(arguments: list[str]) -> str | None:
    """Return the verb in the words after the program's name; None where there is only help to print."""
    rest = iter(arguments)
    for word in rest:
        if word == "--root":
            next(rest, None)
        elif not word.startswith("-"):
            return word
    return None
