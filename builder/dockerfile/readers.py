"""One function per instruction: from a statement to its typed form.

Source: moby/buildkit, frontend/dockerfile/instructions and docs/reference.md (behaviour, not code).
"""

from __future__ import annotations

from collections.abc import Callable

from builder.dockerfile import mounts, strangers, suggest
from builder.dockerfile.arguments import BLANK, SPACE, Piece, keyword_end, skip
from builder.dockerfile.grammar import LIST, OWN_LINE, VALUE, Statement, statement
from builder.dockerfile.health import read_healthcheck
from builder.dockerfile.instructions import (
    Arg,
    Argument,
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Flag,
    From,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    Pair,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Word,
    Workdir,
)
from builder.dockerfile.transfers import read_add, read_copy
from builder.errors import DockerfileError

_RUN_FLAGS = {"mount": LIST, "network": VALUE, "security": VALUE, "device": LIST}


def read(given: Statement) -> Instruction:
    """Return the typed form of a statement.

    Raises: DockerfileError: the keyword is unknown, or what follows breaks the instruction's rules.
    """
    reader = _READERS.get(given.name)
    if reader is None:
        raise strangers.unknown(given)
    return reader(given)


def recovered_head(given: Statement) -> From:
    """Return what can be read of a FROM with a mistake, so that the rest of its stage can be judged."""
    words = given.words()
    name = words[2] if len(words) > 2 and words[1].text.lower() == "as" else None
    if name is not None:
        name = Word(name.text.lower(), name.span)
    return From(
        image=words[0] if words else Word("scratch", given.keyword_word().span),
        name=name if name is not None and _is_stage_name(name.text) else None,
        **given.common(),
    )


def _from(given: Statement) -> From:
    words = given.words()
    name: Word | None = None
    if len(words) == 3 and words[1].text.lower() == "as":
        name = Word(words[2].text.lower(), words[2].span)
        if not _is_stage_name(name.text):
            raise given.error(
                f"`{words[2].text}` cannot be the name of a stage",
                words[2].span,
                hint="use letters, digits, `-`, `_` and `.`, and begin with a letter",
            )
    elif len(words) != 1:
        raise _bad_head(given, words)
    flags = given.read_flags({"platform": VALUE})
    return From(image=words[0], name=name, platform=flags.one("platform"), **given.common())


def _bad_head(given: Statement, words: tuple[Word, ...]) -> DockerfileError:
    """Return what is wrong with the words after FROM: none, or too many, or not AS and a name."""
    if not words:
        return given.error("FROM needs the name of an image", hint="write it as `FROM IMAGE`")
    image, second, *rest = words
    span = second.span.to(words[-1].span)
    usual = "write it as `FROM IMAGE AS NAME`"
    if second.text.startswith("#"):
        return given.error("FROM takes no comment after the image", span, hint=OWN_LINE)
    if second.text.lower() == "as" and not rest:
        return given.error("the name after AS is missing", span, hint=usual)
    if second.text.lower() == "as" and rest[1].text.startswith("#"):
        span = rest[1].span.to(words[-1].span)
        return given.error("FROM takes no comment after the name", span, hint=OWN_LINE)
    if second.text.lower() == "as":
        span = rest[0].span.to(words[-1].span)
        joined = "-".join(word.text for word in rest)
        hint = f"write `{joined}`" if _is_stage_name(joined) else usual
        return given.error("FROM takes one word as the name of a stage", span, hint=hint)
    if second.text[0].isdecimal() and not rest and ":" not in image.text:
        usual = f"write `FROM {image.text}:{second.text}` if this is the tag"
    elif image.text.endswith(":") and not rest:
        usual = f"write `FROM {image.text}{second.text}`, without the blank"
    elif len(rest) == 1 and len(second.text) == 2:
        usual = f"write `FROM {image.text} AS {rest[0].text}`"
    return given.error("only AS and a name can follow the image", span, hint=usual)


def _is_stage_name(text: str) -> bool:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return text[0] in letters and all(char in letters + "0123456789-_." for char in text)


def _run(given: Statement) -> Run:
    flags = given.read_flags(_RUN_FLAGS)
    network = flags.one("network")
    if network is not None:
        _one_of(given, network, ("default", "none", "host"))
    security = flags.one("security")
    if security is not None:
        _one_of(given, security, ("sandbox", "insecure"))
    for flag in flags.all("mount"):
        mounts.origin(flag, given.source)
    command = given.command()
    if not command.shell_form and not command.words:
        raise given.error("RUN has an empty command", hint="name the program to run")
    return Run(
        command=command,
        heredocs=given.heredocs,
        network=network,
        security=security,
        mounts=flags.all("mount"),
        devices=flags.all("device"),
        **given.common(),
    )


def _one_of(given: Statement, flag: Flag, choices: tuple[str, ...]) -> None:
    value = flag.value or ""
    if value not in choices:
        listed = ", ".join(f"`{choice}`" for choice in choices)
        raise given.error(
            f"`{value}` is no value of `--{flag.name}`",
            flag.value_span,
            notes=(f"it is one of {listed}",),
            hint=suggest.hint(value, choices),
        )


