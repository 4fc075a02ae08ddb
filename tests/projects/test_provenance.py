"""Provenance in a real registry, read by real programs; the image beside it is pulled as if there were none."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.projects.project import needs
from tests.support.docker_engine import DockerEngine
from tests.support.product import Product, report


@pytest.fixture(scope="module")
def person(products: dict[str, Product], bases: dict[str, Path]) -> Product:
    assert "busybox" in bases
    if not products:
        pytest.skip("nobody can build here")
    return products.get("rootless") or products["root"]


@pytest.fixture(scope="module")
def context(person: Product, ground: Path) -> Path:
    path = ground / "provenance"
    path.mkdir()
    (path / "Dockerfile").write_text('FROM busybox\nRUN echo told > /told\nCMD ["cat", "/told"]\n')
    os.chown(path, person.person.uid, person.person.gid)
    return path


def skopeo(*words: str) -> Any:
    needs("skopeo")
    done = subprocess.run(["skopeo", *words], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_skopeo_reads_the_index_and_copies_all_of_it(
    person: Product, context: Path, registry: str, tmp_path: Path
) -> None:
    name = f"{registry}/told:index"
    person.build(context, "-t", name, "--push", "--provenance=mode=max")
    raw = skopeo("inspect", "--tls-verify=false", "--raw", f"docker://{name}")
    image, claim = raw["manifests"]
    assert claim["annotations"]["vnd.docker.reference.type"] == "attestation-manifest"
    target = f"oci:{tmp_path}/layout:told"
    words = ["copy", "--all", "--src-tls-verify=false", f"docker://{name}", target]
    subprocess.run(["skopeo", *words], check=True, capture_output=True)
    blobs = tmp_path / "layout/blobs/sha256"
    manifest = json.loads((blobs / claim["digest"].removeprefix("sha256:")).read_text())
    statement = json.loads(
        (blobs / manifest["layers"][0]["digest"].removeprefix("sha256:")).read_text()
    )
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"][0]["digest"]["sha256"] == image["digest"].removeprefix("sha256:")


def test_a_docker_engine_runs_the_image_beside_it(
    person: Product, context: Path, registry: str, engine: DockerEngine
) -> None:
    name = f"{registry}/told:run"
    person.build(context, "-t", name, "--push", "--provenance")
    pulled = engine.run("pull", name)
    assert pulled.returncode == 0, report(pulled)
    ran = engine.run("run", "--rm", "--network", "host", name)
    assert ran.stdout == "told\n", report(ran)


def test_a_referrer_is_found_by_the_tag_of_the_specification(
    person: Product, context: Path, registry: str
) -> None:
    plain, told = f"{registry}/told:plain", f"{registry}/told:referrer"
    person.build(context, "-t", plain, "--push")
    person.build(context, "-t", told, "--push", "--provenance=form=referrer")
    digests = {
        skopeo("inspect", "--tls-verify=false", "--no-tags", f"docker://{name}")["Digest"]
        for name in (plain, told)
    }
    (digest,) = digests
    tag = digest.replace(":", "-")
    index = skopeo("inspect", "--tls-verify=false", "--raw", f"docker://{registry}/told:{tag}")
    (entry, *_) = index["manifests"]
    artifact = skopeo(
        "inspect", "--tls-verify=false", "--raw", f"docker://{registry}/told@{entry['digest']}"
    )
    assert artifact["subject"]["digest"] == digest
