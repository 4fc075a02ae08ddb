"""registries.conf: where names lead, and what short ones mean."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import ReferenceInvalid, RegistryError
from builder.oci.reference import Reference, short_name
from builder.registry.endpoint import INSECURE
from builder.registry.registries_conf import parse
from builder.registry.rules import RegistriesConf, endpoints, merged

DIGEST = "sha256:" + "0" * 64


def conf(text: str, path: str = "/etc/containers/registries.conf") -> RegistriesConf:
    return parse(path, text)


def places(text: str, name: str) -> list[str]:
    reference = Reference.parse(name)
    rule = conf(text).rule_for(reference)
    assert rule is not None
    return [
        f"{each.registry}/{each.repository}" + (f":{each.tag}" if each.tag else "")
        for each in endpoints(rule, reference)
    ]


def meaning(text: str, name: str) -> list[str]:
    found = conf(text).names(short_name(name), Reference.parse(name))
    return [each.canonical() for each in found]


EXAMPLE = """
unqualified-search-registries = ["example.com"]

[[registry]]
prefix = "example.com/foo"
location = "internal.example/bar"

[[registry.mirror]]
location = "mirror-0.example/mirror-for-foo"

[[registry.mirror]]
location = "mirror-1.example/mirrors/foo"
insecure = true

[[registry]]
location = "registry.example"

[[registry.mirror]]
location = "mirror.registry.example"
"""


def test_the_manual_s_example_is_read_as_it_says() -> None:
    assert places(EXAMPLE, "example.com/foo/image:latest") == [
        "mirror-0.example/mirror-for-foo/image",
        "mirror-1.example/mirrors/foo/image",
        "internal.example/bar/image",
    ]
    assert places(EXAMPLE, "registry.example/image") == [
        "mirror.registry.example/image",
        "registry.example/image",
    ]


def test_mirrors_are_known_as_such_with_their_own_trust_and_reason() -> None:
    reference = Reference.parse("example.com/foo/image:latest")
    rule = conf(EXAMPLE).rule_for(reference)
    assert rule is not None
    first, second, last = endpoints(rule, reference)
    assert (first.is_mirror, second.is_mirror, last.is_mirror) == (True, True, False)
    assert (first.trust.verified, second.trust) == (True, INSECURE)
    assert second.why == "mirror 2 of `example.com/foo` in /etc/containers/registries.conf"
    assert last.why == "location of `example.com/foo` in /etc/containers/registries.conf"


@pytest.mark.parametrize(
    ("prefix", "name", "covered"),
    [
        ("example.com", "example.com/a", True),
        ("example.com", "example.com:5000/a", False),
        ("example.com:5000", "example.com:5000/a", True),
        ("example.com/a", "example.com/a:1", True),
        ("example.com/a", "example.com/ab", False),
        ("example.com/a:1", "example.com/a:1", True),
        ("example.com/a:1", "example.com/a:2", False),
        (f"example.com/a@{DIGEST}", f"example.com/a@{DIGEST}", True),
        ("*.example.com", "a.example.com/x", True),
        ("*.example.com", "a.b.example.com:5000/x", True),
        ("*.example.com", "example.com/x", False),
        ("*.example.com", "evilexample.com/x", False),
        ("*.example.com", "evil.io/a.example.com/x", False),
        ("docker.io/library", "alpine", True),
        ("docker.io/alpine", "alpine", False),
    ],
)
def test_a_prefix_ends_where_a_part_of_a_name_does(prefix: str, name: str, covered: bool) -> None:
    text = f'[[registry]]\nprefix = "{prefix}"\nlocation = "elsewhere.example/x"\n'
    found = conf(text).rule_for(Reference.parse(name))
    assert (found is not None) is covered


def test_the_longest_prefix_counts() -> None:
    text = """
