"""The verbs, as data: enough to print the help and to start, without importing any of them.

The module of a verb is `builder.cli.<module>`, with the click command under the name `command`.
"""

from __future__ import annotations


class Entry:
    """One verb: its module within `builder.cli`, what it does in one line, and whether it opens the store,
    for which the launcher must be there.
    """

    __slots__ = ("module", "opens_store", "summary")

    def __init__(self, module: str, summary: str, *, opens_store: bool = True) -> None:
        self.module = module
        self.summary = summary
        self.opens_store = opens_store


VERBS: dict[str, Entry] = {
    "build": Entry("build", "Build an image from a Dockerfile"),
    "run": Entry("run", "Run a command in a new container"),
    "images": Entry("images", "List images"),
    "pull": Entry("pull", "Download an image from a registry"),
    "push": Entry("push", "Upload an image to a registry"),
    "tag": Entry("tag", "Give an image another name"),
    "rmi": Entry("rmi", "Remove images"),
    "inspect": Entry("inspect", "Show the details of images as JSON"),
    "history": Entry("history", "Show how an image was made"),
    "copy": Entry("copy", "Copy images between registries, layouts, archives and the store"),
    "manifest": Entry("manifest", "Put lists of images for several platforms together"),
    "tags": Entry("tags", "List the tags of a repository in its registry", opens_store=False),
    "delete": Entry("delete", "Remove an image from its registry", opens_store=False),
    "diff": Entry("diff", "Show in what two images differ"),
    "verify": Entry("verify", "Build an image again, and say whether it is the same"),
    "provenance": Entry("provenance", "Show what an image was built from"),
    "save": Entry("save", "Write images to a tar archive"),
    "load": Entry("load", "Read images from a tar archive"),
    "import": Entry("import_", "Make an image of the files in a tar archive"),
    "prune": Entry("prune", "Remove what is not used"),
    "df": Entry("df", "Show what takes the room on the disk"),
    "image": Entry("image", "Build, list, move and remove images: ls, pull, push, rm, …"),
    "builder": Entry("builder", "Build images, prune the cache: build, prune"),
    "store": Entry("store", "Verify the store, and mend it"),
    "system": Entry("system", "Measure, prune or remove the store: df, prune, reset, info"),
    "login": Entry("login", "Sign in to a registry", opens_store=False),
    "logout": Entry("logout", "Sign out of a registry", opens_store=False),
    "fmt": Entry("fmt", "Make the layout of a Dockerfile even", opens_store=False),
    "context": Entry("context", "Show what a build context holds", opens_store=False),
    "builds": Entry("builds", "List builds"),
    "logs": Entry("logs", "Show the log of a build"),
    "why": Entry("why", "Say why steps were not cached"),
    "debug": Entry("debug", "Look around in a step of a build"),
    "doctor": Entry(
        "doctor", "Try what this host allows, and say what to change", opens_store=False
    ),
    "info": Entry("info", "Show what this host allows and where things are kept"),
    "version": Entry("version", "Show the version of lapstrake", opens_store=False),
}

ABSENT = frozenset(
    (
        "attach",
        "bake",
        "buildx",
        "commit",
        "compose",
        "config",
        "container",
        "cp",
        "create",
        "events",
        "exec",
        "export",
        "kill",
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
