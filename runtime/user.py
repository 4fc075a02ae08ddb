"""Looks a user up in the files of a root file system, which are hostile, and never in the host's.

The rules are those of Docker: a number is a number and never a name; a named user, or a number that passwd knows, brings
its group and its supplementary groups; a number that passwd does not know runs with group 0; a group that is
named brings no others.
"""

from __future__ import annotations

import errno
import os

import msgspec

from runtime.beneath import read_beneath
from runtime.errors import StartFailed
from runtime.syscalls import Syscalls

_LARGEST_FILE = 10 * 1024 * 1024
_HIGHEST_ID = 2**32 - 2
_MOST_GROUPS = 65535
"""One less than the kernel takes: the own group is given once more among the others."""
_NAMES_SHOWN = 20


class User(msgspec.Struct, frozen=True):
    """Who runs a process; `home` is a path inside the root file system."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


class _Account(msgspec.Struct, frozen=True):
    name: bytes
    uid: int
    gid: int
    home: str


def find_user(root: int, wanted: str, *, syscalls: Syscalls | None = None) -> User:
    """Find `name|uid[:group|gid]` below the directory `root`; "" is user 0.

    Raises: StartFailed: there is no such user or group, a number is out of range, or a file cannot be used.
    """
    user_word, colon, group_word = wanted.partition(":")
    user_word = user_word or "0"
    if colon and not group_word:
        raise StartFailed(f"the user `{wanted}` names an empty group", exit_code=126)
    passwd = _read(root, "etc/passwd", syscalls)
    number = _number(user_word, "user")
    account = _find_account(passwd, user_word, number)
    if account is None and number is None:
        if user_word != "root" or passwd:
            raise _unknown("user", user_word, _names(passwd), "etc/passwd")
        number = 0
    uid = account.uid if account else number or 0
    gid = account.gid if account else 0
    home = account.home if account else "/"
    if not group_word and account is None:
        return User(uid, gid, (), home)
    lines = _read(root, "etc/group", syscalls)
    if group_word:
        return User(uid, _find_group(lines, group_word), (), home)
    assert account is not None
    return User(uid, gid, _supplementary(lines, account.name), home)


def _read(root: int, path: str, syscalls: Syscalls | None) -> list[list[bytes]]:
    try:
        data = read_beneath(root, path, _LARGEST_FILE, syscalls=syscalls)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            return []
        reason = {
            errno.EINVAL: "it is not a regular file",
            errno.EFBIG: f"it is larger than {_LARGEST_FILE} bytes",
        }.get(error.errno or 0, error.strerror)
        raise StartFailed(
            f"`/{path}` of the root file system cannot be used: {reason}", exit_code=126
        ) from error
    return [line.split(b":") for line in data.split(b"\n") if line and not line.startswith(b"#")]


def _number(word: str, what: str) -> int | None:
    """Return the id that a word stands for, or None when it is a name."""
    digits = word.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        return None
    if digits != word or len(word) > 10 or int(word) > _HIGHEST_ID:
        raise StartFailed(
            f"`{word[:40]}` is not a {what} id: ids go from 0 to {_HIGHEST_ID}", exit_code=126
        )
    return int(word)


def _id_of(field: bytes) -> int | None:
    """Return a field as an id, or None where it is none."""
    if not field.isdigit() or len(field) > 10 or int(field) > _HIGHEST_ID:
        return None
    return int(field)


def _find_account(lines: list[list[bytes]], word: str, number: int | None) -> _Account | None:
    name = os.fsencode(word)
    for fields in lines:
        if len(fields) < 4 or (number is None and fields[0] != name):
            continue
        uid, gid = _id_of(fields[2]), _id_of(fields[3])
        if number is not None and uid != number:
            continue
        if uid is None or gid is None:
            raise StartFailed(
                f"`/etc/passwd` of the root file system gives `{word[:40]}` no valid ids",
                exit_code=126,
            )
        home = fields[5].decode("utf-8", "surrogateescape") if len(fields) > 5 else ""
        return _Account(fields[0], uid, gid, home if home.startswith("/") else "/")
    return None


def _find_group(lines: list[list[bytes]], word: str) -> int:
    number = _number(word, "group")
    if number is not None:
        return number
    name = os.fsencode(word)
    for fields in lines:
        if len(fields) >= 3 and fields[0] == name:
            gid = _id_of(fields[2])
            if gid is None:
                raise StartFailed(
                    f"`/etc/group` of the root file system gives `{word[:40]}` no valid id",
                    exit_code=126,
                )
            return gid
    raise _unknown("group", word, _names(lines), "etc/group")


def _supplementary(lines: list[list[bytes]], name: bytes) -> tuple[int, ...]:
    groups = []
    for fields in lines:
        if len(fields) >= 4 and name in fields[3].split(b","):
            gid = _id_of(fields[2])
            if gid is not None:
                groups.append(gid)
    if len(unique := tuple(dict.fromkeys(groups))) > _MOST_GROUPS:
        raise StartFailed(
            f"`/etc/group` of the root file system has `{name.decode('utf-8', 'replace')[:40]}` in"
            f" {len(unique)} groups; the kernel takes at most {_MOST_GROUPS + 1}",
            exit_code=126,
        )
    return unique


def _names(lines: list[list[bytes]]) -> list[str]:
    return [
        fields[0].decode("utf-8", "replace")[:40] for fields in lines[:_NAMES_SHOWN] if fields[0]
    ]


def _unknown(what: str, word: str, names: list[str], path: str) -> StartFailed:
    note = (
        f"`/{path}` has: {', '.join(names)}"
        if names
        else f"the root file system has no `/{path}`, or an empty one"
    )
    return StartFailed(
        f"there is no {what} `{word[:40]}` in the root file system", exit_code=126, notes=(note,)
    )
