"""One build, delivered in every form that there is: other programs read each of them, and run what is in it."""

from __future__ import annotations

import json
import os
import shlex
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.projects.judges import ask, runc_run
from tests.projects.project import needs
from tests.support.docker_engine import DockerEngine
from tests.support.podman import Podman
from tests.support.product import Product

DOCKERFILE = """
FROM busybox
RUN mkdir -p /srv/x && echo built > /srv/x/y && ln /srv/x/y /srv/x/z && touch /gone
RUN rm /gone && echo more >> /srv/x/y
COPY --chown=12:34 file /srv/file
CMD ["cat", "/srv/x/y", "/srv/x/z", "/srv/file"]
"""
PRINTED = "built\nmore\nbuilt\ndata\n"
SHOW = ("cat", "/srv/x/y", "/srv/x/z", "/srv/file")
FORMS = {
    "gzip9": "compression=gzip,compression-level=9",
    "forced": "compression=gzip,compression-level=1,force-compression=true",
    "zstd": "compression=zstd,compression-level=19",
    "zstd-all": "compression=zstd,force-compression=true",
    "plain": "compression=uncompressed,force-compression=true",
    "estargz": "compression=estargz",
    "estargz-all": "compression=estargz,force-compression=true",
    "docker": "oci-mediatypes=false",
    "annotated": "annotation.org.example.a=b,annotation-manifest-descriptor.c=d",
    "clamped": "rewrite-timestamp=true,source-date-epoch=1000000000",
}


class Written(NamedTuple):
    """What one user's build was written to: `FORM.oci` archives, `FORM` layouts, and tags of `name`."""

    product: Product
    place: Path
    name: str


@pytest.fixture(scope="session")
def written(
    products: dict[str, Product], bases: dict[str, Path], ground: Path, registry: str
) -> Written:
    """Return what a build was written to, of a user without rights where the machine allows that."""
    assert "busybox" in bases
    if not products:
        pytest.skip("nobody can build here")
    product = products.get("rootless") or products["root"]
    place = ground / "outputs"
    place.mkdir()
    context = place / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "file").write_text("data\n")
    for each in (place, context, *context.iterdir()):
        os.chown(each, product.person.uid, product.person.gid)
    name = f"{registry}/outputs/app"
    words: list[str] = []
    for form, attributes in FORMS.items():
        words += ["-o", f"type=registry,name={name}:{form},{attributes}"]
        words += ["-o", f"type=oci,dest={place}/{form}.oci,name=judged:{form},{attributes}"]
    words += ["-o", f"type=oci,tar=false,dest={place}/layout,name=judged,compression=estargz"]
    words += ["-o", f"type=docker,dest={place}/plain.docker,name=loaded:plain"]
    words += ["-o", f"type=docker,dest={place}/gzip.docker,name=loaded:gzip,compression=gzip"]
    product.build(context, "--network", "host", *words)
    return Written(product, place, name)


@pytest.fixture(scope="session")
def podman(ground: Path) -> Iterator[Podman]:
    """Podman and buildah with storage of their own."""
    needs("podman", "buildah", "runc")
    if os.geteuid() != 0:
        pytest.skip("podman is run as root here")
    podman = Podman(ground / "podman")
    yield podman
    podman.close()


def raw(name: str) -> Any:
    return json.loads(ask("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"))


def manifest_in(archive: Path) -> Any:
    with tarfile.open(archive) as files:

        def read(name: str) -> Any:
            file = files.extractfile(name)
            assert file is not None
            return json.loads(file.read())

        (top,) = read("index.json")["manifests"]
        return read(f"blobs/{top['digest'].replace(':', '/')}")


@pytest.mark.parametrize("form", list(FORMS))
def test_skopeo_copies_each_form_from_the_registry_and_the_archive(
    written: Written, form: str, tmp_path: Path
) -> None:
    source = f"docker://{written.name}:{form}"
    ask("skopeo", "copy", "--src-tls-verify=false", source, f"dir:{tmp_path}/pushed")
    ask("skopeo", "copy", f"oci-archive:{written.place}/{form}.oci", f"dir:{tmp_path}/written")
    pushed, kept = (
        json.loads((tmp_path / each / "manifest.json").read_bytes())
        for each in ("pushed", "written")
    )
    assert pushed["layers"] == kept["layers"] or form == "docker"
    assert [each["digest"] for each in pushed["layers"]] == [
        each["digest"] for each in kept["layers"]
    ]


