"""Who is let in, and what others get to see of the proof."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from builder.errors import RegistryError
from builder.oci.reference import Reference
from builder.registry.auth import Credential
from builder.registry.client import RegistryClient
from builder.registry.transfer import pull, push
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