[[registry]]
location = "example.com"
blocked = true
[[registry]]
location = "example.com/team/app"
"""
    assert places(text, "example.com/team/app:1") == ["example.com/team/app"]
    with pytest.raises(RegistryError, match="is blocked by") as caught:
        places(text, "example.com/team/other:1")
    assert caught.value.code == "registry.blocked"
    assert "/etc/containers/registries.conf" in caught.value.message


def test_a_wildcard_without_location_leaves_names_as_they_are() -> None:
    text = '[[registry]]\nprefix = "*.example.com"\ninsecure = true\n'
    assert places(text, "a.example.com:5000/x/y:1") == ["a.example.com:5000/x/y"]
    text = '[[registry]]\nprefix = "*.example.com"\nlocation = "proxy.example/all"\n'
    assert places(text, "a.example.com/x/y:1") == ["proxy.example/all/x/y"]


def test_docker_hub_keeps_its_library() -> None:
    text = '[[registry]]\nprefix = "mine.example"\nlocation = "docker.io"\n'
    assert places(text, "mine.example/alpine") == ["docker.io/library/alpine"]
    text = '[[registry]]\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "mirror/hub"\n'
    assert places(text, "alpine") == ["mirror/hub/library/alpine", "docker.io/library/alpine"]


def test_a_tag_may_lead_to_another_tag() -> None:
    text = '[[registry]]\nprefix = "a.example/x:1"\nlocation = "b.example/y:2"\n'
    assert places(text, "a.example/x:1") == ["b.example/y:2"]


@pytest.mark.parametrize(
    ("setting", "tagged", "digested"),
    [("all", True, True), ("digest-only", False, True), ("tag-only", True, False)],
)
def test_mirrors_may_be_for_tags_or_digests_alone(
    setting: str, tagged: bool, digested: bool
) -> None:
    text = f"""
[[registry]]
location = "a.example"
[[registry.mirror]]
location = "m.example"
pull-from-mirror = "{setting}"
"""
    assert ("m.example/x" in places(text, "a.example/x:1")) is tagged
    assert ("m.example/x" in places(text, f"a.example/x@{DIGEST}")) is digested


def test_a_registry_may_want_mirrors_for_digests_only() -> None:
    text = """
[[registry]]
location = "a.example"
mirror-by-digest-only = true
[[registry.mirror]]
location = "m.example"
"""
    assert places(text, "a.example/x:1") == ["a.example/x"]
    assert places(text, f"a.example/x@{DIGEST}") == ["m.example/x", "a.example/x"]


def test_without_search_registries_docker_s_rule_holds() -> None:
    assert meaning("", "alpine") == ["docker.io/library/alpine:latest"]
    assert meaning("", "team/app:1") == ["docker.io/team/app:1"]


def test_search_registries_are_tried_in_order() -> None:
    text = 'unqualified-search-registries = ["quay.io", "docker.io", "localhost:5000"]'
    assert meaning(text, "alpine:3") == [
        "quay.io/alpine:3",
        "docker.io/library/alpine:3",
        "localhost:5000/alpine:3",
    ]
    assert meaning(text, f"team/app@{DIGEST}")[0] == f"quay.io/team/app@{DIGEST}"
    assert meaning(text, "ghcr.io/team/app") == ["ghcr.io/team/app:latest"]
    assert meaning(text, "localhost/app") == ["localhost/app:latest"]


def test_an_alias_stands_for_one_name() -> None:
    text = """
unqualified-search-registries = ["quay.io", "docker.io"]
[aliases]
"fedora" = "registry.fedora.example/fedora"
"team/app" = "ghcr.io/team/app"
"gone" = ""
"""
    assert meaning(text, "fedora:41") == ["registry.fedora.example/fedora:41"]
    assert meaning(text, f"team/app@{DIGEST}") == [f"ghcr.io/team/app@{DIGEST}"]
    assert len(meaning(text, "gone")) == 2


def test_the_list_that_distributions_ship_counts_where_names_are_searched_only() -> None:
    shipped = conf('[aliases]\n"fedora" = "r.example/fedora"', "/etc/x.d/000-shortnames.conf")
    own = conf('[aliases]\n"tool" = "r.example/tool"', "/etc/x.d/mine.conf")
    searching = conf('unqualified-search-registries = ["quay.io"]')

    def named(files: list[RegistriesConf], name: str) -> str:
        return merged(files).names(name, Reference.parse(name))[0].registry

    assert named([shipped, own], "fedora") == "docker.io"
    assert named([shipped, own], "tool") == "r.example"
    assert named([searching, shipped], "fedora") == "r.example"


def test_enforcing_refuses_to_try_several() -> None:
    text = 'unqualified-search-registries = ["quay.io", "docker.io"]\nshort-name-mode="enforcing"'
    with pytest.raises(ReferenceInvalid, match="may be in several registries") as caught:
        meaning(text, "alpine")
    assert caught.value.hint == "write the registry: `quay.io/alpine:latest`"
    one = 'unqualified-search-registries = ["quay.io"]\nshort-name-mode="enforcing"'
    assert meaning(one, "alpine") == ["quay.io/alpine:latest"]


def test_later_files_replace_lists_and_what_has_the_same_name() -> None:
    one = conf(EXAMPLE, "/etc/1.conf")
    two = conf(
        'unqualified-search-registries = []\n[[registry]]\nlocation = "registry.example"\nblocked = true\n',
        "/etc/2.conf",
    )
    whole = merged([one, two])
    assert whole.search == ()
    assert {rule.prefix: rule.file for rule in whole.rules} == {
        "example.com/foo": "/etc/1.conf",
        "registry.example": "/etc/2.conf",
    }
    assert merged([two, one]).search == ("example.com",)
    assert merged([]) == RegistriesConf()


def test_the_first_form_of_the_file_is_still_read() -> None:
    text = """
