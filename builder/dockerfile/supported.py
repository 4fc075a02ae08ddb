"""What the language has and this builder does not do yet: refused by name, before anything is pulled or run."""

from __future__ import annotations

from collections.abc import Mapping

from builder.diagnostics import Diagnostic, Severity, SourceFile, Span
from builder.dockerfile import mounts
from builder.dockerfile.instructions import Directives, Dockerfile, Flag, Instruction, Run
from builder.errors import DockerfileError, UsageError

_FRONTENDS = ("dockerfile", "dockerfile-upstream")
HOSTNAME = "BUILDKIT_SANDBOX_HOSTNAME"
"""The build argument that names the host which steps run on."""
_LONGEST_HOSTNAME = 64
_NOT_IN_HOSTNAMES = frozenset(" \t\r\n\0#/")
_OFF = frozenset({"", "0", "f", "F", "FALSE", "false", "False"})
_WITHOUT_EFFECT = (
    ("BUILDKIT_INLINE_CACHE", "cache records stay in the store, images carry none"),
    ("BUILDKIT_SBOM_SCAN_CONTEXT", "no bill of materials is made"),
    ("BUILDKIT_SBOM_SCAN_STAGE", "no bill of materials is made"),
)


class ForeignSyntax(DockerfileError):
    """The file is in another language: nothing in it means what it does here."""


def mistakes(instruction: Instruction, source: SourceFile) -> list[DockerfileError]:
    """Return an error for each mistake in the mounts and devices of a RUN that shows before variables are known."""
    if not isinstance(instruction, Run):
        return []
    found: list[DockerfileError] = []
    for flag in (*instruction.mounts, *instruction.devices):
        try:
            if flag.name == "mount":
                mounts.read_mount(flag, source)
            else:
                mounts.read_device(flag, source)
        except DockerfileError as error:
            found.append(error)
    return found


def refusals(run: Run, source: SourceFile) -> list[DockerfileError]:
    """Return an error for each flag of a RUN that is not supported."""
    return [_flag_refused("RUN", flag, source) for flag in run.devices]


def check_arguments(given: Mapping[str, str]) -> None:
    """Refuse build arguments that ask the builder for something it does not do.

    Raises: UsageError: one of them does.
    """
    if given.get("BUILDKIT_MULTI_PLATFORM", "0") not in _OFF:
        raise UsageError(
            "the build argument `BUILDKIT_MULTI_PLATFORM` is not supported yet",
            notes=("it asks for an index around the one image",),
            hint="leave it out",
        )
    name = given.get(HOSTNAME, "")
    if len(name.encode("utf-8", "replace")) > _LONGEST_HOSTNAME or set(name) & _NOT_IN_HOSTNAMES:
        raise UsageError(
            f"`{name[:80]}` in the build argument `{HOSTNAME}` cannot be the name of a host",
            hint=f"use at most {_LONGEST_HOSTNAME} letters, digits, dots and hyphens",
        )


def without_effect(given: Mapping[str, str]) -> list[Diagnostic]:
    """Return a warning for each build argument to the builder that changes nothing here."""
    return [
        Diagnostic(
            severity=Severity.WARNING,
            code="UnusedBuildArg",
            message=f"the build argument `{name}` has no effect here",
            notes=(why,),
        )
        for name, why in _WITHOUT_EFFECT
        if given.get(name, "0") not in _OFF
    ]


def check_syntax(dockerfile: Dockerfile, build_args: Mapping[str, str]) -> None:
    """Refuse a `# syntax=`, or a build argument BUILDKIT_SYNTAX, that names another language than this one.

    Raises: ForeignSyntax: it names the image of a foreign front end.
    """
    asked = build_args.get("BUILDKIT_SYNTAX")
    foreign = (
        _foreign(asked, None, dockerfile.source)
        if asked
        else foreign_syntax(dockerfile.directives, dockerfile.source)
    )
    if foreign is not None:
        raise foreign


def foreign_syntax(directives: Directives, source: SourceFile) -> ForeignSyntax | None:
    """Return an error if the syntax directive of a file names another language than this one."""
    word = directives.syntax
    return None if word is None else _foreign(word.text, word.span, source)


def _foreign(text: str, span: Span | None, source: SourceFile) -> ForeignSyntax | None:
    image = text.split(" ", 1)[0].partition("@")[0]
    name = image.rpartition("/")[2].partition(":")[0]
    if name in ("", *_FRONTENDS):
        return None
    return ForeignSyntax(
        f"the syntax `{text[:100]}` is not supported",
        code="dockerfile.unsupported",
        span=span,
        source=source,
        notes=("the Dockerfile is read by the builder itself, no front end image is run",),
        hint="leave it out if the file is a usual Dockerfile",
    )


def _flag_refused(name: str, flag: Flag, source: SourceFile) -> DockerfileError:
    return _refused(
        f"`{name} --{flag.name}`", flag.span, source, "build this file with another builder for now"
    )


def _refused(what: str, span: Span, source: SourceFile, hint: str) -> DockerfileError:
    return DockerfileError(
        f"{what} is not supported yet",
        code="dockerfile.unsupported",
        span=span,
        source=source,
        hint=hint,
    )
