"""Measures all lines and writes them into docs/benchmarks.md.

`--quick` measures a tenth, `--only NAME` (again for more) some of the lines; both only print.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import shutil
import sys
import tempfile
from pathlib import Path

from tests.bench.lines import FULL, NAMES, QUICK, Bench, Line

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
MEASURED = re.compile(r"(<!-- measured -->\n).*?(<!-- end -->\n)", re.DOTALL)
MEMORY_GOAL = 100_000_000  # bytes


def main(arguments: list[str]) -> int:
    """Run the bench; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", choices=NAMES, metavar="NAME")
    given = parser.parse_args(arguments)
    quick: bool = given.quick
    names: list[str] = given.only or list(NAMES)
    if os.geteuid() != 0:
        print(
            "the bench mounts fresh file systems and runs runc, so it needs root", file=sys.stderr
        )
        return 1
    place = Path(tempfile.mkdtemp(prefix="lapstrake-bench-", dir="/var/tmp"))
    try:
        bench = Bench(place, QUICK if quick else FULL, lambda text: print(f"  {text}", flush=True))
        lines = list(bench.lines(names))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    command = " ".join(["python -m tests.bench", *arguments]) if arguments else "make bench"
    text = "\n".join([table(lines), *bench.floors, "", machine(command)])
    print(f"\n{text}")
    if not arguments:
        PAGE.write_text(MEASURED.sub(lambda found: found[1] + text + found[2], PAGE.read_text()))
    return 0


def table(lines: list[Line]) -> str:
    """Return the lines as a table."""
    rows = [
        "| work | ours | reference | ratio | goal | |",
        "|---|---|---|---|---|---|",
    ]
    for line in lines:
        verdict = "met" if line.ratio <= line.goal else "**missed**"
        rows.append(
            f"| {line.work} | {_time(line.ours)} | {_time(line.reference)}, {line.against} "
            f"| {line.ratio:.2f} | ≤ {line.goal:g} | {verdict} |"
        )
    peak = max(line.peak for line in lines)
    verdict = "met" if peak <= MEMORY_GOAL else "**missed**"
    rows.append(
        f"| largest memory of any lapstrake process in these | {peak / 1e6:.0f} MB | | | ≤ 100 MB | {verdict} |"
    )
    return "\n".join(rows) + "\n"


def machine(command: str) -> str:
    """Say where and with which command this was measured."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    load = os.getloadavg()[0]
    return (
        f"`{command}`, {today}: {os.cpu_count()} cores of {model[1] if model else platform.machine()}, "
        f"Linux {platform.release()}, CPython {platform.python_version()}, as root, load {load:.1f} at the end.\n"
    )


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