def _pairs(given: Statement) -> tuple[Pair, ...]:
    given.read_flags({})
    words = given.quoted_words()
    if not words:
        raise given.error(f"{given.name} needs a name and a value", hint=given.usual_form())
    if "=" not in words[0].text:
        return (_legacy_pair(given),)
    pairs: list[Pair] = []
    for index, word in enumerate(words):
        name, equals, value = word.text.partition("=")
        if not equals:
            raise given.error(
                f"`{word.text[:100]}` is not of the form name=value",
                word.span,
                hint=_pair_hint(words, index),
            )
        pairs.append(Pair(name=_named(given, word, name), value=_after_equals(word, value)))
    return tuple(pairs)


def _pair_hint(words: tuple[Word, ...], index: int) -> str:
    """Say what to do about a word without an equals sign: it may belong to the value before it."""
    word, before = words[index].text, words[index - 1].text
    if word.startswith("#"):
        return OWN_LINE
    if before.endswith("="):
        return f"remove the blank after `{before[:60]}`"
    rest = [each.text for each in words[index:]]
    end = next((at for at, text in enumerate(rest) if "=" in text or text[:1] == "#"), len(rest))
    name, _, value = before.partition("=")
    whole = " ".join([value, *rest[:end]])
    if len(whole) < 60 and not set(whole) & set("\"'\\"):
        return f'write `{name}="{whole}"` if this belongs to the value'
    return "put quotes around a value that has blanks"


def _legacy_pair(given: Statement) -> Pair:
    """Read `ENV name value`: the value is all the rest of the line."""
    end = given.at + keyword_end(given.rest)
    start = skip(given.line.text, end, BLANK)
    name = given.word(Piece(given.line.text[given.at : end], given.at, end))
    stop = len(given.line.text)
    if start >= stop:
        raise given.error(
            f"{given.name} `{name.text}` has no value", name.span, hint=f"write `{name.text}=VALUE`"
        )
    value = given.word(Piece(given.line.text[start:stop], start, stop))
    return Pair(name=name, value=value, legacy=True)


def _named(given: Statement, word: Word, name: str) -> Word:
    if not name:
        raise given.error(
            f"a name of {given.name} is blank",
            word.span,
            hint="write a name before the equals sign",
        )
    return Word(name, word.part(0, len(name)))


def _after_equals(word: Word, value: str) -> Word:
    return Word(value, word.part(len(word.text) - len(value)))


def _env(given: Statement) -> Env:
    return Env(pairs=_pairs(given), **given.common())


def _label(given: Statement) -> Label:
    return Label(pairs=_pairs(given), **given.common())


def _arg(given: Statement) -> Arg:
    given.read_flags({})
    words = given.quoted_words()
    if not words:
        raise given.error("ARG needs a name", hint=given.usual_form())
    found: list[Argument] = []
    for word in words:
        name, equals, value = word.text.partition("=")
        found.append(
            Argument(
                name=_named(given, word, name),
                default=_after_equals(word, value) if equals else None,
            )
        )
    return Arg(arguments=tuple(found), **given.common())


def _workdir(given: Statement) -> Workdir:
    given.read_flags({})
    return Workdir(path=given.one_text(), **given.common())


def _user(given: Statement) -> User:
    given.read_flags({})
    return User(user=given.one_text(), **given.common())


def _maintainer(given: Statement) -> Maintainer:
    given.read_flags({})
    return Maintainer(name=given.one_text(), **given.common())


def _stop_signal(given: Statement) -> StopSignal:
    given.read_flags({})
    return StopSignal(signal=given.one_text(), **given.common())


def _cmd(given: Statement) -> Cmd:
    given.read_flags({})
    return Cmd(command=given.command(), **given.common())


def _entrypoint(given: Statement) -> Entrypoint:
    given.read_flags({})
    return Entrypoint(command=given.command(), **given.common())


def _shell(given: Statement) -> Shell:
    given.read_flags({})
    command = given.command()
    if command.shell_form or not command.words:
        raise given.error(
            "SHELL takes a JSON array of at least one string",
            command.words[0].span if command.words else None,
            hint='write it like `SHELL ["/bin/bash", "-c"]`',
        )
    return Shell(command=command, **given.common())


def _expose(given: Statement) -> Expose:
    given.read_flags({})
    words = given.words()
    if not words:
        raise given.error("EXPOSE needs a port", hint=given.usual_form())
    return Expose(ports=words, **given.common())


def _volume(given: Statement) -> Volume:
    given.read_flags({})
    words = given.words_or_json()
    if not words:
        raise given.error("VOLUME needs a path", hint=given.usual_form())
    stripped = tuple([Word(word.text.strip(SPACE), word.span) for word in words])
    for word in stripped:
        if not word.text:
            raise given.error("a path of VOLUME is empty", word.span)
    return Volume(paths=stripped, **given.common())


def _on_build(given: Statement) -> OnBuild:
    given.read_flags({})
    if not given.rest:
        raise given.error("ONBUILD needs an instruction", hint=given.usual_form())
    inner = statement(given.source, given.line, given.escape, given.at)
    if inner.name in ("ONBUILD", "FROM", "MAINTAINER"):
        raise given.error(
            f"{inner.name} cannot be a trigger of ONBUILD",
            inner.keyword_word().span,
        )
    trigger = read(inner)
    expression = given.rest + given.line.tail
    for body in given.heredocs:
        expression += "\n" + body.body + body.name
    return OnBuild(expression=expression, trigger=trigger, **given.common())


_READERS: dict[str, Callable[[Statement], Instruction]] = {
    "ADD": read_add,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": read_copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": read_healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _on_build,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
