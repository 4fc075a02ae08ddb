"""Which secret is for which server, and how it is sent."""

from __future__ import annotations

from base64 import b64encode

import pytest

from builder.errors import BuildError
from builder.graph.operations import GitSource, HttpSource
from builder.source.credentials import credential, is_for_servers, names, token_name


def header(op: HttpSource | GitSource, **given: str) -> str | None:
    secrets = {name.replace("__", "."): value.encode() for name, value in given.items()}
    found = credential(op, secrets.get)
    return None if found is None else found.header


def test_a_download_is_asked_for_with_the_secret_of_its_host_whatever_the_port() -> None:
    wanted = ("HTTP_AUTH_TOKEN_files.example", "HTTP_AUTH_HEADER_files.example")
    for url in (
        "https://files.example/f",
        "http://files.example:8080/f?a@b",
        "https://u:p@files.example",
    ):
        assert names(HttpSource(url=url, name="f")) == wanted
    assert token_name("http://[::1]:80/f") == "HTTP_AUTH_TOKEN_::1"


def test_a_repository_is_asked_for_with_the_secret_of_its_host_and_port_before_any_other() -> None:
    assert names(GitSource(url="https://u@git.example:8443/a.git")) == (
        "GIT_AUTH_HEADER.git.example:8443",
        "GIT_AUTH_TOKEN.git.example:8443",
        "GIT_AUTH_HEADER",
        "GIT_AUTH_TOKEN",
    )


@pytest.mark.parametrize("url", ["ssh://git@host/a.git", "git@host:a.git", "git://host/a.git"])
def test_no_secret_is_for_a_repository_that_is_not_behind_http(url: str) -> None:
    assert names(GitSource(url=url)) == ()


def test_tokens_are_put_into_headers_and_headers_sent_as_they_are() -> None:
    download, repository = HttpSource(url="http://h/f", name="f"), GitSource(url="http://h/a.git")
    basic = "basic " + b64encode(b"x-access-token:abc").decode()
    assert header(download, HTTP_AUTH_TOKEN_h="abc\n") == "Bearer abc"
    assert header(download, HTTP_AUTH_HEADER_h="Basic abc") == "Basic abc"
    assert header(download, HTTP_AUTH_HEADER_h="Basic a", HTTP_AUTH_TOKEN_h="b") == "Bearer b"
    assert header(repository, GIT_AUTH_TOKEN="abc") == basic
    assert header(repository, GIT_AUTH_TOKEN__h="abc", GIT_AUTH_HEADER="Bearer b") == basic
    assert header(repository, GIT_AUTH_HEADER__h="Bearer c", GIT_AUTH_TOKEN__h="abc") == "Bearer c"
    assert header(repository, GIT_AUTH_TOKEN__other="abc", HTTP_AUTH_TOKEN_h="a") is None


@pytest.mark.parametrize("value", ["", "\n", "a\nX-Other: b", "a\rb", "ä", "a\0b"])
def test_what_no_header_holds_is_refused_and_not_quoted(value: str) -> None:
    with pytest.raises(BuildError) as caught:
        header(HttpSource(url="http://h/f", name="f"), HTTP_AUTH_TOKEN_h=value)
    assert caught.value.code == "build.secret-unusable"
    assert "X-Other" not in f"{caught.value.message}{caught.value.notes}"


def test_a_credential_does_not_show_what_it_is() -> None:
    found = credential(GitSource(url="http://h/a.git"), {"GIT_AUTH_TOKEN": b"hunter2"}.get)
    assert repr(found) == "Credential(GIT_AUTH_TOKEN, …)"


def test_names_that_are_for_servers_are_told_from_others() -> None:
    ours = ("HTTP_AUTH_TOKEN_h", "HTTP_AUTH_HEADER_h", "GIT_AUTH_TOKEN", "GIT_AUTH_HEADER.h")
    assert all(map(is_for_servers, ours))
    assert not any(map(is_for_servers, ("token", "GIT_AUTH_TOKENS", "HTTP_AUTH", "GIT_AUTH")))
