"""COPY and ADD: sources, here-documents as files, destination and flags."""

from __future__ import annotations

from builder.dockerfile import heredocs
from builder.dockerfile.arguments import repaired_list
from builder.dockerfile.grammar import BOOLEAN, LIST, VALUE, Statement
from builder.dockerfile.instructions import Add, Copy, Heredoc, Word

_COPY_FLAGS = {
    "from": VALUE,
    "chown": VALUE,
    "chmod": VALUE,
    "link": BOOLEAN,
    "parents": BOOLEAN,
    "exclude": LIST,
}
_ADD_FLAGS = {
    "chown": VALUE,
    "chmod": VALUE,
    "link": BOOLEAN,
    "keep-git-dir": BOOLEAN,
    "checksum": VALUE,
    "unpack": BOOLEAN,
    "exclude": LIST,
}


def _paths(given: Statement) -> tuple[tuple[Word, ...], tuple[Heredoc, ...], Word]:
    words = given.words_or_json()
    if len(words) < 2:
        raise given.error(
            f"{given.name} needs at least one source and a destination",
            words[0].span if words else None,
            hint=_paths_hint(given, words),
        )
    dest = words[-1]
    if heredocs.opening(dest.text) is not None:
        raise given.error(
            f"a here-document cannot be the destination of {given.name}",
            dest.span,
            hint="put the destination last",
        )
    bodies = {body.name: body for body in given.heredocs}
    sources: list[Word] = []
    files: list[Heredoc] = []
    for word in words[:-1]:
        opened = heredocs.opening(word.text) if "<<" in word.text else None
        if opened is None:
            sources.append(word)
        elif opened.name in bodies:
            files.append(bodies[opened.name])
        else:
            in_array = given.rest.startswith("[")
            raise given.error(
                "a here-document cannot stand in a JSON array"
                if in_array
                else "the here-document cannot be read, because a quote on the line is not closed",
                word.span,
                hint="write the instruction without brackets" if in_array else "close the quote",
            )
    return tuple(sources), tuple(files), dest


def _paths_hint(given: Statement, words: tuple[Word, ...]) -> str:
    meant = repaired_list(given.rest)
    if meant is not None and meant != given.rest and meant.count('", "'):
        return f"write `{given.name} {meant}`"
    if given.rest.startswith("["):
        return f'write it as `{given.name} ["SOURCE", "DESTINATION"]`'
    source = words[0].text if words and len(words[0].text) < 60 else "SOURCE"
    return f"write it as `{given.name} {source} DESTINATION`"


def read_copy(given: Statement) -> Copy:
    """Return the typed form.

    Raises: DockerfileError: a flag or a word breaks the rules.
    """
    flags = given.read_flags(_COPY_FLAGS)
    sources, files, dest = _paths(given)
    from_ = flags.one("from")
    return Copy(
        sources=sources,
        files=files,
        dest=dest,
        from_=from_ if from_ is not None and from_.value else None,
        chown=flags.one("chown"),
        chmod=flags.one("chmod"),
        link=flags.one("link"),
        parents=flags.one("parents"),
        excludes=flags.all("exclude"),
        **given.common(),
    )


def read_add(given: Statement) -> Add:
    """Return the typed form.

    Raises: DockerfileError: a flag or a word breaks the rules.
    """
    flags = given.read_flags(_ADD_FLAGS)
    sources, files, dest = _paths(given)
    return Add(
        sources=sources,
        files=files,
        dest=dest,
        chown=flags.one("chown"),
        chmod=flags.one("chmod"),
        link=flags.one("link"),
        keep_git_dir=flags.one("keep-git-dir"),
        checksum=flags.one("checksum"),
        unpack=flags.one("unpack"),
        excludes=flags.all("exclude"),
        **given.common(),
    )
