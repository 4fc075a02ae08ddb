"""What a person is told when a build cannot be: once, at the right place, with something to try."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from builder.diagnostics import Span
from builder.engine.requests import BuildRequest
from builder.errors import DockerfileErrors
from tests.build.workshop import Watch, Workshop
from tests.support.product import Product


class Case(NamedTuple):
    """A Dockerfile after `FROM base`, and what is said of it: code, place, words of message, notes and hint."""

    dockerfile: str
    code: str
    place: str
    said: tuple[str, ...]


CASES = {
    "a source that is missing": Case(
        "COPY apq.txt /x/",
        "context.missing-source",
        "2:6-13",
        ("`apq.txt` does not exist", "nearest name is `app.txt`", "relative to the context"),
    ),
    "a flag with one dash": Case(
        "COPY -from=base /a /b", "context.missing-source", "2:6-16", ("two dashes: `--from=base`",)
    ),
    "a flag after a source": Case(
        "COPY app.txt --chown=ann /b",
        "context.missing-source",
        "2:14-25",
        ("before the first source",),
    ),
    "a flag with the dash of a word processor": Case(
        "COPY \u2013-chown=ann app.txt /b", "context.missing-source", "2:6-17", ("`--chown=ann`",)
    ),
    "a comment behind an instruction": Case(
        "COPY app.txt # why /x/", "context.missing-source", "2:14-15", ("line of its own",)
    ),
    "an array that is none": Case(
        "COPY ['app.txt', '/x/']", "context.bad-pattern", "2:6-17", ("double quotes",)
    ),
    "a path of Windows": Case(
        "COPY src\\app.txt C:\\x\\\nWORKDIR /x",
        "context.missing-source",
        "2:6-17",
        ("with `/`", "line 3, `WORKDIR /x`, belongs to it"),
    ),
    "a source that is missing in a stage": Case(
        "COPY --from=base /etc/passwt /x",
        "context.missing-source",
        "2:18-29",
        ("`/etc/passwt` does not exist there", "nearest name is `etc/passwd`"),
    ),
    "an ignored source": Case(
        "RUN true\nCOPY a.secret /x/",
        "context.ignored-source",
        "3:6-14",
        ("excluded", "line 1 of `.dockerignore`", "`*.secret`", "!a.secret"),
    ),
    "a failing command": Case(
        "RUN true\nRUN echo why && \\\n  exit 9",
        "build.run-failed",
        "3:1",
        ("exited with code 9", "why"),
    ),
    "a command that goes on by mistake": Case(
        'RUN false \\\nCMD ["sh"]',
        "build.run-failed",
        "2:1",
        ('line 3, `CMD ["sh"]`, belongs to it',),
    ),
    "a flag of RUN with one dash": Case(
        "RUN -mount=type=cache,target=/x true",
        "build.run-failed",
        "2:1",
        ("`--mount=type=cache,target=/x`",),
    ),
    "an unknown instruction": Case(
        "RUNN true", "dockerfile.unknown-instruction", "2:1-5", ("RUNN", "RUN")
    ),
    "an unknown flag": Case(
        "COPY --chwon=ann a /", "dockerfile.unknown-flag", "2:6", ("--chwon", "--chown")
    ),
    "an unknown stage": Case(
        "COPY --from=bulid /a /b\nFROM base AS build",
        "registry",
        "",
        (),
    ),
    "an unknown user in chown": Case(
        "COPY --chown=an app.txt /x",
        "build.copy-failed",
        "2:14-16",
        ("no user `an`", "root, ann", "number"),
    ),
    "an unknown group in chown": Case(
        "COPY --chown=ann:stuff app.txt /x",
        "build.copy-failed",
        "2:18-23",
        ("no group `stuff`", "staff"),
    ),
    "a file in the way": Case(
        "COPY app.txt /bin/sh/x", "build.copy-failed", "2:", ("not a directory",)
    ),
    "a variable that must be set": Case(
        'RUN true\nENV A="${B:?tell me}"', "dockerfile.bad-expansion", "3:", ("tell me",)
    ),
    "a mount that is not there yet, or a word that is none": Case(
        "RUN --mount=type=nothing,target=/x true", "dockerfile.", "2:", ()
    ),
    "a pattern that is none": Case(
        "COPY [a- /x/", "context.bad-pattern", "2:6", ("not a valid pattern",)
    ),
    "a command that does not exist": Case(
        'RUN ["/no/such"]', "build.start-failed", "2:1", ("/no/such",)
    ),
    "nothing after COPY": Case("COPY a", "dockerfile.syntax", "2:", ("COPY",)),
    "a stage that uses itself": Case(
        "FROM base AS loop\nCOPY --from=loop /a /b", "dockerfile.", "2:", ("from itself",)
    ),
}


@pytest.fixture
def filled(context: Path) -> Path:
    """A context with a few files."""
    (context / "app.txt").write_text("x")
    (context / "a.secret").write_text("x")
    (context / ".dockerignore").write_text("*.secret\n")
    return context


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].place])
def test_a_mistake_is_told_with_its_place_and_something_to_try(
    workshop: Workshop, filled: Path, name: str
) -> None:
    case = CASES[name]
    error = workshop.refused(filled, case.dockerfile)
    diagnostic = error.diagnostic()
    assert diagnostic.code.startswith(case.code)
    assert diagnostic.span is not None
    span = diagnostic.span
    place = f"{span.line}:{span.column}-{span.end_column}"
    assert place.startswith(case.place)
    told = " ".join([diagnostic.message, *diagnostic.notes, diagnostic.hint or ""])
    for words in case.said:
        assert words in told
    assert not diagnostic.message.endswith(".")
    assert diagnostic.source is not None
    assert workshop.leftovers() == []
    assert workshop.build(filled, "COPY app.txt /x").image["x"].text == "x"


def test_sources_that_are_missing_are_told_together_before_any_command(
    workshop: Workshop, filled: Path
) -> None:
    text = """
        FROM base AS other
        ARG NAME=apq
        RUN echo first
        COPY $NAME.txt \\
             app.txt a.secret /x/
        FROM base
        RUN echo second
        ADD [a- no*such /y/
        COPY --parents ./d/./none /z/
        COPY --from=other /nothing /x/
        RUN --mount=type=bind,source=absent,target=/m true
    """
    workshop.write(filled, text)
    watch = Watch()
    with pytest.raises(DockerfileErrors) as caught:
        workshop.engine.build(BuildRequest(context=str(filled)), watch)
    found = caught.value.errors
    assert [(each.code, each.span) for each in found] == [
        ("context.missing-source", Span(4, 6, 4, 15)),
        ("context.ignored-source", Span(5, 14, 5, 22)),
        ("context.bad-pattern", Span(8, 5, 8, 8)),
        ("context.missing-source", Span(9, 16, 9, 26)),
        ("context.missing-source", Span(11, 30, 11, 36)),
    ]
    assert watch.output() == ""
    assert workshop.leftovers() == []


def test_a_flag_that_is_one_is_not_taken_for_a_mistake(workshop: Workshop, context: Path) -> None:
    error = workshop.refused(context, "RUN --network=none --mount=type=tmpfs,target=/x false")
    assert error.code == "build.run-failed"
    assert "dashes" not in (error.hint or "")


def test_no_image_is_asked_for_before_all_mistakes_are_told(
    workshop: Workshop, context: Path
) -> None:
    text = "FROM localhost:1/nosuch\nEXPOSE x\nFROM base\nCOPY --from=0 --chmod=9 a b\nSTOPSIGNAL x"
    error = workshop.refused(context, text)
    assert isinstance(error, DockerfileErrors)
    assert {each.code for each in error.errors} == {"dockerfile.syntax"}
    assert [each.span.line for each in error.errors if each.span is not None] == [2, 4, 5]


def test_a_base_that_does_not_exist_names_the_stage_that_may_be_meant(
    workshop: Workshop, context: Path
) -> None:
    error = workshop.refused(
        context, "FROM base AS build\nRUN true\nFROM localhost:1/bulid\nRUN true"
    )
    assert error.code.startswith("registry.")
    assert error.span is not None
    assert error.span.line == 3


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.unlink(), "there is no file"),
        (lambda path: (path.unlink(), path.mkdir()), "not a text file"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "not a regular file"),
        (
            lambda path: (
                path.unlink(),
                path.symlink_to("loop"),
                (path.parent / "loop").symlink_to("loop"),
            ),
            "cannot be read",
        ),
        (lambda path: path.write_text(""), "is empty"),
        (lambda path: path.write_text("# only a comment\n"), "no instructions"),
        (lambda path: path.write_bytes(b"FROM base\nRUN echo \xff\n"), "UTF-8"),
        (lambda path: path.write_bytes(b"FROM base\nRUN echo \0\n"), ""),
    ],
)
def test_a_dockerfile_that_cannot_be_one_is_refused(
    workshop: Workshop, context: Path, make: Callable[[Path], object], said: str
) -> None:
    path = context / "Dockerfile"
    path.write_text("FROM base\n")
    make(path)
    error = workshop.refused(context)
    assert said in error.message
    assert workshop.leftovers() == []


def test_an_unreadable_file_is_named(product: Product, ours: Path) -> None:
    if product.person.uid == 0:
        pytest.skip("optional: root can read everything")
    (ours / "Dockerfile").write_text("FROM box\nCOPY . /x/\n")
    secret = ours / "d/secret"
    secret.parent.mkdir()
    secret.write_text("x")
    secret.chmod(0)
    done = product.run("build", ours, code=1)
    assert "error[context.unreadable]: `" in done.stderr
    assert "secret` cannot be read: Permission denied" in done.stderr


def test_a_file_that_is_replaced_by_a_pipe_is_not_waited_for(
    workshop: Workshop, context: Path
) -> None:
    os.mkfifo(context / "p")
    image = workshop.build(context, "COPY p /p").image
    assert image["p"].kind == "6"


def test_sockets_are_left_out_and_refused_by_name(workshop: Workshop, context: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        (context / "d").mkdir()
        here = os.open(context / "d", os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/s")
        os.close(here)
    (context / "d/a").write_text("x")
    image = workshop.build(context, "COPY d /x\nCOPY d/* /y/").image
    assert [path for path in image.tree if path[0] in "xy"] == ["x", "x/a", "y", "y/a"]
    error = workshop.refused(context, "COPY d/s /x")
    assert error.code == "context.unreadable"
    assert "socket" in error.message


# As it is typed


def lines_with(text: str, pattern: str) -> list[str]:
    return [line for line in text.splitlines() if re.search(pattern, line)]


@pytest.mark.parametrize(
    ("dockerfile", "code", "carets"),
    [
        ("FROM box\nCOPY nosuch /x\n", "context.missing-source", "^^^^^^"),
        ("FROM box\nRUN echo one; echo two >&2; exit 7\n", "build.run-failed", "^"),
        ("FROM box\nRUNN x\n", "dockerfile.unknown-instruction", "^^^^"),
        ("FROM box\nCOPY --chwon=1 a /\n", "dockerfile.unknown-flag", "^^^^^"),
        ("FROM localhost:1/nosuch\n", "registry.unavailable", "^^^^^"),
    ],
)
def test_there_is_one_diagnostic_with_carets_below_the_place(
    product: Product, ours: Path, dockerfile: str, code: str, carets: str
) -> None:
    (ours / "Dockerfile").write_text(dockerfile)
    done = product.run("build", ours, code=1)
    assert "Traceback" not in done.stderr
    assert len(lines_with(done.stderr, r"^error\[")) == 1
    assert done.stderr.count(f"error[{code}]: ") == 1
    assert lines_with(done.stderr, r"--> .*Dockerfile:\d+:\d+")
    assert lines_with(done.stderr, rf"^ *\| *{re.escape(carets)}")
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["build", "--nosuch", "."], 125, "--nosuch"),
        (["build"], 125, ""),
        (["build", "/no/such/directory"], 1, "is not a directory"),
        (["build", "-t", "UPPER CASE", "."], 1, "UPPER CASE"),
        (["build", "--target", "nosuch", "."], 1, "nosuch"),
        (["build", "--platform", "nosuch", "."], 1, "nosuch"),
        (["build", "--output", "type=nosuch", "."], 125, "nosuch"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(
    product: Product, ours: Path, arguments: list[str], code: int, said: str
) -> None:
    (ours / "Dockerfile").write_text("FROM box\n")
    given = [str(ours) if each == "." else each for each in arguments]
    done = product.run(*given, code=None)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert said in done.stderr


def test_a_store_that_cannot_be_used_is_named(product: Product, ours: Path) -> None:
    (ours / "Dockerfile").write_text("FROM scratch\n")
    (ours / "file").write_text("x")
    done = subprocess.run(
        [product.programs / "lapstrake", "--root", "/proc/store", "build", ours],
        capture_output=True,
        text=True,
        env=product.person.environment(),
    )
    assert done.returncode == 1
    assert "error[store.unusable]: the store `/proc/store` cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_store_is_clean_and_good_after_failures(product: Product, ours: Path) -> None:
    for text in ("FROM box\nRUN mkdir -m 0 /d; exit 3\n", "FROM box\nRUN true\nCOPY x /y\n"):
        (ours / "Dockerfile").write_text(text)
        product.run("build", ours, code=1)
    for name in ("active", "scratch", "tmp"):
        assert product.person.run(["ls", "-A", product.root / name]).stdout == ""
    (ours / "Dockerfile").write_text("FROM box\nRUN echo fine\n")
    assert "fine" in product.build(ours).stderr
    product.run("prune", "-f")
