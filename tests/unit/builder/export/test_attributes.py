"""The words of an output, read or refused by name."""

from __future__ import annotations

import pytest

from builder.errors import ReferenceInvalid, UsageError
from builder.export.attributes import TYPES, requested
from builder.export.directory import Others
from builder.export.requested import (
    Archive,
    Directory,
    DockerArchive,
    ImageForm,
    InStore,
    Layout,
    Nothing,
)
from builder.export.wanted import Annotation, AnnotationPlace, LayerForm
from builder.oci.mediatypes import Compression, Family
from builder.oci.platform import Platform
from builder.oci.reference import Reference


@pytest.mark.parametrize(
    ("kind", "dest", "expected"),
    [
        ("local", "x", Directory(dest="x")),
        ("tar", "x", Archive(dest="x")),
        ("tar", None, Archive(dest="-")),
        ("oci", "x", Layout(dest="x")),
        ("oci", None, Layout(dest="-")),
        ("docker", "x", DockerArchive(dest="x")),
        ("docker", None, InStore()),
        ("image", None, InStore()),
        ("registry", None, InStore(push=True)),
        ("cacheonly", None, Nothing()),
    ],
)
def test_each_type_by_itself(kind: str, dest: str | None, expected: object) -> None:
    assert requested(kind, dest, ()) == expected
    assert kind in TYPES


def test_what_a_directory_may_be_told() -> None:
    pairs = (("mode", "delete"), ("platform-split", "false"), ("source-date-epoch", "7"))
    assert requested("local", "x", pairs) == Directory(
        dest="x", others=Others.GO, split=False, epoch=7
    )


def test_an_archive_for_docker_is_plain_until_something_is_said() -> None:
    assert requested("docker", "x", (("name", "a"),)) == DockerArchive(
        dest="x", names=(Reference.parse("a"),)
    )
    assert requested("docker", "x", (("compression", "gzip"),)) == DockerArchive(
        dest="x", plain=False
    )


def test_what_a_layout_may_be_told() -> None:
    pairs = (
        ("tar", "false"),
        ("name", "a:1, b"),
        ("compression", "zstd"),
        ("compression-level", "19"),
        ("force-compression", "true"),
        ("oci-mediatypes", "1"),
        ("oci-artifact", "f"),
        ("attestation-inline", ""),
        ("rewrite-timestamp", "true"),
        ("source-date-epoch", "0"),
        ("compatibility-version", "20"),
        ("annotation.org.a.b", "c"),
        ("annotation-index.i", "1"),
        ("annotation-manifest-descriptor[linux/arm64/v8].d", "2"),
    )
    assert requested("oci", "x", pairs) == Layout(
        dest="x",
        tar=False,
        names=(Reference.parse("a:1"), Reference.parse("b")),
        form=ImageForm(
            layers=LayerForm(compression=Compression.ZSTD, level=19, force=True),
            oci=True,
            artifact=False,
            inline=True,
            rewrite=True,
            epoch=0,
            compatibility=20,
            annotations=(
                Annotation(key="org.a.b", value="c"),
                Annotation(key="i", value="1", place=AnnotationPlace.INDEX),
                Annotation(
                    key="d",
                    value="2",
                    place=AnnotationPlace.MANIFEST_DESCRIPTOR,
                    platform=Platform("linux", "arm64"),
                ),
            ),
        ),
    )


def test_what_the_store_may_be_told() -> None:
    pairs = (
        ("name", "r.io/a,r.io/b:2"),
        ("push", "true"),
        ("registry.insecure", "true"),
        ("unpack", "true"),
        ("store", "false"),
        ("dangling-name-prefix", "r.io/a"),
        ("danging-name-empty-only", "true"),
        ("name-canonical", "true"),
    )
    assert requested("image", None, pairs) == InStore(
        names=(Reference.parse("r.io/a"), Reference.parse("r.io/b:2")),
        push=True,
        insecure=True,
        unpack=True,
        store=False,
        dangling="r.io/a",
        fallback=True,
        canonical=True,
    )
    by_digest = requested("registry", None, (("push-by-digest", "true"), ("name", "r.io/a")))
    assert isinstance(by_digest, InStore)
    assert by_digest.by_digest


