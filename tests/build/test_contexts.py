"""Where a build begins: standard input, URLs, repositories, named contexts; and what hostile ones cannot do."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from builder.engine.calls import Checked
from builder.engine.requests import BuildRequest, BuildResult, CallRequest, Output
from builder.errors import LapstrakeError
from tests.build.images import SYMLINK
from tests.build.test_add import Archive
from tests.build.test_copy import make
from tests.build.workshop import Built, Watch, Workshop
from tests.support.file_server import File, FileServer, serving_files
from tests.support.git_server import GitServer, serving
from tests.support.product import Product, report

COPY_ALL = "FROM scratch\nCOPY . /o/\n"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving_files() as server:
        yield server


@pytest.fixture
def git(tmp_path: Path) -> Iterator[GitServer]:
    root = tmp_path / "served"
    root.mkdir()
    with serving(root) as git:
        yield git


class Stdin(io.BytesIO):
    """Standard input, a few bytes at a time, as a pipe gives them."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size if size is not None and size >= 0 else 7, 700))


def send(shop: Workshop, data: bytes, tmp_path: Path, context: str = "-", **request: Any) -> Built:
    """Build with something on standard input."""
    watch = Watch()
    archive = tmp_path / f"{os.urandom(4).hex()}.tar"
    output = Output(type="oci", dest=str(archive), attributes=(("compression", "uncompressed"),))
    asked = BuildRequest(context=context, outputs=(output,), **request)
    result: BuildResult = shop.engine.build(asked, watch, Stdin(data))
    return Built(result, watch, archive)


def refused(
    shop: Workshop, data: bytes | None, context: str = "-", **request: Any
) -> LapstrakeError:
    asked = BuildRequest(context=context, **request)
    with pytest.raises(LapstrakeError) as caught:
        shop.engine.build(asked, Watch(), None if data is None else Stdin(data))
    assert caught.value.code != "internal"
    return caught.value


def usual() -> Archive:
    archive = Archive().add("./Dockerfile", COPY_ALL).directory("./d", 0o750)
    return archive.add("./d/f", "f", mode=0o640).symlink("l", "d/f").add(".dockerignore", "d\n")


# Standard input


