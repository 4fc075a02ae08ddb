"""An image is built again and compared: what is the same, and what is said of what is not."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from builder.engine.requests import BuildRequest, Output, Provenance
from builder.engine.verifying import Verdict
from builder.store.images import Origin
from tests.build.workshop import Watch, Workshop
from tests.support.file_server import File, serving_files
from tests.support.product import Product
from tests.support.registry import hostile_registry

NOISE = "cp /proc/sys/kernel/random/uuid"
REWRITTEN = Output(
    type="image",
    attributes=(
        ("name", "timed"),
        ("rewrite-timestamp", "true"),
        ("source-date-epoch", "1600000000"),
    ),
)


def verify(shop: Workshop, image: str, context: Path, *, most: int = 1, **more: Any) -> Verdict:
    watch = Watch()
    request = BuildRequest(context=str(context), **more)
    verdict = shop.engine.verify(image, request, watch, most=most)
    assert watch.executed()
    return verdict


def build(shop: Workshop, context: Path, text: str, **more: Any) -> None:
    shop.write(context, text)
    shop.engine.build(BuildRequest(context=str(context), **more), Watch())


def test_the_same_inputs_are_the_same_image_but_for_times(
    workshop: Workshop, context: Path
) -> None:
    (context / "a").write_text("1")
    build(workshop, context, "COPY a /a\nRUN cp /a /b", tags=("same",))
    verdict = verify(workshop, "same", context)
    assert (verdict.same, verdict.times) == (True, False)


def test_times_count_where_the_inputs_decide_them(workshop: Workshop, context: Path) -> None:
    (context / "a").write_text("1")
    build(
        workshop,
        context,
        "COPY a /a\nRUN cp /a /b",
        build_args=(("SOURCE_DATE_EPOCH", "1600000000"),),
        outputs=(REWRITTEN,),
    )
    verdict = verify(workshop, "timed", context)
    assert (verdict.same, verdict.times, verdict.rebuilt) == (True, True, verdict.image)
    build(
        workshop,
        context,
        "COPY a /a\nRUN cp /a /b && touch -d '2001-01-01 00:00:00' /b",
    )
    verdict = verify(workshop, "timed", context)
    assert [(each.layer, each.path) for each in verdict.found] != []
    found = verify(workshop, "timed", context, most=10).found
    assert any("its time: 2020-09-13T12:26:40Z, now 2001-01-01T00:00:00Z" in f.what for f in found)


def test_times_do_not_count_where_an_epoch_was_given_but_not_to_files(
    workshop: Workshop, context: Path
) -> None:
    """A time after all others leaves nothing by which to see whether files were given it."""
    epoch = (("SOURCE_DATE_EPOCH", "2000000000"),)
    (context / "a").write_text("1")
    build(workshop, context, "WORKDIR /w\nCOPY a /a", build_args=epoch, tags=("later",))
    verdict = verify(workshop, "later", context)
    assert (verdict.same, verdict.times, verdict.found) == (True, False, ())


def test_what_the_store_has_does_not_stand_for_what_the_inputs_give(
    fresh: Workshop, context: Path
) -> None:
    """A layer is the same to the cache whatever its times; to an image it is not."""

    def pack(time: int) -> None:
        with tarfile.open(context / "z.tar", "w") as archive:
            member = tarfile.TarInfo("z")
            member.mtime = time
            archive.addfile(member)

    text = "COPY a /a\nADD z.tar /\nRUN cp /z /b"
    epoch = (("SOURCE_DATE_EPOCH", "1600000000"),)
    (context / "a").write_text("1")
    pack(1_000_000_000)
    build(fresh, context, text, build_args=epoch, outputs=(REWRITTEN,))
    first = verify(fresh, "timed", context)
    assert first.same
    pack(900_000_000)
    assert verify(fresh, "timed", context).found
    pack(1_000_000_000)
    build(fresh, context, text, build_args=epoch, outputs=(REWRITTEN,))
    assert verify(fresh, "timed", context).image == first.image


def test_the_first_difference_is_told_with_its_step_and_line(
    workshop: Workshop, context: Path
) -> None:
    (context / "a").write_text("1")
    text = f"FROM base\nCOPY a /a\nLABEL x=y\nRUN mkdir -p /var/log && {NOISE} /var/log/l && {NOISE} /x"
    build(workshop, context, text, tags=("noisy",))
    verdict = verify(workshop, "noisy", context)
    (found,) = verdict.found
    assert found.line == 4
    assert found.step.startswith("RUN mkdir -p /var/log")
    assert (found.path, found.what) == ("/var/log/l", "its content")
    assert "logs" in found.reason
    assert verdict.more
    paths = [each.path for each in verify(workshop, "noisy", context, most=10).found]
    assert paths == ["/var/log/l", "/x"]


def test_what_is_removed_and_what_is_configured_counts_too(
    workshop: Workshop, context: Path
) -> None:
    build(workshop, context, "RUN rm /etc/passwd\nENV A=1", tags=("removed",))
    workshop.write(context, "RUN rm /etc/group\nENV A=2")
    found = verify(workshop, "removed", context, most=10).found
    told = {(each.path, each.what) for each in found}
    assert ("/etc/group", "it is removed now") in told
    assert ("/etc/passwd", "it is removed no more") in told
    assert ("", "Env A: 1, now 2") in told


def test_what_was_given_is_taken_from_the_provenance(workshop: Workshop, context: Path) -> None:
    build(
        workshop,
        context,
        "FROM base AS one\nARG A=0\nRUN echo $A > /a\nFROM base",
        tags=("told",),
        target="one",
        build_args=(("A", "1"),),
        labels=(("l", "2"),),
        provenance=Provenance(),
    )
    verdict = verify(workshop, "told", context)
    assert (verdict.same, verdict.told) == (True, True)
    assert verify(workshop, "told", context).told  # it is still there
    assert not verify(workshop, "told", context, build_args=(("A", "2"),)).same


def test_provenance_without_values_does_not_tell_what_was_given(
    workshop: Workshop, context: Path
) -> None:
    arguments = (("A", "1"),)
    for detail, told in (("min", False), ("max", True)):
        build(
            workshop,
            context,
            "ARG A=0\nRUN echo $A > /a",
            tags=("partly",),
            build_args=arguments,
            provenance=Provenance(detail=detail),
        )
        verdict = verify(workshop, "partly", context)
        assert (verdict.told, verdict.same) == (told, told)


def test_the_time_is_that_of_the_image_whatever_it_was_taken_from(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "context.tar"
    with tarfile.open(archive, "w") as tar:
        for name, text in (("Dockerfile", b"FROM scratch\nCOPY a /taken\n"), ("a", b"1")):
            (context / name).write_bytes(text)
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(text), 1_600_000_000
            tar.addfile(member, io.BytesIO(text))
    with serving_files() as server:
        server.files["/c"] = File(archive.read_bytes())
        request = BuildRequest(
            context=server.url("/c"),
            build_args=(("SOURCE_DATE_EPOCH", "context"),),
            outputs=(Output(type="image", attributes=REWRITTEN.attributes[:2]),),
            provenance=Provenance(),
        )
        workshop.engine.build(request, Watch())
    verdict = verify(workshop, "timed", context)
    assert (verdict.same, verdict.times) == (True, True)


def test_the_base_is_the_one_that_it_was(fresh: Workshop, context: Path) -> None:
    store, first = fresh.engine._store, "sha256:" + "1" * 64
    fresh.engine.tag("box", "example.com/base:1")
    store.images.set_digest("example.com/base:1", first)
    build(fresh, context, "FROM example.com/base:1\nRUN echo 1 > /f", tags=("app",))
    build(fresh, context, "FROM base\nRUN echo other > /other", tags=("other",))
    fresh.engine.tag("box", "example.com/base:old")
    store.images.set_digest("example.com/base:old", first)
    fresh.engine.tag("other", "example.com/base:1")
    fresh.write(context, "FROM example.com/base:1\nRUN echo 1 > /f")
    assert store.images.origin(fresh.engine._catalogue.find("app")[0]) == Origin(
        "example.com/base:1", first
    )
    assert verify(fresh, "app", context).same


@pytest.mark.parametrize("version", ["v1", "v0.2"])
def test_an_image_from_a_registry_is_verified_with_what_the_registry_says_of_it(
    workshop: Workshop, fresh: Workshop, context: Path, version: str
) -> None:
    with hostile_registry() as registry:
        base, name = f"{registry.host}/base:1", f"{registry.host}/app:1"
        workshop.engine.tag("base", base)
        workshop.engine.push(base, Watch())
        text = f"FROM {base} AS one\nARG A=0\nRUN echo $A > /a\nFROM {base}"
        timed = msgspec.structs.replace(
            REWRITTEN,
            attributes=(("name", name), ("rewrite-timestamp", "true"), ("push", "true")),
        )
        given = (("A", "1"), ("SOURCE_DATE_EPOCH", "1600000000"))
        build(
            workshop,
            context,
            text,
            target="one",
            build_args=given,
            outputs=(timed,),
            provenance=Provenance(version=version, form="referrer"),
        )
        fresh.engine.pull(name, None, Watch())
        verdict = verify(fresh, name, context)
        assert (verdict.told, verdict.times, verdict.found) == (True, True, ())
        assert verdict.rebuilt == verdict.image


def test_nothing_is_left_of_an_image_that_differs(fresh: Workshop, context: Path) -> None:
    build(fresh, context, f"RUN {NOISE} /x", tags=("noisy",))
    before = {each.id for each in fresh.engine._store.images.all()}
    assert not verify(fresh, "noisy", context).same
    assert {each.id for each in fresh.engine._store.images.all()} == before


def test_as_people_type_it(product: Product, ours: Path) -> None:
    context = ours / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM box\nRUN {NOISE} /x\n")
    product.build(context, "-t", "typed")
    done = product.run("verify", "-q", "typed", context, code=1)
    assert "what the first build was given is not known" in done.stderr
    assert done.stdout == f"layer 2, RUN {NOISE} /x (line 2): /x: its content\n"
    assert '"same":false' in product.run("verify", "--json", "typed", context, code=1).stdout
    (context / "Dockerfile").write_text("FROM box\nRUN echo 1 > /x\n")
    product.build(context, "-t", "typed")
    done = product.run("verify", "-q", "typed", context)
    assert done.stdout.startswith("typed is what the context builds")
    assert "No such image" in product.run("verify", "nosuch", context, code=2).stderr
