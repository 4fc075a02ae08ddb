"""Certificates that a step trusts and that its layer must not keep.

    into/etc/ssl/certs/ca-certificates.crt            the image's own, with ours at the end
    into/usr/local/share/ca-certificates/lapstrake-…  where `update-ca-certificates` looks, so that an update keeps ours

`into` becomes a layer of its own between the image and what the step writes: programs may read, append to, replace
and remove these files as any others. Afterwards ours is taken out of whatever the step made of them.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable

import msgspec

from builder.layer import attributes
from builder.layer.certificates import (
    added,
    anchor_name,
    is_key_store,
    key_store_without,
    pem,
    read_certificates,
    without,
    without_ours,
)
from builder.layer.deep import DIRECTORY, Names, files_below, opened
from builder.layer.lowers import Lowers

DEFAULT_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
BUNDLES = (
    DEFAULT_BUNDLE,
    "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/ca-bundle.pem",
    "etc/ssl/cert.pem",
    "etc/ca-certificates/extracted/tls-ca-bundle.pem",
    "var/lib/ca-certificates/ca-bundle.pem",
)
"""Where distributions keep what is trusted, as one text."""

_ANCHORS = (
    ("usr/local/share/ca-certificates", ("etc/debian_version", "etc/alpine-release", "etc/apt")),
    ("etc/pki/ca-trust/source/anchors", ("etc/redhat-release", "etc/pki/ca-trust")),
    ("etc/pki/trust/anchors", ("usr/share/pki/trust", "etc/SuSE-release")),
    ("etc/ca-certificates/trust-source/anchors", ("etc/ca-certificates/trust-source",)),
)
"""Where a distribution takes further certificates from, and what tells that it is that one."""

_DERIVED = (
    "etc/pki/ca-trust/extracted",
    "etc/ca-certificates/extracted",
    "var/lib/ca-certificates",
)
"""Where a distribution writes anew, in its own form, what it trusts."""

_SOURCES = ("usr/share/pki", "usr/share/ca-certificates/trust-source", "etc/pki/ca-trust/source")
"""What such a distribution makes that of."""

_KEY_STORES = ("etc/ssl/certs/java/cacerts", "etc/pki/ca-trust/extracted/java/cacerts")
_JAVA_HOMES = ("usr/lib/jvm", "opt/java", "opt/jdk")
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""What OpenSSL calls the link to a certificate."""

_LARGEST = 32 << 20
"""Bytes of a file that may hold certificates."""


_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Report = Callable[[object], object]


