"""Which addresses are contacted, and how they are shown."""

from __future__ import annotations

import pytest

from builder.errors import RegistryError
from builder.registry.address import Origin, check, is_loopback, origin_of, redact

FAR = Origin("https", "registry.example", 443)
NEAR = Origin("http", "127.0.0.1", 5000)


@pytest.mark.parametrize(
    ("url", "registry"),
    [
        ("https://registry.example/x", FAR),
        ("https://registry.example:8443/x", FAR),
        ("https://cdn.example/x?sig=a%2Fb", FAR),
        ("https://10.0.0.1/x", FAR),
        ("http://127.0.0.1:5000/x", NEAR),
        ("http://localhost:6000/x", NEAR),
        ("http://[::1]:6000/x", NEAR),
        ("https://cdn.example/x", NEAR),
    ],
)
def test_good_addresses_are_contacted(url: str, registry: Origin) -> None:
    assert check(url, registry=registry) == origin_of(url)


@pytest.mark.parametrize(
    ("url", "registry"),
    [
        ("http://registry.example/x", FAR),
        ("http://cdn.example/x", FAR),
        ("http://cdn.example/x", NEAR),
        ("https://localhost/x", FAR),
        ("https://127.0.0.1/x", FAR),
        ("https://127.1/x", FAR),
        ("https://2130706433/x", FAR),
        ("https://0x7f.1/x", FAR),
        ("https://[::ffff:127.0.0.1]/x", FAR),
        ("https://0.0.0.0/x", FAR),
        ("https://a.localhost/x", FAR),
        ("https://169.254.169.254/x", FAR),
        ("http://169.254.169.254/x", NEAR),
        ("https://2852039166/x", FAR),
        ("https://0xA9FEA9FE/x", FAR),
        ("https://[fe80::1]/x", FAR),
        ("https://[::ffff:169.254.169.254]/x", FAR),
        ("https://metadata.google.internal/x", FAR),
        ("https://metadata.google.internal./x", FAR),
        ("https://localhost./x", FAR),
        ("file:///etc/passwd", FAR),
        ("ftp://cdn.example/", FAR),
        ("//cdn.example/", FAR),
        ("https:///x", FAR),
        ("https://user@cdn.example/", FAR),
        ("https://user:pw@cdn.example/", FAR),
        ("https://cdn.example\\@evil/", FAR),
        ("https://cdn.example:99999/", FAR),
        ("https://cdn.example:x/", FAR),
        ("https://[::1/", FAR),
        ("https://cdn.example/a b", FAR),
        ("https://cdn.example/\r\nX: y", FAR),
        ("https://cdn.exämple/", FAR),
        ("", FAR),
    ],
)
def test_bad_addresses_are_not(url: str, registry: Origin) -> None:
    with pytest.raises(RegistryError) as caught:
        check(url, registry=registry)
    assert caught.value.code == "registry.protocol"
    assert "pw" not in caught.value.message


def test_what_the_user_calls_insecure_may_be_plain() -> None:
    url = "http://old.example:5000/x"
    assert check(url, registry=FAR, allows_plain={"old.example:5000"}.__contains__).port == 5000
    with pytest.raises(RegistryError):
        check(
            "http://old.example:5001/x",
            registry=FAR,
            allows_plain={"old.example:5000"}.__contains__,
        )


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "127.0.0.1", "127.255.0.1", "::1", "x.localhost"]
)
def test_loopback_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "localhost.example",
        "127.0.0.1.example",
        "127.0.0",
        "128.0.0.1",
        "example",
        "127.0.0.256",
        "",
    ],
)
def test_names_that_only_look_like_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_origins_differ_by_scheme_host_and_port() -> None:
    assert origin_of("https://A.example/x") == Origin("https", "a.example", 443)
    assert origin_of("http://a.example/x") != origin_of("https://a.example/x")
    assert str(origin_of("https://a.example:443/")) == "https://a.example"
    assert str(origin_of("http://[::1]:5000/")) == "http://[::1]:5000"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a/b?signature=secret#x", "https://a/b"),
        ("https://user:secret@a/b", "https://a/b"),
        ("https://user:sec@ret@a/b", "https://a/b"),
        ("https://a/\x1b[31m", "https://a/?[31m"),
        ("https://user:secret@a", "https://a"),
    ],
)
def test_addresses_are_shown_without_secrets(url: str, shown: str) -> None:
    assert redact(url) == shown