[registries.search]
registries = ["one.example", "two.example"]
[registries.insecure]
registries = ["lab.example"]
[registries.block]
registries = ["evil.example"]
"""
    found = conf(text)
    assert found.search == ("one.example", "two.example")
    assert {rule.prefix: (rule.insecure, rule.blocked) for rule in found.rules} == {
        "lab.example": (True, False),
        "evil.example": (False, True),
    }


def test_keys_that_nobody_knows_are_passed_over() -> None:
    assert conf('novelty = 1\n[[registry]]\nlocation = "a.example"\nnews = "x"\n').rules


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("= nonsense", "Invalid"),
        ("[[registry]]\nlocation = 5", r"registry\[0\]\.location"),
        ("[[registry]]\n", "neither `prefix` nor `location`"),
        ('[[registry]]\nprefix = "a.example"', "has no `location`"),
        ('[[registry]]\nprefix = "*.a.example/x"', r"form `\*\.example\.com`"),
        ('[[registry]]\nlocation = "https://a.example"', "has a scheme"),
        ('[[registry]]\nlocation = "a.example"\npull-from-mirror = "all"', "belongs to its mirrors"),
        ('[[registry]]\nlocation = "a.example"\n[[registry.mirror]]\n', "has no `location`"),
        ('[[registry]]\nlocation="a.b"\n[[registry.mirror]]\nlocation="c.d"\npull-from-mirror="x"',
         "it can be all, digest-only, tag-only"),
        ('[[registry]]\nlocation="a.b"\nmirror-by-digest-only=true\nmirror=[{location="c.d",pull-from-mirror="all"}]',
         "mirror-by-digest-only"),
        ('[[registry]]\nprefix="a.b"\nlocation="x.y"\n[[registry]]\nprefix="c.d"\nlocation="x.y"\ninsecure=true',
         "with and without `insecure`"),
        ('short-name-mode = "loose"', "it can be enforcing, permissive, disabled"),
        ('unqualified-search-registries = ["a.example/x"]', "is not a host"),
        ('unqualified-search-registries = "a.example"', "unqualified-search-registries"),
        ('[aliases]\n"x" = "y"', "no name with a registry"),
        ('[aliases]\n"x" = "a.example/y:1"', "no name with a registry"),
        ('[aliases]\n"a.example/x" = "b.example/x"', "is not a short name"),
        ('[aliases]\n"x:1" = "b.example/x"', "is not a short name"),
        ('[registries.search]\nregistries = []\n[[registry]]\nlocation = "a.b"', "mixes"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_meant_is_one_clear_error(text: str, fact: str) -> None:
    with pytest.raises(RegistryError, match="registries") as caught:
        conf(text)
    assert caught.value.code == "registry.config"
    [note] = caught.value.notes
    assert re.search(fact, note), note


def test_a_location_that_makes_no_name_is_told_with_its_file() -> None:
    text = '[[registry]]\nprefix = "a.example"\nlocation = "b.example/UPPER"\n'
    with pytest.raises(RegistryError, match="which is none") as caught:
        places(text, "a.example/x:1")
    assert caught.value.code == "registry.config"


@given(st.text(max_size=80))
def test_no_text_crashes(text: str) -> None:
    try:
        conf(text)
    except RegistryError as error:
        assert error.code == "registry.config"
