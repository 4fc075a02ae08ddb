"""Docker's config.json and its helpers."""

from __future__ import annotations

import base64
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from builder.errors import RegistryError, UsageError
from builder.registry.auth import Credential
from builder.registry.auth_file import HUB_KEY
from builder.registry.credentials import Keyring, Sources

ADA = Credential(username="ada", password="pa:ss")


def encoded(username: str = "ada", password: str = "pa:ss") -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()


def keyring(directory: Path, **more: object) -> Keyring:
    docker = str(directory / "config.json")
    sources = {"docker": docker, "session": f"{directory}/auth.json", "files": (docker,), **more}
    return Keyring(Sources(**sources))  # type: ignore[arg-type]


def keep(directory: Path, **members: object) -> Keyring:
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(members))
    return keyring(directory)


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install `docker-credential-fake`, which keeps one file for each server and logs its calls."""
    directory = tmp_path / "bin"
    directory.mkdir()
    program = directory / "docker-credential-fake"
    program.write_text(
        "#!/bin/sh\n"
        f"cd {tmp_path}\n"
        'echo "$@" >> calls\n'
        "input=$(cat)\n"
        'case "$1" in\n'
        'store) printf %s "$input" > secret ;;\n'
        'get) printf %s "$input" > asked; if [ -f secret ]; then cat secret;'
        " else echo credentials not found in native keychain; exit 1; fi ;;\n"
        "erase) rm -f secret ;;\n"
        "esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return tmp_path


def test_without_a_file_everybody_is_anonymous(tmp_path: Path) -> None:
    assert keyring(tmp_path / "none").for_repository("ghcr.io", "") is None


def test_an_entry_is_decoded(tmp_path: Path) -> None:
    credentials = keep(tmp_path, auths={"localhost:5000": {"auth": encoded()}})
    assert credentials.for_repository("localhost:5000", "") == ADA


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:5001", "sub.localhost:5000", "ocalhost:5000", "evil.io"]
)
def test_hosts_match_exactly(tmp_path: Path, host: str) -> None:
    credentials = keep(tmp_path, auths={"localhost:5000": {"auth": encoded()}})
    assert credentials.for_repository(host, "") is None


@pytest.mark.parametrize(
    "key", ["https://ghcr.io", "https://ghcr.io/v1/", "http://ghcr.io/v2", "ghcr.io"]
)
def test_old_spellings_of_a_host_are_known(tmp_path: Path, key: str) -> None:
    assert keep(tmp_path, auths={key: {"auth": encoded()}}).for_repository("ghcr.io", "") == ADA


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io"])
def test_the_hub_has_a_name_of_its_own(tmp_path: Path, host: str) -> None:
    assert keep(tmp_path, auths={HUB_KEY: {"auth": encoded()}}).for_repository(host, "") == ADA


def test_tokens_are_told_from_passwords(tmp_path: Path) -> None:
    credentials = keep(
        tmp_path,
        auths={
            "a.io": {"auth": encoded("ada", ""), "identitytoken": "I"},
            "b.io": {"registrytoken": "R"},
            "c.io": {},
            "d.io": None,
        },
    )
    assert credentials.for_repository("a.io", "") == Credential(username="ada", identity_token="I")
    assert credentials.for_repository("b.io", "") == Credential(registry_token="R")
    assert credentials.for_repository("c.io", "") is None
    assert credentials.for_repository("d.io", "") is None


def test_the_variable_goes_before_the_file(tmp_path: Path) -> None:
    keep(
        tmp_path,
        auths={"a.io": {"auth": encoded("file", "f")}, "b.io": {"auth": encoded("file", "f")}},
    )
    override = json.dumps({"auths": {"a.io": {"auth": encoded()}}})
    credentials = keyring(tmp_path, override=override)
    assert credentials.for_repository("a.io", "") == ADA
    assert credentials.for_repository("b.io", "") == Credential(username="file", password="f")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "[" * 100_000,
        '{"auths":{"a.io":{"auth":"%%%"}}}',
        '{"auths":[1]}',
        '{"credsStore":3}',
    ],
)
def test_a_malformed_file_is_said_without_its_contents(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(RegistryError) as caught:
        keyring(tmp_path).for_repository("a.io", "")
    assert caught.value.code == "registry.config"
    assert "%%%" not in repr((caught.value, caught.value.notes))


def test_an_empty_file_is_an_absent_one(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("")
    assert keyring(tmp_path).for_repository("a.io", "") is None


def test_what_is_stored_is_found_again_and_only_the_owner_may_read_it(tmp_path: Path) -> None:
    directory = tmp_path / "new" / ".docker"
    credentials = keyring(directory)
    assert credentials.store("localhost:5000", ADA) == str(directory / "config.json")
    credentials.store("docker.io", Credential(username="ada", identity_token="I"))
    assert credentials.for_repository("localhost:5000", "") == ADA
    assert credentials.for_repository("docker.io", "") == Credential(
        username="ada", identity_token="I"
    )
    assert stat.S_IMODE((directory / "config.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert os.listdir(directory) == ["config.json"]
    assert HUB_KEY in json.loads((directory / "config.json").read_text())["auths"]


def test_other_members_of_the_file_survive(tmp_path: Path) -> None:
    credentials = keep(
        tmp_path,
        auths={"a.io": {"auth": encoded(), "email": "x"}},
        psFormat="table",
        proxies={"default": {}},
    )
    credentials.store("b.io", ADA)
    assert credentials.erase("b.io")
    kept = json.loads((tmp_path / "config.json").read_text())
    assert kept == {
        "auths": {"a.io": {"auth": encoded(), "email": "x"}}, "psFormat": "table", "proxies": {"default": {}}
    }  # fmt: skip


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "dotfiles/docker.json").write_text("{}")
    (tmp_path / "config.json").symlink_to("dotfiles/docker.json")
    keyring(tmp_path).store("a.io", ADA)
    assert (tmp_path / "config.json").is_symlink()
    assert "a.io" in (tmp_path / "dotfiles/docker.json").read_text()


def test_forgetting_tells_whether_there_was_something(tmp_path: Path) -> None:
    credentials = keep(tmp_path, auths={"https://a.io/v1/": {"auth": encoded()}})
    assert credentials.erase("a.io")
    assert credentials.for_repository("a.io", "") is None
    assert not credentials.erase("a.io")


def test_a_colon_in_a_user_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        keyring(tmp_path).store("a.io", Credential(username="a:b", password="c"))


def test_a_helper_gets_the_host_on_its_standard_input(helper: Path) -> None:
    (helper / "secret").write_text(
        json.dumps({"ServerURL": "x", "Username": "ada", "Secret": "pa:ss"})
    )
    credentials = keep(helper / "docker", credHelpers={"a.io": "fake"})
    assert credentials.for_repository("a.io", "") == ADA
    assert (helper / "asked").read_text() == "a.io"
    assert (helper / "calls").read_text() == "get\n"
    assert credentials.for_repository("b.io", "") is None
    assert (helper / "calls").read_text() == "get\n"


def test_a_store_serves_all_hosts_and_the_hub_by_its_key(helper: Path) -> None:
    (helper / "secret").write_text(json.dumps({"Username": "<token>", "Secret": "I"}))
    credentials = keep(helper / "docker", credsStore="fake")
    assert credentials.for_repository("docker.io", "") == Credential(identity_token="I")
    assert (helper / "asked").read_text() == HUB_KEY


def test_a_helper_that_knows_nothing_leaves_us_anonymous(helper: Path) -> None:
    assert keep(helper / "docker", credsStore="fake").for_repository("a.io", "") is None


def test_a_password_in_a_helper_is_not_written_to_the_file(helper: Path) -> None:
    credentials = keep(helper / "docker", credsStore="fake")
    assert credentials.store("a.io", ADA) == "docker-credential-fake"
    text = (helper / "docker/config.json").read_text()
    assert "pa:ss" not in text
    assert encoded() not in text
    assert json.loads((helper / "secret").read_text()) == {
        "ServerURL": "a.io", "Username": "ada", "Secret": "pa:ss"
    }  # fmt: skip
    assert credentials.for_repository("a.io", "") == ADA
    assert credentials.erase("a.io")
    assert credentials.for_repository("a.io", "") is None


@pytest.mark.parametrize("name", ["../evil", "a b", "x;rm", "$(x)", "/bin/sh"])
def test_a_helper_with_a_strange_name_is_not_started(tmp_path: Path, name: str) -> None:
    with pytest.raises(RegistryError, match="malformed"):
        keep(tmp_path, credsStore=name).for_repository("a.io", "")


def test_a_helper_that_is_missing_or_fails_is_named(helper: Path) -> None:
    with pytest.raises(RegistryError, match="docker-credential-absent") as caught:
        keep(helper / "docker", credsStore="absent").for_repository("a.io", "")
    assert caught.value.notes == ("it is not installed",)
    (helper / "bin/docker-credential-fake").write_text("#!/bin/sh\necho locked; exit 3\n")
    with pytest.raises(RegistryError) as caught:
        keep(helper / "docker", credsStore="fake").for_repository("a.io", "")
    assert (caught.value.code, caught.value.notes) == (
        "registry.helper",
        ("it ended with code 3",),
    )
    assert caught.value.hint == "to see why, run `echo HOST | docker-credential-fake get`"
    (helper / "bin/docker-credential-fake").write_text("#!/bin/sh\necho not json\n")
    with pytest.raises(RegistryError, match="fails"):
        keep(helper / "docker", credsStore="fake").for_repository("a.io", "")


def test_those_who_sign_in_at_the_same_time_do_not_forget_each_other(tmp_path: Path) -> None:
    hosts = [f"{number}.example" for number in range(24)]

    def sign_in(host: str) -> None:
        keyring(tmp_path / "new").store(host, ADA)

    threads = [threading.Thread(target=sign_in, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(json.loads((tmp_path / "new/config.json").read_text())["auths"]) == set(hosts)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError, match="cannot write") as caught:
        keyring(tmp_path / "file").store("a.io", ADA)
    assert caught.value.code == "registry.config"
