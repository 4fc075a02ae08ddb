"""What the patterns of one copy (`--exclude`, `--parents`) leave of a selection, as further ignore rules.

Patterns are those of an ignore file, relative to the directory that is copied.

Source: Dockerfile reference, "COPY --exclude", "COPY --parents"; moby/patternmatcher (behaviour, not code).
"""

from __future__ import annotations

from builder.dockerfile.ignore import IgnoreRules, Verdict
from builder.graph.keys import framed_digest

_KEPT = Verdict(ignored=False)


class Narrowed(IgnoreRules):
    """The rules of a context, None for those of a state, narrowed by patterns relative to the directory `top`.

    What `exclude` matches is hidden; with `include`, so is what none of its patterns matches. `top` itself is
    only hidden by the outer rules.
    """

    def __init__(
        self,
        outer: IgnoreRules | None,
        top: str,
        *,
        exclude: tuple[str, ...] = (),
        include: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__("the instruction's own patterns", (), ())
        self._outer = outer
        self._prefix = f"{top}/" if top else ""
        inner = [_rules("\n".join(map(_line, exclude)))] if exclude else []
        if include is not None:
            kept = [f"!{_literal_start(pattern)}" for pattern in include]
            inner.append(_rules("\n".join(["**", *kept])))
        self._inner = tuple(inner)

    @property
    def identity(self) -> str:
        """What the rules mean, as a digest."""
        outer = self._outer.identity if self._outer is not None else ""
        return framed_digest(("narrowed/1", outer, [rules.identity for rules in self._inner]))

    def match(self, path: str) -> Verdict:
        """Return the verdict on a path relative to the root of the tree."""
        if self._outer is not None:
            verdict = self._outer.match(path)
            if verdict.ignored:
                return verdict
        relative = self._relative(path)
        for rules in self._inner if relative else ():
            verdict = rules.match(relative)
            if verdict.ignored:
                return verdict
        return _KEPT

    def prunable(self, directory: str) -> bool:
        """Tell whether a directory is hidden with all that is below it."""
        if self._outer is not None and self._outer.prunable(directory):
            return True
        relative = self._relative(directory)
        return bool(relative) and any(rules.prunable(relative) for rules in self._inner)

    def _relative(self, path: str) -> str:
        return path[len(self._prefix) :] if path.startswith(self._prefix) else ""


def _rules(text: str) -> IgnoreRules:
    return IgnoreRules.parse(text, "the instruction's own patterns")


def _line(pattern: str) -> str:
    """Return a pattern as a line of an ignore file; only there `#` begins a comment."""
    pattern = pattern.replace("\n", " ")
    return f"\\{pattern}" if pattern.startswith("#") else pattern


def _literal_start(pattern: str) -> str:
    """Return a pattern in which a `!` at the beginning is part of the name."""
    pattern = pattern.replace("\n", " ")
    return f"\\{pattern}" if pattern.startswith("!") else pattern
