"""Builds cases with the command line of the product and judges what comes out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from tests.conformance import judge
from tests.conformance.case import Case
from tests.conformance.ground import arrange, prepare
from tests.conformance.layout import Image, read
from tests.support.product import Product, report

Results = dict[tuple[str, str], "Future[list[str]]"]  # by user and name of the case
# Settings of Docker's that the OCI configuration, hence skopeo, does not always know.
DOCKER_ONLY = {"ArgsEscaped", "Healthcheck", "OnBuild", "Shell"}
STEP = re.compile(r"^#(?P<number>\d+) \[(?P<place>[^\]]*)\] (?P<text>.*)$", re.MULTILINE)
CACHED = re.compile(r"^#(?P<number>\d+) CACHED", re.MULTILINE)


class Workbench:
    """Where the cases of one user are built; all share one store, as a person's builds do."""

    def __init__(
        self, product: Product, folder: Path, base: bytes, addresses: dict[str, str]
    ) -> None:
        self.product = product
        self.folder = folder
        self.base = base  # the layer of all base images
        self.addresses = addresses  # what `{http}` and the like stand for

    def differences(self, case: Case, *, judges: bool = False) -> list[str]:
        """Build `case` and say how the result differs from what it expects; `judges` asks other programs too."""
        place = self.folder / case.name
        person = self.product.person
        prepare(case, place, None if person.is_me else (person.uid, person.gid))
        try:
            return list(self._differences(case, place, judges=judges))
        finally:
            for folder, _, _ in os.walk(place):
                os.chmod(folder, 0o700)
            shutil.rmtree(place)

    def _differences(self, case: Case, place: Path, *, judges: bool) -> Iterator[str]:
        layout = place / "result"
        done = self._build(case, place, layout)
        if "Traceback (most recent call last)" in done.stderr:
            yield f"a traceback:\n{done.stderr[-3000:]}"
        if case.fails:
            if done.returncode == 0:
                yield "expected a failure, but it was built"
            else:
                yield from judge.judge_error(case, done.stderr)
            return
        if done.returncode != 0:
            yield f"it was not built:\n{report(done)}"
            return
        image = read(layout)
        yield from judge.judge_image(case, image, self.base)
        if judges:
            yield from self._ask_others(layout, image)
        for number, again in enumerate(case.expected.get("again", ())):
            person = self.product.person
            arrange(again, place / "context", None if person.is_me else (person.uid, person.gid))
            for name, text in again.get("write", {}).items():
                place.joinpath("context", name).write_text(text)
            done = self._build(case, place, place / f"result-{number}")
            cached = cached_steps(done.stderr)
            if done.returncode != 0 or cached != again["cached"]:
                yield f"built again: expected {again['cached']} from the cache, found {cached}\n{report(done)}"

    def _build(self, case: Case, place: Path, layout: Path) -> subprocess.CompletedProcess[str]:
        arguments, context, stdin = command(case, place, self.addresses)
        return self.product.person.run(
            self.product.command(
                "build",
                "--progress",
                "plain",
                "-o",
                f"type=oci,tar=false,dest={layout}",
                *arguments,
                context,
            ),
            cwd=place,
            environment=case.build.get("environment"),
            stdin=stdin,
        )

    def _ask_others(self, layout: Path, image: Image) -> Iterator[str]:
        """Compare what skopeo and umoci read with what our own reader has read."""
        person = self.product.person
        tag = "conformance"
        done = person.run(["skopeo", "copy", "-q", f"oci:{layout}", f"oci:{layout}-copy:{tag}"])
        if done.returncode != 0:
            yield f"skopeo cannot copy it: {report(done)}"
            return
        shown = person.run(["skopeo", "inspect", "--config", f"oci:{layout}-copy:{tag}"])
        read_by_skopeo, written = (
            {key: document["config"][key] for key in document["config"] if key not in DOCKER_ONLY}
            for document in (judge.json_of(shown.stdout), image.document)
        )
        if read_by_skopeo != written:
            yield f"skopeo reads another configuration: {shown.stdout}"
        bundle = Path(f"{layout}-bundle")
        # fmt: off
        done = person.run(["umoci", "unpack", *([] if person.uid == 0 else ["--rootless"]),
                           "--image", f"{layout}-copy:{tag}", bundle])
        # fmt: on
        if done.returncode != 0:
            yield f"umoci cannot unpack it: {report(done)}"
            return
        yield from judge.judge_directory(image, bundle / "rootfs", owners=person.uid == 0)


def command(
    case: Case, place: Path, addresses: dict[str, str]
) -> tuple[list[str], str, str | None]:
    """Return the arguments of `build` for `case`, its context, and what is typed on standard input."""
    build = replaced(case.build, {**addresses, "{context}": str(place / "context")})
    context = build.get("context", str(place / "context"))
    arguments: list[str] = []
    if case.setup.get("dockerfile") != "in context" and build.get("stdin") != "dockerfile":
        arguments += ["-f", str(place / "Dockerfile")]
    if "target" in build:
        arguments += ["--target", build["target"]]
    for option, values in (("--build-arg", "build_args"), ("--label", "labels")):
        for name, value in build.get(values, {}).items():
            arguments += [option, f"{name}={value}"]
    for name, value in build.get("contexts", {}).items():
        arguments += ["--build-context", f"{name}={value}"]
    arguments += build.get("arguments", [])
    stdin = None
    if build.get("stdin") == "dockerfile":
        stdin = place.joinpath("Dockerfile").read_text()
    return arguments, context, stdin


def replaced(value: Any, words: dict[str, str]) -> Any:
    """Return `value` with every `{word}` in its texts replaced by what it stands for."""
    if isinstance(value, str):
        for word, meaning in words.items():
            value = value.replace(word, meaning)
        return value
    if isinstance(value, dict):
        return {key: replaced(item, words) for key, item in value.items()}
    return [replaced(item, words) for item in value] if isinstance(value, list) else value


def cached_steps(progress: str) -> list[str]:
    """Return the instructions that plain progress shows as taken from the cache."""
    steps = {found["number"]: found["text"] for found in STEP.finditer(progress)}
    return [steps.get(found["number"], "?") for found in CACHED.finditer(progress)]
