"""The image configuration as JSON: read leniently where Docker was, written in one way only.

Source: OCI image-spec, config.md; what Docker adds to it.
"""

from __future__ import annotations

import msgspec

from builder.errors import ImageError, ReferenceInvalid
from builder.oci.config import ContainerConfig, Healthcheck, History, ImageConfig
from builder.oci.descriptor import MAX_DOCUMENT
from builder.oci.digest import Digest


def parse_config(raw: bytes) -> ImageConfig:
    """Read a configuration; members that lapstrake does not know are kept as they are.

    Raises: ImageError: too large, malformed, or without what every image must say.
    """
    if len(raw) > MAX_DOCUMENT:
        raise ImageError(f"the image's configuration is larger than {MAX_DOCUMENT} bytes")
    try:
        raw.decode()  # members that are kept unread would carry bad bytes on
        wire = msgspec.json.decode(raw, type=_ImageWire)
        extra = _unknown(raw, _IMAGE_MEMBERS)
        inner_raw = bytes(wire.config)
        inner = msgspec.json.decode(inner_raw, type=_ContainerWire | None) or _ContainerWire()
        extra_config = _unknown(inner_raw, _CONTAINER_MEMBERS)
        diff_ids = tuple(Digest(text) for text in wire.rootfs.diff_ids or ())
    except ReferenceInvalid as error:
        raise ImageError(
            "the image's configuration is malformed", notes=(error.message,)
        ) from error
    except (ValueError, RecursionError) as error:
        raise ImageError(
            "the image's configuration is malformed", notes=(str(error)[:200],)
        ) from error
    if wire.rootfs.type != "layers":
        raise ImageError(
            f"the image's root file system is of the unknown type `{wire.rootfs.type[:60]}`"
        )
    for name, value in (("os", wire.os), ("architecture", wire.architecture)):
        if not value:
            raise ImageError(f"the image's configuration does not say its `{name}`")
    return ImageConfig(
        architecture=wire.architecture,
        os=wire.os,
        variant=wire.variant or "",
        os_version=wire.os_version or "",
        os_features=tuple(wire.os_features or ()),
        created=wire.created or "",
        author=wire.author or "",
        config=_container(inner),
        diff_ids=tuple(map(str, diff_ids)),
        history=tuple(map(_history, wire.history or ())),
        extra=extra,
        extra_config=extra_config,
    )


def config_bytes(config: ImageConfig) -> bytes:
    """Return the JSON of a configuration: members sorted, empty ones left out; equal input, equal bytes.

    Raises: ImageError: a text cannot be written as UTF-8.
    """
    document: dict[str, object] = {
        "architecture": config.architecture,
        "os": config.os,
        "variant": config.variant,
        "os.version": config.os_version,
        "os.features": list(config.os_features),
        "created": config.created,
        "author": config.author,
        "history": [_history_document(entry) for entry in config.history],
    }
    document = {name: value for name, value in document.items() if value}
    document["config"] = _container_document(config)
    document["rootfs"] = {"type": "layers", "diff_ids": list(map(str, config.diff_ids))}
    document.update(
        (name, msgspec.Raw(value)) for name, value in config.extra if name not in document
    )
    try:
        return msgspec.json.encode(document, order="deterministic")
    except UnicodeEncodeError as error:
        raise ImageError(
            "the image's configuration holds text that is not valid UTF-8",
            notes=(repr(error.object[:100]),),
        ) from error


class _Empty(msgspec.Struct):
    """The value of a set's member in Docker's JSON."""


class _HealthcheckWire(msgspec.Struct, rename="pascal"):
    test: list[str] | None = None
    interval: int | None = None
    timeout: int | None = None
    start_period: int | None = None
    start_interval: int | None = None
    retries: int | None = None


class _ContainerWire(msgspec.Struct, rename="pascal"):
    user: str | None = None
    exposed_ports: dict[str, _Empty | None] | None = None
    env: list[str] | None = None
    entrypoint: list[str] | str | None = None
    cmd: list[str] | str | None = None
    volumes: dict[str, _Empty | None] | None = None
    working_dir: str | None = None
    labels: dict[str, str] | None = None
    stop_signal: str | None = None
    healthcheck: _HealthcheckWire | None = None
    on_build: list[str] | None = None
    shell: list[str] | str | None = None
    args_escaped: bool | None = None


class _HistoryWire(msgspec.Struct):
    created: str | None = None
    created_by: str | None = None
    author: str | None = None
    comment: str | None = None
    empty_layer: bool | None = None


