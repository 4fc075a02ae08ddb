"""Platforms, as `os/architecture[/variant]`.

Source: OCI image-spec, image-index.md; the spellings that Docker normalises.
"""

from __future__ import annotations

import os

import msgspec

from builder.errors import ReferenceInvalid

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armv5tel": ("arm", "v5"),
    "armv8l": ("arm", "v8"),
    "armel": ("arm", "v6"),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "loongarch64": ("loong64", ""),
    "mips64el": ("mips64le", ""),
    "ppc64el": ("ppc64le", ""),
}
_MACHINES = {
    "386": "i386",
    "amd64": "x86_64",
    "arm64": "aarch64",
    "loong64": "loongarch64",
    "mips64le": "mips64el",
}
"""What the kernel and emulators call architectures that have another name there."""
# The variant that a name without one stands for; it is left out of the normal form, except arm's.
_IMPLIED_VARIANT = {"amd64": "v1", "arm64": "v8"}
_KNOWN_ARCHITECTURES = frozenset(
    {"386", "amd64", "arm", "arm64", "loong64", "mips64", "mips64le", "ppc64le", "riscv64", "s390x"}
)
_OPERATING_SYSTEMS = frozenset({"linux", "windows", "darwin", "freebsd"})
_WORD = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-.")


class Platform(msgspec.Struct, frozen=True):
    """Where an image runs, in normal form: `amd64` not `x86_64`, `arm64` without its only variant `v8`."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    @classmethod
    def of(cls, os: str, architecture: str, variant: str = "", os_version: str = "") -> Platform:
        """Return the normal form of a platform that is given in parts."""
        os, architecture, variant = os.lower(), architecture.lower(), variant.lower()
        if architecture in _ARCHITECTURES:
            architecture, implied = _ARCHITECTURES[architecture]
            variant = variant or implied
        if variant.isdecimal():
            variant = "v" + variant
        if architecture == "arm" and not variant:
            variant = "v7"
        if _IMPLIED_VARIANT.get(architecture) == variant:
            variant = ""
        return cls(os, architecture, variant, os_version)

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read `os/architecture[/variant]`, `architecture[/variant]` or an operating system.

        Raises: ReferenceInvalid: the text is no platform.
        """
        parts = text.lower().split("/")
        if len(parts) > 3 or not all(part and _WORD.issuperset(part) for part in parts):
            raise ReferenceInvalid(
                f"`{text[:100]}` is not a platform",
                hint="write it like `linux/amd64` or `linux/arm/v7`",
            )
        if len(parts) == 1:
            return cls._of_word(parts[0])
        if len(parts) == 2 and (parts[0] in _KNOWN_ARCHITECTURES or parts[0] in _ARCHITECTURES):
            return cls.of(cls.host().os, *parts)
        return cls.of(*parts)

    @classmethod
    def _of_word(cls, word: str) -> Platform:
        host = cls.host()
        if word in _OPERATING_SYSTEMS:
            return cls(word, host.architecture, host.variant)
        if word in _KNOWN_ARCHITECTURES or word in _ARCHITECTURES:
            return cls.of(host.os, word)
        raise ReferenceInvalid(
            f"`{word}` is neither a known operating system nor a known architecture",
            hint="write the platform like `linux/amd64`",
        )

    @classmethod
    def host(cls) -> Platform:
        """Return the platform of this machine, without a microarchitecture level."""
        return cls.of("linux", os.uname().machine)

    @property
    def machine(self) -> str:
        """What the kernel and emulators call the machine that this is for."""
        return _MACHINES.get(self.architecture, self.architecture)

    def rank(self, wanted: Platform) -> int | None:
        """Return how well this serves `wanted`: 0 is exact, more is worse, None is not at all.

        A lower variant serves a higher one of the same architecture (`arm/v6` runs on `arm/v7`), and last of all what is
        for the 32-bit sibling of an architecture serves that.
        """
        if self.os != wanted.os or (wanted.os_version and self.os_version != wanted.os_version):
            return None
        own = (self.architecture, self.variant)
        if own == (wanted.architecture, wanted.variant):
            return 0
        served = _served(wanted.architecture, wanted.variant)
        return served.index(own) if own in served else None

    def matches(self, wanted: Platform) -> bool:
        """Tell whether an image of this platform runs where `wanted` is."""
        return self.rank(wanted) is not None

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def is_word(text: str) -> bool:
    """Tell whether a text, which may be empty, can be a part of a platform."""
    return _WORD.issuperset(text)


def _served(architecture: str, variant: str) -> list[tuple[str, str]]:
    """Return the architectures and variants, in normal form, that run on one, the best first.

    Source: containerd/platforms, compare.go; linux/riscv-profiles and the Power ISA for the other two.
    """
    match architecture:
        case "amd64":
            lower = [_normal(architecture, each) for each in _down(variant or "v1", "v", 1)]
            return [*lower, ("386", "")] if lower else []
        case "arm":
            return [(architecture, each) for each in _down(variant, "v", 5)]
        case "arm64":
            own = [_normal(architecture, each) for each in _of_arm64(variant or "v8")]
            return [*own, *_served("arm", "v8")] if own else []
        case "ppc64le":
            return [
                *((architecture, each) for each in _down(variant, "power", 8)),
                (architecture, ""),
            ]
        case "riscv64" if variant in _RISCV_PROFILES:
            older = _RISCV_PROFILES[_RISCV_PROFILES.index(variant) :]
            return [*((architecture, each) for each in older), (architecture, "")]
        case _:
            return []


_RISCV_PROFILES = ("rva23u64", "rva22u64", "rva20u64")
_MOST_DIGITS = 2
"""Of the number in a variant: what has more is none, and would be counted down for long."""


def _down(variant: str, prefix: str, lowest: int) -> list[str]:
    """Return a variant that is a number behind a prefix, and those below it down to the lowest."""
    number = _number(variant.removeprefix(prefix)) if variant.startswith(prefix) else None
    return [] if number is None else [f"{prefix}{each}" for each in range(number, lowest - 1, -1)]


def _of_arm64(variant: str) -> list[str]:
    """Return the versions of the architecture from one down; 9.N is what 8.(N+5) is, and more."""
    major, _, minor = variant.partition(".")
    level = _number(minor or "0")
    if level is None or major not in ("v8", "v9"):
        return []
    found = [f"v{major[1:]}.{each}" if each else major for each in range(level, -1, -1)]
    return found if major == "v8" else [*found, *_of_arm64(f"v8.{level + 5}")]


def _normal(architecture: str, variant: str) -> tuple[str, str]:
    return architecture, "" if _IMPLIED_VARIANT.get(architecture) == variant else variant


def _number(text: str) -> int | None:
    # isdecimal alone would let other scripts' digits and 6000-digit numbers through.
    plain = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
    return int(text) if plain else None
