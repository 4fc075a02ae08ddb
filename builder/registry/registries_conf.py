"""`registries.conf`: where names lead, which are blocked, and what short names stand for. Texts in, values out.

Keys that nobody knows are passed over, as the other readers of this file do; what contradicts itself is refused.

Source: containers-registries.conf(5), containers-registries.conf.d(5).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import TypeVar

import msgspec

from builder.errors import ReferenceInvalid, RegistryError
from builder.oci.reference import HUB, HUB_API, Reference, is_short
from builder.registry import address
from builder.registry.endpoint import INSECURE, ORDINARY, Endpoint

Choice = TypeVar("Choice", bound=Enum)

AUTH_FILES = "containers-auth.json"
"""What stands for the files with credentials among `credential-helpers`."""

_SHIPPED = ("shortnames.conf", "000-shortnames.conf")
"""The list of well-known aliases that distributions ship; it counts only where short names are looked up at all."""


class Pull(Enum):
    """Which references a mirror is asked for."""

    ALL = "all"
    DIGEST = "digest-only"
    TAG = "tag-only"

    def covers(self, reference: Reference) -> bool:
        """Tell whether a reference is one of them."""
        return self is Pull.ALL or (self is Pull.DIGEST) == (reference.digest is not None)


class Mode(Enum):
    """What becomes of a short name that several registries may have."""

    ENFORCING = "enforcing"
    PERMISSIVE = "permissive"
    DISABLED = "disabled"


class Mirror(msgspec.Struct, frozen=True):
    """Another place with the same images."""

    location: str
    insecure: bool
    pull: Pull


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One `[[registry]]`: names that begin with `prefix` are at `location`, which is "" for "where they say"."""

    prefix: str
    location: str
    insecure: bool
    blocked: bool
    mirrors: tuple[Mirror, ...]
    file: str

    @property
    def leads_elsewhere(self) -> bool:
        """Whether images are fetched from other places than their names say."""
        return bool(self.mirrors) or self.location not in ("", self.prefix)

    def rest_of(self, name: str) -> str | None:
        """Return what follows the prefix in a canonical name, None if the name does not begin with it."""
        if self.prefix.startswith("*."):
            host, slash, path = name.partition("/")
            domain = _without_port(host)
            under = domain.endswith(self.prefix[1:]) and len(domain) > len(self.prefix) - 1
            return host[len(domain) :] + slash + path if under else None
        if not name.startswith(self.prefix):
            return None
        rest = name[len(self.prefix) :]
        # A port belongs to the host: `example.com` is not `example.com:5000`.
        separators = "/" if "/" not in self.prefix else "/:@"
        return rest if not rest or rest[0] in separators else None


class Aliased(msgspec.Struct, frozen=True):
    """What a short name stands for, "" for nothing any more, and the file that says so."""

    name: str
    file: str


class RegistriesConf(msgspec.Struct, frozen=True, kw_only=True):
    """What one file says, or several together; None is nothing."""

    rules: tuple[Rule, ...] = ()
    search: tuple[str, ...] | None = None
    search_file: str = ""
    mode: Mode | None = None
    aliases: tuple[tuple[str, Aliased], ...] = ()
    helpers: tuple[str, ...] | None = None

    def rule_for(self, reference: Reference) -> Rule | None:
        """Return the rule with the longest prefix of a reference's name."""
        name = reference.canonical()
        found = [rule for rule in self.rules if rule.rest_of(name) is not None]
        return max(found, key=lambda rule: len(rule.prefix), default=None)

    def names(self, short: str, reference: Reference) -> tuple[Reference, ...]:
        """Return what a name may mean, in order; `reference` is what Docker takes it for.

        `short` is the name as it was typed without a registry, or "" if it names one.

        Raises: ReferenceInvalid: several registries are searched, and the mode forbids to try them.
        """
        if not short:
            return (reference,)
        alias = dict(self.aliases).get(short)
        if alias is not None and alias.name and (self.search or not _is_shipped(alias.file)):
            return (_with_suffix(alias.name, reference),)
        if not self.search:
            return (reference,)
        found = tuple([_with_suffix(f"{host}/{short}", reference) for host in self.search])
        if self.mode is Mode.ENFORCING and len(found) > 1:
            raise ReferenceInvalid(
                f"`{short}` may be in several registries, which are not tried in turn",
                notes=(
                    f"`{self.search_file}` searches {', '.join(self.search)}",
                    "the mode of short names is `enforcing`",
                ),
                hint=f"write the registry: `{found[0].canonical()}`",
            )
        return found


