"""Go's text form of durations, in nanoseconds: `1m30s`, `500ms`, `1.5h`.

Source: Go standard library, time.ParseDuration and time.Duration.String.
"""

from __future__ import annotations

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_LARGEST = (1 << 63) - 1
_DIGITS = "0123456789"


def parse(text: str) -> int:
    """Return the nanoseconds.

    Raises: ValueError: not a duration, or longer than 64 bits hold.
    """
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    if not rest or len(rest) > 100:
        raise ValueError(text)
    total = 0
    while rest:
        number = _leading(rest, _DIGITS + ".")
        rest = rest[len(number) :]
        unit = _leading_unit(rest)
        rest = rest[len(unit) :]
        whole, _, part = number.partition(".")
        if unit not in _UNITS or not (whole or part) or "." in part:
            raise ValueError(text)
        scale = _UNITS[unit]
        total += int(whole or "0") * scale + (int(part or "0") * scale) // 10 ** len(part)
        if total > _LARGEST:
            raise ValueError(text)
    return -total if text.startswith("-") else total


def _leading(text: str, among: str) -> str:
    return text[: len(text) - len(text.lstrip(among))]


def _leading_unit(text: str) -> str:
    for index, char in enumerate(text):
        if char == "." or char in _DIGITS:
            return text[:index]
    return text


def show(nanoseconds: int) -> str:
    """Return the text that Go prints: `1m30s`, `1.5s`, `0s`."""
    if nanoseconds == 0:
        return "0s"
    sign = "-" if nanoseconds < 0 else ""
    value = abs(nanoseconds)
    if value < 1_000_000_000:
        for unit in ("ms", "µs", "ns"):
            if value >= _UNITS[unit]:
                return f"{sign}{_decimal(value, _UNITS[unit])}{unit}"
    minutes, rest = divmod(value, _UNITS["m"])
    seconds = _decimal(rest, _UNITS["s"]) + "s"
    if not minutes:
        return sign + seconds
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours}h{minutes}m{seconds}" if hours else f"{sign}{minutes}m{seconds}"


def _decimal(value: int, unit: int) -> str:
    whole, part = divmod(value, unit)
    if not part:
        return str(whole)
    digits = str(part).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}"


_LONG_UNITS = {"w": 7 * 86_400, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_LONGEST = 100 * 366 * 86_400


def seconds(text: str) -> int:
    """Return the seconds of a time span as people write it: `30m`, `12h`, `1d12h`, `2w`.

    Raises: ValueError: it is none, nothing, or longer than a hundred years.
    """
    rest, total = text, 0
    while rest:
        digits = _leading(rest, _DIGITS)
        unit = rest[len(digits) : len(digits) + 1]
        if not digits or len(digits) > 12 or unit not in _LONG_UNITS:
            raise ValueError(text)
        total += int(digits) * _LONG_UNITS[unit]
        rest = rest[len(digits) + 1 :]
    if not 0 < total <= _LONGEST:
        raise ValueError(text)
    return total
