"""ADD, and the flags that COPY shares with it. What is expected here was measured on BuildKit."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from builder.layer.times import MADE
from tests.build.images import DIRECTORY, FIFO, FILE, SYMLINK, Image
from tests.build.test_copy import OLD, make
from tests.build.workshop import Workshop
from tests.support.file_server import File, FileServer, serving_files
from tests.support.git_server import serving
from tests.support.product import Product


class Archive:
    """A tar being written, member by member."""

    def __init__(self) -> None:
        self._data = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._data, mode="w", format=tarfile.PAX_FORMAT)

    def add(
        self,
        name: str,
        text: str = "",
        *,
        kind: bytes = tarfile.REGTYPE,
        mode: int = 0o644,
        owner: tuple[int, int] = (11, 12),
        link: str = "",
        device: tuple[int, int] = (0, 0),
    ) -> Archive:
        """Add a member; its time is `OLD`."""
        member = tarfile.TarInfo(name)
        member.type, member.mode, member.linkname, member.mtime = kind, mode, link, OLD
        member.uid, member.gid = owner
        member.devmajor, member.devminor = device
        data = text.encode()
        member.size = len(data)
        self._tar.addfile(member, io.BytesIO(data))
        return self

    def directory(self, name: str, mode: int = 0o755) -> Archive:
        """Add a directory."""
        return self.add(name, kind=tarfile.DIRTYPE, mode=mode)

    def symlink(self, name: str, link: str) -> Archive:
        """Add a symbolic link."""
        return self.add(name, kind=tarfile.SYMTYPE, link=link)

    def data(self) -> bytes:
        """Return the finished archive."""
        self._tar.close()
        return self._data.getvalue()


def usual() -> bytes:
    archive = Archive().directory(".", 0o700).directory("d", 0o750).add("d/a", "a", mode=0o640)
    archive.add("hard", kind=tarfile.LNKTYPE, link="d/a").symlink("l", "d")
    return archive.add("p", kind=tarfile.FIFOTYPE).data()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving_files() as server:
        yield server


# Archives


@pytest.mark.parametrize(
    "compress",
    [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress],
    ids=["plain", "gzip", "bzip2", "xz", "zstd"],
)
def test_a_local_archive_is_unpacked_whatever_it_is_called(
    workshop: Workshop, context: Path, compress: Callable[[bytes], bytes]
) -> None:
    (context / "data.bin").write_bytes(compress(usual()))
    image = workshop.build(context, "ADD data.bin /o").image
    assert image["o"].access == ("755", 0, 0)
    assert image["o/d"].access == ("750", 11, 12)
    assert image["o/d/a"].access == ("640", 11, 12)
    assert (image["o/d/a"].text, image["o/d/a"].mtime) == ("a", OLD)
    assert image["o/hard"].same == "o/d/a"
    assert (image["o/l"].kind, image["o/l"].link) == (SYMLINK, "d")
    assert image["o/p"].kind == FIFO


def test_an_owner_that_is_given_counts_for_all_that_is_unpacked_but_a_mode_for_nothing(
    workshop: Workshop, context: Path
) -> None:
    (context / "a.tar").write_bytes(usual())
    image = workshop.build(context, "ADD --chown=5:6 --chmod=711 a.tar /new/o/").image
    assert image["new/o"].access == ("755", 5, 6)
    assert image["new/o/d"].access == ("750", 5, 6)
    assert image["new/o/d/a"].access == ("640", 5, 6)


def test_directories_that_an_archive_does_not_list_are_roots(
    workshop: Workshop, context: Path
) -> None:
    (context / "a.tar").write_bytes(Archive().add("x/y/f").data())
    image = workshop.build(context, "ADD --chown=5:6 a.tar /o/").image
    assert [image[path].access for path in ("o/x", "o/x/y", "o/x/y/f")] == [
        ("755", 0, 0),
        ("755", 0, 0),
        ("644", 5, 6),
    ]


@pytest.mark.parametrize(
    "content",
    [b"", bytes(10240), gzip.compress(b"no tar"), b"\x1f\x8bno gzip", b"BZh", b"text\n"],
    ids=["empty", "zeros", "text.gz", "bad.gz", "bad.bz2", "text"],
)
def test_what_is_no_archive_is_added_as_it_is(
    workshop: Workshop, context: Path, content: bytes
) -> None:
    (context / "a.tar.gz").write_bytes(content)
    for flag in ("", "--unpack "):
        assert (
            workshop.build(context, f"ADD {flag}a.tar.gz /o/").image["o/a.tar.gz"].data == content
        )


def test_an_archive_is_added_as_a_file_if_that_is_asked_for(
    workshop: Workshop, context: Path
) -> None:
    (context / "a.tar").write_bytes(usual())
    node = workshop.build(context, "ADD --unpack=false --chmod=600 a.tar /o").image["o"]
    assert (node.data, node.access) == (usual(), ("600", 0, 0))


def test_an_archive_replaces_what_is_of_another_kind(workshop: Workshop, context: Path) -> None:
    make(context / "f", "old")
    make(context / "t/below", "old")
    data = (
        Archive().add("dir", "file").directory("file").add("file/x").directory("link").add("link/y")
    )
    (context / "a.tar").write_bytes(data.data())
    built = workshop.build(
        context,
        """
        COPY t /o/dir
        COPY f /o/file
        RUN ln -s /etc /o/link
        ADD a.tar /o/
        RUN ls -R /o > /seen
        """,
    )
    assert [built.image[f"o/{name}"].kind for name in ("dir", "file", "link")] == [
        FILE,
        DIRECTORY,
        DIRECTORY,
    ]
    assert "o/dir/below" not in built.image
    assert "etc/y" not in built.image
    assert built.image["seen"].text.split() == [
        "/o:",
        "dir",
        "file",
        "link",
        "/o/file:",
        "x",
        "/o/link:",
        "y",
    ]


def test_an_archive_goes_through_links_of_the_image_where_it_lists_no_directory(
    workshop: Workshop, context: Path
) -> None:
    (context / "a.tar").write_bytes(Archive().add("lib/deep/x").add("usr/lib/deep/w").data())
    image = workshop.build(
        context, "RUN mkdir -p /usr/lib && ln -s usr/lib /lib\nADD a.tar /"
    ).image
    assert image["lib"].kind == SYMLINK
    assert "usr/lib/deep/x" in image
    assert "usr/lib/deep/w" in image


def test_such_a_link_leads_nowhere_outside_of_the_destination(
    workshop: Workshop, context: Path
) -> None:
    (context / "a.tar").write_bytes(Archive().add("out/x").data())
    image = workshop.build(context, "RUN mkdir /o && ln -s ../../etc /o/out\nADD a.tar /o").image
    assert "etc/x" not in image
    assert "o/etc/x" in image


def test_the_directory_that_an_archive_is_unpacked_to_keeps_its_attributes(
    workshop: Workshop, context: Path
) -> None:
    (context / "a.tar").write_bytes(usual())
    image = workshop.build(context, "RUN mkdir -m 1777 /o && chown 3:4 /o\nADD a.tar /o").image
    assert image["o"].access == ("1777", 3, 4)


@pytest.mark.parametrize(
    ("hostile", "fact"),
    [
        (lambda a: a.add("../../etc/x"), "leads out of it"),
        (lambda a: a.add("x", kind=tarfile.LNKTYPE, link="../../etc/passwd"), "leads out of it"),
        (lambda a: a.add("x", kind=tarfile.LNKTYPE, link="nothing"), "does not exist"),
        (lambda a: a.add(".wh.etc"), "removes a file"),
        (lambda a: a.add("d/.wh..wh..opq"), "removes a file"),
        (lambda a: a.add("x", owner=(2**32 - 1, 0)), "which no user can be"),
    ],
)
def test_a_hostile_archive_is_refused_and_leaves_nothing(
    workshop: Workshop, context: Path, hostile: Callable[[Archive], Archive], fact: str
) -> None:
    (context / "a.tar").write_bytes(hostile(Archive().add("first")).data())
    error = workshop.refused(context, "ADD a.tar /o/")
    assert error.message == "the archive `a.tar` cannot be unpacked"
    assert fact in error.notes[0]
    assert workshop.leftovers() == []


def test_names_and_links_of_an_archive_stay_in_the_destination(
    workshop: Workshop, context: Path
) -> None:
    archive = Archive().symlink("up", "../../../../etc").add("up/x").symlink("abs", "/etc")
    archive.add("abs/y").add("/root/z").add("./a/../b/../o/w")
    (context / "a.tar").write_bytes(archive.add("/../../v").data())
    image = workshop.build(context, "ADD a.tar /o/").image
    assert "etc/x" not in image
    assert "etc/y" not in image
    assert {"o/etc/x", "o/etc/y", "o/root/z", "o/o/w", "o/v"} <= set(image.tree)
    assert not Path("/etc/x").exists()


def test_a_cut_archive_is_refused(workshop: Workshop, context: Path) -> None:
    (context / "a.tgz").write_bytes(gzip.compress(os.urandom(100) + usual())[:-20])
    (context / "b.tgz").write_bytes(gzip.compress(Archive().add("a", "x" * 10**6).data())[:-100])
    assert "o/a.tgz" in workshop.build(context, "ADD a.tgz /o/").image
    assert "cut off" in workshop.refused(context, "ADD b.tgz /o/").notes[0]


def test_an_archive_that_has_not_changed_is_not_unpacked_again(
    fresh: Workshop, context: Path
) -> None:
    (context / "a.tar").write_bytes(usual())
    first = fresh.build(context, "ADD a.tar /o/")
    os.utime(context / "a.tar", (OLD, OLD))
    second, third = (fresh.build(context) for _ in range(2))
    assert (second.executed, third.executed, second.id) == ([], [], first.id)
    (context / "a.tar").write_bytes(Archive().add("other").data())
    assert fresh.build(context).executed == ["ADD a.tar /o/"]


def test_archives_and_files_are_added_together(workshop: Workshop, context: Path) -> None:
    (context / "a.tar").write_bytes(Archive().add("x").data())
    (context / "b.tar").write_bytes(Archive().add("y").data())
    make(context / "f", "f")
    tree = workshop.build(context, "ADD *.tar f /o/").image.tree
    assert {"o/x", "o/y", "o/f"} <= set(tree)
    assert "o/a.tar" not in tree


# Downloads


def test_a_download_is_a_private_file_with_the_servers_time(
    workshop: Workshop, context: Path, server: FileServer
) -> None:
    server.files["/p/f.txt?x=1"] = File(b"text", Last_Modified="Sun, 09 Sep 2001 01:46:40 GMT")
    image = workshop.build(context, f"ADD {server.url('/p/f.txt?x=1')} /o/").image
    assert image["o/f.txt"].access == ("600", 0, 0)
    assert (image["o/f.txt"].text, image["o/f.txt"].mtime) == ("text", 1_000_000_000)


def test_a_download_is_unpacked_only_if_that_is_asked_for(
    workshop: Workshop, context: Path, server: FileServer
) -> None:
    server.files["/a.tar"] = File(usual())
    url = server.url("/a.tar")
    assert workshop.build(context, f"ADD {url} /o/").image["o/a.tar"].data == usual()
    assert "o/d/a" in workshop.build(context, f"ADD --unpack {url} /o/").image


def test_flags_count_for_downloads_too(
    workshop: Workshop, context: Path, server: FileServer
) -> None:
    server.files["/f"] = File(b"text")
    image = workshop.build(context, f"ADD --chown=1:2 --chmod=755 {server.url('/f')} /o").image
    assert image["o"].access == ("755", 1, 2)


def test_a_download_that_has_not_changed_leaves_the_build_cached(
    fresh: Workshop, context: Path, server: FileServer
) -> None:
    server.files["/f"] = File(b"text", ETag='"1"')
    step = f"ADD {server.url('/f')} /o"
    first = fresh.build(context, step)
    assert first.executed == [f"fetch {server.url('/f')}", step]
    again = fresh.build(context)
    assert (again.executed, again.id) == ([], first.id)
    server.files["/f"] = File(b"new", ETag='"2"')
    assert step in fresh.build(context).executed


def test_a_download_with_a_checksum_is_verified_and_then_never_asked_for(
    fresh: Workshop, context: Path, server: FileServer
) -> None:
    server.files["/f"] = File(b"text")
    good = "sha256:" + hashlib.sha256(b"text").hexdigest()
    fresh.build(context, f"ADD --checksum={good} {server.url('/f')} /o")
    assert fresh.build(context).executed == []
    assert len(server.asked("/f")) == 1
    bad = "sha256:" + hashlib.sha256(b"evil").hexdigest()
    error = fresh.refused(context, f"ADD --checksum={bad} {server.url('/f')} /o")
    assert (error.code, error.span is not None) == ("source.checksum-mismatch", True)


def test_a_download_that_is_not_there_is_shown_where_it_stands(
    workshop: Workshop, context: Path, server: FileServer
) -> None:
    error = workshop.refused(context, f"ADD {server.url('/missing')} /o")
    assert (error.code, error.span and error.span.line) == ("source.not-found", 2)


# Repositories


def test_a_repository_is_added_without_its_history(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    with serving(tmp_path) as git:
        git.create("one", {"a": "1", "docs/b": "2"})
        url = git.url("one")
        whole = workshop.build(context, f"ADD --chown=1:2 {url} /o").image
        part = workshop.build(context, f"ADD {url}#main:docs /o/").image
        kept = workshop.build(context, f"ADD --keep-git-dir {url} /o/").image
    assert whole["o/docs/b"].access == ("644", 1, 2)
    assert "o/.git" not in whole
    assert part["o/b"].text == "2"
    assert "o/.git/HEAD" in kept


def test_a_repository_is_added_again_only_when_its_branch_has_moved(
    fresh: Workshop, context: Path, tmp_path: Path
) -> None:
    with serving(tmp_path) as git:
        git.create("one", {"a": "1"})
        step = f"ADD {git.url('one')} /o"
        fresh.build(context, step)
        assert fresh.build(context).executed == []
        git.commit("one", {"a": "2"})
        built = fresh.build(context)
    assert step in built.executed
    assert built.image["o/a"].text == "2"


# --exclude, --parents, --link, symbolic modes


def test_excluded_files_are_told_by_their_path_in_the_copied_directory(
    workshop: Workshop, context: Path
) -> None:
    for path in ("s/a.txt", "s/a.md", "s/sub/b.txt", "s/sub/b.md", "top.txt"):
        make(context / path)
    tree = workshop.build(
        context,
        """
        COPY --exclude=*.txt s top.txt /a/
        COPY --exclude=sub --exclude=!sub/b.md s /b/
        COPY --exclude=sub --exclude=!sub/none s /c/
        """,
    ).image.tree
    found = sorted(path for path in tree if path.startswith(("a/", "b/", "c/")))
    assert found == [
        "a/a.md",
        "a/sub",
        "a/sub/b.md",
        "a/sub/b.txt",
        "a/top.txt",
        "b/a.md",
        "b/a.txt",
        "b/sub",
        "b/sub/b.md",
        "c/a.md",
        "c/a.txt",
    ]


def test_an_excluded_file_may_change_without_a_new_copy(fresh: Workshop, context: Path) -> None:
    make(context / "s/a.txt", "1")
    make(context / "s/a.md", "1")
    fresh.build(context, "COPY --exclude=*.txt s /o/")
    make(context / "s/a.txt", "2")
    assert fresh.build(context).executed == []
    make(context / "s/a.md", "2")
    assert fresh.build(context).executed == ["COPY --exclude=*.txt s /o/"]


def test_parents_are_kept_with_their_modes_from_the_pivot_on(
    workshop: Workshop, context: Path
) -> None:
    make(context / "a/b/c/f")
    (context / "a/b").chmod(0o750)
    (context / "a/b/c").chmod(0o700)
    image = workshop.build(
        context,
        """
        COPY --parents a/b/c/f /one/
        COPY --parents a/./b/c/f /two/
        COPY --parents --chown=5:6 --chmod=u=rwX,go=X a/b/c/f /three/
        """,
    ).image
    assert [image[path].access[0] for path in ("one/a", "one/a/b", "one/a/b/c")] == [
        "755",
        "750",
        "700",
    ]
    assert image["two/b"].access[0] == "750"
    assert "two/a" not in image
    assert [image[f"three/a/{path}"].access for path in ("b/c", "b/c/f")] == [
        ("711", 5, 6),
        ("600", 5, 6),
    ]


def test_patterns_of_parents_cross_directories_and_leave_out_empty_ones(
    workshop: Workshop, context: Path
) -> None:
    for path in ("a/x.c", "a/deep/y.c", "b/z.h", "top.c"):
        make(context / path)
    (context / "link").symlink_to("a")
    tree = workshop.build(
        context, "COPY --parents **/*.c /o/\nCOPY --parents */deep /p/\nCOPY --parents no* /q/"
    ).image.tree
    assert sorted(path for path in tree if path.startswith(("o/", "p/", "q"))) == [
        "o/a",
        "o/a/deep",
        "o/a/deep/y.c",
        "o/a/x.c",
        "o/top.c",
        "p/a",
        "p/a/deep",
        "p/a/deep/y.c",
        "q",
    ]


@pytest.mark.parametrize("path", ["a/nosuch", "link/x", "nosuch/./x"])
def test_a_plain_path_of_parents_has_to_be_there_and_passes_no_link(
    workshop: Workshop, context: Path, path: str
) -> None:
    make(context / "a/x")
    (context / "link").symlink_to("a")
    error = workshop.refused(context, f"COPY --parents {path} /o/")
    assert error.code == "context.missing-source"


def test_parents_and_exclusions_work_on_stages_with_their_owners(
    workshop: Workshop, context: Path
) -> None:
    image = workshop.build(
        context,
        """
        FROM base AS made
        RUN mkdir -p /a/b && touch /a/b/f /a/b/g && chown -R ann:staff /a && chmod 700 /a/b
        FROM base
        COPY --from=made --parents --exclude=**/g /a/b /o/
        """,
    ).image
    assert image["o/a/b"].access == ("700", 1000, 50)
    assert image["o/a/b/f"].access == ("644", 1000, 50)
    assert "o/a/b/g" not in image


def test_a_linked_copy_looks_at_nothing_below_it(workshop: Workshop, context: Path) -> None:
    make(context / "f", "new")
    image = workshop.build(
        context,
        """
        RUN mkdir -m 1777 /open && mkdir /real && ln -s real /link && touch /file
        COPY --link f /open/f
        COPY --link --chown=5:6 f /link/f
        COPY --link f /file/f
        """,
    ).image
    assert image["open"].access == ("755", 0, 0)
    assert image["link"].access == ("755", 5, 6)
    assert image["file/f"].text == "new"
    assert "real/f" not in image


def test_a_linked_copy_is_reused_on_any_base(fresh: Workshop, context: Path) -> None:
    make(context / "f")
    fresh.build(context, "RUN mkdir -m 700 /o\nCOPY --link f /o/")
    built = fresh.build(context, "RUN ln -s etc /o\nCOPY --link f /o/\nRUN ls -ld /o/f")
    assert "COPY --link f /o/" not in built.executed
    assert built.image["o"].kind == DIRECTORY


def test_a_linked_copy_knows_no_names(workshop: Workshop, context: Path) -> None:
    make(context / "f")
    error = workshop.refused(context, "COPY --link --chown=ann f /o")
    assert "cannot be looked up" in error.message
    # With a mode, BuildKit does not link.
    image = workshop.build(context, "COPY --link --chmod=600 --chown=ann f /o").image
    assert image["o"].access == ("600", 1000, 1000)


@pytest.mark.parametrize(
    ("mode", "file", "program", "directory"),
    [
        ("u=rwX,go=rX", "644", "755", "755"),
        ("a+X,go-r", "600", "711", "711"),
        ("go=u", "666", "777", "777"),
        ("+x", "755", "755", "711"),
    ],
)
def test_symbolic_modes_change_what_is_there_whatever_the_umask(
    workshop: Workshop, context: Path, mode: str, file: str, program: str, directory: str
) -> None:
    make(context / "s/file", mode=0o644)
    make(context / "s/program", mode=0o744)
    make(context / "s/d/f")
    (context / "s/d").chmod(0o700)
    image = workshop.build(context, f"COPY --chmod={mode} s /new/o/").image
    assert [image[f"new/o/{name}"].access[0] for name in ("file", "program", "d")] == [
        file,
        program,
        directory,
    ]
    assert image["new"].access[0] == "755"


# As root and as an ordinary user


def test_whoever_builds_adds_archives_downloads_and_repositories(
    product: Product, ours: Path, server: FileServer, tmp_path: Path
) -> None:
    archive = Archive().add("dev", kind=tarfile.CHRTYPE, device=(1, 3), owner=(0, 0))
    (ours / "a.tar").write_bytes(archive.add("d/f", "f", mode=0o4711).data())
    server.files["/f"] = File(b"text")
    with serving(tmp_path) as git:
        git.create("one", {"a": "1"})
        make(
            ours / "Dockerfile",
            f"FROM box\nADD a.tar /o/\nADD {server.url('/f')} /f\nADD {git.url('one')} /g\n"
            "COPY --link --chown=5:6 a.tar /l/\nRUN stat -c '%a %u:%g %F' /o/d/f /f /g/a /l > /seen\n",
        )
        output = ours / "out.tar"
        product.build(ours, "-o", f"type=oci,compression=uncompressed,dest={output}")
    image = Image(output)
    assert image["seen"].text.splitlines() == [
        "4711 11:12 regular file",
        "600 0:0 regular file",
        "644 0:0 regular file",
        "755 5:6 directory",
    ]
    # An ordinary user cannot make a device, and the image has it all the same.
    assert image["o/dev"].kind == tarfile.CHRTYPE.decode()


def test_directories_that_no_input_has_are_of_one_time_whenever_they_are_made(
    fresh: Workshop, context: Path
) -> None:
    """Measured on BuildKit: these have the time of the build there, so that each build gives other layers."""
    make(context / "a", "x", at=OLD)
    archive = Archive().add("far/below/a", "x").data()
    (context / "b.tar").write_bytes(archive)
    text = "WORKDIR /w/x\nCOPY a /p/q/\nCOPY --link a /l/\nADD b.tar /u/\nCOPY --from=s /p /r/"
    image = fresh.build(
        context, f"# \nFROM scratch AS s\nCOPY a /p/q/\nFROM scratch\n{text}"
    ).image.tree
    made = ("w", "w/x", "p", "p/q", "l", "u", "u/far", "u/far/below", "r", "r/q")
    assert {path: image[path].mtime for path in made} == dict.fromkeys(made, MADE)
