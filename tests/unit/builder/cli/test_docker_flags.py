"""Every flag that Docker has for the verbs about images is here: as a flag, with a note, or refused by name."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace

import click
import pytest

from builder.cli.catalogue import VERBS
from builder.cli.verb import Verb
from tests.unit.builder.cli.fake import FakeEngine, lapstrake

# Docker 28.2: `docker VERB --help`; login and logout too.
DOCKER = {
    "images": "-a/--all --digests -f/--filter --format --no-trunc -q/--quiet --tree",
    "pull": "-a/--all-tags --disable-content-trust --platform -q/--quiet",
    "push": "-a/--all-tags --disable-content-trust --platform -q/--quiet",
    "tag": "",
    "rmi": "-f/--force --no-prune --platform",
    "inspect": "-f/--format -s/--size --type --platform",
    "history": "--format -H/--human --no-trunc --platform -q/--quiet",
    "save": "-o/--output --platform",
    "load": "-i/--input --platform -q/--quiet",
    "import": "-c/--change -m/--message --platform",
    "login": "-p/--password --password-stdin -u/--username",
    "logout": "",
    "version": "-f/--format",
    "info": "-f/--format",
}
IMAGE = (
    "build",
    "history",
    "import",
    "inspect",
    "load",
    "ls",
    "prune",
    "pull",
    "push",
    "rm",
    "save",
    "tag",
)


def spellings(command: click.Command) -> dict[str, set[str]]:
    """Return the flags of a verb, hidden ones too, by each of their spellings."""
    assert isinstance(command, Verb)
    options = [each for each in command.params if isinstance(each, click.Option)]
    options += [each.option() for each in command.others]
    return {spelling: set(option.opts) for option in options for spelling in option.opts}


@pytest.mark.parametrize("verb", DOCKER)
def test_every_flag_of_docker_is_known(verb: str) -> None:
    known = spellings(import_module(f"builder.cli.{VERBS[verb].module}").command)
    for flag in DOCKER[verb].split():
        names = set(flag.split("/"))
        for name in names:
            assert names <= known.get(name, set()), f"{verb} {flag}"


@pytest.mark.parametrize("word", [*IMAGE, "list", "remove"])
def test_every_verb_about_images_is_below_image(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lapstrake(FakeEngine(), "image", word, "--help") == 0
    assert capsys.readouterr().out.startswith(f"Usage: lapstrake image {word} ")


def test_groups_do_what_their_verbs_do(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine()
    assert lapstrake(engine, "image", "tag", "a", "b:1") == 0
    assert engine.calls == [("tag", ("a", "b:1"))]
    assert lapstrake(engine, "builder", "--help") == 0
    assert {"build", "prune"} <= set(capsys.readouterr().out.split())
    assert lapstrake(engine, "image", "lss") == 125
    told = capsys.readouterr().err
    assert "unknown command: `image lss`" in told
    assert "did you mean `ls`?" in told


def test_pruning_in_a_group_means_what_the_group_is_about() -> None:
    engine = FakeEngine(prune=SimpleNamespace(removed=(), bytes=0))
    assert lapstrake(engine, "image", "prune", "-f") == 0
    assert lapstrake(engine, "builder", "prune", "-f") == 0
    assert lapstrake(engine, "prune", "-f") == 0
    images, cache, both = (call[1][0] for call in engine.calls)
    assert (images.images_only, images.kinds) == (True, None)
    assert cache.kinds
    assert (both.images_only, both.kinds) == (False, None)
