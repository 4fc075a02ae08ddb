"""No secret in any output, log, file or error: every kind of credential, against registries that repeat what they hear."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from builder.cli.application import main
from builder.cli.invocation import Invocation
from builder.errors import LapstrakeError
from builder.oci.reference import Reference
from builder.registry.auth import Credential
from builder.registry.client import RegistryClient
from builder.registry.pushing import push
from tests.registry.conftest import Keyring, Recorder
from tests.registry.test_push import outgoing
from tests.support import registry as faults
from tests.support.registry import Registry, hostile_registry
from tests.support.sample_image import sample_image

SECRET = "hunter2/%&é-s3cret"
IMAGE = sample_image()


def forms(secret: str, username: str = "ada") -> set[str]:
    """Return a secret in every spelling in which it may be repeated."""
    pair = f"{username}:{secret}".encode()
    return {secret, quote(secret), quote(secret, safe=""), base64.b64encode(pair).decode()}


def parrot(handler: faults.Handler) -> bool:
    """Repeat in an error whatever was said."""
    heard = f"{dict(handler.headers)} {handler.path} {handler.body!r} {SECRET}"
    handler.error(400, "X", heard, Warning=f'299 - "{SECRET}"')
    return True


def shown(error: BaseException) -> str:
    """Return all that can be learned of an error."""
    said = []
    cause: BaseException | None = error
    while cause is not None:
        said.append(repr((cause, cause.args, vars(cause))))
        if isinstance(cause, LapstrakeError):
            said.append(repr(cause.diagnostic()))
        cause = cause.__cause__
    return " ".join(said)


KINDS = {
    "password": Credential(username="ada", password=SECRET),
    "identity token": Credential(username="ada", identity_token=SECRET),
    "registry token": Credential(registry_token="s3cret-token"),
    "nothing": None,
}
DEEDS: dict[str, Callable[[RegistryClient, Reference], object]] = {
    "manifest": lambda client, name: client.fetch_manifest(name),
    "head": lambda client, name: client.head_manifest(name),
    "blob": lambda client, name: list(client.fetch_blob(name, IMAGE.manifest.layers[0])),
    "document": lambda client, name: client.fetch_document(name, IMAGE.manifest.config),
    "tags": lambda client, name: client.list_tags(name),
    "put": lambda client, name: client.put_manifest(name, IMAGE.manifest),
    "exists": lambda client, name: client.blob_exists(name, IMAGE.manifest.config.digest),
    "delete": lambda client, name: client.delete_manifest(name),
    "catalog": lambda client, name: client.list_repositories(name.registry),
    "push": lambda client, name: push(client, name, IMAGE.manifest, outgoing(IMAGE), Recorder()),
    "login": lambda client, name: client.login(name.registry, Credential(username="ada", password=SECRET)),
}  # fmt: skip


@pytest.mark.parametrize("scheme", ["basic", "token"])
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("deed", list(DEEDS))
def test_errors_hold_nothing_of_what_we_said(
    make_client: Callable[..., RegistryClient],
    registry: Registry,
    scheme: str,
    kind: str,
    deed: str,
) -> None:
    registry.auth, registry.password = scheme, SECRET
    registry.identity_tokens.add(SECRET)
    credential = KINDS[kind]
    if kind == "registry token":
        registry.tokens["s3cret-token"] = set()
    # The proof is heard, and then repeated.
    said: list[str] = []

    def act(handler: faults.Handler) -> bool:
        proof = handler.headers.get("Authorization")
        if proof is None and scheme != "none" and credential is not None:
            return False
        said.append((proof or "").partition(" ")[2])
        return parrot(handler)

    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        registry.fault(method, "/v2/", act, times=-1)
    client = make_client(Keyring({registry.host: credential} if credential else {}))
    with pytest.raises(LapstrakeError) as caught:
        DEEDS[deed](client, Reference.parse(f"{registry.host}/team/app:1"))
    text = shown(caught.value)
    known = credential is not None or deed == "login"
    for each in (forms(SECRET) if known and kind != "registry token" else set()) | set(said) - {""}:
        assert each not in text, each


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_token_service_that_repeats_what_it_hears_is_not_quoted(
    make_client: Callable[..., RegistryClient], registry: Registry, method: str
) -> None:
    registry.auth, registry.password = "token", SECRET
    credential = KINDS["password" if method == "GET" else "identity token"]
    assert credential is not None
    registry.fault(method, "/token", parrot, times=-1)
    client = make_client(Keyring({registry.host: credential}))
    with pytest.raises(LapstrakeError) as caught:
        client.fetch_manifest(Reference.parse(f"{registry.host}/team/app:1"))
    for each in forms(SECRET):
        assert each not in shown(caught.value)


# The whole program: what is printed, and what stays in files.

HELPERS = {
    "good": f'#!/bin/sh\ncat >/dev/null\necho \'{{"Username":"ada","Secret":"{SECRET}"}}\'\n',
    "rubbish": f"#!/bin/sh\necho 'oops {SECRET} oops'\n",
    "failing": f'#!/bin/sh\necho \'{{"Username":"ada","Secret":"{SECRET}"}}\'; exit 3\n',
    "chatty": f"#!/bin/sh\necho {SECRET} is too old; exit 1\n",
    "loud": f"#!/bin/sh\necho {SECRET} >&2; exit 4\n",
    "endless": f"#!/bin/sh\nexec yes {SECRET}\n",
}


class Machine:
    """A user's machine; all that is printed is kept, to be searched."""

    def __init__(
        self, ground: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self.ground, self.monkeypatch, self.capfd = ground, monkeypatch, capfd
        self.printed = ""
        self.home = ground / "home"
        (self.home / ".docker").mkdir(parents=True)
        (ground / "bin").mkdir()
        for name, text in HELPERS.items():
            program = ground / f"bin/docker-credential-{name}"
            program.write_text(text)
            program.chmod(0o755)

    def configure(self, **members: object) -> None:
        (self.home / ".docker/config.json").write_text(json.dumps(members))

    def type(self, *words: str, stdin: str = "") -> int:
        self.monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = main(["--root", str(self.ground / "store"), *words], Invocation())
        out, err = self.capfd.readouterr()
        self.printed += out + err
        return code

    def told(self) -> list[str]:
        """Return where the secret can be found: in what was printed, or in a file of the store."""
        found = [f"printed: {each}" for each in forms(SECRET) if each in self.printed]
        for folder, _, names in os.walk(self.ground / "store"):
            for path in (Path(folder, name) for name in names):
                data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
                found += [str(path) for each in forms(SECRET) if each.encode() in data]
        return found


@pytest.fixture
def machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Machine]:
    for name in list(os.environ):
        if name.startswith(("DOCKER", "CI_", "REGISTRY", "CONTAINERS", "XDG", "LAPSTRAKE")):
            monkeypatch.delenv(name)
    made = Machine(tmp_path, monkeypatch, capfd)
    monkeypatch.setenv("HOME", str(made.home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("LAPSTRAKE_DEBUG", "1")
    yield made


def known_by(machine: Machine, kind: str, host: str) -> None:
    """Let the secret be known in one of the ways in which it can be."""
    auth = base64.b64encode(f"ada:{SECRET}".encode()).decode()
    environment = machine.monkeypatch.setenv
    match kind:
        case "config.json":
            machine.configure(auths={host: {"auth": auth}})
        case "identity token":
            entry = {"auth": base64.b64encode(b"ada:").decode(), "identitytoken": SECRET}
            machine.configure(auths={host: entry})
        case "path of auth.json":
            where = machine.home / ".config/containers/auth.json"
            where.parent.mkdir(parents=True)
            where.write_text(json.dumps({"auths": {f"{host}/team": {"auth": auth}}}))
        case "$DOCKER_AUTH_CONFIG":
            environment("DOCKER_AUTH_CONFIG", json.dumps({"auths": {host: {"auth": auth}}}))
        case "malformed $DOCKER_AUTH_CONFIG":
            environment("DOCKER_AUTH_CONFIG", json.dumps({"auths": {host: {"auth": [auth]}}}))
        case "broken $DOCKER_AUTH_CONFIG":
            environment("DOCKER_AUTH_CONFIG", '{"auths": {"x": {"auth": "' + auth)
        case "base64 that is none":
            machine.configure(auths={host: {"auth": f"!{auth}!"}})
        case "GitLab":
            environment("CI_REGISTRY", host)
            environment("CI_REGISTRY_USER", "ada")
            environment("CI_REGISTRY_PASSWORD", SECRET)
        case helper:
            machine.configure(credHelpers={host: helper})


@pytest.mark.parametrize(
    "kind",
    [
        "config.json",
        "identity token",
        "path of auth.json",
        "$DOCKER_AUTH_CONFIG",
        "malformed $DOCKER_AUTH_CONFIG",
        "broken $DOCKER_AUTH_CONFIG",
        "base64 that is none",
        "GitLab",
        *HELPERS,
    ],
)
def test_the_program_prints_and_keeps_nothing_of_it(machine: Machine, kind: str) -> None:
    with hostile_registry(Registry(auth="token", password=SECRET)) as registry:
        registry.identity_tokens.add(SECRET)
        known_by(machine, kind, registry.host)

        def act(handler: faults.Handler) -> bool:
            if not handler.headers.get("Authorization"):
                return False
            return parrot(handler)

        for method in ("GET", "HEAD", "POST", "PUT"):
            registry.fault(method, "/v2/", act, times=-1)
        name = f"{registry.host}/team/app:1"
        context = machine.ground / "context"
        context.mkdir()
        (context / "Dockerfile").write_text(f"FROM {name}\nRUN true\n")
        for words in (
            ("pull", name),
            ("build", "--progress", "rawjson", str(context)),
            ("doctor", "registry", f"{registry.host}/team/app"),
            ("doctor", "registry", "--json", registry.host),
            ("login", registry.host),
            ("login", "--get-login", registry.host),
            ("logout", registry.host),
        ):
            machine.type(*words)
        heard = [seen.authorization or "" for seen in registry.requests]
        heard += [repr(seen.body) for seen in registry.requests]
    fine = kind in (
        "config.json", "identity token", "path of auth.json", "$DOCKER_AUTH_CONFIG", "GitLab", "good"
    )  # fmt: skip
    if fine and kind != "identity token":
        auth = base64.b64encode(f"ada:{SECRET}".encode()).decode()
        assert f"Basic {auth}" in heard, "the secret was used"
    assert machine.told() == []
    assert "Traceback" not in machine.printed


def test_a_password_that_is_typed_is_not_told_when_a_helper_cannot_keep_it(
    machine: Machine,
) -> None:
    program = machine.ground / "bin/docker-credential-echo"
    program.write_text(
        '#!/bin/sh\n[ "$1" = store ] && cat && exit 1\necho credentials not found; exit 1\n'
    )
    program.chmod(0o755)
    machine.configure(credsStore="echo")
    with hostile_registry() as registry:
        words = ("login", "-u", "ada", "--password-stdin", registry.host)
        assert machine.type(*words, stdin=SECRET) == 1
    assert "docker-credential-echo` fails" in machine.printed
    assert machine.told() == []


def test_a_pull_goes_well_without_a_word_of_it(machine: Machine) -> None:
    with hostile_registry(Registry(auth="basic", password=SECRET)) as registry:
        registry.add("team/app", "1", IMAGE)
        known_by(machine, "config.json", registry.host)
        assert machine.type("pull", f"{registry.host}/team/app:1") == 0
    assert machine.told() == []
