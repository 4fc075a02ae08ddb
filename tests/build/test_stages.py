"""Several stages: which are built, from what, and how they see one another."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build.workshop import Workshop


def test_unused_stages_are_never_executed(workshop: Workshop, context: Path) -> None:
    built = workshop.build(
        context,
        """
        FROM base AS used
        RUN echo used > /u
        FROM nosuchimage.invalid/x AS never
        RUN exit 1
        FROM base AS neither
        RUN exit 1
        COPY nothing /
        FROM base
        COPY --from=used /u /u
        """,
    )
    assert built.image["u"].text == "used\n"


@pytest.mark.parametrize("target", ["first", "FIRST", "0"])
def test_a_target_ends_the_build_there(workshop: Workshop, context: Path, target: str) -> None:
    image = workshop.build(
        context, "FROM base AS First\nRUN echo 1 > /1\nFROM base\nRUN exit 1", target=target
    ).image
    assert image["1"].text == "1\n"


def test_a_stage_builds_on_another_with_its_files_and_configuration(
    workshop: Workshop, context: Path
) -> None:
    built = workshop.build(
        context,
        """
        FROM base AS parent
        ARG A=arg
        ENV E=env
        WORKDIR /w
        USER ann
        SHELL ["/bin/sh", "-ec"]
        FROM parent AS child
        RUN echo $A $E $(pwd) $(id -un) $-
        FROM child
        RUN echo $A $E
        """,
    )
    assert built.watch.output() == "arg env /w ann ce\narg env\n"
    assert built.image.config["User"] == "ann"


def test_sources_in_a_stage_begin_at_its_root(workshop: Workshop, context: Path) -> None:
    image = workshop.build(
        context,
        """
        FROM base AS a
        WORKDIR /w
        RUN echo w > f; echo root > /f
        FROM base
        WORKDIR /x
        COPY --from=a f w/f /w/../f ./y/
        COPY --from=a w z
        """,
    ).image
    assert image["x/y/f"].text == "root\n"
    assert image["x/z/f"].text == "w\n"


def test_stages_are_named_by_number_and_without_case(workshop: Workshop, context: Path) -> None:
    image = workshop.build(
        context,
        "FROM base AS One\nRUN echo 1 > /f\nFROM base\nCOPY --from=0 /f /a\nCOPY --from=oNE /f /b",
    ).image
    assert image["a"].text == image["b"].text == "1\n"


def test_files_come_from_an_image_that_is_no_stage(workshop: Workshop, context: Path) -> None:
    image = workshop.build(context, "FROM scratch\nCOPY --from=base /etc/passwd /p").image
    assert image["p"].text.startswith("root:")


def test_a_stage_that_is_scratch_holds_nothing(workshop: Workshop, context: Path) -> None:
    error = workshop.refused(context, "FROM scratch AS none\nFROM base\nCOPY --from=none /f /f")
    assert error.code == "context.missing-source"
    image = workshop.build(context, "FROM scratch AS none\nFROM base\nCOPY --from=none / /x/").image
    assert [path for path in image.tree if path.startswith("x")] == ["x"]


def test_links_in_a_stage_lead_nowhere_outside_of_it(workshop: Workshop, context: Path) -> None:
    dockerfile = """
        FROM base AS a
        RUN ln -s /etc/shadow-of-the-host /l && ln -s ../../../../etc/hostname /d && ln -s /proc/self/root /r
        FROM base
        COPY --from=a {} /x
        """
    assert workshop.refused(context, dockerfile.format("/l")).code == "context.missing-source"
    assert workshop.build(context, dockerfile.format("/d")).image["x"].text == ""
    assert (
        workshop.refused(context, dockerfile.format("/r/etc/passwd")).code
        == "context.missing-source"
    )


def test_an_argument_may_choose_the_stage_to_build_on(workshop: Workshop, context: Path) -> None:
    (context / "Dockerfile").write_text(
        "ARG WHICH=b\nFROM base AS a\nRUN echo a > /f\nFROM base AS b\nRUN echo b > /f\nFROM $WHICH\n"
    )
    assert workshop.build(context).image["f"].text == "b\n"
    assert workshop.build(context, build_args=(("WHICH", "a"),)).image["f"].text == "a\n"


def test_many_stages_come_together(workshop: Workshop, context: Path) -> None:
    stages = "".join(f"FROM base AS s{n}\nRUN echo {n} > /f\n" for n in range(12))
    copies = "".join(f"COPY --from=s{n} /f /all/{n}\n" for n in range(12))
    image = workshop.build(context, f"{stages}FROM scratch\n{copies}").image
    assert {path: image[path].text for path in image.tree if path != "all"} == {
        f"all/{n}": f"{n}\n" for n in range(12)
    }


def test_a_chain_of_stages_passes_files_on(workshop: Workshop, context: Path) -> None:
    stages = "FROM base AS s0\nRUN echo 0 > /f\n" + "".join(
        f"FROM base AS s{n}\nCOPY --from=s{n - 1} /f /f\nRUN echo {n} >> /f\n" for n in range(1, 8)
    )
    image = workshop.build(context, stages).image
    assert image["f"].text.split() == [str(n) for n in range(8)]
