"""COPY: what arrives, as whom, where. What is expected here was measured on BuildKit."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import pytest

from builder.layer.times import MADE
from tests.build.images import DIRECTORY, FIFO, FILE, SYMLINK
from tests.build.workshop import Workshop

OLD = 981_158_400
"""A time in whole seconds, long ago."""


def make(path: Path, text: str = "", mode: int = 0o644, *, at: int | None = None) -> Path:
    """Write a file, and what is missing above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    if at is not None:
        os.utime(path, (at, at))
    return path


@pytest.fixture
def as_root() -> None:
    """Skip where files of other owners cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("optional: only root can make files of other owners")


# Owners, modes, times


def test_files_of_the_context_belong_to_root_whatever_user_says(
    workshop: Workshop, context: Path
) -> None:
    make(context / "a", "x")
    (context / "d").mkdir()
    image = workshop.build(context, "USER ann\nCOPY a d /x/").image
    assert [image[path].access[1:] for path in ("x", "x/a")] == [(0, 0), (0, 0)]


def test_owners_in_the_context_do_not_count(
    workshop: Workshop, context: Path, as_root: None
) -> None:
    os.chown(make(context / "a", "x"), 1234, 55)
    assert workshop.build(context, "COPY a /a").image["a"].access == ("644", 0, 0)


def test_modes_with_set_id_and_sticky_bits_and_whole_seconds_are_kept(
    workshop: Workshop, context: Path
) -> None:
    make(context / "d/a", "x", 0o4711)
    (context / "d/s").mkdir()
    (context / "d/s").chmod(0o3770)
    os.utime(context / "d/a", ns=(0, OLD * 10**9 + 999_999_999))
    os.utime(context / "d/s", (OLD, OLD))
    image = workshop.build(context, "COPY d /x/").image
    assert image["x/a"].access == ("4711", 0, 0)
    assert image["x/s"].access == ("3770", 0, 0)
    assert image["x/a"].mtime == image["x/s"].mtime == OLD


@pytest.mark.parametrize(
    ("flags", "access"),
    [
        ("--chown=ann", ("644", 1000, 1000)),
        ("--chown=ann:staff", ("644", 1000, 50)),
        ("--chown=:staff", ("644", 0, 50)),
        ("--chown=5", ("644", 5, 5)),
        ("--chown=5:7", ("644", 5, 7)),
        ("--chown=ann:7", ("644", 1000, 7)),
        ("--chown=$WHO", ("644", 1000, 50)),
        ("--chown=$NOBODY", ("644", 0, 0)),
        ("--chmod=0", ("0", 0, 0)),
        ("--chmod=07755", ("7755", 0, 0)),
        ("--chmod=600 --chown=ann", ("600", 1000, 1000)),
        ("--chmod=", ("644", 0, 0)),
    ],
)
def test_chown_and_chmod_change_what_is_copied(
    workshop: Workshop, context: Path, flags: str, access: tuple[str, int, int]
) -> None:
    make(context / "a", "x")
    image = workshop.build(context, f"ARG WHO=ann:staff\nARG NOBODY\nCOPY {flags} a /a").image
    assert image["a"].access == access


def test_chown_and_chmod_apply_to_parents_that_the_copy_makes_but_set_id_bits_do_not(
    workshop: Workshop, context: Path
) -> None:
    make(context / "d/s/a", "x")
    image = workshop.build(context, "COPY --chown=ann --chmod=3751 d /p/q").image
    assert image["p"].access == image["p/q"].access == ("751", 1000, 1000)
    assert image["p/q/s"].access == image["p/q/s/a"].access == ("3751", 1000, 1000)


def test_links_keep_their_mode_and_get_the_owner(workshop: Workshop, context: Path) -> None:
    make(context / "d/a", "x")
    (context / "d/l").symlink_to("a")
    image = workshop.build(context, "COPY --chown=5:6 --chmod=600 d /x").image
    assert (image["x/l"].kind, image["x/l"].link) == (SYMLINK, "a")
    assert image["x/l"].access == ("777", 5, 6)


def test_an_existing_destination_keeps_its_owner_and_mode_and_is_not_listed(
    workshop: Workshop, context: Path
) -> None:
    make(context / "d/a", "x")
    (context / "d").chmod(0o700)
    image = workshop.build(
        context, "COPY --chown=ann --chmod=600 d /tmp\nCOPY --chown=ann d/a /etc/"
    ).image
    assert image["tmp"].access == ("1777", 0, 0)
    assert image["etc"].access == ("755", 0, 0)
    assert [list(layer) for layer in image.layers[-2:]] == [["tmp/a"], ["etc/a"]]


def test_directories_inside_the_copied_one_change_those_that_exist(
    workshop: Workshop, context: Path
) -> None:
    make(context / "d/tmp/a", "x")
    (context / "d/tmp").chmod(0o700)
    image = workshop.build(context, "COPY d /\nCOPY --chown=ann d /").image
    assert image["tmp"].access == ("700", 1000, 1000)


def test_a_destination_that_is_made_has_the_time_of_the_directory_copied_but_not_its_mode(
    workshop: Workshop, context: Path
) -> None:
    make(context / "d/a", "x")
    (context / "d").chmod(0o1700)
    os.utime(context / "d", (OLD, OLD))
    image = workshop.build(context, "COPY d /p/q").image
    assert image["p/q"].access == ("755", 0, 0)
    assert image["p/q"].mtime == OLD
    assert image["p"].mtime == MADE


# What is selected


def test_a_directory_is_copied_by_its_contents(workshop: Workshop, context: Path) -> None:
    make(context / "d/a", "1")
    make(context / "d/e/b", "2")
    (context / "d/empty").mkdir()
    os.mkfifo(context / "d/pipe")
    image = workshop.build(context, "COPY d /x\nCOPY d/. /y/\nCOPY d/e .").image
    names = ["", "/a", "/e", "/e/b", "/empty", "/pipe"]
    assert [path for path in image.tree if path.split("/")[0] in "xy"] == [
        top + name for top in "xy" for name in names
    ]
    assert image["x/pipe"].kind == FIFO
    assert image["x/empty"].kind == DIRECTORY
    assert image["b"].text == "2"


def test_an_empty_directory_makes_its_destination(workshop: Workshop, context: Path) -> None:
    (context / "d").mkdir()
    image = workshop.build(context, "COPY d /x/y/").image
    assert image["x/y"].kind == DIRECTORY


def test_wildcards_select_files_and_the_contents_of_directories(
    workshop: Workshop, context: Path
) -> None:
    for name in ("a.txt", "b.txt", "c.md", "d.txt/q", "a1/s/x", "a2/s/y"):
        make(context / name, name)
    image = workshop.build(
        context,
        """
        COPY *.txt /x/
        COPY a*.tx? /y
        COPY [b-c].* /z/
        COPY a*/s /w/
        COPY */s/[^x] /v/
        """,
    ).image
    found = {
        top: sorted(path for path in image.tree if path.startswith(f"{top}/")) for top in "xzwv"
    }
    assert found == {
        "x": ["x/a.txt", "x/b.txt", "x/q"],
        "z": ["z/b.txt", "z/c.md"],
        "w": ["w/x", "w/y"],
        "v": ["v/y"],
    }
    assert image["y"].text == "a.txt"


def test_a_wildcard_that_matches_nothing_is_fine(workshop: Workshop, context: Path) -> None:
    make(context / "a", "x")
    image = workshop.build(
        context, "COPY no* /x/\nCOPY no* nn? /y/\nCOPY no* a /z/\nCOPY no* a /w"
    ).image
    assert "x" not in image
    assert "y" not in image
    assert image["z/a"].text == image["w"].text == "x"
    assert image.layers[-4] == {}


def test_an_empty_source_is_the_whole_context(workshop: Workshop, context: Path) -> None:
    make(context / "a", "x")
    image = workshop.build(context, 'COPY "" /x/\nCOPY . /y/\nCOPY / /z/').image
    assert [image[f"{top}/a"].text for top in "xyz"] == ["x"] * 3


def test_dots_in_sources_stop_at_the_context(workshop: Workshop, context: Path) -> None:
    make(context / "d/a", "x")
    image = workshop.build(context, "COPY ../../d/a /x\nCOPY ./d/../d/./a /y\nCOPY /d/a /z").image
    assert [image[path].text for path in "xyz"] == ["x"] * 3


def test_a_link_named_as_source_is_followed_and_one_inside_a_directory_is_not(
    workshop: Workshop, context: Path
) -> None:
    make(context / "d/a", "x", 0o640)
    (context / "file").symlink_to("d/a")
    (context / "chain").symlink_to("file")
    (context / "directory").symlink_to("d")
    (context / "d/inside").symlink_to("a")
    image = workshop.build(
        context,
        """
        COPY file /x
        COPY file chain /y/
        COPY directory /z
        COPY directory/inside /w
        COPY fil* /v
        """,
    ).image
    for path in ("x", "y/file", "y/chain", "z/a", "w", "v"):
        assert (image[path].kind, image[path].text, image[path].mode) == (FILE, "x", 0o640)
    assert (image["z/inside"].kind, image["z/inside"].link) == (SYMLINK, "a")


def test_links_lead_nowhere_outside_of_the_context(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    make(tmp_path / "secret", "host")
    make(context / "etc/hostname", "mine")
    for name, target in {
        "absolute": "/etc/hostname",
        "up": "../../../../etc/hostname",
        "neighbour": "../secret",
        "real": str(tmp_path / "secret"),
        "directory": "/etc",
        "loop": "loop",
    }.items():
        (context / name).symlink_to(target)
    image = workshop.build(context, "COPY absolute up directory/hostname /x/").image
    assert [node.text for path, node in image.tree.items() if path.startswith("x/")] == ["mine"] * 3
    for source in ("neighbour", "real", "real*", "directory/passwd"):
        assert workshop.refused(context, f"COPY {source} /x").code == "context.missing-source"
    assert workshop.refused(context, "COPY loop /x").code == "context.unreadable"


def test_several_sources_are_laid_over_one_another(workshop: Workshop, context: Path) -> None:
    make(context / "d/a", "d")
    make(context / "d/b", "d")
    make(context / "e/a", "e")
    make(context / "a", "top")
    for name, mode, at in (("d", 0o700, OLD), ("e", 0o711, OLD + 1)):
        (context / name / "s").mkdir(mode=mode)
        os.utime(context / name / "s", (at, at))
    image = workshop.build(
        context, "COPY d e /x/\nCOPY e d /y/\nCOPY a d/a /z/\nCOPY d a /w/\nCOPY a a /v/"
    ).image
    assert [image[path].text for path in ("x/a", "x/b", "y/a", "z/a", "w/a", "v/a")] == [
        "e",
        "d",
        "d",
        "d",
        "top",
        "top",
    ]
    assert (image["x/s"].mode, image["x/s"].mtime) == (0o711, OLD + 1)


def test_two_sources_that_contradict_each_other_are_refused(
    workshop: Workshop, context: Path
) -> None:
    make(context / "d/a/b", "x")
    make(context / "a", "x")
    for sources in ("a d", "d a"):
        assert workshop.refused(context, f"COPY {sources} /x/").code == "build.copy-failed"


# Where it goes


def test_the_destination_is_relative_to_the_working_directory(
    workshop: Workshop, context: Path
) -> None:
    make(context / "d/a", "x")
    image = workshop.build(
        context,
        "WORKDIR /w\nCOPY d .\nCOPY d x\nCOPY d/a y/\nCOPY d/a ../z\nCOPY d/a ../../../q\nCOPY d/a ./r",
    ).image
    assert {path for path in image.tree if image[path].kind == FILE and path[0] in "wzq"} == {
        *("w/a", "w/x/a", "w/y/a", "w/r", "z", "q")
    }


def test_a_link_as_destination_is_resolved_inside_the_image(
    workshop: Workshop, context: Path
) -> None:
    make(context / "a", "x")
    make(context / "d/b", "y")
    image = workshop.build(
        context,
        """
        RUN mkdir /real && ln -s /real /absolute && ln -s real /relative && ln -s absolute /chain \
         && ln -s nowhere /dangling && ln -s /q/../../w /up && ln -s f /file && echo old > /f
        COPY a /absolute/
        COPY a /relative/z
        COPY d /chain
        COPY a /dangling
        COPY d /up
        COPY a /file
        """,
    ).image
    texts = {
        path: image[path].text for path in ("real/a", "real/z", "real/b", "nowhere", "w/b", "f")
    }
    assert texts == {
        "real/a": "x",
        "real/z": "x",
        "real/b": "y",
        "nowhere": "x",
        "w/b": "y",
        "f": "x",
    }
    assert image["dangling"].kind == image["file"].kind == SYMLINK


def test_a_dangling_link_as_destination_directory_is_made(
    workshop: Workshop, context: Path
) -> None:
    make(context / "d/b", "y")
    image = workshop.build(
        context, "RUN ln -s /new/place /l && ln -s other /m\nCOPY d /l\nCOPY d/b /m/"
    ).image
    assert image["new/place/b"].text == image["other/b"].text == "y"


def test_a_destination_that_is_a_link_to_itself_is_refused(
    workshop: Workshop, context: Path
) -> None:
    make(context / "a", "x")
    for dest in ("/l", "/l/x"):
        error = workshop.refused(context, f"RUN ln -s m /l && ln -s l /m\nCOPY a {dest}")
        assert error.code == "build.copy-failed"
        assert "too many links" in error.message


def test_a_file_replaces_a_file_or_link_that_is_in_the_directory(
    workshop: Workshop, context: Path
) -> None:
    make(context / "d/f", "new")
    make(context / "d/g", "new")
    image = workshop.build(
        context, "RUN mkdir /x && ln -s /etc/passwd /x/f && echo old > /x/g\nCOPY d /x/"
    ).image
    assert (image["x/f"].kind, image["x/f"].text, image["x/g"].text) == (FILE, "new", "new")
    assert image["etc/passwd"].text.startswith("root:")


@pytest.mark.parametrize(
    ("there", "copy"),
    [
        ("mkdir -p /x/a", "COPY a /x/"),
        ("mkdir -p /x/a", "COPY e /x"),
        ("mkdir /x && touch /x/s", "COPY d /x"),
        ("mkdir /x /t && ln -s /t /x/s", "COPY d /x"),
        ("touch /x", "COPY d /x"),
        ("touch /x", "COPY a /x/"),
        ("touch /x", "COPY a /x/y"),
        ("touch /x", "COPY a /x/y/z/"),
        ("touch /x", "WORKDIR /x"),
    ],
)
def test_files_never_replace_directories_nor_directories_files(
    workshop: Workshop, context: Path, there: str, copy: str
) -> None:
    make(context / "a", "x")
    make(context / "d/s/b", "x")
    make(context / "e/a", "x")
    error = workshop.refused(context, f"RUN {there}\n{copy}")
    assert error.code == "build.copy-failed"
    assert error.span is not None
    assert error.span.line == 3
    assert workshop.leftovers() == []


# From stages


STAGE = """
    FROM base AS made
    RUN mkdir -p /o/d /o/e && echo a > /o/d/a && ln /o/d/a /o/d/b && ln /o/d/a /o/e/c \
     && chown 3:4 /o/d/a /o/d && chmod 4755 /o/d/a && chmod 2770 /o/d \
     && ln -s a /o/d/l && ln -s /o/d /o/dl && chown -h 5:6 /o/d/l && mkfifo -m 640 /o/d/p \
     && touch -d @981158400 /o/d/a /o/d
    FROM base
