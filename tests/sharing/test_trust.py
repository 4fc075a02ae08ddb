"""What a writer of a shared cache can not do, and what damage there comes to: a note, and the step is executed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from builder.errors import LapstrakeError
from builder.events import Warned
from builder.oci.digest import Digest
from builder.sharing.directory import DirectoryPlace
from builder.sharing.reading import Reader
from builder.sharing.records import (
    BUNDLE,
    TABLE,
    Bundle,
    SharedLayer,
    SharedRecord,
    decoded,
    encoded,
    encoded_table,
    listed,
    set_manifest,
)
from tests.build.workshop import Built
from tests.sharing.conftest import DOCKERFILE, Machine, local, steps

ALL = 5


@pytest.fixture
def cache(machine: Machine, context: Path, tmp_path: Path) -> Path:
    """A cache that has all steps."""
    machine().build(context, DOCKERFILE, cache_to=local(tmp_path / "cache", every_step=True))
    return tmp_path / "cache"


def warned(built: Built) -> set[str]:
    """Return the codes of what a build warned of."""
    return {each.code for each in built.result.warnings}


def blobs(cache: Path, wanted: Callable[[bytes], bool]) -> list[Path]:
    """Return the blobs whose first bytes are wanted."""
    return [path for path in (cache / "blobs/sha256").iterdir() if wanted(path.read_bytes()[:4])]


def is_layer(head: bytes) -> bool:
    """Tell whether a blob is a layer."""
    return head.startswith(b"\x1f\x8b")


def is_bundle(head: bytes) -> bool:
    """Tell whether a blob holds records."""
    return head == b"\x28\xb5\x2f\xfd"


def is_table(head: bytes) -> bool:
    """Tell whether a blob is a table."""
    return not is_layer(head) and not is_bundle(head)


@pytest.mark.parametrize("kind", [is_layer, is_bundle, is_table])
@pytest.mark.parametrize("damage", [b"", b"other bytes"], ids=["empty", "changed"])
def test_what_is_damaged_is_ignored_with_a_note_and_mended(
    machine: Machine,
    context: Path,
    cache: Path,
    kind: Callable[[bytes], bool],
    damage: bytes,
) -> None:
    found = blobs(cache, kind)
    assert found
    for path in found:
        path.write_bytes(damage + path.read_bytes()[len(damage) :] if damage else b"")
    second = machine().build(
        context, DOCKERFILE, cache_from=local(cache), cache_to=local(cache, every_step=True)
    )
    assert warned(second) == {"build.cache-unusable"}
    assert steps(second)
    third = machine().build(context, DOCKERFILE, cache_from=local(cache))
    assert steps(third) == []


def test_damaged_manifests_of_sets_are_not_read(
    machine: Machine, context: Path, cache: Path
) -> None:
    for path in (cache / "sets").iterdir():
        path.write_bytes(path.read_bytes() + b" ")
    built = machine().build(context, DOCKERFILE, cache_from=local(cache))
    assert len(steps(built)) == ALL


def test_a_layer_of_other_contents_is_not_taken_for_the_one_that_was_recorded(
    machine: Machine, context: Path, cache: Path
) -> None:
    """A record may say that a step gives what another gives, but not that bytes are what they are not."""

    def swapped(record: SharedRecord) -> SharedRecord:
        lie = msgspec.structs.replace(record.layer, content_id="0" * 64)
        return msgspec.structs.replace(record, layer=lie)

    rewrite(cache, swapped)
    built = machine().build(context, DOCKERFILE, cache_from=local(cache))
    assert len(steps(built)) > 0
    assert "build.cache-unusable" in warned(built)


def test_a_layer_cannot_be_said_to_change_nothing(
    machine: Machine, context: Path, cache: Path
) -> None:
    def emptied(record: SharedRecord) -> SharedRecord:
        return msgspec.structs.replace(
            record, layer=msgspec.structs.replace(record.layer, entries=0)
        )

    rewrite(cache, emptied)
    built = machine().build(context, DOCKERFILE, cache_from=local(cache))
    assert built.image["app/twice"].text == "a\nb\na\nb\n"


def test_a_record_counts_for_the_key_of_its_parts_alone(
    machine: Machine, context: Path, cache: Path
) -> None:
    def renamed(record: SharedRecord) -> SharedRecord:
        first, *rest = record.parts
        other = msgspec.structs.replace(first, digest="0" * 64)
        return msgspec.structs.replace(record, parts=(other, *rest))

    rewrite(cache, renamed, as_before=True)
    built = machine().build(context, DOCKERFILE, cache_from=local(cache))
    assert len(steps(built)) == ALL


def test_nothing_of_a_cache_is_kept_here_without_its_layer(
    machine: Machine, context: Path, cache: Path
) -> None:
    shop = machine()
    shop.build(context, DOCKERFILE, cache_from=local(cache))
    again = shop.build(context, DOCKERFILE, target="build")
    assert len(steps(again)) == 2


def test_an_execution_is_recorded_under_what_it_read_not_under_what_others_say(
    machine: Machine, context: Path, tmp_path: Path
) -> None:
    """Otherwise a lie about what a bind mount shows would spoil later builds that do not use the cache."""
    cache = tmp_path / "cache"
    dockerfile = """
        FROM base AS build
        RUN echo real > /file
        FROM base
        RUN --mount=type=bind,from=build,source=/file,target=/shown cat /shown > /copy
        """
    machine().build(context, dockerfile, cache_to=local(cache, every_step=True))
    rewrite(cache, lambda record: record, selected="0" * 64)
    shop = machine()
    lied_to = shop.build(context, dockerfile, cache_from=local(cache))
    assert len(steps(lied_to)) == 1
    honest = shop.build(context, dockerfile)
    assert steps(honest) == []
    assert honest.image["copy"].text == "real\n"


def test_a_lie_about_a_result_is_believed_until_the_step_is_verified(
    machine: Machine, context: Path, tmp_path: Path
) -> None:
    """What `docs/security.md` says a writer can do, and how it is found."""
    cache = tmp_path / "cache"
    shop = machine()
    for word in ("good", "evil"):
        shop.build(context, f"RUN echo {word} > /file\n", cache_to=local(cache))
    layers: dict[str, SharedLayer | None] = {"good": None, "evil": None}

    def remember(record: SharedRecord) -> SharedRecord:
        layers["good" if "good" in record.parts[0].shown else "evil"] = record.layer
        return record

    def swapped(record: SharedRecord) -> SharedRecord:
        other = layers["evil" if "good" in record.parts[0].shown else "good"]
        assert other is not None
        return msgspec.structs.replace(record, layer=other)

    rewrite(cache, remember)
    rewrite(cache, swapped)
    deceived = machine().build(context, "RUN echo good > /file\n", cache_from=local(cache))
    assert deceived.image["file"].text == "evil\n"
    assert not warned(deceived)
    other = machine()
    found = other.build(
        context, "RUN echo good > /file\n", cache_from=local(cache), verify_cache=100
    )
    told = [each for each in found.watch.events if isinstance(each, Warned)]
    assert [each.diagnostic.code for each in told] == ["build.cache-differs"]


@pytest.mark.parametrize("in_config", [False, True], ids=["index", "image manifest"])
def test_a_cache_of_buildkit_is_refused_by_name(
    machine: Machine, context: Path, tmp_path: Path, in_config: bool
) -> None:
    cache = tmp_path / "other"
    (cache / "blobs/sha256").mkdir(parents=True)
    config = {
        "mediaType": "application/vnd.buildkit.cacheconfig.v0",
        "digest": str(Digest.of(b"{}")),
        "size": 2,
    }
    inner: dict[str, object] = {"schemaVersion": 2}
    inner |= {"config": config, "layers": []} if in_config else {"manifests": [config]}
    raw = json.dumps(inner).encode()
    media = "manifest" if in_config else "index"
    entry = {
        "mediaType": f"application/vnd.oci.image.{media}.v1+json",
        "digest": str(Digest.of(raw)),
        "size": len(raw),
    }
    (cache / "blobs/sha256" / Digest.of(raw).hex).write_bytes(raw)
    (cache / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    for request in ({"cache_from": local(cache)}, {"cache_to": local(cache)}):
        error = machine().refused(context, DOCKERFILE, **request)
        assert "is a cache of BuildKit" in error.message


def rewrite(
    cache: Path,
    change: Callable[[SharedRecord], SharedRecord],
    *,
    as_before: bool = False,
    selected: str = "",
) -> None:
    """Change all records of a cache as somebody may who can write to it; `as_before` lists them under the old keys.

    `selected` is what all selections are said to come to.
    """
    place = DirectoryPlace(str(cache))
    reader = Reader(place, _fail)
    reader.open()
    records: list[SharedRecord] = []
    selections = []
    for path in blobs(cache, is_bundle):
        bundle = decoded(path.read_bytes())
        records += bundle.records
        selections += bundle.selections
    if selected:
        selections = [msgspec.structs.replace(each, contents=selected) for each in selections]
    before = Bundle(records=tuple(records), selections=tuple(selections))
    after = msgspec.structs.replace(before, records=tuple(change(each) for each in records))
    data = encoded(after)
    line = listed(before if as_before else after, data)
    table = encoded_table([line])
    from builder.sharing.giving import parcel

    parcels = [parcel(data, BUNDLE), parcel(table, TABLE)]
    for path in (cache / "sets").iterdir():
        path.unlink()
    place.put(parcels)
    place.publish(set_manifest(parcels[1].descriptor, [parcels[0].descriptor]), ())


def _fail(error: LapstrakeError) -> None:
    raise error
