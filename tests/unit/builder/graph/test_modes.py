"""Symbolic modes mean what they mean to chmod."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.graph.modes import BadMode, SymbolicMode


@pytest.mark.parametrize(
    ("text", "before", "is_directory", "after"),
    [
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o700, False, 0o755),
        ("u=rwX,go=rX", 0o600, True, 0o755),
        ("+X", 0o654, False, 0o755),
        ("a-X", 0o755, False, 0o644),
        ("go=", 0o777, False, 0o700),
        ("go=u-w", 0o750, False, 0o755),
        ("u+s,g+s", 0o755, False, 0o6755),
        ("+t", 0o777, True, 0o1777),
        ("o+t", 0o777, True, 0o777),
        ("=r", 0o7777, False, 0o1444),
        ("g=o,o=", 0o705, False, 0o750),
        ("u+x-w", 0o600, False, 0o500),
        ("+w", 0o444, False, 0o666),
        # What another class may do is copied, and set-id bits stay as they are.
        ("g=u", 0o2755, True, 0o2775),
        ("u=g", 0o4750, False, 0o4550),
        # Letters after a copied class are an operation of their own.
        ("g=ur", 0o700, False, 0o740),
        # Without a class, an operator that names the sticky bit changes nothing else.
        ("=t", 0o755, True, 0o1755),
        ("+xt", 0o644, False, 0o1644),
    ],
)
def test_a_symbolic_mode_changes_what_it_names(
    text: str, before: int, is_directory: bool, after: int
) -> None:
    assert oct(SymbolicMode(text).apply(before, is_directory=is_directory)) == oct(after)


@pytest.mark.parametrize(
    "text", ["", ",", "u", "u=z", "z=r", "u=r,", "rwx", "u==r,,", "644", "u+r g"]
)
def test_what_is_no_mode_is_refused(text: str) -> None:
    with pytest.raises(BadMode):
        SymbolicMode(text)


CLAUSE = st.builds(
    lambda who, op, perms: who + op + perms,
    st.sampled_from(["u", "g", "o", "ug", "a", "go", "uo"]),
    st.sampled_from("+-="),
    st.text("rwxX", max_size=4) | st.sampled_from("ugo"),
)


@given(clauses=st.lists(CLAUSE, min_size=1, max_size=3), mode=st.integers(0, 0o777))
def test_chmod_agrees(
    clauses: list[str], mode: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = ",".join(clauses)
    path = tmp_path_factory.getbasetemp() / "file"
    path.touch()
    path.chmod(mode)
    subprocess.run(["chmod", text, path], check=True)
    # `X` of a later clause: chmod looks at the mode as it has become, the others' library as it was.
    if "X" not in text:
        assert SymbolicMode(text).apply(mode, is_directory=False) == path.stat().st_mode & 0o7777


def test_a_long_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadMode):
        SymbolicMode("u+r," * 1000)
