"""Answers to `--call`: as text for people, and as JSON in the shape that BuildKit's tools read.

Source: moby/buildkit, frontend/subrequests (the shape of the JSON and the columns of the tables).
"""

from __future__ import annotations

import base64
from typing import Any, assert_never

import msgspec

from builder.diagnostics import Diagnostic, SourceFile
from builder.dockerfile.checks.rules import RULES
from builder.dockerfile.instructions import Instruction
from builder.dockerfile.parameters import Access, Parameters
from builder.dockerfile.printing import last_line
from builder.dockerfile.targets import Target
from builder.engine.calls import CallResult, Checked, Found, Listed, Outlined
from builder.ui.cells import neutral
from builder.ui.diagnostic import render, to_json
from builder.ui.style import PLAIN, Palette
from builder.ui.table import table


def as_text(result: CallResult, *, palette: Palette = PLAIN, columns: int = 120) -> str:
    """Return what to print; errors of a check are left out, they are told where errors are told."""
    match result:
        case Checked():
            return _check_text(result, palette, columns)
        case Outlined():
            return _outline_text(result.parameters)
        case Listed():
            return _targets_text(result.targets)
        case _:
            assert_never(result)


def _check_text(result: Checked, palette: Palette, columns: int) -> str:
    count = len(result.warnings)
    if count:
        noun = "warning has" if count == 1 else "warnings have"
        lines = [f"Check complete, {count} {noun} been found\n"]
    else:
        lines = [] if result.errors else ["Check complete, no warnings found\n"]
    for found in result.warnings:
        lines.append("\n" + render(found.diagnostic, palette=palette, columns=columns))
    return "".join(lines)


def _outline_text(found: Parameters) -> str:
    parts: list[str] = []
    if found.name or found.description:
        lines = [f"TARGET:      {neutral(found.name or '(default)')}\n"]
        if found.description:
            lines.append(f"DESCRIPTION: {neutral(found.description)}\n")
        parts.append("".join(lines))
    if found.arguments:
        rows = [(each.name, each.value, each.description) for each in found.arguments]
        parts.append(table(("BUILD ARG", "VALUE", "DESCRIPTION"), rows))
    for heading, accesses in (("SECRET", found.secrets), ("SSH", found.ssh)):
        if accesses:
            asked = [(each.name, "true" if each.required else "") for each in accesses]
            parts.append(table((heading, "REQUIRED"), asked))
    return "\n".join(parts)


def _targets_text(targets: tuple[Target, ...]) -> str:
    rows = []
    for target in targets:
        name = f"{target.name} (default)".strip() if target.default else target.name
        rows.append((name, target.description))
    return table(("TARGET", "DESCRIPTION"), rows)


def as_json(result: CallResult) -> str:
    """Return one JSON document, indented, without a newline at its end."""
    match result:
        case Checked():
            document = _check_json(result)
        case Outlined():
            document = _outline_json(result)
        case Listed():
            document = {
                "targets": [_target_json(target) for target in result.targets],
                "sources": [_data(result.source)],
            }
        case _:
            assert_never(result)
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def _check_json(result: Checked) -> dict[str, Any]:
    """Return the findings; `diagnostic` and `errors` are more than BuildKit has: columns, facts and hints."""
    document: dict[str, Any] = {
        "warnings": [_warning_json(found) for found in result.warnings],
        "sources": [
            {
                "filename": result.source.name,
                "data": _data(result.source),
                "language": "Dockerfile",
            }
        ],
    }
    if result.errors:
        first = result.errors[0]
        document["buildError"] = {
            "message": first.diagnostic.message,
            "location": _location(first.first_line, first.last_line),
        }
        document["errors"] = [_raw(found.diagnostic) for found in result.errors]
    return document


def _warning_json(found: Found) -> dict[str, Any]:
    rule = RULES.get(found.diagnostic.code)
    document: dict[str, Any] = {"ruleName": found.diagnostic.code}
    if rule is not None:
        document["description"] = rule.summary
        if rule.url:
            document["url"] = rule.url
    document["detail"] = found.diagnostic.message
    document["location"] = _location(found.first_line, found.last_line)
    document["diagnostic"] = _raw(found.diagnostic)
    return document


def _raw(diagnostic: Diagnostic) -> msgspec.Raw:
    return msgspec.Raw(to_json(diagnostic))


def _location(first: int, last: int) -> dict[str, Any]:
    if not first:
        return {}
    return {"ranges": [{"start": {"line": first}, "end": {"line": last}}]}


def _of(instruction: Instruction) -> dict[str, Any]:
    return _location(instruction.span.line, last_line(instruction))


def _outline_json(result: Outlined) -> dict[str, Any]:
    found = result.parameters
    arguments = [
        _filled(name=each.name, description=each.description, value=each.value)
        | {"location": _of(each.instruction)}
        for each in found.arguments
    ]
    return _filled(
        name=found.name,
        description=found.description,
        args=arguments,
        secrets=[_access_json(each) for each in found.secrets],
        ssh=[_access_json(each) for each in found.ssh],
        sources=[_data(result.source)],
    )


def _access_json(access: Access) -> dict[str, Any]:
    required = {"required": True} if access.required else {}
    return {"name": access.name, **required, "location": _of(access.instruction)}


def _target_json(target: Target) -> dict[str, Any]:
    default = {"default": True} if target.default else {}
    return {
        **_filled(name=target.name),
        **default,
        **_filled(description=target.description, base=target.base, platform=target.platform),
        "location": _of(target.head),
    }


def _filled(**fields: Any) -> dict[str, Any]:
    """Leave out what is empty, as BuildKit does."""
    return {name: value for name, value in fields.items() if value}


def _data(source: SourceFile) -> str:
    return base64.b64encode(source.text.encode("utf-8", "surrogateescape")).decode()
