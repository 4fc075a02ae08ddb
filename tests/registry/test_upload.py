"""Uploads: all at once, in chunks where a registry wants it so, gone on with after a break, ended when given up."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO

import pytest

from builder.errors import Cancelled, RegistryError
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.reference import Reference
from builder.registry import limits, upload
from builder.registry.auth import Credential
from builder.registry.client import RegistryClient
from builder.registry.pushing import send
from builder.registry.upload import Outgoing
from tests.registry.conftest import Keyring, Waits
from tests.support import registry as faults
from tests.support.registry import Registry
from tests.support.sample_image import noise

DATA = noise(5_000_000)
DIGEST = Digest.of(DATA)


class Unseekable(io.BytesIO):
    """A stream that can only be read on, such as a member of a compressed archive."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise io.UnsupportedOperation


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK", 1_000_000)
    monkeypatch.setattr(upload, "CHUNK", 1_000_000)
    monkeypatch.setattr(limits, "LEAST", 100_000)
    monkeypatch.setattr(upload, "LEAST", 100_000)


def sent(
    client: RegistryClient,
    registry: Registry,
    *,
    open_: Callable[[], BinaryIO] = lambda: io.BytesIO(DATA),
    cancelled: Callable[[], bool] = lambda: False,
) -> None:
    descriptor = Descriptor(media_type="x", digest=DIGEST, size=len(DATA))
    reference = Reference.parse(f"{registry.host}/team/app:1")
    blob = Outgoing(descriptor=descriptor, open=open_)
    send(client, reference, [blob], cancelled=cancelled)


def there(registry: Registry) -> bool:
    return registry.blobs.get(("team/app", DIGEST)) == DATA


def patches(registry: Registry) -> list[str]:
    return [s.headers["content-range"] for s in registry.requests if s.method == "PATCH"]


def test_a_blob_is_sent_all_at_once(client: RegistryClient, registry: Registry) -> None:
    sent(client, registry)
    assert there(registry)
    assert [s.method for s in registry.requests if "uploads" in s.path] == ["POST", "PUT"]


def test_a_registry_that_takes_less_gets_chunks(client: RegistryClient, registry: Registry) -> None:
    registry.most = 1_000_000
    sent(client, registry)
    assert there(registry)
    assert patches(registry)[:2] == ["0-999999", "1000000-1999999"]
    assert len(patches(registry)) == 5


def test_chunks_become_smaller_until_they_are_taken(
    client: RegistryClient, registry: Registry
) -> None:
    registry.most = 300_000
    sent(client, registry)
    assert there(registry)
    assert patches(registry)[0] == "0-249999"


def test_what_a_registry_takes_is_remembered(client: RegistryClient, registry: Registry) -> None:
    registry.most = 1_000_000
    sent(client, registry)
    registry.blobs.clear()
    registry.requests.clear()
    sent(client, registry)
    assert there(registry)
    assert len(patches(registry)) == 5
    assert registry.count("POST", "/uploads/") == 1


def test_chunks_are_not_smaller_than_a_registry_wants(
    client: RegistryClient, registry: Registry
) -> None:
    registry.fault("PUT", "/uploads/", faults.status(413))
    registry.least = 2_000_000
    sent(client, registry)
    assert there(registry)
    assert patches(registry) == ["0-1999999", "2000000-3999999", "4000000-4999999"]


def test_a_registry_that_takes_next_to_nothing_is_an_error(
    client: RegistryClient, registry: Registry
) -> None:
    registry.most = 1000
    with pytest.raises(RegistryError, match="status 413"):
        sent(client, registry)


@pytest.mark.parametrize("status", [405, 411, 501])
def test_a_registry_that_takes_no_whole_blobs_gets_chunks(
    client: RegistryClient, registry: Registry, status: int
) -> None:
    registry.fault("PUT", "/uploads/", faults.status(status))
    sent(client, registry)
    assert there(registry)
    assert len(patches(registry)) == 5


@pytest.mark.parametrize("seekable", [True, False])
def test_an_interrupted_upload_goes_on_where_it_was(
    client: RegistryClient, registry: Registry, seekable: bool
) -> None:
    registry.fault("PUT", "/uploads/", faults.lose(2_000_000), early=True)
    sent(client, registry, open_=lambda: io.BytesIO(DATA) if seekable else Unseekable(DATA))
    assert there(registry)
    assert patches(registry) == ["2000000-4999999"]
    assert registry.count("POST", "/uploads/") == 1


def test_a_registry_that_kept_nothing_gets_all_again(
    client: RegistryClient, registry: Registry
) -> None:
    registry.fault("PUT", "/uploads/", faults.lose(2_000_000, keeps=False), early=True)
    sent(client, registry)
    assert there(registry)


def test_a_registry_that_does_not_say_how_far_it_is_gets_all_anew(
    client: RegistryClient, registry: Registry
) -> None:
    registry.tells_status = False
    registry.fault("PUT", "/uploads/", faults.lose(2_000_000), early=True)
    sent(client, registry)
    assert there(registry)
    assert registry.count("POST", "/uploads/") == 2


def test_a_registry_that_has_forgotten_the_upload_gets_it_anew(
    client: RegistryClient, registry: Registry
) -> None:
    registry.most = 1_000_000

    def act(handler: faults.Handler) -> bool:
        handler.registry.uploads.clear()
        return False

    registry.fault("PATCH", "there=2000000", act)
    sent(client, registry)
    assert there(registry)


