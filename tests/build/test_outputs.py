"""What becomes of a build: several outputs at once, platforms, names, registries, times."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from builder.engine.engine import Engine
from builder.engine.requests import BuildRequest, BuildResult, Output, Provenance
from builder.errors import ExportError, ImageError, LapstrakeError, UsageError
from builder.events import BuildDone
from builder.export.directory import alone_in
from builder.oci.digest import Digest
from builder.oci.document import parse_config
from builder.oci.manifest import Index, Manifest, parse_manifest
from builder.oci.mediatypes import OCI_INDEX
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.oci.validate import validate
from builder.settings import Settings
from builder.sharing.inline import records_in
from builder.solve.given import SharedCache
from builder.store.pruning import Pruning
from runtime.launch import Launcher
from tests.build.workshop import Watch, Workshop
from tests.support.certificates import make_authority, sign
from tests.support.docker_registry import docker_registry
from tests.support.product import Product
from tests.support.registry import Registry, hostile_registry, status
from tests.support.stargz import Stargz

HOST = str(Platform.host())
OTHER = "linux/s390x"
BOTH = (HOST, OTHER)
SIMPLE = "FROM scratch\nCOPY file /\nLABEL a=b\n"
SPLIT = """
FROM --platform=$BUILDPLATFORM base AS made
ARG TARGETARCH
RUN echo $TARGETARCH > /for
FROM scratch
COPY --from=made /for /
COPY file /
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A context with a file."""
    path = tmp_path / "context"
    path.mkdir()
    (path / "file").write_text("data")
    os.utime(path / "file", (1_600_000_000, 1_600_000_000))
    return path


@pytest.fixture
def registry() -> Iterator[Registry]:
    """A registry without faults."""
    with hostile_registry() as running:
        yield running


def output(kind: str, dest: Path | None = None, **attributes: str) -> Output:
    pairs = tuple((name.replace("_", "-"), value) for name, value in attributes.items())
    return Output(type=kind, dest=None if dest is None else str(dest), attributes=pairs)


def build(
    shop: Workshop, context: Path, *outputs: Output, text: str = SIMPLE, **more: Any
) -> BuildResult:
    shop.write(context, text)
    return shop.engine.build(
        BuildRequest(context=str(context), outputs=tuple(outputs), **more), Watch()
    )


def refused(shop: Workshop, context: Path, *outputs: Output, **more: Any) -> LapstrakeError:
    with pytest.raises(LapstrakeError) as caught:
        build(shop, context, *outputs, **more)
    return caught.value


class LayoutRead:
    """An OCI layout in a directory, each image of which is judged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index = json.loads((path / "index.json").read_bytes())
        self.tops = [
            parse_manifest(self.blob(each["digest"]), each["mediaType"])
            for each in self.index["manifests"]
        ]

    def blob(self, digest: str) -> bytes:
        data = (self.path / "blobs" / digest.replace(":", "/")).read_bytes()
        assert str(Digest.of(data)) == digest
        return data

    @property
    def images(self) -> list[Manifest]:
        (top,) = self.tops
        if isinstance(top, Index):
            found = [parse_manifest(self.blob(each.digest)) for each in top.manifests]
        else:
            found = [top]
        images = [each for each in found if isinstance(each, Manifest)]
        for image in images:
            validate(image, None, lambda digest: io.BytesIO(self.blob(digest)))
        return images

    def config(self, image: Manifest) -> Any:
        return parse_config(self.blob(image.config.digest))


def tags(registry: Registry, repository: str) -> dict[str, str]:
    """Return what the tags of a repository point at."""
    return {
        name: str(Digest.of(raw))
        for (place, name), (_, raw) in registry.manifests.items()
        if place == repository and ":" not in name
    }


