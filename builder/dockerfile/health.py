"""HEALTHCHECK: its command, durations and retries."""

from __future__ import annotations

from builder.dockerfile import durations, suggest
from builder.dockerfile.arguments import SPACE, Piece, skip
from builder.dockerfile.grammar import VALUE, Flags, Statement
from builder.dockerfile.instructions import Healthcheck

_HEALTH_FLAGS = dict.fromkeys(
    ("interval", "timeout", "start-period", "start-interval", "retries"), VALUE
)


def read_healthcheck(given: Statement) -> Healthcheck:
    """Return the typed form.

    Raises: DockerfileError: neither NONE nor CMD with a command, or a flag that is no duration or number.
    """
    flags = given.read_flags(_HEALTH_FLAGS)
    text = given.line.text
    end = given.at
    while end < len(text) and text[end] not in SPACE:
        end += 1
    kind = given.word(Piece(text[given.at : end], given.at, end)) if end > given.at else None
    if kind is None:
        raise given.error("HEALTHCHECK needs CMD and a command, or NONE", hint=given.usual_form())
    start = skip(text, end, SPACE)
    if kind.text.upper() == "NONE":
        if start < len(text):
            raise given.error(
                "HEALTHCHECK NONE takes no arguments", given.line.span(start, len(text))
            )
        return Healthcheck(command=None, **given.common())
    if kind.text.upper() != "CMD":
        raise given.error(
            f"`{kind.text[:60]}` is no kind of HEALTHCHECK",
            kind.span,
            hint=suggest.hint(kind.text, ("CMD", "NONE"), fold=True)
            or "write CMD before the command, or NONE",
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
        **given.common(),
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
            hint=f"write it with a unit: `{flag.value}s`"
            if flag.value.isdecimal() and len(flag.value) < 8
            else "write it like `30s` or `1m30s`",
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
            f"`--retries` is a number from 0, not `{flag.value[:60]}`",
            flag.value_span,
            hint="write it like `--retries=3`",
        )
    return int(digits)
