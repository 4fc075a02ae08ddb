"""Which steps are executed again by wish: filters, times to live, arguments that do not count."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.events import Explained, Warned
from tests.build.workshop import Built, Workshop

TEXT = """
FROM base AS one
RUN echo 1 > /f
RUN cat /f
FROM base AS two
COPY --from=one /f /g
RUN cat /g
"""


def age(shop: Workshop, seconds: float) -> None:
    """Make all records older."""
    shop.engine._store.db.execute("UPDATE records SET created = created - ?", (seconds,))


def reasons(built: Built) -> list[str]:
    return [each.reason for each in built.watch.events if isinstance(each, Explained)]


@pytest.mark.parametrize(
    ("words", "executed"),
    [
        (("one",), ["RUN echo 1 > /f", "RUN cat /f"]),
        (("two",), ["COPY --from=one /f /g", "RUN cat /g"]),
        (("2",), ["RUN echo 1 > /f"]),
        (("2", "two:6"), ["RUN echo 1 > /f", "RUN cat /g"]),
    ],
)
def test_steps_that_a_filter_names_are_executed_and_the_others_stay_cached(
    workshop: Workshop, context: Path, words: tuple[str, ...], executed: list[str]
) -> None:
    first = workshop.build(context, TEXT)
    again = workshop.build(context, no_cache_filter=words)
    assert sorted(again.executed) == sorted(executed)
    assert again.id == first.id
    assert set(reasons(again)) == {"--no-cache-filter"}
    assert workshop.build(context).executed == []


def test_a_filter_that_fits_nothing_is_told(workshop: Workshop, context: Path) -> None:
    workshop.build(context, TEXT)
    built = workshop.build(context, no_cache_filter=("tow",))
    assert built.executed == []
    warned = [each.diagnostic.hint for each in built.watch.events if isinstance(each, Warned)]
    assert warned == ["did you mean `two`?"]


def test_a_step_is_executed_again_when_its_time_is_over_and_the_record_is_young_again(
    fresh: Workshop, context: Path
) -> None:
    text = "# lapstrake: ttl=1h\nRUN date +%s > /f\nRUN cat /f"
    fresh.build(context, f"FROM base\n{text}")
    age(fresh, 3500)
    assert fresh.build(context).executed == []
    age(fresh, 200)
    again = fresh.build(context)
    assert again.executed[0] == "RUN date +%s > /f"
    assert reasons(again)[0] == "older than its ttl of 1h"
    assert fresh.build(context).executed == []


def test_a_time_for_all_commands_is_none_for_copies(fresh: Workshop, context: Path) -> None:
    (context / "a").write_text("a")
    first = fresh.build(context, "COPY a /a\nRUN cat /a > /b")
    age(fresh, 86_500)
    again = fresh.build(context, cache_ttl=86_400)
    assert again.executed == ["RUN cat /a > /b"]
    assert again.id == first.id
    assert fresh.build(context, cache_ttl=86_400).executed == []


def test_the_age_of_a_copy_is_that_of_its_execution_wherever_it_is_found_again(
    fresh: Workshop, context: Path
) -> None:
    (context / "a").write_text("a")
    text = "FROM base\nRUN echo NUMBER > /n\n# lapstrake: ttl=1h\nCOPY a /a"
    fresh.build(context, text.replace("NUMBER", "1"))
    age(fresh, 3000)
    # Above another base the record holds too; that makes it no younger.
    assert fresh.build(context, text.replace("NUMBER", "2")).executed == ["RUN echo 2 > /n"]
    age(fresh, 1000)
    assert fresh.build(context).executed == ["COPY a /a"]


def test_an_argument_that_is_ignored_is_seen_by_the_step_and_executes_nothing(
    fresh: Workshop, context: Path
) -> None:
    text = "FROM base\nARG SHA=0\n# lapstrake: ignore-arg=SHA\nRUN echo sha=$SHA\nCMD true"
    first = fresh.build(context, text, build_args=(("SHA", "7"),))
    assert "sha=7" in first.watch.output()
    assert fresh.build(context, build_args=(("SHA", "8"),)).executed == []
    plain = text.replace("# lapstrake: ignore-arg=SHA\n", "")
    assert len(fresh.build(context, plain, build_args=(("SHA", "8"),)).executed) == 1