class PrepareTrust(msgspec.Struct, frozen=True, kw_only=True):
    """Fill the empty directory `into` for a step above `lowers`, host paths, the topmost first."""

    lowers: tuple[str, ...]
    into: str
    certificates: tuple[bytes, ...]


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What a step is shown: the path of a bundle, what the image's own holds, and whether there is a Java.

    `new` are paths that the image lacks, `own` those certificates that it has itself.
    """

    bundle: str
    text: bytes
    java: bool
    new: tuple[str, ...]
    own: tuple[bytes, ...]


class StripTrust(msgspec.Struct, frozen=True, kw_only=True):
    """Take the certificates out of what a step wrote to `upper`; `new` and `own` are as they were prepared.

    What has not changed after `since`, in nanoseconds since the epoch, is passed over.
    """

    upper: str
    certificates: tuple[bytes, ...]
    new: tuple[str, ...]
    own: tuple[bytes, ...]
    since: int = 0


def prepare_trust(arguments: object, fds: tuple[int, ...], report: Report) -> object:
    """Do `PrepareTrust`, as a job.

    Returns: `Prepared` as a dictionary.
    """
    del fds, report
    request = msgspec.convert(arguments, PrepareTrust)
    image = Lowers(request.lowers)
    try:
        return msgspec.to_builtins(_Preparation(image, request).run())
    finally:
        image.close()


def strip_trust(arguments: object, fds: tuple[int, ...], report: Report) -> object:
    """Do `StripTrust`, as a job.

    Returns: paths of files that hold one of the certificates still.
    """
    del fds, report
    request = msgspec.convert(arguments, StripTrust)
    root = os.open(request.upper, DIRECTORY)
    try:
        return _Stripping(root, request).run()
    finally:
        os.close(root)


class _Preparation:
    def __init__(self, image: Lowers, request: PrepareTrust) -> None:
        self._image = image
        self._into = request.into
        self._certificates = request.certificates
        self._new: list[str] = []

    def run(self) -> Prepared:
        self._image.copy_root(self._into)
        own: set[bytes] = set()
        bundle, first = "", b""
        for path in BUNDLES:
            text = self._read(path)
            if text is None:
                continue
            if not bundle:
                bundle, first = path, text
            own.update(set(read_certificates(text)).intersection(self._certificates))
            self._write(path, added(text, self._certificates))
        if not bundle and self._image.find(os.fsencode(DEFAULT_BUNDLE)) is None:
            bundle = DEFAULT_BUNDLE
            self._write(bundle, added(b"", self._certificates))
        for directory, signs in _ANCHORS:
            if any(self._image.find(os.fsencode(sign)) is not None for sign in signs):
                for each in (each for each in self._certificates if each not in own):
                    self._write(f"{directory}/{anchor_name(each)}", pem(each))
        self._finish()
        return Prepared(
            bundle=bundle, text=first, java=self._java(), new=tuple(self._new), own=tuple(own)
        )

    def _read(self, path: str) -> bytes | None:
        """Return a regular file of the image, None if there is none."""
        name = os.fsencode(path)
        index = self._image.find(name)
        if index is None or not stat.S_ISREG(self._image.status(index, name).st_mode):
            return None
        with open(self._image.open(index, name), "rb") as file:
            data = file.read(_LARGEST + 1)
        return data if len(data) <= _LARGEST else None

    def _write(self, path: str, data: bytes) -> None:
        """Write a file with the attributes that the image's has."""
        self._make_directories(path.rpartition("/")[0])
        place = f"{self._into}/{path}"
        with open(place, "xb") as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o644)
        name = os.fsencode(path)
        index = self._image.find(name)
        if index is None:
            self._new.append(path)
            return
        _copy_attributes(self._image, index, name, place)

    def _make_directories(self, path: str) -> None:
        made = ""
        for name in path.split("/"):
            made = f"{made}/{name}" if made else name
            try:
                os.mkdir(f"{self._into}/{made}", 0o755)
            except FileExistsError:
                continue
            if not self._image.directory(os.fsencode(made)):
                self._new.append(made)

    def _finish(self) -> None:
        """Give directories the attributes that the image's have, now that nothing is made in them any more."""
        for folder, _, _ in os.walk(self._into, topdown=False):
            path = os.fsencode(os.path.relpath(folder, self._into))
            found = self._image.directory(path) if path != b"." else ()
            if found:
                _copy_attributes(self._image, found[0], path, folder)
        self._image.copy_root(self._into)

    def _java(self) -> bool:
        return any(
            self._image.find(os.fsencode(path)) is not None for path in (*_KEY_STORES, *_JAVA_HOMES)
        )


def _copy_attributes(image: Lowers, index: int, path: bytes, place: str) -> None:
    status = image.status(index, path)
    origin = image.open(index, path)
    target = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(target, status.st_uid, status.st_gid)
        os.fchmod(target, status.st_mode & 0o7777)
        attributes.write(target, attributes.read(origin, attributes.names(origin)))
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    finally:
        os.close(target)
        os.close(origin)


