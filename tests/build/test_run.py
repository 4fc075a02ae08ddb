"""RUN: what a command sees, and what of its changes becomes a layer. Expectations were measured on BuildKit."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest

from builder.engine.requests import BuildRequest
from builder.events import VertexLog
from tests.build.images import DIRECTORY, FIFO, FILE, HARDLINK, SYMLINK
from tests.build.workshop import Watch, Workshop

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


# What a command sees


def test_the_environment_is_that_of_the_image_and_the_arguments_and_nothing_else(
    workshop: Workshop, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_CALLER", "1")
    built = workshop.build(
        context,
        """
        ARG A=1
        ARG UNSET
        ARG GIVEN=2
        ENV E="a b" A=3
        RUN ["/bin/busybox", "env"]
        """,
        build_args=(("GIVEN", "given"), ("HTTP_PROXY", "http://proxy")),
    )
    assert sorted(built.watch.output().splitlines()) == [
        "A=3",
        "E=a b",
        "GIVEN=given",
        "HOME=/root",
        "HTTP_PROXY=http://proxy",
        f"PATH={PATH}",
        "http_proxy=http://proxy",
    ]
    assert built.image.config["Env"] == [f"PATH={PATH}", "E=a b", "A=3"]


def test_the_directory_is_the_working_directory_and_is_made_if_it_is_missing(
    workshop: Workshop, context: Path
) -> None:
    built = workshop.build(context, "WORKDIR /w/x\nRUN pwd && rm -r /w\nRUN pwd")
    assert built.watch.output() == "/w/x\n/w/x\n"


@pytest.mark.parametrize(
    ("user", "ids", "home"),
    [
        ("ann", "uid=1000(ann) gid=1000(ann) groups=10(wheel),50(staff),1000(ann)", "/home/ann"),
        ("1000", "uid=1000(ann) gid=1000(ann) groups=10(wheel),50(staff),1000(ann)", "/home/ann"),
        ("ann:staff", "uid=1000(ann) gid=50(staff) groups=50(staff)", "/home/ann"),
        ("ann:55", "uid=1000(ann) gid=55 groups=55", "/home/ann"),
        ("1234", "uid=1234 gid=0(root) groups=0(root)", "/"),
        ("1234:55", "uid=1234 gid=55 groups=55", "/"),
        ("root:staff", "uid=0(root) gid=50(staff) groups=50(staff)", "/root"),
        ("0", "uid=0(root) gid=0(root) groups=0(root),10(wheel)", "/root"),
        ("root", "uid=0(root) gid=0(root) groups=0(root),10(wheel)", "/root"),
    ],
)
def test_the_user_and_its_groups_are_looked_up_in_the_image(
    workshop: Workshop, context: Path, user: str, ids: str, home: str
) -> None:
    built = workshop.build(context, f'USER {user}\nRUN id && echo "$HOME"')
    assert built.watch.output().splitlines() == [ids, home]


def test_home_is_left_alone_where_the_image_sets_it(workshop: Workshop, context: Path) -> None:
    built = workshop.build(context, 'ENV HOME=/x\nUSER ann\nRUN echo "$HOME"')
    assert built.watch.output() == "/x\n"


@pytest.mark.parametrize("user", ["nosuch", "ann:nosuch", "4294967296", "-1", "ann:-1"])
def test_users_that_cannot_be_are_refused(workshop: Workshop, context: Path, user: str) -> None:
    error = workshop.refused(context, f"USER {user}\nRUN id")
    assert error.code == "build.start-failed"
    assert error.span is not None
    assert error.span.line == 3


def test_exec_form_takes_words_as_they_are(workshop: Workshop, context: Path) -> None:
    built = workshop.build(
        context,
        r"""
        ENV V=x
        RUN ["echo", "$V", "a  b", "*"]
        RUN ["sh", "-c", "echo \"$0\" \"$@\" $V", "z y", "w"]
        """,
    )
    assert built.watch.output() == "$V a  b *\nz y w x\n"


def test_shell_form_runs_in_the_shell_that_was_set(workshop: Workshop, context: Path) -> None:
    built = workshop.build(
        context,
        r"""
        RUN echo $0 a \
          # a comment between
          b
        SHELL ["/bin/busybox", "sh", "-ec"]
        RUN echo $0 $-
        """,
    )
    assert built.watch.output() == "/bin/sh a b\nsh ce\n"


def test_a_here_document_is_the_command(workshop: Workshop, context: Path) -> None:
    built = workshop.build(
        context,
        "RUN <<EOF\necho 1 $0\nfalse\necho $HOME \\$HOME\nEOF\n"
        "RUN cat <<EOF\na $HOME \\$HOME\nEOF\n"
        "RUN cat <<'EOF'\na $HOME\nEOF\n"
        "RUN cat <<A && cat <<B\naa\nA\nbb\nB\n"
        "RUN <<-E\n\tcat <<-X\n\t  a\n\tX\n\tE\n"
        "RUN sh -s a b <<'E'\necho $1 $2\nE\n",
    )
    assert built.watch.output().splitlines() == [
        "1 /bin/sh",
        "/root $HOME",
        "a /root $HOME",
        "a $HOME",
        "aa",
        "bb",
        "  a",
        "a b",
    ]


def test_a_here_document_that_names_its_interpreter_is_a_program(
    workshop: Workshop, context: Path
) -> None:
    built = workshop.build(
        context,
        "WORKDIR /w\nUSER ann\n"
        "RUN <<EOF\n#!/bin/busybox sh\n"
        'echo "$0 $# $(pwd)"\nstat -c "%a %u %g" $0 $(dirname $0)\nhead -n 1 $0\ntest ! -w $0\nEOF\n'
        "RUN <<SETUP\n#!/bin/sh -e\necho $- $0\nSETUP\n",
    )
    assert built.watch.output().splitlines()[:4] == [
        "/dev/pipes/EOF 0 /w",
        "755 0 0",
        "755 0 0",
        "#!/bin/busybox sh",
    ]
    assert built.watch.output().splitlines()[-1] == "e /dev/pipes/SETUP"
    assert built.image.layers[-2:] == [{}, {}]


def test_input_is_empty_and_there_is_no_terminal(workshop: Workshop, context: Path) -> None:
    built = workshop.build(context, "RUN cat; tty; umask; echo $$; hostname; cat /etc/hosts")
    assert built.watch.output().splitlines()[:4] == ["not a tty", "0022", "1", "buildkitsandbox"]
    assert "127.0.0.1\tlocalhost" in built.watch.output()


# What it says


def test_output_is_complete_in_order_and_as_it_comes(workshop: Workshop, context: Path) -> None:
    built = workshop.build(
        context,
        r"""
        RUN for i in $(seq 3000); do echo "out $i"; echo "err $i" >&2; done; printf 'no newline'
        """,
    )
    expected = [f"{kind} {number}" for number in range(1, 3001) for kind in ("out", "err")]
    assert built.watch.output().split("\n") == [*expected, "no newline"]


def test_output_is_there_while_the_command_runs(fresh: Workshop, context: Path) -> None:
    seen: list[float] = []

    class Clocked(Watch):
        def emit(self, event: object) -> None:
            if isinstance(event, VertexLog):
                seen.append(event.at)

    fresh.write(context, "RUN echo 1; sleep 0.4; echo 2")
    fresh.engine.build(BuildRequest(context=str(context)), Clocked())
    assert len(seen) == 2
    assert seen[1] - seen[0] > 0.3


def test_what_a_command_leaves_running_ends_with_it(workshop: Workshop, context: Path) -> None:
    built = workshop.build(context, "RUN (sleep 60; touch /late) & echo done")
    assert built.watch.output() == "done\n"


# What becomes of its changes


def layers_of(workshop: Workshop, context: Path, *steps: str) -> list[list[str]]:
    """Return the paths in the layer of each step."""
    dockerfile = "".join(f"RUN {step}\n" for step in steps)
    layers = workshop.build(context, dockerfile).image.layers
    return [sorted(layer) for layer in layers[-len(steps) :]]


def test_a_command_that_changes_nothing_has_an_empty_layer(
    workshop: Workshop, context: Path
) -> None:
    image = workshop.build(
        context, "RUN true\nRUN cat /etc/passwd >/dev/null && ls / >/dev/null"
    ).image
    assert image.layers[-2:] == [{}, {}]
    assert len(image.diff_ids) == len(image.layers)


def test_attributes_set_to_what_they_were_are_no_change(workshop: Workshop, context: Path) -> None:
    assert layers_of(
        workshop,
        context,
        "mkdir /a && echo 1 > /a/f && ln -s f /a/l && chown -R 3:4 /a",
        "chown -R 3:4 /a && chmod -R u+r /a && mv /a/f /g && mv /g /a/f",
        "cat /a/f && chmod 600 /a/f",
    )[1:] == [["a"], ["a/f"]]


def test_deletions_are_marks_in_the_layer(workshop: Workshop, context: Path) -> None:
    assert layers_of(
        workshop,
        context,
        "mkdir -p /a/b/c && touch /a/f /a/b/g /a/b/c/h",
        "rm /a/f",
        "rm -r /a/b/c",
        "rm -r /a/b && mkdir /a/b",
        "touch /a/x && rm /a/x",
        "rm -r /a",
    ) == [
        ["a", "a/b", "a/b/c", "a/b/c/h", "a/b/g", "a/f"],
        ["a", "a/.wh.f"],
        ["a/b", "a/b/.wh.c"],
        ["a", "a/b", "a/b/.wh..wh..opq"],
        ["a"],
        [".wh.a"],
    ]


def test_what_was_deleted_is_gone_in_later_steps_and_in_the_image(
    workshop: Workshop, context: Path
) -> None:
    built = workshop.build(
        context,
        """
        RUN mkdir -p /a/b && touch /a/b/f /a/g && ln -s g /a/l
        RUN rm -r /a/b /a/l
        RUN ls -A /a && mkdir /a/b && ls -A /a/b
        RUN rm -r /a && mkdir -p /a/b && echo new > /a/b/n
        RUN find /a
        """,
    )
    assert built.watch.output().split() == ["g", "/a", "/a/b", "/a/b/n"]
    assert [path for path in built.image.tree if path.startswith("a/")] == ["a/b", "a/b/n"]


def test_kinds_replace_one_another(workshop: Workshop, context: Path) -> None:
    image = workshop.build(
        context,
        """
        RUN mkdir -p /a/f/g /a/d && touch /a/f/g/h /a/l /a/p
        RUN rm -r /a/f && echo file > /a/f
        RUN rm /a/l && mkdir /a/l && touch /a/l/x
        RUN rm -r /a/d && ln -s /etc /a/d
        RUN rm /a/p && mkfifo /a/p
        RUN rm /a/d && mkdir /a/d
        """,
    ).image
    kinds = {path: node.kind for path, node in image.tree.items() if path.startswith("a/")}
    assert kinds == {"a/f": FILE, "a/l": DIRECTORY, "a/l/x": FILE, "a/d": DIRECTORY, "a/p": FIFO}


def test_renames_and_hard_links_across_layers_come_out_right(
    workshop: Workshop, context: Path
) -> None:
    built = workshop.build(
        context,
        """
        RUN mkdir -p /a/b && echo 1 > /a/b/f && ln /a/b/f /a/g && ln -s b /a/s
        RUN mv /a/b /a/c
        RUN mv /a/c/f /a/h && ln /a/h /a/i && ln /a/h /i && echo 2 >> /a/i
        RUN cat /a/g /a/h /i && find /a | sort
        """,
    )
    assert built.watch.output().split() == [
        "1",
        "1",
        "2",
        "1",
        "2",
        "/a",
        "/a/c",
        "/a/g",
        "/a/h",
        "/a/i",
        "/a/s",
    ]
    image = built.image
    assert image["a/g"].text == "1\n"
    assert {image[path].text for path in ("a/h", "a/i", "i")} == {"1\n2\n"}
    assert (image["a/s"].kind, image["a/s"].link) == (SYMLINK, "b")
    kinds = sorted(image.layers[-2][path].kind for path in ("a/h", "a/i", "i"))
    assert kinds == [FILE, HARDLINK, HARDLINK]


def test_changes_of_attributes_alone_are_kept(workshop: Workshop, context: Path) -> None:
    image = workshop.build(
        context,
        """
        RUN mkdir -m 700 /d && echo x > /d/f && cp /bin/busybox /d/s && chmod 4755 /d/s && chmod 3777 /d
        RUN chmod 640 /d/f
        RUN chown 7:8 /d/f /d
        RUN touch -d @981158400 /d/f /d
        RUN chmod 711 /d
        """,
    ).image
    assert image["d"].access == ("711", 7, 8)
    assert image["d/f"].access == ("640", 7, 8)
    assert image["d/s"].access == ("4755", 0, 0)
    assert image["d/f"].mtime == image["d"].mtime == 981_158_400


def test_owners_far_from_zero_are_kept(workshop: Workshop, context: Path) -> None:
    image = workshop.build(context, "RUN touch /f && chown 60000:60001 /f && chmod 6711 /f").image
    assert image["f"].access == ("6711", 60000, 60001)


def test_names_with_any_bytes_are_kept(workshop: Workshop, context: Path) -> None:
    image = workshop.build(
        context,
        r"""
        RUN mkdir /d && touch "/d/$(printf 'a\nb')" "/d/$(printf 'l\351')" '/d/a b' '/d/\x41'
        RUN rm "/d/$(printf 'l\351')"
        """,
    ).image
    assert {path for path in image.tree if path.startswith("d/")} == {"d/a\nb", "d/a b", "d/\\x41"}
    assert "d/.wh.l\udce9" in image.layers[-1]


def test_nothing_of_the_sandbox_gets_into_layers(workshop: Workshop, context: Path) -> None:
    steps = [
        "rm -rf /etc/hosts /etc/resolv.conf /dev/x; touch /dev/foo /dev/shm/foo; true",
        "echo x > /etc/hosts; echo x > /etc/resolv.conf; true",
        "rmdir /proc /sys /dev; rm -rf /dev; true",
        "mkdir /dev/a /proc/a /sys/a; true",
    ]
    assert layers_of(workshop, context, *steps) == [[], [], [], []]


def test_an_image_without_places_for_mounts_gets_those_of_the_kernel_alone(
    workshop: Workshop, context: Path
) -> None:
    image = workshop.build(
        context,
        """
        FROM base AS tools
        FROM scratch
        COPY --from=tools /bin /bin
        COPY --from=tools /etc/passwd /etc/passwd
        RUN ls -d /proc/self /dev/null /sys/kernel /etc/hosts /etc/resolv.conf && echo 1 > /new
        RUN true
        """,
    ).image
    assert list(image.layers[-2]) == ["dev", "new", "proc", "sys"]
    assert [path for path in image.tree if path.startswith("etc/")] == ["etc/passwd"]
    assert image.layers[-1] == {}


@pytest.mark.parametrize("place", ["proc", "dev", "sys"])
def test_a_mount_point_that_is_a_link_is_never_followed(
    workshop: Workshop, context: Path, place: str
) -> None:
    (context / "d").mkdir()
    (context / "d" / place).symlink_to("/elsewhere")
    error = workshop.refused(
        context,
        """
        FROM base AS tools
        FROM scratch
        COPY --from=tools /bin /bin
        COPY --from=tools /bin/sh /elsewhere/sh
        COPY d /
        RUN true
        """,
    )
    assert error.code == "build.setup-failed"
    assert f"`/{place}`" in error.message


def test_deep_stacks_of_layers_work(workshop: Workshop, context: Path) -> None:
    steps = "".join(
        f"RUN echo {number} > /d/f{number}; echo {number} > /d/last; rm -f /d/f{number - 10}\n"
        for number in range(1, 81)
    )
    built = workshop.build(context, f"RUN mkdir /d\n{steps}RUN ls /d | wc -l; cat /d/last")
    assert built.watch.output().split() == ["11", "80"]
    names = {path for path in built.image.tree if path.startswith("d/")}
    assert names == {f"d/f{number}" for number in range(71, 81)} | {"d/last"}
    assert len(built.image.layers) >= 82
    assert workshop.build(context).executed == []


def test_the_root_directory_keeps_its_mode(workshop: Workshop, context: Path) -> None:
    built = workshop.build(
        context, "RUN chmod 711 /\nUSER ann\nRUN stat -c %a /\nCOPY . /x/\nRUN stat -c %a /"
    )
    assert built.watch.output() == "711\n711\n"


# How it fails


@pytest.mark.parametrize(
    ("run", "code", "exit_code", "said"),
    [
        ("RUN echo why; exit 7", "build.run-failed", 7, "exited with code 7"),
        ("RUN sh -c 'kill -KILL $$'; exit $?", "build.run-failed", 137, "exited with code 137"),
        ('RUN ["/nothing"]', "build.start-failed", 127, "/nothing"),
        ('RUN ["/etc/passwd"]', "build.start-failed", 126, "/etc/passwd"),
        ("RUN nosuchcommand", "build.run-failed", 127, "exited with code 127"),
    ],
)
def test_a_failure_names_the_code_and_the_line(
    workshop: Workshop, context: Path, run: str, code: str, exit_code: int, said: str
) -> None:
    error = workshop.refused(context, f"RUN true\n{run}")
    assert error.code == code
    assert getattr(error, "command_exit_code", None) == exit_code
    assert said in error.message
    assert error.span is not None
    assert error.span.line == 3


def test_the_last_lines_of_output_are_in_the_failure(workshop: Workshop, context: Path) -> None:
    error = workshop.refused(context, "RUN seq 100; echo why >&2; exit 1")
    assert error.notes[0].startswith("last output:")
    assert error.notes[0].split("\n")[1:] == [*map(str, range(92, 101)), "why"]


def test_binary_output_breaks_nothing(workshop: Workshop, context: Path) -> None:
    error = workshop.refused(context, "RUN head -c 100000 /dev/urandom; exit 1")
    assert error.code == "build.run-failed"
    assert all(len(line) < 500 for line in error.notes[0].split("\n"))


def test_a_failed_command_leaves_nothing(workshop: Workshop, context: Path) -> None:
    layers = set(os.listdir(workshop.root / "layers"))
    workshop.refused(context, "RUN echo 5b7f > /x && mkdir -m 0 /d && touch /d/f; exit 3")
    assert workshop.leftovers() == []
    assert set(os.listdir(workshop.root / "layers")) == layers


def test_the_log_of_a_step_goes_to_that_step(workshop: Workshop, context: Path) -> None:
    built = workshop.build(context, "RUN echo one\nRUN echo two")
    names = {event.id: event.name for event in built.watch.events if hasattr(event, "name")}
    said = {
        re.sub(r"\[.*\] ", "", names[event.id]): event.data
        for event in built.watch.events
        if isinstance(event, VertexLog)
    }
    assert said == {"RUN echo one": b"one\n", "RUN echo two": b"two\n"}


def test_times_alone_are_a_change(workshop: Workshop, context: Path) -> None:
    for name in ("configure", "configure.ac"):
        (context / name).write_text("the same")
        os.utime(context / name, (981_158_400, 981_158_400))
    built = workshop.build(
        context,
        """
        COPY configure configure.ac /
        RUN touch /configure
        RUN test /configure -nt /configure.ac && echo newer
        RUN touch -d @5 /configure
        RUN touch -d @6 /configure
        RUN stat -c %Y /configure
        """,
    )
    assert built.watch.output() == "newer\n6\n"
    assert built.image["configure"].mtime == 6
    assert built.image["configure.ac"].mtime == 981_158_400


def test_binary_output_comes_whole_and_in_order(workshop: Workshop, context: Path) -> None:
    data = random.Random(7).randbytes(24 << 20)
    (context / "data").write_bytes(data)
    built = workshop.build(context, "COPY data /\nRUN cat /data")
    pieces = [event.data for event in built.watch.events if isinstance(event, VertexLog)]
    assert b"".join(pieces) == data
