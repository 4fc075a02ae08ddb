"""What files say of names and registries: where names lead, which are blocked, what short names stand for.

Source: containers-registries.conf(5).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

import msgspec

from builder.errors import ReferenceInvalid, RegistryError
from builder.oci.reference import HUB, HUB_API, Reference
from builder.registry.endpoint import INSECURE, ORDINARY, Endpoint

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


def _with_suffix(name: str, reference: Reference) -> Reference:
    found = Reference.parse(name)
    return Reference(found.registry, found.repository, reference.tag, reference.digest)


def _is_shipped(path: str) -> bool:
    return path.rpartition("/")[2] in _SHIPPED


def _without_port(host: str) -> str:
    return host if host.endswith("]") else host.rpartition(":")[0] or host
