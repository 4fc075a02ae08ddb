"""Ports of EXPOSE: `[[ip:]host:]port[-port][/protocol]` to `port/protocol`.

The address and the host's port mean nothing in an image; Docker tolerates them, and so do we.
"""

from __future__ import annotations

from builder.dockerfile import suggest

_PROTOCOLS = ("tcp", "udp", "sctp")


class BadPort(Exception):
    """The text names no port; `hint` says what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def read(text: str) -> range:
    """Return the container's ports that the text names.

    Raises: BadPort: says what is wrong with it.
    """
    address, host, container = _parts(text)
    ports = _range(container.partition("/")[0], text)
    if host:
        mapped = _range(host, text)
        if len(mapped) != len(ports) and len(ports) != 1:
            raise BadPort(f"the ranges `{container}` and `{host}` differ in length")
    if address:
        _check_address(address)
    return ports


def protocol(text: str) -> str:
    """Return the protocol in lower case, `tcp` when none is given.

    Raises: BadPort: it is not one.
    """
    name = _parts(text)[2].partition("/")[2].lower()
    if name and name not in _PROTOCOLS:
        near = suggest.hint(name, _PROTOCOLS)
        raise BadPort(f"`{name}` is no protocol", near or "write `tcp`, `udp` or `sctp`")
    return name or "tcp"


def _parts(text: str) -> tuple[str, str, str]:
    parts = text.rsplit(":", 2)
    return ("", "", *parts)[-3], ("", *parts)[-2], parts[-1]


def _range(text: str, whole: str) -> range:
    first, dash, last = text.partition("-")
    start = _number(first, whole)
    end = _number(last, whole) if dash else start
    if end < start:
        raise BadPort(f"the range `{text}` ends before it begins", f"write `{last}-{first}`")
    return range(start, end + 1)


def _number(text: str, whole: str) -> int:
    digits = text.removeprefix("+")
    digits = digits.lstrip("0") or digits[-1:]
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 10):
        parts = [part for part in whole.replace(";", ",").split(",") if part]
        apart = f"write `{' '.join(parts)}`, with blanks between ports" if parts[1:] else None
        raise BadPort(f"`{whole}` names no port", apart)
    value = int(digits)
    if value > 65535:
        raise BadPort(f"the port {value} is larger than 65535", "name a port from 1 to 65535")
    return value


def _check_address(text: str) -> None:
    import ipaddress

    address = text.removeprefix("[").removesuffix("]") if text.startswith("[") else text
    try:
        ipaddress.ip_address(address)
    except ValueError as error:
        raise BadPort(f"`{text}` is no IP address") from error
