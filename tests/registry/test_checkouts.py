"""Checkouts of git repositories: what a ref names, what is kept, what a hostile repository cannot do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from builder.errors import Cancelled, SourceError
from builder.graph.operations import GitSource
from builder.source.checkouts import Checkout, Checkouts
from builder.source.credentials import credential
from tests.support.git_server import GitServer, serving


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    root = tmp_path / "served"
    root.mkdir()
    with serving(root) as server:
        yield server


@pytest.fixture
def checkouts(tmp_path: Path) -> Checkouts:
    return Checkouts(str(tmp_path / "store"), cancelled=lambda: False)


def fetch(checkouts: Checkouts, url: str, **wanted: object) -> Checkout:
    return checkouts.fetch(GitSource(url=url, **wanted), lambda _: None)  # type: ignore[arg-type]


def refused(checkouts: Checkouts, url: str, **wanted: object) -> SourceError:
    with pytest.raises(SourceError) as caught:
        fetch(checkouts, url, **wanted)
    return caught.value


def names(checkout: Checkout) -> list[str]:
    root = Path(checkout.directory)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def test_branches_tags_and_commits_are_found(server: GitServer, checkouts: Checkouts) -> None:
    first = server.create("one", {"a": "1"})
    server.git("one", "tag", "-a", "-m", "t", "v1")
    server.git("one", "tag", "light")
    server.git("one", "checkout", "--quiet", "-b", "side")
    second = server.commit("one", {"a": "2"})
    server.git("one", "checkout", "--quiet", "main")
    url = server.url("one")
    refs = ["", "main", "refs/heads/main", "v1", "refs/tags/v1", "tags/v1", "light", "side", second]
    commits = [fetch(checkouts, url, ref=ref).commit for ref in refs]
    assert commits == [first] * 7 + [second] * 2


def test_a_branch_goes_before_a_tag_of_its_name(server: GitServer, checkouts: Checkouts) -> None:
    server.create("one", {"a": "1"})
    server.git("one", "tag", "same")
    server.git("one", "checkout", "--quiet", "-b", "same")
    branch = server.commit("one", {"a": "2"})
    assert fetch(checkouts, server.url("one"), ref="same").commit == branch


def test_a_branch_that_moved_is_fetched_and_the_old_checkout_stays(
    server: GitServer, checkouts: Checkouts
) -> None:
    server.create("one", {"a": "1"})
    old = fetch(checkouts, server.url("one"))
    server.commit("one", {"a": "2"})
    new = fetch(checkouts, server.url("one"))
    assert [Path(each.directory, "a").read_text() for each in (old, new)] == ["1", "2"]
    assert (new.moved, fetch(checkouts, server.url("one")).moved) == (True, False)


def test_a_branch_whose_history_was_rewritten_is_fetched(
    server: GitServer, checkouts: Checkouts
) -> None:
    server.create("one", {"a": "1"})
    fetch(checkouts, server.url("one"))
    server.git("one", "commit", "--quiet", "--amend", "-m", "other")
    commit = server.commit("one", {"a": "3"})
    assert fetch(checkouts, server.url("one")).commit == commit


def test_a_commit_that_is_here_is_not_asked_for(server: GitServer, checkouts: Checkouts) -> None:
    commit = server.create("one", {"a": "1"})
    op = GitSource(url=server.url("one"), ref=commit)
    assert checkouts.here(op) is None
    fetch(checkouts, server.url("one"), ref=commit)
    server.requests.clear()
    found = checkouts.here(op)
    assert found is not None
    assert Path(found, "a").read_text() == "1"
    assert server.requests == []


def test_only_one_commit_of_the_history_is_fetched(
    server: GitServer, checkouts: Checkouts, tmp_path: Path
) -> None:
    server.create("one", {"a": "1"})
    server.commit("one", {"a": "2"})
    fetch(checkouts, server.url("one"))
    (repository,) = (tmp_path / "store/git").glob("*/repository")
    count = subprocess.run(
        ["git", "--git-dir", str(repository), "rev-list", "--all", "--count"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert count.stdout.strip() == "1"


def test_modes_and_links_are_those_of_the_commit(server: GitServer, checkouts: Checkouts) -> None:
    server.create("one", {"a": "1", "run": "#!"})
    (server.work("one") / "run").chmod(0o700)
    (server.work("one") / "link").symlink_to("a")
    server.commit("one", {"d/b": "2"})
    root = Path(fetch(checkouts, server.url("one")).directory)
    modes = {path: os.lstat(root / path).st_mode & 0o777 for path in ("a", "run", "d")}
    assert modes == {"a": 0o644, "run": 0o755, "d": 0o755}
    assert (root / "link").readlink() == Path("a")
    assert not (root / ".git").exists()


def test_a_directory_of_a_repository_is_taken_alone(
    server: GitServer, checkouts: Checkouts
) -> None:
    server.create("one", {"a": "1", "docs/deep/b": "2"})
    assert names(fetch(checkouts, server.url("one"), subdirectory="docs")) == ["deep/b"]
    assert names(fetch(checkouts, server.url("one"), subdirectory="docs/deep")) == ["b"]


def test_submodules_come_along_with_addresses_relative_to_the_repository(
    server: GitServer, checkouts: Checkouts
) -> None:
    add_submodule(server, "../part.git")
    url = server.url("one")
    assert names(fetch(checkouts, url)) == [".gitmodules", "a", "part/p"]
    assert names(fetch(checkouts, url, submodules=False)) == [".gitmodules", "a"]


def add_submodule(server: GitServer, url: str, path: str = "part") -> None:
    server.create("one", {"a": "1"})
    commit = server.create("part", {"p": "p"})
    modules = f'[submodule "part"]\n\tpath = {path}\n\turl = {url}\n'
    (server.work("one") / ".gitmodules").write_text(modules)
    server.git("one", "update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
    server.git("one", "add", ".gitmodules")
    server.git("one", "commit", "--quiet", "-m", "part")


def test_the_repository_itself_is_kept_if_that_is_asked_for(
    server: GitServer, checkouts: Checkouts
) -> None:
    commit = server.create("one", {"a": "1"})
    url = server.url("one").replace("//", "//user:secret@")
    kept = fetch(checkouts, url, keep_git_dir=True)

    def git(*words: str) -> str:
        command = ["git", "-c", "safe.directory=*", "-C", kept.directory, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert git("rev-parse", "HEAD") == commit
    assert git("rev-parse", "main") == commit
    assert git("status", "--porcelain") == ""
    assert git("remote", "get-url", "origin") == server.url("one")
    found = [path for path in Path(kept.directory).rglob("*") if path.is_file()]
    assert not [path for path in found if b"secret" in path.read_bytes()]


@pytest.mark.parametrize("part", [7, 40])
def test_a_commit_that_is_the_one_asked_for_is_taken(
    server: GitServer, checkouts: Checkouts, part: int
) -> None:
    commit = server.create("one", {"a": "1"})
    assert fetch(checkouts, server.url("one"), checksum=commit[:part]).commit == commit


def test_another_commit_than_the_checksum_is_refused(
    server: GitServer, checkouts: Checkouts
) -> None:
    commit = server.create("one", {"a": "1"})
    for ref in ("", "main", commit):
        error = refused(checkouts, server.url("one"), ref=ref, checksum="1234567")
        assert error.code == "source.checksum-mismatch"
        assert commit in error.notes[1]


@pytest.mark.parametrize(
    "wanted",
    [
        {"ref": "nosuch"},
        {"ref": "0" * 40},
        {"subdirectory": "nosuch"},
        {"subdirectory": "a"},
        {"subdirectory": "link"},
        {"subdirectory": "link/x"},
        {"subdirectory": ".git"},
        {"subdirectory": "../.."},
        {"ref": "-x"},
        {"ref": "--upload-pack=touch x"},
        {"ref": "a..b"},
        {"ref": "a b"},
        {"ref": "main:other"},
        {"ref": "+main"},
    ],
)
def test_what_is_not_there_or_could_be_an_option_is_refused(
    server: GitServer, checkouts: Checkouts, wanted: dict[str, str]
) -> None:
    server.create("one", {"a": "1"})
    (server.work("one") / "link").symlink_to("/etc")
    server.commit("one", {})
    error = refused(checkouts, server.url("one"), **wanted)
    assert error.code in ("source.not-found", "source.git-failed")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc",
        "ext::sh -c touch% x",
        "--upload-pack=x",
        "http://-oProxyCommand=x/a.git",
        "/srv/one.git",
        "../one.git",
    ],
)
def test_git_speaks_to_other_machines_only(
    checkouts: Checkouts, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(checkouts, url)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("url", ["file:///etc", "/etc", "ext::sh -c id", "-u./payload"])
def test_submodules_have_no_files_of_this_machine(
    server: GitServer, checkouts: Checkouts, url: str
) -> None:
    add_submodule(server, url)
    assert refused(checkouts, server.url("one")).code == "source.git-failed"


def test_a_submodule_cannot_be_put_outside(
    server: GitServer, checkouts: Checkouts, tmp_path: Path
) -> None:
    server.create("one", {"a": "1"})
    commit = server.create("part", {"p": "p"})
    (server.work("one") / "out").symlink_to(tmp_path)
    modules = f'[submodule "../../x"]\n\tpath = out/here\n\turl = {server.url("part")}\n'
    (server.work("one") / ".gitmodules").write_text(modules)
    server.commit("one", {})
    server.git("one", "update-index", "--add", "--cacheinfo", f"160000,{commit},sub")
    server.git("one", "commit", "--quiet", "-m", "x")
    with suppress(SourceError):
        fetch(checkouts, server.url("one"))
    assert not (tmp_path / "here").exists()


def test_hooks_and_filters_of_the_user_are_not_run(
    server: GitServer, checkouts: Checkouts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    hooks = home / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (hooks / "post-checkout").chmod(0o755)
    (home / ".gitconfig").write_text(
        f'[core]\n\thooksPath = {hooks}\n[filter "x"]\n\tsmudge = touch {tmp_path}/ran\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_SSH", "touch")
    server.create("one", {"a": "1", ".gitattributes": "* filter=x\n"})
    fetch(checkouts, server.url("one"), keep_git_dir=True)
    assert not (tmp_path / "ran").exists()


def test_what_git_says_is_told_without_the_password(
    server: GitServer, checkouts: Checkouts
) -> None:
    said: list[bytes] = []
    url = f"http://user:hunter2@127.0.0.1:{server.port}/nosuch.git"
    with pytest.raises(SourceError) as caught:
        checkouts.fetch(GitSource(url=url), said.append)
    told = str(caught.value.diagnostic()) + b"".join(said).decode()
    assert "git says" in told
    assert "hunter2" not in told


def test_a_missing_git_is_named(tmp_path: Path) -> None:
    without = Checkouts(str(tmp_path), cancelled=lambda: False, program="/nonexistent/git")
    assert refused(without, "http://127.0.0.1:1/a.git").code == "source.no-git"


def test_a_checkout_can_be_interrupted(server: GitServer, tmp_path: Path) -> None:
    server.create("one", {"a": "1"})
    stopped = Checkouts(str(tmp_path / "store"), cancelled=lambda: True)
    with pytest.raises(Cancelled):
        fetch(stopped, server.url("one"))


def test_files_are_as_old_as_the_commit_where_that_is_asked_for(
    server: GitServer, checkouts: Checkouts
) -> None:
    server.create("one", {"d/a": "1"})
    (server.work("one") / "link").symlink_to("nowhere")
    server.commit("one", {})
    when = int(server.git("one", "log", "-1", "--format=%ct"))
    os.utime(server.work("one"), (0, 0))
    plain = Path(fetch(checkouts, server.url("one")).directory)
    for path in (plain, plain / "d"):
        os.utime(path, (1, 1))
    timed = Path(fetch(checkouts, server.url("one"), commit_times=True).directory)
    found = [timed, *timed.rglob("*")]
    assert len(found) == 4
    assert {path.lstat().st_mtime for path in found} == {float(when)}


def test_a_commit_is_fetched_by_its_name_whatever_the_ref_is_by_now(
    server: GitServer, checkouts: Checkouts
) -> None:
    old = server.create("one", {"a": "1"})
    server.git("one", "config", "uploadpack.allowAnySHA1InWant", "true")
    server.commit("one", {"a": "2"})
    wanted = {"checksum": old, "fetch_by_commit": True}
    for ref in ("", "main"):
        found = fetch(checkouts, server.url("one"), ref=ref, **wanted)
        assert (found.commit, Path(found.directory, "a").read_text()) == (old, "1")
    kept = fetch(checkouts, server.url("one"), ref="main", keep_git_dir=True, **wanted)
    assert Path(kept.directory, ".git/refs/heads/main").read_text().strip() == old


def test_a_commit_that_the_server_has_not_is_not_found(
    server: GitServer, checkouts: Checkouts
) -> None:
    server.create("one", {"a": "1"})
    error = refused(checkouts, server.url("one"), checksum="1" * 40, fetch_by_commit=True)
    assert error.code in ("source.not-found", "source.git-failed")


def test_a_credential_is_in_no_argument_and_no_file_and_is_masked_in_what_git_says(
    server: GitServer, tmp_path: Path
) -> None:
    program = tmp_path / "git"
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/argv\nenv >&2\nexec git "$@"\n')
    program.chmod(0o755)
    told = credential(GitSource(url=server.url("one")), {"GIT_AUTH_TOKEN": b"hunter2-value"}.get)
    assert told is not None
    server.create("one", {"a": "1"})
    server.wants = told.header
    said: list[bytes] = []
    where = Checkouts(str(tmp_path / "store"), cancelled=lambda: False, program=str(program))
    op = GitSource(url=server.url("one"), keep_git_dir=True)
    checkout = where.fetch(op, said.append, told)
    assert Path(checkout.directory, "a").read_text() == "1"
    kept = [path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()]
    everything = b"".join((*kept, *said, (tmp_path / "argv").read_bytes()))
    assert b"Authorization: basic xxxxx" in everything
    assert not [shape for shape in (*told.shapes, told.header) if shape.encode() in everything]
