"""The words of `build`'s flags → what a request holds; readers of rare flags are loaded where they are used."""

from __future__ import annotations

from typing import Any

from builder.errors import UsageError


def given(secrets: tuple[str, ...], ssh: tuple[str, ...], allow: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields for secrets, agents and permissions.

    Raises: UsageError: a word is malformed.
    """
    found: dict[str, Any] = {}
    if not (secrets or ssh or allow):
        return found
    from builder.cli.given import agents_of, allowed_of, secrets_of

    if secrets:
        found["secrets"] = secrets_of(secrets)
    if ssh:
        found["agents"] = agents_of(ssh)
    if allow:
        found["allow"] = allowed_of(allow)
    return found


def caches(sources: tuple[str, ...], targets: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields for shared caches.

    Raises: UsageError: a word is malformed.
    """
    if not sources and not targets:
        return {}
    from builder.cli.caches import sources_of, targets_of

    return {"cache_from": sources_of(sources), "cache_to": targets_of(targets)}


def limits(given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields for hosts and limits of steps.

    Raises: UsageError: a word is malformed.
    """
    if not any(value is not None and value != () for value in given.values()):
        return {}
    from builder.cli.limits import hosts_of, limits_of

    return {"hosts": hosts_of(given["add_hosts"]), "limits": limits_of(given)}


def ttl(text: str | None) -> int:
    """Read `--cache-ttl`, in seconds; 0 is for ever.

    Raises: UsageError: it is no time span.
    """
    if text is None:
        return 0
    from builder.dockerfile.durations import seconds

    try:
        return seconds(text)
    except ValueError:
        raise UsageError(
            f"`--cache-ttl={text}` is no time span",
            hint="write it as a number with a unit: `30m`, `12h`, `1d`, `2w`",
        ) from None


def noise(words: tuple[str, ...]) -> tuple[str, ...]:
    """Read `--cache-normalize`.

    Raises: UsageError: there is no such noise.
    """
    if not words:
        return ()
    from builder.dockerfile import suggest
    from builder.layer.noise import ALL, KINDS

    found = [word for each in words for word in each.split(",") if word]
    for word in found:
        if word not in (*KINDS, ALL):
            raise UsageError(
                f"`--cache-normalize={word}` is no noise that is known",
                hint=suggest.hint(word, (*KINDS, ALL)) or f"use {', '.join(KINDS)} or all",
            )
    return KINDS if ALL in found else tuple(dict.fromkeys(found))


def percent(text: str | None) -> int:
    """Read `--verify-cache`: how many of a hundred.

    Raises: UsageError: it is no share.
    """
    if text is None:
        return 0
    digits = text.removesuffix("%")
    if not (digits.isascii() and digits.isdecimal() and 0 < int(digits[:4]) <= 100):
        raise UsageError(
            f"`--verify-cache={text}` is no share of the steps",
            hint="write it as `--verify-cache` for all, or as `--verify-cache=10%`",
        )
    return int(digits)


def contexts(words: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Read `NAME=VALUE`; the last of one name counts, as in Docker.

    Raises: UsageError: a name or a value is missing.
    """
    for word in words:
        if not word.partition("=")[0] or not word.partition("=")[2]:
            raise UsageError(
                f"`--build-context={word}` is not understood",
                hint="write it as `--build-context NAME=VALUE`",
            )
    return tuple(dict(word.split("=", 1) for word in words).items())


def results(
    outputs: tuple[str, ...], annotations: tuple[str, ...], *, load: bool
) -> dict[str, Any]:
    """Return the fields for what becomes of the images; to `load` it happens anyway where nothing else is asked for.

    Raises: UsageError: a word is malformed.
    """
    found: dict[str, Any] = {}
    if not (outputs or annotations):
        return found
    from builder.cli.outputs import annotations_of, outputs_of

    words = (*outputs, "type=docker") if load and outputs else outputs
    found["outputs"] = outputs_of(words)
    found["annotations"] = annotations_of(annotations)
    return found
