"""RUN --mount and --device: what is read, and what is refused where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.dockerfile.instructions import Run, Word
from builder.dockerfile.mounts import Device, Mount, read_device, read_mount
from builder.errors import DockerfileError, DockerfileErrors
from tests.unit.builder.dockerfile.dockerfiles import error_of, lowered, marked, planned, read


def mount(value: str, **variables: str) -> Mount:
    dockerfile = read(f"FROM scratch\nRUN --mount={value} x")
    run = dockerfile.instructions[1]
    assert isinstance(run, Run)

    def expand(word: Word) -> str:
        text = word.text
        for name, found in variables.items():
            text = text.replace(f"${name}", found)
        return text

    return read_mount(run.mounts[0], dockerfile.source, expand if variables else None)


def device(value: str) -> Device:
    dockerfile = read(f"FROM scratch\nRUN --device={value} x")
    run = dockerfile.instructions[1]
    assert isinstance(run, Run)
    return read_device(run.devices[0], dockerfile.source)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("target=/a", Mount(target="/a")),
        ("dst=/a,src=b,from=c", Mount(target="/a", source="b", from_="c")),
        ("type=bind,destination=/a,rw", Mount(target="/a", read_only=False)),
        ("target=/a,readwrite=false", Mount(target="/a", read_only=True)),
        ("target=/a,rw,ro", Mount(target="/a", read_only=True)),
        ("TYPE=Cache,target=/a", Mount(type="cache", target="/a", read_only=False)),
        (
            "type=cache,id=i,target=/a,sharing=LOCKED,mode=0700,uid=1,gid=2,ro",
            Mount(type="cache", id="i", target="/a", sharing="locked", mode=0o700, uid=1, gid=2),
        ),
        (
            "type=tmpfs,target=/a,size=1.5k",
            Mount(type="tmpfs", target="/a", read_only=False, size=1536),
        ),
        (
            "type=tmpfs,target=/a,size=2GiB",
            Mount(type="tmpfs", target="/a", read_only=False, size=2 << 30),
        ),
        (
            "type=tmpfs,target=/a,size=64",
            Mount(type="tmpfs", target="/a", read_only=False, size=64),
        ),
        (
            "type=tmpfs,target=/a,size=.5k",
            Mount(type="tmpfs", target="/a", read_only=False, size=512),
        ),
        ("type=secret,id=s,mode=0000000000000400", Mount(type="secret", id="s", mode=0o400)),
        ("type=secret,id=s,required", Mount(type="secret", id="s", required=True)),
        ("type=secret,id=s,env=E,required=false", Mount(type="secret", id="s", env="E")),
        ("type=ssh", Mount(type="ssh")),
        ('type=bind,\\"target=/a,b\\"', Mount(target="/a,b")),
    ],
)
def test_a_mount(value: str, expected: Mount) -> None:
    assert mount(value) == expected


@pytest.mark.parametrize(
    ("value", "under"),
    [
        ("type=cash,target=/a", "cash"),
        ("type=tmpfs,targt=/a", "targt"),
        ("target", "target"),
        ("target=/a,required,type=secret", "required"),
        ("target=/a,size=1m,type=tmpfs", "size=1m"),
        ("target=/a,,ro", "target=/a,,ro"),
        ("target=/a,ro=maybe", "maybe"),
        ("target=/a,sharing=shared", "shared"),
        ("type=cache,target=/a,sharing=lock", "lock"),
        ("target=/a,mode=0700", "0700"),
        ("type=tmpfs,target=/a,uid=1", "1"),
        ("type=cache,target=/a,mode=9", "9"),
        ("type=cache,target=/a,uid=-1", "-1"),
        ("type=cache,target=/a,gid=4294967296", "4294967296"),
        ("type=tmpfs,target=/a,size=1x", "1x"),
        ("type=tmpfs,target=/a,size=1ib", "1ib"),
        ("type=tmpfs,target=/a,size=.k", ".k"),
        ("type=tmpfs,target=/a,size=1.2.3", "1.2.3"),
        ("type=secret", "type=secret"),
        ("type=secret,id=a,source=b", "a"),
        ("type=secret,id=a,from=b", "b"),
        ("type=ssh,source=b", "b"),
        ("target=/", "/"),
        ("target=/a/..", "/a/.."),
        ("from=$x,target=/a", "$x"),
        ('target=/a\\"b', '--mount=target=/a\\"b'),
        ('\\"target=/a', '--mount=\\"target=/a'),
    ],
)
def test_a_mistake_is_marked(value: str, under: str) -> None:
    error = error_of(planned, f"FROM scratch\nRUN --mount={value} x")
    assert error.code == "dockerfile.syntax"
    assert marked(error).removeprefix("--mount=") == under.removeprefix("--mount=")


def test_near_names_are_suggested() -> None:
    assert error_of(mount, "type=cash").hint == "did you mean `cache`?"
    assert error_of(mount, "taret=/a").hint == "did you mean `target`?"
    assert error_of(mount, "type=cache,sharing=privat").hint == "did you mean `private`?"


def test_doubled_quotes_in_a_quoted_field_are_one() -> None:
    assert mount('\\"target=/a\\"\\"b\\"', unused="") == Mount(target='/a"b')


def test_values_with_variables_are_checked_once_these_are_known() -> None:
    assert mount("type=$t,target=/a,size=$s") == Mount(target="/a")
    assert mount("type=$t,target=$d", t="cache", d="/x") == Mount(
        type="cache", target="/x", read_only=False
    )
    with pytest.raises(DockerfileError, match="no `type`"):
        mount("type=$t", t="x")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("vendor.com/class=name", Device("vendor.com/class=name", required=False)),
        ("name=d,required", Device("d", required=True)),
        ("d,required=false", Device("d", required=False)),
    ],
)
def test_a_device(value: str, expected: Device) -> None:
    assert device(value) == expected


@pytest.mark.parametrize(
    ("value", "under"),
    [("required", "required"), ("a,b", "b"), ("a,name=b", "name=b"), ("a,required=x", "x")],
)
def test_a_mistake_in_a_device_is_marked(value: str, under: str) -> None:
    assert marked(error_of(planned, f"FROM scratch\nRUN --device={value} x")) == under


def test_what_is_correct_is_refused_by_name_and_all_of_it() -> None:
    text = "FROM scratch\nRUN --device=e --device=d x"
    error = error_of(lowered, text)
    assert isinstance(error, DockerfileErrors)
    assert [marked(each) for each in error.errors] == ["--device=e", "--device=d"]
    assert {each.code for each in error.errors} == {"dockerfile.unsupported"}


def test_what_is_refused_in_several_lines_is_named_together() -> None:
    error = error_of(lowered, "FROM scratch\nRUN --device=b x\nRUN --device=a x")
    assert isinstance(error, DockerfileErrors)
    assert [marked(each) for each in error.errors] == ["--device=b", "--device=a"]


def test_mistakes_come_before_the_refusal() -> None:
    error = error_of(planned, "FROM scratch\nRUN --mount=target=/a --mount=type=x x")
    assert (error.code, marked(error)) == ("dockerfile.syntax", "x")


def test_what_a_variable_holds_is_checked_before_the_refusal() -> None:
    error = error_of(lowered, "FROM scratch\nENV t=x\nRUN --mount=type=$t,target=/a x")
    assert (error.code, marked(error)) == ("dockerfile.syntax", "$t")


@pytest.mark.parametrize(
    ("directory", "value", "code"),
    [
        ("/", "type=cache", "dockerfile.syntax"),
        ("/", "type=tmpfs,target=.", "dockerfile.syntax"),
        ("/a", "target=..", "dockerfile.syntax"),
        ("/", "type=secret,id=s", ""),
        ("/", "type=ssh", ""),
        ("/a", "target=.", ""),
        ("/a", "type=cache", ""),
        ("/", "target=b", ""),
    ],
)
def test_a_mount_is_below_the_working_directory_but_not_on_the_root(
    directory: str, value: str, code: str
) -> None:
    text = f"FROM scratch\nWORKDIR {directory}\nRUN --mount={value} x"
    if code:
        assert error_of(lowered, text).code == code
    else:
        lowered(text)


@pytest.mark.parametrize("source", ["b", "B"])
def test_a_mount_from_a_later_stage_is_refused(source: str) -> None:
    text = f"FROM scratch AS a\nRUN --mount=from={source},target=/a x\nFROM scratch AS b\nFROM a"
    error = error_of(planned, text)
    assert (error.code, marked(error)) == ("dockerfile.unknown-stage", source)


def test_a_mount_from_the_stage_itself_is_a_cycle() -> None:
    error = error_of(planned, "FROM scratch AS a\nRUN --mount=from=a,target=/a x")
    assert (error.code, marked(error)) == ("dockerfile.stage-cycle", "a")


def test_stages_that_are_not_needed_may_mount() -> None:
    assert planned("FROM scratch AS a\nRUN --mount=target=/a x\nFROM scratch").stages


@given(st.text("abtyperoms=,\\\"'/$ 1k", max_size=30))
def test_nothing_raises_anything_but_our_errors(value: str) -> None:
    for flag in ("mount", "device"):
        try:
            planned(f"FROM scratch\nRUN --{flag}={value} x")
        except DockerfileError as error:
            assert error.span is not None
