"""What a manifest says of the base that an image stands on, however it leaves the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builder.engine.requests import BuildRequest, Output
from builder.store.images import Origin
from tests.build.workshop import Built, Watch, Workshop

NAME = "org.opencontainers.image.base.name"
DIGEST = "org.opencontainers.image.base.digest"
SOME = "sha256:" + "5" * 64


def annotations(built: Built) -> dict[str, str]:
    found: dict[str, str] = dict(built.image.manifest.annotations)
    return found


def test_the_base_is_named_in_full(workshop: Workshop, context: Path) -> None:
    built = workshop.build(context, "FROM box\nLABEL a=b")
    assert annotations(built) == {NAME: "docker.io/library/box:latest"}


def test_the_digest_is_what_the_name_stood_for(fresh: Workshop, context: Path) -> None:
    fresh.engine._store.images.set_digest("docker.io/library/box:latest", SOME)
    built = fresh.build(context, "FROM box\nLABEL a=b")
    assert annotations(built) == {NAME: "docker.io/library/box:latest", DIGEST: SOME}


@pytest.mark.parametrize(
    "text",
    [
        "FROM scratch\nCOPY a /",
        "FROM box AS other\nFROM scratch\nCOPY --from=other /bin /bin",
    ],
)
def test_what_stands_on_nothing_has_no_base(workshop: Workshop, context: Path, text: str) -> None:
    (context / "a").touch()
    assert annotations(workshop.build(context, text)) == {}


def test_a_stage_stands_on_what_its_own_stage_stands_on(workshop: Workshop, context: Path) -> None:
    built = workshop.build(context, "FROM base AS one\nRUN true\nFROM one\nLABEL a=b")
    assert annotations(built)[NAME] == "docker.io/library/base:latest"


def test_another_name_of_the_same_base_is_told_by_the_next_build(
    fresh: Workshop, context: Path
) -> None:
    first = fresh.build(context, "FROM box\nRUN echo > /f")
    fresh.engine.tag("box", "example.com/other:1")
    second = fresh.build(context, "FROM example.com/other:1\nRUN echo > /f")
    assert first.id == second.id
    assert annotations(second)[NAME] == "example.com/other:1"
    assert (
        fresh.build(context, "FROM box\nRUN echo > /f").image.manifest.raw
        == first.image.manifest.raw
    )


def test_a_layout_on_this_machine_is_no_base_that_others_can_look_up(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    layout = tmp_path / "layout"
    one = Output(type="oci", dest=str(layout), attributes=(("tar", "false"),))
    workshop.build(context, "FROM box\nLABEL a=b")
    workshop.engine.build(BuildRequest(context=str(context), outputs=(one,)), Watch())
    built = workshop.build(
        context, "FROM there\nLABEL c=d", contexts=(("there", f"oci-layout://{layout}"),)
    )
    assert annotations(built) == {}
    assert str(tmp_path) not in json.dumps(built.image.document)


def test_what_is_remembered_is_what_the_last_build_said(fresh: Workshop, context: Path) -> None:
    built: Any = fresh.build(context, "FROM box\nLABEL a=b")
    origin = fresh.engine._store.images.origin(built.id)
    assert origin == Origin(base="docker.io/library/box:latest")
