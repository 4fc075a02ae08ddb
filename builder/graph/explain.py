"""Why a step is not in the cache: the facts of a step now, beside those of the nearest time before.

Pure, and nothing of it counts for a key: facts say in words what the digests of a key stand for. They never
hold the value of a secret; of variables that are called like one, only whether they are the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from builder.events import Cause, Difference

_SHOWN_FILES = 2
_SHOWN_REASONS = 2
_LONGEST = 60
_HEX = 12


class Below(msgspec.Struct, frozen=True, array_like=True):
    """What one step, or the image at the bottom, put below a step; `digest` identifies its contents.

    `made_by` is a reference or the text of a step, `identity` the digest by which people know an image.
    """

    made_by: str
    digest: str
    is_image: bool = False
    identity: str = ""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """A step as it was built: where it stood, all that counted by name, the states below and after it, and its result.

    `values` are shown to people, `digests` are not. `image` is at the bottom of what it stood on, `base` the id of that
    whole state. `result` is the diff id of the layer, `layer` identifies its contents and `after` is the id of the state
    with it, "" while that is not known; `when` is in seconds since the epoch.
    """

    stage: str
    position: int
    text: str
    kind: str
    key: str
    values: dict[str, str] = {}
    digests: dict[str, str] = {}
    image: Below | None = None
    base: str = ""
    result: str = ""
    layer: str = ""
    after: str = ""
    when: float = 0.0

    @property
    def place(self) -> tuple[str, int]:
        """The stage, and the number of the step in it."""
        return self.stage, self.position


def place_of(name: str) -> tuple[str, int, str]:
    """Return stage, position and text of `[stage 2/5] RUN make`; a stage without a name is ""."""
    head, bracket, text = name.partition("] ")
    if not bracket or not head.startswith("["):
        return "", 0, name
    stage, _, number = head[1:].rpartition(" ")
    position = number.partition("/")[0].strip()
    return stage.strip(), int(position) if position.isdecimal() else 0, text


def nearest(now: Facts, earlier: Iterable[Facts], present: Collection[str]) -> Facts | None:
    """Return the facts of the time before that a step is to be compared with, None if there is none.

    The same stage and text go first, then the same place; of those, whatever has most in common, and of those
    the newest. A step at the same place is another one if its text is among those `present` in this build.
    """
    best: Facts | None = None
    best_score: tuple[object, ...] = ()
    for candidate in earlier:
        if candidate.kind != now.kind:
            continue
        same_text = candidate.text == now.text
        if not same_text and (candidate.place != now.place or candidate.text in present):
            continue
        score = (
            candidate.stage == now.stage,
            same_text,
            candidate.position == now.position,
            _in_common(now, candidate),
            candidate.when,
        )
        if best is None or score > best_score:
            best, best_score = candidate, score
    return best


def _in_common(now: Facts, before: Facts) -> int:
    values = sum(before.values.get(name) == value for name, value in now.values.items())
    digests = sum(before.digests.get(name) == value for name, value in now.digests.items())
    return values + digests + (now.base == before.base)


def chain(facts: Facts, by_after: Mapping[str, Facts]) -> tuple[Below, ...] | None:
    """Return what a step stood on, the image first, from facts by the state after them; None if some are missing."""
    found: list[Below] = []
    base, bottom = facts.base, "" if facts.image is None else facts.image.digest
    while base != bottom:
        under = by_after.get(base)
        if under is None or len(found) > len(by_after):
            return None
        found.append(Below(under.text, under.layer))
        base = under.base
    if facts.image is not None:
        found.append(facts.image)
    return tuple(reversed(found))


def compare(
    now: Facts,
    before: Facts | None,
    *,
    below: Sequence[Below] = (),
    before_below: Sequence[Below] | None = (),
) -> tuple[Difference, ...]:
    """Return in what a step differs from the time before, what its author wrote first.

    `below` is what it stands on, `before_below` what it stood on, None where that is not known any more. What was copied is only said to differ: which files do, their entries tell.
    """
    if before is None:
        return (Difference(cause=Cause.NEVER),)
    found = [
        *_values(now.values, before.values),
        *_digests(now.digests, before.digests),
        *_below(below, before_below),
    ]
    return tuple(found) or (Difference(cause=Cause.LOST),)


def _values(now: Mapping[str, str], before: Mapping[str, str]) -> Iterable[Difference]:
    names = [*now, *(name for name in before if name not in now)]
    variables = {name for name in names if name.startswith(("ENV ", "ARG "))}
    changed = [name for name in names if now.get(name) != before.get(name)]
    for name in changed:
        if name == ORDER and any(each in variables for each in changed):
            continue  # it follows from the variables that came or went
        if name.startswith("seen ") and not (name in now and name in before):
            continue  # other files were copied, or it was not recorded what was there
        yield Difference(
            cause=Cause.INPUT,
            subject=name,
            before=before.get(name, ABSENT),
            after=now.get(name, ABSENT),
        )


def _digests(now: Mapping[str, str], before: Mapping[str, str]) -> Iterable[Difference]:
    names = [*now, *(name for name in before if name not in now)]
    for name in names:
        if now.get(name) != before.get(name):
            cause = Cause.FILES if name == FILES else Cause.INPUT
            yield Difference(cause=cause, subject=name)


def _below(now: Sequence[Below], before: Sequence[Below] | None) -> Iterable[Difference]:
    """Return the lowest thing below that differs: whatever stands on it may differ for its sake."""
    if before is None:
        yield Difference(cause=Cause.BELOW)
        return
    if [each.digest for each in now] == [each.digest for each in before]:
        return
    names_now = {each.made_by for each in now}
    names_before = {each.made_by for each in before}
    for mine, theirs in zip(now, before, strict=False):
        if mine.digest == theirs.digest:
            continue
        if mine.is_image and theirs.is_image:
            yield Difference(
                cause=Cause.BASE,
                subject=mine.made_by,
                before=_image(theirs),
                after=_image(mine),
            )
        elif len(now) == len(before):
            yield Difference(cause=Cause.BELOW, subject=mine.made_by)
        elif mine.made_by not in names_before:
            yield Difference(cause=Cause.BELOW, subject=mine.made_by, before=ABSENT)
        elif theirs.made_by not in names_now:
            yield Difference(cause=Cause.BELOW, subject=theirs.made_by, after=ABSENT)
        else:
            yield Difference(cause=Cause.BELOW, subject=mine.made_by)
        return
    longer, more = (now, True) if len(now) > len(before) else (before, False)
    extra = longer[min(len(now), len(before))]
    if more:
        yield Difference(cause=Cause.BELOW, subject=extra.made_by, before=ABSENT)
    else:
        yield Difference(cause=Cause.BELOW, subject=extra.made_by, after=ABSENT)


def _image(below: Below) -> str:
    return f"{below.made_by}@{below.identity}" if below.identity else below.made_by


FILES = "files"
"""The digest of what a copy selects."""

ORDER = "order of variables"
ABSENT = "\0absent"
"""Stands for what was not there at all."""

_NAMED = {
    "command": "the command changed",
    "script": "the script changed",
    "user": "the user changed",
    "directory": "the working directory changed",
    "network": "the network changed",
    "security": "--security changed",
    "host name": "the host name changed",
    "platform": "the platform changed",
    "hosts": "--add-host changed",
    "destination": "the destination changed",
    ORDER: "the order of variables changed",
}
_VALUES_SHOWN = frozenset({"user", "directory", "network", "destination"})


def remark(differences: Sequence[Difference]) -> str:
    """Return what to say of a step that was executed, with the result of the time before."""
    moved = any(each.cause in (Cause.BASE, Cause.BELOW) for each in differences)
    # Then what it stands on is not what it was, and neither is what follows.
    return "same result as before" + ("" if moved else ", what follows stays cached")


def reason(differences: Sequence[Difference]) -> str:
    """Return differences in a line, what matters most first."""
    phrases = [phrase(each) for each in differences]
    shown = "; ".join(phrases[:_SHOWN_REASONS])
    rest = len(phrases) - _SHOWN_REASONS
    return f"{shown}; and {rest} more" if rest > 0 else shown


def phrase(difference: Difference) -> str:
    """Return one difference in words."""
    match difference.cause:
        case Cause.NEVER:
            return "never built before"
        case Cause.ASKED:
            return difference.subject
        case Cause.EXPIRED:
            return f"older than its ttl of {difference.subject}"
        case Cause.LOST:
            return "its result is no longer in the store"
        case Cause.INPUT:
            return _input(difference)
        case Cause.BASE:
            return _base(difference)
        case Cause.BELOW:
            return _step_below(difference)
        case Cause.FILES:
            return _files(difference)


def _input(difference: Difference) -> str:
    name = difference.subject
    if name.startswith("seen "):
        return f"it is copied onto something else: {name.removeprefix('seen ')}"
    if name in _NAMED:
        text = _NAMED[name]
        if name in _VALUES_SHOWN:
            return f"{text}: {_short(difference.before)} is now {_short(difference.after)}"
        return text
    kind, _, subject = name.partition(" ")
    if kind == "bind":
        return f"a bind mount changed: {subject}"
    if kind == "mount" and ABSENT not in (difference.before, difference.after):
        return f"a mount changed: {subject}"
    if kind == "secret":
        return f"the secret {subject} changed"
    if difference.before == ABSENT:
        return f"{name} is new"
    return f"{name} is gone" if difference.after == ABSENT else f"{name} changed"


def _base(difference: Difference) -> str:
    before, now = (_familiar(each) for each in (difference.before, difference.after))
    if before[0] != now[0]:
        return f"the base changed: {before[0]} is now {now[0]}"
    return f"the base changed: {now[0]}" + (f" is now {now[1]}" if now[1] else "")


def _familiar(image: str) -> tuple[str, str]:
    """Return name and digest of an image, as short as people know them."""
    name, _, digest = image.partition("@sha256:")
    for prefix in ("docker.io/library/", "docker.io/"):
        if name.startswith(prefix):
            name = name.removeprefix(prefix)
            break
    return name, f"sha256:{digest[:_HEX]}…" if digest else ""


def _step_below(difference: Difference) -> str:
    text = clipped(difference.subject)
    if not text:
        return "what it stands on changed"
    if difference.before == ABSENT:
        return f"a step before it is new: {text}"
    if difference.after == ABSENT:
        return f"a step before it is gone: {text}"
    return f"a step before it made other files: {text}"


def _files(difference: Difference) -> str:
    if not difference.files:
        return "the files changed"
    names = [each.path for each in difference.files[:_SHOWN_FILES]]
    kinds = {
        each.how if each.how in ("added", "removed") else "changed" for each in difference.files
    }
    how = (
        kinds.pop() if len(kinds) == 1 and difference.total == len(difference.files) else "changed"
    )
    more = ", …" if difference.total > len(names) else ""
    word = "file" if difference.total == 1 else "files"
    return f"{difference.total} {word} {how}: {', '.join(names)}{more}"


def _short(value: str) -> str:
    return "none" if value in (ABSENT, "") else clipped(value)


def clipped(text: str) -> str:
    """Return a text on one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