def test_one_build_goes_to_many_places_also_twice_of_a_type(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    result = build(
        workshop,
        context,
        output("local", tmp_path / "one"),
        output("local", tmp_path / "two"),
        output("tar", tmp_path / "a.tar"),
        output("oci", tmp_path / "layout", tar="false", compression="zstd"),
        output("docker", tmp_path / "b.tar"),
        output("cacheonly"),
        tags=("app:1",),
    )
    assert [each.type for each in result.outputs] == [
        "local", "local", "tar", "oci", "docker", "cacheonly",
    ]  # fmt: skip
    for name in ("one", "two"):
        assert (tmp_path / name / "file").read_text() == "data"
    (image,) = LayoutRead(tmp_path / "layout").images
    assert image.layers[0].media_type.endswith("+zstd")
    assert str(image.config.digest) == result.image_id == result.identity
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert archive.getnames() == ["file"]
    with tarfile.open(tmp_path / "b.tar") as archive:
        assert "manifest.json" in archive.getnames()


def test_where_one_output_fails_the_others_are_told(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("mine")
    error = refused(
        workshop,
        context,
        output("local", tmp_path / "one"),
        output("local", tmp_path / "taken"),
        output("tar", tmp_path / "never.tar"),
    )
    assert isinstance(error, ExportError)
    assert f"`type=local,dest={tmp_path}/one` is done" in error.notes
    assert f"`type=tar,dest={tmp_path}/never.tar` was not begun" in error.notes
    assert (tmp_path / "one/file").exists()
    assert (tmp_path / "taken").read_text() == "mine"
    assert not (tmp_path / "never.tar").exists()


def test_everything_is_refused_before_anything_is_built(
    fresh: Workshop, context: Path, tmp_path: Path
) -> None:
    text = "FROM base\nRUN touch /ran\n"
    for bad in (
        output("oci", tmp_path / "x", compression="gzp"),
        output("local", tmp_path / "missing" / "x"),
        output("registry"),
        output("image", name="a@sha256:" + "0" * 64),
        output("oci", tmp_path / "x", **{"annotation-index.a": "b"}),
        output("oci", tmp_path / "x", **{"annotation-index-descriptor.a": "b"}),
        output("image", **{"annotation[linux/mips64le].a": "b"}),
        output(
            "docker",
            tmp_path / "x",
            oci_mediatypes="false",
            **{"annotation-manifest-descriptor.a": "b"},
        ),
    ):
        watch = Watch()
        fresh.write(context, text)
        request = BuildRequest(context=str(context), outputs=(output("cacheonly"), bad))
        with pytest.raises(LapstrakeError):
            fresh.engine.build(request, watch)
        assert watch.events == []


def test_platforms_of_the_environment_are_refused_before_anything_is_built_too(
    tmp_path: Path, context: Path
) -> None:
    (context / "Dockerfile").write_text(SIMPLE)
    request = BuildRequest(context=str(context), outputs=(output("docker", tmp_path / "x"),))
    settings = Settings(
        root=str(tmp_path / "store"),
        docker_config=str(tmp_path / "docker"),
        default_platform=",".join(BOTH),
    )
    watch = Watch()
    with (
        Engine.open(settings, Launcher.spawn()) as engine,
        pytest.raises(UsageError, match="holds one platform"),
    ):
        engine.build(request, watch)
    assert watch.events == []


def test_one_platform_that_is_written_in_several_ways_is_one(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    same = ("linux/arm64", "linux/arm64/v8", "linux/aarch64")
    build(workshop, context, output("docker", tmp_path / "a.tar"), platforms=same)
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert "manifest.json" in archive.getnames()


def test_an_index_is_annotated_whatever_platform_is_named(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    noted = {f"annotation-index[{HOST}].a": "b"}
    build(workshop, context, output("oci", tmp_path / "x", tar="false", **noted), platforms=BOTH)
    (index,) = LayoutRead(tmp_path / "x").tops
    assert json.loads(index.raw)["annotations"] == {"a": "b"}


def test_two_outputs_do_not_share_a_place(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "x")
    error = refused(
        workshop, context, output("tar", tmp_path / "x"), output("oci", tmp_path / "link")
    )
    assert "two outputs go to" in error.message
    build(
        workshop,
        context,
        output("oci", tmp_path / "layout", tar="false", name="a:1"),
        output("oci", tmp_path / "layout", tar="false", name="a:2", compression="zstd"),
        output("tar", Path("/dev/null")),
        output("oci", Path("/dev/null")),
    )
    assert len(LayoutRead(tmp_path / "layout").tops) == 2


def test_a_full_disk_ends_it_and_what_was_there_stays(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    error = refused(
        workshop, context, output("tar", tmp_path / "a.tar"), output("tar", Path("/dev/full"))
    )
    assert error.code == "export.no-space"
    assert f"`type=tar,dest={tmp_path}/a.tar` is done" in error.notes
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert archive.getnames() == ["file"]


def test_files_of_others_go_only_where_that_is_allowed(
    workshop: Workshop, context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    (out / "old" / "deep").mkdir(parents=True)
    (out / "old" / "deep" / "x").touch()
    (out / "file").mkdir()
    (out / "file" / "in the way").touch()
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "kept").touch()
    (out / "link").symlink_to(tmp_path / "victim")
    deleting = output("local", out, mode="delete")
    monkeypatch.chdir("/")
    if not str(out).startswith("//"):
        monkeypatch.chdir(context)
    error = refused(workshop, context, deleting)
    assert isinstance(error, UsageError)
    assert "--allow buildx.local.delete" in (error.hint or "")
    assert (out / "old" / "deep" / "x").exists()
    build(workshop, context, deleting, allow=frozenset({"buildx.local.delete"}))
    assert os.listdir(out) == ["file"]
    assert (out / "file").read_text() == "data"
    assert (tmp_path / "victim" / "kept").exists()
    (out / "more").touch()
    monkeypatch.chdir(tmp_path)
    build(workshop, context, deleting)
    assert os.listdir(out) == ["file"]


def test_directories_are_written_one_after_another(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "out"
    dest.mkdir()
    (dest / "theirs").touch()
    what = output("local", dest, mode="delete")
    with ThreadPoolExecutor() as pool:
        with alone_in(str(dest)):
            running = pool.submit(build, workshop, context, what, allow=("buildx.local.delete",))
            with pytest.raises(TimeoutError):
                running.result(timeout=2)
            assert os.listdir(dest) == ["theirs"]
        running.result(timeout=60)
    assert os.listdir(dest) == ["file"]


def test_platforms_are_kept_apart_in_directories_and_tars(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    build(
        workshop,
        context,
        output("local", tmp_path / "out"),
        output("tar", tmp_path / "out.tar"),
        text=SPLIT,
        platforms=BOTH,
    )
    architecture = HOST.split("/")[1]
    names = [HOST.replace("/", "_"), "linux_s390x"]
    assert sorted(os.listdir(tmp_path / "out")) == sorted(names)
    assert (tmp_path / "out" / names[0] / "for").read_text() == f"{architecture}\n"
    assert (tmp_path / "out/linux_s390x/for").read_text() == "s390x\n"
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert archive.getnames() == [
            path for name in names for path in (name, f"{name}/file", f"{name}/for")
        ]
        file = archive.extractfile("linux_s390x/for")
        assert file is not None
        assert file.read() == b"s390x\n"


def test_one_platform_has_a_directory_of_its_own_where_that_is_wanted(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    build(workshop, context, output("local", tmp_path / "out", platform_split="true"))
    assert os.listdir(tmp_path / "out") == [HOST.replace("/", "_")]


def test_platforms_in_one_directory_must_not_have_the_same_file(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    together = output("local", tmp_path / "out", platform_split="false")
    error = refused(workshop, context, together, text=SPLIT, platforms=BOTH)
    assert "in the images of several platforms" in error.message
    assert not (tmp_path / "out").exists()
    error = refused(
        workshop, context, output("tar", tmp_path / "x", platform_split="false"), platforms=BOTH
    )
    assert "a directory for each" in error.message


def test_hard_links_stay_within_their_platform(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    text = "FROM --platform=$BUILDPLATFORM base AS a\nRUN mkdir /d && echo x > /d/a && ln /d/a /d/b\nFROM scratch\nCOPY --from=a /d /d\n"
    build(workshop, context, output("tar", tmp_path / "o.tar"), text=text, platforms=BOTH)
    with tarfile.open(tmp_path / "o.tar") as archive:
        links = [(each.name, each.linkname) for each in archive if each.islnk()]
    for name, target in links:
        assert name.split("/")[0] == target.split("/")[0]


def test_several_platforms_are_an_index_in_a_layout(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    result = build(
        workshop,
        context,
        output("oci", tmp_path / "layout", tar="false"),
        text=SPLIT,
        platforms=BOTH,
        tags=("app:2",),
        annotations=(("annotation-index.i", "1"), (f"annotation-manifest[{OTHER}].m", "2")),
    )
    read = LayoutRead(tmp_path / "layout")
    (top,) = read.tops
    assert isinstance(top, Index)
    assert [str(each.platform) for each in top.manifests] == list(BOTH)
    assert top.annotations == (("i", "1"),)
    assert [("m", "2") in each.annotations for each in read.images] == [False, True]
    assert [str(each.config.digest) for each in read.images] == [
        each.image_id for each in result.platforms
    ]
    assert result.identity == str(top.descriptor().digest)


def test_an_archive_for_docker_holds_one_platform(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    error = refused(workshop, context, output("docker", tmp_path / "x"), platforms=BOTH)
    assert "type=oci" in (error.hint or "")


def test_tags_of_a_repository_are_pushed_together(
    workshop: Workshop, context: Path, registry: Registry
) -> None:
    names = tuple(f"{registry.host}/app:{tag}" for tag in ("1", "2", "latest"))
    result = build(workshop, context, push=True, tags=(*names, f"{registry.host}/other:1"))
    assert set(tags(registry, "app").values()) == {result.digest}
    assert sorted(tags(registry, "app")) == ["1", "2", "latest"]
    assert tags(registry, "other") == {"1": result.digest}
    assert registry.count("PUT", "app/blobs/uploads") == 2


def test_several_platforms_are_pushed_as_an_index(
    workshop: Workshop, context: Path, registry: Registry
) -> None:
    name = f"{registry.host}/app:both"
    result = build(workshop, context, push=True, tags=(name,), text=SPLIT, platforms=BOTH)
    raw = registry.manifests["app", "both"][1]
    index = parse_manifest(raw)
    assert isinstance(index, Index)
    assert str(Digest.of(raw)) == result.digest == result.identity
    assert [str(each.platform) for each in index.manifests] == list(BOTH)
    for each in index.manifests:
        assert ("app", str(each.digest)) in registry.manifests


def test_a_name_that_stands_for_several_platforms_is_pushed_as_the_same_index(
    workshop: Workshop, context: Path, registry: Registry
) -> None:
    name = f"{registry.host}/app:later"
    build(workshop, context, tags=(name,), text=SPLIT, platforms=BOTH)
    first = workshop.engine.push(name, Watch()).digest
    direct = build(workshop, context, push=True, tags=(name,), text=SPLIT, platforms=BOTH)
    assert first == direct.digest
    assert workshop.engine.push(name, Watch()).digest == first


def test_a_push_by_digest_leaves_tags_alone(
    workshop: Workshop, context: Path, registry: Registry
) -> None:
    result = build(
        workshop,
        context,
        Output(
            type="registry",
            attributes=(("name", f"{registry.host}/app"), ("push-by-digest", "true")),
        ),
    )
    assert tags(registry, "app") == {}
    assert ("app", result.digest) in registry.manifests
    assert result.names == (f"{registry.host}/app@{result.digest}",)
    assert workshop.engine.inspect(result.names[0])["Id"] == result.image_id
    with pytest.raises(ImageError):
        workshop.engine.inspect(f"{registry.host}/app:latest")


def test_a_registry_that_nobody_vouches_for_is_accepted_only_where_that_is_said(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    if shutil.which("docker-registry") is None or shutil.which("openssl") is None:
        pytest.skip("docker-registry or openssl is not installed")
    signed = sign(tmp_path, make_authority(tmp_path, "town"), "server")
    with docker_registry(tmp_path, tls=signed) as host:
        error = refused(workshop, context, output("registry", name=f"{host}/app:1"))
        assert "cannot be verified" in error.message
        trusting = Output(
            type="registry", attributes=(("name", f"{host}/app:1"), ("registry.insecure", "true"))
        )
        result = build(workshop, context, trusting)
        assert result.digest is not None


def test_what_is_pushed_may_differ_from_what_is_kept(
    workshop: Workshop, context: Path, registry: Registry
) -> None:
    name = f"{registry.host}/app:small"
    result = build(
        workshop,
        context,
        output("registry", compression="zstd", compression_level="19", oci_mediatypes="true"),
        tags=(name,),
    )
    manifest = parse_manifest(registry.manifests["app", "small"][1])
    assert isinstance(manifest, Manifest)
    assert manifest.layers[0].media_type.endswith("+zstd")
    validate(manifest, None, lambda digest: io.BytesIO(registry.blobs["app", str(digest)]))
    assert str(manifest.config.digest) == result.image_id


def test_an_image_may_have_dockers_media_types(
    workshop: Workshop, context: Path, registry: Registry
) -> None:
    name = f"{registry.host}/app:docker"
    build(workshop, context, output("registry", oci_mediatypes="false"), tags=(name,))
    media_type, raw = registry.manifests["app", "docker"]
    manifest = parse_manifest(raw, media_type)
    assert isinstance(manifest, Manifest)
    validate(manifest, None, lambda digest: io.BytesIO(registry.blobs["app", str(digest)]))
    assert "vnd.docker" in manifest.config.media_type


def test_names_come_with_an_output_too(workshop: Workshop, context: Path) -> None:
    catalogue = workshop.engine._catalogue
    result = build(
        workshop,
        context,
        output("image", name="n:1,n:2", name_canonical="true", dangling_name_prefix="d"),
    )
    (made,) = result.outputs
    assert made.descriptor is not None
    assert result.names == ("n:1", "n:2", f"d@{made.descriptor.digest}")
    digest = made.descriptor.digest
    for name in ("n:1", "n:2", f"n@{digest}", f"d@{digest}"):
        image = catalogue.by_reference(Reference.parse(name))
        assert image is not None
        assert image.id == result.image_id
    build(
        workshop,
        context,
        output("image", name="n:3", dangling_name_prefix="e", danging_name_empty_only="true"),
        output("image", name="n:4", store="false"),
    )
    assert catalogue.by_reference(Reference.parse(f"e@{digest}")) is None
    assert catalogue.by_reference(Reference.parse("n:3")) is not None
    assert catalogue.by_reference(Reference.parse("n:4")) is None


def test_what_only_the_cache_has_gets_no_name(workshop: Workshop, context: Path) -> None:
    result = build(workshop, context, output("cacheonly"), tags=("nameless",))
    assert result.names == ()
    assert workshop.engine._catalogue.by_reference(Reference.parse("nameless")) is None


def test_annotations_stay_with_the_name_until_it_is_pushed(
    workshop: Workshop, context: Path, registry: Registry
) -> None:
    name = f"{registry.host}/app:noted"
    build(workshop, context, tags=(name,), annotations=(("annotation.org.example.a", "b"),))
    workshop.engine.push(name, Watch())
    manifest = parse_manifest(registry.manifests["app", "noted"][1])
    assert dict(manifest.annotations)["org.example.a"] == "b"


def test_annotations_need_an_image_to_go_to(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    error = refused(
        workshop,
        context,
        output("local", tmp_path / "x"),
        annotations=(("annotation.a", "b"),),
    )
    assert "--annotation" in error.message


def test_times_are_clamped_in_layers_only_where_that_is_wanted(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    read = {}
    for name, more in (("said", {}), ("rewritten", {"rewrite_timestamp": "true"})):
        what = output("oci", tmp_path / name, tar="false", source_date_epoch="1000", **more)
        result = build(workshop, context, what)
        read[name] = LayoutRead(tmp_path / name)
        (image,) = read[name].images
        config = read[name].config(image)
        assert config.created == "1970-01-01T00:16:40Z"
        assert {line.created for line in config.history} == {config.created}
        assert result.identity == str(image.config.digest) != result.image_id
        data = io.BytesIO(read[name].blob(image.layers[0].digest))
        with tarfile.open(fileobj=data) as archive:
            times = {member.mtime for member in archive}
        assert times == ({1000} if more else {1_600_000_000})


def test_files_have_the_time_that_an_output_is_told(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    build(
        workshop,
        context,
        output("local", tmp_path / "out", source_date_epoch="1000"),
        output("tar", tmp_path / "out.tar", source_date_epoch="1000"),
    )
    assert os.stat(tmp_path / "out/file").st_mtime == 1000
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert {member.mtime for member in archive} == {1000}


def test_a_time_must_be_known_to_be_written(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    error = refused(workshop, context, output("oci", tmp_path / "x", rewrite_timestamp="true"))
    assert "source-date-epoch" in (error.hint or "")
    build(
        workshop,
        context,
        output("oci", tmp_path / "x", tar="false", rewrite_timestamp="true"),
        build_args=(("SOURCE_DATE_EPOCH", "2000"),),
    )
    read = LayoutRead(tmp_path / "x")
    (image,) = read.images
    assert read.config(image).created == "1970-01-01T00:33:20Z"


def test_a_name_stands_for_what_was_rewritten(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    result = build(
        workshop,
        context,
        output("image", rewrite_timestamp="true", source_date_epoch="1000"),
        tags=("rewritten",),
    )
    image = workshop.engine._catalogue.by_reference(Reference.parse("rewritten"))
    assert image is not None
    assert image.id == result.identity == result.stored != result.image_id
    build(
        workshop,
        context,
        output("local", tmp_path / "out"),
        text="FROM rewritten\n",
    )
    assert os.stat(tmp_path / "out/file").st_mtime == 1000


def test_estargz_is_another_image_which_can_be_built_on(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    result = build(
        workshop,
        context,
        output("image", compression="estargz"),
        output("oci", tmp_path / "layout", tar="false", compression="estargz"),
        tags=("lazy",),
    )
    read = LayoutRead(tmp_path / "layout")
    (image,) = read.images
    assert "containerd.io/snapshot/stargz/toc.digest" in dict(image.layers[0].annotations)
    assert result.identity == str(image.config.digest) != result.image_id
    build(workshop, context, output("local", tmp_path / "out"), text="FROM lazy\nCOPY file /b\n")
    assert sorted(os.listdir(tmp_path / "out")) == [".no.prefetch.landmark", "b", "file"]


def test_what_it_was_built_from_is_told_where_that_is_wanted(
    workshop: Workshop, context: Path
) -> None:
    result = build(workshop, context, text=SPLIT, platforms=BOTH, tell="min")
    assert [platform for platform, _ in result.provenance] == list(BOTH)
    for _, predicate in result.provenance:
        assert json.loads(predicate)["buildDefinition"]["resolvedDependencies"] is not None
    assert build(workshop, context).provenance == ()


def test_what_is_claimed_stands_beside_files(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    text = "FROM base AS made\nRUN mkdir /d && echo x > /d/a && ln /d/a /d/b\nFROM scratch\nCOPY --from=made /d /d\nCOPY file /\n"
    build(
        workshop,
        context,
        output("local", tmp_path / "out"),
        output("tar", tmp_path / "out.tar", attestation_prefix="pre-", source_date_epoch="5"),
        text=text,
        provenance=Provenance(filename="told.json"),
    )
    statement = json.loads((tmp_path / "out/told.json").read_text())
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["predicate"]["buildDefinition"]
    digests = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    assert digests == {
        name: hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest()
        for name in ("d/a", "d/b", "file")
    }
    with tarfile.open(tmp_path / "out.tar") as archive:
        file = archive.extractfile("pre-told.json")
        assert file is not None
        assert json.loads(file.read()) == statement
        assert archive.getmember("pre-told.json").mtime == 5
    build(workshop, context, output("local", tmp_path / "plain"), text=text)
    assert not (tmp_path / "plain/told.json").exists()


def test_what_is_claimed_of_platforms_is_kept_apart(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    text = "FROM scratch\nARG TARGETARCH\nCOPY file /only-$TARGETARCH\n"
    build(
        workshop,
        context,
        output("local", tmp_path / "apart"),
        output("local", tmp_path / "together", platform_split="false"),
        text=text,
        platforms=BOTH,
        provenance=Provenance(),
    )
    names = [HOST.replace("/", "_"), "linux_s390x"]
    for name in names:
        assert (tmp_path / "apart" / name / "provenance.json").exists()
        found = json.loads((tmp_path / "together" / f"provenance.{name}.json").read_text())
        (subject,) = found["subject"]
        assert subject["name"] == f"only-{name.split('_')[1]}"


@pytest.mark.parametrize("kind", ["local", "tar"])
def test_a_file_that_is_called_like_a_claim_is_not_replaced(
    workshop: Workshop, context: Path, tmp_path: Path, kind: str
) -> None:
    claim = Provenance(filename="file")
    error = refused(workshop, context, output(kind, tmp_path / "x"), provenance=claim)
    assert "of its own" in error.message
    assert not (tmp_path / "x").exists()


def test_claims_of_an_earlier_build_do_not_keep_an_archive_from_being_written(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    claim = Provenance()
    error = refused(workshop, context, output("docker", tmp_path / "a.tar"), provenance=claim)
    assert "has no place for provenance" in error.message
    result = build(workshop, context, output("oci", tmp_path / "a.oci"), provenance=claim)
    made = result.outputs[0].descriptor
    assert made is not None
    assert made.media_type == OCI_INDEX
    assert result.identity == result.image_id
    build(workshop, context, output("docker", tmp_path / "a.tar"))
    build(workshop, context, output("docker", tmp_path / "b.tar", compression="gzip"))


def test_estargz_and_times_go_together(workshop: Workshop, context: Path, tmp_path: Path) -> None:
    attributes = {
        "compression": "estargz",
        "rewrite_timestamp": "true",
        "source_date_epoch": "1000",
    }
    build(workshop, context, output("oci", tmp_path / "layout", tar="false", **attributes))
    read = LayoutRead(tmp_path / "layout")
    (image,) = read.images
    (layer,) = image.layers
    table = dict(layer.annotations)["containerd.io/snapshot/stargz/toc.digest"]
    found = Stargz(read.blob(layer.digest), table)
    assert found.entries["file"]["modtime"] == "1970-01-01T00:16:40Z"
    assert found.read("file") == b"data"


def test_annotations_outlive_a_prune(workshop: Workshop, context: Path, registry: Registry) -> None:
    name = f"{registry.host}/app:kept"
    (context / "file").write_text("of this test alone")
    build(
        workshop,
        context,
        output("image", compression="zstd", compression_level="7"),
        tags=(name,),
        annotations=(("annotation.org.example.a", "kept"),),
    )
    workshop.engine.prune(Pruning())
    workshop.engine.push(name, Watch())
    manifest = parse_manifest(registry.manifests["app", "kept"][1])
    assert isinstance(manifest, Manifest)
    assert dict(manifest.annotations)["org.example.a"] == "kept"
    assert manifest.layers[0].media_type.endswith("+zstd")


def test_the_last_event_tells_the_digest(workshop: Workshop, context: Path, tmp_path: Path) -> None:
    workshop.write(context, SIMPLE)
    watch = Watch()
    request = BuildRequest(context=str(context), outputs=(output("oci", tmp_path / "x"),))
    result = workshop.engine.build(request, watch)
    done = watch.events[-1]
    assert isinstance(done, BuildDone)
    assert result.outputs[0].descriptor is not None
    assert done.digest == result.outputs[0].descriptor.digest


def test_records_of_a_cache_go_into_what_is_pushed_by_an_output_too(
    workshop: Workshop, context: Path, registry: Registry, tmp_path: Path
) -> None:
    inline = (SharedCache(type="inline", where=""),)
    error = refused(workshop, context, output("image"), cache_to=inline)
    assert error.code == "usage"
    name = f"{registry.host}/app:cached"
    build(workshop, context, output("registry"), tags=(name,), cache_to=inline)
    manifest = parse_manifest(registry.manifests["app", "cached"][1])
    assert "dev.lapstrake.cache.records" in dict(manifest.annotations)
    build(workshop, context, output("oci", tmp_path / "layout", tar="false"), cache_to=inline)
    (written,) = LayoutRead(tmp_path / "layout").images
    found = records_in(written)
    assert found is not None
    (record,) = [each for each in found.records if each.layer.blob is not None]
    assert record.layer.blob is not None
    assert record.layer.blob.digest == written.layers[0].digest
    lazy = output("oci", tmp_path / "lazy", tar="false", compression="estargz")
    build(workshop, context, lazy, cache_to=inline)
    found = records_in(LayoutRead(tmp_path / "lazy").images[0])
    assert found is not None
    assert [each.layer.blob for each in found.records] == [None]


def test_a_push_that_fails_leaves_what_was_written_before(
    workshop: Workshop, context: Path, registry: Registry, tmp_path: Path
) -> None:
    registry.fault("PUT", "manifests", status(400), times=99)
    error = refused(
        workshop,
        context,
        output("oci", tmp_path / "x"),
        output("registry"),
        tags=(f"{registry.host}/app:bad",),
    )
    assert f"`type=oci,dest={tmp_path}/x` is done" in error.notes
    assert tags(registry, "app") == {}


def test_the_directories_of_an_image_are_made_ahead_where_that_is_wanted(
    fresh: Workshop, context: Path
) -> None:
    result = build(fresh, context, output("image", unpack="true"), tags=("ready",))
    layers = fresh.engine._catalogue.open(result.image_id).state.layers
    assert all(fresh.engine._store.layers.directory_names(each.diff_id) for each in layers)


def test_platforms_come_out_the_same_for_root_and_for_others(product: Product, ours: Path) -> None:
    context = ours / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        "FROM scratch\nARG TARGETARCH\nCOPY --chown=12:34 file /d/$TARGETARCH\n"
    )
    (context / "file").write_text("data")
    for each in (context, *context.iterdir()):
        os.chown(each, product.person.uid, product.person.gid)
    product.build(
        context, "--platform", f"{HOST},{OTHER}", "-o", ours / "out",
        "-o", f"type=tar,dest={ours}/out.tar",
        "-o", f"type=oci,tar=false,dest={ours}/layout,compression=zstd",
    )  # fmt: skip
    names = [HOST.replace("/", "_"), "linux_s390x"]
    for name in names:
        file = ours / "out" / name / "d" / name.split("_")[1]
        assert file.read_text() == "data"
        assert os.stat(file).st_uid == product.person.uid
    with tarfile.open(ours / "out.tar") as archive:
        found = {each.name: (each.uid, each.gid) for each in archive if each.isfile()}
    assert found == {f"{name}/d/{name.split('_')[1]}": (12, 34) for name in names}
    assert len(LayoutRead(ours / "layout").images) == 2
