"""What can be asked of a registry: manifests, blobs, tags. Nothing it says is believed before it is verified.

Source: OCI distribution-spec, "Pull", "Push", "Content Discovery".
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from builder.diagnostics import Diagnostic
from builder.errors import RegistryError
from builder.oci import mediatypes
from builder.oci.descriptor import MAX_DOCUMENT, Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import Index, Manifest, parse_manifest
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.registry import address, answers
from builder.registry.auth import Credential
from builder.registry.endpoint import Endpoint, Need, host_alone
from builder.registry.exchange import Request, Response, Transport, Upload
from builder.registry.limits import Limits
from builder.registry.notices import Notices
from builder.registry.refusals import Deed, access_denied, broken, refusal
from builder.registry.resolve import Resolved, resolve
from builder.registry.session import Anonymous, Credentials, Session
from builder.registry.ways import Direct, Routes, Ways

_ACCEPT = (("Accept", ", ".join(mediatypes.ACCEPTED)),)
_MAX_PAGES = 1000
_CATALOG_SCOPE = "registry:catalog:*"


class RegistryClient:
    """All registries, one client; many threads may use it at once.

    `routes` tell where a repository can be reached: what is fetched comes from the first place that has it, what
    is sent goes to one.
    """

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials | None = None,
        routes: Routes | None = None,
    ) -> None:
        self._transport = transport
        self._session = Session(transport, credentials or Anonymous())
        self._ways = Ways(routes or Direct())
        self._notices = Notices()
        self.limits = Limits()
        self.delivered: set[tuple[str, Digest]] = set()
        """The blobs that repositories, by registry and name, are known to have, since they were sent or asked for."""

    def remarks(self) -> tuple[Diagnostic, ...]:
        """Return what is to be said about mirrors, and what registries say, since the last time."""
        return (*self._ways.remarks(), *self._notices.new())

    def blame(self, digest: Digest) -> bool:
        """Hear that a blob's bytes were not those of its digest; tell whether it is worth asking again."""
        return self._ways.blame(digest)

    def resolve(
        self,
        reference: Reference,
        platform: Platform | None = None,
        *,
        or_the_only_one: bool = False,
    ) -> Resolved:
        """Find the image that a reference means on a platform; see `builder.registry.resolve`."""
        return resolve(self, reference, platform, or_the_only_one=or_the_only_one)

    def fetch_manifest(
        self, reference: Reference, expected: Descriptor | None = None
    ) -> Manifest | Index:
        """Fetch the manifest or index that a reference points at.

        Raises: RegistryError: it is not there, or its bytes are not those of the digest. ImageError: it is
            malformed.
        """
        digest = expected.digest if expected else reference.digest

        def fetch(endpoint: Endpoint) -> Manifest | Index:
            path = f"manifests/{digest or endpoint.tag or reference.selector}"
            with self._at(endpoint, "GET", reference, path, headers=_ACCEPT) as response:
                if response.status != 200:
                    raise self._refuse(response, reference, Deed.PULL, endpoint)
                raw = response.read(min(MAX_DOCUMENT, expected.size) if expected else MAX_DOCUMENT)
                content_type = response.header("content-type") or ""
                promised = response.header("docker-content-digest")
            if expected is not None and len(raw) != expected.size:
                raise broken(
                    reference, f"the manifest has {len(raw)} bytes instead of {expected.size}"
                )
            answers.check_digest(reference, raw, digest, promised)
            return parse_manifest(raw, expected.media_type if expected else content_type)

        return self._ways.attempt(reference, Need.PULL if digest else Need.RESOLVE, fetch)

    def head_manifest(self, reference: Reference) -> Descriptor:
        """Return what a reference points at now; cheap, and not counted by registries that limit pulls.

        Raises: RegistryError: it is not there.
        """

        def head(endpoint: Endpoint) -> Descriptor | None:
            path = f"manifests/{reference.digest or endpoint.tag or reference.selector}"
            with self._at(endpoint, "HEAD", reference, path, headers=_ACCEPT) as response:
                if response.status == 404 and endpoint.is_mirror:
                    raise self._refuse(response, reference, Deed.PULL, endpoint)
                return answers.described(reference, response) if response.status == 200 else None

        need = Need.PULL if reference.digest else Need.RESOLVE
        # Without the headers, or with a refusal that does not say why: the body knows.
        return (
            self._ways.attempt(reference, need, head) or self.fetch_manifest(reference).descriptor()
        )

    def put_manifest(self, reference: Reference, manifest: Manifest | Index) -> Descriptor:
        """Publish a manifest or index under the reference's tag or digest; what it points to must be there.

        Raises: RegistryError: the registry refuses it.
        """
        descriptor = manifest.descriptor()
        response = self._send(
            "PUT",
            reference,
            f"manifests/{reference.selector}",
            headers=(("Content-Type", manifest.media_type),),
            body=manifest.raw,
        )
        with response:
            if response.status not in (200, 201, 202):
                raise self._refuse(response, reference, Deed.PUSH)
            stored = response.header("docker-content-digest")
        if stored is not None and stored != descriptor.digest:
            raise broken(
                reference, f"it stored the manifest as `{stored[:100]}`, not `{descriptor.digest}`"
            )
        return descriptor

    def list_tags(self, reference: Reference) -> tuple[str, ...]:
        """Return all tags of a repository, in the registry's order.

        Raises: RegistryError: it is not there, or the list does not end.
        """
        tags: list[str] = []
        endpoint = self._ways.own(reference)
        path = f"{_base(endpoint)}tags/list"
        for _ in range(_MAX_PAGES):
            with self._request("GET", reference, path, endpoint=endpoint) as response:
                if response.status != 200:
                    raise self._refuse(response, reference, Deed.PULL, endpoint)
                tags += answers.tags(reference, response.read(MAX_DOCUMENT))
                following = answers.next_page(response.header("link"))
            if following is None:
                return tuple(tags)
            path = address.joined(response.url, following)
        raise broken(reference, "its list of tags does not end")

    def list_repositories(self, registry: str) -> tuple[str, ...]:
        """Return the names of all repositories of a registry, such as `localhost:5000`; many do not tell.

        Raises: RegistryError: it does not tell, or the list does not end.
        """
        endpoint, anything = self._alone(registry), Reference(registry, "catalog")
        names: list[str] = []
        path = f"{endpoint.base}/_catalog"
        for _ in range(_MAX_PAGES):
            response = self._session.send("GET", endpoint, path, scopes=(_CATALOG_SCOPE,))
            with response:
                if response.status != 200:
                    raise _untold(registry, response.status)
                names += answers.repositories(anything, response.read(MAX_DOCUMENT))
                following = answers.next_page(response.header("link"))
            if following is None:
                return tuple(names)
            path = address.joined(response.url, following)
        raise broken(anything, "its list of repositories does not end")

    def delete_manifest(self, reference: Reference) -> None:
        """Take a manifest or index away: by digest with all its tags, by tag that tag alone, if the registry can.

        Raises: RegistryError: it is not there, or the registry does not delete.
        """
        endpoint = self._ways.own(reference)
        path = f"{_base(endpoint)}manifests/{reference.selector}"
        with self._request(
            "DELETE", reference, path, deed=Deed.DELETE, endpoint=endpoint
        ) as response:
            if response.status not in (200, 202, 204):
                raise self._refuse(response, reference, Deed.DELETE, endpoint)

    def fetch_blob(
        self, reference: Reference, descriptor: Descriptor, offset: int = 0
    ) -> Iterator[bytes]:
        """Yield the bytes of a blob from `offset` on; the receiver verifies them.

        Raises: RegistryError: it is not there; temporary, when the connection broke or the body is short.
        """
        headers = (("Range", f"bytes={offset}-"),) if offset else ()

        def begin(endpoint: Endpoint) -> tuple[Endpoint, Response]:
            path = f"blobs/{descriptor.digest}"
            response = self._at(endpoint, "GET", reference, path, headers=headers)
            if offset and answers.misses(response, offset):
                # All of it will do, too: what is known is passed over.
                response.close()
                response = self._at(endpoint, "GET", reference, path)
            foreign = descriptor.urls and mediatypes.is_foreign(descriptor.media_type)
            if response.status == 404 and foreign:
                response.close()
                response = self._foreign(endpoint, descriptor, headers)
            if response.status not in (200, 206):
                what = f"blob `{descriptor.digest}`"
                raise self._refuse(response, reference, Deed.PULL, endpoint, what=what)
            return endpoint, response

        endpoint, response = self._ways.attempt(reference, Need.PULL, begin)
        self._ways.comes_from(descriptor.digest, endpoint)
        try:
            yield from answers.from_offset(reference, descriptor, response, offset)
        except RegistryError:
            self._ways.stumbled(endpoint)
            raise

    def fetch_document(self, reference: Reference, descriptor: Descriptor) -> bytes:
        """Return a small blob, such as a configuration, verified.

        Raises: RegistryError: it is not there, too large, or its bytes are not those of the digest.
        """
        if descriptor.size > MAX_DOCUMENT:
            raise broken(reference, f"a document of it is larger than {MAX_DOCUMENT} bytes")

        def fetch(endpoint: Endpoint) -> bytes:
            path = f"blobs/{descriptor.digest}"
            with self._at(endpoint, "GET", reference, path) as response:
                if response.status != 200:
                    what = f"blob `{descriptor.digest}`"
                    raise self._refuse(response, reference, Deed.PULL, endpoint, what=what)
                raw = response.read(MAX_DOCUMENT)
            if len(raw) != descriptor.size:
                raise broken(
                    reference,
                    f"`{descriptor.digest}` has {len(raw)} bytes instead of {descriptor.size}",
                )
            answers.check_digest(reference, raw, descriptor.digest, None)
            return raw

        return self._ways.attempt(reference, Need.PULL, fetch)

    def blob_exists(self, reference: Reference, digest: Digest) -> bool:
        """Tell whether the registry has a blob in this repository; for those who will push."""
        with self._send("HEAD", reference, f"blobs/{digest}") as response:
            if response.status in (200, 404):
                return response.status == 200
            raise self._refuse(response, reference, Deed.PUSH)

    def manifest_exists(self, reference: Reference, digest: Digest) -> bool:
        """Tell whether the registry has a manifest or index in this repository; for those who will push.

        False where it does not say: whoever pushes loses little.
        """
        path = f"manifests/{digest}"
        with self._send("HEAD", reference, path, headers=_ACCEPT) as response:
            if response.status in (401, 403):
                raise self._refuse(response, reference, Deed.PUSH)
            named = response.header("docker-content-digest")
            return response.status == 200 and named in (None, digest)

    def post(
        self,
        method: str,
        reference: Reference,
        path: str,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes | Upload | None = None,
        more_scopes: tuple[str, ...] = (),
        patience: float | None = None,
    ) -> Response:
        """Ask the place where images are sent to, for those who upload; `path` is one below the repository, or an address.

        Returns: any answer; see `refuse`.
        Raises: RegistryError: there is none.
        """
        endpoint = self._ways.first(reference, Need.PUSH)
        return self._request(
            method,
            reference,
            path if "://" in path else _base(endpoint) + path,
            deed=Deed.PUSH,
            headers=headers,
            body=body,
            more_scopes=more_scopes,
            endpoint=endpoint,
            patience=patience,
        )

    def ask(self, reference: Reference, path: str, *, accept: str) -> Response:
        """Read something at the registry itself, not at its mirrors; `path` is one below the repository, or an address.

        Returns: any answer; see `refusal_of`.
        Raises: RegistryError: there is none.
        """
        endpoint = self._ways.own(reference)
        return self._request(
            "GET",
            reference,
            path if "://" in path else _base(endpoint) + path,
            headers=(("Accept", accept),),
            endpoint=endpoint,
        )

    def refusal_of(self, response: Response, reference: Reference) -> RegistryError:
        """Return what an answer says that is not the one that was hoped for."""
        return self._refuse(response, reference, Deed.PULL)

    def refuse(self, response: Response, reference: Reference, digest: Digest) -> RegistryError:
        """Return what an answer says that takes a blob not."""
        return self._refuse(response, reference, Deed.PUSH, what=f"blob `{digest}`")

    def login(self, registry: str, credential: Credential) -> Credential:
        """Show a credential to a registry, such as `docker.io` or `localhost:5000`.

        Returns: what to keep.
        Raises: RegistryError: it is not accepted.
        """
        return self._session.login(self._alone(registry), credential)

    def _alone(self, registry: str) -> Endpoint:
        """Return a registry as such, reached as its repositories are."""
        place = self._ways.at(registry, Reference(registry, "any"))
        return msgspec.structs.replace(
            host_alone(registry, place.trust), scheme=place.scheme, headers=place.headers
        )

    def _foreign(
        self, endpoint: Endpoint, descriptor: Descriptor, headers: tuple[tuple[str, str], ...]
    ) -> Response:
        """Ask the further places of a foreign layer, which learn nothing about us."""
        registry = self._session.origin(endpoint)
        for url in descriptor.urls[:3]:
            address.check(url, registry=registry)
            response = self._transport.send(
                Request(method="GET", url=url, registry=registry, headers=headers)
            )
            if response.status in (200, 206):
                return response
            response.close()
        raise RegistryError(
            f"blob `{descriptor.digest}` is in none of the places that the image names",
            code="registry.not-found",
        )

    def _at(
        self,
        endpoint: Endpoint,
        method: str,
        reference: Reference,
        path: str,
        *,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        """Ask one place for what is to be fetched; `path` is that behind the repository."""
        if endpoint.namespace:
            path += f"?ns={endpoint.namespace}"
        return self._request(
            method, reference, _base(endpoint) + path, endpoint=endpoint, headers=headers
        )

    def _send(
        self,
        method: str,
        reference: Reference,
        path: str,
        *,
        deed: Deed = Deed.PUSH,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes | Upload | None = None,
        more_scopes: tuple[str, ...] = (),
    ) -> Response:
        """Ask the place where images are sent to."""
        endpoint = self._ways.first(reference, Need.PUSH)
        return self._request(
            method,
            reference,
            _base(endpoint) + path,
            deed=deed,
            headers=headers,
            body=body,
            more_scopes=more_scopes,
            endpoint=endpoint,
        )

    def _request(
        self,
        method: str,
        reference: Reference,
        path: str,
        *,
        deed: Deed = Deed.PULL,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes | Upload | None = None,
        more_scopes: tuple[str, ...] = (),
        endpoint: Endpoint | None = None,
        patience: float | None = None,
    ) -> Response:
        if endpoint is None:
            endpoint = self._ways.first(reference, Need.PUSH)
        try:
            response = self._session.send(
                method,
                endpoint,
                path,
                scopes=(f"repository:{endpoint.repository}:{deed.actions}", *more_scopes),
                headers=headers,
                body=body,
                patience=patience,
            )
        except RegistryError as error:
            if error.code != "registry.unauthorized":
                raise
            raise access_denied(
                reference, deed=deed, status=error.status or 401, notes=error.notes
            ) from error
        warnings = response.headers("warning")
        if warnings:
            self._notices.hear(endpoint.registry, warnings, self._session.secrets(endpoint))
        return response

    def _refuse(
        self,
        response: Response,
        reference: Reference,
        deed: Deed,
        endpoint: Endpoint | None = None,
        *,
        what: str = "",
    ) -> RegistryError:
        endpoint = endpoint or self._ways.first(reference, Need.PUSH)
        return refusal(
            response,
            reference,
            deed=deed,
            secrets=self._session.secrets(endpoint),
            what=what,
            anonymous=self._session.credential(endpoint) is None,
        )


def _untold(registry: str, status: int) -> RegistryError:
    denied = status in (401, 403)
    return RegistryError(
        f"{registry} does not list its repositories{' to us' if denied else ''}",
        code="registry.unauthorized" if denied else "registry.not-found",
        status=status,
        notes=(f"it answers with status {status}",),
        hint=f"run `lapstrake login {registry}`" if denied else None,
    )


def _base(endpoint: Endpoint) -> str:
    return f"{endpoint.base}/{endpoint.repository}/"