@pytest.mark.parametrize(
    "compress",
    [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress],
    ids=["plain", "gzip", "bzip2", "xz", "zstd"],
)
def test_an_archive_on_standard_input_is_the_context_with_its_owners(
    workshop: Workshop, tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    image = send(workshop, compress(usual().data()), tmp_path).image
    assert image["o/d"].access == ("750", 11, 12)
    assert image["o/d/f"].access == ("640", 11, 12)
    assert image["o/l"].kind == SYMLINK
    assert workshop.leftovers() == []


def test_files_of_an_archive_that_are_the_same_are_copied_once(
    fresh: Workshop, tmp_path: Path
) -> None:
    first = send(fresh, usual().data(), tmp_path)
    second = send(fresh, gzip.compress(usual().data()), tmp_path)
    assert (second.executed, second.id) == ([], first.id)
    names = os.listdir(fresh.root / "contexts")
    send(fresh, usual().data(), tmp_path)
    assert os.listdir(fresh.root / "contexts") == names


def test_the_dockerfile_of_an_archive_is_named_from_its_root(
    workshop: Workshop, tmp_path: Path
) -> None:
    data = usual().add("d/other", "FROM scratch\nCOPY d/f /r\n").data()
    assert send(workshop, data, tmp_path, dockerfile="d/other").image["r"].text == "f"


def test_a_dockerfile_may_be_called_in_lower_case(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    data = Archive().add("dockerfile", COPY_ALL).data()
    assert "o/dockerfile" in send(workshop, data, tmp_path).image
    make(context / "dockerfile", COPY_ALL)
    assert "o/dockerfile" in workshop.build(context).image


def test_a_dockerfile_alone_has_no_context(workshop: Workshop, tmp_path: Path) -> None:
    text = "FROM scratch\nCOPY <<E /x\nhi\nE\n"
    assert send(workshop, text.encode(), tmp_path).image["x"].text == "hi\n"
    error = refused(workshop, COPY_ALL.replace(".", "x").encode())
    assert (error.code, error.span and error.span.line) == ("context.missing-source", 2)


def test_a_dockerfile_on_standard_input_builds_a_directory(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    make(context / "a", "a")
    make(context / "b", "b")
    make(context / ".dockerignore", "b\n")
    make(context / "Dockerfile.dockerignore", "a\n")
    data = COPY_ALL.encode()
    image = send(workshop, data, tmp_path, context=str(context), dockerfile="-").image
    assert "o/a" in image
    assert "o/b" not in image


@pytest.mark.parametrize(
    ("data", "request_", "fact"),
    [
        (b"", {}, "empty"),
        (b"FROM scratch\n", {"dockerfile": "-"}, "cannot both come from standard input"),
        (b"FROM scratch\n", {"dockerfile": "other"}, "`-f` names another"),
        (gzip.compress(b"no tar"), {}, "cannot be unpacked"),
        (gzip.compress(b"x" * 10**6)[:-9], {}, "cannot be unpacked"),
        (Archive().add("x").data(), {}, "there is no file `Dockerfile`"),
        (Archive().add("../x").data(), {}, "cannot be unpacked"),
        (Archive().add("x", kind=tarfile.LNKTYPE, link="/etc/passwd").data(), {}, "unpacked"),
        (Archive().add("d/.wh.x").data(), {}, "cannot be unpacked"),
        (None, {}, "no standard input"),
    ],
)
def test_what_cannot_be_a_context_is_refused(
    workshop: Workshop, data: bytes | None, request_: dict[str, str], fact: str
) -> None:
    assert fact in refused(workshop, data, **request_).message
    assert workshop.leftovers() == []


def test_an_archive_that_is_cut_off_is_not_called_a_layer(workshop: Workshop) -> None:
    data = gzip.compress(Archive().add("Dockerfile", os.urandom(9999).hex()).data())
    error = refused(workshop, data[:-5000])
    assert (error.code, error.notes) == ("context.bad-archive", ("its gzip stream is cut off",))


@pytest.mark.parametrize(
    "link", ["/etc/hostname", "../../../../../../../../etc/hostname", "/proc/self/environ"]
)
def test_no_link_of_an_archive_leads_to_a_file_of_this_machine(
    workshop: Workshop, link: str, tmp_path: Path
) -> None:
    error = refused(workshop, Archive().symlink("Dockerfile", link).data())
    assert error.code == "dockerfile.not-found"
    assert Path("/etc/hostname").read_text().strip() not in str(error.diagnostic())
    data = Archive().symlink("x", link).add("Dockerfile", "FROM scratch\nCOPY x /o\n").data()
    assert refused(workshop, data).code == "context.missing-source"
    through = Archive().symlink("x", "/etc").add("x/made-by-a-test", "x")
    send(workshop, through.add("Dockerfile", COPY_ALL).data(), tmp_path)
    assert not Path("/etc/made-by-a-test").exists()


def test_a_fifo_as_the_dockerfile_is_not_waited_for(workshop: Workshop, context: Path) -> None:
    data = Archive().add("Dockerfile", kind=tarfile.FIFOTYPE).data()
    error = refused(workshop, data)
    assert (error.code, error.notes) == ("dockerfile.not-found", ("not a regular file",))
    os.mkfifo(context / "Dockerfile")
    assert workshop.refused(context).code == "context.unreadable"


# Dockerfiles beside the context, and their ignore files


def test_a_dockerfile_outside_of_the_context_brings_its_own_ignore_file(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    make(context / "a")
    make(context / "b")
    make(context / ".dockerignore", "b\n")
    outside = make(tmp_path / "outside/My.Dockerfile", COPY_ALL)
    plain = workshop.build(context, file=outside).image.tree
    make(tmp_path / "outside/My.Dockerfile.dockerignore", "a\n")
    own = workshop.build(context, file=outside).image.tree
    assert [name for name in ("a", "b") if f"o/{name}" in plain] == ["a"]
    assert [name for name in ("a", "b") if f"o/{name}" in own] == ["b"]


def test_a_directory_is_read_in_place(fresh: Workshop, context: Path) -> None:
    make(context / "big", "x" * 5_000_000)
    make(context / "small", "x")
    fresh.build(context, "FROM scratch\nCOPY small /s\n")
    files = [path for path in fresh.root.rglob("*") if path.is_file()]
    assert not [path for path in files if b"x" * 10_000 in path.read_bytes()]


# URLs


def test_an_archive_behind_a_url_is_the_context(
    workshop: Workshop, server: FileServer, tmp_path: Path
) -> None:
    server.files["/c"] = File(gzip.compress(usual().data()), ETag='"1"')
    for _ in range(2):
        image = send(workshop, b"", tmp_path, context=server.url("/c")).image
        assert image["o/d/f"].access == ("640", 11, 12)
    assert len(server.asked("/c")) == 2
    assert "if-none-match" in server.asked("/c")[1]


def test_a_dockerfile_behind_a_url_has_only_itself(
    workshop: Workshop, server: FileServer, tmp_path: Path
) -> None:
    server.files["/D"] = File(COPY_ALL.encode())
    assert list(send(workshop, b"", tmp_path, context=server.url("/D")).image.tree) == [
        "o",
        "o/context",
    ]


def test_a_dockerfile_may_be_fetched_for_a_directory(
    workshop: Workshop, context: Path, server: FileServer, tmp_path: Path
) -> None:
    make(context / "a", "a")
    server.files["/D"] = File(COPY_ALL.encode())
    built = send(workshop, b"", tmp_path, context=str(context), dockerfile=server.url("/D"))
    assert "o/a" in built.image


def test_a_url_that_is_not_there_is_told(workshop: Workshop, server: FileServer) -> None:
    assert refused(workshop, None, server.url("/nosuch")).code == "source.not-found"
    assert refused(workshop, None, "ftp://127.0.0.1/x").code == "context.not-found"
    assert refused(workshop, None, "nosuch").code == "context.not-found"


def test_a_repository_is_a_context_without_ignore_file(
    workshop: Workshop, git: GitServer, tmp_path: Path
) -> None:
    git.create("one", {"Dockerfile": COPY_ALL, "a": "1", ".dockerignore": "a\n"})
    git.git("one", "checkout", "--quiet", "-b", "side")
    git.commit("one", {"docs/Dockerfile": COPY_ALL, "docs/b": "2"})
    git.git("one", "checkout", "--quiet", "main")
    url = git.url("one")
    main = send(workshop, b"", tmp_path, context=url).image.tree
    docs = send(workshop, b"", tmp_path, context=f"{url}#side:docs").image.tree
    assert {"o/a", "o/.dockerignore"} <= set(main)
    assert "o/.git" not in main
    assert sorted(docs) == ["o", "o/Dockerfile", "o/b"]
    kept = send(
        workshop,
        b"",
        tmp_path,
        context=url,
        build_args=(("BUILDKIT_CONTEXT_KEEP_GIT_DIR", "1"),),
    )
    assert "o/.git/HEAD" in kept.image


def test_archives_in_a_repository_are_local_ones(
    workshop: Workshop, git: GitServer, tmp_path: Path
) -> None:
    git.create("one", {"Dockerfile": "FROM scratch\nADD a.tar /o/\n"})
    (git.work("one") / "a.tar").write_bytes(Archive().add("x").data())
    git.commit("one", {})
    assert "o/x" in send(workshop, b"", tmp_path, context=git.url("one")).image


def test_no_link_of_a_repository_leads_out_of_it(workshop: Workshop, git: GitServer) -> None:
    git.create("one", {"a": "1"})
    (git.work("one") / "Dockerfile").symlink_to("/etc/hostname")
    git.commit("one", {})
    for name in (None, "Dockerfile", "../../../../../../etc/hostname"):
        error = refused(workshop, None, git.url("one"), dockerfile=name)
        assert error.code == "dockerfile.not-found"


# Named contexts


def test_a_named_directory_takes_the_place_of_stages_and_images(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    make(other / "a", "named")
    make(other / "b", "ignored")
    make(other / ".dockerignore", "b\n")
    contexts = (("alpine", str(other)), ("stage", str(other)), ("unused", str(other)))
    image = workshop.build(
        context,
        """
        FROM nosuch.invalid/image AS stage
        RUN false
        FROM alpine
        COPY --from=stage a /s
        COPY --from=alpine:latest . /i/
        """,
        contexts=contexts,
    ).image
    assert (image["a"].text, image["s"].text, image["i/a"].text) == ("named",) * 3
    assert "i/b" not in image


def test_a_named_image_is_another_one(workshop: Workshop, context: Path) -> None:
    contexts = (("nosuch.invalid/image:1", "docker-image://base"),)
    image = workshop.build(
        context, "FROM nosuch.invalid/image:1\nRUN id ann > /o", contexts=contexts
    ).image
    assert "uid=1000" in image["o"].text


@pytest.mark.parametrize("suffix", ["", ":one", "@DIGEST", ":one@DIGEST"])
def test_a_layout_on_disk_is_an_image(
    workshop: Workshop, context: Path, tmp_path: Path, suffix: str
) -> None:
    layout = tmp_path / "layout"
    output = Output(type="oci", dest=str(layout), attributes=(("tar", "false"),))
    workshop.build(context, "FROM base\nRUN echo here > /o", tags=("local/one:one",))
    request = BuildRequest(context=str(context), outputs=(output,), tags=("local/one:one",))
    workshop.engine.build(request, Watch())
    digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    value = f"oci-layout://{layout}{suffix.replace('DIGEST', digest)}"
    image = workshop.build(
        context, "FROM other\nRUN cat /o > /p", contexts=(("other", value),)
    ).image
    assert image["p"].text == "here\n"


def test_a_layout_with_wrong_bytes_is_refused(
    fresh: Workshop, context: Path, tmp_path: Path
) -> None:
    layout = tmp_path / "layout"
    output = Output(type="oci", dest=str(layout), attributes=(("tar", "false"),))
    Workshop.write(context, "FROM base\nRUN echo here > /o")
    fresh.engine.build(BuildRequest(context=str(context), outputs=(output,)), Watch())
    manifest = json.loads((layout / "index.json").read_text())["manifests"][0]
    blob = layout / "blobs" / manifest["digest"].replace(":", "/")
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes().replace(b"layers", b"layerz"))
    error = fresh.refused(context, "FROM other\n", contexts=(("other", f"oci-layout://{layout}"),))
    assert error.code == "image.invalid"


def test_named_repositories_and_downloads_are_fetched_when_they_are_used(
    workshop: Workshop, context: Path, git: GitServer, server: FileServer
) -> None:
    git.create("one", {"a": "1"})
    server.files["/f"] = File(b"text")
    contexts = (
        ("repository", git.url("one")),
        ("file", server.url("/f")),
        ("unused", server.url("/nosuch")),
    )
    image = workshop.build(
        context,
        "FROM scratch\nCOPY --from=repository a /a\nCOPY --from=file context /f\n",
        contexts=contexts,
    ).image
    assert (image["a"].text, image["f"].text) == ("1", "text")
    assert server.asked("/nosuch") == []


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("/nonexistent", "context.not-found"),
        ("target:other", "usage"),
        ("oci-layout:///nonexistent", "context.not-found"),
        ("ftp://127.0.0.1/x", "context.not-found"),
    ],
)
def test_a_named_context_that_is_not_there_is_refused(
    workshop: Workshop, context: Path, value: str, code: str
) -> None:
    assert workshop.refused(context, "FROM base\n", contexts=(("n", value),)).code == code


# As a user types it


def test_whoever_builds_may_send_an_archive_or_a_dockerfile(product: Product, ours: Path) -> None:
    make(ours / "c/f", "f")
    archive = ours / "c.tar"
    archive.write_bytes(usual().data())
    os.chmod(archive, 0o644)
    command = " ".join(product.command("build", "--progress", "plain"))
    output = ours / "out"
    done = product.person.run(["sh", "-c", f"{command} -o {output} - < {archive}"])
    assert done.returncode == 0, report(done)
    assert (output / "o/d/f").read_text() == "f"
    done = product.run("build", "-t", "x", "-f", "-", ours / "c", stdin="FROM box\nCOPY f /f\n")
    assert done.returncode == 0


# Questions about a Dockerfile, which is from wherever a build's is

TEXT = "FROM scratch AS Odd\nRUNN x\n"
ODD = TEXT.encode()


def asked(shop: Workshop, data: bytes | None, context: str, **request: Any) -> Checked:
    question = CallRequest(method="check", context=context, **request)
    stdin = None if data is None else Stdin(data)
    result = shop.engine.call(question, stdin)
    assert isinstance(result, Checked)
    assert shop.leftovers() == []
    return result


def found_in(result: Checked) -> tuple[str, list[str]]:
    told = (*result.warnings, *result.errors)
    return result.source.name, [each.diagnostic.code for each in told]


def test_a_dockerfile_is_checked_wherever_it_comes_from(
    workshop: Workshop, context: Path, server: FileServer, git: GitServer, tmp_path: Path
) -> None:
    expected = ["StageNameCasing", "dockerfile.unknown-instruction"]
    server.files["/D"] = File(ODD)
    server.files["/c.tar.gz"] = File(gzip.compress(Archive().add("Dockerfile", TEXT).data()))
    git.create("r", {"sub/Dockerfile": TEXT})
    outside = tmp_path / "Outside"
    outside.write_bytes(ODD)
    archive = Archive().add("sub/D", TEXT).data()
    here = str(context)
    assert found_in(asked(workshop, ODD, "-")) == ("Dockerfile", expected)
    assert found_in(asked(workshop, archive, "-", dockerfile="sub/D")) == ("sub/D", expected)
    assert found_in(asked(workshop, ODD, here, dockerfile="-")) == ("Dockerfile", expected)
    assert found_in(asked(workshop, None, here, dockerfile=server.url("/D")))[1] == expected
    assert found_in(asked(workshop, None, here, dockerfile=str(outside)))[1] == expected
    assert found_in(asked(workshop, None, server.url("/D")))[1] == expected
    assert found_in(asked(workshop, None, server.url("/c.tar.gz")))[1] == expected
    assert found_in(asked(workshop, None, git.url("r") + "#:sub"))[1] == expected
