"""Platforms: spellings, and which image serves which machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import ReferenceInvalid
from builder.oci.platform import Platform


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("Linux/AMD64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/i386", "linux/386"),
        ("arm64", "linux/arm64"),
        ("arm64/v8", "linux/arm64"),
        ("arm/v6", "linux/arm/v6"),
        ("linux/mips64el", "linux/mips64le"),
    ],
)
def test_spellings_have_one_normal_form(text: str, normal: str) -> None:
    assert str(Platform.parse(text)) == normal


@pytest.mark.parametrize(
    "text", ["", "/", "linux/", "a/b/c/d", "linux/amd 64", "lnux", "linux/ämd64"]
)
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(ReferenceInvalid):
        Platform.parse(text)


def test_an_operating_system_alone_means_this_machine() -> None:
    assert Platform.parse("linux") == Platform.host()


def rank(image: str, wanted: str) -> int | None:
    return Platform.parse(image).rank(Platform.parse(wanted))


def test_lower_variants_serve_higher_ones_and_exact_ones_serve_best() -> None:
    assert rank("linux/arm/v7", "linux/arm/v7") == 0
    assert rank("linux/arm/v6", "linux/arm/v7") == 1
    assert rank("linux/arm/v5", "linux/arm/v7") == 2
    assert rank("linux/arm/v7", "linux/arm/v6") is None
    assert rank("linux/amd64", "linux/amd64/v3") == 2
    assert rank("linux/amd64/v2", "linux/amd64") is None
    assert rank("linux/arm64/v9", "linux/arm64") is None
    assert rank("linux/arm64", "linux/arm64/v8") == 0


def test_other_architectures_and_systems_never_serve() -> None:
    assert not Platform.parse("windows/amd64").matches(Platform.parse("linux/amd64"))
    assert not Platform.parse("linux/amd64").matches(Platform.parse("linux/386"))
    assert not Platform.parse("linux/arm64").matches(Platform.parse("linux/arm/v8"))
    assert not Platform.parse("linux/s390x").matches(Platform.parse("linux/ppc64le"))
    assert not Platform("unknown", "unknown").matches(Platform.parse("linux/amd64"))


def test_a_variant_without_order_serves_itself_only() -> None:
    odd = Platform("linux", "s390x", "z13")
    assert odd.matches(odd)
    assert not odd.matches(Platform("linux", "s390x", "z14"))
    assert not Platform("linux", "arm", "v" + "9" * 6000).matches(Platform("linux", "arm", "v7"))


def test_an_os_version_counts_when_it_is_asked_for() -> None:
    image = Platform("windows", "amd64", "", "10.0.1")
    assert image.matches(Platform("windows", "amd64"))
    assert not image.matches(Platform("windows", "amd64", "", "10.0.2"))


# What containerd's matcher takes on each, in its order.
ORDERS = {
    "linux/amd64": ["linux/amd64", "linux/386"],
    "linux/amd64/v3": ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386"],
    "linux/arm/v8": ["linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"],
    "linux/arm/v6": ["linux/arm/v6", "linux/arm/v5"],
    "linux/arm64": ["linux/arm64", "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"],
    "linux/arm64/v8.2": ["linux/arm64/v8.2", "linux/arm64/v8.1", "linux/arm64", "linux/arm/v8"],
    "linux/arm64/v9.1": ["linux/arm64/v9.1", "linux/arm64/v9", "linux/arm64/v8.6", "linux/arm64"],
    "linux/ppc64le/power10": ["linux/ppc64le/power10", "linux/ppc64le/power9", "linux/ppc64le"],
    "linux/riscv64/rva22u64": ["linux/riscv64/rva22u64", "linux/riscv64/rva20u64", "linux/riscv64"],
    "linux/s390x": ["linux/s390x"],
}


@pytest.mark.parametrize("wanted", ORDERS)
def test_the_nearest_serves_best(wanted: str) -> None:
    ranks = [rank(image, wanted) for image in ORDERS[wanted]]
    assert None not in ranks
    assert ranks == sorted(ranks, key=lambda each: each or 0)
    assert len(set(ranks)) == len(ranks)


VARIANTS = {
    "amd64": ("", "v2", "v3", "v4"),
    "386": ("",),
    "arm": ("v5", "v6", "v7", "v8"),
    "arm64": ("", "v8.1", "v8.5", "v8.9", "v9", "v9.1", "v9.4"),
    "ppc64le": ("", "power8", "power9", "power10"),
    "riscv64": ("", "rva20u64", "rva22u64", "rva23u64"),
    "s390x": ("", "z13"),
    "sparc": ("", "v" + "9" * 6000, "v\u0663"),
}
PLATFORMS = [
    Platform.of("linux", architecture, variant)
    for architecture, variants in VARIANTS.items()
    for variant in variants
]
platforms = st.sampled_from(PLATFORMS)


@given(platforms)
def test_each_serves_itself_best_and_no_other_does_as_well(wanted: Platform) -> None:
    assert wanted.rank(wanted) == 0
    assert [each for each in PLATFORMS if each.rank(wanted) == 0] == [wanted]


@given(platforms, platforms)
def test_two_that_serve_each_other_are_one(one: Platform, other: Platform) -> None:
    assert (one.matches(other) and other.matches(one)) is (one == other)


@given(platforms, platforms, platforms)
def test_what_serves_one_that_serves_another_serves_that(
    low: Platform, middle: Platform, high: Platform
) -> None:
    if low.matches(middle) and middle.matches(high):
        assert low.matches(high)
        first, second = middle.rank(high), low.rank(high)
        assert first is not None and second is not None
        assert first <= second


@given(platforms)
def test_a_platform_is_read_as_it_is_written(platform: Platform) -> None:
    if str(platform).isascii() and len(str(platform)) < 99:
        assert Platform.parse(str(platform)) == platform


@given(st.text(max_size=40))
def test_whatever_is_read_has_one_form(text: str) -> None:
    try:
        found = Platform.parse(text)
    except ReferenceInvalid:
        return
    assert Platform.parse(str(found)) == found
