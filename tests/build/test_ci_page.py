"""The commands of docs/ci.md are run as they stand there, in jobs that look like those of the CI systems."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry.test_docker_registry import HTPASSWD, PASSWORD
from tests.support.docker_registry import docker_registry
from tests.support.product import Product
from tests.support.unprivileged import CHECKOUT, public_directory

pytestmark = pytest.mark.skipif(
    shutil.which("docker-registry") is None, reason="docker-registry is not installed"
)
PAGE = (CHECKOUT / "docs/ci.md").read_text()
BLOCKS = {
    f"{language} {label}".strip(): text
    for language, label, text in re.findall(
        r"^```(\w+)(?: ([\w-]+))?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
    )
}
DOCKERFILE = "ARG PROXY=docker.io/library\nFROM ${PROXY}/box\nCOPY Dockerfile /d\nRUN test -f /d\n"
AUTH = base64.b64encode(f"ada:{PASSWORD}".encode()).decode()


class Job:
    """One job of a CI system: a checkout, a home, and the registry that the page calls by other names."""

    def __init__(self, product: Product, ground: Path, host: str) -> None:
        self.product, self.ground, self.host = product, ground, host
        self.home, self.source = ground / "home", ground / "src"
        for directory in (self.home, self.source):
            directory.mkdir()
        (self.source / "Dockerfile").write_text(DOCKERFILE)
        self.own()

    def own(self) -> None:
        """Give all files to whoever runs the job."""
        person = self.product.person
        for folder, _, names in os.walk(self.ground):
            for path in (folder, *(f"{folder}/{name}" for name in names)):
                os.chown(path, person.uid, person.gid, follow_symlinks=False)

    def config(self) -> str:
        """Return the text of a `config.json`."""
        return json.dumps({"auths": {self.host: {"auth": AUTH}}})

    def run(self, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the page, with its example's registry replaced by the one that is here."""
        for name in ("ghcr.io", "registry.example.com"):
            command = command.replace(name, self.host)
        done = self.product.person.run(
            ["/bin/sh", "-euc", command],
            cwd=self.source,
            environment={
                "HOME": str(self.home),
                "PATH": f"{self.product.programs}:/usr/sbin:/usr/bin:/sbin:/bin",
                "LAPSTRAKE_ROOT": str(self.product.root),
                **variables,
            },
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert PASSWORD not in done.stdout + done.stderr
        assert AUTH not in done.stdout + done.stderr
        return done

    def pushed(self, name: str) -> bool:
        """Tell whether the registry has an image now."""
        request = urllib.request.Request(
            f"http://{self.host}/v2/{name.replace(':', '/manifests/')}",
            headers={
                "Authorization": f"Basic {AUTH}",
                "Accept": "application/vnd.oci.image.manifest.v1+json",
            },
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            error.close()
            return False


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("registry")
    (directory / "htpasswd").write_text(HTPASSWD)
    with docker_registry(directory, htpasswd=directory / "htpasswd") as running:
        yield running


@pytest.fixture
def job(product: Product, host: str) -> Iterator[Job]:
    with public_directory("lapstrake-ci-", owner=product.person) as ground:
        yield Job(product, ground, host)


def runs(label: str) -> list[str]:
    """Return the commands of a block."""
    patterns = {
        "yaml github": r"^ +- run: (.*)$",
        "yaml gitlab": r"^    - (.*)$",
        "groovy jenkins": r"^ +sh '(.*)'$",
        "groovy jenkins-file": r"^ +sh '(.*)'$",
    }
    found = re.findall(patterns[label], BLOCKS[label], re.MULTILINE)
    for line in BLOCKS[label].splitlines():
        assert "lapstrake " not in line or any(each in line for each in found)
    return found


def test_every_block_is_run_by_a_test() -> None:
    assert set(BLOCKS) == {
        "sh", "yaml github", "yaml gitlab", "groovy jenkins", "groovy jenkins-file", "yaml kubernetes",
        "yaml kubernetes-docker",
    }  # fmt: skip


def test_github(job: Job) -> None:
    variables = {
        "TOKEN": PASSWORD,
        "GITHUB_ACTOR": "ada",
        "GITHUB_SHA": "0123abc",
        "IMAGE": f"{job.host}/{job.product.person.uid}/github",
    }
    commands = runs("yaml github")
    assert len(commands) == 3
    for command in commands:
        job.run(command, **variables)
    assert job.pushed(f"{job.product.person.uid}/github:0123abc")
    assert json.loads((job.home / ".docker/config.json").read_text()) == {"auths": {}}


def test_gitlab(job: Job) -> None:
    image = f"{job.host}/{job.product.person.uid}/gitlab"
    variables = {
        "CI_REGISTRY": job.host,
        "CI_REGISTRY_USER": "ada",
        "CI_REGISTRY_PASSWORD": PASSWORD,
        "CI_REGISTRY_IMAGE": image,
        "CI_COMMIT_SHORT_SHA": "0123abc",
        "CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX": "docker.io/library",
    }
    [command] = runs("yaml gitlab")
    job.run(command, **variables)
    assert job.pushed(f"{job.product.person.uid}/gitlab:0123abc")
    for name in ("CI_REGISTRY", "CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD"):
        del variables[name]
    variables |= {"CI_COMMIT_SHORT_SHA": "456", "DOCKER_AUTH_CONFIG": job.config()}
    job.run(command, **variables)
    assert job.pushed(f"{job.product.person.uid}/gitlab:456")


def test_jenkins(job: Job) -> None:
    auth = job.ground / "auth.json"
    number = f"{job.product.person.uid}1"
    variables = {
        "NAME": "ada",
        "TOKEN": PASSWORD,
        "BUILD_NUMBER": number,
        "REGISTRY_AUTH_FILE": str(auth),
    }
    commands = runs("groovy jenkins")
    assert len(commands) == 3
    for command in commands:
        job.run(command, **variables)
    assert job.pushed(f"team/app:{number}")
    assert not auth.exists()
    assert not (job.home / ".docker").exists()


def test_jenkins_with_a_file(job: Job) -> None:
    auth = job.ground / "secret-file"
    auth.write_text(job.config())
    job.own()
    number = f"{job.product.person.uid}2"
    [command] = runs("groovy jenkins-file")
    job.run(command, BUILD_NUMBER=number, REGISTRY_AUTH_FILE=str(auth))
    assert job.pushed(f"team/app:{number}")


def mounted(job: Job, name: str) -> Path:
    """Mount a secret as the kubelet does: behind two links, readable only."""
    volume = job.ground / "auth"
    data = volume / "..2026_11_28_00_00_00.1"
    data.mkdir(parents=True)
    (data / name).write_text(job.config())
    (data / name).chmod(0o400)
    (volume / "..data").symlink_to(data.name)
    (volume / name).symlink_to(f"..data/{name}")
    job.own()
    return volume


@pytest.mark.parametrize(
    ("label", "variable", "file"),
    [
        ("yaml kubernetes", "REGISTRY_AUTH_FILE", ".dockerconfigjson"),
        ("yaml kubernetes-docker", "DOCKER_CONFIG", "config.json"),
    ],
)
def test_kubernetes(job: Job, label: str, variable: str, file: str) -> None:
    [(name, value)] = re.findall(r"\{name: ([A-Z_]+), value: (\S+)\}", BLOCKS[label])
    assert name == variable
    volume = mounted(job, file)
    if label != "yaml kubernetes":
        assert f"path: {file}" in BLOCKS[label]
    found = re.search(r"command: \[(.*)\]", BLOCKS["yaml kubernetes"])
    assert found is not None
    tag = f"{job.product.person.uid}-{len(file)}"
    command = " ".join(word.strip() for word in found[1].split(","))
    command = command.replace("/src", str(job.source)).replace("app:1", f"app:{tag}")
    job.run(command, **{name: value.replace("/auth", str(volume))})
    assert job.pushed(f"team/app:{tag}")


def test_doctor(job: Job) -> None:
    job.run("lapstrake build -q -t registry.example.com/team/app:d --push .",
            DOCKER_AUTH_CONFIG=job.config())  # fmt: skip
    done = job.run(BLOCKS["sh"], DOCKER_AUTH_CONFIG=job.config())
    assert "as ada, from $DOCKER_AUTH_CONFIG" in done.stdout
