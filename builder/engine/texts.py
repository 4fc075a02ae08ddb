"""The texts that a build begins with: the Dockerfile and the ignore file of its context."""

from __future__ import annotations

import os
import stat

from builder.diagnostics import SourceFile
from builder.errors import ContextError, DockerfileError
from builder.solve.context import LocalContext

MAX_TEXT = 16 << 20
"""Bytes of a Dockerfile or ignore file that are read."""


def dockerfile_of(context: str, given: str | None) -> SourceFile:
    """Read the Dockerfile that was named, or else the one in a context directory.

    Raises: DockerfileError: there is none. ContextError: it cannot be read, or is a link out of the context.
    """
    path = given if given is not None else os.path.join(context, "Dockerfile")
    text = text_beneath(context, path)
    if text is None and os.path.basename(path) == "Dockerfile":
        lower = os.path.join(os.path.dirname(path), "dockerfile")
        text = text_beneath(context, lower)
        path = path if text is None else lower
    if text is None:
        raise DockerfileError(
            f"there is no file `{os.path.relpath(path) if given is None else given}`",
            code="dockerfile.not-found",
            notes=_near_dockerfiles(os.path.dirname(path) or ".", os.path.basename(path)),
            hint="name it with `-f FILE`, or create a `Dockerfile` in the context"
            if given is None
            else "`-f` is relative to where you are, not to the context",
        )
    name = os.path.relpath(path)
    return SourceFile(path if name.startswith("..") else name, text)


def context_of(root: str, dockerfile: str | None, *, alone: bool = False) -> LocalContext:
    """Return a context directory with its ignore file: the one beside the Dockerfile comes first.

    One whose Dockerfile is from elsewhere, with nothing beside it, is `alone`.

    Raises: ContextError: the ignore file cannot be read, or is a link out of the context.
    """
    path = dockerfile or os.path.join(root, "Dockerfile")
    beside = () if alone else (f"{path}.dockerignore",)
    for candidate in (*beside, os.path.join(root, ".dockerignore")):
        text = text_beneath(root, candidate)
        if text is not None:
            name = os.path.relpath(candidate, root)
            return LocalContext(root=root, ignore=text, ignore_name=name)
    return LocalContext(root=root)


def text_beneath(context: str, path: str) -> str | None:
    """Do as `read_text`; a file of the context may be a link to another one of it.

    A context may come from a stranger: a link out of it would show files of this machine in messages. As with Docker,
    the directory that is named may be a link itself.

    Raises: ContextError: a link leads out of the context, or the file cannot be read.
    """
    inside = f"{os.path.abspath(context)}/"
    if os.path.abspath(path).startswith(inside) and os.path.lexists(path):
        real = os.path.realpath(path)
        allowed = (context, os.path.dirname(path))
        if not any(real.startswith(f"{os.path.realpath(each)}/") for each in allowed):
            raise ContextError(
                f"`{path}` leads out of the build context",
                code="context.unreadable",
                notes=("there is a link in it, and no link is followed out of the context",),
                hint="put the file itself in its place",
            )
    return read_text(path)


def read_text(path: str) -> str | None:
    """Return a text file's content, None where there is none.

    Raises: ContextError: it is no regular file, too large, or may not be read. A FIFO is not waited for.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ContextError(
            f"`{path}` cannot be read: {os.strerror(error.errno or 0)}",
            code="context.unreadable",
            hint="let the user who builds read it and enter the directories above it",
        ) from error
    try:
        status = os.fstat(fd)
        refused = _refusal(path, status)
        if refused is not None:
            raise refused
        with os.fdopen(os.dup(fd), "rb") as file:
            data = file.read(MAX_TEXT)
    finally:
        os.close(fd)
    return data.decode("utf-8", "surrogateescape")


def _refusal(path: str, status: os.stat_result) -> ContextError | None:
    """Return what to say of a path that holds no text; None where it may hold one."""
    if stat.S_ISDIR(status.st_mode):
        what, hint = "is a directory, not a text file", "name a file, or put one in its place"
    elif not stat.S_ISREG(status.st_mode):
        what, hint = "is not a regular file", "name a text file, or put one in its place"
    elif status.st_size > MAX_TEXT:
        what, hint = f"is larger than the {MAX_TEXT >> 20} MiB that are read", "make it smaller"
    else:
        return None
    return ContextError(f"`{path}` {what}", code="context.unreadable", hint=hint)


def _near_dockerfiles(directory: str, wanted: str) -> tuple[str, ...]:
    """Return what a directory holds that may have been meant: a name like that, or what Dockerfiles are called."""
    from builder.dockerfile.suggest import nearest

    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return ()
    usual = [
        name
        for name in names
        if any(each in name.lower() for each in ("dockerfile", "containerfile"))
        and not name.endswith(".dockerignore")
    ]
    near = nearest(wanted, names, fold=True)
    found = list(dict.fromkeys([*([near] if near in names else []), *usual]))[:5]
    listed = ", ".join(f"`{os.path.relpath(os.path.join(directory, name))}`" for name in found)
    return (f"there is {listed}",) if found else ()
