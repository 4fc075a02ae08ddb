"""In what the trees of two stacks differ."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.layer import entries as entry_lists
from builder.layer.entries import write_entries
from builder.layer.entry import Entry, Kind, sort_key
from builder.layer.listed import EntryList
from builder.layer.stacks import Pair, stack_differences

Tree = dict[bytes, Entry]
PATHS = [b"a", b"a/b", b"a/b/c", b"a/b/d", b"a-b", b"a/c", b"b", b"b/c"]


def file(path: bytes, content: int = 0, mode: int = 0o644, mtime: int = 0) -> Entry:
    return Entry(path, Kind.FILE, mode, digest=bytes([content]) * 32, size=content, mtime=mtime)


def directory(path: bytes, mode: int = 0o755) -> Entry:
    return Entry(path, Kind.DIRECTORY, mode)


def written(root: Path, *layers: list[Entry]) -> list[str]:
    """Write entry lists; equal ones get the same path."""
    paths = []
    for layer in layers:
        path = str(root / f"{hash(tuple(layer)):x}")
        order = sorted(layer, key=lambda each: (sort_key(each.path), each.kind is Kind.OPAQUE))
        write_entries(path, order)
        paths.append(path)
    return paths


def shown(
    root: Path, before: list[list[Entry]], after: list[list[Entry]], *, times: bool = False
) -> list[Pair]:
    return list(stack_differences(written(root, *before), written(root, *after), times=times))


layer = st.dictionaries(
    st.sampled_from(PATHS),
    st.tuples(st.sampled_from(["file", "directory", "opaque", "whiteout"]), st.integers(0, 1)),
    max_size=6,
)


def entries_of(chosen: dict[bytes, tuple[str, int]], base: Tree) -> list[Entry]:
    """Return a layer that could be: parents are directories, and nothing is hidden beside itself."""
    made: dict[bytes, list[Entry]] = {}
    for path, (kind, number) in sorted(chosen.items()):
        above = path.rpartition(b"/")[0]
        if above in made:
            there = made[above][0].kind is Kind.DIRECTORY
        else:
            hidden = any(path.startswith(each + b"/") and len(made[each]) > 1 for each in made)
            there = not hidden and above in base and base[above].kind is Kind.DIRECTORY
        ancestors = [each for each in made if path.startswith(each + b"/")]
        if any(made[each][0].kind is not Kind.DIRECTORY for each in ancestors):
            continue
        if above and not there:
            continue
        match kind:
            case "file":
                made[path] = [file(path, number)]
            case "directory":
                made[path] = [directory(path, 0o700 + number)]
            case "opaque":
                made[path] = [directory(path), Entry(path, Kind.OPAQUE)]
            case _:
                made[path] = [Entry(path, Kind.WHITEOUT)]
    return [entry for each in made.values() for entry in each]


def applied(base: Tree, layer: list[Entry]) -> Tree:
    """Do what a layer says, one thing after the other."""
    tree = dict(base)

    def drop(path: bytes) -> None:
        for each in [each for each in tree if each.startswith(path + b"/")]:
            del tree[each]

    for entry in layer:
        if entry.kind in (Kind.WHITEOUT, Kind.OPAQUE):
            drop(entry.path)
        if entry.kind is Kind.WHITEOUT:
            tree.pop(entry.path, None)
    for entry in sorted(layer, key=lambda each: sort_key(each.path)):
        if entry.kind < Kind.WHITEOUT:
            if entry.kind is not Kind.DIRECTORY:
                drop(entry.path)
            tree[entry.path] = entry
    return tree


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(layer, max_size=3), st.lists(layer, max_size=2), st.lists(layer, max_size=2))
def test_what_differs_is_what_differs_once_all_layers_are_applied(
    tmp_path: Path, shared: list[object], left: list[object], right: list[object]
) -> None:
    def stacked(chosen: list[object]) -> tuple[list[list[Entry]], Tree]:
        tree: Tree = {}
        layers = []
        for each in chosen:
            layers.append(entries_of(each, tree))  # type: ignore[arg-type]
            tree = applied(tree, layers[-1])
        return layers, tree

    before, one = stacked([*shared, *left])
    after, other = stacked([*shared, *right])
    expected = [
        (one.get(path), other.get(path))
        for path in sorted(one.keys() | other.keys(), key=sort_key)
        if one.get(path) != other.get(path)
    ]
    assert shown(tmp_path, before, after) == expected


def test_equal_stacks_differ_in_nothing_and_need_not_be_there() -> None:
    assert list(stack_differences(["/nowhere"], ["/nowhere"])) == []


def test_times_count_only_if_asked_for(tmp_path: Path) -> None:
    before, after = [[file(b"a", mtime=1)]], [[file(b"a", mtime=2)]]
    assert shown(tmp_path, before, after) == []
    assert shown(tmp_path, before, after, times=True) == [(before[0][0], after[0][0])]


def test_other_names_of_a_file_have_its_content(tmp_path: Path) -> None:
    link = Entry(b"b", Kind.HARDLINK, 0o644, link=b"a")
    (one, other), again = shown(tmp_path, [[file(b"a", 1), link]], [[file(b"a", 2), link]])
    assert (one, other) == (file(b"a", 1), file(b"a", 2))
    assert again[0] is not None
    assert again[0].digest == file(b"a", 1).digest
    assert (again[0].path, again[0].link) == (b"b", b"a")


def test_a_name_keeps_its_content_when_the_other_one_is_replaced(tmp_path: Path) -> None:
    link = Entry(b"b", Kind.HARDLINK, 0o644, link=b"a")
    shared = [file(b"a", 1), link]
    found = shown(tmp_path, [shared], [shared, [file(b"a", 2)]])
    assert [pair[1] for pair in found] == [file(b"a", 2)]


def test_a_list_of_many_frames_is_looked_into_at_any_place(tmp_path: Path) -> None:
    entries = [file(b"%06d" % number, number % 2) for number in range(3000)]
    entries.insert(512, directory(b"000511x"))
    entries.insert(513, Entry(b"000511x", Kind.OPAQUE))
    path = str(tmp_path / "list")
    write_entries(path, entries)
    looked = EntryList(path)
    try:
        assert list(looked.entries()) == entries
        assert [looked.find(each.path)[0].path for each in entries] == [e.path for e in entries]
        assert len(looked.find(b"000511x")) == 2
        assert looked.find(b"absent") == looked.find(b"") == ()
    finally:
        looked.close()
    assert entry_lists.read_summary(path)[1] == 3002


def test_what_is_below_a_directory_is_found_across_frames(tmp_path: Path) -> None:
    inside = [file(b"d/%06d" % number) for number in range(1500)]
    path = str(tmp_path / "list")
    write_entries(path, [file(b"a"), directory(b"d"), *inside, file(b"d-"), file(b"e")])
    looked = EntryList(path)
    try:
        assert list(looked.below(b"d")) == inside
        assert list(looked.below(b"a")) == []
        assert len(list(looked.below(b""))) == 1504
    finally:
        looked.close()