class _RootfsWire(msgspec.Struct):
    type: str = ""
    diff_ids: list[str] | None = None


class _ImageWire(msgspec.Struct):
    rootfs: _RootfsWire
    architecture: str = ""
    os: str = ""
    variant: str | None = None
    os_version: str | None = msgspec.field(default=None, name="os.version")
    os_features: list[str] | None = msgspec.field(default=None, name="os.features")
    created: str | None = None
    author: str | None = None
    config: msgspec.Raw = msgspec.Raw(b"null")
    history: list[_HistoryWire] | None = None


_IMAGE_MEMBERS = frozenset(_ImageWire.__struct_encode_fields__)
_CONTAINER_MEMBERS = frozenset(_ContainerWire.__struct_encode_fields__)


def _unknown(raw: bytes, known: frozenset[str]) -> tuple[tuple[str, bytes], ...]:
    members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw] | None) or {}
    return tuple(
        sorted((name, bytes(value)) for name, value in members.items() if name not in known)
    )


def _container(wire: _ContainerWire) -> ContainerConfig:
    return ContainerConfig(
        user=wire.user or "",
        exposed_ports=tuple(sorted(wire.exposed_ports or ())),
        env=tuple(wire.env or ()),
        entrypoint=_argv(wire.entrypoint),
        cmd=_argv(wire.cmd),
        volumes=tuple(sorted(wire.volumes or ())),
        working_dir=wire.working_dir or "",
        labels=tuple(sorted((wire.labels or {}).items())),
        stop_signal=wire.stop_signal or "",
        healthcheck=_healthcheck(wire.healthcheck) if wire.healthcheck else None,
        on_build=tuple(wire.on_build or ()),
        shell=_argv(wire.shell),
        args_escaped=bool(wire.args_escaped),
    )


def _argv(value: list[str] | str | None) -> tuple[str, ...] | None:
    """Return a command's words; Docker once wrote a lone word as a string."""
    if value is None:
        return None
    return (value,) if isinstance(value, str) else tuple(value)


def _healthcheck(wire: _HealthcheckWire) -> Healthcheck:
    return Healthcheck(
        test=tuple(wire.test or ()),
        interval=wire.interval or 0,
        timeout=wire.timeout or 0,
        start_period=wire.start_period or 0,
        start_interval=wire.start_interval or 0,
        retries=wire.retries or 0,
    )


def _history(wire: _HistoryWire) -> History:
    return History(
        created=wire.created or "",
        created_by=wire.created_by or "",
        author=wire.author or "",
        comment=wire.comment or "",
        empty_layer=bool(wire.empty_layer),
    )


def _container_document(config: ImageConfig) -> dict[str, object]:
    inner = config.config
    members: dict[str, object] = {
        "User": inner.user,
        "ExposedPorts": {port: {} for port in inner.exposed_ports},
        "Env": list(inner.env),
        "Volumes": {volume: {} for volume in inner.volumes},
        "WorkingDir": inner.working_dir,
        "Labels": dict(inner.labels),
        "StopSignal": inner.stop_signal,
        "OnBuild": list(inner.on_build),
        "ArgsEscaped": inner.args_escaped,
    }
    members = {name: value for name, value in members.items() if value}
    for name, argv in (
        ("Entrypoint", inner.entrypoint),
        ("Cmd", inner.cmd),
        ("Shell", inner.shell),
    ):
        if argv is not None:
            members[name] = list(argv)
    if inner.healthcheck is not None:
        members["Healthcheck"] = _healthcheck_document(inner.healthcheck)
    members.update(
        (name, msgspec.Raw(value)) for name, value in config.extra_config if name not in members
    )
    return members


def _healthcheck_document(healthcheck: Healthcheck) -> dict[str, object]:
    members: dict[str, object] = {
        "Test": list(healthcheck.test),
        "Interval": healthcheck.interval,
        "Timeout": healthcheck.timeout,
        "StartPeriod": healthcheck.start_period,
        "StartInterval": healthcheck.start_interval,
        "Retries": healthcheck.retries,
    }
    return {name: value for name, value in members.items() if value}


def _history_document(entry: History) -> dict[str, object]:
    members: dict[str, object] = {
        "created": entry.created,
        "created_by": entry.created_by,
        "author": entry.author,
        "comment": entry.comment,
        "empty_layer": entry.empty_layer,
    }
    return {name: value for name, value in members.items() if value}
