"""What registries want people to know: `Warning: 299 - "text"`, told once and never acted on.

Source: OCI distribution-spec, "Warnings".
"""

from __future__ import annotations

from collections.abc import Iterable

from builder.diagnostics import Diagnostic, Severity

_LONGEST = 300
_MOST = 20
"""Texts that are told of one registry."""


class Notices:
    """The texts that registries have sent; many threads may add some."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()
        self._new: list[Diagnostic] = []

    def hear(self, registry: str, headers: Iterable[str], secrets: tuple[str, ...]) -> None:
        """Take the values of `Warning` headers; `secrets` are struck out of them."""
        for value in headers:
            text = _text(value)
            for secret in secrets:
                text = text.replace(secret, "***")
            key = (registry, text)
            told = sum(other == registry for other, _ in self._told)
            if text and key not in self._told and told < _MOST:
                self._told.add(key)
                self._new.append(
                    Diagnostic(
                        severity=Severity.WARNING, code="", message=f"{registry} says: {text}"
                    )
                )

    def new(self) -> tuple[Diagnostic, ...]:
        """Return what is to be said since the last time."""
        said, self._new = tuple(self._new), []
        return said


def _text(value: str) -> str:
    """Return the text of a warning in its one valid form, "" for any other."""
    code, _, rest = value.strip().partition(" ")
    agent, _, quoted = rest.strip().partition(" ")
    quoted = quoted.strip()
    if (code, agent) != ("299", "-") or len(quoted) < 2 or quoted[0] + quoted[-1] != '""':
        return ""
    plain = quoted[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    shown = "".join(character if character.isprintable() else " " for character in plain).strip()
    return shown[:_LONGEST] + ("…" if len(shown) > _LONGEST else "")
