"""The lines of the table: what is done, what it is compared with, and the goal.

Runs of ours and of the reference alternate, so that both meet the same machine; figures are medians.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench import caching, ignoring, language, listing, moving, sharing, steps, upkeep
from tests.bench.disk import fresh_disk
from tests.bench.measure import Measured, measure
from tests.bench.tree import make_tree
from tests.support.busybox_base import find_busybox, write_busybox_base
from tests.support.unprivileged import install_product

GIVEN = "import click, msgspec, sqlite3"
WALK = """
import os, sys, time
def walk(path):
    found = []
    with os.scandir(path) as entries:
        for entry in entries:
            entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                found.append(entry.path)
    for directory in found:
        walk(directory)
started = time.perf_counter()
walk(sys.argv[1])
print(time.perf_counter() - started)
"""


class Scale(NamedTuple):
    """How much is measured."""

    rounds: int
    files: int
    size: int
    disk: int
    instructions: int
    flood: int


FULL = Scale(
    rounds=5,
    files=50_000,
    size=400_000_000,
    disk=4_000_000_000,
    instructions=2_000,
    flood=1_000_000_000,
)
QUICK = Scale(
    rounds=2,
    files=5_000,
    size=40_000_000,
    disk=600_000_000,
    instructions=200,
    flood=100_000_000,
)
NAMES = (
    "run",
    "mounts",
    "output",
    "rootless",
    "rebuild",
    "copy",
    "copy-run",
    "copy-again",
    "ignore",
    "language",
    "shared-cache",
    "lookup",
    "full",
    "explain",
    "prune",
    "images",
    "pull",
    "pull-zstd",
    "pull-large",
    "push",
    "push-again",
)
TIMED = Path(__file__).with_name("timed.py")


class Line(NamedTuple):
    """One measured line; `ours` and `reference` are in seconds, `peak` in bytes."""

    work: str
    ours: float
    reference: float
    against: str
    goal: float
    peak: int

    @property
    def ratio(self) -> float:
        """Return ours over the reference."""
        return self.ours / self.reference


class Bench:
    """The ground of all lines: one directory with the tree, the base image and the stores."""

    def __init__(self, place: Path, scale: Scale, say: Callable[[str], None]) -> None:
        self.place = place
        self.scale = scale
        self.say = say
        self.store = place / "store"
        self.floors: list[str] = []
        busybox = find_busybox()
        if busybox is None:
            raise SystemExit("no statically linked busybox: apt-get install busybox-static")
        # What a user has after `pip install`, without the tools of development that slow some imports.
        self.programs = install_product(place / "environment")
        self.empty_start = (self.programs / "python", "-I", "-c", "pass")
        self.base = write_busybox_base(place / "busybox.tar", busybox)

    def lines(self, names: Collection[str] = NAMES) -> Iterator[Line]:
        """Measure the lines of these names, one after the other."""
        self.prepare(self.store)
        measured: dict[str, Callable[[], Line]] = {
            "run": self.one_more_run,
            "mounts": lambda: steps.mounted(self, Line),
            "output": lambda: steps.flood(self, Line),
            "rootless": lambda: steps.rootless(self, Line),
            "rebuild": self.cached_rebuild,
            "copy": self.first_copy,
            "copy-run": self.copy_then_run,
            "copy-again": self.copy_again,
            "ignore": self.matching,
            "language": self.lowering,
            "shared-cache": lambda: sharing.unused(self, Line),
            "lookup": lambda: caching.lookup(self, Line),
            "full": lambda: caching.full_store(self, Line),
            "explain": lambda: caching.explained(self, Line),
            "prune": lambda: upkeep.pruned(self, Line),
            "images": lambda: listing.listed(self, Line),
            "pull": lambda: moving.pulled(self, Line, "gzip"),
            "pull-zstd": lambda: moving.pulled(self, Line, "zstd"),
            "pull-large": lambda: moving.pulled_large(self, Line),
            "push": lambda: moving.pushed(self, Line),
            "push-again": lambda: moving.pushed_again(self, Line),
        }
        for name in NAMES:
            if name in names:
                yield measured[name]()

    def prepare(self, store: Path) -> None:
        """Make a fresh store with the base image in it."""
        shutil.rmtree(store, ignore_errors=True)
        self.lapstrake(store, "import", self.base, "busybox")

    def lapstrake(self, store: Path, *arguments: str | Path) -> Measured:
        """Run the product once."""
        return measure([self.programs / "lapstrake", "--root", store, *arguments])

    def build(self, store: Path, dockerfile: str, context: Path, *flags: str) -> Measured:
        """Build the text of a Dockerfile over a context."""
        path = self.place / "Dockerfile"
        path.write_text(dockerfile)
        return self.lapstrake(store, "build", "-q", "-f", path, *flags, context)

    def one_more_run(self) -> Line:
        """30 RUN steps against one, over `runc run` in the same root file system."""
        bundle = self.bundle()
        empty = self.place / "empty"
        empty.mkdir(exist_ok=True)
        # Each has a command of its own: equal steps above equal states would be one step.
        steps = {
            count: "FROM busybox\n" + "".join(f"RUN true {n}\n" for n in range(count))
            for count in (1, 30)
        }
        self.build(self.store, steps[1], empty, "--no-cache")  # warms what both rely on
        peak, ours, reference = 0, [], []
        for number in range(self.scale.rounds):
            one = self.build(self.store, steps[1], empty, "--no-cache")
            thirty = self.build(self.store, steps[30], empty, "--no-cache")
            ours.append((thirty.seconds - one.seconds) / 29)
            peak = max(peak, one.peak, thirty.peak)
            for again in range(5):
                name = f"lapstrake-bench-{os.getpid()}-{number}-{again}"
                reference.append(measure(["runc", "run", "--bundle", bundle, name]).seconds)
            self.say(
                f"one more RUN: {ours[-1] * 1000:.1f} ms, runc run: {reference[-1] * 1000:.1f} ms"
            )
        return Line(
            "one more `RUN true` (30 against 1, `--no-cache`)",
            statistics.median(ours),
            statistics.median(reference),
            "`runc run` of `/bin/true`, same root file system, host network",
            0.5,
            peak,
        )

    def bundle(self) -> Path:
        """Return a runc bundle that runs /bin/true in the base image."""
        bundle = self.place / "bundle"
        shutil.rmtree(bundle, ignore_errors=True)
        (bundle / "rootfs").mkdir(parents=True)
        subprocess.run(["tar", "-xf", self.base, "-C", bundle / "rootfs"], check=True)
        subprocess.run(["runc", "spec", "--bundle", bundle], check=True)
        path = bundle / "config.json"
        config = json.loads(path.read_text())
        config["process"].update(terminal=False, args=["/bin/true"])
        namespaces = config["linux"]["namespaces"]
        config["linux"]["namespaces"] = [each for each in namespaces if each["type"] != "network"]
        path.write_text(json.dumps(config))
        return bundle

    def cached_rebuild(self) -> Line:
        """Twelve instructions, all cached, over an empty start of the interpreter."""
        context = self.place / "small"
        context.mkdir(exist_ok=True)
        for name in ("a", "b"):
            (context / name).write_text(name)
        dockerfile = (
            "FROM busybox AS tools\nRUN echo tools > /tool\n"
            "FROM busybox\nENV NAME=value\nWORKDIR /app\nCOPY a b ./\nRUN cat a b > c\n"
            "COPY --from=tools /tool /usr/local/bin/\nRUN true\nLABEL kind=bench\nUSER 1000\n"
            'CMD ["cat", "c"]\n'
        )
        self.build(self.store, dockerfile, context)
        ours: list[Measured] = []
        reference: list[float] = []
        imports: list[float] = []
        for _ in range(self.scale.rounds * 4):
            ours.append(self.build(self.store, dockerfile, context))
            reference.append(measure(self.empty_start).seconds)
            imports.append(measure([self.programs / "python", "-I", "-c", GIVEN]).seconds)
        self.floors.append(
            f"Cached rebuild: `{GIVEN}` alone, which no build can do without, took "
            f"{statistics.median(imports) / statistics.median(reference):.1f} empty starts."
        )
        self.say(
            f"cached rebuild: {ours[-1].seconds * 1000:.1f} ms, empty start: {reference[-1] * 1000:.1f} ms"
        )
        return Line(
            "rebuild, 12 instructions, all cached",
            statistics.median(run.seconds for run in ours),
            statistics.median(reference),
            "`python -I -c pass`",
            6,
            max(run.peak for run in ours),
        )

    def first_copy(self) -> Line:
        """The whole tree into a store that has never seen it."""
        tree = self.tree
        ours: list[Measured] = []
        reference: list[float] = []
        for _ in range(self.rounds_of_trees):
            self.prepare(self.store)
            ours.append(self.build(self.store, "FROM busybox\nCOPY . .\n", tree))
            pipe = f"tar -cf - -C {tree} . | sha256sum"
            reference.append(measure(["/bin/sh", "-c", pipe]).seconds)
            self.say(
                f"first COPY: {ours[-1].seconds:.2f} s, tar | sha256sum: {reference[-1]:.2f} s"
            )
        return Line(
            f"first `COPY . .` of {self.tree_words}, state committed",
            statistics.median(run.seconds for run in ours),
            statistics.median(reference),
            "`tar \\| sha256sum` of the same tree",
            2.5,
            max(run.peak for run in ours),
        )

    def copy_then_run(self) -> Line:
        """The same and a RUN, on a fresh file system each time."""
        tree = self.tree
        ours: list[Measured] = []
        reference: list[float] = []
        for _ in range(self.rounds_of_trees):
            with fresh_disk(self.place, size=self.scale.disk) as disk:
                self.prepare(disk / "store")
                ours.append(self.build(disk / "store", "FROM busybox\nCOPY . .\nRUN true\n", tree))
            with fresh_disk(self.place, size=self.scale.disk) as disk:
                reference.append(measure(["cp", "-a", tree, disk / "copy"]).seconds)
            self.say(f"COPY and RUN: {ours[-1].seconds:.2f} s, cp -a: {reference[-1]:.2f} s")
        return Line(
            "the same followed by a `RUN true`, fresh file system",
            statistics.median(run.seconds for run in ours),
            statistics.median(reference),
            "`cp -a` of the tree, fresh file system",
            1.3,
            max(run.peak for run in ours),
        )

    def copy_again(self) -> Line:
        """Nothing changed: the start-up is taken off, what remains is compared with a walk."""
        tree = self.tree
        self.prepare(self.store)
        dockerfile = "FROM busybox\nCOPY . .\n"
        # Twice: the digests of files younger than the clock's grain are not trusted the first time.
        for _ in range(2):
            self.build(self.store, dockerfile, tree)
        ours: list[Measured] = []
        walks, starts = [], []
        for _ in range(self.scale.rounds * 2):
            ours.append(self.build(self.store, dockerfile, tree))
            walked = subprocess.run(
                [self.programs / "python", "-I", "-c", WALK, tree],
                check=True,
                capture_output=True,
                text=True,
            )
            walks.append(float(walked.stdout))
            starts.append(measure(self.empty_start).seconds)
        self.say(f"COPY again: {ours[-1].seconds:.2f} s, walk: {walks[-1]:.2f} s")
        return Line(
            "the same, nothing changed, less an empty start",
            statistics.median(run.seconds for run in ours) - statistics.median(starts),
            statistics.median(walks),
            "scandir and lstat of the tree, in Python",
            2.5,
            max(run.peak for run in ours),
        )

    def matching(self) -> Line:
        """Every path of a project against its ignore rules, over a walk."""
        project = ignoring.make_project(self.place / "project", files=self.scale.files)
        rules = self.place / "rules"
        rules.write_text(ignoring.rules())
        return self.timed(
            f"200 ignore rules read, {self.scale.files:,} files and their directories matched, processor time",
            "scandir and lstat of the tree, in Python",
            3,
            ("ignoring", rules, project),
        )

    def lowering(self) -> Line:
        """A long Dockerfile from its text to its graph, over `compile()` of as many lines."""
        count = self.scale.instructions
        dockerfile, module = self.place / "long", self.place / "module.py"
        dockerfile.write_text(language.dockerfile(instructions=count, stages=count // 100))
        module.write_text(language.module(lines=count))
        return self.timed(
            f"{count:,} instructions in {count // 100} stages read, checked and lowered, processor time",
            f"`compile()` of the first {count:,} lines of the standard library's `inspect`",
            10,
            ("language", dockerfile, module),
        )

    def timed(self, work: str, against: str, goal: float, arguments: Sequence[str | Path]) -> Line:
        """Measure what `timed.py` times: both in one process, without its start."""
        runs: list[tuple[float, float, int]] = []
        for _ in range(self.scale.rounds * 4):
            answer = subprocess.run(
                [self.programs / "python", "-I", TIMED, *arguments],
                check=True,
                capture_output=True,
                text=True,
            )
            ours, reference, peak = json.loads(answer.stdout)
            runs.append((ours, reference, peak))
        self.say(f"{arguments[0]}: {runs[-1][0] * 1000:.1f} ms, over {runs[-1][1] * 1000:.1f} ms")
        return Line(
            work,
            statistics.median(ours for ours, _, _ in runs),
            statistics.median(reference for _, reference, _ in runs),
            against,
            goal,
            max(peak for _, _, peak in runs),
        )

    @property
    def tree(self) -> Path:
        """Return the tree that is copied, made when it is first needed."""
        return make_tree(self.place / "tree", files=self.scale.files, size=self.scale.size)

    @property
    def rounds_of_trees(self) -> int:
        """Return how often a whole tree is copied: it takes long and varies little."""
        return max(2, self.scale.rounds - 2)

    @property
    def tree_words(self) -> str:
        """Return the size of the tree in words."""
        return f"{self.scale.files:,} files, {self.scale.size // 1_000_000} MB"
