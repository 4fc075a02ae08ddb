"""The image that is built with a cache is the one that is built without, whatever was built before.

Random small Dockerfiles over a small context are edited and built again and again in one store; another store builds
each of them anew. Times apart, the images are equal, and what is refused here is refused there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.errors import LapstrakeError
from tests.build.workshop import Workshop, workshop_in

EXAMPLES = 1_000 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 5

# All that a step can see goes into /sum: whatever the cache got wrong below it is in the image.
SUM = "RUN find /x /d /w /etc -xdev | sort > /l; cat $(find /x /d /w -type f | sort) /l 2>/dev/null | md5sum > /sum; env | sort | md5sum >> /sum; id >> /sum; pwd >> /sum"
INSTRUCTIONS = (
    "COPY a /x/",
    "COPY . /x/all/",
    "COPY d /d/",
    "COPY d/* /x/",
    "COPY --chown=ann a b /w/",
    "COPY --chmod=0600 b /x/mode",
    "COPY --link a /d/link",
    "COPY a /d",
    "COPY <<EOF /x/here\n$V\nEOF",
    "RUN mkdir -p /d /x && echo $V$W > /d/v",
    "RUN rm -rf /x/* /d/f",
    "RUN mkdir -p /x; ln -sfn /d /x/dir; ln -f /etc/passwd /x/hard",
    "RUN chmod -R g+w /d 2>/dev/null; true",
    "RUN rm -rf /d; mkdir /d; echo new > /d/f",
    "RUN --mount=type=bind,target=/src cat /src/a /src/d/* > /bound 2>/dev/null; true",
    "RUN --mount=type=bind,source=d,target=/src ls /src > /list",
    "RUN ln -sfn /w /d/turn 2>/dev/null; true",
    "RUN true",
    "ENV V=one",
    "ENV V=two",
    "ARG W",
    "ARG W=three",
    "WORKDIR /w/deep",
    "WORKDIR /",
    "USER ann",
    "USER root",
    "LABEL k=v",
    SUM,
)
FINAL = (
    "COPY --from=first / /first/",
    "COPY --from=first /d /d",
    "COPY --from=first --chown=ann /x/ /y/",
    "RUN --mount=type=bind,from=first,target=/m cat /m/sum > /seen 2>/dev/null; true",
    SUM,
)
FILES = ("a", "b", "d/e", "d/f", "new")


class Project(NamedTuple):
    """A Dockerfile of two stages, the value of an argument, and what the files hold: None is no file."""

    first: tuple[str, ...]
    last: tuple[str, ...]
    argument: str
    files: tuple[tuple[str, str | None, int], ...]

    @property
    def dockerfile(self) -> str:
        """The text."""
        lines = ("FROM base AS first", *self.first, SUM, "FROM base", *self.last)
        return "\n".join(lines) + "\n"


INSIDE = st.sampled_from(INSTRUCTIONS)
CONTENT = st.sampled_from(["one", "two", None])
MODE = st.sampled_from([0o644, 0o755, 0o600])
EDIT = st.one_of(
    st.tuples(st.just("file"), st.sampled_from(FILES), CONTENT, MODE),
    st.tuples(st.just("put"), st.integers(0, 7), INSIDE),
    st.tuples(st.just("add"), st.integers(0, 7), INSIDE),
    st.tuples(st.just("drop"), st.integers(0, 7)),
    st.tuples(st.just("last"), st.lists(st.sampled_from(FINAL), max_size=3)),
    st.tuples(st.just("argument"), st.sampled_from(["", "x", "y"])),
)
PROJECTS = st.builds(
    Project,
    first=st.lists(INSIDE, min_size=1, max_size=6).map(tuple),
    last=st.lists(st.sampled_from(FINAL), min_size=1, max_size=3).map(tuple),
    argument=st.sampled_from(["", "x"]),
    files=st.just((("a", "one", 0o644), ("b", "two", 0o644), ("d/e", "three", 0o644))),
)


def edited(project: Project, edit: tuple[Any, ...]) -> Project:
    """Return a project after an edit; places beyond the end are the end."""
    kind, *rest = edit
    lines = list(project.first)
    match kind:
        case "file":
            name, content, mode = rest
            others = [each for each in project.files if each[0] != name]
            return project._replace(files=(*others, (name, content, mode)))
        case "put" if lines:
            lines[min(rest[0], len(lines) - 1)] = rest[1]
        case "add":
            lines.insert(rest[0], rest[1])
        case "drop":
            del lines[rest[0] : rest[0] + 1]
        case "last":
            return project._replace(last=tuple(rest[0]))
        case "argument":
            return project._replace(argument=rest[0])
        case _:
            pass
    return project._replace(first=tuple(lines))


def write(project: Project, context: Path) -> None:
    """Make a directory hold what a project says, as little changed as an editor would."""
    for name, content, mode in project.files:
        path = context / name
        if content is None:
            path.unlink(missing_ok=True)
            continue
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text() != content:
            path.write_text(content)
        path.chmod(mode)
    (context / "Dockerfile").write_text(project.dockerfile)


def outcome(shop: Workshop, context: Path, project: Project, **flags: Any) -> object:
    """Return everything about the image but times, or what ends the build."""
    arguments = (("W", project.argument),) if project.argument else ()
    try:
        built = shop.build(context, build_args=arguments, **flags)
    except LapstrakeError as error:
        return error.code
    tree = {path: node._replace(mtime=0) for path, node in built.image.tree.items()}
    return tree, built.image.config


@pytest.fixture(scope="module")
def anew(tmp_path_factory: pytest.TempPathFactory, workshop: Workshop) -> Iterator[Workshop]:
    """A second store, in which nothing is ever taken from the cache."""
    with workshop_in(tmp_path_factory.mktemp("anew")) as shop:
        yield shop


@settings(
    max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(project=PROJECTS, edits=st.lists(EDIT, min_size=1, max_size=4))
def test_an_image_built_with_a_cache_is_the_one_built_without(
    workshop: Workshop,
    anew: Workshop,
    tmp_path_factory: pytest.TempPathFactory,
    project: Project,
    edits: list[tuple[Any, ...]],
) -> None:
    context = tmp_path_factory.mktemp("context")
    try:
        for edit in (None, *edits):
            project = project if edit is None else edited(project, edit)
            write(project, context)
            cached = outcome(workshop, context, project)
            assert cached == outcome(anew, context, project, no_cache=True)
    finally:
        shutil.rmtree(context)
