"""TLS for the hosts that are known in a way of their own: further authorities, a certificate of ours, or none at all.

Behind the transport, and imported for such hosts only.
"""

from __future__ import annotations

import os
import ssl
from typing import Any

import requests
import urllib3

from builder.errors import RegistryError
from builder.registry.endpoint import Trust
from builder.registry.files import Files


def adapter_for(trust: Trust, bundle: str | None) -> requests.adapters.HTTPAdapter:
    """Return what makes connections to a host that is known in this way; `bundle` holds the system's authorities.

    Raises: RegistryError: `registry.config`, a certificate or key cannot be used; it names the file.
    """
    return _Adapter(_context(trust, bundle))


class _Adapter(requests.adapters.HTTPAdapter):
    """Connections with one TLS context, through proxies as well."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_connections=8, pool_maxsize=10, max_retries=0)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, ssl_context=self._context, **options)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, ssl_context=self._context, **options)


def _context(trust: Trust, bundle: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not trust.verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    elif bundle is not None:
        if os.path.isdir(bundle):
            context.load_verify_locations(capath=bundle)
        else:
            context.load_verify_locations(cafile=bundle)
    else:
        context.load_default_certs()
    for path in trust.authorities:
        try:
            context.load_verify_locations(cadata=_text(path))
        except ssl.SSLError as error:
            raise _unusable(path, "it holds no certificates in PEM") from error
    if trust.client is not None:
        _present(context, *trust.client)
    return context


def _present(context: ssl.SSLContext, certificate: str, key: str) -> None:
    for path in (certificate, key):
        _text(path)
    try:
        # Without the answer, OpenSSL would ask the terminal for the password of a key.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise _unusable(
            certificate, f"it and `{key}` are no pair of a certificate and its key without password"
        ) from error


def _text(path: str) -> str:
    raw = Files().content(path)
    if raw is None:
        raise _unusable(path, "there is no such file")
    return raw.decode("ascii", "replace")


def _unusable(path: str, fact: str) -> RegistryError:
    return RegistryError(
        f"the certificate in `{path}` cannot be used", code="registry.config", notes=(fact,)
    )
