"""Build arguments: the predefined ones, the global ones before the first FROM, and who has used which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from builder.diagnostics import Diagnostic, Severity
from builder.dockerfile import suggest
from builder.dockerfile.expansion import Expander
from builder.dockerfile.instructions import Arg, Instruction
from builder.dockerfile.mistakes import Mistakes
from builder.oci.platform import Platform

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
"""Arguments that every RUN sees in both cases without ARG; they count for no key and no history."""

_PLATFORM_NAMES = ("PLATFORM", "OS", "OSVERSION", "ARCH", "VARIANT")
OF_THE_TARGET = tuple(f"TARGET{name}" for name in _PLATFORM_NAMES)
"""The arguments by which a stage learns what it is built for."""
_EPOCH = "SOURCE_DATE_EPOCH"
_OF_THE_BUILDER = (
    "BUILDKIT_BUILD_NAME",
    "BUILDKIT_CACHE_MOUNT_NS",
    "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
    "BUILDKIT_DOCKERFILE_CHECK",
    "BUILDKIT_INLINE_CACHE",
    "BUILDKIT_MULTI_PLATFORM",
    "BUILDKIT_SANDBOX_HOSTNAME",
    "BUILDKIT_SBOM_SCAN_CONTEXT",
    "BUILDKIT_SBOM_SCAN_STAGE",
    "BUILDKIT_SYNTAX",
    _EPOCH,
    "TARGETSTAGE",
)
NOT_ENVIRONMENT = frozenset({"BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"})


def predefined(host: Platform, target: Platform, stage: str | None) -> dict[str, str]:
    """Return the platform arguments, usable in FROM as they are and elsewhere after ARG."""
    values = {}
    for prefix, platform in (("BUILD", host), ("TARGET", target)):
        parts = (
            str(platform),
            platform.os,
            platform.os_version,
            platform.architecture,
            platform.variant,
        )
        for name, value in zip(_PLATFORM_NAMES, parts, strict=True):
            values[prefix + name] = value
    values["TARGETSTAGE"] = stage or "default"
    return values


def global_arguments(
    instructions: Iterable[Instruction],
    values: dict[str, str],
    given: Mapping[str, str],
    expander: Expander,
    mistakes: Mistakes,
) -> dict[str, str]:
    """Return `values` with what is given for them, and the ARGs before the first FROM.

    An ARG sees those before it; without default and without a value given, or with one that cannot be
    expanded, it stays unknown.
    """
    known = {name: given.get(name, value) for name, value in values.items()}
    for instruction in instructions:
        if not isinstance(instruction, Arg):
            break
        for argument in instruction.arguments:
            name = argument.name.text
            if name in given:
                known[name] = given[name]
            elif argument.default is not None:
                with mistakes.collecting():
                    known[name] = expander.expand(argument.default, known.get)
    return known


def proxy_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the proxy variables, each in both cases, from the arguments given in either."""
    found: dict[str, str] = {}
    for name in sorted(given):
        if name.upper() in PROXIES and given[name]:
            found[name.upper()] = found[name.lower()] = given[name]
    return found


def unused(instructions: Iterable[Instruction], given: Mapping[str, str]) -> list[Diagnostic]:
    """Return a warning for each build argument that no ARG of the file declares."""
    declared = {
        argument.name.text
        for instruction in instructions
        if isinstance(instruction, Arg)
        for argument in instruction.arguments
    }
    warnings = []
    for name in given:
        if name in declared or name in _OF_THE_BUILDER or name.upper() in PROXIES:
            continue
        if name.startswith(("BUILD", "TARGET")) and name.removeprefix("BUILD").removeprefix(
            "TARGET"
        ) in (_PLATFORM_NAMES):
            continue
        warnings.append(
            Diagnostic(
                severity=Severity.WARNING,
                code="UnusedBuildArg",
                message=f"the build argument `{name}` is not used by the Dockerfile",
                hint=suggest.hint(name, declared) or f"declare it with `ARG {name}`",
            )
        )
    return warnings
