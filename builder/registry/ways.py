"""The places of a repository, asked in their order: mirrors first, and past those that fail.

What a mirror gives is verified like anything else; one that cannot be used is passed over for the rest of the
process, and said so once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from builder.diagnostics import Diagnostic, Severity
from builder.errors import ImageError, LapstrakeError, RegistryError
from builder.oci.digest import Digest
from builder.oci.reference import Reference
from builder.registry.endpoint import Endpoint, Need, direct

_STUMBLES = 2
"""How often a connection to a mirror may break."""

T = TypeVar("T")


class Routes(Protocol):
    """Who knows where a repository can be reached."""

    def endpoints(self, reference: Reference, need: Need, /) -> tuple[Endpoint, ...]:
        """Return the places, at least one, in the order in which they are to be asked.

        Raises: RegistryError: `registry.blocked`, or the configuration cannot be read.
        """


class Direct:
    """The routes of those who have no configuration: every reference is where it says."""

    def endpoints(self, reference: Reference, _need: Need, /) -> tuple[Endpoint, ...]:
        """Return the place that the reference names."""
        return (direct(reference),)


class Ways:
    """What is known about places from having asked them; many threads may use it at once."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._passed: set[Endpoint] = set()
        self._stumbles: dict[Endpoint, int] = {}
        self._sources: dict[Digest, Endpoint] = {}
        self._told: set[str] = set()
        self._remarks: list[Diagnostic] = []

    def first(self, reference: Reference, need: Need) -> Endpoint:
        """Return the one place for what only one place can do."""
        return self._routes.endpoints(reference, need)[0]

    def own(self, reference: Reference) -> Endpoint:
        """Return the place that is no mirror; it alone knows all tags.

        Raises: RegistryError: see `Routes.endpoints`.
        """
        places = self._routes.endpoints(reference, Need.RESOLVE)
        return next((each for each in places if not each.is_mirror), places[-1])

    def at(self, registry: str, reference: Reference) -> Endpoint:
        """Return the place that is the registry itself, wherever its images are fetched from.

        Raises: RegistryError: see `Routes.endpoints`.
        """
        for need in (Need.PUSH, Need.RESOLVE):
            for endpoint in self._routes.endpoints(reference, need):
                if endpoint.registry == registry:
                    return endpoint
        return direct(reference)

    def attempt(self, reference: Reference, need: Need, use: Callable[[Endpoint], T]) -> T:
        """Return what `use` makes of the first place that can be used.

        Raises: RegistryError, ImageError: what the last place says, with notes about those before it.
        """
        places = self._routes.endpoints(reference, need)
        open_places = [each for each in places if each not in self._passed] or list(places[-1:])
        failures: list[str] = []
        for endpoint in open_places[:-1]:
            try:
                return use(endpoint)
            except (RegistryError, ImageError) as error:
                failures.append(f"{endpoint.name}, asked before, says: {error.message}")
                self._pass_over(endpoint, error)
        try:
            return use(open_places[-1])
        except (RegistryError, ImageError) as error:
            error.notes = (*error.notes, *failures)
            raise

    def comes_from(self, digest: Digest, endpoint: Endpoint) -> None:
        """Remember who gave a blob."""
        self._sources[digest] = endpoint

    def stumbled(self, endpoint: Endpoint) -> None:
        """Remember that a connection broke; a mirror that goes on so is passed over."""
        self._stumbles[endpoint] = self._stumbles.get(endpoint, 0) + 1
        if endpoint.is_mirror and self._stumbles[endpoint] >= _STUMBLES:
            self._passed.add(endpoint)
            self._remark(endpoint, "its connections break")

    def blame(self, digest: Digest) -> bool:
        """Hear that a blob's bytes were not those of its digest; tell whether another place may have them."""
        endpoint = self._sources.pop(digest, None)
        # One that is the only place left is asked although it was blamed before: once is enough.
        if endpoint is None or not endpoint.is_mirror or endpoint in self._passed:
            return False
        self._passed.add(endpoint)
        self._remark(endpoint, f"what it gave for `{digest}` is something else")
        return True

    def remarks(self) -> tuple[Diagnostic, ...]:
        """Return what is to be said since the last time."""
        said, self._remarks = tuple(self._remarks), []
        return said

    def _pass_over(self, endpoint: Endpoint, error: LapstrakeError) -> None:
        # Who has no such image may have others; who cannot be reached is not waited for again.
        if error.code not in ("registry.not-found", "image.invalid"):
            self._passed.add(endpoint)
        self._remark(endpoint, error.message, *error.notes)

    def _remark(self, endpoint: Endpoint, *facts: str) -> None:
        message = f"the mirror `{endpoint.name}` was passed over"
        if message in self._told:
            return
        self._told.add(message)
        self._remarks.append(
            Diagnostic(severity=Severity.NOTE, code="", message=message, notes=facts)
        )
