"""The token flow, with lists in the place of a network."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import RegistryError
from builder.registry.address import Origin
from builder.registry.auth import (
    Answer,
    Challenge,
    Credential,
    Grant,
    authorize,
    parse_challenges,
)
from builder.registry.exchange import Request

HUB = Origin("https", "registry-1.docker.io", 443)
REALM = "https://auth.docker.io/token"
BEARER = Challenge("bearer", (("realm", REALM), ("service", "s"), ("scope", "repository:a:pull")))
ADA = Credential(username="ada", password="pw")


def run(
    challenges: list[Challenge],
    answers: list[Answer],
    *,
    credential: Credential | None = None,
    scopes: tuple[str, ...] = ("repository:a:pull",),
    registry: Origin = HUB,
    offline: bool = False,
) -> tuple[Grant, list[Request]]:
    flow = authorize(
        challenges, registry=registry, credential=credential, scopes=scopes, offline=offline
    )
    requests: list[Request] = []
    try:
        request = next(flow)
        while True:
            requests.append(request)
            request = flow.send(answers[len(requests) - 1])
    except StopIteration as stop:
        return stop.value, requests


TOKEN = Answer(200, b'{"token":"T","expires_in":300}')


def test_without_a_credential_a_token_is_asked_for_anonymously() -> None:
    grant, [request] = run([BEARER], [TOKEN])
    assert grant.authorization.value == "Bearer T"
    assert grant.authorization.origin == HUB
    assert grant.lifetime == 300
    assert request.method == "GET"
    assert request.authorization is None
    assert parse_qs(urlsplit(request.url).query) == {
        "service": ["s"],
        "scope": ["repository:a:pull"],
    }


def test_a_password_is_bound_to_the_realm() -> None:
    _, [request] = run([BEARER], [TOKEN], credential=ADA)
    assert request.authorization is not None
    assert request.authorization.value == "Basic YWRhOnB3"
    assert request.authorization.origin == Origin("https", "auth.docker.io", 443)
    assert "pw" not in request.url


def test_scopes_are_asked_for_one_by_one_the_needed_ones_first() -> None:
    _, [request] = run([BEARER], [TOKEN], scopes=("repository:b:pull,push", "repository:c:pull"))
    assert parse_qs(urlsplit(request.url).query)["scope"] == [
        "repository:b:pull,push",
        "repository:c:pull",
        "repository:a:pull",
    ]


def test_a_realm_with_a_query_keeps_it() -> None:
    challenge = Challenge("bearer", (("realm", REALM + "?x=1"),))
    _, [request] = run([challenge], [TOKEN])
    assert request.url == f"{REALM}?x=1&scope=repository%3Aa%3Apull"


def test_an_identity_token_is_posted() -> None:
    _, [request] = run([BEARER], [TOKEN], credential=Credential(identity_token="I"))
    assert (request.method, request.url, request.stays) == ("POST", REALM, True)
    assert isinstance(request.body, bytes)
    form = parse_qs(request.body.decode())
    assert form["grant_type"] == ["refresh_token"]
    assert form["refresh_token"] == ["I"]


@pytest.mark.parametrize("status", [404, 405])
def test_services_without_the_newer_flow_are_asked_the_old_way(status: int) -> None:
    _, requests = run([BEARER], [Answer(status), TOKEN], credential=Credential(identity_token="I"))
    assert [request.method for request in requests] == ["POST", "GET"]


def test_the_old_way_takes_an_identity_token_for_a_password_where_there_is_a_name() -> None:
    credential = Credential(username="00000000-0000", identity_token="I")
    _, [_, request] = run([BEARER], [Answer(404), TOKEN], credential=credential)
    assert request.authorization is not None
    assert request.authorization.value == "Basic MDAwMDAwMDAtMDAwMDpJ"
    assert request.authorization.origin == Origin("https", "auth.docker.io", 443)


def test_login_asks_for_an_identity_token() -> None:
    answer = Answer(200, b'{"access_token":"T","refresh_token":"R"}')
    grant, [request] = run([BEARER], [answer], credential=ADA, offline=True)
    assert grant.identity_token == "R"
    assert grant.authorization.value == "Bearer T"
    assert "offline_token=true" in request.url


def test_a_short_or_missing_lifetime_is_a_minute() -> None:
    assert run([BEARER], [Answer(200, b'{"token":"T"}')])[0].lifetime == 60
    assert run([BEARER], [Answer(200, b'{"token":"T","expires_in":-5}')])[0].lifetime == 60


def test_bearer_is_preferred_to_basic() -> None:
    grant, _ = run([Challenge("basic"), BEARER], [TOKEN], credential=ADA)
    assert grant.authorization.value == "Bearer T"


def test_basic_asks_nobody() -> None:
    grant, requests = run([Challenge("basic")], [], credential=ADA)
    assert requests == []
    assert grant.authorization.value == "Basic YWRhOnB3"
    assert grant.authorization.origin == HUB
    assert grant.lifetime is None


def test_a_registry_token_is_used_as_it_is() -> None:
    grant, requests = run([BEARER], [], credential=Credential(registry_token="R"))
    assert (grant.authorization.value, requests) == ("Bearer R", [])


@pytest.mark.parametrize(
    ("challenges", "answers", "code"),
    [
        ([Challenge("basic")], [], "registry.unauthorized"),
        ([Challenge("digest")], [], "registry.unauthorized"),
        ([Challenge("bearer")], [], "registry.protocol"),
        (
            [Challenge("bearer", (("realm", "http://auth.docker.io/token"),))],
            [],
            "registry.protocol",
        ),
        ([Challenge("bearer", (("realm", "https://localhost/token"),))], [], "registry.protocol"),
        ([Challenge("bearer", (("realm", "https://169.254.169.254/"),))], [], "registry.protocol"),
        ([BEARER], [Answer(401)], "registry.unauthorized"),
        ([BEARER], [Answer(403)], "registry.unauthorized"),
        ([BEARER], [Answer(429)], "registry.rate-limited"),
        ([BEARER], [Answer(500)], "registry.unavailable"),
        ([BEARER], [Answer(200, b"<html>")], "registry.protocol"),
        ([BEARER], [Answer(200, b"{}")], "registry.protocol"),
        ([BEARER], [Answer(200, b'{"token":"a\\nb"}')], "registry.protocol"),
    ],
)
def test_refusals(challenges: list[Challenge], answers: list[Answer], code: str) -> None:
    with pytest.raises(RegistryError) as caught:
        run(challenges, answers)
    assert caught.value.code == code


def test_nothing_shows_its_secrets() -> None:
    secret = Credential(
        username="ada", password="s3cret", identity_token="s3cret", registry_token="s3cret"
    )
    _, [request] = run([BEARER], [TOKEN], credential=Credential(username="a", password="s3cret"))
    grant, _ = run([Challenge("basic")], [], credential=Credential(username="a", password="s3cret"))
    assert "s3cret" not in repr((secret, grant))
    assert "YTpzM2NyZXQ" not in repr((request, grant))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"',
         [("bearer", {"realm": "https://a/t", "service": "s", "scope": "repository:x:pull,push"})]),
        ('Basic realm="a, b", Bearer realm=x , scope = "y"',
         [("basic", {"realm": "a, b"}), ("bearer", {"realm": "x", "scope": "y"})]),
        ('bearer Realm="q\\"q"', [("bearer", {"realm": 'q"q'})]),
        ("Negotiate, Basic", [("negotiate", {}), ("basic", {})]),
        ('Bearer realm="open', [("bearer", {"realm": "open"})]),
        ("", []),
        (",,, ", []),
        ("Bearer realm=", [("bearer", {"realm": ""})]),
    ],
)  # fmt: skip
def test_challenges_are_read(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(one.scheme, dict(one.parameters)) for one in parse_challenges([header])] == expected


@given(st.text(alphabet=st.sampled_from('Bearer =",\\x:\t é'), max_size=60))
def test_no_challenge_crashes_or_hangs(header: str) -> None:
    parse_challenges([header])
