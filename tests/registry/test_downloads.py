"""Files from web servers: what is asked again, what is resumed, what is not believed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import Cancelled, SourceError
from builder.registry.transport import HttpTransport, Options
from builder.source.http import Download, Downloads, Wanted
from tests.support.file_server import File, FileServer, serving_files

TIME = "Sun, 09 Sep 2001 01:46:40 GMT"
BODY = bytes(range(256)) * 4000


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving_files() as server:
        yield server


@pytest.fixture
def downloads(tmp_path: Path) -> Downloads:
    return make(tmp_path)


def make(root: Path, cancelled: bool = False) -> Downloads:
    def transport(plain: bool) -> HttpTransport:
        return HttpTransport(Options(any_plain=plain), wait=lambda *_: None)

    return Downloads(str(root), transport, cancelled=lambda: cancelled, wait=lambda *_: None)


def fetch(downloads: Downloads, url: str, checksum: str = "", name: str = "f") -> Download:
    return downloads.fetch(Wanted(url=url, name=name, checksum=checksum), lambda *_: None)


def content(download: Download, name: str = "f") -> bytes:
    return Path(download.directory, name).read_bytes()


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def test_a_file_gets_the_servers_time_and_belongs_to_nobody_else(
    server: FileServer, downloads: Downloads
) -> None:
    server.files["/a"] = File(b"text", Last_Modified=TIME)
    found = fetch(downloads, server.url("/a"))
    status = os.stat(Path(found.directory, "f"))
    assert (content(found), found.digest, found.moved) == (b"text", digest(b"text"), 4)
    assert (status.st_mode & 0o777, status.st_mtime) == (0o600, 1_000_000_000)
    assert os.listdir(found.directory) == ["f"]


def test_a_file_without_a_time_is_as_old_as_can_be(
    server: FileServer, downloads: Downloads
) -> None:
    server.files["/a"] = File(b"text")
    assert os.stat(Path(fetch(downloads, server.url("/a")).directory, "f")).st_mtime == 0


@pytest.mark.parametrize("headers", [{"ETag": '"1"'}, {"ETag": 'W/"1"'}, {"Last_Modified": TIME}])
def test_what_has_not_changed_is_not_moved_again(
    server: FileServer, downloads: Downloads, headers: dict[str, str]
) -> None:
    server.files["/a"] = File(b"text", **headers)
    first, second = (fetch(downloads, server.url("/a")) for _ in range(2))
    assert (first.moved, second.moved) == (4, 0)
    assert first.directory == second.directory


def test_a_changed_file_is_fetched_and_the_old_one_stays_for_those_who_use_it(
    server: FileServer, downloads: Downloads
) -> None:
    server.files["/a"] = File(b"one", ETag='"1"')
    old = fetch(downloads, server.url("/a"))
    server.files["/a"] = File(b"two", ETag='"2"')
    new = fetch(downloads, server.url("/a"))
    assert (content(old), content(new)) == (b"one", b"two")


def test_a_file_of_a_known_content_is_not_even_asked_for(
    server: FileServer, downloads: Downloads
) -> None:
    server.files["/a"] = File(b"text")
    wanted = Wanted(url=server.url("/a"), name="f", checksum=digest(b"text"))
    assert downloads.here(wanted) is None
    fetch(downloads, server.url("/a"), digest(b"text"))
    found = downloads.here(wanted)
    assert found is not None
    assert content(found) == b"text"
    fetch(downloads, server.url("/a"), digest(b"text"))
    assert len(server.asked("/a")) == 1


def test_another_content_than_the_checksum_is_refused_and_forgotten(
    server: FileServer, downloads: Downloads, tmp_path: Path
) -> None:
    server.files["/a"] = File(b"evil", ETag='"1"')
    for _ in range(2):
        with pytest.raises(SourceError) as caught:
            fetch(downloads, server.url("/a"), digest(b"good"))
        assert caught.value.code == "source.checksum-mismatch"
    assert not [
        path for path in tmp_path.rglob("*") if path.is_file() and b"evil" in path.read_bytes()
    ]
    server.files["/a"] = File(b"good", ETag='"2"')
    assert content(fetch(downloads, server.url("/a"), digest(b"good"))) == b"good"


def test_a_damaged_file_is_fetched_again(server: FileServer, downloads: Downloads) -> None:
    server.files["/a"] = File(b"text", ETag='"1"')
    Path(fetch(downloads, server.url("/a")).directory, "f").write_bytes(b"te")
    assert content(fetch(downloads, server.url("/a"))) == b"text"


@pytest.mark.parametrize("headers", [{"ETag": '"1"'}, {"Last_Modified": TIME}])
def test_a_broken_download_goes_on_where_it_broke(
    server: FileServer, downloads: Downloads, headers: dict[str, str]
) -> None:
    server.files["/a"] = File(BODY, **headers)
    server.files["/a"].cut = [300_000, 100_000]
    found = fetch(downloads, server.url("/a"))
    assert content(found) == BODY
    assert [each.get("range", "") for each in server.asked("/a")] == [
        "",
        "bytes=300000-",
        "bytes=400000-",
    ]


def test_a_download_that_was_given_up_goes_on_in_a_later_build(
    server: FileServer, tmp_path: Path
) -> None:
    server.files["/a"] = File(BODY, ETag='"1"')
    server.files["/a"].cut = [100_000, *[0] * 5]
    with pytest.raises(SourceError):
        fetch(make(tmp_path), server.url("/a"))
    server.files["/a"].cut = []
    found = fetch(make(tmp_path), server.url("/a"))
    assert (content(found), found.moved) == (BODY, len(BODY) - 100_000)


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"1"'}])
def test_without_something_to_know_it_by_a_download_begins_again(
    server: FileServer, downloads: Downloads, headers: dict[str, str]
) -> None:
    server.files["/a"] = File(BODY, **headers)
    server.files["/a"].cut = [300_000]
    assert content(fetch(downloads, server.url("/a"))) == BODY
    assert [each.get("range") for each in server.asked("/a")] == [None, None]


def test_a_file_that_changes_in_between_is_taken_whole(server: FileServer, tmp_path: Path) -> None:
    server.files["/a"] = File(BODY, ETag='"1"')
    server.files["/a"].cut = [100_000, *[0] * 5]
    with pytest.raises(SourceError):
        fetch(make(tmp_path), server.url("/a"))
    server.files["/a"] = File(b"another", ETag='"2"')
    assert content(fetch(make(tmp_path), server.url("/a"))) == b"another"


def test_compression_that_nobody_asked_for_is_undone(
    server: FileServer, downloads: Downloads
) -> None:
    import gzip

    server.files["/a"] = File(gzip.compress(BODY), Content_Encoding="gzip", ETag='"1"')
    assert content(fetch(downloads, server.url("/a"))) == BODY


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "source.not-found"), (403, "source.unauthorized"), (418, "source.unavailable")],
)
def test_a_refusal_is_told_in_our_words(
    server: FileServer, downloads: Downloads, status: int, code: str
) -> None:
    server.files["/a"] = File(b"the whole story")
    server.files["/a"].status = status
    with pytest.raises(SourceError) as caught:
        fetch(downloads, server.url("/a"))
    assert caught.value.code == code
    assert caught.value.hint
    assert "story" not in str(caught.value.diagnostic())
    assert "registry" not in str(caught.value.diagnostic())


def test_a_server_that_is_not_there_is_told(downloads: Downloads) -> None:
    with pytest.raises(SourceError, match=r"cannot reach `127\.0\.0\.1:1`"):
        fetch(downloads, "http://127.0.0.1:1/a")


def test_user_and_password_go_to_their_own_server_only(
    server: FileServer, downloads: Downloads
) -> None:
    with serving_files() as other:
        other.files["/b"] = File(b"text")
        server.files["/a"] = File(b"", Location=other.url("/b"))
        server.files["/a"].status = 302
        url = server.url("/a").replace("//", "//user:p%40ss@")
        fetch(downloads, url)
        assert server.asked("/a")[0]["authorization"] == "Basic dXNlcjpwQHNz"
        assert "authorization" not in other.asked("/b")[0]
    with pytest.raises(SourceError) as caught:
        fetch(downloads, url)
    assert "p%40ss" not in str(caught.value.diagnostic())


def test_the_machines_own_services_are_out_of_reach_of_a_redirect(
    server: FileServer, downloads: Downloads
) -> None:
    server.files["/a"] = File(b"", Location="http://169.254.169.254/latest")
    server.files["/a"].status = 302
    with pytest.raises(SourceError, match="cannot be downloaded"):
        fetch(downloads, server.url("/a"))


@pytest.mark.parametrize("url", ["http:///a", "http://[::1/a", "ftp://127.0.0.1/a"])
def test_what_is_no_address_is_refused(downloads: Downloads, url: str) -> None:
    with pytest.raises(SourceError):
        fetch(downloads, url)


def test_a_download_can_be_interrupted(server: FileServer, tmp_path: Path) -> None:
    server.files["/a"] = File(BODY)
    with pytest.raises(Cancelled):
        fetch(make(tmp_path, cancelled=True), server.url("/a"))
