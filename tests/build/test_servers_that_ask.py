"""Servers that ask who comes: the secrets for them, whom they are told, and that nothing keeps them."""

from __future__ import annotations

import os
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.engine.requests import CallRequest
from builder.solve.given import SecretSource
from tests.build.workshop import Workshop
from tests.support.file_server import File, FileServer, serving_files
from tests.support.git_server import GitServer, serving
from tests.support.product import Product

VALUE = "s3cr3t-0f-a-server"
BASIC = b64encode(f"x-access-token:{VALUE}".encode()).decode()


@pytest.fixture
def files() -> Iterator[FileServer]:
    with serving_files() as server:
        yield server


@pytest.fixture
def repositories(tmp_path: Path) -> Iterator[GitServer]:
    root = tmp_path / "served"
    root.mkdir()
    with serving(root) as server:
        yield server


def secret(where: Path, name: str, value: str = VALUE) -> SecretSource:
    path = where / f"value-{name}"
    path.write_text(f"{value}\n")
    return SecretSource(id=name, path=str(path))


def holding(root: Path) -> list[str]:
    """Return the files below a directory that hold the value, as it is or as it is sent, by content or name."""
    found = []
    for folder, _, names in os.walk(root):
        for path in (Path(folder, name) for name in names):
            data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            if any(each.encode() in data + bytes(path) for each in (VALUE, BASIC)):
                found.append(str(path))
    return found


def test_a_download_is_asked_for_with_its_token_or_header(
    fresh: Workshop, context: Path, tmp_path: Path, files: FileServer
) -> None:
    files.files["/token"] = File(b"1")
    files.files["/token"].wants = f"Bearer {VALUE}"
    files.files["/header"] = File(b"2")
    files.files["/header"].wants = f"Custom {VALUE}"
    token = secret(tmp_path, "HTTP_AUTH_TOKEN_127.0.0.1")
    header = secret(tmp_path, "HTTP_AUTH_HEADER_127.0.0.1", f"Custom {VALUE}")
    built = fresh.build(context, f"ADD {files.url('/token')} /f", secrets=(token,))
    assert built.image["f"].text == "1"
    assert built.result.warnings == ()
    built = fresh.build(context, f"ADD {files.url('/header')} /f", secrets=(header,))
    assert built.image["f"].text == "2"
    assert holding(fresh.root) == []


def test_a_redirect_to_another_server_is_followed_without_the_token(
    fresh: Workshop, context: Path, tmp_path: Path, files: FileServer
) -> None:
    with serving_files() as other:
        other.files["/there"] = File(b"there")
        files.files["/here"] = File(b"", Location=other.url("/there"))
        files.files["/here"].status = 302
        token = secret(tmp_path, "HTTP_AUTH_TOKEN_127.0.0.1")
        built = fresh.build(context, f"ADD {files.url('/here')} /f", secrets=(token,))
        assert built.image["f"].text == "there"
        assert files.asked("/here")[0]["authorization"] == f"Bearer {VALUE}"
        assert all("authorization" not in headers for _, _, headers in other.requests)


def test_a_refused_download_says_which_secret_it_wants_or_which_was_sent(
    fresh: Workshop, context: Path, tmp_path: Path, files: FileServer
) -> None:
    files.files["/f"] = File(b"1")
    files.files["/f"].wants = "Bearer another"
    error = fresh.refused(context, f"ADD {files.url('/f')} /f")
    assert error.code == "source.unauthorized"
    assert "--secret id=HTTP_AUTH_TOKEN_127.0.0.1,env=NAME" in (error.hint or "")
    token = secret(tmp_path, "HTTP_AUTH_TOKEN_127.0.0.1")
    error = fresh.refused(context, f"ADD {files.url('/f')} /f", secrets=(token,))
    assert error.notes == (
        "the server answers 401",
        "the secret `HTTP_AUTH_TOKEN_127.0.0.1` was sent",
    )
    assert VALUE not in repr(error.diagnostic())


def test_a_repository_is_fetched_with_the_token_of_its_host_or_of_all(
    fresh: Workshop, context: Path, tmp_path: Path, repositories: GitServer
) -> None:
    repositories.create("one", {"a": "1"})
    repositories.wants = f"basic {BASIC}"
    url = repositories.url("one")
    host = f"127.0.0.1:{repositories.port}"
    scoped = secret(tmp_path, f"GIT_AUTH_TOKEN.{host}")
    text = f"ADD --keep-git-dir {url} /r"
    built = fresh.build(context, text, secrets=(scoped, secret(tmp_path, "GIT_AUTH_TOKEN", "no")))
    assert built.image["r/a"].text == "1"
    (warning,) = built.result.warnings
    assert (warning.code, "another secret" in (warning.hint or "")) == ("build.secret-unused", True)
    repositories.wants = f"Custom {VALUE}"
    header = secret(tmp_path, "GIT_AUTH_HEADER", f"Custom {VALUE}")
    repositories.commit("one", {"a": "2"})
    built = fresh.build(context, text, secrets=(header,))
    assert built.image["r/a"].text == "2"
    assert holding(fresh.root) == []


