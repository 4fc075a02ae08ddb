"""HTTP as registries need it; the only user of requests, which is imported at the first request.

Promises: an authorization reaches its own origin only, TLS is verified, plain http stays on loopback (or
hosts called insecure), no cookies, no `.netrc`, nothing from the environment, bounded tries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from builder.errors import RegistryError
from builder.registry import address, backoff, unanswered
from builder.registry.endpoint import ORDINARY, Trust
from builder.registry.exchange import (
    Cancelled,
    Request,
    Response,
    Transport,
    Trouble,
    Unreachable,
    Upload,
    never,
)

if TYPE_CHECKING:
    import requests

__all__ = ["HttpTransport", "Options", "Transport"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_TEMPORARY = frozenset({429, 500, 502, 503, 504})
_CHUNK = 256 * 1024
_SHORT = 5.0
_PATIENCE = {Trouble.ABSENT: 2, Trouble.SILENT: 3, Trouble.BROKEN: backoff.ATTEMPTS}
_SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach registries. `ca_bundle` is a host path, None is the system's own.

    `proxies` are the usual variables by name (`HTTPS_PROXY`, `NO_PROXY`, in either case). `trust` tells how a host,
    with its port, is known; `any_plain` lets all be spoken to in plain http. `own_headers` go to registries, and to no
    host that they send us to. Timeouts are in seconds.
    """

    ca_bundle: str | None = None
    proxies: tuple[tuple[str, str], ...] = ()
    trust: Callable[[str], Trust] = lambda _authority: ORDINARY
    any_plain: bool = False
    own_headers: Callable[[], tuple[tuple[str, str], ...]] = tuple
    user_agent: str = "lapstrake"
    connect_timeout: float = 10.0
    read_timeout: float = 60.0


class HttpTransport:
    """The real transport; many threads may send at once."""

    def __init__(
        self,
        options: Options | None = None,
        *,
        cancelled: Cancelled = never,
        wait: Callable[[float, Cancelled], None] = backoff.wait,
    ) -> None:
        self._options = options or Options()
        self._cancelled = cancelled
        self._wait = wait
        self._sessions: dict[Trust, requests.Session] = {}
        self._proxies = {name.lower(): value for name, value in self._options.proxies}

    def allows_plain_http(self, host: str) -> bool:
        """Tell whether a host, with its port, may be spoken to without encryption."""
        options, host = self._options, host.lower()
        return options.any_plain or address.allows_plain_http(host) or options.trust(host).plain

    def send(self, request: Request) -> Response:
        """Send a request, following redirects and repeating what may be repeated; the caller closes.

        Raises: RegistryError: there is no answer, or an address that may not be contacted.
        """
        attempts = 1 if isinstance(request.body, Upload) else request.tries or backoff.ATTEMPTS
        failures = 0
        while True:
            pause: float | None = None
            try:
                response = self._follow(request)
            except RegistryError as error:
                failures += 1
                if isinstance(error, Unreachable):
                    attempts = min(attempts, _PATIENCE[error.trouble])
                if not error.temporary or failures >= attempts:
                    raise
            else:
                failures += 1
                if response.status not in _TEMPORARY or failures >= attempts:
                    return response
                pause = backoff.requested_delay(response.header("retry-after"))
                # Whoever tries less often has somebody else to ask, who need not be waited for.
                longest = backoff.LONGEST if request.tries is None else _SHORT
                if pause is not None and pause > longest:
                    return response
                response.close()
            self._wait(backoff.delay(failures) if pause is None else pause, self._cancelled)

    def _follow(self, request: Request) -> Response:
        """Send once, and after redirects again; the authorization stays with its origin."""
        method, url, body = request.method, request.url, request.body
        first = address.origin_of(url)
        for _ in range(_MAX_REDIRECTS + 1):
            origin = address.check(
                url, registry=request.registry, allows_plain=self.allows_plain_http
            )
            if request.stays and origin != first:
                raise RegistryError(
                    f"{first.authority} sends a secret on to `{address.redact(url)}`",
                    code="registry.protocol",
                )
            headers = {"User-Agent": self._options.user_agent, "Accept-Encoding": "identity"}
            headers.update(request.headers)
            if request.authorization is not None and request.authorization.origin == origin:
                headers["Authorization"] = request.authorization.value
            if origin == request.registry:
                headers.update((*self._options.own_headers(), *request.own_headers))
            trust = self._trust(origin, request)
            response = self._once(method, url, headers, body, trust, request.patience)
            location = response.header("location")
            if response.status not in _REDIRECTS or location is None:
                return response
            response.close()
            if response.status == 303 and method != "HEAD":
                method, body = "GET", None
            url = address.joined(url, location)
        raise RegistryError(
            f"more than {_MAX_REDIRECTS} redirects from `{address.redact(request.url)}`",
            code="registry.protocol",
        )

    def _trust(self, origin: address.Origin, request: Request) -> Trust:
        """Return how the host of one address is known; what holds for the registry holds nowhere else."""
        if origin == request.registry and request.trust is not None:
            return request.trust
        return self._options.trust(origin.authority)

    def _once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Upload | None,
        trust: Trust,
        patience: float | None,
    ) -> Response:
        import requests
        import urllib3

        # What is said without TLS needs no connections of its own.
        session = self._connect(ORDINARY if url.startswith("http:") else trust)
        shown = f"{method} {address.redact(url)}"
        data = (_Body(body) if body.size else b"") if isinstance(body, Upload) else body
        try:
            prepared = requests.Request(method, url, headers=headers, data=data).prepare()
            answer = session.send(
                prepared,
                stream=True,
                allow_redirects=False,
                timeout=(
                    patience or self._options.connect_timeout,
                    patience or self._options.read_timeout,
                ),
                verify=(self._bundle() or True) if trust.is_default else trust.verified,
                proxies=self._proxies_for(url),
            )
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema):
            # The address itself was read before: what cannot be used is the proxy.
            raise unanswered.bad_proxy(self.proxy_for(url) or "", shown) from None
        except requests.exceptions.SSLError as error:
            raise unanswered.untrusted(url, shown, error) from None
        except (requests.ConnectionError, requests.Timeout) as error:
            raise unanswered.unreachable(url, shown, error) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, UnicodeError) as error:
            raise RegistryError(
                f"{address.redact(url)} does not answer as HTTP servers do",
                code="registry.protocol",
                request=shown,
                notes=(type(error).__name__,),
            ) from None
        return Response(
            answer.status_code,
            tuple(answer.raw.headers.items()),
            _chunks(answer, shown),
            url=url,
            close=answer.close,
        )

    def _connect(self, trust: Trust) -> requests.Session:
        kind = ORDINARY if trust.is_default else trust
        if kind not in self._sessions:
            from http.cookiejar import DefaultCookiePolicy

            import requests

            session = requests.Session()
            # Requests are prepared outside the session, so neither `.netrc` nor cookies reach them; this says
            # it again, where a later change would forget it.
            session.trust_env = False
            # It would read all of the body of a redirect, and look at where that leads, although it follows none.
            session.get_redirect_target = _nowhere  # type: ignore[method-assign]
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            if kind.is_default:
                adapter = requests.adapters.HTTPAdapter(
                    pool_connections=8, pool_maxsize=10, max_retries=0
                )
            else:
                from builder.registry.handshake import adapter_for

                adapter = adapter_for(kind, self._bundle())
            session.mount("https://", adapter)
            session.mount("http://", adapter)
            self._sessions[kind] = session
        return self._sessions[kind]

    def _bundle(self) -> str | None:
        from pathlib import Path

        chosen = self._options.ca_bundle
        if chosen is not None:
            # A pipe would be waited for; a directory holds certificates by the hashes of their names.
            if not (Path(chosen).is_file() or Path(chosen).is_dir()):
                raise RegistryError(
                    f"there is no certificate bundle at `{chosen}`",
                    hint="correct `SSL_CERT_FILE` or `REQUESTS_CA_BUNDLE`",
                )
            return chosen
        # The system's bundle knows the authorities that an administrator added; requests' own does not.
        return next((path for path in _SYSTEM_BUNDLES if Path(path).exists()), None)

    def proxy_for(self, url: str) -> str | None:
        """Return the proxy through which an address is reached, as the variables have it; None for none."""
        return next(iter(self._proxies_for(url).values()), None)

    def _proxies_for(self, url: str) -> dict[str, str]:
        origin = address.origin_of(url)
        if origin.is_loopback or _bypasses(origin, self._proxies.get("no_proxy", "")):
            return {}
        proxy = self._proxies.get(f"{origin.scheme}_proxy") or self._proxies.get("all_proxy")
        if not proxy:
            return {}
        # As with other programs, a host and a port will do.
        return {origin.scheme: proxy if "://" in proxy else f"http://{proxy}"}


