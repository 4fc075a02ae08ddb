"""Steps side by side, and work that is shared between builds."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from builder.events import Outcome, Waiting
from tests.build.workshop import Built, Workshop


def stages(count: int, command: str) -> str:
    text = [
        f"FROM base AS s{number}\nRUN {command} && echo {number} >/made" for number in range(count)
    ]
    copies = [f"COPY --from=s{number} /made /m{number}" for number in range(count)]
    return "\n".join([*text, "FROM base", *copies])


MEET = (
    "mktemp /c/XXXXXX && n=0; while [ $n -lt 300 ] && [ $(ls /c | wc -l) -lt 3 ];"
    " do sleep 0.05; n=$((n+1)); done; [ $(ls /c | wc -l) -ge 3 ]"
)


def test_independent_stages_run_side_by_side(fresh: Workshop, context: Path) -> None:
    fresh.build(
        context, stages(3, f": && {MEET}").replace("RUN", "RUN --mount=type=cache,target=/c")
    )


def test_no_more_than_was_allowed_run_at_once(fresh: Workshop, context: Path) -> None:
    command = "ls /c | wc -l >>/seen && touch /c/$$ && sleep 0.1 && rm /c/$$"
    text = stages(3, command).replace("RUN", "RUN --mount=type=cache,target=/c")
    text = text.replace("echo 0 >/made", "cp /seen /made").replace(
        "echo 1 >/made", "cp /seen /made"
    )
    built = fresh.build(context, text.replace("echo 2 >/made", "cp /seen /made"), jobs=1)
    tree = built.image.tree
    assert [tree[f"m{number}"].data.strip() for number in range(3)] == [b"0", b"0", b"0"]


def test_two_builds_run_the_same_step_once(fresh: Workshop, context: Path) -> None:
    other = context.parent / "other"
    other.mkdir()
    text = "RUN sleep 1 && head -c 16 /dev/urandom | md5sum >/random"
    fresh.write(context, text)
    fresh.write(other, text)
    found: list[Built] = []
    threads = [
        threading.Thread(target=lambda place=place: found.append(fresh.build(place)))
        for place in (context, other)
    ]
    threads[0].start()
    time.sleep(0.4)
    threads[1].start()
    for thread in threads:
        thread.join()
    assert found[0].id == found[1].id
    outcomes = [dict(built.watch.outcomes())[text] for built in found]
    assert sorted(outcome.value for outcome in outcomes) == ["cached", "executed"]
    waits = [each for built in found for each in built.watch.events if isinstance(each, Waiting)]
    assert [each.on for each in waits] == ["another build, which runs the same step"]


def test_when_the_other_build_fails_the_step_is_run(fresh: Workshop, context: Path) -> None:
    other = context.parent / "other"
    other.mkdir()
    text = (
        "RUN --mount=type=cache,target=/c sleep 0.7;"
        " [ -e /c/second ] || { touch /c/second; exit 9; }"
    )
    fresh.write(context, text)
    fresh.write(other, text)
    failures: list[str] = []
    first = threading.Thread(target=lambda: failures.append(fresh.refused(context).code))
    first.start()
    time.sleep(0.3)
    built = fresh.build(other)
    first.join()
    assert failures == ["build.run-failed"]
    assert [outcome for _, outcome in built.watch.outcomes()] == [Outcome.EXECUTED]


def test_many_stages_and_steps_are_ordinary(fresh: Workshop, context: Path) -> None:
    text = [
        f"FROM base AS s{number}\nCOPY f /f{number}\nWORKDIR /w{number}" for number in range(300)
    ]
    text += ["FROM base"]
    text += [f"COPY --from=s{number} /f{number} /all/f{number}" for number in range(300)]
    (context / "f").write_text("x")
    built = fresh.build(context, "\n".join(text))
    assert len([name for name in built.image.tree if name.startswith("all/f")]) == 300
    assert built.result.steps == 900
    assert fresh.build(context).executed == []
