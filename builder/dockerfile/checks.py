"""`# check=skip=…;error=true`: which warnings are shown, and whether they fail the build."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from builder.diagnostics import Diagnostic
from builder.dockerfile.instructions import Dockerfile
from builder.errors import DockerfileError, DockerfileErrors, UsageError

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
NOT_A_RULE = frozenset({"UnusedBuildArg"})
"""Warnings about the command line, which no directive of the file governs."""


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """The rules to skip, or all of them, and whether a warning is an error."""

    skip: frozenset[str] = frozenset()
    skip_all: bool = False
    error: bool = False

    def shown(self, warnings: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
        """Return the warnings that are not skipped.

        Raises: DockerfileError: the file asks for warnings to be errors, and there are some.
        """
        kept = tuple(
            warning
            for warning in warnings
            if warning.code in NOT_A_RULE or not (self.skip_all or warning.code in self.skip)
        )
        errors = tuple(
            DockerfileError(
                warning.message,
                code=warning.code,
                span=warning.span,
                source=warning.source,
                notes=(*warning.notes, "`check=error=true` makes this warning an error"),
                hint=warning.hint,
            )
            for warning in kept
            if self.error and warning.code not in NOT_A_RULE
        )
        if len(errors) > 1:
            raise DockerfileErrors(errors)
        if errors:
            raise errors[0]
        return kept


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
        return _read(directive.text)
    except ValueError as error:
        raise DockerfileError(
            str(error),
            span=directive.span,
            source=dockerfile.source,
            hint="write it like `# check=skip=RuleName;error=true`",
        ) from error


def _read(text: str) -> Checks:
    skip: frozenset[str] = frozenset()
    error = False
    for part in text.split(";", 2) if text.strip() else ():
        name, equals, value = part.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or name not in ("skip", "error", "experimental"):
            raise ValueError(f"`{part.strip()[:60]}` is no option of `check`")
        if name == "skip":
            skip = frozenset(rule.strip() for rule in value.split(","))
        elif name == "error":
            if value not in _TRUE | _FALSE:
                raise ValueError(f"`error` of `check` is true or false, not `{value[:60]}`")
            error = value in _TRUE
    return Checks(skip=skip, skip_all="all" in skip, error=error)
