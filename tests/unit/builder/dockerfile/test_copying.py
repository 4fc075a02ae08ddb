"""COPY and ADD: flags, what is fetched, and what is refused."""

from __future__ import annotations

import pytest

from builder.dockerfile.lower import Lowered
from builder.errors import LapstrakeError
from builder.graph.operations import (
    ContextSource,
    CopyOp,
    CopySource,
    GitSource,
    HttpSource,
    ImageSource,
    Op,
    Unpack,
)
from tests.unit.builder.dockerfile.dockerfiles import error_of, lowered, marked


def found(text: str) -> Lowered:
    return lowered("FROM base\n" + text)


def copy(text: str) -> CopyOp:
    graph = found(text).graph
    assert graph.target is not None
    operation = graph.vertices[graph.target].op
    assert isinstance(operation, CopyOp)
    return operation


def inputs(text: str) -> list[Op]:
    """Return what the inputs of the last step are, without what it stands on."""
    graph = found(text).graph
    assert graph.target is not None
    return [graph.vertices[each].op for each in graph.vertices[graph.target].inputs[1:]]


def error(text: str) -> LapstrakeError:
    return error_of(found, text)


def only_input(text: str) -> Op:
    (source,) = inputs(text)
    return source


class TestModes:
    @pytest.mark.parametrize(
        "mode",
        ["u=rwX,go=rX", "+x", "a=", "=", "g=u", "u+rw-x", "a=,u+x", "o+t", "+s", "-x", "ug=o,+t"],
    )
    def test_symbolic_ones_stay_as_they_are(self, mode: str) -> None:
        assert copy(f"COPY --chmod={mode} a b").mode == mode
        assert copy(f"ENV m={mode}\nADD --chmod=$m a b").mode == mode

    @pytest.mark.parametrize(
        ("mode", "number"), [("0", 0), ("7777", 0o7777), ("0000000755", 0o755)]
    )
    def test_octal_ones_are_numbers(self, mode: str, number: int) -> None:
        assert copy(f"COPY --chmod={mode} a b").mode == number

    @pytest.mark.parametrize(
        ("mode", "under"),
        [
            ("8", "8"),
            ("10000", "10000"),
            ("0o755", "0o755"),
            ("1,2", "1,2"),
            ("rwx", "rwx"),
            ("u", "u"),
            (",u+x", ",u+x"),
            ("u+x,", "u+x,"),
            ("u+z", "z"),
            ("u+x,q+x", "q"),
            ("+755", "7"),
            ("t+t", "t+t"),
        ],
    )
    def test_others_are_refused(self, mode: str, under: str) -> None:
        assert marked(error(f"COPY --chmod={mode} a b")) == under

    def test_a_bad_one_from_a_variable_is_marked_where_it_stands(self) -> None:
        assert marked(error("ENV m=u+z\nCOPY --chmod=$m a b")) == "$m"


class TestFlags:
    def test_excludes_are_patterns_as_written(self) -> None:
        operation = copy("ARG E=x\nCOPY --exclude=*.o --exclude=$E a b")
        assert operation.exclude == ("*.o", "$E")
        assert copy("ADD --exclude=a . b/").exclude == ("a",)

    def test_a_link_is_none_with_a_mode(self) -> None:
        assert copy("COPY --link a b").link
        assert copy("ADD --link=true a b").link
        assert not copy("COPY --link=false a b").link
        assert not copy("COPY --link --chmod=1 a b").link
        assert copy("COPY --link --chmod=$none a b").link

    @pytest.mark.parametrize(
        ("source", "path"),
        [
            ("a/b", "a/b"),
            ("/a/./b/", "a/./b"),
            ("./a/../b", "b"),
            ("/./a", "a"),
            ("a/././b/./c", "a/./b/c"),
            ("x/../a/./**/*.c", "a/./**/*.c"),
        ],
    )
    def test_parents_keep_the_point_they_begin_at(self, source: str, path: str) -> None:
        operation = copy(f"COPY --parents {source} /d/")
        assert operation.parents
        assert operation.sources == (CopySource(input=1, paths=(path,)),)
        assert not copy("COPY --parents=false a b").parents

    @pytest.mark.parametrize("source", [".", "/", "a/./", "a/./.."])
    def test_parents_of_nothing_are_refused(self, source: str) -> None:
        assert marked(error(f"COPY --parents {source} /d/")) == source

    def test_history_names_what_docker_names(self) -> None:
        text = "COPY --link --exclude=x --parents --chown=1 --chmod=+x a b <<E c/\nE"
        assert found(text).history[-1].created_by == (
            "COPY --parents --chown=1 --chmod=+x a b <<E c/ # buildkit"
        )
        assert found("ADD --chown=1 http://h/x c/").history[-1].created_by == (
            "ADD --chown=1 http://h/x c/ # buildkit"
        )

    def test_flags_of_one_are_not_of_the_other(self) -> None:
        assert error("COPY --checksum=x a b").code == "dockerfile.unknown-flag"
        assert error("ADD --parents a b").code == "dockerfile.unknown-flag"
        assert error("ADD --from=x a b").code == "dockerfile.unknown-flag"


