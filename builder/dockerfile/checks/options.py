"""`# check=skip=…;error=true;experimental=…`: which findings are shown, and whether they fail the build."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from builder.diagnostics import Diagnostic
from builder.dockerfile.checks.rules import EXPERIMENTAL, OWN
from builder.dockerfile.instructions import Dockerfile
from builder.errors import DockerfileError, UsageError

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
NOT_A_RULE = frozenset({"UnusedBuildArg", "UnusedNoCacheFilter"})
"""Warnings about the command line, which no directive of the file governs."""


class ChecksFailed(DockerfileError):
    """The file asks for findings to be errors, and there are some: `warnings`, all that are shown."""

    default_code = "dockerfile.check-failed"

    def __init__(self, rules: Iterable[str], warnings: tuple[Diagnostic, ...]) -> None:
        super().__init__(
            # In these words scripts know it from BuildKit.
            f"lint violation found for rules: {', '.join(sorted(set(rules)))}",
            notes=("the checks are set to `error=true`, which makes these warnings errors",),
            hint="correct what the warnings show, or skip a rule with `# check=skip=RULE`",
        )
        self.warnings = warnings


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """Rules to skip, or all of them; experimental rules asked for; whether a finding is an error."""

    skip: frozenset[str] = frozenset()
    skip_all: bool = False
    experimental: frozenset[str] = frozenset()
    experimental_all: bool = False
    error: bool = False

    def shows(self, rule: str) -> bool:
        """Tell whether findings of a rule are shown; a warning that is no rule's always is."""
        if rule in NOT_A_RULE:
            return True
        if rule in EXPERIMENTAL:
            return self.experimental_all or rule in self.experimental
        return not (self.skip_all or rule in self.skip)

    def fails(self, rule: str) -> bool:
        """Tell whether a finding fails the build.

        A file that other builders take must not fail here for a rule that they do not have, so our own rules
        count only where `experimental` names them.
        """
        if not self.error or rule in NOT_A_RULE:
            return False
        return rule not in OWN or self.experimental_all or rule in self.experimental

    def above(self, comments: tuple[str, ...]) -> Checks:
        """Return these options with those that the comments right above an instruction add."""
        for comment in comments:
            name, equals, value = comment.partition("=")
            if not equals or name.strip().lower() != "check":
                continue
            try:
                added = _read(value.strip().partition(" ")[0])
            except ValueError:
                return self
            return msgspec.structs.replace(
                self,
                skip=self.skip | added.skip,
                skip_all=self.skip_all or added.skip_all,
                experimental=self.experimental | added.experimental,
                experimental_all=self.experimental_all or added.experimental_all,
            )
        return self

    def shown(self, warnings: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
        """Return the warnings that are not skipped, in the order of the file.

        Raises: ChecksFailed: the file asks for findings to be errors, and there are some.
        """
        kept = tuple(sorted([each for each in warnings if self.shows(each.code)], key=_place))
        failing = [each.code for each in kept if self.fails(each.code)]
        if failing:
            raise ChecksFailed(failing, kept)
        return kept


def _place(warning: Diagnostic) -> tuple[int, int]:
    return (warning.span.line, warning.span.column) if warning.span is not None else (1 << 30, 0)


def read_checks(dockerfile: Dockerfile, build_args: Mapping[str, str]) -> Checks:
    """Return what the build argument BUILDKIT_DOCKERFILE_CHECK says, or else the directive.

    Raises: DockerfileError, UsageError: an option is unknown.
    """
    given = build_args.get("BUILDKIT_DOCKERFILE_CHECK")
    if given is not None:
        try:
            return _read(given)
        except ValueError as error:
            raise UsageError(f"BUILDKIT_DOCKERFILE_CHECK: {error}") from error
    directive = dockerfile.directives.check
    if directive is None:
        return Checks()
    try:
        return _read(directive.text.partition(" ")[0])  # what follows a blank is a remark
    except ValueError as error:
        raise DockerfileError(
            str(error),
            span=directive.span,
            source=dockerfile.source,
            hint="write it like `# check=skip=RuleName;error=true`",
        ) from error


def _read(text: str) -> Checks:
    found: dict[str, frozenset[str]] = {}
    error = False
    for part in text.split(";", 2) if text.strip() else ():
        name, equals, value = part.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or name not in ("skip", "error", "experimental"):
            raise ValueError(f"`{part.strip()[:60]}` is no option of `check`")
        if name == "error":
            if value not in _TRUE | _FALSE:
                raise ValueError(f"`error` of `check` is true or false, not `{value[:60]}`")
            error = value in _TRUE
        else:
            found[name] = frozenset(rule.strip() for rule in value.split(","))
    skip, experimental = found.get("skip", frozenset()), found.get("experimental", frozenset())
    return Checks(
        skip=skip,
        skip_all="all" in skip,
        experimental=experimental,
        experimental_all="all" in experimental,
        error=error,
    )
