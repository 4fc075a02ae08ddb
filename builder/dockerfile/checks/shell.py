"""A rough look at what a RUN does: the simple commands of a shell text, as far as they can be told.

Not a shell: quoting is resolved, variables stay as they are written, and what is not understood is a command
that no rule knows.
"""

from __future__ import annotations

import re

from builder.dockerfile.instructions import Run

_ENDS = ";&|\n()"
_PLAIN = re.compile(r"""[^;&|\n()'"\\# \t]+""")
_IN_DOUBLE_QUOTES = re.compile(r"""[^"\\]*""")
_PREFIXES = frozenset(
    [
        "!",
        "{",
        "}",
        "if",
        "then",
        "else",
        "elif",
        "do",
        "while",
        "until",
        "time",
        "exec",
        "command",
        "nice",
        "sudo",
        "env",
    ]
)
_MOST = 1 << 20
"""Characters of one RUN that are looked at."""


def mentions(run: Run, *words: str) -> bool:
    """Tell whether any of some words stands anywhere in a RUN: what costs little to ask before all else."""
    texts = [run.text, *[file.content() for file in run.heredocs]]
    return any(word in text for text in texts for word in words)


def commands(run: Run) -> list[list[str]]:
    """Return the simple commands of a RUN, each a list of words, without assignments and `sudo`."""
    if not run.command.shell_form:
        return [[word.text for word in run.command.words]]
    text = run.command.words[0].text if run.command.words else ""
    bodies = [file.content() for file in run.heredocs]
    return simple_commands("\n".join([text, *bodies])[:_MOST])


def simple_commands(text: str) -> list[list[str]]:
    """Cut a shell text into commands and these into words."""
    found: list[list[str]] = []
    words: list[str] = []
    piece: list[str] = []
    quoted = False
    at, end = 0, len(text)
    while at <= end:
        plain = _PLAIN.match(text, at)
        if plain is not None:
            piece.append(plain[0])
            at = plain.end()
        char = text[at] if at < end else "\n"
        at += 1
        if char in "'\"":
            stop = _quote_end(text, at, char)
            piece.append(text[at:stop])
            quoted = True
            at = min(stop + 1, end)
        elif char == "\\":
            piece.append(text[at : at + 1].strip("\n"))
            at += 1
        elif char == "#" and not piece and not quoted:
            stop = text.find("\n", at)
            at = end if stop < 0 else stop
        elif char in " \t" or char in _ENDS:
            if piece or quoted:
                words.append("".join(piece))
            piece, quoted = [], False
            if char in _ENDS:
                found.append(_without_prefixes(words))
                words = []
        else:
            piece.append(char)
    return [command for command in found if command]


def _quote_end(text: str, at: int, quote: str) -> int:
    """Return where a quoted stretch ends; in double quotes a backslash escapes."""
    if quote == "'":
        found = text.find(quote, at)
        return len(text) if found < 0 else found
    while (stretch := _IN_DOUBLE_QUOTES.match(text, at)) is not None:
        at = stretch.end()
        if not text.startswith("\\", at):
            break
        at += 2
    return min(at, len(text))


def _without_prefixes(words: list[str]) -> list[str]:
    words = [word for word in words if not word.startswith("<<")]
    at = 0
    while at < len(words) and (words[at] in _PREFIXES or _is_assignment(words[at])):
        at += 1
    return words[at:]


def _is_assignment(word: str) -> bool:
    name, equals, _ = word.partition("=")
    return bool(equals) and name.isidentifier()


def program(command: list[str]) -> str:
    """Return the name of the program without its directory."""
    return command[0].rpartition("/")[2]


def operands(command: list[str]) -> list[str]:
    """Return the words after the program that are no options."""
    return [word for word in command[1:] if not word.startswith("-")]


def has_option(command: list[str], letter: str, name: str) -> bool:
    """Tell whether a command has `-x`, also among other letters, or `--name`."""
    for word in command[1:]:
        if word == name or (word.startswith("-") and not word.startswith("--") and letter in word):
            return True
    return False