class TestAdd:
    def test_local_archives_are_unpacked_unless_said_otherwise(self) -> None:
        assert copy("COPY a b").unpack is Unpack.NEVER
        assert copy("ADD a b").unpack is Unpack.AUTO
        assert copy("ADD --unpack a b").unpack is Unpack.ALWAYS
        assert copy("ADD --unpack=true a b").unpack is Unpack.ALWAYS
        assert copy("ADD --unpack=false a b").unpack is Unpack.NEVER

    def test_owner_mode_and_here_documents(self) -> None:
        operation = copy("ENV v=1\nADD --chown=u:g --chmod=640 <<A a /d/\n$v\nA")
        assert (operation.owner, operation.mode, operation.dest) == ("u:g", 0o640, "/d/")
        assert operation.sources == (
            CopySource(input=1, paths=("a",)),
            CopySource(input=0, inline=(("A", b"1\n"),)),
        )

    def test_sources_keep_their_order(self) -> None:
        text = "ADD a http://h/x b c git@h:r /d/"
        assert copy(text).sources == (
            CopySource(input=1, paths=("a",)),
            CopySource(input=2, paths=("x",)),
            CopySource(input=1, paths=("b", "c")),
            CopySource(input=3, paths=("",)),
        )
        assert [type(each) for each in inputs(text)] == [ContextSource, HttpSource, GitSource]

    def test_what_is_fetched_twice_is_one_input_of_the_graph(self) -> None:
        graph = found("ADD http://h/x /a\nADD http://h/x /b").graph
        assert sum(isinstance(vertex.op, HttpSource) for vertex in graph.vertices) == 1

    def test_progress_hides_passwords(self) -> None:
        names = [vertex.name for vertex in found("ADD https://me:secret@h/x /a").graph.vertices]
        assert "[internal] fetch https://me:xxxxx@h/x" in names
        assert not any("secret" in name for name in names)

    @pytest.mark.parametrize(
        ("url", "name"),
        [
            ("http://h/a/b.txt", "b.txt"),
            ("https://h/a?x=/y", "a"),
            ("https://h/a/b/#z", "b"),
            ("http://h/a%20b", "a b"),
            ("http://h/%2e", "__unnamed__"),
            ("http://h/a/%2e%2e", "download"),
            ("http://h", "__unnamed__"),
            ("http://h/?q", "__unnamed__"),
            ("http://h/x.git.tar", "x.git.tar"),
        ],
    )
    def test_a_download_has_the_last_name_of_the_url(self, url: str, name: str) -> None:
        assert only_input(f"ADD {url} /d/") == HttpSource(url=url, name=name)

    def test_a_name_is_no_pattern(self) -> None:
        assert copy("ADD http://h/%5Ba%5D*?q /d/").sources[0].paths == (r"\[a]\*",)

    def test_a_checksum_of_a_file(self) -> None:
        digest = "sha256:" + "0a" * 32
        source = only_input(f"ENV d={digest}\nADD --checksum=$d http://h/x /d")
        assert source == HttpSource(url="http://h/x", name="x", checksum=digest)
        assert only_input("ADD --checksum=$none http://h/x /d") == HttpSource(
            url="http://h/x", name="x"
        )

    @pytest.mark.parametrize(
        ("text", "under"),
        [
            ("ADD --checksum=zz http://h/x /d", "zz"),
            ("ADD --checksum=sha256:00 http://h/x /d", "sha256:00"),
            (f"ADD --checksum=sha512:{'0' * 128} http://h/x /d", f"sha512:{'0' * 128}"),
            ("ADD --checksum=xyz https://h/r.git /d", "xyz"),
            ("ADD --checksum=abc https://h/r.git?checksum=def /d", "abc"),
            ("ADD --checksum=abc a b /d/", "--checksum=abc"),
            ("ADD --checksum=abc a /d/", "a"),
            ("ADD --keep-git-dir https://h/r.git?keep-git-dir=0 /d", "--keep-git-dir"),
            ("ADD ftp://h/x /d", "ftp://h/x"),
            ("ADD HTTP://h/x /d", "HTTP://h/x"),
            ("ADD http:///x /d", "http:///x"),
            ("ADD http://h/a%00 /d", "http://h/a%00"),
            ("COPY --chown=a:b:c a /d", "a:b:c"),
            ("COPY https://h/x /d", "https://h/x"),
            ("COPY https://h/x.git /d", "https://h/x.git"),
            ("COPY git@h:x /d", "git@h:x"),
        ],
    )
    def test_what_cannot_be_is_marked(self, text: str, under: str) -> None:
        assert marked(error(text)) == under

    @pytest.mark.parametrize("path", ["git@host", "./a@b:c", "github.com/a/b", "a:b", "C:/x"])
    def test_what_only_looks_like_a_url_is_a_path(self, path: str) -> None:
        assert only_input(f"ADD {path} /d/") == ContextSource()


