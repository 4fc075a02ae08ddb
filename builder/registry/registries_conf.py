"""`registries.conf` as a file: its two forms, read into rules. Texts in, values out.

Keys that nobody knows are passed over, as the other readers of this file do; what contradicts itself is refused.

Source: containers-registries.conf(5), containers-registries.conf.d(5).
"""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

import msgspec

from builder.errors import ReferenceInvalid, RegistryError
from builder.oci.reference import Reference, is_short
from builder.registry import address
from builder.registry.rules import Aliased, Mirror, Mode, Pull, RegistriesConf, Rule

Choice = TypeVar("Choice", bound=Enum)

AUTH_FILES = "containers-auth.json"
"""What stands for the files with credentials among `credential-helpers`."""


class _MirrorWire(msgspec.Struct, rename="kebab"):
    location: str = ""
    insecure: bool = False
    pull_from_mirror: str = ""


class _RegistryWire(msgspec.Struct, rename="kebab"):
    prefix: str = ""
    location: str = ""
    insecure: bool = False
    blocked: bool = False
    mirror_by_digest_only: bool = False
    mirror: list[_MirrorWire] = []
    pull_from_mirror: str = ""


class _ListWire(msgspec.Struct):
    registries: list[str] = []


class _OldWire(msgspec.Struct):
    search: _ListWire = msgspec.field(default_factory=_ListWire)
    insecure: _ListWire = msgspec.field(default_factory=_ListWire)
    block: _ListWire = msgspec.field(default_factory=_ListWire)


class _Wire(msgspec.Struct, rename="kebab"):
    registry: list[_RegistryWire] = []
    unqualified_search_registries: list[str] | None = None
    short_name_mode: str = ""
    credential_helpers: list[str] | None = None
    aliases: dict[str, str] = {}
    registries: _OldWire | None = None


def parse(path: str, text: str) -> RegistriesConf:
    """Read one file; `path` is named where something is wrong with it.

    Raises: RegistryError: `registry.config`.
    """
    try:
        wire = msgspec.toml.decode(text, type=_Wire)
    except (ValueError, RecursionError) as error:
        raise _wrong(path, str(error)[:300]) from None
    if wire.registries is not None:
        wire = _of_old(path, wire, wire.registries)
    search = wire.unqualified_search_registries
    if search is not None:
        search = [_location(path, each) for each in search]
        for host in search:
            if "/" in host or not _is_host(host):
                raise _wrong(path, f"`{host}` in `unqualified-search-registries` is not a host")
    rules = tuple([_rule(path, each) for each in wire.registry])
    _check_same(path, rules)
    first = {rule.prefix: rule for rule in reversed(rules)}
    return RegistriesConf(
        rules=tuple(first.values()),
        search=None if search is None else tuple(search),
        search_file=path,
        mode=_one_of(path, "short-name-mode", Mode, wire.short_name_mode),
        aliases=tuple([(name, _alias(path, name, to)) for name, to in wire.aliases.items()]),
        helpers=None if wire.credential_helpers is None else tuple(wire.credential_helpers),
    )


def _of_old(path: str, wire: _Wire, old: _OldWire) -> _Wire:
    """Return what the first form of the file says in the words of the second."""
    if wire.registry or wire.unqualified_search_registries is not None:
        raise _wrong(path, "it mixes the tables `[registries.…]` with the newer `[[registry]]`")
    hosts = dict.fromkeys((*old.insecure.registries, *old.block.registries))
    return _Wire(
        registry=[
            _RegistryWire(
                location=host,
                insecure=host in old.insecure.registries,
                blocked=host in old.block.registries,
            )
            for host in hosts
        ],
        unqualified_search_registries=old.search.registries,
    )


def _rule(path: str, wire: _RegistryWire) -> Rule:
    location = _location(path, wire.location)
    prefix = _location(path, wire.prefix) or location
    if not prefix:
        raise _wrong(path, "a `[[registry]]` has neither `prefix` nor `location`")
    if prefix.startswith("*."):
        if any(character in prefix for character in "/@:"):
            raise _wrong(path, f"the prefix `{prefix}` is not of the form `*.example.com`")
    elif not location:
        raise _wrong(path, f"the `[[registry]]` of `{prefix}` has no `location`")
    if wire.pull_from_mirror:
        raise _wrong(path, f"`pull-from-mirror` of `{prefix}` belongs to its mirrors")
    mirrors = tuple([_mirror(path, wire, each) for each in wire.mirror])
    return Rule(
        prefix=prefix,
        location=location,
        insecure=wire.insecure,
        blocked=wire.blocked,
        mirrors=mirrors,
        file=path,
    )


def _mirror(path: str, registry: _RegistryWire, wire: _MirrorWire) -> Mirror:
    location = _location(path, wire.location)
    if not location:
        raise _wrong(path, "a `[[registry.mirror]]` has no `location`")
    if registry.mirror_by_digest_only and wire.pull_from_mirror:
        raise _wrong(
            path, f"`{location}` has `pull-from-mirror`, its registry `mirror-by-digest-only`"
        )
    pull = _one_of(path, "pull-from-mirror", Pull, wire.pull_from_mirror) or Pull.ALL
    return Mirror(location, wire.insecure, Pull.DIGEST if registry.mirror_by_digest_only else pull)


def _check_same(path: str, rules: tuple[Rule, ...]) -> None:
    """Refuse rules that say of one location that it is, and that it is not, to be trusted."""
    by_location: dict[str, Rule] = {}
    for rule in rules:
        other = by_location.setdefault(rule.location or rule.prefix, rule)
        for key in ("insecure", "blocked"):
            if getattr(rule, key) != getattr(other, key):
                raise _wrong(path, f"`{rule.location}` stands there with and without `{key}`")


def _alias(path: str, name: str, to: str) -> Aliased:
    bare = "/" in to and not is_short(to) and "@" not in to and ":" not in to.rpartition("/")[2]
    if to and not bare:
        raise _wrong(
            path, f"the alias `{name}` stands for `{to}`, which is no name with a registry"
        )
    if ":" in name or "@" in name or not is_short(name):
        raise _wrong(path, f"the alias `{name}` is not a short name")
    return Aliased(to, path)


def _location(path: str, text: str) -> str:
    location = text.rstrip("/")
    if "://" in location:
        raise _wrong(path, f"`{text}` has a scheme, which is not supported there")
    host, slash, rest = location.partition("/")
    if host and not address.is_authority(host.removeprefix("*.")):
        raise _wrong(path, f"`{host.rpartition('@')[2][:100]}` is not a host")
    return host.lower() + slash + rest


def _one_of(path: str, key: str, kind: type[Choice], text: str) -> Choice | None:
    if not text:
        return None
    for each in kind:
        if each.value == text:
            return each
    known = ", ".join(str(each.value) for each in kind)
    raise _wrong(path, f"`{key}` is `{text}`; it can be {known}")


def _is_host(text: str) -> bool:
    try:
        Reference.parse(f"{text}/x")
    except ReferenceInvalid:
        return False
    return True


def _wrong(path: str, fact: str) -> RegistryError:
    return RegistryError(
        f"`{path}` is not understood",
        code="registry.config",
        notes=(fact,),
        hint="correct the file, as in containers-registries.conf(5)",
    )
