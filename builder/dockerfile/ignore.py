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
from builder.dockerfile.automaton import Automaton, Place, set_bits
from builder.dockerfile.classes import BadGlob
from builder.dockerfile.globs import Glob, compile_glob
from builder.errors import ContextError
from builder.graph.keys import framed_digest

MAX_LINE = 65535
MAX_RULES = 10_000
_REMEMBERED = 4096
_LONGEST = 4096  # characters of a path that is remembered


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


class _Inside:
    """What directories have in common that look the same to the rules.

    `above` are the rules that match one of them or what is above, as bits; `verdicts` are those on names in
    them, with the rules that match these or what is above, by the rules that match the names themselves.
    """

    __slots__ = ("above", "place", "verdicts")

    def __init__(self, place: Place, above: int) -> None:
        self.place = place
        self.above = above
        self.verdicts: dict[int, tuple[Verdict, int]] = {}


class IgnoreRules:
    """The rules of one file.

    Matching a path costs about one look-up for each character of its last name, however many rules there are:
    what is known of directories is remembered. Safe to use from several threads.
    """

    def __init__(self, name: str, rules: tuple[Rule, ...], globs: tuple[Glob, ...]) -> None:
        self.name = name
        self.rules = rules
        self._automaton = Automaton(globs)
        self._including = self._automaton.positions(
            index for index, rule in enumerate(rules) if rule.includes
        )
        self._forget()

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
        return framed_digest(("ignore/2", [(rule.includes, rule.pattern) for rule in self.rules]))

    def match(self, path: str) -> Verdict:
        """Return the verdict on a path, relative to the context, with slashes and without dots."""
        if not self.rules or path in ("", "."):
            return _KEPT
        at = path.rfind("/")
        if at < 0:
            return self._decided(self._top, path)[0]
        inside = self._directories.get(path[:at])
        if inside is None:
            inside = self._enter(path[:at])
        return self._decided(inside, path[at + 1 :])[0]

    def prunable(self, directory: str) -> bool:
        """Tell whether a directory is hidden and nothing below it can be brought back, so need not be walked."""
        if not self.match(directory).ignored:
            return False
        return not self._enter(directory).place.positions & self._including

    def bringing_back(self, directory: str) -> Rule | None:
        """Return the last rule that may bring back something below a directory, None where there is none."""
        reached = self._enter(directory).place.positions
        for index, rule in reversed(list(enumerate(self.rules))):
            if rule.includes and reached & self._automaton.positions([index]):
                return rule
        return None

    def _forget(self) -> None:
        self._automaton.forget()
        self._top = _Inside(self._automaton.start, 0)
        self._alike: dict[tuple[Place, int], _Inside] = {}
        self._directories: dict[str, _Inside] = {}

    def _enter(self, directory: str) -> _Inside:
        """Return what is known of names in a directory."""
        if self._automaton.full or len(self._directories) >= _REMEMBERED:
            self._forget()
        inside = self._top
        start = 0
        while start <= len(directory):
            end = directory.find("/", start)
            if end < 0:
                end = len(directory)
            path = directory[:end] if end <= _LONGEST else ""
            below = self._directories.get(path)
            if below is None:
                below = self._below(inside, directory[start:end])
                if path:
                    self._directories[path] = below
            inside = below
            start = end + 1
        return inside

    def _below(self, inside: _Inside, name: str) -> _Inside:
        _, matching = self._decided(inside, name)
        place = self._automaton.follow(inside.place, f"{name}/")
        return self._alike.setdefault((place, matching), _Inside(place, matching))

    def _decided(self, inside: _Inside, name: str) -> tuple[Verdict, int]:
        """Return the verdict on a name in a directory, and the rules that match it or what is above, as bits."""
        matching = self._automaton.follow(inside.place, name).accepts
        known = inside.verdicts.get(matching)
        if known is None:
            known = inside.verdicts[matching] = self._evaluate(matching, inside.above)
        return known

    def _evaluate(self, matching: int, above: int) -> tuple[Verdict, int]:
        ignored = False
        decided: Rule | None = None
        counted = 0
        for index in set_bits(matching | above):
            rule = self.rules[index]
            # A rule that could change nothing is not asked; nor does it then count for what lies below.
            if rule.includes != ignored and not above >> index & 1:
                continue
            counted |= 1 << index
            if ignored == rule.includes:
                decided = rule
            ignored = not rule.includes
        return Verdict(ignored, decided), counted


def _rule(line: str, number: int) -> Rule | None:
    if line.startswith("#"):
        return None
    text = line.strip(SPACE)
    if not text:
        return None
    # Docker cleans twice, in two programs: a `!` that comes first only then counts too.
    cleaned = _relative(text[1:]) if text.startswith("!") else _relative(text)
    pattern = _clean((f"!{cleaned}" if text.startswith("!") else cleaned).strip(SPACE))
    includes = pattern.startswith("!")
    return Rule(line=number, text=text, pattern=pattern.removeprefix("!"), includes=includes)


def _relative(pattern: str) -> str:
    pattern = pattern.strip(SPACE)
    if not pattern:
        return ""
    cleaned = _clean(pattern)
    return cleaned.removeprefix("/") if len(cleaned) > 1 else cleaned


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
