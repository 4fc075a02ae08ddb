"""RUN --mount of files, caches and memory: what a command is shown, and what of it counts."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from builder.errors import LapstrakeError
from tests.build.workshop import Built, Workshop


@pytest.fixture
def sources(context: Path) -> Path:
    """A context with a directory, a file and one that is ignored."""
    (context / "src/deep").mkdir(parents=True)
    (context / "src/a").write_text("one\n")
    (context / "src/deep/b").write_text("two\n")
    (context / "other").write_text("other\n")
    (context / "hidden").write_text("hidden\n")
    (context / ".dockerignore").write_text("hidden\nDockerfile\n.dockerignore\n")
    return context


def added(built: Built) -> set[str]:
    """Return the paths in the last layer."""
    return set(built.image.layers[-1])


# Binds


def test_the_context_is_shown_without_what_is_ignored_and_leaves_nothing(
    workshop: Workshop, sources: Path
) -> None:
    built = workshop.build(
        sources, "RUN --mount=target=/ctx find /ctx | sort; stat -c %u:%g /ctx/other"
    )
    assert built.watch.output().splitlines() == [
        *("/ctx", "/ctx/other", "/ctx/src", "/ctx/src/a", "/ctx/src/deep", "/ctx/src/deep/b"),
        "0:0",
    ]
    assert added(built) == set()


def test_a_part_of_the_context_is_shown_as_it_is(workshop: Workshop, sources: Path) -> None:
    built = workshop.build(
        sources,
        "RUN --mount=source=src/deep,target=/d --mount=src=/src/../other,dst=/f cat /d/b /f && ls /d",
    )
    assert built.watch.output() == "two\nother\nb\n"
    assert added(built) == set()


def test_a_mount_on_a_file_that_steps_are_shown_takes_its_place(
    workshop: Workshop, context: Path
) -> None:
    (context / "hosts").write_text("127.0.0.2 here\n")
    built = workshop.build(
        context, "RUN --mount=type=bind,source=hosts,target=/etc/../etc/hosts cat /etc/hosts"
    )
    assert built.watch.output() == "127.0.0.2 here\n"


def test_a_source_is_no_pattern(workshop: Workshop, sources: Path) -> None:
    (sources / "[o]ther").write_text("brackets\n")
    built = workshop.build(sources, "RUN --mount=source=[o]ther,target=/f cat /f")
    assert built.watch.output() == "brackets\n"


def test_a_source_that_is_missing_is_refused_with_its_name(
    workshop: Workshop, sources: Path
) -> None:
    error = workshop.refused(sources, "RUN --mount=source=src/missing,target=/f cat /f")
    assert error.code == "context.missing-source"
    assert "src/missing" in error.message
    ignored = workshop.refused(sources, "RUN --mount=source=hidden,target=/f cat /f")
    assert ignored.code == "context.ignored-source"


def test_a_stage_is_shown_from_the_path_named(workshop: Workshop, context: Path) -> None:
    built = workshop.build(
        context,
        """
        FROM base AS make
        RUN mkdir -p /out/d && echo made >/out/d/f && ln -s /out/d /way && chown 3:4 /out/d/f
        FROM base
        RUN --mount=from=make,source=/way,target=in cat /in/f && stat -c %u:%g /in/f
        """,
    )
    assert built.watch.output() == "made\n3:4\n"
    assert added(built) == set()


def test_a_source_that_a_stage_lacks_is_refused_with_its_name(
    workshop: Workshop, context: Path
) -> None:
    error = workshop.refused(
        context,
        "FROM base AS make\nFROM base\nRUN --mount=from=make,source=/nothing,target=/in ls /in",
    )
    assert error.code == "context.missing-source"
    assert "nothing" in error.message
    assert error.span is not None
    assert error.span.line == 3


def test_an_image_is_shown_from_its_root(workshop: Workshop, context: Path) -> None:
    built = workshop.build(
        context, 'FROM scratch\nRUN --mount=from=base,target=/b ["/b/bin/busybox", "id"]'
    )
    assert built.watch.output().startswith("uid=0")


def test_without_rw_nothing_can_be_written(workshop: Workshop, sources: Path) -> None:
    built = workshop.build(
        sources, "RUN --mount=target=/ctx touch /ctx/new 2>&1 || echo failed as it should"
    )
    assert "Read-only file system" in built.watch.output()


def test_what_is_written_with_rw_is_dropped(workshop: Workshop, sources: Path) -> None:
    built = workshop.build(
        sources,
        """
        FROM base AS make
        RUN mkdir /out && echo made >/out/f
        FROM base
        RUN --mount=source=src,target=/s,rw rm -r /s/deep && echo new >/s/new && ls /s
        RUN --mount=from=make,source=/out,target=/o,readwrite echo more >>/o/f && cat /o/f
        RUN --mount=source=src,target=/s --mount=from=make,source=/out,target=/o ls /s && cat /o/f
        """,
    )
    assert built.watch.output() == "a\nnew\nmade\nmore\na\ndeep\nmade\n"
    assert added(built) == set()
    assert sorted(path.name for path in (sources / "src").iterdir()) == ["a", "deep"]


def test_a_file_written_beside_a_mount_is_all_that_the_layer_has(
    workshop: Workshop, sources: Path
) -> None:
    built = workshop.build(
        sources, "RUN --mount=source=src,target=/opt/src/in cp /opt/src/in/a /opt/kept"
    )
    assert added(built) == {"opt", "opt/kept"}


def test_a_step_is_cached_by_what_its_mounts_show(workshop: Workshop, sources: Path) -> None:
    lines = (
        "RUN --mount=source=src,target=/s cat /s/a >/shown-a",
        "RUN --mount=target=/all cat /all/other >/shown-other",
    )
    text = "\n".join(lines)
    workshop.build(sources, text)
    assert workshop.build(sources).executed == []
    (sources / "hidden").write_text("changed, and ignored")
    assert workshop.build(sources).executed == []
    (sources / "other").write_text("changed\n")
    assert [each for each in workshop.build(sources).executed if "RUN" in each] == [lines[1]]
    (sources / "src/a").write_text("changed\n")
    built = workshop.build(sources)
    assert [each for each in built.executed if "RUN" in each] == list(lines)


def test_a_rebuilt_stage_with_the_same_files_runs_nothing_again(
    workshop: Workshop, context: Path
) -> None:
    text = """
        FROM base AS make
        RUN mkdir /out && echo made >/out/f && : {}
        FROM base
        RUN --mount=from=make,source=/out,target=/o cat /o/f >/kept
        """
    workshop.build(context, text.format("one"))
    built = workshop.build(context, text.format("two"))
    assert [each for each in built.executed if "--mount" in each] == []


def test_a_variable_in_a_mount_is_replaced(workshop: Workshop, sources: Path) -> None:
    built = workshop.build(
        sources,
        "ARG DIR=src\nENV AT=/shown\nRUN --mount=source=$DIR,target=${AT}/here ls /shown/here",
    )
    assert built.watch.output() == "a\ndeep\n"


# Memory


def test_memory_has_its_size_and_is_gone_afterwards(workshop: Workshop, context: Path) -> None:
    built = workshop.build(
        context,
        """
        RUN --mount=type=tmpfs,target=/m,size=64k dd if=/dev/zero of=/m/x bs=100k count=1; wc -c </m/x
        RUN ls /m 2>&1 || true
        """,
    )
    assert "No space left on device" in built.watch.output()
    assert "65536" in built.watch.output()
    assert "/m: No such file or directory" in built.watch.output()


def test_memory_may_be_read_only(workshop: Workshop, context: Path) -> None:
    built = workshop.build(context, "RUN --mount=type=tmpfs,target=/m,ro touch /m/x 2>&1 || true")
    assert "Read-only file system" in built.watch.output()


# Caches


def test_a_cache_outlives_the_step_and_the_build_and_is_no_part_of_the_image(
    fresh: Workshop, context: Path
) -> None:
    text = "RUN --mount=type=cache,target=/c/pip echo {} >>/c/pip/log && cat /c/pip/log"
    built = fresh.build(context, text.format("one") + "\n" + text.format("two"))
    assert built.watch.output() == "one\none\ntwo\n"
    assert added(built) == set()
    assert fresh.build(context, text.format("three")).watch.output() == "one\ntwo\nthree\n"


def test_a_warm_cache_runs_no_step_again(fresh: Workshop, context: Path) -> None:
    text = "RUN --mount=type=cache,target=/c{} echo x >>/c/log\n"
    fresh.build(context, text.format(""))
    assert fresh.build(context).executed == []
    assert fresh.build(context, text.format(",id=other,sharing=locked")).watch.output() == ""
    assert fresh.build(context).executed == []


def test_caches_go_by_their_id_and_that_is_the_target_unless_given(
    fresh: Workshop, context: Path
) -> None:
    built = fresh.build(
        context,
        """
        RUN --mount=type=cache,target=/a touch /a/of-a
        RUN --mount=type=cache,target=/b ls /b
        RUN --mount=type=cache,target=/c,id=/a ls /c
        RUN --mount=type=cache,target=/a/./ ls /a
        """,
    )
    assert built.watch.output() == "of-a\nof-a\n"


def test_a_namespace_keeps_caches_apart(fresh: Workshop, context: Path) -> None:
    text = "RUN --mount=type=cache,target=/a touch /a/{0} && ls /a"
    fresh.build(context, text.format("one"))
    given = (("BUILDKIT_CACHE_MOUNT_NS", "mine"),)
    built = fresh.build(context, text.format("two"), build_args=given)
    assert built.watch.output() == "two\n"


def test_a_new_cache_has_the_mode_and_owner_that_were_asked_for(
    fresh: Workshop, context: Path
) -> None:
    built = fresh.build(
        context,
        """
        RUN --mount=type=cache,target=/a stat -c %a:%u:%g /a
        RUN --mount=type=cache,target=/b,mode=0700,uid=1000,gid=50 stat -c %a:%u:%g /b
        USER ann
        RUN --mount=type=cache,target=/b,mode=0700,uid=1000,gid=50 touch /b/mine && ls /b
        """,
    )
    assert built.watch.output() == "755:0:0\n700:1000:50\nmine\n"


def test_a_cache_may_begin_with_what_a_stage_has(fresh: Workshop, context: Path) -> None:
    built = fresh.build(
        context,
        """
        FROM base AS make
        RUN mkdir -p /out/d && echo seed >/out/d/f && chown 3:4 /out/d/f && ln /out/d/f /out/g
        FROM base
        RUN --mount=type=cache,from=make,source=/out,target=/c cat /c/g && stat -c %u:%g:%h /c/d/f
        RUN --mount=type=cache,from=make,source=/out,target=/c echo new >/c/d/f
        RUN --mount=type=cache,from=make,source=/out,target=/c : && cat /c/d/f
        """,
    )
    assert built.watch.output() == "seed\n3:4:2\nnew\n"


def test_a_cache_can_be_read_only(fresh: Workshop, context: Path) -> None:
    built = fresh.build(context, "RUN --mount=type=cache,target=/c,ro touch /c/x 2>&1 || true")
    assert "Read-only file system" in built.watch.output()


def test_a_source_in_a_cache_that_begins_empty_is_refused_by_name(
    workshop: Workshop, context: Path
) -> None:
    error = workshop.refused(context, "RUN --mount=type=cache,target=/c,source=/x true")
    assert error.code == "dockerfile.unsupported"
    assert "from" in (error.hint or "")


ONE_AFTER_THE_OTHER = """
FROM base AS one
RUN --mount=type=cache,target=/c,sharing={sharing} {meet}
FROM base AS two
RUN --mount=type=cache,target=/c,sharing={sharing} : && {meet}
FROM base
COPY --from=one /seen /one
COPY --from=two /seen /two
RUN cat /one /two
"""
MEET = (
    "echo in >>/c/log && n=0; while [ $n -lt 20 ] && [ $(wc -l </c/log) -lt 2 ];"
    " do sleep 0.05; n=$((n+1)); done; wc -l </c/log >/seen; : >/c/log"
)


def test_a_shared_cache_is_used_by_two_steps_at_once(fresh: Workshop, context: Path) -> None:
    built = fresh.build(context, ONE_AFTER_THE_OTHER.format(sharing="shared", meet=MEET))
    assert "2" in built.watch.output()


def test_a_locked_cache_is_used_by_one_step_after_the_other(fresh: Workshop, context: Path) -> None:
    built = fresh.build(context, ONE_AFTER_THE_OTHER.format(sharing="locked", meet=MEET))
    assert built.watch.output() == "1\n1\n"


def test_a_private_cache_in_use_is_left_alone(fresh: Workshop, context: Path) -> None:
    built = fresh.build(context, ONE_AFTER_THE_OTHER.format(sharing="private", meet=MEET))
    assert built.watch.output() == "1\n1\n"
    assert len(fresh.engine._store.cache_mounts.all()) == 2


def test_waiting_for_a_cache_ends_with_the_build(fresh: Workshop, context: Path) -> None:
    other = context.parent / "other"
    other.mkdir()
    (context / "Dockerfile").write_text(
        "FROM base\nRUN --mount=type=cache,target=/c,sharing=locked sleep 30"
    )
    (other / "Dockerfile").write_text(
        "FROM base\nRUN --mount=type=cache,target=/c,sharing=locked sleep 31"
    )
    failures: list[LapstrakeError] = []

    def build(place: Path) -> None:
        failures.append(fresh.refused(place))

    threads = [threading.Thread(target=build, args=(place,)) for place in (context, other)]
    for thread in threads:
        thread.start()
    threading.Event().wait(0.6)
    fresh.engine.cancellation.cancel()
    for thread in threads:
        thread.join(10)
    assert [failure.code for failure in failures] == ["build.cancelled"] * 2


def test_caches_are_counted_and_pruned_with_the_rest(fresh: Workshop, context: Path) -> None:
    fresh.build(
        context,
        "RUN --mount=type=cache,target=/c,uid=1000,mode=0700 head -c 3000000 /dev/zero >/c/big",
    )
    assert fresh.engine.info()["Cache mounts"] == 1
    pruned = fresh.engine.prune()
    assert pruned.bytes > 2_900_000
    assert "Deleted: 1 cache mount" in pruned.removed
    assert fresh.engine.info()["Cache mounts"] == 0
