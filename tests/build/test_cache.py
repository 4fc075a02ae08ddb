"""The cache: what is done again, what is not, and that the image is the same either way."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from builder.engine.engine import Engine
from builder.engine.requests import BuildRequest
from builder.errors import LapstrakeError
from builder.settings import Settings
from runtime.launch import Launcher
from tests.build.workshop import Watch, Workshop, workshop_in

# The same again


def test_a_second_build_executes_nothing_and_is_the_same_image_to_the_byte(
    fresh: Workshop, context: Path
) -> None:
    (context / "a").write_text("x")
    dockerfile = """
        FROM base AS first
        ARG V=1
        COPY . /c/
        RUN echo $V > /f
        WORKDIR /w
        FROM base
        COPY --from=first /f /c/ /d/
        COPY <<EOF /h
        $V
        EOF
        RUN true
        CMD ["sh"]
        """
    first = fresh.build(context, dockerfile)
    time.sleep(1.1)
    second = fresh.build(context)
    assert len(first.executed) == 6
    assert second.executed == []
    assert (second.result.steps, second.result.cached) == (first.result.steps, first.result.steps)
    assert second.image.config_bytes == first.image.config_bytes
    assert second.id == first.id


def test_all_is_found_again_by_another_process(tmp_path: Path, context: Path) -> None:
    (context / "a").write_text("x")
    with workshop_in(tmp_path) as shop:
        first = shop.build(context, "COPY a /a\nRUN echo 1 > /b\nCOPY a /c")
    settings = Settings(root=str(tmp_path / "store"), docker_config=str(tmp_path / "docker"))
    with Engine.open(settings, Launcher.spawn()) as engine:
        watch = Watch()
        again = engine.build(BuildRequest(context=str(context)), watch)
    assert watch.executed() == []
    assert again.image_id == first.id


def test_no_cache_executes_all_and_comes_to_the_same_image(fresh: Workshop, context: Path) -> None:
    (context / "a").write_text("x")
    dockerfile = "COPY a /a\nRUN echo 1 > /b\nWORKDIR /w\nRUN true"
    first = fresh.build(context, dockerfile)
    again = fresh.build(context, no_cache=True)
    assert len(again.executed) == 4
    assert again.id == first.id


def test_what_a_step_reads_from_outside_is_not_known_to_the_cache(
    fresh: Workshop, context: Path
) -> None:
    first = fresh.build(context, "RUN cat /proc/sys/kernel/random/uuid > /u\nRUN cp /u /v")
    assert fresh.build(context).id == first.id
    again = fresh.build(context, no_cache=True)
    assert again.id != first.id
    assert fresh.build(context).id == again.id


# What does not count


@pytest.mark.parametrize(
    "line",
    [
        "LABEL a=b",
        'CMD ["other"]',
        'ENTRYPOINT ["other"]',
        "EXPOSE 81",
        "VOLUME /data",
        "STOPSIGNAL SIGINT",
        "# a comment",
        "MAINTAINER someone",
    ],
)
def test_configuration_before_a_command_does_not_count(
    fresh: Workshop, context: Path, line: str
) -> None:
    first = fresh.build(context, "RUN echo 1 > /f\nRUN true")
    second = fresh.build(context, f"FROM base\n{line}\nRUN echo 1 > /f\n{line}\nRUN true")
    assert second.executed == []
    assert second.image.diff_ids == first.image.diff_ids


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("RUN true", "ENV A=1\nRUN true"),
        ("RUN true", "ARG A=1\nRUN true"),
        ("RUN true", "USER ann\nRUN true"),
        ("WORKDIR /w\nRUN true", "WORKDIR /w\nWORKDIR /\nRUN true"),
        ("RUN true", "RUN true "),
        ("RUN true", 'RUN ["true"]'),
        ("RUN true", 'SHELL ["/bin/sh", "-ec"]\nRUN true'),
        ("RUN true", "RUN --network=none true"),
    ],
)
def test_what_a_command_can_see_counts(
    fresh: Workshop, context: Path, before: str, after: str
) -> None:
    fresh.build(context, before)
    executed = fresh.build(context, after).executed
    if after == "RUN true ":
        assert executed == []
    else:
        assert any(step.startswith("RUN") for step in executed)


def test_configuration_after_a_command_does_not_count_for_it(
    fresh: Workshop, context: Path
) -> None:
    fresh.build(context, "RUN echo 1 > /f")
    assert fresh.build(context, "RUN echo 1 > /f\nENV A=1\nUSER ann\nLABEL a=b").executed == []


def test_an_argument_counts_only_after_its_line_and_where_it_differs(
    fresh: Workshop, context: Path
) -> None:
    dockerfile = "RUN echo before\nARG V=1\nRUN echo $V\nARG OTHER\nCMD true"
    fresh.build(context, dockerfile)
    assert fresh.build(context, build_args=(("V", "1"),)).executed == []
    assert fresh.build(context, build_args=(("V", "2"),)).executed == ["RUN echo 2"]
    assert fresh.build(context, build_args=(("OTHER", "2"),)).executed == []


def test_proxies_do_not_count(fresh: Workshop, context: Path) -> None:
    fresh.build(context, "RUN echo 1 > /f", build_args=(("HTTP_PROXY", "http://one"),))
    for arguments in ((("http_proxy", "http://two"), ("NO_PROXY", "a")), ()):
        assert fresh.build(context, build_args=arguments).executed == []


# Copies


def change_nothing(path: Path) -> None:
    """Touch, and put another file in the place with the same content."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    path.chmod(0o644)
    os.utime(path, (5, 5))


