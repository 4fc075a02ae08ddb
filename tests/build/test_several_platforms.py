"""One build for several platforms: an image of each, in one graph, under one name."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.events import Outcome, VertexDone, VertexFailed, VertexStarted
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from tests.build.workshop import Watch, Workshop
from tests.support.registry import hostile_registry
from tests.support.sample_image import sample_image, tar

HOST = str(Platform.host())
OTHERS = ("linux/s390x", "linux/arm/v7")

CROSS = """
FROM --platform=$BUILDPLATFORM base AS shared
RUN echo shared >> /log
FROM --platform=$BUILDPLATFORM base AS cross
ARG TARGETARCH TARGETVARIANT
RUN echo "$TARGETARCH$TARGETVARIANT" > /for
FROM scratch
COPY --from=shared /log /
COPY --from=cross /for /
COPY file /
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A context with a file."""
    path = tmp_path / "context"
    path.mkdir()
    (path / "file").write_text("x")
    return path


def images(shop: Workshop, name: str) -> dict[str, dict[str, object]]:
    found = {}
    for platform in (HOST, *OTHERS):
        image = shop.engine._catalogue.by_reference(Reference.parse(name), Platform.parse(platform))
        assert image is not None
        found[platform] = image
    return found


def build(shop: Workshop, context: Path, text: str, **more: object) -> tuple[object, Watch]:
    from builder.engine.requests import BuildRequest

    shop.write(context, text)
    watch = Watch()
    request = BuildRequest(context=str(context), **more)  # type: ignore[arg-type]
    return shop.engine.build(request, watch), watch


def names(watch: Watch) -> list[str]:
    return [event.name for event in watch.events if isinstance(event, VertexStarted)]


def test_each_platform_gets_an_image_and_what_they_share_is_done_once(
    fresh: Workshop, context: Path
) -> None:
    result, watch = build(fresh, context, CROSS, platforms=(HOST, *OTHERS), tags=("app",), jobs=2)
    assert [each.platform for each in result.platforms] == [HOST, *OTHERS]
    assert len({each.image_id for each in result.platforms}) == 3
    assert result.image_id == result.platforms[0].image_id
    found = {str(each.platform): each for each in images(fresh, "app").values()}
    assert {name: each.id for name, each in found.items()} == {
        each.platform: each.image_id for each in result.platforms
    }
    assert (found["linux/arm/v7"].config.architecture, found["linux/arm/v7"].config.variant) == (
        "arm",
        "v7",
    )
    said = names(watch)
    assert len([name for name in said if "RUN echo shared" in name]) == 1
    assert f"[{HOST} shared 2/2] RUN echo shared >> /log" in said
    assert f'[{HOST}->arm/v7 cross 2/2] RUN echo "armv7" > /for' in said
    assert "[linux/s390x stage-2 3/3] COPY file /" in said
    _, watch = build(fresh, context, CROSS, platforms=(HOST, *OTHERS), tags=("app",))
    assert not watch.executed()


def test_names_of_steps_tell_platforms_apart_only_where_there_are_several(
    fresh: Workshop, context: Path
) -> None:
    _, watch = build(fresh, context, CROSS, platforms=("linux/s390x",))
    assert "[stage-2 3/3] COPY file /" in names(watch)


def test_a_platform_counts_once_however_it_is_written(fresh: Workshop, context: Path) -> None:
    result, _ = build(
        fresh,
        context,
        "FROM scratch\nCOPY file /\n",
        platforms=(
            "arm64",
            "linux/arm64/v8",
            "linux/aarch64",
            "arm/v7",
            "linux/arm",
            "local",
            HOST,
        ),
    )
    assert [each.platform for each in result.platforms] == ["linux/arm64", "linux/arm/v7", HOST]


def test_without_the_hosts_the_first_is_meant(fresh: Workshop, context: Path) -> None:
    result, _ = build(
        fresh, context, "FROM scratch\nCOPY file /\n", platforms=OTHERS, tags=("app",)
    )
    assert result.image_id == result.platforms[0].image_id
    assert fresh.engine.inspect("app")["Id"] == result.image_id


FAILING = """
FROM --platform=$BUILDPLATFORM base AS b
ARG TARGETARCH
RUN if [ $TARGETARCH = s390x ]; then echo no; exit 3; else while :; do sleep 0.1; done; fi
FROM scratch
COPY --from=b /etc/passwd /
"""


def test_a_failure_names_the_platform_and_ends_the_others(fresh: Workshop, context: Path) -> None:
    error = fresh.refused(context, FAILING, platforms=(HOST, "linux/s390x"), tags=("app",))
    assert error.code == "build.run-failed"
    assert "it was being built for `linux/s390x`" in error.notes
    assert fresh.leftovers() == []


def test_a_base_that_is_missing_for_one_platform_names_that(fresh: Workshop, context: Path) -> None:
    error = fresh.refused(
        context, "FROM registry.invalid/x\nCOPY file /\n", platforms=("linux/s390x", HOST)
    )
    assert "it was being built for `linux/s390x`" in error.notes


def test_a_warning_about_the_file_is_told_once(fresh: Workshop, context: Path) -> None:
    text = "FROM scratch as x\nCOPY file /\n"
    result, _ = build(fresh, context, text, platforms=(HOST, *OTHERS))
    assert len([each for each in result.warnings if each.code == "FromAsCasing"]) == 1


def test_images_without_layers_too(fresh: Workshop, context: Path) -> None:
    result, watch = build(fresh, context, "FROM scratch\nLABEL a=b\n", platforms=(HOST, *OTHERS))
    assert len({each.image_id for each in result.platforms}) == 3
    assert not [
        each
        for each in watch.events
        if isinstance(each, VertexFailed)
        or (isinstance(each, VertexDone) and each.outcome is Outcome.CANCELLED)
    ]


def test_a_base_that_is_there_for_one_platform_alone_is_taken_with_a_warning(
    fresh: Workshop, context: Path
) -> None:
    with hostile_registry() as registry:
        registry.add("x", "1", sample_image(tar({"found": b"here"}), architecture="s390x"))
        text = f"FROM {registry.host}/x:1\nCOPY file /\n"
        result, _ = build(fresh, context, text, platforms=("linux/arm64",))
        asked = len(registry.requests)
        again, _ = build(fresh, context, text, platforms=("linux/arm64",))
        assert len(registry.requests) == asked
        assert (again.image_id, again.warnings) == (result.image_id, result.warnings)
        other, _ = build(fresh, context, text, platforms=("linux/riscv64",))
        assert len(registry.requests) == asked
        assert [each.platform for each in other.platforms] == ["linux/riscv64"]
    (warning,) = [each for each in result.warnings if each.code == "InvalidBaseImagePlatform"]
    assert "is for `linux/s390x`, this build for `linux/arm64`" in warning.message
    assert [each.platform for each in result.platforms] == ["linux/arm64"]
