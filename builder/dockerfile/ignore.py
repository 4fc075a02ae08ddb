"""`.dockerignore`: which paths of a build context are hidden, and by which line.

The last rule that matches a path or a directory above it decides. A `!` rule brings back what an earlier one
hid; it does so below a directory only for paths that it matches themselves, or when it brought back the
directory itself. This is what walking a context with moby/patternmatcher comes to.

Source: moby/patternmatcher and docs.docker.com, "Dockerignore file" (behaviour, not code).
"""

from __future__ import annotations

import msgspec

from builder.diagnostics import SourceFile, Span
from builder.dockerfile.arguments import SPACE
from builder.dockerfile.globs import BadGlob, Glob, compile_glob
from builder.errors import ContextError
from builder.graph.keys import framed_digest

MAX_LINE = 65535
MAX_RULES = 10_000
_REMEMBERED = 4096


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One line: its number, its text as written, the pattern that it means, and whether it brings back."""

    line: int
    text: str
    pattern: str
    includes: bool


class Verdict(msgspec.Struct, frozen=True):
    """Whether a path is hidden, and the rule that decided; None when no rule matches."""

    ignored: bool
    rule: Rule | None = None


_KEPT = Verdict(ignored=False)


class IgnoreRules:
    """The rules of one file.

    Matching one path costs a comparison with each rule; directories above are remembered, so a walk from the
    top down pays for each name once. Safe to use from several threads.
    """

    def __init__(self, name: str, rules: tuple[Rule, ...], globs: tuple[Glob, ...]) -> None:
        self.name = name
        self.rules = rules
        self._globs = globs
        self._steps = tuple(
            (1 << index, rule.includes, glob.matches)
            for index, (rule, glob) in enumerate(zip(rules, globs, strict=True))
        )
        self._including = tuple(
            glob for rule, glob in zip(rules, globs, strict=True) if rule.includes
        )
        self._directories: dict[str, int] = {}

    @classmethod
    def parse(cls, text: str, name: str) -> IgnoreRules:
        """Read the rules of an ignore file.

        Raises: ContextError: `context.bad-ignore`: a pattern is malformed, or there is nothing after `!`.
        """
        rules: list[Rule] = []
        globs: list[Glob] = []
        source = SourceFile(name, text)
        for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
            rule = _rule(line, number)
            if rule is None:
                continue
            if len(rules) == MAX_RULES or len(line) > MAX_LINE:
                raise _bad("there are too many rules, or one is too long", rule, source)
            if not rule.pattern:
                raise _bad("there is no pattern after `!`", rule, source)
            try:
                globs.append(compile_glob(rule.pattern))
            except BadGlob as error:
                raise _bad(
                    f"the pattern `{rule.text[:100]}` is malformed: {error}", rule, source
                ) from error
            rules.append(rule)
        return cls(name, tuple(rules), tuple(globs))

    @property
    def identity(self) -> str:
        """What the rules mean, as a digest: comments, blanks and the file's name do not count."""
        return framed_digest(("ignore/1", [(rule.includes, rule.pattern) for rule in self.rules]))

    def match(self, path: str) -> Verdict:
        """Return the verdict on a path, relative to the context, with slashes and without dots."""
        if not self.rules or path in ("", "."):
            return _KEPT
        _, ignored, decided = self._evaluate(path, self._above(path))
        return Verdict(ignored, None if decided < 0 else self.rules[decided])

    def prunable(self, directory: str) -> bool:
        """Tell whether a directory is hidden and nothing below it can be brought back, so need not be walked."""
        if not self.match(directory).ignored:
            return False
        parts = directory.split("/")
        return not any(glob.reaches_below(directory, parts) for glob in self._including)

    def _above(self, path: str) -> int:
        """Return which rules match the directories above a path, as bits."""
        end = path.rfind("/")
        if end < 0:
            return 0
        known = self._directories.get(path[:end])
        if known is not None:
            return known
        found = 0
        at = path.find("/")
        while at >= 0:
            directory = path[:at]
            known = self._directories.get(directory)
            if known is None:
                known = self._evaluate(directory, found)[0]
                if len(self._directories) >= _REMEMBERED:
                    self._directories.clear()
                self._directories[directory] = known
            found = known
            at = path.find("/", at + 1)
        return found

    def _evaluate(self, path: str, above: int) -> tuple[int, bool, int]:
        """Return the rules that match as bits, whether the path is hidden, and the last rule that changed that."""
        parts = path.split("/")
        ignored = False
        decided = -1
        matching = 0
        for index, (bit, includes, matches) in enumerate(self._steps):
            # A rule that could change nothing is not asked; nor does it then count for what lies below.
            if not above & bit and (includes != ignored or not matches(path, parts)):
                continue
            matching |= bit
            if ignored == includes:
                decided = index
            ignored = not includes
        return matching, ignored, decided


def _rule(line: str, number: int) -> Rule | None:
    if line.startswith("#"):
        return None
    text = line.strip(SPACE)
    if not text:
        return None
    includes = text.startswith("!")
    pattern = text[1:].strip(SPACE) if includes else text
    if pattern:
        pattern = _clean(pattern)
        if len(pattern) > 1:
            pattern = pattern.removeprefix("/")
        elif includes and pattern == "/":
            pattern = ""
    return Rule(line=number, text=text, pattern=pattern, includes=includes)


def _clean(path: str) -> str:
    """Return the shortest equal path, as text: a relative one may begin with `..`."""
    rooted = path.startswith("/")
    parts: list[str] = []
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part != "..":
            parts.append(part)
        elif parts and parts[-1] != "..":
            parts.pop()
        elif not rooted:
            parts.append(part)
    return ("/" if rooted else "") + "/".join(parts) or "."


def _bad(message: str, rule: Rule, source: SourceFile) -> ContextError:
    line = source.text.removeprefix("\ufeff").split("\n")[rule.line - 1]
    column = line.find(rule.text) + 1
    return ContextError(
        message,
        code="context.bad-ignore",
        span=Span(rule.line, column, rule.line, column + len(rule.text)),
        source=source,
        hint="correct the line or make it a comment with `#` in the first column",
    )
