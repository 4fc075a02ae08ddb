"""Sizes and ages in the words that Docker prints."""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


def size(count: int) -> str:
    """Return a number of bytes with three digits and a decimal unit: 12.3MB."""
    value = float(count)
    for unit in _UNITS:
        text = f"{value:.3g}"
        if "e" not in text:
            return text + unit
        value /= 1000
    return f"{value * 1000:.0f}{_UNITS[-1]}"


def duration(seconds: float) -> str:
    """Return a time span to a tenth of a second: 1.2s, 2m03.4s."""
    tenths = round(max(seconds, 0.0) * 10)
    if tenths < _MINUTE * 10:
        return f"{tenths / 10:.1f}s"
    minutes, tenths = divmod(tenths, _MINUTE * 10)
    if minutes < 60:
        return f"{minutes}m{tenths / 10:04.1f}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m{tenths // 10:02d}s"


def age(seconds: float) -> str:
    """Return how long ago something happened, roughly: "2 hours ago".

    Source: docker/go-units, duration.go.
    """
    return f"{_span(int(seconds))} ago"


def _span(seconds: int) -> str:
    if seconds < 1:
        return "Less than a second"
    if seconds < _MINUTE:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    minutes = seconds // _MINUTE
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = (seconds + _HOUR // 2) // _HOUR
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    days = hours // 24
    if days < 14:
        return f"{days} days"
    if days < 60:
        return f"{days // 7} weeks"
    if days < 730:
        return f"{days // 30} months"
    return f"{days // 365} years"


def age_of(created: str, now: float) -> str:
    """Return the age of a moment written as in RFC 3339, "N/A" when it is not known.

    `now` is in seconds since 1970.
    """
    moment = timestamp(created)
    return "N/A" if moment is None else age(now - moment)


def timestamp(created: str) -> float | None:
    """Return the seconds since 1970 of an RFC 3339 text, None when it is none or in the year 1."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return None
    if moment.year <= 1:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
