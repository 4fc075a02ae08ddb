"""Results that differ by noise alone are equal where that is asked for, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.events import Outcome
from builder.layer.noise import KINDS
from tests.build.workshop import Built, Workshop

TIME = "head -c 4 /dev/urandom"
NOISE = {
    "gzip": f"mkdir -p /n; (printf '\\037\\213\\010\\000'; {TIME}; printf '\\002\\003rest of it') > /n/a.gz",
    "pyc": f"mkdir -p /n; (printf 'magi\\000\\000\\000\\000'; {TIME}; printf 'sizeCODE') > /n/m.pyc",
    "ldconfig": f"mkdir -p /etc; {TIME} > /etc/ld.so.cache",
    "logs": f"mkdir -p /var/log/apt; {TIME} > /var/log/apt/history.log; {TIME} > /var/log/dpkg.log",
}
FOLLOWS = "RUN cat /proc/sys/kernel/random/uuid > /when"


def words(built: Built) -> list[Outcome]:
    return [outcome for _, outcome in built.watch.outcomes()]


@pytest.mark.parametrize("kind", KINDS)
def test_noise_that_is_asked_for_keeps_what_follows_and_is_told(
    fresh: Workshop, context: Path, kind: str
) -> None:
    first = fresh.build(context, f"RUN {NOISE[kind]}\n{FOLLOWS}")
    again = fresh.build(context, no_cache_filter=("2",), cache_normalize=(kind,))
    assert words(again) == [Outcome.SAME, Outcome.CACHED]
    assert again.id == first.id
    told = {line for line in again.watch.output().splitlines() if line.startswith("ignored: ")}
    assert len(told) == NOISE[kind].count(TIME)
    assert all(line.endswith(f" ({kind})") for line in told)
    # It stays so: the record is of what was made, the image of what that counts as.
    assert fresh.build(context, cache_normalize=(kind,)).id == first.id


@pytest.mark.parametrize("kind", KINDS)
def test_noise_that_is_not_asked_for_counts(fresh: Workshop, context: Path, kind: str) -> None:
    first = fresh.build(context, f"RUN {NOISE[kind]}\n{FOLLOWS}")
    others = tuple(each for each in KINDS if each != kind)
    again = fresh.build(context, no_cache_filter=("2",), cache_normalize=others)
    assert words(again) == [Outcome.EXECUTED, Outcome.EXECUTED]
    assert again.id != first.id


def test_a_build_that_does_not_ask_never_sees_what_another_has_ignored(
    fresh: Workshop, context: Path
) -> None:
    first = fresh.build(context, f"RUN {NOISE['logs']}\nRUN md5sum /var/log/dpkg.log > /sum")
    fresh.build(context, no_cache_filter=("2",), cache_normalize=("logs",))
    plain = fresh.build(context)
    assert plain.id != first.id
    log = plain.image["var/log/dpkg.log"].data
    assert log != first.image["var/log/dpkg.log"].data
    assert fresh.build(context, cache_normalize=("logs",)).id == first.id


@pytest.mark.parametrize(
    "more",
    [
        "cat /proc/sys/kernel/random/uuid > /more",
        "cat /proc/sys/kernel/random/uuid > /var/log/app.log",
        "chmod 600 /n/a.gz; echo $$ > /n/b.gz; cat /proc/sys/kernel/random/uuid >> /n/b.gz",
        "(printf '\\037\\213\\010\\000time\\002\\003'; head -c 9 /dev/urandom) > /n/c.gz",
        "(printf 'magi\\001\\000\\000\\000'; head -c 8 /dev/urandom; echo) > /n/hashed.pyc",
        "head -c 40 /dev/urandom > /n/none.gz",
    ],
)
def test_one_file_that_differs_by_more_makes_all_count(
    fresh: Workshop, context: Path, more: str
) -> None:
    noise = "; ".join(NOISE.values())
    fresh.build(context, f"RUN {noise}; {more}\n{FOLLOWS}")
    again = fresh.build(context, no_cache_filter=("2",), cache_normalize=KINDS)
    assert words(again) == [Outcome.EXECUTED, Outcome.EXECUTED]


def test_all_kinds_at_once_and_after_another_command(fresh: Workshop, context: Path) -> None:
    noise = "; ".join(NOISE.values())
    first = fresh.build(context, f"RUN {noise}\n{FOLLOWS}")
    again = fresh.build(context, f"RUN {noise}; true\n{FOLLOWS}", cache_normalize=KINDS)
    assert words(again) == [Outcome.SAME, Outcome.CACHED]
    assert again.image.diff_ids == first.image.diff_ids


def test_other_attributes_are_never_noise(fresh: Workshop, context: Path) -> None:
    fresh.build(context, f"RUN {NOISE['logs']}\n{FOLLOWS}")
    text = f"RUN {NOISE['logs']}; chmod 600 /var/log/dpkg.log\n{FOLLOWS}"
    again = fresh.build(context, text, cache_normalize=KINDS)
    assert words(again) == [Outcome.EXECUTED, Outcome.EXECUTED]
