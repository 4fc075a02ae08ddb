"""COPY to its operation: sources and destination expanded and cleaned, owner and mode read."""

from __future__ import annotations

from builder.dockerfile import rootpaths
from builder.dockerfile.draft import Draft
from builder.dockerfile.expansion import Expander
from builder.dockerfile.instructions import Copy, Flag, Heredoc, Word
from builder.dockerfile.words import Lookup
from builder.errors import DockerfileError
from builder.graph.operations import CopyOp, CopySource

_REMOTE = ("http://", "https://", "git://", "ssh://", "git@")
_OCTAL = frozenset("01234567")
_SYMBOLIC = frozenset("ugoa+-=rwxXst,")


def copy_operation(copy: Copy, draft: Draft, expander: Expander) -> tuple[CopyOp, str]:
    """Return the operation, and the line of the history.

    Paths come first and are taken from input 1, here-documents after them.

    Raises: DockerfileError: an expansion fails, a source is a URL, or the mode is none.
    """
    lookup = draft.environment.get
    owner = _flag(copy.chown, expander, lookup)
    mode_text = _flag(copy.chmod, expander, lookup)
    mode = _mode(mode_text, copy.chmod, expander) if copy.chmod is not None and mode_text else None
    dest = expander.expand(copy.dest, lookup)
    paths = [expander.expand(word, lookup) for word in copy.sources]
    for word, path in zip(copy.sources, paths, strict=True):
        if path.startswith(_REMOTE):
            raise _error(
                expander,
                word,
                f"COPY takes no URL, and `{path[:200]}` is one",
                hint="download it in a RUN, or put it into the build context",
            )
    sources: list[CopySource] = []
    if paths:
        cleaned = tuple([rootpaths.clean(path)[1:] for path in paths])
        sources.append(CopySource(input=1, paths=cleaned))
    if copy.files:
        # The same body may be named many times; it is made, and held, once.
        bodies = {file.name: file for file in copy.files}
        contents = {name: _inline(file, copy, expander, lookup) for name, file in bodies.items()}
        inline = tuple([(file.name, contents[file.name]) for file in copy.files])
        expander.count(sum([len(content) for _, content in inline]), copy.dest)
        sources.append(CopySource(input=0, inline=inline))
    operation = CopyOp(
        sources=tuple(sources),
        dest=rootpaths.destination(draft.working_dir or "/", dest),
        owner=owner or None,
        mode=mode,
    )
    parts = ["COPY"]
    if owner:
        parts.append(f"--chown={owner}")
    if mode_text:
        parts.append(f"--chmod={mode_text}")
    parts += paths
    parts += [f"<<{file.name}" for file in copy.files]
    parts.append(dest)
    return operation, " ".join(parts) + " # buildkit"


def _flag(flag: Flag | None, expander: Expander, lookup: Lookup) -> str:
    return "" if flag is None else expander.expand(flag.word, lookup)


def _mode(text: str, flag: Flag, expander: Expander) -> int:
    if _OCTAL.issuperset(text) and len(text) <= 12 and int(text, 8) <= 0o7777:
        return int(text, 8)
    if _SYMBOLIC.issuperset(text) and any(char in text for char in "+-="):
        raise DockerfileError(
            f"the symbolic mode `{text[:60]}` is not supported yet",
            code="dockerfile.unsupported",
            span=flag.value_span,
            source=expander.source,
            hint="write the mode as an octal number, like `755`",
        )
    raise _error(
        expander,
        flag.word,
        f"`{text[:60]}` is no file mode",
        hint="write an octal number from 0 to 7777, like `755`",
    )


def _inline(file: Heredoc, copy: Copy, expander: Expander, lookup: Lookup) -> bytes:
    if "/" in file.name or file.name in (".", ".."):
        raise _error(
            expander,
            Word(file.name, copy.span),
            f"`{file.name}` cannot be the name of a file",
            hint="name the here-document like a file without directories",
        )
    content = file.content()
    if file.expand:
        content = expander.expand_body(Word(content, file.span), lookup)
    return content.encode()


def _error(expander: Expander, word: Word, message: str, *, hint: str) -> DockerfileError:
    return DockerfileError(message, span=word.span, source=expander.source, hint=hint)
