"""Registries that lie, stall and do not stop: each ends in a success or in one clear line, and takes no more than its due."""

from __future__ import annotations

import contextlib
import gzip
import io
import socket
from collections.abc import Callable

import pytest

from builder.errors import LapstrakeError, RegistryError
from builder.oci.manifest import Index, Manifest
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.registry.client import RegistryClient
from builder.registry.pulling import PulledImage, fetch_closure, pull
from builder.registry.pushing import push_closure
from builder.store.blobs import BlobStore
from tests.registry.conftest import Recorder
from tests.support import registry as faults
from tests.support.registry import Handler, Registry, hostile_registry
from tests.support.sample_image import noise, sample_image, tar

Act = Callable[[Handler], bool]
IMAGE = sample_image(tar({"x": noise(600_000)}))
LAYER = IMAGE.manifest.layers[0]


def reference(registry: Registry) -> Reference:
    return Reference.parse(f"{registry.host}/team/app:1")


class Pull:
    """Pulls into a store of its own."""

    def __init__(self, client: RegistryClient, registry: Registry, blobs: BlobStore) -> None:
        self.registry = registry
        self.blobs = blobs
        self._client = client
        registry.add("team/app", "1", IMAGE)

    def __call__(self) -> PulledImage:
        platform = Platform.parse("linux/amd64")
        where = reference(self.registry)
        return pull(self._client, where, platform, self.blobs, Recorder(), 1)

    def refused(self, part: str) -> None:
        """Pull, and expect one line with a text in it or in what is said about it."""
        with pytest.raises(LapstrakeError) as caught:
            self()
        lines = [caught.value.message, *caught.value.notes]
        assert any(part in line for line in lines), lines
        assert not any("\n" in line for line in lines)
        assert not self.blobs.contains(IMAGE.manifest.descriptor().digest)


@pytest.fixture
def pulling(client: RegistryClient, registry: Registry, blobs: BlobStore) -> Pull:
    return Pull(client, registry, blobs)


def raw(status: str, data: bytes = b"", *headers: str) -> Act:
    """Return a fault: answer with exactly these lines and bytes, then hang up."""

    def act(handler: Handler) -> bool:
        lines = [f"HTTP/1.1 {status}", *headers, "", ""]
        with contextlib.suppress(OSError):
            handler.wfile.write("\r\n".join(lines).encode() + data)
        handler.close_connection = True
        return True

    return act


def part(start: int, data: bytes, *, said: str | None = None) -> Act:
    """Return a fault: answer with a part of a blob, and say which it is."""
    said = said if said is not None else f"bytes {start}-{len(data) - 1}/{len(data)}"
    return raw(
        "206 Partial Content",
        data[start:],
        f"Content-Length: {len(data) - start}",
        *([f"Content-Range: {said}"] if said else []),
    )


DATA = IMAGE.blobs[LAYER.digest]


@pytest.mark.parametrize(
    "after",
    [
        part(50_000, DATA),  # earlier than asked for
        part(150_000, DATA),  # later
        part(100_000, DATA, said="nonsense"),
        part(100_000, DATA, said=""),
        part(100_000, DATA, said="bytes 99999999999999999999999-1/1"),
        faults.status(416),
        faults.body(DATA),  # all of it
    ],
)
def test_a_resumed_download_comes_out_right_whatever_part_is_given(
    pulling: Pull, registry: Registry, after: Act
) -> None:
    registry.fault("GET", LAYER.digest, faults.cut(100_000))
    registry.fault("GET", LAYER.digest, after)
    pulling()
    assert pulling.blobs.verify(LAYER.digest)


def test_a_server_that_never_gives_parts_gives_the_whole(pulling: Pull, registry: Registry) -> None:
    def act(handler: Handler) -> bool:
        return bool(handler.headers.get("Range")) and faults.status(416)(handler)

    registry.fault("GET", LAYER.digest, faults.cut(100_000))
    registry.fault("GET", LAYER.digest, act, times=-1)
    pulling()
    assert pulling.blobs.verify(LAYER.digest)


def test_a_part_may_be_the_whole(pulling: Pull, registry: Registry) -> None:
    registry.fault("GET", LAYER.digest, part(0, DATA))
    pulling()
    assert pulling.blobs.verify(LAYER.digest)


def test_a_part_that_was_not_asked_for_is_refused(pulling: Pull, registry: Registry) -> None:
    registry.fault("GET", LAYER.digest, part(10, DATA), times=-1)
    pulling.refused("it answers otherwise")


def test_a_reset_in_the_middle_is_survived(pulling: Pull, registry: Registry) -> None:
    def act(handler: Handler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(LAYER.size))
        handler.end_headers()
        handler.wfile.write(DATA[:100_000])
        handler.wfile.flush()
        return faults.reset(handler)

    registry.fault("GET", LAYER.digest, act, times=3)
    pulling()
    assert pulling.blobs.verify(LAYER.digest)


