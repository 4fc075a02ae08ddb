"""Changes to a configuration."""

from __future__ import annotations

from builder.oci.config import History, ImageConfig
from builder.oci.digest import Digest
from builder.oci.edit import UNRECORDED, append_history, append_layer, chain_ids, with_whole_history

ONE, TWO, THREE = (Digest.of(name) for name in (b"1", b"2", b"3"))
BASE = ImageConfig(
    architecture="amd64",
    os="linux",
    diff_ids=(ONE,),
    history=(History(created_by="base"),),
    created="old",
)


def test_a_layer_brings_its_line_of_history() -> None:
    config = append_layer(BASE, TWO, History(created_by="RUN x", created="new", empty_layer=True))
    assert config.diff_ids == (ONE, TWO)
    assert config.history[1] == History(created_by="RUN x", created="new")
    assert config.created == "new"
    assert BASE.diff_ids == (ONE,)


def test_a_line_without_a_layer_is_marked() -> None:
    config = append_history(BASE, History(created_by="ENV x=1"))
    assert config.diff_ids == (ONE,)
    assert config.history[1].empty_layer
    assert config.created == "old"


def test_missing_history_is_filled_before_a_layer_is_added() -> None:
    bare = ImageConfig(architecture="amd64", os="linux", diff_ids=(ONE, TWO))
    config = append_layer(bare, THREE, History(created_by="RUN x"))
    assert config.history == (UNRECORDED, UNRECORDED, History(created_by="RUN x"))


def test_surplus_history_is_marked_as_empty() -> None:
    odd = ImageConfig(
        architecture="amd64",
        os="linux",
        diff_ids=(ONE,),
        history=(History(comment="a"), History(comment="b")),
    )
    assert [entry.empty_layer for entry in with_whole_history(odd).history] == [False, True]


def test_chain_ids_are_those_of_the_specification() -> None:
    chain = chain_ids((ONE, TWO, THREE))
    assert chain[0] == ONE
    assert chain[1] == Digest.of(f"{ONE} {TWO}".encode())
    assert chain[2] == Digest.of(f"{chain[1]} {THREE}".encode())
    assert chain_ids(()) == ()
