"""COPY and ADD to their operation: sources and destination expanded and cleaned, owner and mode read."""

from __future__ import annotations

import msgspec

from builder.diagnostics import Span
from builder.dockerfile import modes, remotes, rootpaths
from builder.dockerfile.draft import Draft
from builder.dockerfile.expansion import Expander
from builder.dockerfile.instructions import Add, Copy, Flag, Heredoc, Word
from builder.dockerfile.words import Lookup
from builder.errors import DockerfileError
from builder.graph.operations import CopyOp, CopySource, GitSource, HttpSource, Unpack

Remote = HttpSource | GitSource

_HEXADECIMAL = frozenset("0123456789abcdef")
_ESCAPED = str.maketrans({char: "\\" + char for char in "*?[\\"})


class Fetched(msgspec.Struct, frozen=True):
    """A source that is no local path, and where the instruction names it."""

    source: Remote
    span: Span


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A copy: its operation, whose inputs from 1 are `inputs`, and its line of the history.

    An input is what is fetched, or None for the context, stage or image that local paths are taken from.
    """

    operation: CopyOp
    inputs: tuple[Fetched | None, ...]
    created_by: str


def transfer(instruction: Copy | Add, draft: Draft, expander: Expander) -> Transfer:
    """Return what a COPY or ADD comes to; here-documents follow the other sources.

    Raises: DockerfileError: an expansion fails, a source is a URL that cannot be used, or a flag's value is
        not possible.
    """
    return _Transfer(instruction, draft, expander).read()


class _Transfer:
    def __init__(self, instruction: Copy | Add, draft: Draft, expander: Expander) -> None:
        self.instruction = instruction
        self.expander = expander
        self.lookup: Lookup = draft.environment.get
        self.directory = draft.working_dir or "/"
        self.inputs: list[Fetched | None] = []
        self.sources: list[CopySource] = []

    def read(self) -> Transfer:
        instruction, lookup = self.instruction, self.lookup
        parents = isinstance(instruction, Copy) and _is_on(instruction.parents)
        owner = self._owner()
        mode = self._flag(instruction.chmod)
        number = self._mode(mode)
        dest = self.expander.expand(instruction.dest, lookup)
        paths = [self.expander.expand(word, lookup) for word in instruction.sources]
        checksum = self._checksum()
        self._take_paths(paths, checksum, parents=parents)
        self._take_files()
        operation = CopyOp(
            sources=tuple(self.sources),
            dest=rootpaths.destination(self.directory, dest),
            owner=owner or None,
            mode=number,
            exclude=tuple([flag.value or "" for flag in instruction.excludes]),
            parents=parents,
            # A mode is set on the way, which BuildKit cannot do for linked copies: it copies then.
            link=_is_on(instruction.link) and not mode,
            unpack=_unpack(instruction),
        )
        parts = ["ADD" if isinstance(instruction, Add) else "COPY"]
        parts += ["--parents"] if parents else []
        parts += [f"--chown={owner}"] if owner else []
        parts += [f"--chmod={mode}"] if mode else []
        parts += [*paths, *[f"<<{file.name}" for file in instruction.files], dest]
        return Transfer(
            operation=operation,
            inputs=tuple(self.inputs),
            created_by=" ".join(parts) + " # buildkit",
        )

    def _flag(self, flag: Flag | None) -> str:
        return "" if flag is None else self.expander.expand(flag.word, self.lookup)

    def _owner(self) -> str:
        owner = self._flag(self.instruction.chown)
        if owner.count(":") > 1 and self.instruction.chown is not None:
            raise self._error(
                self.instruction.chown.value_span,
                f"`{owner[:100]}` is no owner",
                "write it like `USER` or `USER:GROUP`",
            )
        return owner

    def _mode(self, text: str) -> int | str | None:
        flag = self.instruction.chmod
        if flag is None or not text:
            return None
        try:
            return modes.read_mode(text)
        except modes.BadMode as error:
            place = error.at
            as_written = place >= 0 and text == flag.value
            span = flag.word.part(place, place + 1) if as_written else flag.value_span
            raise self._error(
                span, str(error), "write the mode like `755`, or like `u=rwX,go=rX`"
            ) from error

    def _checksum(self) -> str:
        """Return the checksum that what is fetched must have; only one URL can have one."""
        instruction = self.instruction
        if not isinstance(instruction, Add) or instruction.checksum is None:
            return ""
        checksum = self._flag(instruction.checksum)
        if checksum and len(instruction.sources) != 1:
            raise self._error(
                instruction.checksum.span,
                f"`--checksum` is for one source, not for {len(instruction.sources)}",
                "write an ADD for each source",
            )
        return checksum

    def _take_paths(self, paths: list[str], checksum: str, *, parents: bool) -> None:
        """Take the sources in order; local ones that follow each other are taken together."""
        local: list[str] = []
        for word, path in zip(self.instruction.sources, paths, strict=True):
            remote = self._remote(word, path)
            if remote is None:
                if checksum:
                    raise self._error(
                        word.span,
                        "`--checksum` is for what is fetched, and this source is local",
                        "remove `--checksum`",
                    )
                local.append(self._pivoted(word, path) if parents else rootpaths.clean(path)[1:])
                continue
            self._take_local(local)
            self.inputs.append(Fetched(self._fetched(word, remote, checksum), word.span))
            # The tree of a download holds its file, and a name that is no pattern.
            name = (
                remote.name.translate(_ESCAPED) if isinstance(remote, remotes.HttpAddress) else ""
            )
            self.sources.append(CopySource(input=len(self.inputs), paths=(name,)))
        self._take_local(local)

    def _take_local(self, paths: list[str]) -> None:
        if not paths:
            return
        if None not in self.inputs:
            self.inputs.append(None)
        number = self.inputs.index(None) + 1
        self.sources.append(CopySource(input=number, paths=tuple(paths)))
        paths.clear()

    def _remote(self, word: Word, path: str) -> remotes.HttpAddress | remotes.GitAddress | None:
        if ":" not in path:
            return None
        try:
            remote = remotes.read_remote(path)
        except remotes.BadRemote as error:
            raise self._error(word.span, str(error), error.hint) from error
        if remote is not None and isinstance(self.instruction, Copy):
            raise self._error(
                word.span,
                f"COPY takes no URL, and `{remotes.redacted(path)[:200]}` is one",
                "use ADD, which fetches it",
            )
        return remote

    def _fetched(
        self, word: Word, remote: remotes.HttpAddress | remotes.GitAddress, checksum: str
    ) -> Remote:
        add = self.instruction
        assert isinstance(add, Add)
        if isinstance(remote, remotes.HttpAddress):
            flag = add.checksum
            if checksum and flag is not None:
                algorithm, _, digits = checksum.partition(":")
                if algorithm != "sha256" or len(digits) != 64 or not set(digits) <= _HEXADECIMAL:
                    raise self._error(
                        flag.value_span,
                        f"`{checksum[:100]}` is no checksum of a file",
                        "write it like `sha256:` and 64 hexadecimal digits",
                    )
            return HttpSource(url=remote.url, name=remote.name, checksum=checksum)
        return self._repository(word, add, remote, checksum)

    def _repository(
        self, word: Word, add: Add, remote: remotes.GitAddress, checksum: str
    ) -> GitSource:
        flag = add.checksum
        if checksum and flag is not None:
            try:
                remotes.check_commit(checksum)
            except remotes.BadRemote as error:
                raise self._error(flag.value_span, str(error), error.hint) from error
            if remote.checksum not in ("", checksum):
                raise self._error(
                    flag.value_span,
                    f"`--checksum` is `{checksum}`, but the URL asks for `{remote.checksum}`",
                    "remove one of them",
                )
        keep = None if add.keep_git_dir is None else _is_on(add.keep_git_dir)
        if add.keep_git_dir is not None and remote.keep_git_dir not in (None, keep):
            raise self._error(
                add.keep_git_dir.span,
                "`--keep-git-dir` says something else than the URL's `keep-git-dir`",
                "remove one of them",
            )
        checksum = checksum or remote.checksum
        try:
            remotes.check_fetch_by_commit(remote, checksum)
        except remotes.BadRemote as error:
            raise self._error(word.span, str(error), error.hint) from error
        return GitSource(
            url=remote.url,
            ref=remote.ref,
            subdirectory=remote.subdirectory,
            keep_git_dir=bool(keep if remote.keep_git_dir is None else remote.keep_git_dir),
            submodules=remote.submodules is not False,
            checksum=checksum,
            commit_times=remote.commit_times,
            fetch_by_commit=remote.fetch_by_commit,
        )

    def _pivoted(self, word: Word, path: str) -> str:
        """Return the cleaned path, the point kept after which `--parents` keeps directories."""
        above, pivot, below = path.partition("/./")
        kept = rootpaths.clean(below if pivot else above)[1:]
        if not kept:
            raise self._error(
                word.span,
                f"`{path[:100]}` names nothing whose parents could be kept",
                "name what is copied, or leave `--parents` out",
            )
        above = rootpaths.clean(above)[1:] if pivot else ""
        return f"{above}/./{kept}" if above else kept

    def _take_files(self) -> None:
        """Take the here-documents; a body that is named many times is made, and held, once."""
        files = self.instruction.files
        if not files:
            return
        bodies = {file.name: file for file in files}
        contents = {name: self._inline(file) for name, file in bodies.items()}
        inline = tuple([(file.name, contents[file.name]) for file in files])
        self.expander.count(sum([len(content) for _, content in inline]), self.instruction.dest)
        self.sources.append(CopySource(input=0, inline=inline))

    def _inline(self, file: Heredoc) -> bytes:
        if "/" in file.name or file.name in (".", ".."):
            raise self._error(
                self.instruction.span,
                f"`{file.name}` cannot be the name of a file",
                "name the here-document like a file without directories",
            )
        content = file.content()
        if file.expand:
            content = self.expander.expand_body(Word(content, file.span), self.lookup)
        return content.encode("utf-8", "surrogateescape")

    def _error(self, span: Span, message: str, hint: str | None) -> DockerfileError:
        return DockerfileError(message, span=span, source=self.expander.source, hint=hint)


def _is_on(flag: Flag | None) -> bool:
    return flag is not None and (flag.value or "true").lower() == "true"


def _unpack(instruction: Copy | Add) -> Unpack:
    if isinstance(instruction, Copy):
        return Unpack.NEVER
    if instruction.unpack is None:
        return Unpack.AUTO
    return Unpack.ALWAYS if _is_on(instruction.unpack) else Unpack.NEVER
