"""The lines about images that come and go, against Debian's docker-registry on loopback.

The image is a Debian with Python (`debian_base`), above it the program with all that it needs, and a small layer.
What is compared with is what an expert without a daemon would type: `skopeo copy`, then `umoci unpack`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.disk import fresh_disk
from tests.bench.measure import Measured, measure
from tests.support.debian_base import debian_base
from tests.support.docker_registry import docker_registry

if TYPE_CHECKING:
    from tests.bench.lines import Bench, Line

_PULL_GOAL = 0.8
_PUSH_GOAL = 0.7
_AGAIN_SECONDS = 0.3
_TYPE = "application/vnd.oci.image.layer.v1.tar"
_PIECE = 1 << 20
_DISK = 6_000_000_000
"""Bytes of the fresh file systems that images are unpacked into: on one in use the same takes 5 s or 30."""


def pulled(bench: Bench, line: type[Line], compression: str) -> Line:
    """A realistic image, pulled and unpacked in one go, over copying it and unpacking it."""
    tars = _tars(bench)
    ours, reference = _pulls(bench, tars, compression, bench.scale.rounds)
    against = "`skopeo copy docker://… oci:…`, then `umoci unpack`, fresh file systems"
    if compression == "zstd":
        against += "; of the same in gzip, as Debian's umoci reads no zstd"
    return line(
        f"pull and unpack of Debian with Python and a program, {compression}",
        statistics.median(run.seconds for run in ours),
        statistics.median(reference),
        against,
        _PULL_GOAL,
        max(run.peak for run in ours),
    )


def pulled_large(bench: Bench, line: type[Line]) -> Line:
    """An image of one large layer: what matters is the memory."""
    path = bench.place / "large.tar"
    size = bench.scale.flood
    if not path.exists():
        content = bench.place / "large"
        with content.open("wb") as file:
            for _ in range(size // _PIECE):
                file.write(os.urandom(_PIECE // 2) + bytes(_PIECE // 2))
        with tarfile.open(path, "w") as archive:
            archive.add(content, "large")
        content.unlink()
    ours, reference = _pulls(bench, [path], "gzip", 1)
    peak = max(run.peak for run in ours)
    bench.floors.append(
        f"Pulling a layer of {size // 1_000_000} MB, no process held more than {peak / 1e6:.0f} MB."
    )
    return line(
        f"pull and unpack of one layer of {size // 1_000_000} MB",
        ours[0].seconds,
        reference[0],
        "`skopeo copy docker://… oci:…`, then `umoci unpack`, fresh file systems",
        _PULL_GOAL,
        peak,
    )


def pushed(bench: Bench, line: type[Line]) -> Line:
    """An image of which nothing is compressed yet."""
    layout = _layout(bench, _tars(bench), "none")
    loaded = _loaded(bench, layout)
    ours: list[Measured] = []
    reference: list[float] = []
    for _ in range(bench.scale.rounds):
        with _registry(bench) as host:
            store = bench.place / "pushing"
            shutil.rmtree(store, ignore_errors=True)
            shutil.copytree(loaded, store, symlinks=True)
            name = f"{host}/ours:1"
            bench.lapstrake(store, "tag", "bench/moving:1", name)
            _settle()
            ours.append(bench.lapstrake(store, "push", "-q", name))
            _settle()
            copy = ("skopeo", "copy", "-q", "--dest-tls-verify=false", "--dest-compress")
            target = f"docker://{host}/reference:1"
            reference.append(measure([*copy, f"oci:{layout}:1", target]).seconds)
        bench.say(f"push: {ours[-1].seconds:.2f} s, skopeo: {reference[-1]:.2f} s")
    return line(
        "push of Debian with Python and a program, nothing compressed before",
        statistics.median(run.seconds for run in ours),
        statistics.median(reference),
        "`skopeo copy --dest-compress oci:… docker://…`",
        _PUSH_GOAL,
        max(run.peak for run in ours),
    )


def pushed_again(bench: Bench, line: type[Line]) -> Line:
    """The same once more, when all is there: less what any command takes."""
    loaded = _loaded(bench, _layout(bench, _tars(bench), "none"))
    store = bench.place / "pushing"
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(loaded, store, symlinks=True)
    ours: list[Measured] = []
    starts: list[float] = []
    with _registry(bench) as host:
        name = f"{host}/ours:1"
        bench.lapstrake(store, "tag", "bench/moving:1", name)
        bench.lapstrake(store, "push", "-q", name)
        for _ in range(bench.scale.rounds * 2):
            ours.append(bench.lapstrake(store, "push", "-q", name))
            starts.append(bench.lapstrake(store, "images", "-q").seconds)
    more = statistics.median(run.seconds for run in ours) - statistics.median(starts)
    bench.say(f"push again: {more * 1000:.0f} ms beyond `lapstrake images`")
    return line(
        "push of the same again, unchanged, less `lapstrake images`",
        more,
        _AGAIN_SECONDS,
        "what that may take",
        1,
        max(run.peak for run in ours),
    )


def _pulls(
    bench: Bench, tars: list[Path], compression: str, rounds: int
) -> tuple[list[Measured], list[float]]:
    ours: list[Measured] = []
    reference: list[float] = []
    with _registry(bench) as host:
        for kind in {compression, "gzip"}:
            layout = _layout(bench, tars, kind)
            _copy(f"oci:{layout}:1", f"docker://{host}/{kind}:1")
        gzipped = bench.place / "gzipped"
        shutil.rmtree(gzipped, ignore_errors=True)
        _copy(f"docker://{host}/gzip:1", f"oci:{gzipped}:1")
        copy = ("skopeo", "copy", "-q", "--src-tls-verify=false")
        for _ in range(rounds):
            with fresh_disk(bench.place, size=_DISK) as disk:
                ours.append(bench.lapstrake(disk / "s", "pull", "-q", f"{host}/{compression}:1"))
            with fresh_disk(bench.place, size=_DISK) as disk:
                source = f"docker://{host}/{compression}:1"
                seconds = measure([*copy, source, f"oci:{disk}/copied:1"]).seconds
                layout = disk / "copied" if compression == "gzip" else gzipped
                unpack = ("umoci", "unpack", "--image", f"{layout}:1", disk / "unpacked")
                seconds += measure(unpack).seconds
            reference.append(seconds)
            bench.say(f"pull: {ours[-1].seconds:.2f} s, skopeo and umoci: {seconds:.2f} s")
    return ours, reference


def _settle() -> None:
    """Let what is still to be written reach the disk: it is not the next one's work."""
    os.sync()


