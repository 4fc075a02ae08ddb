"""What a build tells of itself: every input, nothing secret, nothing of this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from builder.engine.account import Account
from builder.engine.building import Build
from builder.engine.building import Built as BuiltHere
from builder.engine.provenance import Detail, Telling, Version, predicate
from builder.engine.requests import BuildRequest, Output, Provenance
from builder.errors import ImageError, LapstrakeError, UsageError
from builder.solve.given import SecretSource
from tests.build.test_contexts import send
from tests.build.workshop import Watch, Workshop
from tests.support.file_server import File, FileServer, serving_files
from tests.support.git_server import GitServer, serving
from tests.support.registry import Registry, hostile_registry

SOME = "sha256:" + "5" * 64
MIN, MAX = Telling(detail=Detail.MIN), Telling()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving_files() as server:
        yield server


@pytest.fixture
def git(tmp_path: Path) -> Iterator[GitServer]:
    root = tmp_path / "served"
    root.mkdir()
    with serving(root) as git:
        yield git


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> list[Account]:
    """What each build since then has to tell."""
    found: list[Account] = []
    run = Build.run

    def watched(self: Build) -> BuiltHere:
        built = run(self)
        found.append(built.main.account())
        return built

    monkeypatch.setattr(Build, "run", watched)
    return found


@pytest.fixture
def told(workshop: Workshop, accounts: list[Account]) -> Callable[..., dict[str, Any]]:
    def tell(telling: Telling = MAX) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(predicate(accounts[-1], telling, workshop.engine._store))
        return found

    return tell


Told = Callable[..., dict[str, Any]]


def known(shop: Workshop) -> None:
    """Have an image `known` whose digest elsewhere is known."""
    shop.engine.tag("box", "known")
    shop.engine._store.images.set_digest("docker.io/library/known:latest", SOME)


def request(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["buildDefinition"]["externalParameters"]["request"]
    return found


def test_a_build_of_a_directory(workshop: Workshop, context: Path, told: Told) -> None:
    (context / "a").touch()
    known(workshop)
    workshop.build(
        context,
        "FROM known\nARG A\nCOPY a /\nRUN true",
        build_args=(("A", "value-of-a"), ("HTTP_PROXY", "http://u:p@proxy")),
        labels=(("l", "value-of-l"),),
    )
    short = told(MIN)
    definition, run = short["buildDefinition"], short["runDetails"]
    assert definition["buildType"].startswith("https://")
    assert definition["externalParameters"] == {
        "configSource": {"path": "Dockerfile"},
        "request": {
            "frontend": "dockerfile.v0",
            "locals": [{"name": "context"}, {"name": "dockerfile"}],
        },
    }
    (base,) = definition["resolvedDependencies"]
    assert re.fullmatch(r"pkg:docker/known@latest\?platform=linux%2F\w+", base["uri"])
    assert base["digest"] == {"sha256": "5" * 64}
    internal = definition["internalParameters"]
    assert internal["builderPlatform"].startswith("linux/")
    assert set(internal["lapstrake"]) == {"version", "zlib", "zstd"}
    assert run["builder"] == {"id": ""}
    assert set(run["metadata"]) == {
        "invocationId",
        "startedOn",
        "finishedOn",
        "buildkit_metadata",
        "buildkit_completeness",
    }
    assert run["metadata"]["buildkit_completeness"] == {
        "request": False,
        "resolvedDependencies": False,
    }
    assert run["metadata"]["startedOn"] <= run["metadata"]["finishedOn"]
    text = json.dumps(short)
    assert "value-of" not in text
    assert "proxy" not in text
    long = told(MAX)
    assert request(long)["args"] == {"build-arg:A": "value-of-a", "label:l": "value-of-l"}
    assert long["runDetails"]["metadata"]["buildkit_completeness"]["request"] is True


def test_the_longer_form_tells_the_steps_and_their_places(
    workshop: Workshop, context: Path, told: Told
) -> None:
    (context / "a").touch()
    text = "FROM box AS one\nRUN --network=none mkdir /x\nFROM base\nCOPY --from=one /x /y\nCOPY a /\nWORKDIR /w\nCOPY <<f /d/\nbody\nf\n"
    built = workshop.build(context, text)
    document = told()
    steps = document["buildDefinition"]["internalParameters"]["buildConfig"]["llbDefinition"]
    ids = [step["id"] for step in steps]
    assert ids == [f"step{number}" for number in range(len(steps))]
    for step in steps:
        assert all(each.removesuffix(":0") in ids for each in step.get("inputs", ()))
    (run,) = (
        step["op"]["Op"]["exec"] for step in steps if "exec" in step.get("op", {}).get("Op", {})
    )
    assert run["meta"]["args"] == ["/bin/sh", "-c", "mkdir /x"]
    assert run["network"] == 2
    files = [
        action["Action"]
        for step in steps
        if "file" in step.get("op", {}).get("Op", {})
        for action in step["op"]["Op"]["file"]["actions"]
    ]
    assert [next(iter(each)) for each in files] == ["copy", "copy", "mkdir", "mkfile"]
    metadata = document["runDetails"]["metadata"]["buildkit_metadata"]
    (info,) = metadata["source"]["infos"]
    assert info["filename"] == "Dockerfile"
    assert base64.b64decode(info["data"]).decode() == text
    last = steps[-1]["inputs"][0]
    (chain,) = metadata["layers"][last]
    # The base's own are told by the blob that they came as, if they came as one.
    made = len(chain) - 1
    assert [each["digest"] for each in chain][-made:] == built.image.diff_ids[-made:]
    assert len(chain) == len(built.image.diff_ids)
    places = metadata["source"]["locations"]
    lines = {
        each["ranges"][0]["start"]["line"]
        for place in places.values()
        for each in place["locations"]
    }
    assert {2, 4, 5, 6, 7} <= lines


def test_nothing_secret_and_nothing_of_this_machine_is_told(
    workshop: Workshop, context: Path, tmp_path: Path, told: Told, server: FileServer
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2-value")
    other = tmp_path / "other"
    other.mkdir()
    (other / "b").touch()
    server.files["/f?signature=topsecret"] = File(b"text")
    address = server.url("/f?signature=topsecret").replace("http://", "http://me:pass-word@")
    workshop.build(
        context,
        f"FROM box\nADD {address} /\nCOPY --from=other b /\n"
        "RUN --mount=type=secret,id=one,required=true --mount=type=secret,id=two,env=T true",
        file=None,
        secrets=(SecretSource(id="one", path=str(secret)),),
        contexts=(("other", str(other)),),
    )
    document = told()
    text = json.dumps(document)
    for hidden in ("hunter2", "topsecret", "pass-word", str(tmp_path), "T=hunter"):
        assert hidden not in text.replace(_dockerfile(document), "")
    assert request(document)["secrets"] == [{"id": "one"}, {"id": "two", "optional": True}]
    assert "secrets" not in request(told(MIN))
    assert request(document)["args"] == {"context:other": "local:other"}
    assert {"name": "other"} in request(document)["locals"]
    uris = [each["uri"] for each in document["buildDefinition"]["resolvedDependencies"]]
    assert server.url("/f") in uris


def _dockerfile(document: dict[str, Any]) -> str:
    """Return the Dockerfile as it is told: what the user wrote there is told as it is."""
    (info,) = document["runDetails"]["metadata"]["buildkit_metadata"]["source"]["infos"]
    data: str = info["data"]
    return data


def test_a_repository_is_told_with_its_commit_and_nothing_is_missing(
    workshop: Workshop, git: GitServer, server: FileServer, tmp_path: Path, told: Told
) -> None:
    server.files["/f"] = File(b"text")
    text = f"FROM scratch\nCOPY a /\nADD {server.url('/f')} /\n"
    commit = git.create("one", {"sub/Dockerfile": text, "sub/a": "1"})
    send(workshop, b"", tmp_path, context=f"{git.url('one')}#main:sub")
    document = told(MIN)
    source = document["buildDefinition"]["externalParameters"]["configSource"]
    assert source == {
        "uri": f"{git.url('one')}#main:sub",
        "digest": {"sha1": commit},
        "path": "Dockerfile",
    }
    dependencies = document["buildDefinition"]["resolvedDependencies"]
    assert {"uri": source["uri"], "digest": {"sha1": commit}} in dependencies
    assert [each["digest"] for each in dependencies if each["uri"] == server.url("/f")] == [
        {"sha256": "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"}
    ]
    metadata = document["runDetails"]["metadata"]
    assert metadata["buildkit_completeness"] == {"request": True, "resolvedDependencies": True}
    assert metadata["buildkit_hermetic"] is True


def test_a_dockerfile_elsewhere_in_a_repository_is_told_with_its_path(
    workshop: Workshop, git: GitServer, tmp_path: Path, told: Told
) -> None:
    git.create("one", {"ci/App.dockerfile": "FROM scratch\nCOPY a /\n", "a": "1"})
    send(workshop, b"", tmp_path, context=git.url("one"), dockerfile="ci/App.dockerfile")
    source = told(MIN)["buildDefinition"]["externalParameters"]["configSource"]
    assert source["path"] == "ci/App.dockerfile"


def test_a_dockerfile_on_standard_input_is_not_said_to_come_from_the_repository(
    workshop: Workshop, git: GitServer, tmp_path: Path, told: Told
) -> None:
    git.create("one", {"Dockerfile": "FROM scratch\n", "a": "1"})
    send(workshop, b"FROM scratch\nCOPY a /b\n", tmp_path, context=git.url("one"), dockerfile="-")
    document = told(MIN)
    parameters = document["buildDefinition"]["externalParameters"]
    assert parameters["configSource"] == {"path": "Dockerfile"}
    assert parameters["request"]["args"] == {"context": git.url("one")}
    assert parameters["request"]["locals"] == [{"name": "dockerfile"}]
    metadata = document["runDetails"]["metadata"]
    assert metadata["buildkit_completeness"]["resolvedDependencies"] is False
    assert "buildkit_hermetic" not in metadata


def test_a_step_with_a_network_is_not_hermetic(
    workshop: Workshop, git: GitServer, tmp_path: Path, told: Told
) -> None:
    known(workshop)
    git.create("one", {"Dockerfile": "FROM known\nRUN true\n"})
    send(workshop, b"", tmp_path, context=git.url("one"))
    assert "buildkit_hermetic" not in told(MIN)["runDetails"]["metadata"]


def test_the_older_version_says_the_same(workshop: Workshop, context: Path, told: Told) -> None:
    workshop.build(context, "FROM box\nARG A=1\nRUN true", build_args=(("A", "2"),), target="")
    new = told(Telling(builder="https://ci.example.com/1", reproducible=True))
    old = told(Telling(version=Version.V02, builder="https://ci.example.com/1", reproducible=True))
    assert set(old) == {
        "builder",
        "buildType",
        "materials",
        "invocation",
        "metadata",
        "buildConfig",
    }
    assert old["builder"] == new["runDetails"]["builder"] == {"id": "https://ci.example.com/1"}
    assert old["materials"] == new["buildDefinition"]["resolvedDependencies"]
    assert old["invocation"]["parameters"] == request(new)
    assert old["invocation"]["configSource"] == {"entryPoint": "Dockerfile"}
    assert old["metadata"]["reproducible"] is True
    assert new["runDetails"]["metadata"]["buildkit_reproducible"] is True
    assert old["metadata"]["completeness"]["environment"] is True


# Where it goes


@pytest.fixture
def registry() -> Iterator[Registry]:
    with hostile_registry() as running:
        yield running


def pushed(
    shop: Workshop, context: Path, registry: Registry, tag: str, provenance: Provenance | None
) -> dict[str, Any]:
    """Build and push; return the document that the tag names."""
    (context / "Dockerfile").write_text("FROM box\nRUN echo 1 > /f\n")
    name = f"{registry.host}/app:{tag}"
    request = BuildRequest(context=str(context), tags=(name,), push=True, provenance=provenance)
    shop.engine.build(request, Watch())
    document: dict[str, Any] = json.loads(registry.manifests["app", tag][1])
    return document


def statement(registry: Registry, manifest: dict[str, Any]) -> dict[str, Any]:
    (layer,) = manifest["layers"]
    assert layer["mediaType"] == "application/vnd.in-toto+json"
    found: dict[str, Any] = json.loads(registry.blobs["app", layer["digest"]])
    assert layer["annotations"] == {"in-toto.io/predicate-type": found["predicateType"]}
    return found


def of_digest(registry: Registry, digest: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(registry.manifests["app", digest][1])
    return found


def test_without_asking_there_is_none_and_the_digest_is_the_same_each_time(
    workshop: Workshop, context: Path, registry: Registry
) -> None:
    first = pushed(workshop, context, registry, "1", None)
    assert "manifests" not in first
    assert pushed(workshop, context, registry, "2", None) == first


def test_in_an_index_it_stands_beside_the_image_which_stays_the_same(
    workshop: Workshop, context: Path, registry: Registry
) -> None:
    plain = pushed(workshop, context, registry, "plain", None)
    index = pushed(workshop, context, registry, "told", Provenance(detail="min"))
    image, claim = index["manifests"]
    assert of_digest(registry, image["digest"]) == plain
    assert claim["platform"] == {"architecture": "unknown", "os": "unknown"}
    assert claim["annotations"]["vnd.docker.reference.digest"] == image["digest"]
    found = statement(registry, of_digest(registry, claim["digest"]))
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    assert found["predicateType"] == "https://slsa.dev/provenance/v1"
    (subject,) = found["subject"]
    assert subject["digest"] == {"sha256": image["digest"].removeprefix("sha256:")}
    assert subject["name"].startswith("pkg:docker/")
    assert found["predicate"]["buildDefinition"]["externalParameters"]["configSource"] == {
        "path": "Dockerfile"
    }


def test_as_a_referrer_it_changes_nothing_of_what_the_name_stands_for(
    workshop: Workshop, context: Path, registry: Registry
) -> None:
    plain = pushed(workshop, context, registry, "plain", None)
    wanted = Provenance(form="referrer", version="v0.2")
    assert pushed(workshop, context, registry, "told", wanted) == plain
    raw = registry.manifests["app", "told"][1]
    digest = "sha256:" + hashlib.sha256(raw).hexdigest()
    (entry,) = json.loads(registry.manifests["app", digest.replace(":", "-")][1])["manifests"]
    artifact = of_digest(registry, entry["digest"])
    assert artifact["subject"]["digest"] == digest
    assert entry["artifactType"] == artifact["artifactType"]
    found = statement(registry, artifact)
    assert found["predicateType"] == "https://slsa.dev/provenance/v0.2"
    assert found["subject"][0]["digest"] == {"sha256": digest.removeprefix("sha256:")}


@pytest.mark.parametrize("form", ["index", "referrer"])
def test_a_later_push_says_the_same_as_one_with_the_build(
    workshop: Workshop, context: Path, registry: Registry, form: str
) -> None:
    (context / "Dockerfile").write_text("FROM box\nRUN echo 1 > /f\n")
    name = f"{registry.host}/app:later"
    request = BuildRequest(context=str(context), tags=(name,), provenance=Provenance(form=form))
    if form == "referrer":
        request = msgspec.structs.replace(request, outputs=())
    workshop.engine.build(request, Watch())
    workshop.engine.push(name, Watch())
    document = json.loads(registry.manifests["app", "later"][1])
    assert ("manifests" in document) is (form == "index")
    claims = [
        raw
        for _, raw in registry.manifests.values()
        if b'"vnd.docker.attestation' in raw or b"in-toto" in raw
    ]
    assert claims


@pytest.mark.parametrize(
    ("output", "provenance"),
    [
        (Output(type="docker", dest="out.tar"), Provenance()),
        (Output(type="oci", dest="out.tar"), Provenance(form="referrer")),
    ],
)
def test_what_has_no_place_for_it_is_refused_before_anything_is_built(
    workshop: Workshop, context: Path, tmp_path: Path, output: Output, provenance: Provenance
) -> None:
    dest = msgspec.structs.replace(output, dest=str(tmp_path / str(output.dest)))
    request = BuildRequest(context=str(context / "missing"), outputs=(dest,), provenance=provenance)
    with pytest.raises(UsageError, match="provenance"):
        workshop.engine.build(request, Watch())


# Who reads it


@pytest.mark.parametrize("form", ["index", "referrer"])
def test_it_is_read_where_it_was_built_and_from_the_registry(
    workshop: Workshop, fresh: Workshop, context: Path, registry: Registry, form: str
) -> None:
    pushed(workshop, context, registry, "read", Provenance(form=form, detail="min"))
    name = f"{registry.host}/app:read"
    here = workshop.engine.provenance(name)
    assert here.where == "the store"
    there = fresh.engine.provenance(name)
    assert there.where.startswith("the index" if form == "index" else "a referrer")
    assert (there.type, json.loads(there.predicate)) == (here.type, json.loads(here.predicate))


def test_what_is_about_another_image_is_not_believed(
    workshop: Workshop, fresh: Workshop, context: Path, registry: Registry
) -> None:
    index = pushed(workshop, context, registry, "lie", Provenance())
    manifest = of_digest(registry, index["manifests"][1]["digest"])
    (layer,) = manifest["layers"]
    lie = json.loads(registry.blobs["app", layer["digest"]])
    lie["subject"][0]["digest"]["sha256"] = "0" * 64
    raw = json.dumps(lie).encode()
    layer["digest"], layer["size"] = "sha256:" + hashlib.sha256(raw).hexdigest(), len(raw)
    registry.blobs["app", layer["digest"]] = raw
    document = json.dumps(manifest).encode()
    entry = index["manifests"][1]
    entry["digest"], entry["size"] = "sha256:" + hashlib.sha256(document).hexdigest(), len(document)
    registry.manifests["app", entry["digest"]] = (entry["mediaType"], document)
    registry.manifests["app", "lie"] = (index["mediaType"], json.dumps(index).encode())
    with pytest.raises(ImageError, match="says nothing"):
        fresh.engine.provenance(f"{registry.host}/app:lie")


def test_who_has_none_is_told(workshop: Workshop) -> None:
    with pytest.raises(LapstrakeError):
        workshop.engine.provenance("127.0.0.1:1/nosuch:1")
