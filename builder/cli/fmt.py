"""`lapstrake fmt`: even layout for Dockerfiles."""

from __future__ import annotations

import os
import stat
import sys

import click

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb
from builder.errors import UsageError

_MOST = 16 << 20


@click.command("fmt", cls=Verb, short_help="Make the layout of a Dockerfile even")
@click.option("-w", "--write", is_flag=True, help="Write the result back to the file.")
@click.option("--check", is_flag=True, help="Only list files that are not even; exit with 1.")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.pass_obj
def command(invocation: Invocation, *, write: bool, check: bool, files: tuple[str, ...]) -> int:
    """Make the layout of Dockerfiles even, without changing what they say; `-` is standard input.

    Without a flag the result is printed. Keywords are written in upper case, words one blank apart,
    continued lines indented by four; commands of RUN, CMD and ENTRYPOINT stay as they are.
    """
    from builder.dockerfile import format_dockerfile

    if write and check:
        raise UsageError("`--write` and `--check` contradict each other")
    chosen = files or ("Dockerfile",)
    if write and "-" in chosen:
        raise UsageError("standard input cannot be written back", hint="leave `--write` out")
    if len(chosen) > 1 and not (write or check):
        raise UsageError(
            "several files can be checked or written back, not printed",
            hint="add `--write` or `--check`",
        )
    uneven = False
    for path in chosen:
        text = _read(path)
        even = format_dockerfile(text, "Dockerfile" if path == "-" else path)
        if check:
            if even != text:
                uneven = True
                invocation.say(path)
        elif write:
            if even != text:
                _write(path, even)
        else:
            _print(even)
    return 1 if uneven else 0


def _read(path: str) -> str:
    try:
        if path == "-":
            data = sys.stdin.buffer.read(_MOST + 1)
        else:
            # A FIFO without a writer must not be waited for.
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(fd, "rb") as file:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise UsageError(f"`{path}` is not a file")
                data = file.read(_MOST + 1)
    except OSError as error:
        raise UsageError(f"cannot read `{path}`: {error.strerror}") from error
    if len(data) > _MOST:
        raise UsageError(f"`{path}` is larger than {_MOST} bytes")
    return data.decode("utf-8", "surrogateescape")


def _print(text: str) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def _write(path: str, text: str) -> None:
    """Put a new file in the place of an old one, with its mode; what a link leads to is written, not the link."""
    path = os.path.realpath(path)
    beside = f"{path}.{os.getpid()}.new"
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(text.encode("utf-8", "surrogateescape"))
                os.fchmod(fd, stat.S_IMODE(os.stat(path).st_mode))
            os.replace(beside, path)
        except OSError:
            os.unlink(beside)
            raise
    except OSError as error:
        raise UsageError(f"cannot write `{path}`: {error.strerror}") from error