@contextmanager
def _registry(bench: Bench) -> Iterator[str]:
    """Serve an empty registry: what one copy has left there would spare the next its work."""
    place = bench.place / "registry"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    with docker_registry(place) as host:
        yield host


def _copy(source: str, target: str) -> None:
    # fmt: off
    subprocess.run(
        ["skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false",
         "--preserve-digests", source, target],
        check=True,
    )
    # fmt: on


def _loaded(bench: Bench, layout: Path) -> Path:
    """Return a store that holds the image of a layout, uncompressed."""
    store = bench.place / "loaded"
    if not store.exists():
        archive = bench.place / "layout.tar"
        with tarfile.open(archive, "w") as tar:
            for each in sorted(layout.iterdir()):
                tar.add(each, each.name)
        bench.lapstrake(store, "load", "-i", archive)
        archive.unlink()
        listed = subprocess.run(
            [bench.programs / "lapstrake", "--root", store, "images", "-q"],
            check=True,
            capture_output=True,
            text=True,
        )
        bench.lapstrake(store, "tag", listed.stdout.split()[0], "bench/moving:1")
    return store


def _tars(bench: Bench) -> list[Path]:
    """Return the layers as plain tars, the lowest first."""
    program, small = bench.place / "program.tar", bench.place / "small.tar"
    for path, source in ((program, bench.programs.parent), (small, Path(__file__))):
        if not path.exists():
            with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
                archive.add(source, f"opt/{path.stem}", filter=_of_root)
    return [debian_base(), program, small]


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def _layout(bench: Bench, tars: list[Path], compression: str) -> Path:
    """Return an OCI layout of an image with these layers, made when it is first needed."""
    layout = bench.place / f"layout-{compression}-{tars[0].stem}"
    if layout.exists():
        return layout
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)
    layers = [_layer(tar, compression, blobs) for tar in tars]
    config = {
        "architecture": "amd64",
        "os": "linux",
        # Parts of a second: who gives a time by hand gets layers that every machine makes alike, which takes longer.
        "created": "2024-01-01T00:00:00.123456Z",
        "config": {"Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(tar) for tar in tars]},
        "history": [{"created_by": tar.stem} for tar in tars],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _document(config, "application/vnd.oci.image.config.v1+json", blobs),
        "layers": layers,
    }
    described = _document(manifest, str(manifest["mediaType"]), blobs)
    described["annotations"] = {"org.opencontainers.image.ref.name": "1"}
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    return layout


def _layer(tar: Path, compression: str, blobs: Path) -> dict[str, object]:
    unnamed = blobs.parent / "new"
    match compression:
        case "gzip":
            deflate = zlib.compressobj(6, zlib.DEFLATED, 31)
            with tar.open("rb") as source, unnamed.open("wb") as target:
                while piece := source.read(_PIECE):
                    target.write(deflate.compress(piece))
                target.write(deflate.flush())
        case "zstd":
            subprocess.run(["zstd", "-q", "-3", tar, "-o", unnamed], check=True)
        case _:
            shutil.copy(tar, unnamed)
    digest, size = _digest(unnamed), unnamed.stat().st_size
    unnamed.rename(blobs / digest.partition(":")[2])
    suffix = "" if compression == "none" else f"+{compression}"
    return {"mediaType": _TYPE + suffix, "digest": digest, "size": size}


def _document(value: object, media_type: str, blobs: Path) -> dict[str, object]:
    data = json.dumps(value).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
