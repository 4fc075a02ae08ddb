"""Who is let in, and what others get to see of the proof."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from builder.errors import RegistryError
from builder.oci.reference import Reference
from builder.registry.auth import Credential
from builder.registry.client import RegistryClient
from builder.registry.pulling import pull
from builder.registry.pushing import push
from builder.store.blobs import BlobStore
from tests.registry.conftest import Keyring, Recorder
from tests.registry.test_push import outgoing
from tests.support import registry as faults
from tests.support.registry import Registry, hostile_registry
from tests.support.sample_image import sample_image

MakeClient = Callable[..., RegistryClient]
ADA = Credential(username="ada", password="pa:ss")


def reference(registry: Registry, name: str = "team/app:1") -> Reference:
    return Reference.parse(f"{registry.host}/{name}")


def test_public_images_need_no_credentials(
    make_client: MakeClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.auth = "token"
    registry.add("team/app", "1", sample_image())
    pull(make_client(Keyring({})), reference(registry), None, blobs, events, 1)
    assert registry.count("GET", "/token") == 1


@pytest.mark.parametrize("scheme", ["basic", "token"])
def test_a_password_lets_in(
    make_client: MakeClient, registry: Registry, blobs: BlobStore, events: Recorder, scheme: str
) -> None:
    registry.auth = scheme
    image = sample_image()
    client = make_client(Keyring({registry.host: ADA}))
    push(client, reference(registry), image.manifest, outgoing(image), events)
    assert pull(client, reference(registry), None, blobs, events, 1).manifest == image.manifest


def test_a_helper_is_asked_once(
    make_client: MakeClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.auth = "token"
    registry.add("team/app", "1", sample_image())
    keyring = Keyring({registry.host: ADA})
    pull(make_client(keyring), reference(registry), None, blobs, events, 1)
    assert keyring.asked == [registry.host]


def test_an_identity_token_is_exchanged_and_not_sent_as_a_password(
    make_client: MakeClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.auth = "token"
    registry.identity_tokens.add("identity-1")
    registry.add("team/app", "1", sample_image())
    client = make_client(Keyring({registry.host: Credential(identity_token="identity-1")}))
    pull(client, reference(registry), None, blobs, events, 1)
    assert registry.count("POST", "/token") == 1
    assert "token-0-identity" in registry.tokens


def test_a_token_that_ends_in_the_middle_is_renewed(
    make_client: MakeClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.auth = "token"
    image = sample_image()
    registry.add("team/app", "1", image)

    def act(handler: faults.Handler) -> bool:
        registry.tokens.clear()
        registry.tokens["filler"] = set()
        return False

    registry.fault("GET", "/blobs/", act)
    pull(make_client(Keyring({registry.host: ADA})), reference(registry), None, blobs, events, 1)
    assert registry.count("GET", "/token") == 2


@pytest.mark.parametrize("scheme", ["basic", "token"])
def test_a_wrong_password_is_said_without_showing_it(
    make_client: MakeClient, registry: Registry, blobs: BlobStore, events: Recorder, scheme: str
) -> None:
    registry.auth = scheme
    registry.add("team/app", "1", sample_image())
    wrong = Credential(username="ada", password="hunter2")
    with pytest.raises(RegistryError) as caught:
        pull(
            make_client(Keyring({registry.host: wrong})),
            reference(registry),
            None,
            blobs,
            events,
            1,
        )
    error = caught.value
    assert error.code == "registry.unauthorized"
    assert error.message.startswith(f"pull access denied for `{registry.host}/team/app`")
    assert error.hint == f"run `lapstrake login {registry.host}`"
    shown = repr((error, error.notes, error.request, error.__cause__, wrong))
    assert "hunter2" not in shown
    assert "aHVudGVyMg" not in shown


def test_secrets_that_a_registry_echoes_are_struck_out(
    make_client: MakeClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.auth = "basic"

    def act(handler: faults.Handler) -> bool:
        handler.error(400, "X", f"you sent pa:ss and {handler.headers['Authorization']}")
        return True

    client = make_client(Keyring({registry.host: ADA}))
    registry.fault("GET", "/manifests/", lambda handler: False)
    registry.fault("GET", "/manifests/", act, times=-1)
    with pytest.raises(RegistryError) as caught:
        pull(client, reference(registry), None, blobs, events, 1)
    assert caught.value.notes == ("the registry says: you sent *** and Basic ***",)


def test_credentials_do_not_follow_redirects_to_another_port(
    make_client: MakeClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.auth = "token"
    image = sample_image()
    registry.add("team/app", "1", image)
    with hostile_registry() as content:
        content.add("team/app", "1", image)
        registry.fault(
            "GET", "/blobs/", faults.redirect(f"http://{content.host}{{path}}"), times=-1
        )
        pull(
            make_client(Keyring({registry.host: ADA})), reference(registry), None, blobs, events, 1
        )
        assert content.requests
        assert all(seen.authorization is None for seen in content.requests)
        assert all("cookie" not in seen.headers for seen in content.requests)


def test_a_challenge_by_another_host_is_not_answered(
    make_client: MakeClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.auth = "basic"
    image = sample_image()
    registry.add("team/app", "1", image)
    with hostile_registry(Registry(auth="basic")) as content:
        registry.fault(
            "GET", "/blobs/", faults.redirect(f"http://{content.host}{{path}}"), times=-1
        )
        with pytest.raises(RegistryError) as caught:
            pull(
                make_client(Keyring({registry.host: ADA})),
                reference(registry),
                None,
                blobs,
                events,
                1,
            )
        assert caught.value.code == "registry.unauthorized"
        assert all(seen.authorization is None for seen in content.requests)


def test_a_host_that_we_are_sent_to_does_not_choose_where_the_password_goes(
    make_client: MakeClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.auth = "basic"
    registry.add("team/app", "1", sample_image())
    with hostile_registry(Registry(auth="token")) as thief:
        registry.fault("GET", "/blobs/", faults.redirect(f"http://{thief.host}{{path}}"), times=-1)
        with pytest.raises(RegistryError):
            pull(
                make_client(Keyring({registry.host: ADA})),
                reference(registry),
                None,
                blobs,
                events,
                1,
            )
        assert thief.count("GET", "/v2/") == 1
        assert thief.count("GET", "/token") == 0


@pytest.mark.parametrize(
    "realm",
    [
        "http://example.com/token",
        "https://169.254.169.254/token",
        "https://a:b@example.com/",
        "ftp://x/",
    ],
)
def test_a_password_goes_to_no_dubious_realm(
    make_client: MakeClient, registry: Registry, blobs: BlobStore, events: Recorder, realm: str
) -> None:
    registry.auth, registry.realm = "token", realm
    with pytest.raises(RegistryError, match="is not contacted"):
        pull(
            make_client(Keyring({registry.host: ADA})), reference(registry), None, blobs, events, 1
        )


def test_a_realm_that_sends_an_identity_token_on_is_refused(
    make_client: MakeClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.auth = "token"
    with hostile_registry() as thief:
        registry.fault("POST", "/token", faults.redirect(f"http://{thief.host}/token"))
        client = make_client(Keyring({registry.host: Credential(identity_token="identity-1")}))
        with pytest.raises(RegistryError, match="sends a secret on"):
            pull(client, reference(registry), None, blobs, events, 1)
        assert thief.requests == []


def test_a_busy_token_service_is_waited_for(
    make_client: MakeClient, registry: Registry, blobs: BlobStore, events: Recorder
) -> None:
    registry.auth = "token"
    registry.add("team/app", "1", sample_image())
    registry.fault("GET", "/token", faults.status(503), times=2)
    registry.fault("GET", "/token", faults.reset)
    pull(make_client(), reference(registry), None, blobs, events, 1)
    assert registry.count("GET", "/token") == 4


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"token":"a\\r\\nX: y"}', b"[" * 100_000])
def test_a_token_that_is_none_is_an_error(
    make_client: MakeClient, registry: Registry, blobs: BlobStore, events: Recorder, answer: bytes
) -> None:
    registry.auth = "token"
    registry.fault("GET", "/token", faults.body(answer), times=-1)
    with pytest.raises(RegistryError) as caught:
        pull(make_client(), reference(registry), None, blobs, events, 1)
    assert caught.value.code == "registry.protocol"


def test_login_keeps_the_password_of_a_basic_registry(
    make_client: MakeClient, registry: Registry
) -> None:
    registry.auth = "basic"
    assert make_client().login(registry.host, ADA) == ADA


def test_login_prefers_an_identity_token(make_client: MakeClient, registry: Registry) -> None:
    registry.auth = "token"
    kept = make_client().login(registry.host, ADA)
    assert kept == Credential(username="ada", identity_token="identity-1")


@pytest.mark.parametrize("scheme", ["basic", "token"])
def test_login_with_a_wrong_password_is_refused(
    make_client: MakeClient, registry: Registry, scheme: str
) -> None:
    registry.auth = scheme
    with pytest.raises(RegistryError) as caught:
        make_client().login(registry.host, Credential(username="ada", password="hunter2"))
    assert caught.value.code == "registry.unauthorized"
    assert "hunter2" not in repr((caught.value, caught.value.notes))


def test_a_token_that_is_too_narrow_is_asked_for_again_with_the_missing_scope_first(
    make_client: MakeClient, registry: Registry
) -> None:
    registry.auth = "token"
    registry.add("team/app", "1", sample_image())
    wanted = "repository:other/base:pull"

    def act(handler: faults.Handler) -> bool:
        token = handler.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in registry.tokens or wanted in registry.tokens[token]:
            return False
        challenge = (
            f'Bearer realm="http://{registry.host}/token",service="tests",'
            f'scope="{wanted}",error="insufficient_scope"'
        )
        handler.error(401, "UNAUTHORIZED", WWW_Authenticate=challenge)
        return True

    registry.fault("GET", "/manifests/", act, times=-1)
    client = make_client(Keyring({registry.host: ADA}))
    client.fetch_manifest(reference(registry))
    asked = [seen.path for seen in registry.requests if seen.path.startswith("/token")]
    assert len(asked) == 2
    assert asked[1].index("other") < asked[1].index("team")
    client.fetch_manifest(reference(registry))
    assert len([seen for seen in registry.requests if seen.path.startswith("/token")]) == len(asked)


def test_insufficient_scope_may_also_be_said_with_403(
    make_client: MakeClient, registry: Registry
) -> None:
    registry.auth = "token"
    registry.add("team/app", "1", sample_image())
    wanted = "repository:other/base:pull"

    def act(handler: faults.Handler) -> bool:
        token = handler.headers.get("Authorization", "").removeprefix("Bearer ")
        scopes = registry.tokens.get(token)
        if scopes is None or wanted in scopes:
            return False
        challenge = (
            f'Bearer realm="http://{registry.host}/token",service="tests",'
            f'scope="{wanted}",error="insufficient_scope"'
        )
        handler.error(403, "DENIED", WWW_Authenticate=challenge)
        return True

    registry.fault("GET", "/manifests/", act, times=-1)
    make_client().fetch_manifest(reference(registry))
    asked = [seen.path for seen in registry.requests if seen.path.startswith("/token")]
    assert len(asked) == 2
    assert asked[1].index("other") < asked[1].index("team")


def test_a_refusal_of_what_was_just_given_is_final(
    make_client: MakeClient, registry: Registry
) -> None:
    registry.auth = "token"

    def act(handler: faults.Handler) -> bool:
        handler.error(
            401, "UNAUTHORIZED",
            WWW_Authenticate=f'Bearer realm="http://{registry.host}/token",service="tests"',
        )  # fmt: skip
        return True

    registry.fault("GET", "/manifests/", act, times=-1)
    with pytest.raises(RegistryError, match="pull access denied"):
        make_client(Keyring({registry.host: ADA})).fetch_manifest(reference(registry))
    assert registry.count("GET", "/token") == 1
    assert registry.count("GET", "/manifests/") == 2


def test_a_token_is_asked_for_before_a_body_is_sent(
    make_client: MakeClient, registry: Registry, events: Recorder
) -> None:
    registry.auth = "token"
    image = sample_image()
    client = make_client(Keyring({registry.host: ADA}))
    push(client, reference(registry), image.manifest, outgoing(image), events)
    push(client, reference(registry, "team/other:1"), image.manifest, outgoing(image), events)
    second = [seen for seen in registry.requests if "team/other" in seen.path]
    assert all(seen.authorization for seen in second if not seen.path.startswith("/token")), (
        "the registry is known to want tokens"
    )


def test_a_token_that_has_ended_is_renewed_before_it_is_used(
    make_client: MakeClient, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from builder.registry import session

    registry.auth = "token"
    registry.add("team/app", "1", sample_image())
    client = make_client(Keyring({registry.host: ADA}))
    client.fetch_manifest(reference(registry))
    before = len(registry.requests)
    now = session.time.monotonic()
    monkeypatch.setattr(session.time, "monotonic", lambda: now + 296.0)
    client.fetch_manifest(reference(registry))
    fresh = [seen.path.partition("?")[0] for seen in registry.requests[before:]]
    assert fresh == ["/token", "/v2/team/app/manifests/1"]


def test_all_repositories_are_listed_with_the_scope_for_that(
    make_client: MakeClient, registry: Registry
) -> None:
    registry.auth = "token"
    registry.add("team/app", "1", sample_image())
    registry.add("other", "1", sample_image())
    client = make_client(Keyring({registry.host: ADA}))
    assert client.list_repositories(registry.host) == ("other", "team/app")
    assert {"registry:catalog:*"} in registry.tokens.values()
    registry.fault("GET", "/v2/_catalog", faults.status(404))
    with pytest.raises(RegistryError, match="does not list its repositories"):
        client.list_repositories(registry.host)


def test_deleting_needs_a_scope_of_its_own(make_client: MakeClient, registry: Registry) -> None:
    registry.auth = "token"
    image = sample_image()
    registry.add("team/app", "1", image)
    client = make_client(Keyring({registry.host: ADA}))
    client.delete_manifest(reference(registry).with_digest(image.manifest.descriptor().digest))
    assert {"repository:team/app:delete"} in registry.tokens.values()
    with pytest.raises(RegistryError, match="not found"):
        client.delete_manifest(reference(registry, "team/app:2"))
    registry.fault("DELETE", "/manifests/", faults.status(405))
    with pytest.raises(RegistryError, match="does not delete"):
        client.delete_manifest(reference(registry))


def test_an_upload_location_on_another_host_learns_nothing(
    make_client: MakeClient, registry: Registry, events: Recorder
) -> None:
    registry.auth = "basic"
    with hostile_registry() as thief:
        registry.fault("POST", "/uploads/", faults.upload_at(thief), times=-1)
        image = sample_image()
        client = make_client(Keyring({registry.host: ADA}))
        push(client, reference(registry), image.manifest, outgoing(image), events)
        assert thief.requests
        assert all(seen.authorization is None for seen in thief.requests)


def test_a_realm_on_another_host_gets_the_password_and_other_hosts_do_not(
    make_client: MakeClient, registry: Registry
) -> None:
    """Token services are elsewhere as a rule; what they redirect to is not theirs."""
    with hostile_registry() as service, hostile_registry() as thief:
        registry.auth, registry.realm = "token", f"http://{service.host}/token"
        service.fault("GET", "/token", faults.redirect(f"http://{thief.host}/token"), times=-1)
        with pytest.raises(RegistryError):
            make_client(Keyring({registry.host: ADA})).fetch_manifest(reference(registry))
        assert service.requests[0].authorization == "Basic YWRhOnBhOnNz"
        assert all(seen.authorization is None for seen in thief.requests)