def endpoints(rule: Rule, reference: Reference) -> tuple[Endpoint, ...]:
    """Return where a reference that a rule is about is fetched from, in order; the last is no mirror.

    Raises: RegistryError: `registry.blocked`; or a location makes no valid name of it.
    """
    check(rule, reference)
    found = [
        _endpoint(rule, mirror.location, reference, insecure=mirror.insecure, number=number)
        for number, mirror in enumerate(rule.mirrors, 1)
        if mirror.pull.covers(reference)
    ]
    return (*found, _endpoint(rule, rule.location, reference, insecure=rule.insecure))


def check(rule: Rule, reference: Reference) -> None:
    """Refuse a reference that a rule blocks.

    Raises: RegistryError: `registry.blocked`.
    """
    if rule.blocked:
        raise RegistryError(
            f"`{reference.familiar()}` is blocked by `{rule.file}`",
            code="registry.blocked",
            notes=(f"it blocks whatever begins with `{rule.prefix}`",),
            hint="take the image from another registry, or ask whoever keeps that file",
        )


def _endpoint(
    rule: Rule, location: str, reference: Reference, *, insecure: bool, number: int = 0
) -> Endpoint:
    rest = rule.rest_of(reference.canonical())
    assert rest is not None
    there = _placed(location + rest if location else reference.canonical(), rule)
    what = f"mirror {number}" if number else "location"
    return Endpoint(
        registry=there.registry,
        authority=HUB_API if there.registry == HUB else there.registry,
        repository=there.repository,
        tag=None if there.tag == reference.tag else there.tag,
        trust=INSECURE if insecure else ORDINARY,
        is_mirror=bool(number),
        why=f"{what} of `{rule.prefix}` in {rule.file}",
    )


def _placed(name: str, rule: Rule) -> Reference:
    """Read a name whose first component is a host, whatever it looks like."""
    host, _, rest = name.partition("/")
    try:
        there = Reference.parse(f"placeholder.invalid/{rest}")
    except ReferenceInvalid as error:
        raise RegistryError(
            f"`{rule.file}` makes `{name}` of an image's name, which is none",
            code="registry.config",
            notes=(error.message,),
        ) from error
    repository = there.repository
    if host == HUB and "/" not in repository:
        repository = f"library/{repository}"
    return Reference(host, repository, there.tag, there.digest)


def merged(files: Iterable[RegistriesConf]) -> RegistriesConf:
    """Put files together: lists of later ones replace earlier ones, rules and aliases replace those of their name."""
    rules: dict[str, Rule] = {}
    aliases: dict[str, Aliased] = {}
    whole = RegistriesConf()
    for each in files:
        rules.update({rule.prefix: rule for rule in each.rules})
        aliases.update(each.aliases)
        has_search = each.search is not None
        whole = RegistriesConf(
            search=each.search if has_search else whole.search,
            search_file=each.search_file if has_search else whole.search_file,
            mode=each.mode or whole.mode,
            helpers=each.helpers if each.helpers is not None else whole.helpers,
        )
    return msgspec.structs.replace(
        whole, rules=tuple(rules.values()), aliases=tuple(aliases.items())
    )


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


def _with_suffix(name: str, reference: Reference) -> Reference:
    found = Reference.parse(name)
    return Reference(found.registry, found.repository, reference.tag, reference.digest)


def _is_shipped(path: str) -> bool:
    return path.rpartition("/")[2] in _SHIPPED


def _is_host(text: str) -> bool:
    try:
        Reference.parse(f"{text}/x")
    except ReferenceInvalid:
        return False
    return True


def _without_port(host: str) -> str:
    return host if host.endswith("]") else host.rpartition(":")[0] or host


def _wrong(path: str, fact: str) -> RegistryError:
    return RegistryError(
        f"`{path}` is not understood",
        code="registry.config",
        notes=(fact,),
        hint="correct the file, as in containers-registries.conf(5)",
    )
