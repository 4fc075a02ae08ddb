"""What is noise in which a file may differ, and what is not."""

from __future__ import annotations

import gzip
import importlib.util
import io
import os
import py_compile
from pathlib import Path

import msgspec
import pytest

from builder.layer.entry import Entry, Kind
from builder.layer.noise import GZIP, KINDS, LDCONFIG, LOGS, PYC, kind_of, only_noise

OLD = Entry(b"x", Kind.FILE, 0o644, digest=b"1" * 32, size=9)
NEW = msgspec.structs.replace(OLD, digest=b"2" * 32)


def at(path: str, **changes: object) -> tuple[Entry, Entry]:
    old = msgspec.structs.replace(OLD, path=path.encode())
    return old, msgspec.structs.replace(old, digest=b"2" * 32, **changes)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("usr/share/man/a.gz", GZIP),
        ("a.tgz", GZIP),
        ("lib/m/__pycache__/a.cpython-311.pyc", PYC),
        ("etc/ld.so.cache", LDCONFIG),
        ("var/cache/ldconfig/aux-cache", LDCONFIG),
        ("var/log/dpkg.log", LOGS),
        ("var/log/apt/term.log", LOGS),
        ("var/log/alternatives.log", LOGS),
        ("var/log/dnf.rpm.log", LOGS),
        ("var/log/app.log", None),
        ("srv/var/log/dpkg.log", None),
        ("var/log/apt/deep/term.log", None),
        ("home/etc/ld.so.cache", None),
        ("a.py", None),
    ],
)
def test_noise_is_known_by_its_place(path: str, kind: str | None) -> None:
    assert kind_of(*at(path), KINDS) == kind
    others = tuple(each for each in KINDS if each != kind)
    assert kind_of(*at(path), others) is None


@pytest.mark.parametrize("path", ["var/log/dpkg.log", "a.gz", "a.pyc"])
def test_what_differs_in_anything_but_its_data_is_more_than_noise(path: str) -> None:
    old, new = at(path)
    assert kind_of(None, new, KINDS) is None
    assert kind_of(old, None, KINDS) is None
    assert kind_of(*at(path, mode=0o600), KINDS) is None
    assert kind_of(*at(path, uid=5), KINDS) is None
    assert kind_of(*at(path, xattrs=((b"user.a", b"b"),)), KINDS) is None
    assert kind_of(*at(path, kind=Kind.SYMLINK), KINDS) is None


def test_logs_may_have_another_size_and_archives_may_not() -> None:
    assert kind_of(*at("var/log/dpkg.log", size=5), KINDS) == LOGS
    assert kind_of(*at("a.gz", size=5), KINDS) is None


def same(before: bytes, after: bytes, kind: str) -> bool:
    return only_noise(io.BytesIO(before), io.BytesIO(after), kind)


def test_gzip_files_of_two_times_are_the_same() -> None:
    one = gzip.compress(b"text" * 1000, mtime=1)
    assert same(one, gzip.compress(b"text" * 1000, mtime=2), GZIP)
    assert not same(one, gzip.compress(b"texT" * 1000, mtime=2), GZIP)
    assert not same(one, one + b"more", GZIP)
    assert not same(one + b"more", one, GZIP)


def test_what_is_no_gzip_is_not_judged_by_its_name() -> None:
    assert not same(b"text 1234 text", b"text 5678 text", GZIP)
    assert not same(b"", b"x", GZIP)


def compiled(directory: Path, text: str, time: int, mode: str) -> bytes:
    source, target = directory / "m.py", directory / "m.pyc"
    source.write_text(text)
    os.utime(source, (time, time))
    py_compile.compile(
        str(source),
        str(target),
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode[mode],
    )
    return target.read_bytes()


def test_compiled_python_of_two_times_is_the_same(tmp_path: Path) -> None:
    one = compiled(tmp_path, "a = 1\n", 1000, "TIMESTAMP")
    assert one[:4] == importlib.util.MAGIC_NUMBER
    assert same(one, compiled(tmp_path, "a = 1\n", 2000, "TIMESTAMP"), PYC)
    assert not same(one, compiled(tmp_path, "a = 2\n", 2000, "TIMESTAMP"), PYC)


def test_compiled_python_that_goes_by_a_digest_is_compared_whole(tmp_path: Path) -> None:
    one = compiled(tmp_path, "a = 1\n", 1000, "CHECKED_HASH")
    other = one[:8] + b"otherone" + one[16:]
    assert not same(one, other, PYC)
    assert not same(b"short", b"short", PYC)
