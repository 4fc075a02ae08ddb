"""How differences of two images are shown: a line each for people, or one JSON document, written as they are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from builder.ui.cells import neutral

if TYPE_CHECKING:
    from builder.engine.differences import Change, FileDifference, LayersOf
    from builder.engine.moving import Comparison

Say = Callable[[str], object]


def show(found: Comparison, say: Say, *, times: bool = False) -> bool:
    """Tell all differences, a line each below a line that says of what; return whether there are any.

    Layers are told, but are none: the same files may be packed in other ways.
    """
    for line in _layers(found.layers):
        say(line)
    if found.configuration:
        say("Configuration:")
    for change in found.configuration:
        say(neutral(_configured(change)))
    different = False
    for file in found.files:
        if not different:
            say("Files:")
        different = True
        say(neutral(_file(file, times=times)))
    return different or bool(found.configuration)


def show_json(found: Comparison, write: Say, *, times: bool = False) -> bool:
    """Write all differences as one JSON document; return whether there are any."""
    layers = msgspec.json.encode(found.layers).decode()
    configuration = msgspec.json.encode(found.configuration).decode()
    write(f'{{"layers":{layers},\n"configuration":{configuration},\n"files":[')
    different = False
    for file in found.files:
        write(",\n" if different else "\n")
        different = True
        document = {
            "path": "/" + file.path.decode("utf-8", "backslashreplace"),
            "how": {"A": "added", "D": "deleted", "C": "changed"}[file.letter],
            "changes": file.changes(times=times),
        }
        write(msgspec.json.encode(document).decode())
    write("]}\n")
    return different or bool(found.configuration)


def _layers(layers: LayersOf) -> Iterator[str]:
    if not layers.before and not layers.after:
        return
    yield f"Layers: {layers.shared} in both, then"
    for sign, diff_ids in (("D", layers.before), ("A", layers.after)):
        for diff_id in diff_ids:
            yield f"{sign} {diff_id}"


def _configured(change: Change) -> str:
    if change.before is None:
        return f"A {change.name}: {_value(change.after)}"
    if change.after is None:
        return f"D {change.name}: {_value(change.before)}"
    return f"C {change.name}: {_value(change.before)} -> {_value(change.after)}"


def _file(file: FileDifference, *, times: bool) -> str:
    path = f"{file.letter} /{file.path.decode('utf-8', 'surrogateescape')}"
    changes = ", ".join(_attribute(change) for change in file.changes(times=times))
    return f"{path}: {changes}" if changes else path


def _attribute(change: Change) -> str:
    if change.name == "content":
        return "content"
    if change.before is None:
        return f"{change.name} {_value(change.after)} added"
    if change.after is None:
        return f"{change.name} {_value(change.before)} removed"
    return f"{change.name} {_value(change.before)} -> {_value(change.after)}"


def _value(value: str | int | list[str] | None) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
