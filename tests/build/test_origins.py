"""What a manifest says of the base that an image stands on, however it leaves the store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.engine.requests import BuildRequest, BuildResult, Output
from builder.store.images import Origin
from tests.build.workshop import Built, Watch, Workshop
from tests.support.registry import Handler, Registry, hostile_registry
from tests.support.sample_image import sample_image, tar

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


# What the name of a base stands for now


@pytest.fixture
def registry() -> Iterator[Registry]:
    with hostile_registry() as running:
        yield running


def notes(built: BuildResult) -> list[str]:
    return [each.message for each in built.warnings if each.code == "build.newer-base"]


def pushed(shop: Workshop, context: Path, registry: Registry, **more: Any) -> BuildResult:
    shop.write(context, f"FROM {registry.host}/team/base:1\nLABEL a=b")
    request = BuildRequest(
        context=str(context), tags=(f"{registry.host}/team/app:1",), push=True, **more
    )
    return shop.engine.build(request, Watch())


def test_a_newer_base_is_a_note_where_the_registry_is_asked_anyway(
    fresh: Workshop, context: Path, registry: Registry
) -> None:
    registry.add("team/base", "1", sample_image(tar({"a": b"1"})))
    assert notes(pushed(fresh, context, registry)) == []
    registry.add("team/base", "1", sample_image(tar({"a": b"2"})))
    first = pushed(fresh, context, registry)
    assert notes(first) == [f"the base image `{registry.host}/team/base:1` has a newer digest"]
    assert first.steps == first.cached
    before = len(registry.requests)
    unasked = BuildRequest(context=str(context))
    assert notes(fresh.engine.build(unasked, Watch())) == []
    assert len(registry.requests) == before
    asked = pushed(fresh, context, registry, pull=True)
    assert notes(asked) == [
        f"the base image `{registry.host}/team/base:1` is another one than before"
    ]
    assert asked.image_id != first.image_id
    assert notes(pushed(fresh, context, registry)) == []


def test_where_nobody_answers_nothing_is_said(
    fresh: Workshop, context: Path, registry: Registry
) -> None:
    registry.add("team/base", "1", sample_image(tar({"a": b"1"})))
    pushed(fresh, context, registry)
    registry.add("team/base", "1", sample_image(tar({"a": b"2"})))

    def refuse(handler: Handler) -> bool:
        handler.error(403, "DENIED")
        return True

    registry.fault("HEAD", "base/manifests", refuse, times=100)
    registry.fault("GET", "base/manifests", refuse, times=100)
    assert notes(pushed(fresh, context, registry)) == []


def test_a_digest_in_the_dockerfile_is_kept_as_it_is_and_asked_for_once(
    fresh: Workshop, context: Path, registry: Registry
) -> None:
    first, second = (sample_image(tar({"a": text})) for text in (b"1", b"2"))
    registry.add("team/base", "1", first)
    digest = first.manifest.descriptor().digest
    registry.add("team/base", "1", second)
    name = f"{registry.host}/team/base:1@{digest}"
    registry.add_manifest("team/base", str(digest), first.manifest)
    built = fresh.build(context, f"FROM {name}\nLABEL a=b")
    assert built.image.diff_ids == list(first.config.diff_ids)
    assert annotations(built) == {NAME: name, DIGEST: str(digest)}
    before = len(registry.requests)
    assert fresh.build(context, f"FROM {name}\nLABEL a=c").image.diff_ids == built.image.diff_ids
    assert len(registry.requests) == before
