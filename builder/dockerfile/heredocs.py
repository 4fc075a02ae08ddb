"""Finding the here-documents that a logical line opens.

Only RUN, COPY and ADD have them, and ONBUILD of these, never in JSON form.
"""

from __future__ import annotations

import msgspec

from builder.dockerfile import arguments, words
from builder.dockerfile.arguments import SPACE

_WITH_BODIES = frozenset({"ADD", "COPY", "RUN"})


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """`[descriptor]<<[-]name` in a line; `expand` is false when a part of the name is quoted.

    `at` and `end` are its place in the text, -1 when the line spells it in another way.
    """

    name: str
    expand: bool
    strip_tabs: bool
    descriptor: int
    at: int = -1
    end: int = -1


def openings(text: str, escape: str) -> tuple[Opening, ...]:
    """Return the here-documents opened by an instruction, in order."""
    if "<<" not in text or not _may_have_bodies(text, escape):
        return ()
    try:
        # Always the backslash, whatever the escape directive says: it is the shell's language that is read.
        found = words.split(
            text, words.nothing, keep_quotes=True, keep_unset=True, keep_escapes=True
        )
    except words.BadWord:
        return ()
    result: list[Opening] = []
    at = 0
    for word in found:
        opened = opening(word)
        if opened is not None:
            place = text.find(word, at)
            if place >= 0:
                at = place + len(word)
                opened = msgspec.structs.replace(opened, at=place, end=at)
            result.append(opened)
    return tuple(result)


def opening(word: str) -> Opening | None:
    """Read one word as the start of a here-document, or return None."""
    digits = arguments.skip(word, 0, "0123456789")
    if not word.startswith("<<", digits):
        return None
    strip_tabs = word.startswith("-", digits + 2)
    rest = word[digits + 2 + strip_tabs :].lstrip(SPACE)
    if not rest or "<" in rest:
        return None
    try:
        plain = words.split(rest, words.nothing, keep_unset=True)
        quoted = words.split(rest, words.nothing, keep_unset=True, keep_quotes=True)
    except words.BadWord:
        return None
    if len(plain) != 1 or len(quoted) != 1:
        return None
    return Opening(
        name=plain[0],
        expand=_quotes(plain[0]) == _quotes(quoted[0]),
        strip_tabs=strip_tabs,
        descriptor=int(word[:digits][-9:] or "0"),
    )


def _quotes(word: str) -> int:
    return word.count("'") + word.count('"')


def _may_have_bodies(text: str, escape: str) -> bool:
    end = arguments.keyword_end(text)
    keyword = text[:end].upper()
    _, at = arguments.flags(text, end, escape)
    if keyword == "ONBUILD":
        start = at
        end = start + arguments.keyword_end(text[start:])
        keyword = text[start:end].upper()
        _, at = arguments.flags(text, end, escape)
    if keyword not in _WITH_BODIES:
        return False
    try:
        return arguments.json_list(text, at) is None
    except arguments.NotStrings:
        return False