def change_content(path: Path) -> None:
    """Keep size and time."""
    status = path.stat()
    path.write_text("y")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def change_mode(path: Path) -> None:
    path.chmod(0o755)


def change_name(path: Path) -> None:
    path.rename(path.with_name("b"))


def change_to_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("elsewhere")


def change_link(path: Path) -> None:
    os.link(path, path.with_name("b"))


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (change_nothing, False),
        (change_content, True),
        (change_mode, True),
        (change_name, True),
        (change_to_link, True),
        (change_link, True),
    ],
)
@pytest.mark.parametrize("executed_between", [True, False])
def test_copies_go_by_what_files_hold_not_by_their_times(
    fresh: Workshop, context: Path, change: object, counts: bool, executed_between: bool
) -> None:
    assert callable(change)
    (context / "d").mkdir()
    file = context / "d/a"
    file.write_text("x")
    file.chmod(0o644)
    first = fresh.build(context, "COPY d /d\nRUN ls /d")
    if executed_between:
        assert fresh.build(context).executed == []
    change(file)
    second = fresh.build(context)
    assert bool(second.executed) is counts
    assert (second.id != first.id) is counts
    assert fresh.build(context).executed == []


def test_a_changed_file_runs_what_follows_and_changing_it_back_does_not(
    fresh: Workshop, context: Path
) -> None:
    (context / "a").write_text("x")
    first = fresh.build(context, "RUN echo before\nCOPY a /a\nRUN cat /a\nCOPY a /b\nRUN cat /b")
    (context / "a").write_text("y")
    second = fresh.build(context)
    assert second.executed == ["COPY a /a", "RUN cat /a", "COPY a /b", "RUN cat /b"]
    assert second.watch.output() == "yy"
    (context / "a").write_text("x")
    assert fresh.build(context).id == first.id


def test_a_file_that_is_not_copied_does_not_count(fresh: Workshop, context: Path) -> None:
    (context / "a").write_text("x")
    fresh.build(context, "COPY a* /a/\nRUN ls /a")
    (context / "b").write_text("y")
    assert fresh.build(context).executed == []
    (context / "a2").write_text("y")
    assert len(fresh.build(context).executed) == 2


def test_a_file_that_is_rewritten_at_once_is_noticed(fresh: Workshop, context: Path) -> None:
    for text in ("1", "2", "3", "4"):
        (context / "a").write_text(text)
        assert fresh.build(context, "COPY a /a").image["a"].text == text


