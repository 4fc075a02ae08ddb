"""Which credential counts: by file, by path, by variable."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from builder.engine.lookup import places_of, sources_of
from builder.errors import RegistryError
from builder.registry import credential_helper
from builder.registry.auth import Credential
from builder.registry.auth_file import normal
from builder.registry.credentials import Found, Given, Keyring, Sources
from builder.settings import read


def entry(name: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{name}:pw".encode()).decode()}


def keep(path: Path, auths: dict[str, Any], **members: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"auths": auths, **members}))
    return str(path)


def who(keyring: Keyring, registry: str, repository: str = "") -> str | None:
    credential = keyring.find(registry, repository).credential
    return None if credential is None else credential.username


def one(path: str, **more: Any) -> Keyring:
    return Keyring(Sources(docker=path, session="/none", files=(path,), **more))


@pytest.mark.parametrize(
    ("repository", "name"),
    [
        ("team/app", "exact"),
        ("team/app/part", "exact"),
        ("team/other", "team"),
        ("teams/x", "host"),
        ("team", "team"),
        ("", "host"),
    ],
)
def test_the_longest_path_counts(tmp_path: Path, repository: str, name: str) -> None:
    path = keep(
        tmp_path / "auth.json",
        {"r.io": entry("host"), "r.io/team": entry("team"), "r.io/team/app": entry("exact")},
    )
    assert who(one(path), "r.io", repository) == name
    assert who(one(path), "other.io", repository) is None


def test_a_path_is_for_nothing_beside_it(tmp_path: Path) -> None:
    keyring = one(keep(tmp_path / "auth.json", {"r.io/team": entry("team")}))
    for repository in ("", "app", "teamster/app", "x/team"):
        assert who(keyring, "r.io", repository) is None


def test_paths_of_docker_hub(tmp_path: Path) -> None:
    path = keep(
        tmp_path / "auth.json", {"docker.io/library": entry("library"), "docker.io": entry("hub")}
    )
    assert who(one(path), "docker.io", "library/alpine") == "library"
    assert who(one(path), "docker.io", "team/app") == "hub"


@pytest.mark.parametrize(
    ("key", "meaning"),
    [
        ("r.io", "r.io"),
        ("R.io:5000", "r.io:5000"),
        ("https://r.io/v1/", "r.io"),
        ("http://r.io", "r.io"),
        ("r.io/team", "r.io/team"),
        ("r.io/team/", "r.io/team"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("index.docker.io/v1/", "docker.io"),
        ("docker.io/library", "docker.io/library"),
    ],
)
def test_keys_have_one_spelling(key: str, meaning: str) -> None:
    assert normal(key) == meaning


def test_an_exact_key_wins_over_an_old_spelling(tmp_path: Path) -> None:
    path = keep(tmp_path / "c.json", {"r.io": entry("new"), "https://r.io/v1/": entry("old")})
    assert who(one(path), "r.io") == "new"


def home(tmp_path: Path, **environ: str) -> Sources:
    given = {"XDG_RUNTIME_DIR": str(tmp_path / "run"), **environ}
    return sources_of(read(given, 1000, str(tmp_path)))


def test_files_are_searched_in_their_order(tmp_path: Path) -> None:
    places = {
        "session": tmp_path / "run/containers/auth.json",
        "user": tmp_path / ".config/containers/auth.json",
        "docker": tmp_path / ".docker/config.json",
    }
    (tmp_path / ".dockercfg").write_text(json.dumps({"https://r.io/v1/": entry("legacy")}))
    assert who(Keyring(home(tmp_path)), "r.io") == "legacy"
    for name in ("docker", "user", "session"):
        keep(places[name], {"r.io": entry(name)})
        found = Keyring(home(tmp_path)).find("r.io")
        assert found.credential is not None
        assert (found.credential.username, found.where) == (name, str(places[name]))
    keep(tmp_path / "chosen/config.json", {"r.io": entry("chosen")})
    chosen = home(tmp_path, DOCKER_CONFIG=str(tmp_path / "chosen"))
    assert who(Keyring(chosen), "r.io") == "chosen"
    only = home(tmp_path, REGISTRY_AUTH_FILE=keep(tmp_path / "only.json", {"a.io": entry("only")}))
    assert who(Keyring(only), "a.io") == "only"
    assert who(Keyring(only), "r.io") is None
    text = json.dumps({"auths": {"r.io": entry("variable")}})
    override = home(tmp_path, DOCKER_AUTH_CONFIG=text, DOCKER_CONFIG=str(tmp_path / "chosen"))
    assert Keyring(override).find("r.io").where == "$DOCKER_AUTH_CONFIG"


def test_a_file_that_was_named_and_is_not_there_is_an_error(tmp_path: Path) -> None:
    for path in ("/no/such.json", str(tmp_path)):
        keyring = Keyring(home(tmp_path, REGISTRY_AUTH_FILE=path))
        with pytest.raises(RegistryError, match=f"there is no file `{re.escape(path)}`"):
            keyring.find("r.io")


def test_a_pipe_in_which_nothing_is_does_not_make_us_anonymous(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    os.mkfifo(path)
    with pytest.raises(RegistryError, match="cannot read") as caught:
        one(str(path)).find("r.io")
    assert caught.value.notes == ("it is a pipe, and nothing is in it",)


def test_base64_may_be_broken_into_lines(tmp_path: Path) -> None:
    auth = base64.encodebytes(b"ada:" + b"x" * 100).decode()
    assert auth.count("\n") > 1
    path = keep(tmp_path / "auth.json", {"r.io": {"auth": auth}})
    assert who(one(path), "r.io") == "ada"


def test_the_session_s_file_of_root_and_of_those_without_a_session() -> None:
    assert sources_of(read({}, 0, "/root")).session == "/run/containers/0/auth.json"
    assert sources_of(read({}, 7, "/h")).session == "/h/.config/containers/auth.json"
    assert places_of(read({"XDG_CONFIG_HOME": "/cfg"}, 7, "/h")).user == "/cfg"


def test_gitlab_s_variables_are_for_gitlab_s_registry(tmp_path: Path) -> None:
    variables = {
        "CI_REGISTRY": "registry.gitlab.example",
        "CI_REGISTRY_USER": "job",
        "CI_REGISTRY_PASSWORD": "pw",
        "CI_JOB_TOKEN": "token",
        "CI_DEPENDENCY_PROXY_SERVER": "gitlab.example:443",
        "CI_DEPENDENCY_PROXY_USER": "proxy",
        "CI_DEPENDENCY_PROXY_PASSWORD": "pw",
    }
    keyring = Keyring(home(tmp_path, **variables))
    assert keyring.find("registry.gitlab.example", "a/b") == Found(
        Credential(username="job", password="pw"), "$CI_REGISTRY_PASSWORD"
    )
    assert who(keyring, "gitlab.example:443") == "proxy"
    assert who(keyring, "gitlab.example") == "proxy"
    assert who(keyring, "docker.io") is None
    del variables["CI_REGISTRY_PASSWORD"]
    assert who(Keyring(home(tmp_path, **variables)), "registry.gitlab.example") == "gitlab-ci-token"
    keep(tmp_path / ".docker/config.json", {"registry.gitlab.example": entry("own")})
    assert who(Keyring(home(tmp_path, **variables)), "registry.gitlab.example") == "own"


def test_nothing_of_it_is_shown_by_accident() -> None:
    given = Given(host="r.io", username="ada", password="s3cret", where="$X")
    sources = Sources(docker="/d", session="/s", override="s3cret", given=(given,))
    assert "s3cret" not in repr((given, sources, Found(Credential(password="s3cret"))))


def test_only_headers_for_registries_are_taken(tmp_path: Path) -> None:
    headers = {"X-Meta-Team": "a", "User-Agent": "mine", "Authorization": "Bearer x"}
    keyring = one(keep(tmp_path / "config.json", {}, HttpHeaders=headers))
    assert keyring.headers() == (("X-Meta-Team", "a"),)
    bad = one(keep(tmp_path / "bad.json", {}, HttpHeaders={"X-Meta-A": "a\r\nX: y"}))
    with pytest.raises(RegistryError, match="malformed"):
        bad.headers()


def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    program = tmp_path / "bin/docker-credential-fake"
    program.parent.mkdir(exist_ok=True)
    program.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


GOOD = '#!/bin/sh\necho x >> "$0.calls"\necho \'{"Username":"helped","Secret":"pw"}\'\n'


def test_helpers_of_registries_conf_are_asked_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, GOOD)
    path = keep(tmp_path / "c.json", {"r.io": entry("file")})
    sources = Sources(docker=path, session="/none", files=(path,))
    assert who(Keyring(sources, lambda: ("fake", "containers-auth.json")), "r.io") == "helped"
    assert who(Keyring(sources, lambda: ("containers-auth.json", "fake")), "r.io") == "file"
    assert who(Keyring(sources, lambda: ("fake",)), "other.io") == "helped"


def test_a_helper_s_name_leads_to_no_other_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docker-credential-..").mkdir()
    helper(tmp_path, monkeypatch, GOOD)
    (tmp_path / "bin/docker-credential-fake").rename(tmp_path / "evil")
    monkeypatch.chdir(tmp_path)
    path = str(tmp_path / "config.json")
    keyring = Keyring(Sources(docker=path, session="/none"), helpers=lambda: ("../evil",))
    for ask in (lambda: keyring.find("r.io"), lambda: keyring.store("r.io", Credential())):
        with pytest.raises(RegistryError, match=r"registries\.conf is malformed"):
            ask()
    assert not (tmp_path / "evil.calls").exists()


def test_a_helper_is_asked_once_for_a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, GOOD)
    keyring = one(keep(tmp_path / "c.json", {}, credsStore="fake"))
    for repository in ("a", "b/c", ""):
        assert who(keyring, "r.io", repository) == "helped"
    assert (tmp_path / "bin/docker-credential-fake.calls").read_text() == "x\n"


def test_a_path_goes_before_a_helper_for_its_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, GOOD)
    path = keep(tmp_path / "c.json", {"r.io/team": entry("team")}, credHelpers={"r.io": "fake"})
    assert who(one(path), "r.io", "team/app") == "team"
    assert who(one(path), "r.io", "other") == "helped"


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("#!/bin/sh\nexec yes\n", "answers more than"),
        ("#!/bin/sh\nexec sleep 60\n", "does not answer within"),
        ("#!/bin/sh\nsleep 60 & exit 0\n", "does not answer within"),
        ("#!/bin/sh\nexec >&-; exec sleep 60\n", "does not end"),
        ("#!/bin/sh\necho '['\n", "is not what helpers answer"),
        ("#!/bin/sh\necho locked; exit 2\n", "ended with code 2"),
        ('#!/bin/sh\necho \'{"Secret": "x"}\'; exit 2\n', "ended with code 2"),
        ("#!/bin/sh\nkill -9 $$\n", "ended with code -9"),
        ("not a program", "Exec format error"),
    ],
)
def test_what_helpers_do_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, fact: str
) -> None:
    helper(tmp_path, monkeypatch, text)
    monkeypatch.setattr(credential_helper, "SECONDS", 0.3)
    with pytest.raises(RegistryError, match="docker-credential-fake") as caught:
        who(one(keep(tmp_path / "c.json", {}, credsStore="fake")), "r.io")
    assert caught.value.code == "registry.helper"
    assert fact in caught.value.notes[0]


def test_a_helper_that_reads_nothing_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, "#!/bin/sh\nexit 0\n")
    keyring = one(keep(tmp_path / "c.json", {}, credsStore="fake"))
    keyring.store("r.io", Credential(username="ada", password="x" * 300_000))


def test_a_helper_that_knows_nothing_leaves_the_file_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(
        tmp_path, monkeypatch, "#!/bin/sh\necho credentials not found in native keychain\nexit 1\n"
    )
    path = keep(tmp_path / "c.json", {"r.io": entry("file")}, credsStore="fake")
    assert who(one(path), "r.io") == "file"
