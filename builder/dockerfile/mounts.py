"""`RUN --mount` and `RUN --device`: fields separated by commas, their keys and values checked.

        --mount=type=cache,id=pip,target=/root/.cache,sharing=locked

A value that holds a variable is checked once the variable is known.

Source: Docker's reference, "RUN --mount"; moby/buildkit, frontend/dockerfile/instructions (behaviour, not code).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from builder.diagnostics import SourceFile
from builder.dockerfile import rootpaths, suggest
from builder.dockerfile.fields import Field, fields, mistake
from builder.dockerfile.instructions import Flag, Word
from builder.errors import DockerfileError

BIND, CACHE, TMPFS, SECRET, SSH = "bind", "cache", "tmpfs", "secret", "ssh"
TYPES = (BIND, CACHE, TMPFS, SECRET, SSH)
SHARINGS = ("shared", "private", "locked")

_ALIASES = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "ro": "readonly",
    "rw": "readwrite",
}
_KEYS = (
    *("type", "from", "source", "target", "readonly", "readwrite", "id", "sharing", "required"),
    *("size", "mode", "uid", "gid", "env", *_ALIASES),
)
_ONLY_FOR = {
    "required": (SECRET, SSH),
    "size": (TMPFS,),
    "sharing": (CACHE,),
    "mode": (CACHE, SECRET, SSH),
    "uid": (CACHE, SECRET, SSH),
    "gid": (CACHE, SECRET, SSH),
}
_NOT_FOR = {"from": (SECRET,), "source": (SSH,)}
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}
_MOST_DIGITS = 18

Expand = Callable[[Word], str]


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """One mount of a RUN; "" and None are what is not given, `size` is in bytes.

    `env` is the variable that a secret is given in, "" for one of the secret's name.
    """

    type: str = BIND
    from_: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = True
    id: str = ""
    sharing: str = ""
    required: bool = False
    size: int = 0
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    env: str | None = None


class Device(msgspec.Struct, frozen=True):
    """One device of a RUN, by its name in the container device interface."""

    name: str
    required: bool


def origin(flag: Flag, source: SourceFile) -> Word | None:
    """Return the stage or image that a mount is taken from, None for the context or nothing.

    Raises: DockerfileError: the fields cannot be told apart, or the name holds a variable.
    """
    found: Word | None = None
    for field in fields(flag, source):
        if field.key.text.lower() != "from" or field.value is None:
            continue
        at = field.value.text.find("$")
        if 0 <= at < len(field.value.text) - 1:
            raise DockerfileError(
                "`from` of `--mount` takes no variables",
                span=field.value.span,
                source=source,
                hint="name the image in a stage of its own, `FROM $IMAGE AS NAME`, and mount from that",
            )
        found = field.value if field.value.text else None
    return found


def read_mount(flag: Flag, source: SourceFile, expand: Expand | None = None) -> Mount:
    """Return what a `--mount` asks for.

    Without `expand`, values that hold a variable count as not given.

    Raises: DockerfileError: a key or value is unknown or impossible, or not for this type.
    """
    return _MountReader(flag, source, expand).read()


def check_target(mount: Mount, flag: Flag, directory: str, source: SourceFile) -> None:
    """Check that a mount has a place of its own: without a target it is on the working directory.

    Raises: DockerfileError: that is the root.
    """
    if mount.type in (SECRET, SSH) or rootpaths.join(directory, mount.target) != "/":
        return
    raise mistake(
        flag.word,
        "the mount has no target, and the working directory is `/`"
        if not mount.target
        else f"`{mount.target}` is `/` here, where nothing can be mounted",
        source,
        hint="write `target=PATH`, with a path below `/`",
    )


def read_device(flag: Flag, source: SourceFile) -> Device:
    """Return what a `--device` asks for.

    Raises: DockerfileError: it has no name, or an unknown key.
    """
    name = ""
    required = False
    for field in fields(flag, source):
        key = field.key.text.lower()
        if key == "required":
            required = field.value is None or _switch(field, field.value.text, source)
        elif key == "name" and field.value is not None:
            if name:
                raise mistake(field.whole, f"the device is named already, `{name[:100]}`", source)
            name = field.value.text
        elif not name:
            name = field.whole.text
        else:
            raise _unknown_key(field, ("name", "required"), source)
    if not name:
        raise mistake(flag.word, "the device has no name", source, hint="write `--device=NAME`")
    return Device(name, required)


class _MountReader:
    def __init__(self, flag: Flag, source: SourceFile, expand: Expand | None) -> None:
        self.flag = flag
        self.source = source
        self.expand = expand
        self.type: str | None = BIND
        self.given: dict[str, str] = {}
        self.words: dict[str, Word] = {}
        self.deferred = False

    def read(self) -> Mount:
        for field in fields(self.flag, self.source):
            self._take(field)
        self._check_type()
        if self.type == SECRET:
            self._check_secret()
        target = self._text("target")
        if target.startswith("/") and rootpaths.clean(target) == "/":
            raise self._refused("target", "nothing can be mounted on `/`")
        kind = self.type or BIND
        return Mount(
            type=kind,
            from_=self._text("from"),
            source=self._text("source"),
            target=self._text("target"),
            read_only=self._read_only(kind),
            id=self._text("id"),
            sharing=self._text("sharing").lower(),
            required=self.given.get("required") in _TRUE,
            size=self._size(),
            mode=self._number("mode", 8),
            uid=self._number("uid", 10),
            gid=self._number("gid", 10),
            env=self.given.get("env"),
        )

    def _take(self, field: Field) -> None:
        key = field.key.text.lower()
        key = _ALIASES.get(key, key)
        if field.key.text.lower() not in _KEYS:
            raise _unknown_key(field, _KEYS, self.source)
        only_for = ("required", "size")
        if key in only_for and self.type is not None and self.type not in _ONLY_FOR[key]:
            raise self._not_for(key, field.whole)
        if field.value is None:
            if key not in ("readonly", "readwrite", "required"):
                raise mistake(
                    field.whole,
                    f"`{key}` of `--mount` has no value",
                    self.source,
                    hint=f"write `{key}=VALUE`",
                )
            value: str | None = "true"
        else:
            value = self._value(field.value)
        self.words[key] = field.value or field.whole
        if value is None:
            self.deferred = True
            self.given.pop(key, None)
            if key == "type":
                self.type = None
            return
        self._check_value(field, key, value)
        self.given[key] = value
        if key == "type":
            self.type = value.lower()
        elif key in ("readonly", "readwrite"):
            self.given.pop("readwrite" if key == "readonly" else "readonly", None)

    def _value(self, word: Word) -> str | None:
        if self.expand is not None:
            return self.expand(word)
        return None if any(char in word.text for char in "$\\`'\"") else word.text

    def _check_value(self, field: Field, key: str, value: str) -> None:
        choices: Mapping[str, tuple[str, ...]] = {"type": TYPES, "sharing": SHARINGS}
        word = field.value or field.whole
        if key in choices and value.lower() not in choices[key]:
            listed = ", ".join(f"`{choice}`" for choice in choices[key])
            raise mistake(
                word,
                f"`{value[:60]}` is no `{key}` of `--mount`",
                self.source,
                notes=(f"it is one of {listed}",),
                hint=suggest.hint(value.lower(), choices[key]),
            )
        if key in ("readonly", "readwrite", "required") and field.value is not None:
            _switch(field, value, self.source)

    def _check_type(self) -> None:
        if self.type is None:
            return
        for key, types in _ONLY_FOR.items():
            if key in self.words and self.type not in types:
                raise self._not_for(key, self.words[key])
        for key, types in _NOT_FOR.items():
            if self._text(key) and self.type in types:
                raise self._not_for(key, self.words[key])

    def _check_secret(self) -> None:
        if self._text("source") and self._text("id"):
            raise self._refused("id", "a secret is named by `id` or `source`, not by both")
        named = any(self._text(key) for key in ("id", "source", "target"))
        if not named and not self.deferred:
            raise mistake(
                self.flag.word,
                "the secret has no name",
                self.source,
                hint="name it with `id=NAME`",
            )

    def _not_for(self, key: str, word: Word) -> DockerfileError:
        types = _ONLY_FOR.get(key) or tuple(kind for kind in TYPES if kind not in _NOT_FOR[key])
        listed = ", ".join(f"`{kind}`" for kind in types)
        later = key in ("required", "size") and "type" not in self.words
        return mistake(
            word,
            f"`{key}` is not for mounts of the type `{self.type}`",
            self.source,
            notes=(f"it is for {listed}",),
            hint=f"write `type={types[0]}` before it" if later else "remove it",
        )

    def _refused(self, key: str, message: str, hint: str | None = None) -> DockerfileError:
        return mistake(self.words[key], message, self.source, hint=hint)

    def _text(self, key: str) -> str:
        return self.given.get(key, "")

    def _read_only(self, kind: str) -> bool:
        if "readonly" in self.given:
            return self.given["readonly"] in _TRUE
        if "readwrite" in self.given:
            return self.given["readwrite"] in _FALSE
        return kind not in (CACHE, TMPFS)

    def _number(self, key: str, base: int) -> int | None:
        text = self.given.get(key)
        if text is None:
            return None
        digits = "01234567" if base == 8 else "0123456789"
        short = text.lstrip("0") or text[-1:]
        number = int(short, base) if 0 < len(short) <= 12 and set(short) <= set(digits) else -1
        if not 0 <= number < 1 << 32:
            example = "0700" if base == 8 else "1000"
            raise self._refused(
                key, f"`{text[:60]}` is no `{key}` of `--mount`", f"write it like `{key}={example}`"
            )
        return number

    def _size(self) -> int:
        text = self.given.get("size")
        if text is None:
            return 0
        digits = text[: len(text) - len(text.lstrip("0123456789."))]
        unit = text[len(digits) :].removeprefix(" ").lower()
        factor = unit.removesuffix("b").removesuffix("i") if unit != "ib" else unit
        whole, _, part = digits.partition(".")
        number = whole + part
        if not (number.isdecimal() and len(number) <= _MOST_DIGITS) or (
            factor not in _UNITS or unit.endswith("i")
        ):
            raise self._refused(
                "size", f"`{text[:60]}` is no size", "write it like `size=64m` or `size=1g`"
            )
        scale: int = 10 ** len(part)
        return (int(number) << _UNITS[factor]) // scale


def _switch(field: Field, value: str, source: SourceFile) -> bool:
    if value not in _TRUE | _FALSE:
        raise mistake(
            field.value or field.whole,
            f"`{field.key.text}` is true or false, not `{value[:60]}`",
            source,
        )
    return value in _TRUE


def _unknown_key(field: Field, known: tuple[str, ...], source: SourceFile) -> DockerfileError:
    if not field.whole.text:
        return mistake(field.whole, "a field is empty", source, hint="remove one of the commas")
    listed = ", ".join(f"`{key}`" for key in known if key not in _ALIASES)
    return mistake(
        field.key,
        f"unknown key `{field.key.text[:60]}`",
        source,
        notes=(f"the keys are {listed}",),
        hint=suggest.hint(field.key.text.lower(), known),
    )
