"""The details of an image as Docker's templates see them: with Go's names, and with all members, empty or not.

Source: moby, api/types/image, "InspectResponse".
"""

from __future__ import annotations

from collections.abc import Mapping

from builder.ui.template import Duration, NilList, NilMap, NilPointer, Record, StringMap

_TEXTS = [
    "Parent",
    "Comment",
    "Created",
    "DockerVersion",
    "Author",
    "Architecture",
    "Variant",
    "Os",
    "OsVersion",
]
_CONFIG_TEXTS = ("User", "WorkingDir", "StopSignal")
_CONFIG_ORDER = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "ArgsEscaped",
    "Healthcheck", "OnBuild", "Shell",
)  # fmt: skip
_SPANS = ("Interval", "Timeout", "StartPeriod", "StartInterval")
_CONFIG_LISTS = ("Env", "Entrypoint", "Cmd", "OnBuild", "Shell")


def record_of(document: Mapping[str, object]) -> Record:
    """Return the record for a document in the shape of `docker image inspect`."""
    members: dict[str, object] = {
        "ID": document.get("Id", ""),
        "RepoTags": document.get("RepoTags", NilList()),
        "RepoDigests": document.get("RepoDigests", NilList()),
        **{name: document.get(name, "") for name in _TEXTS},
        "Config": _config(document.get("Config")),
        "Size": document.get("Size", 0),
        "RootFS": _plain("image.RootFS", document.get("RootFS")),
        "Metadata": _plain("image.Metadata", document.get("Metadata")),
        "Descriptor": _descriptor(document.get("Descriptor")),
    }
    return Record("image.InspectResponse", members, document)


def _plain(kind: str, found: object) -> Record:
    return Record(kind, dict(found) if isinstance(found, Mapping) else {})


def _config(found: object) -> object:
    if not isinstance(found, Mapping):
        return NilPointer("*v1.DockerOCIImageConfig")
    labels = found.get("Labels")
    members: dict[str, object] = {
        **{name: found.get(name) or "" for name in _CONFIG_TEXTS},
        **{name: _list(found.get(name)) for name in _CONFIG_LISTS},
        "ExposedPorts": _set(found.get("ExposedPorts")),
        "Volumes": _set(found.get("Volumes")),
        "Labels": StringMap(labels) if isinstance(labels, Mapping) else NilMap(),
        "Healthcheck": _healthcheck(found.get("Healthcheck")),
        "ArgsEscaped": bool(found.get("ArgsEscaped")),
    }
    ordered = {name: found[name] for name in _CONFIG_ORDER if name in found}
    if "Healthcheck" in ordered:
        ordered["Healthcheck"] = members["Healthcheck"]
    return Record("*v1.DockerOCIImageConfig", members, ordered)


def _healthcheck(found: object) -> object:
    if not isinstance(found, Mapping):
        return NilPointer("*v1.HealthcheckConfig")
    members: dict[str, object] = {
        "Test": _list(found.get("Test")),
        **{name: Duration(found.get(name, 0)) for name in _SPANS},
        "Retries": found.get("Retries", 0),
    }
    return Record(
        "*v1.HealthcheckConfig", members, {name: found[name] for name in members if name in found}
    )


def _descriptor(found: object) -> object:
    if not isinstance(found, Mapping):
        return NilPointer("*v1.Descriptor")
    members = {
        "MediaType": found.get("mediaType", ""),
        "Digest": found.get("digest", ""),
        "Size": found.get("size", 0),
    }
    return Record("*v1.Descriptor", members, found)


def _list(found: object) -> object:
    return found if isinstance(found, (list, tuple)) else NilList()


def _set(found: object) -> object:
    """Return a set as Go has it: a map to structures without members."""
    if not isinstance(found, Mapping):
        return NilMap()
    return {name: Record("struct {}", {}) for name in found}
