"""What a build begins with: its Dockerfile and its context, from wherever they are.

        directory            read in place          -f FILE, -f -, -f URL
        -                    an archive, or a Dockerfile alone, on standard input
        git or http URL      a checkout; an archive, or a Dockerfile alone

What is not the user's own directory is hostile: nothing in it leads out of it. As with Docker, only a local
directory has an ignore file.

Source: Docker's reference, "docker buildx build", "Build context".
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, Protocol

import msgspec

from builder.diagnostics import Diagnostic, Severity, SourceFile
from builder.engine.texts import MAX_TEXT, context_of, dockerfile_of
from builder.errors import ContextError, DockerfileError, UsageError
from builder.graph.operations import GitSource, HttpSource
from builder.solve.context import LocalContext, Origin
from builder.store.forms import unique_name
from builder.store.root import Store

STDIN = "-"
DOWNLOADED = "context"
"""What a downloaded context is called in its directory."""

_DEFAULT = "Dockerfile"
_KEEP_GIT = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"
_EPOCH = "SOURCE_DATE_EPOCH"
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_HEAD = 1 << 12
_SHOWN = 5
_PIECE = 1 << 16

Fetch = Callable[[HttpSource | GitSource, str], LocalContext]
"""Has a remote source here; the text says what for."""


class Asked(Protocol):
    """What of a request says where a build begins."""

    @property
    def context(self) -> str:
        """A directory, a URL, or `-`."""

    @property
    def dockerfile(self) -> str | None:
        """A file, a URL, `-`, or None for the usual name."""


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """A Dockerfile with the context that its COPY takes files from, and what is to be said of that."""

    source: SourceFile
    context: LocalContext
    warnings: tuple[Diagnostic, ...] = ()
    remote: HttpSource | GitSource | None = None
    """What the context was fetched from, None where it was here."""


@contextmanager
def begun(
    asked: Asked,
    *,
    store: Store,
    fetch: Fetch,
    stdin: BinaryIO | None,
    build_args: tuple[tuple[str, str | None], ...] = (),
) -> Iterator[Beginning]:
    """Find the Dockerfile and the context of a build; what was unpacked for it is removed when the block ends.

    Raises: ContextError, DockerfileError: one of them is not there, or cannot be read. UsageError: both are to
        come from standard input. SourceError: a URL cannot be fetched. Cancelled.
    """
    if asked.context == STDIN and asked.dockerfile == STDIN:
        raise UsageError(
            "the context and the Dockerfile cannot both come from standard input",
            hint="put the Dockerfile into the archive, or name a directory as the context",
        )
    with ExitStack() as stack:
        local = _Local(store, stdin, stack)
        beginning = _begin(asked, local, fetch, build_args)
        yield msgspec.structs.replace(beginning, warnings=tuple(local.warnings))


def _begin(
    asked: Asked,
    local: _Local,
    fetch: Fetch,
    build_args: tuple[tuple[str, str | None], ...],
) -> Beginning:
    if asked.context == STDIN:
        return local.from_stdin(asked.dockerfile)
    if os.path.isdir(asked.context):
        return _in_place(asked, local, fetch)
    given = dict(build_args)
    remote = remote_source(
        asked.context,
        keep_git_dir=given.get(_KEEP_GIT) in _TRUE,
        commit_times=bool(given.get(_EPOCH)),
    )
    if remote is None:
        raise ContextError(
            f"the build context `{asked.context}` is not a directory",
            code="context.not-found",
            hint="name the directory that COPY takes files from, often `.`",
        )
    return _from_remote(asked, remote, local, fetch)


def remote_source(
    text: str, *, keep_git_dir: bool = False, commit_times: bool = False
) -> HttpSource | GitSource | None:
    """Return what a context's URL names, None for no URL; a repository may be written `github.com/…`.

    With `commit_times` the files of a repository are as old as the commit.

    Raises: ContextError: it is a URL, but none that can be fetched.
    """
    from builder.dockerfile.remotes import (
        BadRemote,
        HttpAddress,
        check_fetch_by_commit,
        read_remote,
    )

    if text.startswith("github.com/"):
        address = text.partition("#")[0].partition("?")[0]
        text = f"https://{address.removesuffix('.git')}.git{text[len(address) :]}"
    try:
        remote = read_remote(text)
        if remote is not None and not isinstance(remote, HttpAddress):
            check_fetch_by_commit(remote, remote.checksum)
    except BadRemote as error:
        raise ContextError(str(error), code="context.not-found", hint=error.hint) from error
    if remote is None:
        return None
    if isinstance(remote, HttpAddress):
        return HttpSource(url=remote.url, name=DOWNLOADED)
    return GitSource(
        url=remote.url,
        ref=remote.ref,
        subdirectory=remote.subdirectory,
        keep_git_dir=keep_git_dir or bool(remote.keep_git_dir),
        submodules=remote.submodules is not False,
        checksum=remote.checksum,
        commit_times=commit_times or remote.commit_times,
        fetch_by_commit=remote.fetch_by_commit,
    )


def _in_place(asked: Asked, local: _Local, fetch: Fetch) -> Beginning:
    root, given = os.path.abspath(asked.context), asked.dockerfile
    if given == STDIN:
        return Beginning(source=local.text_on_stdin(), context=context_of(root, None, alone=True))
    if given is not None and given.startswith(("http://", "https://")):
        source = _downloaded_text(given, fetch)
        return Beginning(source=source, context=context_of(root, None, alone=True))
    return Beginning(source=dockerfile_of(root, given), context=context_of(root, given))


def _downloaded_text(url: str, fetch: Fetch) -> SourceFile:
    context = fetch(HttpSource(url=url, name=_DEFAULT), "load build definition from")
    return inside(context.root, _DEFAULT, shown=url)


def _from_remote(
    asked: Asked, remote: HttpSource | GitSource, local: _Local, fetch: Fetch
) -> Beginning:
    context = fetch(remote, "load build context from")
    name = asked.dockerfile
    if isinstance(remote, HttpSource):
        with open(f"{context.root}/{DOWNLOADED}", "rb", buffering=0) as file:
            head = _read_head(file.fileno())
            if not _is_archive(head):
                source = inside(context.root, DOWNLOADED, shown=remote.url)
                return Beginning(source=source, context=_plain(context.root), remote=remote)
            context = local.unpack(head, file.fileno())
    else:
        context = _plain(context.root)
    source = local.text_on_stdin() if name == STDIN else inside(context.root, name)
    return Beginning(source=source, context=context, remote=remote)


def _plain(root: str) -> LocalContext:
    return LocalContext(root=root)


class _Local:
    """What comes from standard input, and what is unpacked on this machine."""

    def __init__(self, store: Store, stdin: BinaryIO | None, stack: ExitStack) -> None:
        self._store = store
        self._stdin = stdin
        self._stack = stack
        self.warnings: list[Diagnostic] = []

    def from_stdin(self, dockerfile: str | None) -> Beginning:
        """Take an archive as the context, or else a Dockerfile without one."""
        with self._input() as fd:
            head = _read_head(fd)
            if not head:
                raise ContextError(
                    "standard input is empty, and is to be the build context",
                    code="context.not-found",
                    hint="send an archive (`tar -c . | …`) or a Dockerfile",
                )
            if _is_archive(head):
                context = self.unpack(head, fd)
                return Beginning(source=inside(context.root, dockerfile), context=context)
            if dockerfile is not None:
                raise UsageError(
                    "standard input holds a Dockerfile, and `-f` names another",
                    hint="leave `-f` out, or send an archive",
                )
            context = _plain(self._store.snapshots.empty())
            return Beginning(source=_text(head, fd), context=context)

    def text_on_stdin(self) -> SourceFile:
        """Take a Dockerfile from standard input."""
        with self._input() as fd:
            return _text(b"", fd)

    @contextmanager
    def _input(self) -> Iterator[int]:
        """Give the descriptor of standard input; a stream without one is written to a file first."""
        if self._stdin is None:
            raise UsageError("there is no standard input to read from")
        try:
            fd = self._stdin.fileno()
        except (OSError, ValueError):
            path = f"{self._store.snapshots.scratch()}/{unique_name()}.stdin"
            with open(path, "w+b") as file:
                os.unlink(path)
                while piece := self._stdin.read(_PIECE):
                    file.write(piece)
                file.seek(0)
                yield file.fileno()
        else:
            yield fd

    def unpack(self, head: bytes, fd: int) -> LocalContext:
        """Unpack an archive where this process keeps what goes with it; `head` has been read from it.

        Raises: ContextError: it is damaged, hostile, or over a limit.
        """
        root = f"{self._store.snapshots.scratch()}/{unique_name()}.context"
        for path in (root, f"{root}.entries", f"{root}.owners"):
            self._stack.callback(self._remove, path)
        request = {"root": root, "head": head}
        done = self._store.jobs.call("builder.source.sent:unpack", request, fds=(fd,))
        devices = msgspec.convert(done, Unpacked).devices
        if devices:
            self.warnings.append(_without(devices))
        return LocalContext(root=root, origin=Origin.SCRATCH, owners=f"{root}.owners")

    def _remove(self, path: str) -> None:
        self._store.jobs.call("builder.layer.jobs:remove_tree", {"path": path}, cleanup=True)


class Unpacked(msgspec.Struct, frozen=True):
    """What a job says of an archive: the devices of it that are not there."""

    devices: tuple[str, ...]


def _without(devices: tuple[str, ...]) -> Diagnostic:
    from builder.layer.tree import shown

    listed = ", ".join(f"`{shown(path.encode())}`" for path in devices[:_SHOWN])
    more = len(devices) - _SHOWN
    return Diagnostic(
        severity=Severity.WARNING,
        code="context.left-out",
        message="the build context is without the devices that are in its archive",
        notes=(f"{listed} and {more} more" if more > 0 else listed,),
        hint="build as root where they are needed: nobody else can make devices",
    )


def _read_head(fd: int) -> bytes:
    head = b""
    while len(head) < _HEAD and (piece := os.read(fd, _HEAD - len(head))):
        head += piece
    return head


def _is_archive(head: bytes) -> bool:
    """Tell whether these are the first bytes of a tar archive, or of anything compressed."""
    from builder.layer.compress import Compression, recognise
    from builder.layer.read import begins_tar

    if head.startswith((b"BZh", b"\xfd7zXZ\0")) or recognise(head) is not Compression.NONE:
        return True
    return begins_tar(io.BytesIO(head))


def _text(head: bytes, fd: int) -> SourceFile:
    pieces = [head]
    size = len(head)
    while piece := os.read(fd, _PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_TEXT:
            raise ContextError(
                f"the Dockerfile on standard input is larger than {MAX_TEXT} bytes",
                code="context.unreadable",
            )
    return SourceFile(_DEFAULT, b"".join(pieces).decode("utf-8", "surrogateescape"))


def inside(root: str, name: str | None, *, shown: str = "") -> SourceFile:
    """Read the Dockerfile of a context that is not the user's own: no link leads out of it.

    Raises: DockerfileError: it is not there, or not a text file. Nothing of what is there instead is told.
    """
    from runtime.beneath import read_beneath

    wanted = name if name is not None else _DEFAULT
    head, _, last = wanted.rpartition("/")
    candidates = [wanted]
    if last == _DEFAULT:
        candidates.append(f"{head}/{last.lower()}" if head else last.lower())
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for candidate in candidates:
            try:
                data = read_beneath(fd, candidate, MAX_TEXT)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise DockerfileError(
                    f"`{wanted}` in the build context cannot be read",
                    code="dockerfile.not-found",
                    notes=(error.strerror or str(error),),
                    hint="name a text file with `-f FILE`, relative to the root of the context",
                ) from error
            return SourceFile(shown or candidate, data.decode("utf-8", "surrogateescape"))
    finally:
        os.close(fd)
    raise DockerfileError(
        f"there is no file `{wanted}` in the build context",
        code="dockerfile.not-found",
        hint="name it with `-f FILE`, relative to the root of the context",
    )