class _Stripping:
    def __init__(self, root: int, request: StripTrust) -> None:
        self._root = root
        self._certificates = frozenset(request.certificates)
        self._kept = set(request.own)
        self._new = request.new
        self._since = request.since
        self._ours = tuple(anchor_name(each).removesuffix(".crt") for each in self._certificates)
        self._left: list[str] = []
        self._orphans: dict[Names, str] = {}
        self._others: dict[Names, Names] = {}
        self._read_already: dict[Names, set[str]] = {}

    def run(self) -> list[str]:
        for path in sorted(self._new, key=len, reverse=True):
            self._remove_whiteout(path)
        texts: list[Names] = []
        for names, status in files_below(self._root):
            if status.st_ctime_ns < self._since:
                continue
            if names[-1].startswith(self._ours):
                self._remove(names)
            elif stat.S_ISLNK(status.st_mode):
                self._look_at_link(names)
            elif stat.S_ISREG(status.st_mode):
                if _is_below(names, _SOURCES):
                    self._kept.update(read_certificates(self._read(names)))
                texts.append(names)
        for names in texts:
            self._strip(names)
        self._replace_links()
        return sorted(self._left)

    def _look_at_link(self, names: Names) -> None:
        """Remove a link to one of ours; note which links lead to other certificates, by what they are called."""
        with opened(self._root, names[:-1]) as directory:
            target = os.readlink(names[-1], dir_fd=directory)
        last = target.rpartition("/")[2]
        if last.startswith(self._ours):
            self._remove(names)
            if _HASHED.fullmatch(names[-1]):
                self._orphans[names] = last.rpartition(".")[0]
        elif names[-1].endswith(".pem") and target.startswith("/"):
            self._others[names] = tuple(target.strip("/").split("/"))

    def _replace_links(self) -> None:
        """Give the links that OpenSSL finds certificates by to equal ones, which had none beside ours."""
        for names, ours in self._orphans.items():
            for other, origin in self._others.items():
                if other[:-1] == names[:-1] and self._is_equal(origin, ours):
                    with opened(self._root, names[:-1]) as directory:
                        os.symlink(other[-1], names[-1], dir_fd=directory)
                    break

    def _is_equal(self, origin: Names, ours: str) -> bool:
        if origin not in self._read_already:
            try:
                found = read_certificates(self._read(origin))
            except OSError:  # not of this step
                found = ()
            self._read_already[origin] = {anchor_name(each)[:-4] for each in found}
        return ours in self._read_already[origin]

    def _read(self, names: Names) -> bytes:
        with opened(self._root, names[:-1]) as directory:
            descriptor = os.open(names[-1], os.O_RDONLY | _FILE, dir_fd=directory)
        with open(descriptor, "rb") as file:
            if os.fstat(descriptor).st_size > _LARGEST:
                return b""
            return file.read()

    def _strip(self, names: Names) -> None:
        data = self._read(names)
        derived = _is_below(names, _DERIVED)
        gone = self._certificates - self._kept if derived else self._certificates
        if is_key_store(data):
            stripped = key_store_without(data, gone, named=not derived)
            if stripped is None and any(each in data for each in gone):
                self._left.append("/".join(("", *names)))
        elif b"CERTIFICATE-----" in data:
            stripped = without(data, gone) if derived else without_ours(data, gone)
        else:
            return
        if stripped is not None and stripped != data:
            self._replace(names, stripped)

    def _replace(self, names: Names, data: bytes) -> None:
        """Write in place: the file may have several names; its times are those that the step gave it."""
        with opened(self._root, names[:-1]) as directory:
            descriptor = os.open(names[-1], os.O_WRONLY | _FILE, dir_fd=directory)
        with open(descriptor, "wb") as file:
            status = os.fstat(descriptor)
            file.truncate(0)
            file.write(data)
            file.flush()
            os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _remove(self, names: Names) -> None:
        with opened(self._root, names[:-1]) as directory:
            status = os.fstat(directory)
            os.unlink(names[-1], dir_fd=directory)
            os.utime(directory, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _remove_whiteout(self, path: str) -> None:
        """Forget that the step removed what the image never had."""
        names = tuple(path.split("/"))
        try:
            with opened(self._root, names[:-1]) as directory:
                status = os.stat(names[-1], dir_fd=directory, follow_symlinks=False)
        except OSError:
            return
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            self._remove(names)


def _is_below(names: Names, directories: tuple[str, ...]) -> bool:
    path = "/".join(names)
    return any(path.startswith(f"{each}/") for each in directories)