def _nowhere(resp: requests.Response) -> str | None:  # noqa: ARG001  named as what it stands for
    return None


class _Body:
    """What requests takes for a stream of known length."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload

    def __len__(self) -> int:
        return self._upload.size

    def __iter__(self) -> Iterator[bytes]:
        left = self._upload.size
        with self._upload.open() as source:
            _skip(source, self._upload.offset)
            while left:
                chunk = source.read(min(_CHUNK, left))
                if not chunk:
                    raise _too_short(left)
                left -= len(chunk)
                yield chunk
                self._upload.sent(len(chunk))


def _skip(source: BinaryIO, count: int) -> None:
    if source.seekable():
        source.seek(count)
        return
    while count:
        passed = len(source.read(min(_CHUNK, count)))
        if not passed:
            raise _too_short(count)
        count -= passed


def _too_short(missing: int) -> RegistryError:
    return RegistryError(
        f"the blob is {missing} bytes shorter than its descriptor says", code="registry.protocol"
    )


def _chunks(answer: requests.Response, shown: str) -> Iterator[bytes]:
    import urllib3

    try:
        yield from answer.raw.stream(_CHUNK, decode_content=False)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise RegistryError(
            "the connection to the registry broke",
            request=shown,
            temporary=True,
            notes=(type(error).__name__,),
        ) from None
    finally:
        answer.close()


def _bypasses(origin: address.Origin, no_proxy: str) -> bool:
    """Tell whether `NO_PROXY` (names, suffixes, addresses, networks, `*`) covers an origin."""
    for item in no_proxy.split(","):
        pattern = item.strip().lower().lstrip(".")
        if pattern in ("*", origin.authority, f"{origin.host}:{origin.port}", origin.host):
            return True
        if pattern and origin.host.endswith("." + pattern):
            return True
        if "/" in pattern and _in_network(origin.host, pattern):
            return True
    return False


def _in_network(host: str, network: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
