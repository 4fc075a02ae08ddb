"""In what two entry lists differ."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.layer.difference import differences, how
from builder.layer.entry import Entry, Kind, sort_key

FILE = Entry(b"a", Kind.FILE, 0o644, digest=b"1" * 32, mtime=1)


def entries(names: dict[tuple[bytes, bool], int]) -> list[Entry]:
    found = [
        Entry(path, Kind.OPAQUE)
        if opaque
        else Entry(path, Kind.FILE, digest=bytes([content]), mtime=content * 7)
        for (path, opaque), content in names.items()
    ]
    return sorted(found, key=lambda each: (sort_key(each.path), each.kind is Kind.OPAQUE))


NAMES = st.dictionaries(
    st.tuples(st.sampled_from([b"a", b"a/b", b"a/c", b"a-b", b"b", b"a/b/c"]), st.booleans()),
    st.integers(0, 2),
)


@given(NAMES, NAMES)
def test_exactly_what_is_not_equal_is_found(
    before: dict[tuple[bytes, bool], int], after: dict[tuple[bytes, bool], int]
) -> None:
    expected = {
        each
        for each in before.keys() | after.keys()
        if each not in before or each not in after or (not each[1] and before[each] != after[each])
    }
    found = [
        ((right or left).path, (right or left).kind is Kind.OPAQUE)  # type: ignore[union-attr]
        for left, right in differences(entries(before), entries(after))
    ]
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert found == sorted(found, key=lambda each: (sort_key(each[0]), each[1]))


def test_times_do_not_count() -> None:
    later = Entry(b"a", Kind.FILE, 0o644, digest=b"1" * 32, mtime=2)
    assert list(differences([FILE], [later])) == []


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (Entry(b"a", Kind.FILE, 0o644, digest=b"2" * 32), "content"),
        (Entry(b"a", Kind.FILE, 0o755, digest=b"1" * 32), "mode 644, now 755"),
        (Entry(b"a", Kind.FILE, 0o644, 5, 6, digest=b"1" * 32), "owner 0:0, now 5:6"),
        (Entry(b"a", Kind.SYMLINK, link=b"x"), "file, now symlink"),
        (Entry(b"a", Kind.WHITEOUT), "removed"),
        (None, "removed"),
    ],
)
def test_what_is_different_is_said_in_words(after: Entry | None, expected: str) -> None:
    assert how(FILE, after) == expected


def test_what_was_not_there_was_added() -> None:
    assert how(None, FILE) == "added"
    assert how(Entry(b"a", Kind.WHITEOUT), FILE) == "added"