def test_a_blob_that_stalls_is_gone_on_with(
    make_client: Callable[..., RegistryClient], registry: Registry, blobs: BlobStore
) -> None:
    def act(handler: Handler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(LAYER.size))
        handler.end_headers()
        handler.wfile.write(DATA[:100_000])
        handler.connection.settimeout(20)
        with contextlib.suppress(OSError):
            handler.connection.recv(1)  # until the client has had enough
        handler.close_connection = True
        return True

    registry.fault("GET", LAYER.digest, act)
    pulling = Pull(make_client(read_timeout=0.3), registry, blobs)
    pulling()
    assert blobs.verify(LAYER.digest)


def endless(status: int, counted: list[int]) -> Act:
    """Return a fault: a body that ends when the client leaves; `counted` gets the bytes that went out."""

    def act(handler: Handler) -> bool:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        handler.send_response(status)
        handler.send_header("Content-Type", "application/vnd.oci.image.index.v1+json")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        piece = b"x" * 65_536
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                counted.append(len(piece))
        handler.close_connection = True
        return True

    return act


@pytest.mark.parametrize("status", [200, 403, 404, 400])
@pytest.mark.parametrize("what", ["/manifests/", "/blobs/"])
def test_an_endless_body_takes_no_more_than_its_due(
    pulling: Pull, registry: Registry, status: int, what: str
) -> None:
    counted: list[int] = []
    registry.fault("GET", what, endless(status, counted), times=-1)
    pulling.refused("")
    # Twice for a blob, which is fetched anew once; and what lies in the buffers between us.
    assert sum(counted) < 3 * (4 << 20) + 8 * (1 << 20)


def test_an_endless_answer_of_a_token_service_is_refused(pulling: Pull, registry: Registry) -> None:
    counted: list[int] = []
    registry.auth = "token"
    registry.fault("GET", "/token", endless(200, counted), times=-1)
    pulling.refused("")
    assert sum(counted) < 8 * (1 << 20)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (raw("200 OK", b"", *[f"X-{n}: y" for n in range(500)]), ""),
        (raw("200 OK", b"", "X-Long: " + "y" * 100_000), ""),
        (raw("200 OK", b"zz\r\nnonsense", "Transfer-Encoding: chunked"), ""),
        (raw("200 OK", b"", "Content-Length: -5"), ""),
        (raw("200 OK", b"{}", "Content-Length: 2", "Content-Length: 3"), ""),
        (raw("999 Strange"), "status 999"),
        (raw("204 No Content"), "status 204"),
        (raw("304 Not Modified"), "status 304"),
        (raw("300 Multiple Choices"), "status 300"),
        (raw("401 Unauthorized", b"", "WWW-Authenticate: Negotiate"), "pull access denied"),
        (raw("401 Unauthorized", b"", "WWW-Authenticate: Bearer"), ""),
        (raw("401 Unauthorized", b"", 'WWW-Authenticate: Bearer realm="file:///etc/passwd"'), ""),
        (
            raw(
                "401 Unauthorized", b"", 'WWW-Authenticate: Bearer realm="http://169.254.169.254/"'
            ),
            "",
        ),
        (
            raw("307 Temporary Redirect", b"", "Location: file:///etc/passwd"),
            "neither https nor http",
        ),
        (raw("307 Temporary Redirect", b"", "Location: http://169.254.169.254/"), "network link"),
        (raw("307 Temporary Redirect", b"", "Location: http://[fd00:ec2::254]/"), ""),
        (raw("307 Temporary Redirect", b"", "Location: http://0xA9FEA9FE/"), "network link"),
        (raw("307 Temporary Redirect", b"", "Location: http://metadata.google.internal/"), ""),
        (raw("307 Temporary Redirect", b"", "Location: gopher://x/"), "neither https nor http"),
        (raw("307 Temporary Redirect", b"", "Location: http://user:pw@127.0.0.1/"), ""),
        (raw("307 Temporary Redirect", b"", "Location: http://\u0000/"), ""),
        (raw("307 Temporary Redirect"), "status 307"),
    ],
)
@pytest.mark.parametrize("what", ["/manifests/", "/blobs/"])
def test_an_answer_that_is_none_is_one_line(
    pulling: Pull, registry: Registry, answer: Act, said: str, what: str
) -> None:
    registry.fault("GET", what, answer, times=-1)
    pulling.refused(said)


def test_a_digest_header_that_lies_is_noticed(pulling: Pull, registry: Registry) -> None:
    act = faults.body(
        IMAGE.manifest.raw,
        Content_Type=IMAGE.manifest.media_type,
        Docker_Content_Digest="sha256:" + "0" * 64,
    )
    registry.fault("GET", "/manifests/", act, times=-1)
    pulling.refused("does not have the digest")


def test_a_content_encoding_is_not_undone(pulling: Pull, registry: Registry) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    act = faults.body(bomb, Content_Encoding="gzip", Content_Type=IMAGE.manifest.media_type)
    registry.fault("GET", "/manifests/", act, times=-1)
    pulling.refused("")


def test_a_content_encoding_that_lies_does_no_harm(pulling: Pull, registry: Registry) -> None:
    registry.fault("GET", LAYER.digest, faults.body(DATA, Content_Encoding="gzip"))
    pulling()
    assert pulling.blobs.verify(LAYER.digest)


