"""The words of --secret, --ssh and --allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.cli.given import agents_of, allowed_of, secrets_of
from builder.errors import UsageError
from builder.solve.given import AgentSource, SecretSource


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("value")
    (tmp_path / "a,b").write_text("value")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", "value")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.mark.parametrize(
    ("word", "source"),
    [
        ("id=s,src=file", SecretSource(id="s", path="file")),
        ("id=s,source=file,type=file", SecretSource(id="s", path="file")),
        ('id=s,"src=a,b"', SecretSource(id="s", path="a,b")),
        ("id=s,env=TOKEN", SecretSource(id="s", env="TOKEN")),
        ("type=env,id=s,src=TOKEN", SecretSource(id="s", env="TOKEN")),
        ("type=env,id=TOKEN", SecretSource(id="TOKEN", env="TOKEN")),
        ("id=TOKEN", SecretSource(id="TOKEN", env="TOKEN")),
        ("id=file", SecretSource(id="file", path="file")),
        ("ID=s,src=file,cache=digest", SecretSource(id="s", path="file", keyed=True)),
    ],
)
def test_a_secret_is_a_file_or_a_variable(word: str, source: SecretSource) -> None:
    assert secrets_of((word,)) == (source,)


def test_of_several_secrets_with_one_id_the_last_counts() -> None:
    assert secrets_of(("id=s,env=TOKEN", "id=s,src=file")) == (SecretSource(id="s", path="file"),)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("s", "`s` in `--secret s` is not understood"),
        ("id=s,scr=file", "`scr=file`"),
        ("src=file", "has no id"),
        ("id=s,src=file,type=pipe", "`pipe` is no type"),
        ("id=s,src=file,cache=yes", "`cache=yes`"),
        ("id=s,src=missing", "the file `missing`: there is no such file"),
        ("id=s,src=.", "the file `.`: it cannot be read"),
        ("id=s,env=MISSING", "the variable `MISSING`: it is not set"),
        ("id=missing", "the file `missing`"),
        ('id=s,"src=file', "quotes"),
    ],
)
def test_a_secret_that_cannot_be_had_is_refused_before_anything_is_built(
    word: str, message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        secrets_of((word,))
    assert message in refused.value.message


def test_an_agent_is_that_of_the_caller_or_a_socket_or_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "file"))
    file = str(tmp_path / "file")
    assert agents_of(("default", "k=file", "two=file,a")[:2]) == (
        AgentSource(id="default", paths=(file,)),
        AgentSource(id="k", paths=(file,)),
    )
    assert agents_of(("",)) == (AgentSource(id="default", paths=(file,)),)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("default",), "SSH_AUTH_SOCK is not set"),
        (("k=missing",), "there is no `missing`"),
        (("k=file", "k=file"), "twice"),
    ],
)
def test_an_agent_that_cannot_be_had_is_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        agents_of(words)
    assert message in refused.value.message


def test_only_what_is_known_can_be_allowed() -> None:
    assert allowed_of(("leaked-secrets",)) == {"leaked-secrets"}
    with pytest.raises(UsageError, match="not known"):
        allowed_of(("leaked-secret",))
