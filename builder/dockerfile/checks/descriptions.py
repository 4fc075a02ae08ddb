"""The rule about the comments that describe stages and arguments, which `--call=outline` shows."""

from __future__ import annotations

from collections.abc import Iterator

from builder.dockerfile.checks.finding import Finding
from builder.dockerfile.checks.walk import Scene
from builder.dockerfile.instructions import Arg, From
from builder.dockerfile.steering import PREFIX


def descriptions(scene: Scene) -> Iterator[Finding]:
    """InvalidDefinitionDescription: the last comment above begins with no name that is defined there."""
    for instruction in scene.dockerfile.instructions:
        match instruction:
            case From(name=name) if name is not None:
                names = [name.text]
            case Arg():
                names = [argument.name.text for argument in instruction.arguments]
            case _:
                continue
        comments = [
            each for each in instruction.comments if not each.lower().startswith(("check=", PREFIX))
        ]
        if not comments or comments[-1].split(" ", 1)[0] in names:
            continue
        shown = names[0] if len(names) == 1 else "NAME"
        yield Finding(
            rule="InvalidDefinitionDescription",
            span=instruction.span,
            message=f"the comment above describes `{shown}`, but does not begin with that name",
            hint=f"write it as `# {shown} DESCRIPTION`, or put a line with only `#` below it",
            comments=instruction.comments,
        )