"""


def test_owners_modes_times_and_links_of_a_stage_are_kept(
    workshop: Workshop, context: Path
) -> None:
    image = workshop.build(context, f"{STAGE}    COPY --from=made /o /n").image
    assert image["n"].access == ("755", 0, 0)
    assert image["n/d"].access == ("2770", 3, 4)
    assert image["n/d/a"].access == ("4755", 3, 4)
    assert image["n/d/l"].access == ("777", 5, 6)
    assert image["n/d/p"].access == ("640", 0, 4)
    assert image["n/d/a"].mtime == image["n/d"].mtime == OLD
    assert image["n/d/b"].same == image["n/e/c"].same == "n/d/a"


def test_links_as_sources_in_a_stage_are_followed(workshop: Workshop, context: Path) -> None:
    image = workshop.build(
        context, f"{STAGE}    COPY --from=made /o/dl /x\n    COPY --from=made /o/dl/l /y"
    ).image
    assert image["x/a"].text == image["y"].text == "a\n"
    assert image["y"].access == ("4755", 3, 4)
    assert image["x/l"].kind == SYMLINK


def test_chown_and_chmod_override_what_a_stage_has(workshop: Workshop, context: Path) -> None:
    image = workshop.build(
        context, f"{STAGE}    COPY --from=made --chown=ann:7 --chmod=700 /o /n"
    ).image
    assert {image[path].access for path in ("n", "n/d", "n/d/a", "n/d/b", "n/e/c", "n/d/p")} == {
        ("700", 1000, 7)
    }
    assert image["n/d/l"].access == ("777", 1000, 7)


def test_a_whole_stage_can_be_copied(workshop: Workshop, context: Path) -> None:
    image = workshop.build(context, "FROM base\nFROM scratch\nCOPY --from=0 / /").image
    assert image["tmp"].access == ("1777", 0, 0)
    assert image["bin/busybox"].mode == 0o755
    assert image["bin/sh"].kind == SYMLINK


def test_names_in_chown_are_looked_up_in_the_stage_that_is_written(
    workshop: Workshop, context: Path
) -> None:
    image = workshop.build(
        context,
        """
        FROM base AS a
        RUN sed -i s/ann:x:1000:1000/ann:x:77:78/ /etc/passwd && touch /f
        FROM base
        COPY --from=a --chown=ann /f /f
        """,
    ).image
    assert image["f"].access == ("644", 1000, 1000)


def test_attributes_of_files_in_the_context_stay_there(workshop: Workshop, context: Path) -> None:
    os.setxattr(make(context / "a", "x"), "user.note", b"x")
    assert workshop.build(context, "COPY a /a").image["a"].xattrs == ()


def test_file_capabilities_of_a_stage_are_kept(
    fresh: Workshop, context: Path, as_root: None, tmp_path: Path
) -> None:
    capability = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
    make(tmp_path / "rootfs/tool", "x", 0o755)
    os.setxattr(tmp_path / "rootfs/tool", "security.capability", capability)
    archive = tmp_path / "tool.tar"
    # fmt: off
    subprocess.run(
        ["tar", "--xattrs", "--xattrs-include=*", "-C", tmp_path / "rootfs", "-cf", archive, "tool"],
        check=True,
    )
    # fmt: on
    with archive.open("rb") as stream:
        fresh.engine.import_(stream, "tool")
    image = fresh.build(
        context,
        """
        FROM base
        COPY --from=tool /tool /a
        COPY --from=tool --chown=ann /tool /b
        RUN true
        """,
    ).image
    for path in ("a", "b"):
        assert [name for name, _ in image[path].xattrs] == ["security.capability"]


# Names and sizes


def test_hard_links_inside_a_copied_directory_stay_one_file(
    workshop: Workshop, context: Path
) -> None:
    make(context / "d/a", "x" * 1000)
    os.link(context / "d/a", context / "d/b")
    (context / "d/s").mkdir()
    os.link(context / "d/a", context / "d/s/c")
    os.link(context / "d/a", context / "outside")
    image = workshop.build(context, "COPY d /x\nCOPY outside /y\nRUN test /x/a -ef /x/s/c").image
    assert image["x/b"].same == image["x/s/c"].same == "x/a"
    assert image["y"].same == ""


def test_any_name_that_a_file_can_have_arrives(workshop: Workshop, context: Path) -> None:
    names = [
        b"a b",
        b"new\nline",
        b"back\\slash\\x41",
        b"latin-\xe9\xff",
        "\N{GRINNING FACE}".encode(),
        b"\x01\x7f",
        b"[x]*?",
        b"-rf",
        b"y" * 255,
        b"\xe9" * 120,
    ]
    root = os.fsencode(context / "d")
    os.mkdir(root)
    for name in names:
        with open(root + b"/" + name, "wb") as file:
            file.write(name)
    os.makedirs(root + b"/" + b"z" * 200 + b"/" + b"\xe8" * 200)
    os.symlink(b"t" * 300 + b"\xe9", root + b"/link")
    for _ in range(2):
        built = workshop.build(context, "COPY d /x\nRUN ls -lR /x >/dev/null\nCOPY d /x")
        tree = built.image.tree
        for name in names:
            path = "x/" + name.decode("utf-8", "surrogateescape")
            assert tree[path].data == name
        assert "x/" + "z" * 200 + "/" + "\udce8" * 200 in tree
        assert tree["x/link"].link == "t" * 300 + "\udce9"
    assert built.executed == []


def test_words_in_brackets_and_quotes_may_hold_blanks_and_brackets(
    workshop: Workshop, context: Path
) -> None:
    make(context / "a b", "1")
    make(context / "[x]", "2")
    image = workshop.build(
        context, 'COPY ["a b", "/x y/z z"]\nCOPY [[]x] /b\nCOPY ["[[]x]", "/d"]'
    ).image
    assert [image[path].text for path in ("x y/z z", "b", "d")] == ["1", "2", "2"]


def test_a_name_that_would_delete_is_refused(workshop: Workshop, context: Path) -> None:
    make(context / "d/.wh.passwd", "x")
    assert workshop.refused(context, "COPY d /etc").code == "layer.invalid"
    assert workshop.leftovers() == []


def test_large_and_sparse_files_arrive_whole(workshop: Workshop, context: Path) -> None:
    with (context / "sparse").open("wb") as file:
        file.seek(5 << 20)
        file.write(b"end")
        file.truncate(7 << 20)
    (context / "large").write_bytes(os.urandom((3 << 20) + 1))
    image = workshop.build(context, "COPY . /x/\nRUN chmod 600 /x/large").image
    assert image["x/sparse"].data == (context / "sparse").read_bytes()
    assert image["x/large"].data == (context / "large").read_bytes()
    assert image["x/large"].mode == 0o600


def test_thousands_of_files_arrive_and_are_found_again(workshop: Workshop, context: Path) -> None:
    for directory in range(50):
        (context / f"d{directory}").mkdir()
        for number in range(100):
            (context / f"d{directory}" / f"f{number}").write_text(f"{directory} {number}")
    built = workshop.build(context, "COPY . /x/\nRUN find /x/d* -type f | wc -l")
    assert built.watch.output() == "5000\n"
    assert built.image["x/d49/f99"].text == "49 99"
    assert workshop.build(context).executed == []


def test_a_deep_tree_arrives(workshop: Workshop, context: Path) -> None:
    deep = context / "d"
    deep.mkdir()
    path = os.open(deep, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("n", dir_fd=path)
        below = os.open("n", os.O_RDONLY, dir_fd=path)
        os.close(path)
        path = below
    os.close(path)
    built = workshop.build(context, "COPY d /x\nRUN true\nCOPY d /y")
    assert "x" + "/n" * 300 in built.image
    assert workshop.build(context).executed == []


# Here-documents


def test_here_documents_become_files(workshop: Workshop, context: Path) -> None:
    image = workshop.build(
        context,
        "WORKDIR /w\nUSER ann\nARG V=val\n"
        "COPY <<EOF a\n x $V \\$V\n\ty\nEOF\n"
        "COPY <<-EOF <<'BC' /d/\n\t\tx\n\ty\nEOF\n$V\nBC\n"
        "COPY --chmod=755 --chown=ann <<e /e/f\ne\n",
    ).image
    assert (image["w/a"].text, image["w/a"].access) == (" x val $V\n\ty\n", ("644", 0, 0))
    assert (image["d/EOF"].text, image["d/BC"].text) == ("x\ny\n", "$V\n")
    assert (image["e/f"].text, image["e/f"].access) == ("", ("755", 1000, 1000))
    assert image["e"].access == ("755", 1000, 1000)


def test_here_documents_stand_beside_other_sources(workshop: Workshop, context: Path) -> None:
    make(context / "a", "x")
    image = workshop.build(context, "COPY a <<EOF /x/\nhi\nEOF\n").image
    assert (image["x/a"].text, image["x/EOF"].text) == ("x", "hi\n")


# Layers


def test_layers_never_list_parents_that_did_not_change(workshop: Workshop, context: Path) -> None:
    make(context / "a", "x")
    layers = workshop.build(
        context, "RUN mkdir -p /p/q/r\nCOPY a /p/q/r/\nCOPY a /p/q/s/t\nRUN echo > /p/q/u"
    ).image.layers
    assert [sorted(layer) for layer in layers[-3:]] == [
        ["p/q/r/a"],
        ["p/q/s", "p/q/s/t"],
        ["p/q", "p/q/u"],
    ]


def test_copies_onto_an_empty_image_need_no_directory_to_be_there(
    workshop: Workshop, context: Path
) -> None:
    make(context / "a", "x")
    image = workshop.build(context, "FROM scratch\nCOPY a /\nCOPY a .\nCOPY a b\nCOPY a c/").image
    assert sorted(image.tree) == ["a", "b", "c", "c/a"]


def test_a_context_that_is_changed_by_nobody_is_not_written_to(
    workshop: Workshop, context: Path
) -> None:
    make(context / "d/a", "x", at=OLD)
    before = {path: path.lstat() for path in context.rglob("*")}
    workshop.build(context, "COPY . /x/")
    after = {path: path.lstat() for path in context.rglob("d*")}
    for path, status in after.items():
        if path in before:
            assert (status.st_mtime_ns, status.st_ctime_ns) == (
                before[path].st_mtime_ns,
                before[path].st_ctime_ns,
            )
