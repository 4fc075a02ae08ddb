"""In what two images of the store differ: layers, configuration, and the trees that the layers make."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import msgspec

from builder.engine.catalogue import LocalImage
from builder.errors import LayerLost
from builder.layer.entry import Entry, Kind
from builder.layer.stacks import common, stack_differences
from builder.oci.config import History, ImageConfig
from builder.store.layers import State
from builder.store.root import Store

Value = str | int | list[str] | None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not the same: what it is called, and what it is in either image; None where it is not set."""

    name: str
    before: Value
    after: Value


class FileDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A path that is not the same in both trees; None where there is nothing.

    Another name of a file is given as that file, with the name that it shares its inode with in `link`.
    """

    before: Entry | None
    after: Entry | None

    @property
    def path(self) -> bytes:
        """The path in the image, without a leading slash; empty for the root."""
        entry = self.after or self.before
        assert entry is not None
        return entry.path

    @property
    def letter(self) -> str:
        """`A` for what is in the second image only, `D` in the first only, `C` for what is not the same."""
        if self.before is None:
            return "A"
        return "D" if self.after is None else "C"

    def changes(self, *, times: bool = False) -> tuple[Change, ...]:
        """Return what is different about something that is in both."""
        if self.before is None or self.after is None:
            return ()
        before, after = _attributes(self.before), _attributes(self.after)
        found = list(_changed(before, after))
        if self.before.digest != self.after.digest and self.before.kind is self.after.kind:
            found.append(
                Change(name="content", before=_digest(self.before), after=_digest(self.after))
            )
        if times and self.before.mtime != self.after.mtime:
            found.append(Change(name="time", before=self.before.mtime, after=self.after.mtime))
        return tuple(found)


class LayersOf(msgspec.Struct, frozen=True, kw_only=True):
    """How many layers both images have at their bottom, and the diff ids of those above them in either."""

    shared: int
    before: tuple[str, ...]
    after: tuple[str, ...]


def layers_of(before: LocalImage, after: LocalImage) -> LayersOf:
    """Compare the layers of two images, as they are packed: times and order of entries count."""
    one, other = before.config.diff_ids, after.config.diff_ids
    shared = common(one, other)
    return LayersOf(shared=shared, before=one[shared:], after=other[shared:])


def file_differences(
    store: Store, before: State, after: State, *, times: bool = False
) -> Iterator[FileDifference]:
    """Yield in what the trees of two states differ, by path in order, a few thousand entries in memory at a time.

    Of a directory that is in one only, all that is below it is told too. Times count if asked for. A layer that
    was pulled and never used is unpacked for this, behind the launcher.

    Raises: StoreError: no form of a layer is left.
    """
    lists = (_lists(store, before), _lists(store, after))
    for one, other in stack_differences(*lists, times=times):
        yield FileDifference(before=one, after=other)


def configuration_differences(
    before: ImageConfig, after: ImageConfig, *, times: bool = False
) -> tuple[Change, ...]:
    """Return in what two configurations differ, by their members' names as Docker writes them, in order.

    Variables, labels, ports and volumes are told one by one, the lines of the history by what made them. When
    something was made counts if asked for. Layers are not told.
    """
    found = list(_changed(_members(before, times=times), _members(after, times=times)))
    return (*found, *_histories(before, after, times=times))


def _lists(store: Store, state: State) -> tuple[str, ...]:
    """Return the entry lists of a state's layers; empty layers are left out."""
    if not all(_listed(store, layer.diff_id) or layer.empty for layer in state.layers):
        with store.snapshots.view(state):
            pass  # what unpacks a layer writes its list
    lists = []
    for each in state.layers:
        layer = store.layers.get(each.diff_id) or each
        if not layer.empty:
            if not _listed(store, layer.diff_id):
                raise LayerLost(layer.diff_id)
            lists.append(store.layers.entries_path(layer.diff_id))
    return tuple(lists)


def _listed(store: Store, diff_id: str) -> bool:
    return os.path.exists(store.layers.entries_path(diff_id))


def _changed(before: Mapping[str, Value], after: Mapping[str, Value]) -> Iterator[Change]:
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            yield Change(name=name, before=before.get(name), after=after.get(name))


def _attributes(entry: Entry) -> dict[str, Value]:
    found: dict[str, Value] = {
        "kind": entry.kind.name.lower(),
        "mode": f"{entry.mode:04o}",
        "owner": f"{entry.uid}:{entry.gid}",
    }
    if entry.kind is Kind.FILE:
        found["size"] = entry.size
    if entry.kind in (Kind.CHARACTER, Kind.BLOCK):
        found["device"] = f"{entry.major}:{entry.minor}"
    if entry.link:
        found["target" if entry.kind is Kind.SYMLINK else "hard link to"] = _text(entry.link)
    for name, value in entry.xattrs:
        found[f"attribute {_text(name)}"] = _text(value)
    return found


def _digest(entry: Entry) -> str | None:
    return f"sha256:{entry.digest.hex()}" if entry.digest else None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _members(config: ImageConfig, *, times: bool) -> dict[str, Value]:
    inner = config.config
    found: dict[str, Value] = {
        "Platform": "/".join(
            part for part in (config.os, config.architecture, config.variant) if part
        ),
        "OsVersion": config.os_version,
        "OsFeatures": list(config.os_features) or None,
        "Author": config.author,
        "User": inner.user,
        "WorkingDir": inner.working_dir,
        "Entrypoint": _words(inner.entrypoint),
        "Cmd": _words(inner.cmd),
        "Shell": _words(inner.shell),
        "StopSignal": inner.stop_signal,
        "OnBuild": list(inner.on_build) or None,
    }
    if times:
        found["Created"] = config.created
    if inner.healthcheck is not None:
        check = inner.healthcheck
        found["Healthcheck"] = list(check.test)
        for name in ("interval", "timeout", "start_period", "start_interval", "retries"):
            found[f"Healthcheck {name}"] = getattr(check, name)
    for variable in inner.env:
        name, _, value = variable.partition("=")
        found[f"Env {name}"] = value
    found.update((f"Label {name}", value) for name, value in inner.labels)
    found.update((f"ExposedPort {port}", "") for port in inner.exposed_ports)
    found.update((f"Volume {volume}", "") for volume in inner.volumes)
    for extra in (config.extra, config.extra_config):
        found.update((name, _text(value)) for name, value in extra)
    unset = {"ExposedPort", "Volume", "Env", "Label"}
    return {
        name: value
        for name, value in found.items()
        if value not in ("", 0, None) or name.partition(" ")[0] in unset
    }


def _words(argv: tuple[str, ...] | None) -> list[str] | None:
    return None if argv is None else list(argv)


def _histories(before: ImageConfig, after: ImageConfig, *, times: bool) -> Iterator[Change]:
    one = [_line(each, times=times) for each in before.history]
    other = [_line(each, times=times) for each in after.history]
    shared = common(one, other)
    for number in range(shared, max(len(one), len(other))):
        yield Change(
            name=f"History {number + 1}",
            before=one[number] if number < len(one) else None,
            after=other[number] if number < len(other) else None,
        )


def _line(history: History, *, times: bool) -> str:
    words = [history.created] if times else []
    words.append(history.created_by or history.comment or "?")
    if history.empty_layer:
        words.append("(no layer)")
    return " ".join(words)
