"""The configuration document: what is read, kept and written."""

from __future__ import annotations

import msgspec
import pytest

from builder.errors import ImageError
from builder.oci.config import ContainerConfig, Healthcheck, History, ImageConfig
from builder.oci.digest import Digest
from builder.oci.document import config_bytes, parse_config

DIFF_ID = str(Digest.of(b"layer"))
MINIMAL = {
    "os": "linux",
    "architecture": "amd64",
    "rootfs": {"type": "layers", "diff_ids": [DIFF_ID]},
}


def document(**members: object) -> bytes:
    return msgspec.json.encode({**MINIMAL, **members})


FULL = ImageConfig(
    architecture="arm",
    os="linux",
    variant="v7",
    os_version="1",
    os_features=("f",),
    created="2024-01-01T00:00:00Z",
    author="Ada",
    config=ContainerConfig(
        user="1:2",
        exposed_ports=("53/udp", "80/tcp"),
        env=("PATH=/bin", "X=ü<&>"),
        entrypoint=("/bin/sh", "-c"),
        cmd=(),
        volumes=("/data",),
        working_dir="/w",
        labels=(("a", "1"), ("b", "2")),
        stop_signal="SIGINT",
        healthcheck=Healthcheck(test=("CMD", "true"), interval=5_000_000_000, retries=3),
        on_build=("RUN true",),
        shell=("/bin/bash",),
        args_escaped=True,
    ),
    diff_ids=(DIFF_ID,),
    history=(
        History(created="2024-01-01T00:00:00Z", created_by="RUN x", author="a", comment="c"),
        History(created_by="ENV x=1", empty_layer=True),
    ),
    extra=(("moby.buildkit.x", b'{"z":1,"a":[2]}'),),
    extra_config=(("Hostname", b'"h"'), ("Memory", b"12")),
)


def test_everything_survives_writing_and_reading() -> None:
    assert parse_config(config_bytes(FULL)) == FULL


def test_equal_input_gives_equal_bytes_and_reading_changes_nothing() -> None:
    once = config_bytes(FULL)
    assert config_bytes(parse_config(once)) == once


def test_the_inner_object_is_always_written() -> None:
    raw = config_bytes(ImageConfig(architecture="amd64", os="linux"))
    assert raw == (
        b'{"architecture":"amd64","config":{},"os":"linux","rootfs":{"diff_ids":[],"type":"layers"}}'
    )


def test_unset_and_empty_commands_differ() -> None:
    unset = parse_config(document(config={"Cmd": None}))
    empty = parse_config(document(config={"Cmd": []}))
    assert unset.config.cmd is None
    assert empty.config.cmd == ()
    assert b"Cmd" not in config_bytes(unset)
    assert b'"Cmd":[]' in config_bytes(empty)


@pytest.mark.parametrize("config", [None, {}, {"Env": None, "Labels": None, "Healthcheck": None}])
def test_null_is_absent(config: object) -> None:
    parsed = parse_config(document(config=config, history=None, created=None))
    assert parsed.config == ContainerConfig()
    assert parsed.history == ()


def test_a_lone_word_is_a_command() -> None:
    assert parse_config(document(config={"Entrypoint": "/x"})).config.entrypoint == ("/x",)


def test_unknown_members_are_kept_on_both_levels() -> None:
    parsed = parse_config(
        document(new=[1, {"x": None}], config={"Domainname": "d", "Env": ["A=1"]})
    )
    assert parsed.extra == (("new", b'[1,{"x":null}]'),)
    assert parsed.extra_config == (("Domainname", b'"d"'),)
    assert parse_config(config_bytes(parsed)) == parsed


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"null", "malformed"),
        (b"{}", "malformed"),
        (b"[" * 100_000, "malformed"),
        (document(config="x"), "malformed"),
        (document(config={"Env": [1]}), "malformed"),
        (document(rootfs={"type": "layers", "diff_ids": ["sha256:short"]}), "malformed"),
        (document(rootfs={"type": "blobs", "diff_ids": []}), "unknown type"),
        (document(rootfs={}), "unknown type"),
        (document(os=""), "does not say its `os`"),
        (document(architecture=""), "does not say its `architecture`"),
        (document(x=1).replace(b'"x":1', b'"x":"\xff"'), "malformed"),
        (b" " * (4 * 1024 * 1024 + 1), "larger than"),
    ],
)
def test_bad_configurations_are_refused(raw: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        parse_config(raw)


def test_text_that_is_no_utf8_is_refused_when_written() -> None:
    config = ImageConfig(
        architecture="amd64", os="linux", config=ContainerConfig(env=("X=\udcff",))
    )
    with pytest.raises(ImageError, match="not valid UTF-8"):
        config_bytes(config)
