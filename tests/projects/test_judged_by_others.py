"""Every project, built as root and without: it runs, is cached, and others read it as we do."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.projects.judges import runc_run, skopeo_copy, skopeo_inspect, umoci_unpack
from tests.projects.project import Built, needs
from tests.support.docker_engine import DockerEngine
from tests.support.product import Product, report

pytestmark = pytest.mark.needs_network


def test_the_image_runs(built: Built) -> None:
    arguments, expected = built.self_test
    assert built.run(*arguments).stdout == expected


def test_a_second_build_runs_nothing(built: Built) -> None:
    before = built.product.inspect(built.name)["Id"]
    log = built.product.build(built.context, "--network", "host", "-t", built.name).stderr
    assert re.search(r"all \d+ steps were cached", log), log
    assert built.product.inspect(built.name)["Id"] == before


def test_skopeo_reads_the_pushed_image(built: Built) -> None:
    needs("skopeo")
    seen = skopeo_inspect(built.name)
    ours = built.product.inspect(built.name)
    assert seen["Name"] == built.name.rsplit(":", 1)[0]
    assert seen["Os"] == "linux"
    assert len(seen["Layers"]) == len(ours["RootFS"]["Layers"])
    assert seen["Env"] == ours["Config"]["Env"]


def test_runc_runs_what_umoci_unpacks(built: Built, tmp_path: Path) -> None:
    needs("skopeo", "umoci", "runc")
    if os.geteuid() != 0:
        pytest.skip("umoci and runc are run as root")
    bundle = umoci_unpack(skopeo_copy(built.name, tmp_path / "layout"), tmp_path / "bundle")
    arguments, expected = built.self_test
    judged = runc_run(
        bundle, (*built.entrypoint, *arguments), identity=f"lapstrake-{built.project}-{built.user}"
    )
    assert judged == expected
    assert judged == built.run(*arguments).stdout


def test_a_docker_engine_loads_and_runs_the_archive(built: Built, engine: DockerEngine) -> None:
    loaded = engine.run("load", "--input", str(built.archive))
    assert loaded.returncode == 0, report(loaded)
    assert built.name in loaded.stdout
    arguments, _ = built.self_test
    ran = engine.run("run", "--rm", "--network", "host", built.name, *arguments)
    assert ran.returncode == 0, report(ran)
    assert ran.stdout == built.run(*arguments).stdout


def test_what_was_pushed_can_be_pulled_into_an_empty_store(built: Built) -> None:
    with_empty_store = Product(
        built.product.programs,
        built.product.root.parent / f"empty-{built.project}-{built.user}",
        built.product.person,
    )
    with_empty_store.run("pull", built.name)
    arguments, expected = built.self_test
    ran = with_empty_store.run("run", "--rm", "--network", "host", built.name, *arguments)
    assert ran.stdout == expected
    assert with_empty_store.inspect(built.name)["Id"] == built.product.inspect(built.name)["Id"]
