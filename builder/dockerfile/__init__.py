"""Dockerfile text to typed instructions, stages and a build graph. Pure: no disk, no network, no processes.

As a library, without the rest of the program:

    from builder import dockerfile

    parsed = dockerfile.parse_dockerfile(text)            Dockerfile: instructions, each word with its place
    assert dockerfile.print_dockerfile(parsed) == text    comments and formatting are kept
    newer = dockerfile.replace_base(parsed, "build", "golang:1.25")
    newer = dockerfile.set_argument(newer, "VERSION", "2.0")
    text = dockerfile.print_dockerfile(newer)
    text = dockerfile.format_dockerfile(text)             even layout, same meaning

Mistakes are `builder.errors.DockerfileError`, with a place, or `DockerfileErrors` where there are several.
The functions are imported when they are used: a cached build needs none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.dockerfile.formatting import format_dockerfile
    from builder.dockerfile.instructions import Dockerfile
    from builder.dockerfile.parse import parse_dockerfile
    from builder.dockerfile.printing import Segment, print_dockerfile, segments
    from builder.dockerfile.rewriting import Edit, quoted, replace_base, rewrite, set_argument

__all__ = [
    "Dockerfile",
    "Edit",
    "Segment",
    "format_dockerfile",
    "parse_dockerfile",
    "print_dockerfile",
    "quoted",
    "replace_base",
    "rewrite",
    "segments",
    "set_argument",
]

_HOMES = {
    "Dockerfile": "instructions",
    "Edit": "rewriting",
    "Segment": "printing",
    "format_dockerfile": "formatting",
    "parse_dockerfile": "parse",
    "print_dockerfile": "printing",
    "quoted": "rewriting",
    "replace_base": "rewriting",
    "rewrite": "rewriting",
    "segments": "printing",
    "set_argument": "rewriting",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