def test_a_chunk_at_the_wrong_place_is_set_right(
    client: RegistryClient, registry: Registry
) -> None:
    registry.most = 1_000_000

    def act(handler: faults.Handler) -> bool:
        """Take the chunk, and say that it was not expected here."""
        session = next(iter(handler.registry.uploads))
        handler.registry.uploads[session] += handler.body
        handler.error(416, "BLOB_UPLOAD_INVALID")
        return True

    registry.fault("PATCH", "there=2000000", act)
    sent(client, registry)
    assert there(registry)
    assert len(patches(registry)) == 5


def test_connections_that_always_break_under_a_whole_blob_lead_to_chunks(
    client: RegistryClient, registry: Registry
) -> None:
    registry.tells_status = False
    registry.fault("PUT", "/uploads/", faults.lose(10, keeps=False), times=2, early=True)
    sent(client, registry)
    assert there(registry)
    assert len(patches(registry)) == 5


def test_a_registry_that_claims_more_than_was_sent_is_not_believed(
    client: RegistryClient, registry: Registry
) -> None:
    registry.most = 1_000_000

    def act(handler: faults.Handler) -> bool:
        handler.answer(202, Range="0-4999999")
        return True

    registry.fault("PATCH", "/uploads/", act, times=-1)
    with pytest.raises(RegistryError, match="does not keep to the protocol"):
        sent(client, registry)


def test_a_registry_that_takes_two_bytes_each_time_is_given_up(
    client: RegistryClient, registry: Registry
) -> None:
    def act(handler: faults.Handler) -> bool:
        session = handler.path.rpartition("/")[2].partition("?")[0]
        registry.uploads[session] += handler.body[:2]
        handler.progress(202, "team/app", session)
        return True

    registry.most = 1_000_000
    registry.fault("PATCH", "/uploads/", act, times=50)
    with pytest.raises(RegistryError, match="takes less than it is sent"):
        sent(client, registry)
    assert len(patches(registry)) < 10


def test_retry_after_is_honoured_for_uploads(
    client: RegistryClient, registry: Registry, waits: Waits
) -> None:
    registry.fault("PUT", "/uploads/", faults.status(429, Retry_After="7"))
    sent(client, registry)
    assert there(registry)
    assert 7.0 in waits.seconds


def test_a_registry_that_wants_hours_is_not_waited_for(
    client: RegistryClient, registry: Registry, waits: Waits
) -> None:
    registry.fault("PUT", "/uploads/", faults.status(429, Retry_After="7200"), times=-1)
    with pytest.raises(RegistryError, match="too many requests"):
        sent(client, registry)
    assert registry.count("PUT", "/uploads/") == 1


def test_an_upload_is_tried_about_six_times(client: RegistryClient, registry: Registry) -> None:
    registry.fault("PUT", "/uploads/", faults.status(503), times=-1)
    with pytest.raises(RegistryError) as caught:
        sent(client, registry)
    assert caught.value.code == "registry.unavailable"
    assert registry.count("PUT", "/uploads/") == 6


def test_a_begin_that_is_refused_is_tried_about_six_times(
    client: RegistryClient, registry: Registry
) -> None:
    registry.fault("POST", "/uploads/", faults.status(503), times=-1)
    with pytest.raises(RegistryError):
        sent(client, registry)
    assert registry.count("POST", "/uploads/") == 6


def test_a_token_that_ends_in_the_middle_is_renewed(
    make_client: Callable[..., RegistryClient], registry: Registry
) -> None:
    registry.auth = "token"
    registry.most = 1_000_000
    client = make_client(Keyring({registry.host: Credential(username="ada", password="pa:ss")}))

    def act(handler: faults.Handler) -> bool:
        handler.registry.tokens.clear()
        return False

    registry.fault("PATCH", "there=2000000", act)
    sent(client, registry)
    assert there(registry)


def test_an_upload_that_is_given_up_is_ended(client: RegistryClient, registry: Registry) -> None:
    registry.most = 1_000_000
    with pytest.raises(Cancelled):
        sent(client, registry, cancelled=lambda: registry.count("PATCH", "/uploads/") > 1)
    registry_has_ended = registry.count("DELETE", "/uploads/") == 1 and not registry.uploads
    assert registry_has_ended
    assert not there(registry)


def test_a_refused_upload_is_ended(client: RegistryClient, registry: Registry) -> None:
    registry.fault("PUT", "/uploads/", faults.status(400), times=-1)
    with pytest.raises(RegistryError, match="status 400"):
        sent(client, registry)
    assert registry.count("PUT", "/uploads/") == 1
    assert registry.uploads == {}


def test_a_blob_that_is_shorter_than_it_should_be_is_not_sent_again_and_again(
    client: RegistryClient, registry: Registry
) -> None:
    with pytest.raises(RegistryError, match="bytes shorter than its descriptor says"):
        sent(client, registry, open_=lambda: io.BytesIO(DATA[:-5]))
    assert registry.count("POST", "/uploads/") == 1


def test_an_empty_blob_is_sent(client: RegistryClient, registry: Registry) -> None:
    descriptor = Descriptor(media_type="x", digest=Digest.of(b""), size=0)
    reference = Reference.parse(f"{registry.host}/team/app:1")
    send(client, reference, [Outgoing(descriptor=descriptor, open=lambda: io.BytesIO(b""))])
    assert registry.blobs["team/app", descriptor.digest] == b""
