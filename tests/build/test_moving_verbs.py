"""`copy`, `manifest` and `diff` as they are typed, as root and as an ordinary user."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.certificates import make_authority, sign
from tests.support.docker_registry import docker_registry
from tests.support.product import Product
from tests.support.registry import Registry, hostile_registry
from tests.support.sample_image import sample_image


def changed(product: Product, ours: Path) -> str:
    """Build `changed`, which is `box` with other files and another command."""
    context = ours / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        'FROM box\nRUN rm /bin/sh && mkdir /new && chown 7:8 /new && ln -s x /link\nCMD ["new"]\n'
    )
    if not product.person.is_me:
        for path in (context, context / "Dockerfile"):
            os.chown(path, product.person.uid, product.person.gid)
    product.build(context, "-q", "-t", "changed")
    return "changed"


def test_diff_names_files_and_configuration(product: Product, ours: Path) -> None:
    name = changed(product, ours)
    told = product.run("diff", "box", name, code=1).stdout.splitlines()
    files = told[told.index("Files:") + 1 :]
    assert {"D /bin/sh", "A /new", "A /link"} <= set(files)
    assert 'C Cmd: ["echo","by default"] -> ["new"]' in told
    document = json.loads(product.run("diff", "--json", "box", name, code=1).stdout)
    assert {"path": "/new", "how": "added", "changes": []} in document["files"]
    assert product.run("diff", name, name).stdout == ""
    other = product.run("diff", "--platform", "linux/s390x", "box", name, code=2)
    assert "for linux/s390x" in other.stderr
    missing = product.run("diff", "box", "nothing", code=2)
    assert "nothing" in missing.stderr


def test_diff_looks_into_images_that_were_never_used(product: Product, ours: Path) -> None:
    name = changed(product, ours)
    archive = ours / "both.tar"
    product.run("save", "-o", archive, "box", name)
    elsewhere = Product(product.programs, ours / "elsewhere", product.person)
    elsewhere.run("load", "-i", archive)
    told = elsewhere.run("diff", "box", name, code=1).stdout.splitlines()
    assert "D /bin/sh" in told
    elsewhere.run("system", "reset", "-f")


def test_an_image_goes_round_by_every_place(product: Product, ours: Path) -> None:
    places = [
        f"oci:{ours}/layout:a",
        f"oci-archive:{ours}/a.tar:a",
        f"dir:{ours}/dir",
        f"docker-archive:{ours}/d.tar:a:1",
        "round:1",
    ]
    digests = set()
    for source, destination in zip(["box", *places], places, strict=False):
        said = product.run("copy", "--preserve-digests", source, destination)
        digests.add(said.stdout.split("digest: ")[1].split()[0])
    assert len(digests) == 1
    assert product.inspect("round:1")["Id"] == product.inspect("box")["Id"]
    product.run("rmi", "round:1")
    quiet = product.run("copy", "-q", "--digestfile", ours / "digest", "box", f"dir:{ours}/q")
    assert (quiet.stdout, quiet.stderr) == ("", "")
    assert (ours / "digest").read_text() in digests


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("box", "other"), "both ends are in the store"),
        (("--all", "--platform", "linux/arm64", "box", "dir:x"), "exclude each other"),
        (("--multi-arch", "some", "box", "dir:x"), "`--multi-arch some` is not known"),
        (("--format", "v2s2", "box", "dir:x"), "`-f/--format` is not available"),
        (("box", "containers-storage:x"), "`containers-storage:` is not available"),
        (("box",), "needs an argument"),
    ],
)
def test_what_cannot_be_copied_so_is_told_in_a_line(
    product: Product, words: tuple[str, ...], message: str
) -> None:
    error = product.run("copy", *words, code=125).stderr
    assert message in error.splitlines()[0]


def test_a_list_is_made_annotated_and_pushed(product: Product, ours: Path, tmp_path: Path) -> None:
    with docker_registry(tmp_path) as host:
        product.run("copy", "-q", "box", f"docker://{host}/one:1")
        name = f"{host}/all:1"
        made = product.run("manifest", "create", name, f"{host}/one:1")
        assert made.stdout == f"Created manifest list {name}\n"
        product.run("manifest", "add", "--arch", "arm64", name, "box")
        again = product.run("manifest", "create", name, "box", code=1)
        assert again.stderr.startswith("error[image.exists]")
        product.run("manifest", "annotate", name, "box", "--variant", "v8", "--os-features", "a,b")
        shown = json.loads(product.run("manifest", "inspect", name).stdout)
        assert [each["platform"]["architecture"] for each in shown["manifests"]] == ["arm64"]
        pushed = product.run("manifest", "push", "-q", "--purge", name)
        assert pushed.stdout.startswith("sha256:")
        assert product.run("manifest", "exists", name, code=1).stderr == ""
        verbose = json.loads(product.run("manifest", "inspect", "-v", name).stdout)
        assert verbose[0]["Descriptor"]["platform"]["os.features"] == ["a", "b"]
        product.run("copy", "-q", f"docker://{name}", f"oci:{ours}/pulled")
    index = json.loads((ours / "pulled/index.json").read_text())
    assert "index" in index["manifests"][0]["mediaType"]


def test_each_end_has_its_own_credentials(product: Product, ours: Path) -> None:
    with hostile_registry(Registry(auth="basic")) as one, hostile_registry() as other:
        one.add("app", "1", sample_image())
        source, destination = f"docker://{one.host}/app:1", f"docker://{other.host}/copy:1"
        creds = f"{one.username}:{one.password}"
        product.run("copy", "--src-creds", creds, source, destination)
        assert other.manifests["copy", "1"][1] == sample_image().manifest.raw
        assert not [each for each in other.requests if each.authorization]
        wrong = product.run("copy", "--src-creds", "ada:s3cr3t", source, f"dir:{ours}/x", code=1)
        assert wrong.stderr.count("error[registry.unauthorized]") == 1
        assert "s3cr3t" not in wrong.stderr + wrong.stdout
        unasked = product.run("copy", "--src-creds", "ada", source, f"dir:{ours}/x", code=125)
        assert "there is no terminal to ask for the password of `ada`" in unasked.stderr
        assert "GetPassWarning" not in unasked.stderr
        anonymous = product.run("copy", source, f"dir:{ours}/x", code=1)
        assert "error[registry.unauthorized]" in anonymous.stderr
        assert not (ours / "x").exists()


def test_a_registry_is_believed_without_a_certificate_only_if_asked_to(
    product: Product, ours: Path, tmp_path: Path
) -> None:
    server = sign(tmp_path, make_authority(tmp_path, "town"), "server")
    with docker_registry(tmp_path / "registry", tls=server) as host:
        there = f"docker://{host}/app:1"
        refused = product.run("copy", "box", there, code=1)
        assert "cannot be verified" in refused.stderr
        product.run("copy", "--dest-tls-verify=false", "box", there)
        product.run("copy", "--src-tls-verify", "false", there, f"oci:{ours}/out")
        assert (ours / "out/index.json").exists()
        product.run("copy", "--src-tls-verify", "true", there, f"oci:{ours}/out", code=1)
        name = f"{host}/list:1"
        product.run("manifest", "create", "--insecure", name, f"{host}/app:1")
        product.run("manifest", "push", "--insecure", name)


def test_tags_are_listed_and_images_deleted_in_their_registry(
    product: Product, tmp_path: Path
) -> None:
    with docker_registry(tmp_path) as host:
        for tag in ("one", "two"):
            product.run("copy", "-q", "box", f"docker://{host}/team/app:{tag}")
        assert product.run("tags", f"{host}/team/app").stdout.split() == ["one", "two"]
        document = json.loads(product.run("tags", "--json", f"docker://{host}/team/app").stdout)
        assert document == {"Repository": f"{host}/team/app", "Tags": ["one", "two"]}
        assert "listed of a repository" in product.run("tags", f"{host}/a:b", code=125).stderr
        assert "docker://" in product.run("delete", f"{host}/team/app:one", code=125).stderr
        told = product.run("delete", f"docker://{host}/team/app:one").stdout
        assert told.startswith(f"Deleted: {host}/team/app:one sha256:")
        product.run("pull", f"{host}/team/app:two", code=1)
        missing = product.run("delete", f"docker://{host}/team/app:one", code=1)
        assert missing.stderr.count("error[registry.not-found]") == 1
