"""From the settings to a client of registries: which files count, whose credentials, which hosts are known how."""

from __future__ import annotations

from collections.abc import Callable

from builder.diagnostics import Diagnostic, Severity
from builder.errors import ImageError, RegistryError
from builder.oci.reference import Reference
from builder.registry.client import RegistryClient
from builder.registry.configuration import Configuration, Places
from builder.registry.credentials import Given, Keyring, Sources
from builder.registry.transport import HttpTransport, Options
from builder.settings import Settings


class Lookup:
    """What one process knows of registries; files are read when a registry is asked for."""

    def __init__(self, settings: Settings, cancelled: Callable[[], bool]) -> None:
        self._settings = settings
        self._cancelled = cancelled
        self._remarks: list[Diagnostic] = []
        self.configuration = Configuration(places_of(settings), settings.insecure_registries)
        self.keyring = Keyring(
            sources_of(settings), helpers=lambda: self.configuration.conf.helpers
        )

    def transport(self) -> HttpTransport:
        """Return what carries requests."""
        options = Options(
            ca_bundle=self._settings.ca_bundle,
            proxies=self._settings.proxies,
            trust=self.configuration.trust,
            own_headers=self.keyring.headers,
        )
        return HttpTransport(options, cancelled=self._cancelled)

    def client(self) -> RegistryClient:
        """Return a client."""
        return RegistryClient(self.transport(), self.keyring, self.configuration)

    def where(self, client: RegistryClient, names: tuple[Reference, ...]) -> Reference:
        """Return the first of several names that its registry knows; the last is not asked for."""
        for name in names[:-1]:
            try:
                client.head_manifest(name)
            except (RegistryError, ImageError) as error:
                self._remarks.append(
                    Diagnostic(
                        severity=Severity.NOTE,
                        code="",
                        message=f"`{name.familiar()}` was not found, and the next registry is asked",
                        notes=(error.message, *error.notes),
                    )
                )
            else:
                return name
        return names[-1]

    def remarks(self) -> tuple[Diagnostic, ...]:
        """Return what is to be said of names since the last time."""
        said, self._remarks = tuple(self._remarks), []
        return said


def places_of(settings: Settings) -> Places:
    """Return where the configuration of registries may lie."""
    return Places(
        user=settings.config_home,
        docker=settings.docker_config,
        registries_conf=settings.registries_conf,
    )


def sources_of(settings: Settings) -> Sources:
    """Return where credentials may be; a directory that was chosen by a variable goes before those that were not."""
    docker = f"{settings.docker_config}/config.json"
    found = [
        settings.session_auth,
        f"{settings.config_home}/containers/auth.json",
        docker,
        f"{settings.home}/.dockercfg",
    ]
    if settings.docker_config != f"{settings.home}/.docker":
        found.insert(0, docker)
    return Sources(
        docker=docker,
        session=settings.session_auth,
        files=tuple(dict.fromkeys(filter(None, found))),
        only=settings.auth_file,
        override=settings.docker_auth_config,
        given=tuple(
            [
                Given(host=host, username=username, password=password, where=where)
                for host, username, password, where in settings.ci_credentials
            ]
        ),
    )