def test_two_contexts_do_not_mix(fresh: Workshop, context: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for directory, text in ((context, "1"), (other, "2")):
        (directory / "a").write_text(text)
        assert fresh.build(directory, "COPY a /a").image["a"].text == text
    (other / "a").write_text("1")
    assert fresh.build(other).executed == []


def test_the_owner_that_is_asked_for_counts(fresh: Workshop, context: Path) -> None:
    (context / "a").write_text("x")
    fresh.build(context, "COPY a /a")
    assert fresh.build(context, "COPY --chown=ann a /a").image["a"].uid == 1000
    assert fresh.build(context, "COPY --chown=1000 a /a").image["a"].uid == 1000
    assert fresh.build(context, "COPY a /a").executed == []


# Copies above another base


def test_a_copy_is_reused_above_another_base_that_looks_the_same_to_it(
    fresh: Workshop, context: Path
) -> None:
    (context / "a").write_text("x")
    copies = "COPY a /etc/a\nCOPY --chown=ann a /new/b\nWORKDIR /new/w"
    fresh.build(context, f"RUN echo 1 > /one\n{copies}")
    second = fresh.build(context, f"RUN echo 2 > /two\n{copies}")
    assert second.executed == ["RUN echo 2 > /two"]
    assert second.image["new/b"].uid == 1000
    assert "one" not in second.image


@pytest.mark.parametrize(
    ("change", "copy", "path"),
    [
        ("mkdir /real && ln -s /real /d", "COPY a /d/a", "real/a"),
        ("mkdir /a", "COPY a /a", "a/a"),
        ("ln -s /etc/other /a", "COPY a /a", "etc/other"),
        ("mkdir -p /x && ln -s x /d", "COPY . /d/", "x/a"),
    ],
)
def test_a_copy_is_made_anew_where_the_base_leads_it_elsewhere(
    fresh: Workshop, context: Path, change: str, copy: str, path: str
) -> None:
    (context / "a").write_text("x")
    fresh.build(context, f"RUN true\n{copy}")
    second = fresh.build(context, f"RUN {change}\n{copy}")
    assert len(second.executed) == 2
    assert second.image[path].text == "x"


@pytest.mark.parametrize(
    ("change", "copy"),
    [("touch /d", "COPY a /d/a"), ("mkdir /a /a/a", "COPY a /a"), ("touch /w", "WORKDIR /w/x")],
)
def test_a_copy_is_refused_above_a_base_that_is_in_its_way(
    fresh: Workshop, context: Path, change: str, copy: str
) -> None:
    (context / "a").write_text("x")
    fresh.build(context, f"RUN true\n{copy}")
    assert fresh.refused(context, f"RUN {change}\n{copy}").code == "build.copy-failed"


def test_a_copy_follows_the_ids_that_a_name_has_in_the_base(fresh: Workshop, context: Path) -> None:
    (context / "a").write_text("x")
    rename = "sed -i s/ann:x:1000:1000/ann:x:77:78/ /etc/passwd"
    add = "echo bob:x:5:5::/: >> /etc/passwd"
    copy = "COPY --chown=ann a /a"
    assert fresh.build(context, copy).image["a"].uid == 1000
    assert fresh.build(context, f"RUN {add}\n{copy}").executed == [f"RUN {add}"]
    assert fresh.build(context, f"RUN {rename}\n{copy}").image["a"].access[1:] == (77, 78)


# Cutting off


def test_a_changed_command_with_the_same_result_keeps_what_follows(
    fresh: Workshop, context: Path
) -> None:
    (context / "a").write_text("x")
    rest = "RUN cat /f > /g\nCOPY a /a\nRUN cat /g"
    first = fresh.build(context, f"RUN echo 1 > /f\n{rest}")
    time.sleep(1.1)
    second = fresh.build(context, f"RUN printf '1\\n' > /f\n{rest}")
    assert second.executed == ["RUN printf '1\\n' > /f"]
    assert second.image.diff_ids == first.image.diff_ids


def test_a_rebuilt_stage_with_the_same_files_keeps_what_copies_them(
    fresh: Workshop, context: Path
) -> None:
    final = "FROM base\nCOPY --from=make /out /out\nRUN cat /out/f"
    first = fresh.build(context, f"FROM base AS make\nRUN mkdir /out && echo 1 > /out/f\n{final}")
    second = fresh.build(
        context,
        f"FROM base AS make\nRUN mkdir /out && echo noise > /tmp/n\nRUN echo 1 > /out/f\n{final}",
    )
    assert [step for step in second.executed if "out" not in step.split("&&")[0]] == []
    assert len(second.executed) == 2
    assert second.image.diff_ids == first.image.diff_ids


def test_a_name_of_a_stage_does_not_count(fresh: Workshop, context: Path) -> None:
    for name in ("one", "two"):
        built = fresh.build(
            context, f"FROM base AS {name}\nRUN echo 1 > /f\nFROM base\nCOPY --from={name} /f /g"
        )
    assert built.executed == []


# Several at once


def test_equal_steps_of_several_stages_have_one_result(fresh: Workshop, context: Path) -> None:
    random = "RUN cat /proc/sys/kernel/random/uuid > /u"
    dockerfile = f"""
        FROM base AS a
        {random}
        FROM base AS b
        {random}
        FROM base
        COPY --from=a /u /a
        COPY --from=b /u /b
        """
    built = fresh.build(context, dockerfile)
    assert built.image["a"].text == built.image["b"].text
    assert built.executed.count(random) == 1
    assert fresh.build(context).id == built.id


def test_steps_with_equal_results_at_the_same_time_make_an_image_that_is_found_again(
    fresh: Workshop, context: Path
) -> None:
    stages = "".join(
        f"FROM base AS s{number}\nRUN echo x > /f; : {number}\nRUN true; : {number}\n"
        for number in range(6)
    )
    copies = "".join(f"COPY --from=s{number} /f /f{number}\n" for number in range(6))
    for target in ("s0", "s3", None):
        first = fresh.build(context, f"{stages}FROM base\n{copies}", target=target)
        second = fresh.build(context, target=target)
        assert second.executed == []
        assert second.id == first.id


def test_independent_stages_run_side_by_side(fresh: Workshop, context: Path) -> None:
    built = fresh.build(
        context,
        """
        FROM base AS a
        RUN sleep 0.7; date +%s%N > /t; echo a
        FROM base AS b
        RUN sleep 0.7; date +%s%N > /t; echo b
        FROM base
        COPY --from=a /t /a
        COPY --from=b /t /b
        """,
    )
    assert built.result.seconds < 1.35


def test_builds_in_one_store_at_the_same_time_come_out_right(
    fresh: Workshop, tmp_path: Path
) -> None:
    ids: dict[int, str] = {}
    failures: list[BaseException] = []

    def build(number: int) -> None:
        context = tmp_path / f"c{number}"
        context.mkdir()
        (context / "a").write_text("x")
        fresh.write(context, f"COPY a /a\nRUN echo shared > /s\nRUN echo {number // 2} > /n")
        try:
            result = fresh.engine.build(BuildRequest(context=str(context)), Watch())
            ids[number] = result.image_id
        except LapstrakeError as error:
            failures.append(error)

    threads = [threading.Thread(target=build, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert ids[0] == ids[1]
    assert len(set(ids.values())) == 3


# Targets and failures


def test_stages_are_shared_between_targets(fresh: Workshop, context: Path) -> None:
    dockerfile = """
        FROM base AS common
        RUN echo 1 > /c
        FROM common AS a
        RUN echo a > /a
        FROM common AS b
        RUN echo b > /b
        """
    assert len(fresh.build(context, dockerfile, target="a").executed) == 2
    assert fresh.build(context, target="b").executed == ["RUN echo b > /b"]
    assert fresh.build(context, target="common").executed == []


def test_a_failed_build_keeps_what_it_finished(fresh: Workshop, context: Path) -> None:
    (context / "a").write_text("x")
    start = "COPY a /a\nRUN echo 1 > /f\n"
    assert fresh.refused(context, f"{start}RUN exit 3\nRUN true").code == "build.run-failed"
    assert fresh.build(context, f"{start}RUN exit 0\nRUN true").executed == [
        "RUN exit 0",
        "RUN true",
    ]


def test_a_failure_is_not_cached(fresh: Workshop, context: Path) -> None:
    for _ in range(2):
        assert fresh.refused(context, "RUN echo again; exit 3").notes[0].endswith("again")


def test_a_failing_stage_ends_the_others(fresh: Workshop, context: Path) -> None:
    started = time.monotonic()
    error = fresh.refused(
        context,
        """
        FROM base AS slow
        RUN sleep 60
        FROM base AS bad
        RUN sleep 0.3; exit 3
        FROM base
        COPY --from=slow /tmp /a
        COPY --from=bad /tmp /b
        """,
    )
    assert error.code == "build.run-failed"
    assert time.monotonic() - started < 20
    assert fresh.leftovers() == []
    fresh.build(context, "RUN true")
