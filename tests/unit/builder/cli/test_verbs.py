from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from builder.engine import ImageFilter, LabelFilter, RemoveResult
from builder.errors import ImageError
from builder.store.builds import About
from builder.store.pruning import Pruning
from tests.unit.builder.cli.fake import DIGEST, ID, FakeEngine, lapstrake

OTHER = "sha256:" + "e" * 64
IMAGES = (
    SimpleNamespace(
        id=ID,
        names=("debian:bookworm", "localhost:5000/debian:12"),
        digests=(DIGEST, None),
        created=1577934245.0,
        size=74_800_000,
        digest=DIGEST,
    ),
    SimpleNamespace(id=OTHER, names=(), digests=(), created=0.0, size=0, digest=None),
)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    raw = io.BytesIO(b"from stdin\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(raw))
    return raw


def output(capsys: pytest.CaptureFixture[str], engine: FakeEngine, *words: str) -> str:
    assert lapstrake(engine, *words) == 0
    return capsys.readouterr().out


def test_images_has_a_line_for_each_name(capsys: pytest.CaptureFixture[str]) -> None:
    lines = output(capsys, FakeEngine(images=IMAGES), "images").splitlines()
    assert [line.split() for line in lines] == [
        ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"],
        ["debian", "bookworm", "0123456789ab", *lines[1].split()[3:6], "74.8MB"],
        ["localhost:5000/debian", "12", "0123456789ab", *lines[1].split()[3:6], "74.8MB"],
        ["<none>", "<none>", "eeeeeeeeeeee", *lines[3].split()[3:6], "0B"],
    ]
    assert "years ago" in lines[1]


def test_images_quiet_prints_each_id_once(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine(images=IMAGES)
    assert output(capsys, engine, "images", "-q") == "0123456789ab\neeeeeeeeeeee\n"
    assert output(capsys, engine, "images", "-aq", "--no-trunc") == f"{ID}\n{OTHER}\n"


def test_images_asks_for_what_the_filters_and_the_name_say() -> None:
    engine = FakeEngine()
    words = ("-f", "label=a=b", "-f", "label=c", "--filter=reference=x*", "-f", "before=a:1")
    assert lapstrake(engine, "images", *words, "-f", "since=b", "-f", "until=7", "deb*:1") == 0
    assert lapstrake(engine, "images", "-f", "dangling=true") == 0
    labels = (LabelFilter("a", "b", wanted=True), LabelFilter("c", None, wanted=True))
    assert engine.calls == [
        (
            "images",
            (
                ImageFilter(
                    references=("x*", "deb*:1"),
                    labels=labels,
                    before=("a:1",),
                    since=("b",),
                    until=7.0,
                ),
            ),
        ),
        ("images", (ImageFilter(dangling=True),)),
    ]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("foo=1", "invalid filter `foo`"),
        ("dangling", "`--filter dangling` has no value"),
        ("dangling=maybe", "neither true nor false"),
        ("until=soon", "is no moment"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused(
    capsys: pytest.CaptureFixture[str], word: str, message: str
) -> None:
    assert lapstrake(FakeEngine(), "images", "-f", word) == 125
    assert message in capsys.readouterr().err


def test_images_through_a_template(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine(images=IMAGES)
    form = "table {{.ID}}\\t{{upper .Repository}}\\t{{.Digest}}"
    assert output(capsys, engine, "images", "--format", form) == (
        "IMAGE ID       REPOSITORY              DIGEST\n"
        f"0123456789ab   DEBIAN                  {DIGEST}\n"
        "0123456789ab   LOCALHOST:5000/DEBIAN   <none>\n"
        "eeeeeeeeeeee   <NONE>                  <none>\n"
    )
    assert output(capsys, engine, "images", "--format", "{{.Tag}}|") == "bookworm|\n12|\n<none>|\n"
    assert (
        output(capsys, engine, "images", "-q", "--format", "x{{.ID}}").count("x0123456789ab") == 2
    )


def test_a_template_that_cannot_be_read_exits_as_in_docker(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert lapstrake(FakeEngine(images=IMAGES), "images", "--format", "{{") == 64
    assert "template parsing error: template: :1: unclosed action" in capsys.readouterr().err
    assert lapstrake(FakeEngine(images=IMAGES), "images", "--format", "{{.Nope}}") == 1
    told = capsys.readouterr().err
    assert "can't evaluate field Nope" in told
    assert ".Repository" in told


def test_images_takes_its_form_from_dockers_configuration(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text('{"auths": {}, "imagesFormat": "table {{.Tag}}"}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    engine = FakeEngine(images=IMAGES)
    assert output(capsys, engine, "images") == "TAG\nbookworm\n12\n<none>\n"
    assert output(capsys, engine, "images", "--format", "{{.ID}}").startswith("0123456789ab\n")
    assert output(capsys, engine, "images", "-q") == "0123456789ab\neeeeeeeeeeee\n"
    (tmp_path / "config.json").write_text("{")
    assert lapstrake(engine, "images") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("REPOSITORY")
    assert "cannot be read" in captured.err
    (tmp_path / "config.json").write_text("")
    assert output(capsys, engine, "images").startswith("REPOSITORY")


def test_pipes_in_the_place_of_settings_are_not_waited_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "lapstrake").mkdir()
    for name in ("config.json", "lapstrake/config.toml"):
        os.mkfifo(tmp_path / name)
    assert output(capsys, FakeEngine(images=IMAGES), "images").startswith("REPOSITORY")


def test_images_as_a_tree(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine(image_tree=())
    assert output(capsys, engine, "images", "--tree", "-f", "dangling=true", "a").startswith(
        "IMAGE "
    )
    assert engine.calls == [("image_tree", (ImageFilter(references=("a",), dangling=True),))]
    for flag in ("-q", "--digests", "--no-trunc", "--format=json"):
        assert lapstrake(engine, "images", "--tree", flag) == 125


def test_a_verb_in_the_place_of_a_name_is_pointed_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert lapstrake(FakeEngine(), "images", "ls") == 0
    assert "lapstrake image ls" in capsys.readouterr().err


def test_images_digests_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine(images=IMAGES)
    assert DIGEST in output(capsys, engine, "images", "--digests")
    documents = [
        json.loads(line) for line in output(capsys, engine, "images", "--format=json").splitlines()
    ]
    assert documents[1]["Repository"] == "localhost:5000/debian"
    assert documents[1]["Tag"] == "12"
    assert documents[1]["CreatedAt"] == "2020-01-02 03:04:05 +0000 UTC"
    assert documents[2]["ID"] == "eeeeeeeeeeee"
    assert documents[2]["UniqueSize"] == "N/A"


def test_history_shows_the_newest_first_and_cuts_long_commands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps = (
        SimpleNamespace(
            id=ID, created="2020-01-02T03:04:05Z", created_by="RUN " + "x" * 60, size=1, comment="c"
        ),
        SimpleNamespace(id=None, created="", created_by="COPY a b", size=2_000, comment=""),
    )
    engine = FakeEngine(history=steps)
    lines = output(capsys, engine, "history", "a").splitlines()
    assert lines[1].startswith("0123456789ab")
    assert "RUN " + "x" * 40 + "…" in lines[1]
    assert lines[2].startswith("<missing>")
    assert "x" * 60 in output(capsys, engine, "history", "--no-trunc", "a")
    assert output(capsys, engine, "history", "-q", "a") == "0123456789ab\n<missing>\n"


def test_history_in_other_forms(capsys: pytest.CaptureFixture[str]) -> None:
    steps = (
        SimpleNamespace(
            id=ID,
            created="2020-01-02T03:04:05Z",
            created_by="RUN a\tb\n\x1b[2Jc",
            size=12345,
            comment="",
        ),
    )
    engine = FakeEngine(history=steps)
    assert output(capsys, engine, "history", "-H=false", "a") == (
        "IMAGE          CREATED AT             CREATED BY      SIZE      COMMENT\n"
        "0123456789ab   2020-01-02T03:04:05Z   RUN a b␊␛[2Jc   12345     \n"
    )
    form = "{{.Size}} {{.CreatedBy}}"
    assert output(capsys, engine, "history", "--format", form, "a") == "12.3kB RUN a b\n\x1b[2Jc\n"
    (line,) = output(capsys, engine, "history", "--format=json", "a").splitlines()
    assert json.loads(line)["CreatedAt"] == "2020-01-02T03:04:05Z"
    assert output(capsys, engine, "history", "--platform", "linux/arm64", "-q", "a") != ""
    assert engine.calls[-1] == ("history", ("a", "linux/arm64"))


def test_history_gives_no_age_to_moments_that_are_not_meant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps = tuple(
        SimpleNamespace(id=None, created=created, created_by="", size=0, comment="")
        for created in ("1970-01-01T00:00:00Z", "", "2000-01-01T00:00:01Z")
    )
    form = ("history", "--format", "{{.CreatedSince}}", "a")
    first, second, third = output(capsys, FakeEngine(history=steps), *form).splitlines()
    assert (first, second) == ("N/A", "N/A")
    assert third.endswith(" years ago")


def test_pull_tells_what_docker_tells(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine()
    text = output(capsys, engine, "pull", "--platform", "linux/arm64", "debian")
    assert text == (
        "Using default tag: latest\n"
        "latest: Pulling from library/debian\n"
        f"Digest: {DIGEST}\n"
        "Status: Downloaded newer image for debian:latest\n"
        "debian\n"
    )
    assert engine.calls == [("pull", ("debian", "linux/arm64"))]
    same = FakeEngine(
        pull=SimpleNamespace(reference="x.example/a:1", digest=DIGEST, image_id=ID, newer=False)
    )
    assert output(capsys, same, "pull", "x.example/a:1").splitlines()[2:] == [
        "Status: Image is up to date for x.example/a:1",
        "x.example/a:1",
    ]
    assert output(capsys, FakeEngine(), "pull", "-q", "debian") == "debian\n"


def test_pull_of_all_tags_asks_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine(tags_elsewhere=("a:1", "a:2"))
    text = output(capsys, engine, "pull", "-a", "a")
    assert [call[0] for call in engine.calls] == ["tags_elsewhere", "pull", "pull"]
    assert text.count("Downloaded newer image") == 2
    assert text.splitlines()[-1] == "docker.io/library/a"
    assert lapstrake(engine, "pull", "-a", "a:1") == 125
    assert "tag can't be used with --all-tags/-a" in capsys.readouterr().err


def test_push_tells_what_docker_tells(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine(names_of=("x.example/a:1", "x.example/a:2"))
    assert output(capsys, engine, "push", "x.example/a:1", "--platform", "linux/arm64") == (
        f"The push refers to repository [x.example/a]\n1: digest: {DIGEST} size: 527\n"
    )
    assert engine.calls == [("push", ("x.example/a:1", "linux/arm64"))]
    assert output(capsys, engine, "push", "x.example/a").startswith("Using default tag: latest\n")
    assert output(capsys, engine, "push", "-q", "x.example/a:1") == "x.example/a:1\n"
    assert output(capsys, engine, "push", "-a", "x.example/a").splitlines()[1:] == [
        f"1: digest: {DIGEST} size: 527",
        f"2: digest: {DIGEST} size: 527",
    ]
    assert output(capsys, engine, "push", "-aq", "x.example/a") == "x.example/a\n"
    assert lapstrake(FakeEngine(names_of=()), "push", "-a", "x.example/a") == 1
    assert "does not exist locally with the tag: x.example/a" in capsys.readouterr().err


def _missing(name: str, *notes: str) -> ImageError:
    return ImageError(f"No such image: {name}", code="image.not-found", notes=notes)


def test_rmi_prints_what_went_and_what_did_not(capsys: pytest.CaptureFixture[str]) -> None:
    result = RemoveResult(removed=("Untagged: a:1", "Deleted: " + ID), errors=(_missing("b"),))
    engine = FakeEngine(remove_images=result)
    assert (
        lapstrake(engine, "rmi", "a", "b", "--no-prune", "--platform", "linux/arm64,linux/386") == 1
    )
    captured = capsys.readouterr()
    assert captured.out.splitlines() == ["Untagged: a:1", "Deleted: " + ID]
    assert "No such image: b" in captured.err
    options = {"force": False, "platforms": ("linux/arm64", "linux/386")}
    assert engine.calls == [("remove_images", (("a", "b"), options))]


def test_rmi_by_force_only_tells_of_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    missing = FakeEngine(remove_images=RemoveResult(removed=(), errors=(_missing("b"),)))
    assert lapstrake(missing, "rmi", "-f", "b") == 0
    assert "No such image: b" in capsys.readouterr().err
    assert lapstrake(missing, "rmi", "--ignore", "b") == 0
    assert capsys.readouterr().err == ""
    unclear = FakeEngine(remove_images=RemoveResult(removed=(), errors=(_missing("b", ID),)))
    assert lapstrake(unclear, "rmi", "-f", "b") == 1


def test_rmi_of_all_takes_no_names(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine(remove_all_images=RemoveResult(removed=("Deleted: x",)))
    assert output(capsys, engine, "rmi", "--all") == "Deleted: x\n"
    assert lapstrake(engine, "rmi", "-a", "x") == 125
    assert lapstrake(engine, "rmi") == 125
    assert "needs an argument" in capsys.readouterr().err


def test_inspect_prints_one_json_list(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine(inspect={"Id": ID})
    text = output(capsys, engine, "inspect", "a", "b")
    assert json.loads(text) == [{"Id": ID}, {"Id": ID}]
    assert text.startswith('[\n    {\n        "Id": ')


def test_inspect_of_a_missing_image_prints_an_empty_list_and_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert lapstrake(FakeEngine(_missing("a")), "inspect", "a", "b") == 1
    captured = capsys.readouterr()
    assert captured.out == "[]\n"
    assert [line for line in captured.err.splitlines() if line.startswith("error")] == [
        "error[image.not-found]: No such object: a",
        "error[image.not-found]: No such object: b",
    ]
    for words in (("inspect", "--type", "image"), ("image", "inspect")):
        assert lapstrake(FakeEngine(_missing("a")), *words, "a") == 1
        assert "No such image: a" in capsys.readouterr().err


def test_inspect_looks_for_nothing_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine()
    for kind in ("container", "network", "volume"):
        assert lapstrake(engine, "inspect", "--type", kind, "a") == 1
        assert f"No such {kind}: a" in capsys.readouterr().err
    assert lapstrake(engine, "inspect", "--type", "nonsense", "a") == 125
    assert engine.calls == []


INSPECTED = {
    "Id": ID,
    "RepoTags": ["a:1"],
    "Size": 5,
    "Config": {
        "Cmd": ["sh"],
        "ExposedPorts": {"80/tcp": {}},
        "Healthcheck": {"Interval": 5_000_000_000, "Test": ["CMD", "t"]},
        "Labels": {"k": "v"},
        "StopSignal": "SIGTERM",
    },
    "RootFS": {"Type": "layers", "Layers": [DIGEST]},
}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("{{.Id}}", ID),
        ("{{.ID}} {{.Size}}", f"{ID} 5"),
        ("{{.Config.Labels.k}}|{{index .Config.Labels \"none\"}}|{{.Config.Labels.none}}", "v||<no value>"),
        ("{{.Config.Env}} {{json .Config.Env}}", "[] null"),
        ("{{.Config.Healthcheck.Interval}} {{json .Config.Healthcheck}}", '5s {"Test":["CMD","t"],"Interval":5000000000}'),
        ("{{.Config.ExposedPorts}} {{json .Config.ExposedPorts}}", 'map[80/tcp:{}] {"80/tcp":{}}'),
        ("{{.Descriptor}} {{.Metadata}}", "<nil> {}"),
        ("{{json .Config.Volumes}} {{.Config.Volumes}} {{.Config.User}}", "null map[] "),
        ("{{range .RootFS.Layers}}{{.}};{{end}}", f"{DIGEST};"),
        ("{{if .Variant}}x{{else}}none{{end}}", "none"),
        ("{{json .Config.Labels}}", '{"k":"v"}'),
        ("json", json.dumps([INSPECTED], separators=(",", ":"))),
    ],
)  # fmt: skip
def test_inspect_through_a_template(
    capsys: pytest.CaptureFixture[str], form: str, expected: str
) -> None:
    assert (
        output(capsys, FakeEngine(inspect=INSPECTED), "inspect", "-f", form, "a") == f"{expected}\n"
    )


def test_inspect_tells_of_members_that_there_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine(inspect=INSPECTED)
    assert lapstrake(engine, "inspect", "-f", "{{.Nope}}", "a") == 1
    captured = capsys.readouterr()
    assert captured.out == "\n"
    assert 'executing "" at <.Nope>: map has no entry for key "Nope"' in captured.err
    assert lapstrake(engine, "inspect", "-f", "{{.Id", "a") == 64
    assert output(capsys, engine, "inspect", "--platform", "linux/arm64", "-s", "a") != ""
    assert engine.calls[-1] == ("inspect", ("a", "linux/arm64"))


def test_save_to_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert lapstrake(FakeEngine(), "save", "a") == 0
    assert capfdbinary.readouterr().out == b"archive"


def test_save_takes_a_platform_and_a_form(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine()
    assert lapstrake(engine, "save", "--format", "oci-dir", "-o", "dir", "a") == 0
    assert engine.calls == [("save_directory", (("a",), "dir", None))]
    assert lapstrake(engine, "save", "--format", "oci-dir", "a") == 125
    assert "needs a directory" in capsys.readouterr().err
    assert lapstrake(engine, "save", "--format", "docker-dir", "-o", "dir", "a") == 125


def test_save_to_a_file_leaves_nothing_half_written(tmp_path: Path) -> None:
    file = tmp_path / "a.tar"
    assert lapstrake(FakeEngine(), "save", "-o", str(file), "a", "b") == 0
    assert file.read_bytes() == b"archive"
    file.write_bytes(b"before")
    assert lapstrake(FakeEngine(ImageError("x")), "save", "-o", str(file), "a") == 1
    assert file.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [file]


def test_save_where_nothing_can_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert lapstrake(FakeEngine(), "save", "-o", "/nowhere/a.tar", "a") == 1
    assert (
        "cannot write `/nowhere/a.tar`: the directory `/nowhere` does not exist"
        in capsys.readouterr().err
    )


def test_load_reads_standard_input_or_a_file(
    capsys: pytest.CaptureFixture[str], stdin: io.BytesIO, tmp_path: Path
) -> None:
    engine = FakeEngine()
    assert output(capsys, engine, "load") == "Loaded image: a:latest\n"
    file = tmp_path / "a.tar"
    file.write_bytes(b"from file")
    assert output(capsys, engine, "load", "-q", "-i", str(file)) == "Loaded image: a:latest\n"
    assert output(capsys, engine, "load", "--platform", "linux/386", "-i", str(file)) != ""
    assert engine.calls == [
        ("load", (b"from stdin\n", None)),
        ("load", (b"from file", None)),
        ("load", (b"from file", "linux/386")),
    ]
    nameless = FakeEngine(load=(ID,))
    assert output(capsys, nameless, "load", "-i", str(file)) == f"Loaded image ID: {ID}\n"


def test_load_of_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert lapstrake(FakeEngine(), "load", "-i", "/nowhere") == 125
    assert "cannot read `/nowhere`: No such file" in capsys.readouterr().err


def test_import_gives_changes_and_message_on(
    capsys: pytest.CaptureFixture[str], stdin: io.BytesIO
) -> None:
    engine = FakeEngine()
    words = ("import", "-c", "CMD sh", "-c", "ENV a=b", "-m", "text", "-", "a:1")
    assert output(capsys, engine, *words) == f"{ID}\n"
    assert engine.calls == [
        ("import_", (b"from stdin\n", "a:1", ("CMD sh", "ENV a=b"), "text", None))
    ]


def test_import_from_an_address(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine(import_url=ID)
    words = ("import", "--platform", "linux/arm64", "https://x.example/a.tar.xz")
    assert output(capsys, engine, *words) == f"{ID}\n"
    url = "https://x.example/a.tar.xz"
    assert engine.calls == [("import_url", (url, None, (), "", {"platform": "linux/arm64"}))]


def test_prune_removes_without_asking_when_forced(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine(prune=SimpleNamespace(removed=("deleted: x",), bytes=12_345_678))
    text = output(capsys, engine, "prune", "-af")
    assert text == "deleted: x\nTotal reclaimed space: 12.3MB\n"
    assert engine.calls == [("prune", (Pruning(everything=True), {"dry": False}))]


def test_prune_removes_nothing_where_nobody_can_be_asked(
    capsys: pytest.CaptureFixture[str], stdin: io.BytesIO
) -> None:
    engine = FakeEngine()
    assert lapstrake(engine, "prune") == 125
    assert "add `-f`" in capsys.readouterr().err
    assert engine.calls == []


def test_info_is_readable_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    facts = {"Root": "/s", "Isolation": {"root": True, "rootless": None}, "Names": ["a", "b"]}
    engine = FakeEngine(info=facts)
    assert output(capsys, engine, "info") == (
        "Root: /s\nIsolation:\n  root: yes\n  rootless: none\nNames:\n  a\n  b\n"
    )
    assert json.loads(output(capsys, engine, "info", "--format", "json")) == facts
    assert lapstrake(engine, "info", "-f", "{{.Nope}}") == 1
    engine.calls.clear()
    assert lapstrake(engine, "info", "-f", "{{.Nope") == 64
    assert engine.calls == []  # nothing is tried for what cannot be shown


def test_version_needs_no_store(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine(ImageError("not to be opened"))
    assert output(capsys, engine, "version").startswith("lapstrake version ")
    assert output(capsys, engine, "--version").startswith("lapstrake version ")
    short = output(capsys, engine, "version", "--format", "{{.Client.Version}}")
    assert output(capsys, engine, "version").splitlines()[0].endswith(short.strip())
    assert set(json.loads(output(capsys, engine, "version", "-f=json"))) == {"Client", "Server"}
    assert engine.settings is None


def test_builds_and_disk_usage_through_a_template(capsys: pytest.CaptureFixture[str]) -> None:
    about = About(id="0" * 24 + "1", started=0.0, outcome="done", names=("a:1",), steps=2, cached=1)
    engine = FakeEngine(builds=[about])
    assert output(capsys, engine, "builds", "--format", "{{.Name}} {{.Cached}}") == "a:1 1/2\n"
    assert output(capsys, engine, "builds", "--format", "table {{.ID}}") == (
        "BUILD\n000000000001\n"
    )
    kinds = [SimpleNamespace(kind="images", number=2, bytes=1000, reclaimable=10)]
    engine = FakeEngine(disk_usage=SimpleNamespace(kinds=kinds, bytes=1000))
    form = "{{.Type}} {{.TotalCount}} {{.Size}} {{.Reclaimable}}"
    assert output(capsys, engine, "df", "--format", form).splitlines()[0] == "Images 2 1kB 10B"
    assert output(capsys, engine, "system", "df", "--format", form) != ""
    for words in (("builds", "-q"), ("df", "-v")):
        assert lapstrake(engine, *words, "--format", "x") == 125
