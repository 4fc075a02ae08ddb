"""The rules about where COPY and ADD take files from."""

from __future__ import annotations

from collections.abc import Iterator

from builder.dockerfile import remotes, rootpaths
from builder.dockerfile.checks.finding import Finding
from builder.dockerfile.checks.walk import Moment
from builder.dockerfile.ignore import IgnoreRules
from builder.dockerfile.instructions import Add, Copy

_REMOTE = ("http://", "https://", "git://", "ssh://", "git@")
_DOWNLOAD, _GIT, _LOCAL = "download", "git", "local"
_ALL = frozenset({"*", "**", "**/*"})


def ignored_sources(moment: Moment) -> Iterator[Finding]:
    """CopyIgnoredFile: unless a `!` rule may bring back what lies below."""
    instruction, rules = moment.instruction, moment.scene.ignore
    assert isinstance(instruction, Copy | Add)
    from_context = not isinstance(instruction, Copy) or instruction.from_ is None
    if not from_context or rules is None or any(rule.includes for rule in rules.rules):
        return
    for found in moment.words:
        if found.value is None or not any(found.word is word for word in instruction.sources):
            continue
        if isinstance(instruction, Add) and found.value.startswith(_REMOTE):
            continue
        line = _excluded_by(rules, rootpaths.clean(found.value)[1:])
        if line is not None:
            number, text = line
            yield Finding(
                rule="CopyIgnoredFile",
                span=found.word.span,
                message=f"`{found.value}` is excluded from the build context",
                notes=(f"line {number} of `{rules.name}` excludes it: `{text}`",),
                hint="remove that line, or the path from the instruction",
                comments=instruction.comments,
            )


def flags_for_other_sources(moment: Moment) -> Iterator[Finding]:
    """FlagWithoutEffect: what only a directory or a repository has is asked of downloads; Docker says nothing."""
    add = moment.instruction
    assert isinstance(add, Add)
    if not add.excludes and add.keep_git_dir is None:
        return
    kinds = set(_kinds(moment, add))
    if None in kinds or _GIT in kinds:
        return
    asked = [] if add.keep_git_dir is None else [(add.keep_git_dir, "no source is a repository")]
    if kinds == {_DOWNLOAD}:
        asked += [(flag, "a download is one file") for flag in add.excludes]
    for flag, why in asked:
        yield Finding(
            rule="FlagWithoutEffect",
            span=flag.span,
            message=f"`--{flag.name}` does nothing here: {why}",
            hint="remove it, or name a source that it is for",
            comments=add.comments,
        )


def _kinds(moment: Moment, add: Add) -> Iterator[str | None]:
    """Yield what each source is, None for what only the build will know."""
    for found in moment.words:
        if not any(found.word is word for word in add.sources):
            continue
        try:
            remote = None if found.value is None else remotes.read_remote(found.value)
        except remotes.BadRemote:
            yield None
            continue
        if remote is None:
            yield None if found.value is None else _LOCAL
        else:
            yield _DOWNLOAD if isinstance(remote, remotes.HttpAddress) else _GIT


def _excluded_by(rules: IgnoreRules, path: str) -> tuple[int, str] | None:
    """Return the number and text of the line that excludes a path; the root is, when everything is."""
    if not path:
        return next(((each.line, each.text) for each in rules.rules if each.pattern in _ALL), None)
    verdict = rules.match(path)
    if not verdict.ignored or verdict.rule is None:
        return None
    return verdict.rule.line, verdict.rule.text
