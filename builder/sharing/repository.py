"""A shared cache in a registry.

    NAME:TAG                  a set that covers those of before; whoever writes it last may forget one
    NAME:TAG.<digits>         a set: what one build added, called by its digest
    NAME:TAG.<digits>.layers  the layers of that set, so that the registry keeps them

Source: OCI distribution-spec, "Pull", "Push", "Content Discovery"; OCI image-spec, manifest.md, "Guidelines for Artifact Usage".
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence

from builder.errors import ImageError, RegistryError, UsageError
from builder.oci.descriptor import Descriptor
from builder.oci.manifest import Index, Manifest
from builder.oci.mediatypes import CONFIGS
from builder.oci.reference import Reference
from builder.registry import backoff, pulling, pushing, upload
from builder.registry.client import RegistryClient
from builder.sharing.place import Parcel, refuse_foreign
from builder.sharing.records import EMPTY, EMPTY_CONFIG, layers_manifest, set_name, set_of

_DIGITS = frozenset("0123456789abcdef")
_NAME = 16
_LAYERS = ".layers"
_LONGEST_TAG = 128
_SETS_LIMIT = 2000
_PLATFORMS_LIMIT = 30
_UNKNOWN = "unknown"
"""The system of what is no image to run: attestations."""
_TRIES = 4
_UNSETTLED = frozenset({400, 404})
_LAYERS_AT_ONCE = 10_000


class RepositoryPlace:
    """A cache under one tag of a repository; to be read, it may be inside an image, too."""

    def __init__(
        self,
        client: RegistryClient,
        reference: Reference,
        cancelled: Callable[[], bool],
        *,
        may_be_image: bool = False,
    ) -> None:
        self._may_be_image = may_be_image
        self.name = reference.familiar()
        self._client = client
        self._reference = reference
        self._cancelled = cancelled
        self._tag = reference.tag or "latest"
        if len(self._tag) + _NAME + len(_LAYERS) + 1 > _LONGEST_TAG:
            raise UsageError(
                f"the tag of `{self.name}` is too long for a cache", hint="use a shorter one"
            )

    def sets(self) -> Iterator[Manifest]:
        """Yield the set that covers others, then those that it does not."""
        covered: frozenset[str] = frozenset()
        under = self._manifest(self._tag)
        if self._may_be_image and isinstance(under, Index):
            refuse_foreign(under, self.name)
            yield from self._images(under)
            return
        top = self._top(under)
        if top is not None:
            found = set_of(top)
            yield top
            if found is None:
                return  # an image, beside which there is no cache
            covered = found.covers
        for name in self._names()[:_SETS_LIMIT]:
            if name not in covered and (top is None or name != set_name(top)):
                manifest = self._manifest(f"{self._tag}.{name}")
                if isinstance(manifest, Manifest) and set_name(manifest) == name:
                    yield manifest

    def _images(self, index: Index) -> Iterator[Manifest]:
        """Yield the images of all platforms, each of which knows its own layers."""
        for descriptor in index.manifests[:_PLATFORMS_LIMIT]:
            if descriptor.platform is None or descriptor.platform.os == _UNKNOWN:
                continue
            found = self._client.fetch_manifest(self._reference, descriptor)
            if isinstance(found, Manifest) and _is_image(found):
                yield found

    def _top(self, found: Manifest | Index | None) -> Manifest | None:
        """Return what is under the tag itself, None if nothing is.

        Raises: ImageError: it is something else.
        """
        if found is None:
            return None
        refuse_foreign(found, self.name)
        if self._may_be_image and isinstance(found, Manifest) and _is_image(found):
            return found
        if isinstance(found, Index) or set_of(found) is None:
            raise ImageError(
                f"`{self.name}` is no cache of lapstrake's",
                hint="give the cache a tag of its own",
            )
        return found

    def _names(self) -> list[str]:
        try:
            tags = self._client.list_tags(self._reference)
        except RegistryError as error:
            if error.code != "registry.not-found":
                raise
            return []
        prefix = self._tag + "."
        names = [tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix)]
        return [name for name in names if len(name) == _NAME and _DIGITS.issuperset(name)]

    def _manifest(self, tag: str) -> Manifest | Index | None:
        try:
            return self._client.fetch_manifest(self._reference.with_tag(tag))
        except RegistryError as error:
            if error.code != "registry.not-found":
                raise
            return None

    def document(self, descriptor: Descriptor) -> bytes:
        """Return a small blob, verified."""
        return self._client.fetch_document(self._reference, descriptor)

    def chunks(self, descriptor: Descriptor) -> Iterator[bytes]:
        """Yield the bytes of a blob; a broken connection is taken up again."""
        return pulling.receive(self._client, self._reference, descriptor, cancelled=self._cancelled)

    def put(self, parcels: Sequence[Parcel]) -> int:
        """Send the blobs that the repository lacks."""
        outgoing = [upload.Outgoing(descriptor=each.descriptor, open=each.open) for each in parcels]
        return pushing.send(self._client, self._reference, outgoing, cancelled=self._cancelled)

    def publish(self, manifest: Manifest, layers: Sequence[Descriptor]) -> None:
        """Put the layers' manifest, then that of the set: what can be found is whole."""
        tag = f"{self._tag}.{set_name(manifest)}"
        self._put_empty()
        if layers:
            kept = layers_manifest(layers[:_LAYERS_AT_ONCE])
            self._put_manifest(tag + _LAYERS, kept)
        self._put_manifest(tag, manifest)

    def summarise(self, manifest: Manifest, covered: Iterable[str]) -> None:
        """Put a set under the tag itself, unless something else is there by now."""
        del covered
        self._top(self._manifest(self._tag))
        self._put_empty()
        self._put_manifest(self._tag, manifest)

    def _put_manifest(self, tag: str, manifest: Manifest) -> None:
        """Put a manifest, again if need be: while several send one blob at once, some registries miss it for a moment."""
        for failures in range(1, _TRIES + 1):
            try:
                self._client.put_manifest(self._reference.with_tag(tag), manifest)
            except RegistryError as error:
                if error.status not in _UNSETTLED or failures == _TRIES:
                    raise
                backoff.wait(backoff.delay(failures), self._cancelled)
            else:
                return

    def _put_empty(self) -> None:
        self.put([Parcel(descriptor=EMPTY_CONFIG, open=lambda: io.BytesIO(EMPTY))])


def _is_image(manifest: Manifest) -> bool:
    return manifest.config.media_type in CONFIGS
