"""`.dockerignore`: what is as if it were not in the context."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.build.workshop import Workshop


def fill(context: Path, *names: str) -> None:
    """Write files, each with its own name in it."""
    for name in names:
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text(name)


def below(built_tree: dict[str, object], top: str) -> set[str]:
    """Return the paths below a directory of the image."""
    return {path[len(top) + 1 :] for path in built_tree if path.startswith(f"{top}/")}


ALL = ("c", "d/e/x", "d/keep", "d/e/f/y", "n/keep", "n/o", "t.tmp", "n/t.tmp")


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ("d", {"c", "n", "n/keep", "n/o", "t.tmp", "n/t.tmp"}),
        ("d\n!d/keep", {"c", "d", "d/keep", "n", "n/keep", "n/o", "t.tmp", "n/t.tmp"}),
        ("*\n!d/keep", {"d", "d/keep"}),
        ("*\n!d", {"d", "d/keep", "d/e", "d/e/x", "d/e/f", "d/e/f/y"}),
        ("**\n!**/keep", {"d", "d/keep", "n", "n/keep"}),
        ("*\n!d/e/f/y", {"d", "d/e", "d/e/f", "d/e/f/y"}),
        ("**/*.tmp\n/c\nd/e", {"d", "d/keep", "n", "n/keep", "n/o"}),
        ("*\n!d/nothing", set()),
        ("*", set()),
        (
            "# d\n\n  \n./n/\n/d/../c",
            {*("d", "d/keep", "d/e", "d/e/x", "d/e/f", "d/e/f/y", "t.tmp")},
        ),
    ],
)
def test_excluded_directories_appear_only_above_what_was_brought_back(
    workshop: Workshop, context: Path, rules: str, kept: set[str]
) -> None:
    fill(context, *ALL)
    (context / ".dockerignore").write_text(f"{rules}\n.dockerignore\nDockerfile\n")
    for _ in range(2):
        built = workshop.build(context, "COPY . /x/")
        assert below(built.image.tree, "x") == kept
    assert built.executed == []


def test_what_is_brought_back_below_an_excluded_source_is_copied(
    workshop: Workshop, context: Path
) -> None:
    fill(context, *ALL)
    (context / ".dockerignore").write_text("d\n!d/keep\n")
    image = workshop.build(context, "COPY d/keep /x\nCOPY d /y/\nCOPY d/* /z/").image
    assert below(image.tree, "y") == below(image.tree, "z") == {"keep"}


@pytest.mark.parametrize(
    ("source", "rule"),
    [("d", 2), ("d/e", 2), ("d/e/x", 2), ("c", 1), ("link", 1), ("linked", 2), ("linked/x", 2)],
)
def test_a_refusal_names_the_line_that_hides_a_source(
    workshop: Workshop, context: Path, source: str, rule: int
) -> None:
    fill(context, *ALL)
    (context / "link").symlink_to("c")
    (context / "linked").symlink_to("d/e")
    (context / ".dockerignore").write_text("c\nd\n!d/nothing\n")
    error = workshop.refused(context, f"COPY {source} /x")
    assert error.code == "context.ignored-source"
    assert f"`{source}` is excluded" in error.message
    assert error.notes[-1].startswith(f"line {rule} of `.dockerignore` excludes it")
    assert error.hint is not None


def test_a_wildcard_does_not_match_what_is_excluded(workshop: Workshop, context: Path) -> None:
    fill(context, "a1", "a2")
    (context / ".dockerignore").write_text("a1\n")
    image = workshop.build(context, "COPY a* /x/\nCOPY a1* /y/").image
    assert below(image.tree, "x") == {"a2"}
    assert "y" not in image


def test_links_inside_a_directory_may_point_at_what_is_excluded(
    workshop: Workshop, context: Path
) -> None:
    fill(context, "d/secret")
    (context / "d/link").symlink_to("secret")
    (context / ".dockerignore").write_text("d/secret\n")
    assert below(workshop.build(context, "COPY d /x").image.tree, "x") == {"link"}


def test_the_builder_itself_reads_the_dockerfile_and_the_ignore_file_all_the_same(
    workshop: Workshop, context: Path
) -> None:
    fill(context, "a")
    (context / ".dockerignore").write_text("*\n")
    workshop.build(context, "RUN true")
    assert workshop.refused(context, "COPY Dockerfile /").code == "context.ignored-source"


def test_an_ignore_file_of_the_dockerfile_goes_before_that_of_the_context(
    workshop: Workshop, context: Path
) -> None:
    fill(context, "a", "b")
    (context / "other").write_text("FROM base\nCOPY a* b* /x/\n")
    (context / ".dockerignore").write_text("a\n")
    (context / "other.dockerignore").write_text("b\n")
    built = workshop.build(context, file=context / "other")
    assert below(built.image.tree, "x") == {"a"}


@pytest.mark.parametrize("rules", ["!", "a\n!  \n", "[a-\n"])
def test_a_malformed_rule_is_shown(workshop: Workshop, context: Path, rules: str) -> None:
    (context / ".dockerignore").write_text(rules)
    error = workshop.refused(context, "COPY . /x/")
    assert error.code == "context.bad-ignore"


def test_an_ignored_name_is_asked_about_again_when_it_becomes_a_directory(
    workshop: Workshop, context: Path
) -> None:
    fill(context, "k", "d")
    (context / ".dockerignore").write_text("d\n!d/keep\n.dockerignore\nDockerfile\n")
    assert below(workshop.build(context, "COPY . /x/").image.tree, "x") == {"k"}
    (context / "d").unlink()
    fill(context, "d/keep", "d/o")
    assert below(workshop.build(context).image.tree, "x") == {"k", "d", "d/keep"}
    (context / "d/keep").unlink()
    assert below(workshop.build(context).image.tree, "x") == {"k"}


def test_changing_what_is_excluded_changes_nothing(workshop: Workshop, context: Path) -> None:
    fill(context, "a", "d/e/x", "d/keep")
    (context / ".dockerignore").write_text("d\n!d/keep\nDockerfile\n")
    first = workshop.build(context, "COPY . /x/")
    fill(context, "d/e/y", "d/z/y")
    (context / "d/e/x").write_text("changed")
    assert workshop.build(context).id == first.id
    os.chmod(context / "d", 0o700)
    assert workshop.build(context).image["x/d"].mode == 0o700