def test_a_repository_that_redirects_to_another_server_gets_no_secret_there(
    fresh: Workshop, context: Path, tmp_path: Path, repositories: GitServer
) -> None:
    (tmp_path / "other").mkdir()
    with serving(tmp_path / "other") as other:
        other.create("one", {"a": "1"})
        repositories.sends_to = f"http://127.0.0.1:{other.port}"
        token = secret(tmp_path, "GIT_AUTH_TOKEN")
        error = fresh.refused(context, f"ADD {repositories.url('one')} /r", secrets=(token,))
        assert repositories.told == [f"basic {BASIC}"]
        assert other.requests == []
        assert (error.code, "redirects" in (error.hint or "")) == ("source.git-failed", True)
        assert VALUE not in repr(error.diagnostic())


def test_the_submodules_of_a_repository_are_fetched_without_its_secret(
    fresh: Workshop, context: Path, tmp_path: Path, repositories: GitServer
) -> None:
    (tmp_path / "other").mkdir()
    with serving(tmp_path / "other") as other:
        other.create("part", {"p": "p"})
        repositories.create("whole", {"a": "1"})
        add = ("submodule", "--quiet", "add", other.url("part"), "part")
        repositories.git("whole", *add)
        repositories.git("whole", "commit", "--quiet", "-m", "part")
        repositories.wants = f"basic {BASIC}"
        token = secret(tmp_path, "GIT_AUTH_TOKEN")
        built = fresh.build(context, f"ADD {repositories.url('whole')} /r", secrets=(token,))
        assert built.image["r/part/p"].text == "p"
        assert other.told == []


def test_a_refused_repository_says_which_secret_it_wants(
    fresh: Workshop, context: Path, repositories: GitServer
) -> None:
    repositories.create("one", {"a": "1"})
    repositories.wants = f"basic {BASIC}"
    error = fresh.refused(context, f"ADD {repositories.url('one')} /r")
    wanted = f"--secret id=GIT_AUTH_TOKEN.127.0.0.1:{repositories.port},env=NAME"
    assert wanted in (error.hint or "")


def test_contexts_and_dockerfiles_are_fetched_with_secrets_too(
    fresh: Workshop, tmp_path: Path, files: FileServer, repositories: GitServer
) -> None:
    repositories.create("one", {"Dockerfile": "FROM base\nCOPY a /\nCOPY --from=n b /\n", "a": "1"})
    repositories.create("two", {"b": "2"})
    repositories.wants = f"basic {BASIC}"
    token = secret(tmp_path, f"GIT_AUTH_TOKEN.127.0.0.1:{repositories.port}")
    url = repositories.url("one")
    named = (("n", repositories.url("two")),)
    assert fresh.engine.call(CallRequest(method="check", context=url, secrets=(token,)))
    shown = fresh.build_from(url, contexts=named, secrets=(token,))
    assert (shown.image["a"].text, shown.image["b"].text) == ("1", "2")
    assert shown.result.warnings == ()
    files.files["/Dockerfile"] = File(b"FROM base\nRUN echo seen\n")
    files.files["/Dockerfile"].wants = f"Bearer {VALUE}"
    header = secret(tmp_path, "HTTP_AUTH_TOKEN_127.0.0.1")
    assert fresh.build_from(files.url("/Dockerfile"), secrets=(header,)).watch.output() == "seen\n"


def test_a_secret_for_a_server_that_nothing_asks_for_is_told(
    workshop: Workshop, context: Path, tmp_path: Path, files: FileServer
) -> None:
    files.files["/f"] = File(b"1")
    given = tuple(
        secret(tmp_path, name)
        for name in ("HTTP_AUTH_TOKEN_127.0.0.2", "GIT_AUTH_TOKEN", "GIT_AUTH_HEADER", "other")
    )
    built = workshop.build(
        context,
        f"ADD {files.url('/f')} /f\nRUN --mount=type=secret,id=GIT_AUTH_HEADER true",
        secrets=given,
    )
    warnings = built.result.warnings
    assert [each.code for each in warnings] == ["build.secret-unused"] * 2
    assert "`HTTP_AUTH_TOKEN_127.0.0.2`" in warnings[0].message
    assert warnings[0].hint == "did you mean `HTTP_AUTH_TOKEN_127.0.0.1`?"
    assert "`GIT_AUTH_TOKEN`" in warnings[1].message


# As root and as an ordinary user


def test_whoever_builds_is_known_to_servers_and_keeps_no_secret(
    product: Product, ours: Path, files: FileServer, repositories: GitServer
) -> None:
    files.files["/f"] = File(b"file")
    files.files["/f"].wants = f"Bearer {VALUE}"
    repositories.create("one", {"a": "1"})
    repositories.wants = f"basic {BASIC}"
    (ours / "Dockerfile").write_text(
        f"FROM box\nADD {files.url('/f')} /f\nADD --keep-git-dir {repositories.url('one')} /g\n"
        "RUN cat /f /g/a /g/.git/config\n"
    )
    (ours / "token").write_text(VALUE)
    (ours / "token").chmod(0o644)
    http, git = "HTTP_AUTH_TOKEN_127.0.0.1", f"GIT_AUTH_TOKEN.127.0.0.1:{repositories.port}"
    argv = (f"id={http},src={ours / 'token'}", f"id={git},src={ours / 'token'}")
    done = product.build(ours, "--secret", argv[0], "--secret", argv[1])
    said = done.stdout + done.stderr
    assert "file1[core]" in said
    assert VALUE not in said
    assert BASIC not in said
    found = subprocess.run(
        ["grep", "-rlaF", "-e", VALUE, "-e", BASIC, str(product.root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.stdout, found.returncode) == ("", 1)
