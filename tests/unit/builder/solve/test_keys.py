"""Cache keys: checked in, so that a key which changes is a diff that somebody reads.

A key that changes by intention gets a new version of its operation (`run/1` becomes `run/2`); then write the
file anew with `python -m tests.unit.builder.solve.test_keys`.
"""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from builder.graph.keys import CacheKey, KeyPart, state_id
from builder.graph.mounts import AgentMount, BindMount, CacheMount, SecretMount, TmpfsMount
from builder.graph.operations import (
    CopyOp,
    CopySource,
    MakeDirOp,
    Op,
    RunOp,
    Unpack,
)
from builder.solve.lookup import copy_key, make_dir_key, run_key
from builder.source.inline import inline_digest
from builder.source.listing import contents_digest, listing_digest, own_item, tree_digest
from builder.store.layers import Layer, State

GOLDEN = Path(__file__).parent / "golden/keys.json"
RUN = RunOp(argv=("/bin/sh", "-c", "true"), env=("PATH=/bin", "A=1"), cwd="/w", user="ann")
MOUNTS = (
    BindMount(input=1, path="a", target="/a"),
    CacheMount(id="c", target="/c"),
    TmpfsMount(target="/t", size=1024),
    SecretMount(id="s", target="/s", env="S"),
    AgentMount(id="default", target="/agent"),
)
COPY = CopyOp(sources=(CopySource(input=1, paths=("a", "b*")),), dest="/x/")
MAKE_DIR = MakeDirOp(path="/w/x", owner="ann:staff")
FILE = ("a", stat.S_IFREG | 0o644, 0, 0, b"\1" * 32, ())
OWNED = ("b", stat.S_IFREG | 0o4755, 5, 6, b"\2" * 32, (("user.x", b"y"),))
LINK = (b"l\xe9".decode("utf-8", "surrogateescape"), stat.S_IFLNK, 0, 0, b"target", ())
LAYER = Layer("sha256:" + "1" * 64, "2" * 64, 1024, 1, 5.0)
EMPTY = Layer("sha256:" + "3" * 64, "4" * 64, 1024, 0, 6.0)


def keys() -> dict[str, str]:
    """Return every kind of key and digest that finds something again."""
    state = State((LAYER,))
    listing = listing_digest([FILE, OWNED, LINK])
    contents = contents_digest([("a", listing), ("", tree_digest([("", listing), ("d", listing)]))])
    found: dict[str, CacheKey | str] = {
        "run above nothing": run_key(RUN, State()),
        "run above a layer": run_key(RUN, state),
        "run of a script": run_key(msgspec.structs.replace(RUN, script=b"#!/bin/sh\n"), state),
        "run with mounts": run_key(
            msgspec.structs.replace(RUN, mounts=MOUNTS), state, (KeyPart("contents", "c"),)
        ),
        "run without a network": run_key(msgspec.structs.replace(RUN, network="none"), state),
        "run that may do everything": run_key(
            msgspec.structs.replace(RUN, security="insecure"), state
        ),
        "run on a host of another name": run_key(
            msgspec.structs.replace(RUN, hostname="h", hosts=("a",)), state
        ),
        "run for another platform": run_key(
            msgspec.structs.replace(RUN, platform="linux/arm64"), state
        ),
        "copy": copy_key(COPY, contents),
        "copy with owner and mode": copy_key(
            msgspec.structs.replace(COPY, owner="ann:5", mode=0o4755), contents
        ),
        "working directory": make_dir_key(MAKE_DIR),
        "state of one layer": state.id,
        "state of two layers": state_id((LAYER.content_id, EMPTY.content_id)),
        "listing": listing.hex(),
        "listing of a hidden directory": listing_digest([FILE, own_item(0o40755)]).hex(),
        "tree with links": tree_digest([("", listing)], [("b", "a"), ("d", "c")]).hex(),
        "contents": contents,
        "here-document": inline_digest(b"text\n").hex(),
    }
    return {
        name: each.digest if isinstance(each, CacheKey) else each for name, each in found.items()
    }