def test_a_storm_of_refusals_ends(pulling: Pull, registry: Registry) -> None:
    registry.fault("GET", "/blobs/", faults.status(429, Retry_After="0"), times=-1)
    pulling.refused("too many requests")
    assert registry.count("GET", LAYER.digest) <= 36


def test_pages_of_tags_that_lead_elsewhere_learn_nothing_and_end(
    client: RegistryClient, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builder.registry.client._MAX_PAGES", 20)
    registry.auth = None
    registry.add("team/app", "1", IMAGE)
    with hostile_registry() as elsewhere:

        def act(handler: Handler) -> bool:
            link = f'<http://{elsewhere.host}/v2/team/app/tags/list?last=1>; rel="next"'
            handler.answer(200, b'{"tags": ["1"]}', Link=link)
            return True

        registry.fault("GET", "/tags/list", act, times=-1)
        elsewhere.fault("GET", "/tags/list", act, times=-1)
        with pytest.raises(RegistryError, match="does not keep to the protocol"):
            client.list_tags(reference(registry))
        assert all(seen.authorization is None for seen in elsewhere.requests)


# Pushing.


def pushed(client: RegistryClient, registry: Registry, **more: object) -> None:
    document: Manifest | Index = IMAGE.manifest
    from builder.oci.closure import Closure

    push_closure(
        client,
        reference(registry),
        Closure(documents=(document,)),
        lambda digest: io.BytesIO(IMAGE.blobs[digest]),
        Recorder(),
        1,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "http://169.254.169.254/latest",
        "http://metadata.google.internal/",
        "http://user:pw@127.0.0.1/",
        "gopher://x/",
    ],
)
def test_an_upload_goes_nowhere_dubious(
    client: RegistryClient, registry: Registry, location: str
) -> None:
    registry.fault("POST", "/uploads/", raw("202 Accepted", b"", f"Location: {location}"), times=-1)
    with pytest.raises(RegistryError, match="not contacted"):
        pushed(client, registry)


@pytest.mark.parametrize(
    "answer",
    [
        raw("202 Accepted", b"", "Content-Length: 0"),
        raw("200 OK", b"", "Content-Length: 0"),
        raw("404 Not Found", b"", "Content-Length: 0"),
        raw("307 Temporary Redirect", b"", "Location: /v2/loop"),
    ],
)
def test_an_upload_that_cannot_begin_is_one_line(
    client: RegistryClient, registry: Registry, answer: Act
) -> None:
    registry.fault("POST", "/uploads/", answer, times=-1)
    registry.fault("POST", "/loop", answer, times=-1)
    with pytest.raises(RegistryError) as caught:
        pushed(client, registry)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("location", ["?x=1&_state=a%2Fb", "{host}{path}", "{path}"])
def test_locations_may_be_of_any_form(
    client: RegistryClient, registry: Registry, location: str
) -> None:
    def act(handler: Handler) -> bool:
        state = handler.registry
        session = f"odd-{len(state.uploads)}"
        state.uploads[session] = b""
        path = f"/v2/team/app/blobs/uploads/{session}?_state=a%2Fb"
        if location.startswith("?"):
            handler.answer(202, Location=f"{session}?_state=a%2Fb")
        else:
            host = f"http://{state.host}"
            handler.answer(202, Location=location.format(host=host, path=path))
        return True

    registry.fault("POST", "/uploads/", act, times=-1)
    pushed(client, registry)
    assert ("team/app", "1") in registry.manifests


def test_a_mount_that_only_seems_to_work_becomes_an_upload(
    client: RegistryClient, registry: Registry
) -> None:
    registry.fault("POST", "mount=", raw("201 Created", b"", "Content-Length: 0"), times=-1)

    def miss(handler: Handler) -> bool:
        if len(handler.registry.blobs) == len(IMAGE.blobs):
            return False
        handler.error(404, "MANIFEST_BLOB_UNKNOWN")
        return True

    registry.fault("PUT", "/manifests/", miss, times=-1)
    pushed(client, registry, mount_from=lambda _: "base")
    assert registry.blobs["team/app", LAYER.digest] == DATA


def test_a_registry_that_has_everything_and_takes_no_manifest_is_one_line(
    client: RegistryClient, registry: Registry
) -> None:
    registry.fault("HEAD", "/blobs/", faults.body(b""), times=-1)
    registry.fault("PUT", "/manifests/", faults.status(400), times=-1)
    with pytest.raises(RegistryError, match="status 400"):
        pushed(client, registry)
    assert registry.count("PUT", "/manifests/") == 2


def test_a_closure_of_endless_documents_is_refused(
    client: RegistryClient, registry: Registry, blobs: BlobStore
) -> None:
    counted: list[int] = []
    registry.fault("GET", "/manifests/", endless(200, counted), times=-1)
    with pytest.raises(RegistryError, match="larger than"):
        fetch_closure(client, reference(registry), blobs, Recorder(), 1)
    assert sum(counted) < 8 * (1 << 20)
