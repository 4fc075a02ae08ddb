"""ONBUILD over two builds, and the times that a build argument sets."""

from __future__ import annotations

from pathlib import Path

from tests.build.workshop import Workshop


def test_triggers_of_an_image_run_before_the_childs_steps_and_once(
    workshop: Workshop, context: Path
) -> None:
    parent = "ONBUILD COPY . /src\nONBUILD RUN <<E\ncat /src/a > /made\nE\n"
    workshop.build(context, parent, tags=("parent",))
    (context / "a").write_text("first")
    child = workshop.build(context, "FROM parent\nRUN cat /made", tags=("child",))
    assert child.watch.output() == "first"
    assert [name.partition(" ")[0] for name in child.executed] == ["ONBUILD", "ONBUILD", "RUN"]
    (context / "a").write_text("second")
    assert workshop.build(context, "FROM child\nRUN cat /made /made").watch.output() == "firstfirst"
    again = workshop.build(context, "FROM parent\nRUN cat /made")
    assert again.watch.output() == "second"
    assert workshop.build(context, "FROM parent\nRUN cat /made").executed == []


def test_a_trigger_may_copy_from_a_stage_of_the_child(workshop: Workshop, context: Path) -> None:
    workshop.build(context, "ONBUILD COPY --from=tools /t /t\n", tags=("parent",))
    built = workshop.build(
        context, "FROM base AS tools\nRUN echo x > /t\nFROM parent\nRUN cat /t /t"
    )
    assert built.watch.output() == "x\nx\n"


def test_a_new_parent_with_other_triggers_counts(workshop: Workshop, context: Path) -> None:
    for text in ("one", "two"):
        workshop.build(context, f"ONBUILD RUN echo {text} > /t\n", tags=("parent",))
        assert workshop.build(context, "FROM parent\nRUN cat /t").watch.output() == f"{text}\n"


def test_a_mistake_in_a_trigger_names_it(workshop: Workshop, context: Path) -> None:
    workshop.build(context, "ONBUILD COPY --from=9 a b\n", tags=("parent",))
    error = workshop.refused(context, "FROM parent")
    assert error.code == "dockerfile.unknown-stage"
    assert error.span is not None
    assert error.span.line == 1


def test_a_build_argument_sets_the_times(workshop: Workshop, context: Path) -> None:
    built = workshop.build(
        context, "FROM scratch\nENV a=1", build_args=(("SOURCE_DATE_EPOCH", "1000000000"),)
    )
    assert built.image.document["created"] == "2001-09-09T01:46:40Z"
    assert built.image.document["history"][-1]["created"] == "2001-09-09T01:46:40Z"
