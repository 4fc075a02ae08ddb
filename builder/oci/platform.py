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

        A lower variant serves a higher one of the same architecture (`arm/v6` runs on `arm/v7`).
        """
        if (self.os, self.architecture) != (wanted.os, wanted.architecture):
            return None
        if wanted.os_version and self.os_version != wanted.os_version:
            return None
        if self.variant == wanted.variant:
            return 0
        level, ceiling = _level(self), _level(wanted)
        if level is None or ceiling is None or level > ceiling:
            return None
        return ceiling - level

    def matches(self, wanted: Platform) -> bool:
        """Tell whether an image of this platform runs where `wanted` is."""
        return self.rank(wanted) is not None

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def _level(platform: Platform) -> int | None:
    """Return the number in the variant (`v7` is 7); None when it has no order."""
    variant = platform.variant or _IMPLIED_VARIANT.get(platform.architecture, "v0")
    digits = variant.removeprefix("v")
    # isdecimal alone would let other scripts' digits and 6000-digit numbers through.
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 4 else None
