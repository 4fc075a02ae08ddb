"""`NAME=value` words of flags: labels, build arguments, environments."""

from __future__ import annotations

from collections.abc import Iterable

from builder.errors import UsageError
from builder.settings import variable

_LARGEST_FILE = 1 << 20


def named(words: Iterable[str], flag: str) -> tuple[tuple[str, str], ...]:
    """Return names and values; a name alone has an empty value.

    Raises: UsageError: a word has no name.
    """
    return tuple((_name(word, flag), word.partition("=")[2]) for word in words)


def with_environment(words: Iterable[str], flag: str) -> tuple[tuple[str, str], ...]:
    """Return names and values; a name alone takes its value from the caller's environment, if it is there.

    Raises: UsageError: a word has no name.
    """
    result: list[tuple[str, str]] = []
    for word in words:
        name, equals, value = word.partition("=")
        _name(word, flag)
        found = value if equals else variable(name)
        if found is not None:
            result.append((name, found))
    return tuple(result)


def from_file(path: str) -> tuple[tuple[str, str], ...]:
    """Read a file of environment variables, one a line; blank lines and those that begin with # are left out.

    Raises: UsageError: the file cannot be read or is not text.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(
            f"cannot read the file `{path}` of --env-file: {error.strerror}"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the file `{path}` of --env-file is not UTF-8 text") from error
    if len(text) > _LARGEST_FILE:
        raise UsageError(f"the file `{path}` of --env-file is larger than 1 MiB")
    lines = (line.lstrip().removesuffix("\r") for line in text.split("\n"))
    return with_environment((line for line in lines if line and line[0] != "#"), "--env-file")


def _name(word: str, flag: str) -> str:
    name = word.partition("=")[0]
    if not name or any(character.isspace() for character in name) or "\0" in word:
        raise UsageError(f"`{word[:80]}` for `{flag}` has no name", hint="write it as NAME=value")
    return name
