r"""Wildcards of COPY and ADD sources, as Go's `filepath.Match` has them.

`*` and `?` stop at a slash, `[a-z]` and `[^a-z]` are classes, `\` takes the next character literally.
Matching one component costs at most the product of the two lengths.

Source: Dockerfile reference, "COPY"; Go documentation, path/filepath.Match.
"""

from __future__ import annotations

from builder.errors import ContextError

_SPECIAL = frozenset("*?[\\")

Token = tuple[str, str]
"""("*", ""), ("?", ""), ("=", character) or ("[" or "^", the class as pairs of bounds)."""


def has_wildcard(path: str) -> bool:
    """Tell whether a source is a pattern rather than a plain path."""
    return not _SPECIAL.isdisjoint(path)


def compile_component(pattern: str) -> tuple[Token, ...]:
    r"""Turn one component of a pattern into tokens.

    Raises: ContextError: `context.bad-pattern`: an open class, or a `\` at the end.
    """
    tokens: list[Token] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        match character:
            case "*":
                if not tokens or tokens[-1][0] != "*":
                    tokens.append(("*", ""))
            case "?":
                tokens.append(("?", ""))
            case "[":
                token, position = _read_class(pattern, position)
                tokens.append(token)
            case "\\":
                if position == len(pattern):
                    raise _bad(pattern)
                tokens.append(("=", pattern[position]))
                position += 1
            case _:
                tokens.append(("=", character))
    return tuple(tokens)


def _read_class(pattern: str, position: int) -> tuple[Token, int]:
    kind = "["
    if pattern[position : position + 1] == "^":
        kind, position = "^", position + 1
    bounds: list[str] = []
    while True:
        if position < len(pattern) and pattern[position] == "]" and bounds:
            return (kind, "".join(bounds)), position + 1
        low, position = _read_bound(pattern, position)
        high = low
        if pattern[position : position + 1] == "-":
            high, position = _read_bound(pattern, position + 1)
        bounds.append(low + high)


def _read_bound(pattern: str, position: int) -> tuple[str, int]:
    character = pattern[position : position + 1]
    if character == "\\":
        position += 1
        character = pattern[position : position + 1]
    elif character in ("-", "]"):
        raise _bad(pattern)
    if not character:
        raise _bad(pattern)
    return character, position + 1


def _bad(pattern: str) -> ContextError:
    return ContextError(
        f"`{pattern}` is not a valid pattern",
        code="context.bad-pattern",
        hint="write `\\` before a bracket that is part of the name",
    )


def matches(tokens: tuple[Token, ...], name: str) -> bool:
    """Tell whether a whole component matches."""
    token_at = name_at = 0
    star, resume = -1, 0
    while name_at < len(name):
        if token_at < len(tokens) and tokens[token_at][0] == "*":
            star, resume = token_at, name_at
            token_at += 1
        elif token_at < len(tokens) and _matches_one(tokens[token_at], name[name_at]):
            token_at += 1
            name_at += 1
        elif star >= 0:
            resume += 1
            token_at, name_at = star + 1, resume
        else:
            return False
    return all(kind == "*" for kind, _ in tokens[token_at:])


def _matches_one(token: Token, character: str) -> bool:
    kind, text = token
    if kind == "=":
        return character == text
    if kind == "?":
        return True
    inside = any(text[index] <= character <= text[index + 1] for index in range(0, len(text), 2))
    return inside if kind == "[" else not inside
