"""What registries want people to know is told once, as text, and nothing else happens."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from builder.oci.reference import Reference
from builder.registry.auth import Credential
from builder.registry.client import RegistryClient
from tests.registry.conftest import Keyring
from tests.support import registry as faults
from tests.support.registry import Registry
from tests.support.sample_image import sample_image


def warn(*values: str) -> Callable[[faults.Handler], bool]:
    """Return a fault: add warnings to the right answer."""

    def act(handler: faults.Handler) -> bool:
        answer = handler.send_response

        def send_response(code: int, message: str | None = None) -> None:
            answer(code, message)
            for value in values:
                handler.send_header("Warning", value)

        handler.send_response = send_response  # type: ignore[method-assign]
        return False

    return act


def told(client: RegistryClient, registry: Registry) -> list[str]:
    registry.add("team/app", "1", sample_image())
    for _ in range(2):
        client.fetch_manifest(Reference.parse(f"{registry.host}/team/app:1"))
    return [each.message for each in client.remarks()]


def test_a_warning_is_told_once(client: RegistryClient, registry: Registry) -> None:
    registry.fault("GET", "/manifests/", warn('299 - "tag will go"', '299 - "b \\"c\\""'), times=-1)
    assert told(client, registry) == [
        f"{registry.host} says: tag will go",
        f'{registry.host} says: b "c"',
    ]
    assert client.remarks() == ()


@pytest.mark.parametrize(
    "value", ['199 - "x"', '299 proxy "x"', "299 - x", '299 - ""', "299", 'garbage "', '299 - "']
)
def test_what_is_no_warning_is_not_told(
    client: RegistryClient, registry: Registry, value: str
) -> None:
    registry.fault("GET", "/manifests/", warn(value), times=-1)
    assert told(client, registry) == []


def test_a_warning_is_one_short_line(client: RegistryClient, registry: Registry) -> None:
    registry.fault("GET", "/manifests/", warn('299 - "\x1b[31m' + "x" * 5000 + '"'))
    (message,) = told(client, registry)
    assert message.isprintable()
    assert len(message) < 400


def test_a_registry_that_does_not_stop_is_not_listened_to(
    client: RegistryClient, registry: Registry
) -> None:
    registry.fault("GET", "/manifests/", warn(*(f'299 - "{n}"' for n in range(60))))
    assert len(told(client, registry)) == 20


def test_a_warning_holds_no_secret(
    make_client: Callable[..., RegistryClient], registry: Registry
) -> None:
    registry.auth = "basic"
    client = make_client(Keyring({registry.host: Credential(username="ada", password="pa:ss")}))
    registry.fault("GET", "/manifests/", warn('299 - "your password is pa:ss"'), times=-1)
    assert told(client, registry) == [f"{registry.host} says: your password is ***"]
