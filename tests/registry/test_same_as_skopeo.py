"""The same files mean the same to skopeo: places of a name, and credentials, both ways."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.engine.lookup import sources_of
from builder.errors import RegistryError
from builder.oci.reference import Reference
from builder.registry.auth import Credential
from builder.registry.client import RegistryClient
from builder.registry.configuration import Configuration, Places
from builder.registry.credentials import Keyring
from builder.registry.transport import HttpTransport
from builder.settings import read
from tests.registry.conftest import Waits
from tests.registry.test_docker_registry import HTPASSWD, PASSWORD
from tests.support.docker_registry import docker_registry
from tests.support.registry import Registry, hostile_registry
from tests.support.sample_image import noise, sample_image, tar

pytestmark = [
    pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed"),
    pytest.mark.skipif(
        shutil.which("docker-registry") is None, reason="docker-registry is not installed"
    ),
]
IMAGE = sample_image(tar({"a": noise(1000)}))
DIGEST = str(IMAGE.manifest.descriptor().digest)


class Street:
    """Three registries: one that images are named after, and two mirrors."""

    def __init__(self, *registries: Registry) -> None:
        self.registries = dict(zip("omn", registries, strict=True))

    def filled(self, text: str) -> str:
        for name, registry in self.registries.items():
            text = text.replace(f"{{{name}}}", registry.host)
        return text

    def asked(self) -> list[str]:
        """Return who was asked for a manifest since the last time, in order."""
        found = [
            (seen.path, name)
            for name, registry in self.registries.items()
            for seen in registry.requests
            if "/manifests/" in seen.path
        ]
        order = sorted({name for _, name in found})
        for registry in self.registries.values():
            registry.requests.clear()
        return order


@pytest.fixture
def street() -> Iterator[Street]:
    with hostile_registry() as one, hostile_registry() as two, hostile_registry() as three:
        yield Street(one, two, three)


MIRRORED = """
[[registry]]
prefix = "{o}/team"
location = "{o}/team"
insecure = true
[[registry.mirror]]
location = "{m}/first"
insecure = true
[[registry.mirror]]
location = "{n}/second"
insecure = true
[[registry]]
location = "{o}"
insecure = true
"""
LONGEST = """
[[registry]]
prefix = "{o}"
location = "{m}"
insecure = true
[[registry]]
prefix = "{o}/a"
location = "{n}"
insecure = true
"""


@pytest.mark.parametrize(
    ("text", "has", "name"),
    [
        (MIRRORED, "m/first/app n/second/app o/team/app", "{o}/team/app:1"),
        (MIRRORED, "n/second/app o/team/app", "{o}/team/app:1"),
        (MIRRORED, "o/team/app", "{o}/team/app:1"),
        (MIRRORED, "", "{o}/team/app:1"),
        (MIRRORED, "m/first/app o/other/app", "{o}/other/app:1"),
        (MIRRORED, "n/second/app", f"{{o}}/team/app@{DIGEST}"),
        (MIRRORED.replace("/first\"", "/first\"\npull-from-mirror = \"digest-only\""),
         "m/first/app n/second/app o/team/app", "{o}/team/app:1"),
        (MIRRORED.replace("/first\"", "/first\"\npull-from-mirror = \"digest-only\""),
         "m/first/app n/second/app o/team/app", f"{{o}}/team/app@{DIGEST}"),
        (MIRRORED.replace("/first\"", "/first\"\npull-from-mirror = \"tag-only\""),
         "m/first/app n/second/app o/team/app", f"{{o}}/team/app@{DIGEST}"),
        (MIRRORED.replace("insecure = true\n[[", "insecure = true\nmirror-by-digest-only = true\n[[", 1),
         "m/first/app o/team/app", "{o}/team/app:1"),
        ('[[registry]]\nprefix = "{o}/a"\nlocation = "{m}/b"\ninsecure = true\n', "m/b/x/y o/a/x/y", "{o}/a/x/y:1"),
        (LONGEST, "m/a/x n/x o/a/x", "{o}/a/x:1"),
        ('[[registry]]\nlocation = "{o}"\nblocked = true\ninsecure = true\n', "o/a", "{o}/a:1"),
    ],
)  # fmt: skip
def test_a_name_leads_to_the_same_places(
    street: Street, waits: Waits, tmp_path: Path, text: str, has: str, name: str
) -> None:
    for each in has.split():
        registry, _, repository = each.partition("/")
        street.registries[registry].add(repository, "1", IMAGE)
    conf = tmp_path / "registries.conf"
    conf.write_text(street.filled(text))
    words = ["skopeo", "--registries-conf", str(conf), "inspect", "--raw"]
    done = subprocess.run(
        [*words, f"docker://{street.filled(name)}"], capture_output=True, text=True, check=False
    )
    theirs = (done.returncode == 0, street.asked())
    places = Places(user="/none", docker="/none", system="/none", registries_conf=str(conf))
    configuration = Configuration(places)
    client = RegistryClient(HttpTransport(wait=waits), None, configuration)
    try:
        client.fetch_manifest(Reference.parse(street.filled(name)))
        ours = (True, street.asked())
    except RegistryError:
        ours = (False, street.asked())
    assert ours == theirs, done.stderr


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("guarded")
    (directory / "htpasswd").write_text(HTPASSWD)
    with docker_registry(directory, htpasswd=directory / "htpasswd") as host:
        yield host


def skopeo(home: Path, *words: str, stdin: str = "") -> str:
    done = subprocess.run(
        ["skopeo", *words],
        input=stdin,
        env={
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home / "run"),
            "PATH": "/usr/bin:/bin",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def keyring(home: Path) -> Keyring:
    return Keyring(sources_of(read({"XDG_RUNTIME_DIR": f"{home}/run"}, 1000, str(home))))


def test_what_skopeo_keeps_is_found(tmp_path: Path, guarded: str) -> None:
    (tmp_path / "run").mkdir()
    login = ("login", "--tls-verify=false", "-u", "ada", "--password-stdin")
    skopeo(tmp_path, *login, f"{guarded}/team", stdin=PASSWORD)
    known = Credential(username="ada", password=PASSWORD)
    assert keyring(tmp_path).for_repository(guarded, "team/app") == known
    assert keyring(tmp_path).for_repository(guarded, "other/app") is None
    skopeo(tmp_path, *login, guarded, stdin=PASSWORD)
    assert keyring(tmp_path).for_repository(guarded, "other/app") == known


@pytest.mark.parametrize("path", ["", "/team"])
def test_what_is_kept_here_lets_skopeo_in(tmp_path: Path, guarded: str, path: str) -> None:
    (tmp_path / "run").mkdir()
    keyring(tmp_path).store(guarded + path, Credential(username="ada", password=PASSWORD))
    assert skopeo(tmp_path, "login", "--get-login", guarded + path).strip() == "ada"
    source = tmp_path / "source"
    source.mkdir()
    (source / "version").write_text("Directory Transport Version: 1.1\n")
    (source / "manifest.json").write_bytes(IMAGE.manifest.raw)
    for digest, data in IMAGE.blobs.items():
        (source / digest.removeprefix("sha256:")).write_bytes(data)
    there = f"docker://{guarded}/team/from{path.replace('/', '-')}:1"
    skopeo(tmp_path, "copy", "--dest-tls-verify=false", f"dir:{source}", there)
    assert keyring(tmp_path).erase(guarded + path)
    for file in tmp_path.rglob("*.json"):
        if file.name in ("config.json", "auth.json"):
            assert json.loads(file.read_text()) == {"auths": {}}