def test_keys_are_those_that_are_checked_in() -> None:
    assert keys() == json.loads(GOLDEN.read_text())


def test_no_two_keys_are_equal() -> None:
    assert len(set(keys().values())) == len(keys())


OTHERS: dict[type, dict[str, Any]] = {
    RunOp: {
        "argv": ("/bin/sh", "-c", "false"),
        "env": ("PATH=/bin",),
        "cwd": "/",
        "user": "",
        "network": "none",
        "script": b"#!",
        "mounts": (CacheMount(id="c", target="/c"),),
        "security": "insecure",
        "hostname": "h",
        "hosts": ("a",),
        "platform": "linux/arm64",
    },
    CopyOp: {
        "dest": "/x",
        "owner": "0",
        "mode": 0,
        "exclude": ("a",),
        "parents": True,
        "link": True,
        "unpack": Unpack.AUTO,
    },
    MakeDirOp: {"path": "/w", "owner": ""},
}
SILENT = {
    RunOp: {"hidden_env": ("HTTP_PROXY=x",), "arguments": ("A",)},
    CopyOp: {"sources": ()},
    MakeDirOp: {},
}
"""Fields that do not count: proxies, which variables are arguments, and sources, of which the contents count."""


@pytest.mark.parametrize("operation", [RUN, COPY, MAKE_DIR], ids=lambda each: type(each).__name__)
def test_each_field_counts_or_is_known_not_to(operation: RunOp | CopyOp | MakeDirOp) -> None:
    kind = type(operation)
    names = {field.name for field in msgspec.structs.fields(kind)}
    assert names == OTHERS[kind].keys() | SILENT[kind].keys(), "say whether a new field counts"
    for name, value in OTHERS[kind].items():
        changed = msgspec.structs.replace(operation, **{name: value})
        assert changed.identity() != operation.identity(), name
    for name, value in SILENT[kind].items():
        changed = msgspec.structs.replace(operation, **{name: value})
        assert changed.identity() == operation.identity(), name


def test_words_do_not_run_together() -> None:
    one = msgspec.structs.replace(RUN, argv=("a b", "c"))
    two = msgspec.structs.replace(RUN, argv=("a", "b c"))
    assert run_key(one, State()).digest != run_key(two, State()).digest


def test_identities_are_versioned_and_different_between_operations() -> None:
    heads = [str(operation.identity()[0]) for operation in (RUN, COPY, MAKE_DIR)]
    assert all(head.partition("/")[2].isdecimal() for head in heads)
    assert len(set(heads)) == len(heads)
    assert {RunOp, CopyOp, MakeDirOp} <= set(get_args(Op))


def test_empty_layers_and_times_are_no_part_of_a_state() -> None:
    state = State((LAYER,))
    later = msgspec.structs.replace(LAYER, created=99.0, diff_id="sha256:" + "9" * 64)
    assert state.with_layer(EMPTY).id == State((EMPTY, LAYER)).id == State((later,)).id == state.id
    assert state.with_layer(LAYER).id != state.id


def test_the_order_of_what_is_found_does_not_count_but_that_of_sources_does() -> None:
    assert listing_digest([FILE, OWNED]) == listing_digest([OWNED, FILE])
    listing = listing_digest([FILE])
    assert tree_digest([("a", listing), ("b", listing)], [("x", "y")]) == tree_digest(
        [("b", listing), ("a", listing)], [("y", "x")]
    )
    assert contents_digest([("a", listing), ("b", listing)]) != contents_digest(
        [("b", listing), ("a", listing)]
    )


def test_the_parts_of_a_key_are_kept_for_whoever_asks_why() -> None:
    parts = copy_key(COPY, "5" * 64).parts
    assert [part.name for part in parts] == ["operation", "contents"]
    assert parts[0].shown == "/x/"


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(keys(), indent=2) + "\n")
