"""The stages of a Dockerfile as its author presents them: what `--call=targets` lists."""

from __future__ import annotations

import msgspec

from builder.dockerfile.checks.walk import stage_texts
from builder.dockerfile.instructions import Dockerfile, From


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One stage, base and platform as written; `name` and `description` are "" where there is none.

    Stages count from 0; the default is the one that is built when none is asked for.
    """

    index: int
    name: str
    description: str
    base: str
    platform: str
    default: bool
    head: From


def targets(dockerfile: Dockerfile) -> tuple[Target, ...]:
    """Return the stages in the order of the file; the last is the default."""
    stages = stage_texts(dockerfile)
    found = []
    for stage in stages:
        head = stage.head
        name = head.name.text if head.name is not None else ""
        found.append(
            Target(
                index=stage.index,
                name=name,
                description=description(name, head.comments),
                base=head.image.text,
                platform=head.platform.value or "" if head.platform is not None else "",
                default=stage.index == len(stages) - 1,
                head=head,
            )
        )
    return tuple(found)


def description(name: str, comments: tuple[str, ...]) -> str:
    """Return what the comments above an instruction say of a name: `# NAME what it is for`."""
    for comment in comments if name else ():
        if comment.startswith(f"{name} "):
            return comment[len(name) + 1 :]
    return ""
