"""Why there is no answer, in words: the proxy, the network, or TLS."""

from __future__ import annotations

from builder.errors import RegistryError
from builder.registry import address
from builder.registry.exchange import Trouble, Unreachable

# By the names of urllib3's exceptions.
_CAUSES = {
    "NameResolutionError": (Trouble.ABSENT, "its name cannot be resolved"),
    "NewConnectionError": (Trouble.ABSENT, "nothing accepts connections there"),
    "ConnectTimeoutError": (Trouble.SILENT, "it does not answer in time"),
    "ReadTimeoutError": (Trouble.SILENT, "it stopped answering"),
    "ProxyError": (Trouble.ABSENT, "the proxy does not let us through"),
}


def bad_proxy(proxy: str, shown: str) -> RegistryError:
    """Return the error of a proxy whose address is none; `shown` is the request, as people may see it."""
    return RegistryError(
        f"the proxy `{address.redact(proxy)}` cannot be used",
        code="registry.config",
        request=shown,
        hint="correct `HTTPS_PROXY` and its like: `http://HOST:PORT`",
    )


def unreachable(url: str, shown: str, error: Exception) -> Unreachable:
    """Return the error of a host that gives no answer to a request."""
    trouble, fact = _CAUSES.get(_cause(error), (Trouble.BROKEN, "the connection broke"))
    host = address.origin_of(url).authority
    unreachable = Unreachable(
        f"cannot reach the registry at `{host}`",
        request=shown,
        temporary=True,
        notes=(fact,),
        hint="check the network and the proxy settings",
    )
    unreachable.trouble = trouble
    return unreachable


def _cause(error: BaseException) -> str:
    """Return the name of what went wrong, which requests wraps twice."""
    inner: object = error.args[0] if error.args else None
    reason = getattr(inner, "reason", None) or inner
    return type(reason).__name__


def untrusted(url: str, shown: str, error: Exception) -> RegistryError:
    """Return the error of a host whose TLS does not come about, with the one thing to change."""
    host = address.origin_of(url).authority
    text = str(error)
    fact = (
        "certificate verify failed"
        if "CERTIFICATE_VERIFY_FAILED" in text
        else "the TLS handshake failed"
    )
    for reason in (
        "self-signed certificate",
        "certificate has expired",
        "unable to get local issuer",
    ):
        if reason in text:
            fact = reason
    if "no certificate or crl found" in text.lower():
        return RegistryError(
            "the bundle of certificates holds none",
            request=shown,
            hint="correct `SSL_CERT_FILE` or `REQUESTS_CA_BUNDLE`",
        )
    if "doesn't match" in text or "mismatch" in text:
        fact = "the certificate is for another name"
    if "WRONG_VERSION_NUMBER" in text or "HTTP_REQUEST" in text:
        return RegistryError(
            f"`{host}` does not speak TLS",
            request=shown,
            hint=f"if nothing need be encrypted there, add `--insecure-registry {host}`",
        )
    if "CERTIFICATE_REQUIRED" in text or "certificate required" in text:
        return RegistryError(
            f"`{host}` wants to see a certificate of ours",
            request=shown,
            hint=f"put it into `/etc/docker/certs.d/{host}/client.cert`, its key beside it",
        )
    return RegistryError(
        f"the identity of `{host}` cannot be verified",
        request=shown,
        notes=(fact,),
        hint=f"put its authority's certificate into `/etc/docker/certs.d/{host}/ca.crt`",
    )
