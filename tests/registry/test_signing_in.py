"""`login`, `logout` and `doctor registry`, as they are typed."""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.cli.application import main
from builder.cli.invocation import Invocation
from tests.support import registry as faults
from tests.support.registry import Registry, hostile_registry
from tests.support.sample_image import sample_image

PASSWORD = "pa:ss"
ENCODED = "YWRhOnBhOnNz"


class Desk:
    """A user's home and what they type; `said` is all that was ever printed."""

    def __init__(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.home, self.monkeypatch, self.capsys = home, monkeypatch, capsys
        self.said = ""
        self.out = self.err = ""

    def type(self, *words: str, stdin: str = "", code: int = 0) -> str:
        self.monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        ended = main(list(words), Invocation())
        self.out, self.err = self.capsys.readouterr()
        self.said += self.out + self.err
        assert ended == code, self.out + self.err
        return self.out

    @property
    def config(self) -> Path:
        return self.home / ".docker/config.json"

    def auths(self, path: Path | None = None) -> dict[str, object]:
        return dict(json.loads((path or self.config).read_text())["auths"])


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Desk]:
    home = tmp_path / "home"
    home.mkdir()
    for name in list(os.environ):
        if name.startswith(("DOCKER", "CI_", "REGISTRY", "CONTAINERS", "XDG", "LAPSTRAKE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    sitting = Desk(home, monkeypatch, capsys)
    yield sitting
    for secret in (PASSWORD, ENCODED, "identity-1"):
        assert secret not in sitting.said


def sign_in(desk: Desk, host: str, *more: str) -> str:
    return desk.type("login", "-u", "ada", "--password-stdin", *more, host, stdin=PASSWORD + "\n")


@pytest.mark.parametrize("scheme", ["basic", "token"])
def test_login_tries_the_password_and_keeps_it_where_docker_does(
    desk: Desk, registry: Registry, scheme: str
) -> None:
    registry.auth = scheme
    assert sign_in(desk, registry.host) == "Login Succeeded\n"
    assert f"unencrypted in `{desk.config}`" in desk.err
    assert stat.S_IMODE(desk.config.stat().st_mode) == 0o600
    [(host, entry)] = desk.auths().items()
    assert host == registry.host
    if scheme == "basic":
        assert entry == {"auth": ENCODED}
    else:
        assert entry == {"auth": "YWRhOg==", "identitytoken": "identity-1"}


def test_a_wrong_password_is_not_kept(desk: Desk, registry: Registry) -> None:
    registry.auth = "basic"
    registry.password = "another"
    sign_in_failed = ("login", "-u", "ada", "--password-stdin", registry.host)
    desk.type(*sign_in_failed, stdin=PASSWORD, code=1)
    assert "does not accept this user name and password" in desk.err
    assert not desk.config.exists()


def test_login_again_uses_what_is_known(desk: Desk, registry: Registry) -> None:
    registry.auth = "basic"
    sign_in(desk, registry.host)
    assert desk.type("login", registry.host) == (
        "Authenticating with existing credentials... [Username: ada]\nLogin Succeeded\n"
    )
    registry.password = "changed"
    desk.type("login", registry.host, code=125)
    assert "does not accept the credentials that are known any more" in desk.err
    assert "no terminal to ask" in desk.err


def test_get_login_prints_the_name_alone(desk: Desk, registry: Registry) -> None:
    registry.auth = "basic"
    desk.type("login", "--get-login", registry.host, code=125)
    assert f"not logged in to {registry.host}" in desk.err
    sign_in(desk, registry.host)
    assert desk.type("login", "--get-login", registry.host) == "ada\n"


def test_an_address_is_taken_for_its_host(desk: Desk, registry: Registry) -> None:
    sign_in(desk, f"http://{registry.host}/v2/")
    assert list(desk.auths()) == [registry.host]


def test_a_path_of_a_registry_goes_into_an_auth_json(
    desk: Desk, registry: Registry, tmp_path: Path
) -> None:
    registry.auth = "basic"
    sign_in(desk, f"{registry.host}/team")
    kept = tmp_path / "run/containers/auth.json"
    assert list(desk.auths(kept)) == [f"{registry.host}/team"]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert not desk.config.exists()
    assert desk.type("login", "--get-login", f"{registry.host}/team/app") == "ada\n"
    desk.type("login", "--get-login", f"{registry.host}/other", code=125)
    out = desk.type("logout", f"{registry.host}/team")
    assert out == f"Removing login credentials for {registry.host}/team\n"
    assert desk.auths(kept) == {}


def test_authfile_is_written_and_read_alone(desk: Desk, registry: Registry, tmp_path: Path) -> None:
    registry.auth = "basic"
    mine = tmp_path / "deep/mine.json"
    sign_in(desk, registry.host, "--authfile", str(mine))
    assert list(desk.auths(mine)) == [registry.host]
    assert not desk.config.exists()
    desk.type("login", "--get-login", registry.host, code=125)
    assert desk.type("login", "--get-login", "--authfile", str(mine), registry.host) == "ada\n"
    desk.monkeypatch.setenv("REGISTRY_AUTH_FILE", str(mine))
    assert desk.type("login", "--get-login", registry.host) == "ada\n"
    desk.type("logout", registry.host)
    assert desk.auths(mine) == {}


def test_logout_says_what_it_did(desk: Desk, registry: Registry) -> None:
    sign_in(desk, registry.host)
    out = desk.type("logout", registry.host)
    assert out == f"Removing login credentials for {registry.host}\n"
    assert desk.type("logout", registry.host) == f"Not logged in to {registry.host}\n"
    assert desk.type("logout") == "Not logged in to https://index.docker.io/v1/\n"


def test_logout_tells_of_credentials_that_it_does_not_touch(desk: Desk, registry: Registry) -> None:
    desk.monkeypatch.setenv("CI_REGISTRY", registry.host)
    desk.monkeypatch.setenv("CI_REGISTRY_USER", "ada")
    desk.monkeypatch.setenv("CI_REGISTRY_PASSWORD", PASSWORD)
    desk.type("logout", registry.host)
    assert "still known: $CI_REGISTRY_PASSWORD" in desk.err


def test_login_tells_when_an_older_credential_goes_before_it(
    desk: Desk, registry: Registry
) -> None:
    session = Path(os.environ["XDG_RUNTIME_DIR"], "containers/auth.json")
    words = ("login", "-u", "ada", "--password-stdin", registry.host)
    desk.type(*words, stdin=PASSWORD)
    assert "goes before it" not in desk.err
    session.parent.mkdir(parents=True)
    session.write_text(json.dumps({"auths": {registry.host: {"auth": "b2xkOm9sZA=="}}}))
    desk.type(*words, stdin=PASSWORD)
    assert f"what {session} says of {registry.host} goes before it" in desk.err
    assert desk.type("login", "--get-login", registry.host) == "old\n"


def test_a_password_in_the_open_is_warned_of(desk: Desk, registry: Registry) -> None:
    desk.type("login", "-u", "ada", "-p", PASSWORD, registry.host)
    assert "can be read by others" in desk.err


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (("--password-stdin",), "x", "needs a name"),
        (("-u", "ada", "--password-stdin"), "", "no password on standard input"),
        (("-u", "ada", "-p", "x", "--password-stdin"), "", "exclude each other"),
        ((), "", "no terminal to ask"),
        (("--tls-verify=maybe",), "", "neither true nor false"),
        (("--insecure-registry", "http://x/y"), "", "is not a registry's host"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    desk: Desk, words: tuple[str, ...], stdin: str, said: str
) -> None:
    desk.type("login", *words, "registry.example", stdin=stdin, code=125)
    assert said in desk.err


@pytest.mark.parametrize(("name", "password"), [("a\udcff", "x"), ("ada", "x\udcfe")])
def test_bytes_that_are_no_text_are_refused(
    desk: Desk, registry: Registry, name: str, password: str
) -> None:
    desk.type("login", "-u", name, "--password-stdin", registry.host, stdin=password, code=125)
    assert "is not text in UTF-8" in desk.err
    assert "error[internal]" not in desk.err
    assert registry.requests == []


@pytest.mark.parametrize("name", ["a b", "x@y", "reg.example/UPPER", "reg.example:99999999"])
def test_what_is_no_registry_is_refused(desk: Desk, name: str) -> None:
    desk.type("login", "-u", "ada", "--password-stdin", name, stdin=PASSWORD, code=1)
    assert "is not a registry" in desk.err


def test_doctor_says_what_counts_and_what_came_of_it(
    desk: Desk, registry: Registry, tmp_path: Path
) -> None:
    registry.auth = "token"
    registry.add("team/app", "1", sample_image())
    conf = desk.home / ".config/containers/registries.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text(
        f'[[registry]]\nlocation = "{registry.host}"\n'
        '[[registry.mirror]]\nlocation = "localhost:1/proxy"\n'
    )
    sign_in(desk, registry.host)
    text = desk.type("doctor", "registry", f"{registry.host}/team/app")
    for said in (
        f"read  {conf}",
        f"read  {desk.config}",
        "1. mirror ",
        "localhost:1/v2/proxy/team/app",
        f"mirror 1 of `{registry.host}` in {conf}",
        "cannot reach the registry at `localhost:1`",
        f"2. registry http://{registry.host}/v2/team/app",
        f"as ada, from {desk.config}",
        "yes  it answers as a registry",
    ):
        assert said in text
    found = json.loads(desk.type("doctor", "registry", "--json", registry.host))
    assert found["ok"] is True
    assert [place["ok"] for place in found["places"]] == [False, True]


def test_doctor_names_the_one_thing_to_change(desk: Desk, registry: Registry) -> None:
    registry.auth = "basic"
    text = desk.type("doctor", "registry", registry.host, code=1)
    assert f"change: run `lapstrake login {registry.host}`" in text
    registry.auth = None
    text = desk.type("doctor", "registry", f"{registry.host}/no/such", code=1)
    assert "has no repository `no/such`" in text
    registry.fault("GET", "/v2/", faults.body(b"<html>"), times=0)
    conf = desk.home / ".config/containers/registries.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text(f'[[registry]]\nlocation = "{registry.host}"\nblocked = true\n')
    text = desk.type("doctor", "registry", registry.host, code=1)
    assert f"is blocked by `{conf}`" in text
    conf.write_text("[[")
    text = desk.type("doctor", "registry", registry.host, code=1)
    assert f"`{conf}` is not understood" in text


def test_doctor_wants_a_registry(desk: Desk) -> None:
    desk.type("doctor", "registry", "alpine", code=1)
    assert "lapstrake doctor registry docker.io/alpine" in desk.err


def test_doctor_does_not_show_what_a_registry_repeats(desk: Desk, registry: Registry) -> None:
    registry.auth = "basic"
    sign_in(desk, registry.host)
    registry.fault("GET", "/v2/", _echo, times=-1)
    desk.type("doctor", "registry", registry.host, code=1)


def _echo(handler: faults.Handler) -> bool:
    handler.error(400, "X", f"you sent {handler.headers.get('Authorization')} {PASSWORD}")
    return True


def test_a_mirror_alone_is_enough(desk: Desk, registry: Registry) -> None:
    with hostile_registry() as mirror:
        registry.fault("GET", "/v2/", faults.status(500), times=-1)
        conf = desk.home / ".config/containers/registries.conf"
        conf.parent.mkdir(parents=True)
        conf.write_text(
            f'[[registry]]\nlocation = "nowhere.invalid"\n'
            f'[[registry.mirror]]\nlocation = "{mirror.host}"\n'
        )
        text = desk.type("doctor", "registry", "nowhere.invalid")
    assert "asks nobody who they are" in text
