"""The names of Linux signals, for STOPSIGNAL.

Source: signal(7); moby/sys signal for the spellings that Docker takes.
"""

from __future__ import annotations

# fmt: off
NAMES = (
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL",
    "INT", "IO", "IOT", "KILL", "PIPE", "POLL", "PROF", "PWR", "QUIT",
    "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "UNUSED", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN",
    "RTMAX",
)
# fmt: on


def is_signal(text: str) -> bool:
    """Tell whether the text is a number from 1, or a name with or without SIG, in any case."""
    digits = text.removeprefix("+")
    if digits.isascii() and digits.isdecimal():
        return len(digits) < 10 and int(digits) != 0
    name = text.upper().removeprefix("SIG")
    if name in NAMES:
        return True
    for start, most in (("RTMIN+", 15), ("RTMAX-", 14)):
        number = name.removeprefix(start)
        if number != name and number.isascii() and number.isdecimal() and len(number) < 3:
            return number == str(int(number)) and 1 <= int(number) <= most
    return False
