"""Rules of our own: what they find, and what they leave alone."""

from __future__ import annotations

import pytest

from builder.dockerfile.checks.shell import simple_commands
from tests.unit.builder.dockerfile.checks.checking import check, rules

BODY = "FROM debian\n"


@pytest.mark.parametrize(
    "command",
    [
        "apt-get update",
        "apt update -y",
        "set -ex; sudo apt-get -qq update && rm -rf /tmp/x",
        "DEBIAN_FRONTEND=noninteractive apt-get update",
        '["apt-get", "update"]',
        "<<EOF\nset -e\napt-get update\nEOF",
    ],
)
def test_an_update_alone_is_found(command: str) -> None:
    assert rules(f"{BODY}RUN {command}\n") == ["AptUpdateAlone"]


@pytest.mark.parametrize(
    "command",
    [
        "apt-get update && apt-get install -y curl",
        "apt-get update; apt-get upgrade",
        "apt-get update && ./install-packages.sh",
        "apt-get install -y curl",
        "echo apt-get update",
        "<<EOF\napt-get update\napt-get install -y x\nEOF",
        "# apt-get update",
        "--mount=type=cache,target=/var/lib/apt apt-get update",
    ],
)
def test_an_update_with_its_use_is_left_alone(command: str) -> None:
    assert not rules(f"{BODY}RUN {command}\n")


@pytest.mark.parametrize(
    "lines",
    [
        "COPY . /app\nRUN chown -R a:a /app",
        "COPY bin /app/bin\nRUN mkdir /x && chmod --recursive 755 /app/bin",
        "COPY x /srv/app/\nRUN chown -Rf a /srv",
        "WORKDIR /app\nCOPY . .\nRUN chown -R a .",
        "WORKDIR /app\nCOPY . .\nRUN chown -hR a /app/*",
        "ADD x.tar /app\nUSER root\nRUN ['true'] && chmod -R a+r /app",
    ],
)
def test_changing_what_was_copied_is_found(lines: str) -> None:
    assert rules(f"{BODY}{lines}\n") == ["ChownDoublesLayer"]


@pytest.mark.parametrize(
    "lines",
    [
        "COPY --chown=a . /app\nRUN chown a /app",
        "COPY . /app\nRUN chown -R a /var/lib/other",
        "COPY . /app\nRUN chown -R a /application",
        "COPY . /app\nRUN mkdir /app/data && chown -R a /app/data",
        "COPY --from=tools / /\nRUN useradd a && chown -R a /home/a",
        "COPY . /c\nRUN --mount=type=cache,target=/c chmod -R g=u /c",
        "RUN chown -R a /app\nCOPY . /app",
        "COPY . /app\nRUN chown -R a $HOME",
        "COPY . /app\nRUN grep -R chown /app",
    ],
)
def test_changing_other_things_is_left_alone(lines: str) -> None:
    assert not rules(f"{BODY}{lines}\n")


def test_copies_of_the_stage_below_count_and_those_of_others_do_not() -> None:
    text = "FROM debian AS a\nCOPY . /app\nFROM a AS b\nRUN chown -R a /app\nFROM debian\nRUN chown -R a /app\n"
    (warning,) = check(text)
    assert warning.notes == ("they come from line 2",)
    assert warning.span is not None
    assert warning.span.line == 4


@pytest.mark.parametrize(
    "lines",
    [
        "ARG GIT_SHA\nRUN apt-get update && apt-get install -y x",
        "ARG BUILD_DATE=now\nENV D=$BUILD_DATE\nRUN pip install x",
        "ARG VERSION\nRUN python3 -m pip install x",
        "ARG VERSION=dev\nRUN npm ci",
        "ARG A=1 VCS_REF\nLABEL r=$VCS_REF\nRUN go mod download",
    ],
)
def test_an_argument_that_changes_often_above_installs_is_found(lines: str) -> None:
    assert rules(f"{BODY}{lines}\n") == ["BroadArgAboveCostlyRuns"]


@pytest.mark.parametrize(
    "lines",
    [
        "RUN npm ci\nARG GIT_SHA\nRUN echo $GIT_SHA",
        "ARG VERSION=1.2.3\nRUN npm ci",
        "ARG VERSION\nRUN curl https://x/$VERSION && apt-get install -y x",
        "ARG GIT_SHA\nRUN git checkout $GIT_SHA\nRUN npm ci",
        "ARG NODE_VERSION\nRUN npm ci",
        "ARG GIT_SHA\nRUN make",
    ],
)
def test_an_argument_that_is_used_or_stays_is_left_alone(lines: str) -> None:
    assert not rules(f"{BODY}{lines}\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b&&c|d;e", [["a", "b"], ["c"], ["d"], ["e"]]),
        ("A=1 B='x y' sudo a \"b \\\" c\" 'd;e'", [["a", 'b \\" c', "d;e"]]),
        ("if a; then b; fi", [["a"], ["b"], ["fi"]]),
        ("a # b\nc", [["a"], ["c"]]),
        ("(a) { b; }", [["a"], ["b"]]),
        ("echo ${x} '", [["echo", "${x}", ""]]),
        ("", []),
    ],
)
def test_shell_texts_are_cut_into_commands(text: str, expected: list[list[str]]) -> None:
    found = [each for each in simple_commands(text) if each != ["}"]]
    assert found == expected
