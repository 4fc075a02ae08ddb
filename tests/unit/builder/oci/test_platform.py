"""Platforms: spellings, and which image serves which machine."""

from __future__ import annotations

import pytest

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
    assert not Platform.parse("linux/386").matches(Platform.parse("linux/amd64"))
    assert not Platform("unknown", "unknown").matches(Platform.parse("linux/amd64"))


def test_a_variant_without_order_serves_itself_only() -> None:
    power = Platform("linux", "ppc64le", "power9")
    assert power.matches(power)
    assert not power.matches(Platform("linux", "ppc64le", "power10"))
    assert not Platform("linux", "arm", "v" + "9" * 6000).matches(Platform("linux", "arm", "v7"))


def test_an_os_version_counts_when_it_is_asked_for() -> None:
    image = Platform("windows", "amd64", "", "10.0.1")
    assert image.matches(Platform("windows", "amd64"))
    assert not image.matches(Platform("windows", "amd64", "", "10.0.2"))