@pytest.mark.parametrize(
    ("kind", "dest", "attributes", "message", "hint"),
    [
        ("ocl", "x", {}, "`ocl` is not a type", "did you mean `oci`?"),
        ("zip", "x", {}, "`zip` is not a type", "registry or cacheonly"),
        ("oci", "x", {"tra": "false"}, "no attribute `tra`", "did you mean `tar`?"),
        ("oci", "x", {"tar": "maybe"}, "neither true nor false", ""),
        ("oci", "-", {"tar": "false"}, "standard output", "type=tar"),
        ("local", "-", {}, "standard output", "type=tar"),
        ("local", None, {}, "lacks a destination", "dest="),
        ("oci", None, {"tar": "false"}, "lacks a destination", "dest="),
        ("image", "x", {}, "has no destination", "leave out"),
        ("registry", "x", {}, "has no destination", "leave out"),
        ("cacheonly", "x", {}, "has no destination", "leave out"),
        ("cacheonly", None, {"name": "x"}, "no attribute `name`", ""),
        ("oci", "x", {"compression": "gzp"}, "compression=gzp", "did you mean `gzip`?"),
        ("oci", "x", {"compression-level": "10"}, "is not a level", "0 to 9"),
        ("oci", "x", {"compression-level": "-1"}, "is not a level", "0 to 9"),
        ("oci", "x", {"compression-level": "fast"}, "is not a number", ""),
        (
            "oci",
            "x",
            {"compression": "zstd", "compression-level": "23"},
            "is not a level",
            "0 to 22",
        ),
        (
            "oci",
            "x",
            {"compression": "uncompressed", "compression-level": "1"},
            "does not go with",
            "",
        ),
        ("oci", "x", {"oci-mediatypes": "no", "tar": "0"}, "neither true nor false", ""),
        ("oci", "x", {"oci-mediatypes": "0", "oci-artifact": "1"}, "does not go with", ""),
        ("oci", "x", {"compatibility-version": "25"}, "compatibility-version=25", "10, 20, 30"),
        (
            "oci",
            "x",
            {"compatibility-version": "10", "compression": "zstd"},
            "does not go with",
            "",
        ),
        ("oci", "x", {"source-date-epoch": "-1"}, "before 1970", ""),
        ("oci", "x", {"source-date-epoch": "now"}, "is not a number", ""),
        ("oci", "x", {"annotations.a": "b"}, "no attribute `annotations.a`", ""),
        ("oci", "x", {"annotation": "b"}, "no attribute `annotation`", ""),
        ("oci", "x", {"annotation-indx.a": "b"}, "no place", "did you mean `index`?"),
        ("oci", "x", {"annotation-index[linux.a": "b"}, "not closed", ""),
        ("oci", "x", {"annotation.a b": "c"}, "holds a blank", ""),
        ("docker", "x", {"context": "y"}, "no attribute `context`", "no Docker engine"),
        ("docker", "x", {"tar": "false"}, "no attribute `tar`", "type=oci"),
        ("local", "x", {"mode": "dlete"}, "mode=dlete", "did you mean `delete`?"),
        ("local", "x", {"attestation-prefix": "a/b"}, "no beginning of a file's name", ""),
        ("oci", "x", {"attestation-prefix": "a"}, "no attribute `attestation-prefix`", ""),
        ("image", None, {"push-by-digest": "true"}, "pushes nothing", "push=true"),
        ("registry", None, {"push": "false"}, "pushes", "type=image"),
        (
            "registry",
            None,
            {"push-by-digest": "true", "name": "r.io:5000/a:1"},
            "has a tag",
            "alone",
        ),
        ("image", None, {"unpack": "1", "rewrite-timestamp": "1"}, "does not go with", ""),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(
    kind: str, dest: str | None, attributes: dict[str, str], message: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        requested(kind, dest, tuple(attributes.items()))
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["name", "dangling-name-prefix"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(ReferenceInvalid):
        requested("image", None, ((name, "UPPER"),))


def test_older_versions_have_dockers_media_types_where_nothing_is_claimed() -> None:
    old = ImageForm(compatibility=20)
    assert old.wanted((), claims=False).family is Family.DOCKER
    assert old.wanted((), claims=True).family is None
    assert not old.wanted((), claims=True).artifact
    assert ImageForm().wanted((), claims=True).artifact
