"""What the language has and this builder does not do yet: refused by name, before anything is pulled or run."""

from __future__ import annotations

from collections.abc import Mapping

from builder.diagnostics import SourceFile, Span
from builder.dockerfile.instructions import Add, Copy, Dockerfile, Flag, Instruction, OnBuild, Run
from builder.errors import DockerfileError

_FRONTENDS = ("dockerfile", "dockerfile-upstream")


def refusals(instruction: Instruction, source: SourceFile) -> list[DockerfileError]:
    """Return an error for each unsupported thing in an instruction."""
    if isinstance(instruction, Add):
        return [
            _refused(
                "ADD",
                instruction.keyword.span,
                source,
                "use COPY for files, and RUN to unpack or download",
            )
        ]
    if isinstance(instruction, OnBuild):
        return [
            _refused(
                "ONBUILD",
                instruction.keyword.span,
                source,
                "put the instruction into the Dockerfile that builds on this image",
            )
        ]
    if isinstance(instruction, Run):
        flags: list[Flag] = [*instruction.mounts, *instruction.devices]
        if instruction.security is not None and instruction.security.value != "sandbox":
            flags.append(instruction.security)
        return [_flag_refused("RUN", flag, source) for flag in flags]
    if isinstance(instruction, Copy):
        switches = [
            flag
            for flag in (instruction.link, instruction.parents)
            if flag is not None and (flag.value or "true").lower() == "true"
        ]
        return [_flag_refused("COPY", flag, source) for flag in (*switches, *instruction.excludes)]
    return []


def check_syntax(dockerfile: Dockerfile, build_args: Mapping[str, str]) -> None:
    """Refuse a `# syntax=`, or a build argument BUILDKIT_SYNTAX, that names another language than this one.

    Raises: DockerfileError: it names the image of a foreign front end.
    """
    directive = dockerfile.directives.syntax
    text = build_args.get("BUILDKIT_SYNTAX") or (directive.text if directive is not None else "")
    image = text.split(" ", 1)[0].partition("@")[0]
    name = image.rpartition("/")[2].partition(":")[0]
    if name not in ("", *_FRONTENDS):
        raise DockerfileError(
            f"the syntax `{text[:100]}` is not supported",
            code="dockerfile.unsupported",
            span=directive.span if directive is not None and directive.text == text else None,
            source=dockerfile.source,
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
