"""The line about a shared cache of which nothing is of use: what a build pays for having asked."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from builder.oci.reference import Reference
from builder.registry.client import RegistryClient
from builder.registry.exchange import never
from builder.registry.transport import HttpTransport, Options
from builder.sharing.repository import RepositoryPlace
from tests.bench.measure import Measured
from tests.support.registry import hostile_registry
from tests.support.shared_records import answered, fill

if TYPE_CHECKING:
    from tests.bench.lines import Bench, Line

RECORDS = 1000
GOAL = 200_000
"""Bytes that may be moved."""


def unused(bench: Bench, line: type[Line]) -> Line:
    """A build of one RUN that asks a cache of 1,000 records in vain, over the same without a cache; counts bytes too."""
    context = bench.place / "unused"
    context.mkdir(exist_ok=True)
    ours: list[Measured] = []
    reference: list[Measured] = []
    with hostile_registry() as registry:
        name = f"{registry.host}/team/cache:main"
        client = RegistryClient(HttpTransport(Options()))
        fill(RepositoryPlace(client, Reference.parse(name), never), RECORDS)
        registry.requests.clear()
        for number in range(bench.scale.rounds * 2):
            text = "FROM busybox\nRUN : {} {}\n"
            reference.append(bench.build(bench.store, text.format("without", number), context))
            asking = ("--cache-from", f"type=registry,ref={name},required")
            ours.append(bench.build(bench.store, text.format("with", number), context, *asking))
        moved = answered(registry) / len(ours)
    more = ours[-1].seconds - reference[-1].seconds
    bench.say(f"an unused cache: {more * 1000:.1f} ms more, {moved:.0f} bytes")
    verdict = "met" if moved <= GOAL else "**missed**"
    bench.floors.append(
        f"Of that cache of 1,000 records, {moved / 1000:.1f} kB were read (≤ {GOAL / 1000:.0f} kB: {verdict})."
    )
    return line(
        "a build of one `RUN` that asks a registry's cache of 1,000 records in vain",
        statistics.median(run.seconds for run in ours),
        statistics.median(run.seconds for run in reference),
        "the same without `--cache-from`",
        2,
        max(run.peak for run in ours),
    )