COMMIT = "0123456789" * 4


class TestGit:
    @pytest.mark.parametrize(
        ("url", "source"),
        [
            ("https://h/r.git", GitSource(url="https://h/r.git")),
            ("http://h/r.git", GitSource(url="http://h/r.git")),
            ("git://h/r", GitSource(url="git://h/r")),
            ("ssh://u@h:22/r", GitSource(url="ssh://u@h:22/r")),
            ("git@h:a/r", GitSource(url="git@h:a/r")),
            ("git@h:a/r#v1:d", GitSource(url="git@h:a/r", ref="v1", subdirectory="d")),
            (
                "https://h/r.git#v1:/d/../e/",
                GitSource(url="https://h/r.git", ref="v1", subdirectory="e"),
            ),
            ("https://h/r.git#:d", GitSource(url="https://h/r.git", subdirectory="d")),
            ("https://h/r.git?ref=v1", GitSource(url="https://h/r.git", ref="v1")),
            ("https://h/r.git?tag=v1", GitSource(url="https://h/r.git", ref="refs/tags/v1")),
            (
                "https://h/r.git?tag=refs/tags/v1",
                GitSource(url="https://h/r.git", ref="refs/tags/v1"),
            ),
            ("https://h/r.git?branch=m", GitSource(url="https://h/r.git", ref="refs/heads/m")),
            ("https://h/r.git?commit=abc", GitSource(url="https://h/r.git", checksum="abc")),
            (
                "https://h/r.git?checksum=abc&subdir=d&submodules=false&keep-git-dir",
                GitSource(
                    url="https://h/r.git",
                    checksum="abc",
                    subdirectory="d",
                    submodules=False,
                    keep_git_dir=True,
                ),
            ),
            ("https://h/r.git?ref=v1#v1", GitSource(url="https://h/r.git", ref="v1")),
            ("git@h:r?mtime=checkout&fetch-by-commit=0", GitSource(url="git@h:r")),
            ("git@h:r?mtime=commit", GitSource(url="git@h:r", commit_times=True)),
            (
                f"git@h:r?fetch-by-commit&commit={COMMIT}",
                GitSource(url="git@h:r", checksum=COMMIT, fetch_by_commit=True),
            ),
        ],
    )
    def test_urls(self, url: str, source: GitSource) -> None:
        assert only_input(f"ADD {url} /d") == source

    def test_flags(self) -> None:
        assert only_input("ADD --keep-git-dir --checksum=AB12 git@h:r /d") == GitSource(
            url="git@h:r", keep_git_dir=True, checksum="AB12"
        )
        kept = only_input("ADD --keep-git-dir=false git@h:r?keep-git-dir=false /d")
        assert kept == GitSource(url="git@h:r")

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("?foo=1", "`foo`"),
            ("?brnch=1", "`brnch`"),
            ("?ref=", "no value"),
            ("?ref=a&ref=b", "twice"),
            ("?ref=a#b", "two values"),
            ("?subdir=a#:b", "two values"),
            ("?tag=a&branch=b", "both"),
            ("?ref=a&tag=b", "two refs"),
            ("?submodules=x", "true or false"),
            ("?checksum=xyz", "no commit"),
            ("?mtime=now", "`checkout` or `commit`"),
            ("?fetch-by-commit=1&commit=abc", "the whole commit"),
            ("?fetch-by-commit=1", "the whole commit"),
            ("#-x", "begin with"),
            ("?ref=--upload-pack", "begin with"),
        ],
    )
    def test_queries_that_cannot_be(self, query: str, words: str) -> None:
        caught = error(f"ADD https://h/r.git{query} /d")
        assert words in caught.message
        assert marked(caught) == f"https://h/r.git{query}"

    def test_a_near_query_is_named(self) -> None:
        assert error("ADD https://h/r.git?brnch=1 /d").hint == "did you mean `branch`?"

    @pytest.mark.parametrize("url", ["-oProxy@h:r", "a@-oProxy:r", "ssh://-oProxy/r", "git://-x/r"])
    def test_no_url_is_an_option(self, url: str) -> None:
        assert marked(error(f"ADD {url} /d")) == url


def test_a_copy_from_an_image_takes_it_for_the_target() -> None:
    assert only_input("COPY --from=alpine a b") == ImageSource(
        reference="docker.io/library/alpine:latest", platform="linux/amd64"
    )
