"""Lines that begin with no instruction: what they may be, and what to do about them."""

from __future__ import annotations

import unicodedata

import msgspec

from builder.dockerfile import suggest
from builder.dockerfile.arguments import keyword_end
from builder.dockerfile.grammar import Statement
from builder.dockerfile.instructions import KEYWORDS
from builder.dockerfile.lines import LogicalLine
from builder.errors import DockerfileError

_CONFLICTS = ("<<<<<<<", "=======", ">>>>>>>", "|||||||")
_CONTINUING = ("&&", "||", "|", "-", ";")
_SHELL_WORDS = ("then", "do", "fi", "done", "else")
_WITH_BODIES = ("RUN", "COPY", "ADD")
_TAKES_MORE = (
    *("RUN", "CMD", "ENTRYPOINT", "COPY", "ADD", "ENV", "LABEL", "ARG", "EXPOSE", "VOLUME"),
    *("HEALTHCHECK", "ONBUILD", "SHELL"),
)
"""Instructions that are often continued on further lines."""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What is around such a line: the instruction before it, the lines after it that begin with none either.

    `alone` is where no line of the file begins with an instruction.
    """

    before: LogicalLine | None = None
    others: tuple[int, ...] = ()
    alone: bool = False


def meant(given: Statement) -> str:
    """Return the instruction that a keyword is, or the one that it is near to, or "", in upper case."""
    if given.name in KEYWORDS:
        return given.name
    near = suggest.nearest(given.keyword.text, KEYWORDS, fold=True)
    if near is None and given.rest.lower().split()[1:2] == ["as"]:
        return "FROM"
    return (near or "").upper()


def in_a_body(before: LogicalLine) -> bool:
    """Tell whether a line stands where an instruction without here-documents seems to have one."""
    name = before.text[: keyword_end(before.text)].upper()
    return "<<" in before.text and not before.heredocs and name not in _WITH_BODIES


def unknown(given: Statement, around: Surroundings | None = None) -> DockerfileError:
    """Return the error for a keyword that is none."""
    around = around or Surroundings()
    word = given.keyword.text
    notes, hint = _explained(given, around)
    if around.others and not around.alone:
        first, *more = around.others
        lines = f"lines {first} to {more[-1]} do" if more else f"line {first} does"
        notes = (*notes, f"{lines} not begin with an instruction either")
    return given.error(
        f"unknown instruction `{word[:60]}`",
        code="dockerfile.unknown-instruction",
        notes=notes,
        hint=hint,
    )


def _explained(given: Statement, around: Surroundings) -> tuple[tuple[str, ...], str | None]:
    word = given.keyword.text
    invisible = next((char for char in word if _is_invisible(char)), None)
    if invisible is not None:
        name = f"U+{ord(invisible):04X}"
        if unicodedata.category(invisible) == "Zs":
            return (f"`{name}` is a blank that counts as a letter here",), "write a usual blank"
        return (f"the word holds the invisible character {name}",), "remove that character"
    if word.startswith(_CONFLICTS):
        return (), "remove what a merge conflict has left here"
    if word.startswith("```"):
        return (), "remove the line: it is Markdown around the Dockerfile"
    if around.before is not None and in_a_body(around.before):
        name = around.before.text[: keyword_end(around.before.text)].upper()
        return (f"{name} takes no here-document",), "use RUN, COPY or ADD, which take one"
    near = suggest.hint(word, KEYWORDS, fold=True)
    if near is not None:
        return (), near
    if around.alone:
        what = _kind_of(given)
        note = f"no line of `{given.source.name}` begins with an instruction: {what}"
        return (note,), "name the Dockerfile with `-f FILE`"
    return _continued(given, around.before)


def _continued(given: Statement, before: LogicalLine | None) -> tuple[tuple[str, ...], str | None]:
    """Say what to do about a line that may belong to the instruction before it, or be a command."""
    word = given.keyword.text
    name = "" if before is None else before.text[: keyword_end(before.text)].upper()
    if before is not None and name in _TAKES_MORE:
        above = given.source.text.split("\n")[before.last_line - 1]
        head, slash, comment = above.rpartition(given.escape)
        if slash and head and comment.strip().startswith("#"):
            note = f"on line {before.last_line} a comment follows the backslash, which ends the line there"
            return (note,), "put the comment on a line of its own"
        character = "backslash" if given.escape == "\\" else "backtick"
        return (), f"end line {before.last_line} with a {character} if this continues its {name}"
    if word.startswith(_CONTINUING) or word in _SHELL_WORDS:
        return (), "end the line above with a backslash if this continues it"
    if word.isascii() and word[:1].isalpha() and word == word.lower():
        return (), f"write `RUN {word[:60]} …` if this is a command"
    return (), None


def _is_invisible(char: str) -> bool:
    return not char.isascii() and unicodedata.category(char) in ("Cf", "Zs", "Cc")


def _kind_of(given: Statement) -> str:
    text = given.source.text.lstrip("\ufeff \n\r\t")
    if text.startswith("#!"):
        return "it looks like a script"
    if text.startswith(("{", "[")):
        return "it looks like JSON"
    if text.startswith("<"):
        return "it looks like HTML or XML"
    if given.keyword.text.endswith(":") or text.startswith("---"):
        return "it looks like YAML, such as a Compose file"
    return "it is no Dockerfile"
