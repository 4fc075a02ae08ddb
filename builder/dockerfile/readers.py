"""One function per instruction: from a statement to its typed form.

Source: moby/buildkit, frontend/dockerfile/instructions and docs/reference.md (behaviour, not code).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from builder.dockerfile import durations, heredocs, suggest
from builder.dockerfile.arguments import BLANK, SPACE, Piece, keyword_end, skip
from builder.dockerfile.grammar import BOOLEAN, LIST, VALUE, Flags, Statement, statement
from builder.dockerfile.instructions import (
    KEYWORDS,
    Add,
    Arg,
    Argument,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Flag,
    From,
    Healthcheck,
    Heredoc,
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

_COPY_FLAGS = {
    "from": VALUE,
    "chown": VALUE,
    "chmod": VALUE,
    "link": BOOLEAN,
    "parents": BOOLEAN,
    "exclude": LIST,
}
_ADD_FLAGS = {
    "chown": VALUE,
    "chmod": VALUE,
    "link": BOOLEAN,
    "keep-git-dir": BOOLEAN,
    "checksum": VALUE,
    "unpack": BOOLEAN,
    "exclude": LIST,
}
_RUN_FLAGS = {"mount": LIST, "network": VALUE, "security": VALUE, "device": LIST}
_HEALTH_FLAGS = dict.fromkeys(
    ("interval", "timeout", "start-period", "start-interval", "retries"), VALUE
)


def read(given: Statement) -> Instruction:
    """Return the typed form of a statement.

    Raises: DockerfileError: the keyword is unknown, or what follows breaks the instruction's rules.
    """
    reader = _READERS.get(given.name)
    if reader is None:
        raise given.error(
            f"unknown instruction `{given.keyword.text[:60]}`",
            code="dockerfile.unknown-instruction",
            hint=suggest.hint(given.keyword.text, KEYWORDS, fold=True)
            or _of_a_command(given.keyword.text),
        )
    return reader(given)


def _of_a_command(word: str) -> str | None:
    if word.startswith(("&&", "||", "|", "-")) or word in ("then", "do", "fi", "done", "else"):
        return "end the line above with a backslash if this continues it"
    return None


def _common(given: Statement) -> dict[str, Any]:
    """Return the fields that every instruction has."""
    return {
        "span": given.whole(),
        "keyword": given.keyword_word(),
        "text": given.line.text[given.start :],
        "comments": given.line.comments,
    }


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
        raise given.error(
            "FROM takes an image, or an image, AS and a name",
            words[1].span.to(words[-1].span) if len(words) > 1 else None,
            hint="write it as `FROM IMAGE AS NAME`",
        )
    flags = given.read_flags({"platform": VALUE})
    return From(image=words[0], name=name, platform=flags.one("platform"), **_common(given))


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
        **_common(given),
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


def _paths(given: Statement) -> tuple[tuple[Word, ...], tuple[Heredoc, ...], Word]:
    words = given.words_or_json()
    if len(words) < 2:
        raise given.error(
            f"{given.name} needs at least one source and a destination",
            words[0].span if words else None,
            hint=f"write it as `{given.name} SOURCE DESTINATION`",
        )
    dest = words[-1]
    if heredocs.opening(dest.text) is not None:
        raise given.error(
            f"a here-document cannot be the destination of {given.name}",
            dest.span,
            hint="put the destination last",
        )
    bodies = {body.name: body for body in given.heredocs}
    sources: list[Word] = []
    files: list[Heredoc] = []
    for word in words[:-1]:
        opened = heredocs.opening(word.text) if "<<" in word.text else None
        if opened is None:
            sources.append(word)
        elif opened.name in bodies:
            files.append(bodies[opened.name])
        else:
            raise given.error(
                "a here-document cannot stand in a JSON array",
                word.span,
                hint="write the instruction without brackets",
            )
    return tuple(sources), tuple(files), dest


def _copy(given: Statement) -> Copy:
    flags = given.read_flags(_COPY_FLAGS)
    sources, files, dest = _paths(given)
    from_ = flags.one("from")
    return Copy(
        sources=sources,
        files=files,
        dest=dest,
        from_=from_ if from_ is not None and from_.value else None,
        chown=flags.one("chown"),
        chmod=flags.one("chmod"),
        link=flags.one("link"),
        parents=flags.one("parents"),
        excludes=flags.all("exclude"),
        **_common(given),
    )


def _add(given: Statement) -> Add:
    flags = given.read_flags(_ADD_FLAGS)
    sources, files, dest = _paths(given)
    return Add(
        sources=sources,
        files=files,
        dest=dest,
        chown=flags.one("chown"),
        chmod=flags.one("chmod"),
        link=flags.one("link"),
        keep_git_dir=flags.one("keep-git-dir"),
        checksum=flags.one("checksum"),
        unpack=flags.one("unpack"),
        excludes=flags.all("exclude"),
        **_common(given),
    )


def _pairs(given: Statement) -> tuple[Pair, ...]:
    given.read_flags({})
    words = given.quoted_words()
    if not words:
        raise given.error(f"{given.name} needs a name and a value")
    if "=" not in words[0].text:
        return (_legacy_pair(given),)
    pairs: list[Pair] = []
    for word in words:
        name, equals, value = word.text.partition("=")
        if not equals:
            raise given.error(
                f"`{word.text}` is not of the form name=value",
                word.span,
                hint="put quotes around a value that has blanks",
            )
        pairs.append(Pair(name=_named(given, word, name), value=_after_equals(word, value)))
    return tuple(pairs)


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
    span = word.part(0)
    on_one_line = span.line == span.end_line and span.end_column - span.column == len(word.text)
    return Word(
        name,
        type(span)(span.line, span.column, span.line, span.column + len(name))
        if on_one_line
        else span,
    )


def _after_equals(word: Word, value: str) -> Word:
    return Word(value, word.part(len(word.text) - len(value)))


def _env(given: Statement) -> Env:
    return Env(pairs=_pairs(given), **_common(given))


def _label(given: Statement) -> Label:
    return Label(pairs=_pairs(given), **_common(given))


def _arg(given: Statement) -> Arg:
    given.read_flags({})
    words = given.quoted_words()
    if not words:
        raise given.error("ARG needs a name")
    found: list[Argument] = []
    for word in words:
        name, equals, value = word.text.partition("=")
        found.append(
            Argument(
                name=_named(given, word, name),
                default=_after_equals(word, value) if equals else None,
            )
        )
    return Arg(arguments=tuple(found), **_common(given))


def _workdir(given: Statement) -> Workdir:
    given.read_flags({})
    return Workdir(path=given.one_text(), **_common(given))


def _user(given: Statement) -> User:
    given.read_flags({})
    return User(user=given.one_text(), **_common(given))


def _maintainer(given: Statement) -> Maintainer:
    given.read_flags({})
    return Maintainer(name=given.one_text(), **_common(given))


def _stop_signal(given: Statement) -> StopSignal:
    given.read_flags({})
    return StopSignal(signal=given.one_text(), **_common(given))


def _cmd(given: Statement) -> Cmd:
    given.read_flags({})
    return Cmd(command=given.command(), **_common(given))


def _entrypoint(given: Statement) -> Entrypoint:
    given.read_flags({})
    return Entrypoint(command=given.command(), **_common(given))


def _shell(given: Statement) -> Shell:
    given.read_flags({})
    command = given.command()
    if command.shell_form or not command.words:
        raise given.error(
            "SHELL takes a JSON array of at least one string",
            command.words[0].span if command.words else None,
            hint='write it like `SHELL ["/bin/bash", "-c"]`',
        )
    return Shell(command=command, **_common(given))


def _expose(given: Statement) -> Expose:
    given.read_flags({})
    words = given.words()
    if not words:
        raise given.error("EXPOSE needs a port")
    return Expose(ports=words, **_common(given))


def _volume(given: Statement) -> Volume:
    given.read_flags({})
    words = given.words_or_json()
    if not words:
        raise given.error("VOLUME needs a path")
    stripped = tuple([Word(word.text.strip(SPACE), word.span) for word in words])
    for word in stripped:
        if not word.text:
            raise given.error("a path of VOLUME is empty", word.span)
    return Volume(paths=stripped, **_common(given))


def _healthcheck(given: Statement) -> Healthcheck:
    flags = given.read_flags(_HEALTH_FLAGS)
    text = given.line.text
    end = given.at
    while end < len(text) and text[end] not in SPACE:
        end += 1
    kind = given.word(Piece(text[given.at : end], given.at, end)) if end > given.at else None
    if kind is None:
        raise given.error("HEALTHCHECK needs CMD and a command, or NONE")
    start = skip(text, end, SPACE)
    if kind.text.upper() == "NONE":
        if start < len(text):
            raise given.error(
                "HEALTHCHECK NONE takes no arguments", given.line.span(start, len(text))
            )
        return Healthcheck(command=None, **_common(given))
    if kind.text.upper() != "CMD":
        raise given.error(
            f"`{kind.text[:60]}` is no kind of HEALTHCHECK",
            kind.span,
            hint="write CMD before the command, or NONE",
        )
    command = given.command(start)
    if not command.words:
        raise given.error("HEALTHCHECK CMD has no command", kind.span)
    return Healthcheck(
        command=command,
        interval=_duration(given, flags, "interval"),
        timeout=_duration(given, flags, "timeout"),
        start_period=_duration(given, flags, "start-period"),
        start_interval=_duration(given, flags, "start-interval"),
        retries=_retries(given, flags),
        **_common(given),
    )


def _duration(given: Statement, flags: Flags, name: str) -> int:
    flag = flags.one(name)
    if flag is None or not flag.value:
        return 0
    try:
        value = durations.parse(flag.value)
    except ValueError:
        raise given.error(
            f"`{flag.value[:60]}` is not a duration",
            flag.value_span,
            hint="write it like `30s` or `1m30s`",
        ) from None
    if value != 0 and value < 1_000_000:
        raise given.error(
            f"`--{name}` is less than one millisecond", flag.value_span, hint="write `1ms` or more"
        )
    return value


def _retries(given: Statement, flags: Flags) -> int:
    flag = flags.one("retries")
    if flag is None or not flag.value:
        return 0
    digits = flag.value.removeprefix("+")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 11 and int(digits) < 1 << 31):
        raise given.error(
            f"`--retries` is a number from 0, not `{flag.value[:60]}`", flag.value_span
        )
    return int(digits)


def _on_build(given: Statement) -> OnBuild:
    given.read_flags({})
    if not given.rest:
        raise given.error("ONBUILD needs an instruction")
    inner = statement(given.source, given.line, given.escape, given.at)
    if inner.name in ("ONBUILD", "FROM", "MAINTAINER"):
        raise given.error(
            f"{inner.name} cannot be a trigger of ONBUILD",
            inner.keyword_word().span,
        )
    trigger = read(inner)
    expression = given.rest
    for body in given.heredocs:
        expression += "\n" + body.body + body.name
    return OnBuild(expression=expression, trigger=trigger, **_common(given))


_READERS: dict[str, Callable[[Statement], Instruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
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