@pytest.mark.parametrize("form", ["gzip9", "estargz", "estargz-all", "docker", "clamped"])
def test_a_docker_engine_pulls_and_runs_each_form(
    written: Written, form: str, engine: DockerEngine
) -> None:
    done = engine.run("run", "--rm", "--network", "host", f"{written.name}:{form}")
    assert (done.returncode, done.stdout) == (0, PRINTED), done.stderr


@pytest.mark.parametrize("form", ["plain", "gzip"])
def test_a_docker_engine_loads_archives_with_plain_and_with_compressed_layers(
    written: Written, form: str, engine: DockerEngine
) -> None:
    done = engine.run("load", "-i", str(written.place / f"{form}.docker"))
    assert f"Loaded image: loaded:{form}" in done.stdout, done.stderr
    done = engine.run("run", "--rm", "--network", "host", f"loaded:{form}")
    assert (done.returncode, done.stdout) == (0, PRINTED), done.stderr


def test_runc_runs_what_umoci_unpacks_of_estargz(written: Written, tmp_path: Path) -> None:
    needs("umoci", "runc")
    if os.geteuid() != 0:
        pytest.skip("umoci is run as root here")
    ask("umoci", "unpack", "--image", f"{written.place}/layout:latest", tmp_path / "bundle")
    assert runc_run(tmp_path / "bundle", SHOW, identity="lapstrake-outputs") == PRINTED
    status = os.stat(tmp_path / "bundle/rootfs/srv/file")
    assert (status.st_uid, status.st_gid) == (12, 34)


@pytest.mark.parametrize("form", ["zstd", "zstd-all", "plain", "estargz"])
def test_podman_loads_and_runs_each_form(written: Written, form: str, podman: Podman) -> None:
    podman.run("load", "-i", written.place / f"{form}.oci")
    name = f"docker.io/library/judged:{form}"
    assert podman.run("run", "--rm", "--network", "host", name) == PRINTED
    podman.run("rmi", "--force", name)


def test_buildah_builds_on_what_was_pushed(written: Written, podman: Podman) -> None:
    image = f"{written.name}:zstd-all"
    podman.buildah("pull", "--tls-verify=false", image)
    container = podman.buildah("from", image).strip()
    printed = podman.buildah("run", "--isolation", "chroot", container, "--", *SHOW)
    assert printed == PRINTED
    podman.buildah("rm", container)


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(
            form, marks=() if form in ("zstd", "estargz-all", "docker") else pytest.mark.slow
        )
        for form in FORMS
    ],
)
def test_each_form_comes_back_and_leaves_again_as_the_same_bytes(
    written: Written, form: str, registry: str
) -> None:
    other = Product(
        written.product.programs, written.product.root.parent / "other", written.product.person
    )
    other.run("load", "-i", written.place / f"{form}.oci")
    back = f"{registry}/back/app:{form}"
    other.run("tag", f"judged:{form}", back)
    other.run("push", back)
    # Plain layers in an archive say nothing of how they are to be sent.
    assert form == "plain" or raw(back) == manifest_in(written.place / f"{form}.oci")
    other.run("rmi", "--force", back, f"judged:{form}")
    other.run("pull", f"{written.name}:{form}")
    again = f"{registry}/again/app:{form}"
    other.run("tag", f"{written.name}:{form}", again)
    other.run("push", again)
    assert raw(again) == raw(f"{written.name}:{form}")
    printed = other.run("run", "--rm", "--network", "host", again).stdout
    assert printed == PRINTED
    other.run("system", "reset", "--force")


def test_layers_of_a_pulled_base_stay_as_they_came_unless_forced(written: Written) -> None:
    kinds = {
        form: [
            each["mediaType"].rpartition(".")[2] for each in raw(f"{written.name}:{form}")["layers"]
        ]
        for form in ("zstd", "zstd-all", "plain")
    }
    assert set(kinds["zstd-all"]) == {"tar+zstd"}
    assert set(kinds["plain"]) == {"tar"}
    assert kinds["zstd"][1:] == ["tar+zstd"] * 3


def test_standard_output_has_the_archive_and_nothing_else(written: Written) -> None:
    archive = written.place / "out.oci"
    command = written.product.command(
        "build", "-q", "--network", "host", "-o", "type=oci,compression=zstd",
        "-o", f"type=tar,dest={written.place}/x.tar", written.place / "context",
    )  # fmt: skip
    done = written.product.person.run(["sh", "-c", f"{shlex.join(command)} > {archive}"])
    assert (done.returncode, done.stderr) == (0, "")
    ask("skopeo", "inspect", f"oci-archive:{archive}")
