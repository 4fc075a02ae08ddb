"""Passwords where Docker keeps them: `config.json` and credential helpers.

A registry's host must match exactly; nothing is guessed from parts of names. Helpers are started by argument
list, without a shell, and are given the host on their standard input.

Source: docker/cli, "docker login", "Credential helpers"; docker-credential-helpers, README.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from pathlib import Path

import msgspec

from builder.errors import RegistryError, UsageError
from builder.oci.reference import HUB
from builder.registry.auth import Credential

HUB_KEY = "https://index.docker.io/v1/"
"""The name under which Docker Hub's credentials are kept, for historical reasons."""

_MAX_CONFIG = 4 * 1024 * 1024
_HELPER_SECONDS = 60
_TOKEN_USER = "<token>"  # noqa: S105  a marker, which says that the secret is an identity token
_HELPER_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_NOT_FOUND = "credentials not found in native keychain"
_HUB_NAMES = frozenset({HUB, "index.docker.io", "registry-1.docker.io"})


class DockerCredentials:
    """The credentials of one `config.json`; read anew at each question, written by rename.

    `directory` is what `$DOCKER_CONFIG` names, a host path. `override` is the text of
    `$DOCKER_AUTH_CONFIG`, which goes before the file.
    """

    def __init__(self, directory: str | os.PathLike[str], *, override: str | None = None) -> None:
        self._path = Path(directory) / "config.json"
        self._override = override

    def for_repository(self, host: str, _repository: str = "") -> Credential | None:
        """Return the credential for a registry's host, with its port; None is anonymous.

        Raises: RegistryError: the file is malformed, or a helper fails.
        """
        key = storage_key(host)
        if self._override:
            found = _from_auths(_parse(self._override.encode(), "$DOCKER_AUTH_CONFIG"), key)
            if found is not None:
                return found
        config = self._read()
        helper = _helper_for(config, key)
        if helper is not None:
            found = _ask(helper, key)
            if found is not None:
                return found
        return _from_auths(config, key)

    def store(self, host: str, credential: Credential) -> str:
        """Keep a credential, in the helper if one is configured, else in the file with mode 0600.

        Returns: where it went, for people: a path, or a helper's name.
        Raises: RegistryError: it cannot be kept.
        """
        key = storage_key(host)
        members = self._members()
        config = self._read()
        helper = _helper_for(config, key)
        if helper is not None:
            _tell(helper, key, credential)
            entry: dict[str, str] = {}
        elif credential.identity_token:
            entry = {
                "auth": _encode(credential.username, ""),
                "identitytoken": credential.identity_token,
            }
        else:
            entry = {"auth": _encode(credential.username, credential.password)}
        auths = _decode_members(members.get("auths"))
        auths[key] = msgspec.Raw(msgspec.json.encode(entry))
        self._write(members, auths)
        return f"docker-credential-{helper}" if helper else str(self._path)

    def erase(self, host: str) -> bool:
        """Forget a credential.

        Returns: whether there was one.
        Raises: RegistryError: the file cannot be written, or the helper fails.
        """
        key = storage_key(host)
        config = self._read()
        helper = _helper_for(config, key)
        there = False
        if helper is not None:
            there = _ask(helper, key) is not None
            if there:
                _run(helper, "erase", key.encode())
        members = self._members()
        auths = _decode_members(members.get("auths"))
        matching = [name for name in auths if _normal(name) == _normal(key)]
        for name in matching:
            del auths[name]
        if matching:
            self._write(members, auths)
        return there or bool(matching)

    def _read(self) -> _ConfigWire:
        raw = self._raw()
        return _parse(raw, str(self._path)) if raw is not None else _ConfigWire()

    def _members(self) -> dict[str, msgspec.Raw]:
        return _decode_members(msgspec.Raw(self._raw() or b"{}"))

    def _raw(self) -> bytes | None:
        try:
            with self._path.open("rb") as file:
                raw = file.read(_MAX_CONFIG + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise RegistryError(
                f"cannot read `{self._path}`", code="registry.config", notes=(error.strerror or "",)
            ) from error
        if len(raw) > _MAX_CONFIG:
            raise _malformed(str(self._path), f"larger than {_MAX_CONFIG} bytes")
        return raw if raw.strip() else None

    def _write(self, members: dict[str, msgspec.Raw], auths: dict[str, msgspec.Raw]) -> None:
        members = {**members, "auths": msgspec.Raw(msgspec.json.encode(auths))}
        data = msgspec.json.format(msgspec.json.encode(members), indent=2) + b"\n"
        # The file may be a link into a directory of dot files: what it points to is replaced, not the link.
        target = Path(os.path.realpath(self._path))
        temporary = target.with_name(f"{target.name}.{os.urandom(6).hex()}")
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise RegistryError(
                f"cannot write `{target}`", code="registry.config", notes=(error.strerror or "",)
            ) from error


def storage_key(host: str) -> str:
    """Return the name under which a host's credentials are kept."""
    return HUB_KEY if host.lower() in _HUB_NAMES else host.lower()


class _AuthWire(msgspec.Struct):
    auth: str | None = None
    username: str | None = None
    password: str | None = None
    identitytoken: str | None = None
    registrytoken: str | None = None


class _ConfigWire(msgspec.Struct):
    auths: dict[str, _AuthWire | None] | None = None
    creds_store: str | None = msgspec.field(default=None, name="credsStore")
    cred_helpers: dict[str, str] | None = msgspec.field(default=None, name="credHelpers")


class _SecretWire(msgspec.Struct):
    username: str = msgspec.field(default="", name="Username")
    secret: str = msgspec.field(default="", name="Secret")


def _parse(raw: bytes, origin: str) -> _ConfigWire:
    try:
        return msgspec.json.decode(raw, type=_ConfigWire)
    except (ValueError, RecursionError) as error:
        # The message of the parser names a place in the document, never its contents.
        raise _malformed(origin, str(error)[:200]) from None


def _decode_members(raw: msgspec.Raw | None) -> dict[str, msgspec.Raw]:
    if raw is None:
        return {}
    try:
        return msgspec.json.decode(raw, type=dict[str, msgspec.Raw] | None) or {}
    except (ValueError, RecursionError) as error:
        raise _malformed("config.json", str(error)[:200]) from None


def _malformed(origin: str, fact: str) -> RegistryError:
    return RegistryError(
        f"{origin} is malformed",
        code="registry.config",
        notes=(fact,),
        hint="correct or delete the file",
    )


def _from_auths(config: _ConfigWire, key: str) -> Credential | None:
    auths = config.auths or {}
    wanted = _normal(key)
    entry = auths.get(key)
    if entry is None:
        entry = next((value for name, value in auths.items() if _normal(name) == wanted), None)
    if entry is None:
        return None
    username, password = entry.username or "", entry.password or ""
    if entry.auth:
        try:
            decoded = b64decode(entry.auth, validate=True).decode()
        except ValueError:
            raise _malformed(
                f"the entry for `{key}` in config.json", "`auth` is not base64"
            ) from None
        username, _, password = decoded.partition(":")
        password = password.rstrip("\0")
    credential = Credential(
        username=username,
        password=password,
        identity_token=entry.identitytoken or "",
        registry_token=entry.registrytoken or "",
    )
    # Docker leaves an empty entry where a helper keeps the secret.
    return credential if credential.secrets() else None


def _normal(key: str) -> str:
    """Return the host that a key means; old clients wrote addresses such as `https://host/v1/`."""
    if key == HUB_KEY:
        return HUB
    host = key.removeprefix("https://").removeprefix("http://").partition("/")[0].lower()
    return HUB if host in _HUB_NAMES else host


def _helper_for(config: _ConfigWire, key: str) -> str | None:
    helpers = config.cred_helpers or {}
    wanted = _normal(key)
    chosen = next(
        (value for name, value in helpers.items() if _normal(name) == wanted), config.creds_store
    )
    if not chosen:
        return None
    if not _HELPER_NAME.issuperset(chosen):
        raise _malformed(
            "config.json", "the name of a credential helper holds other characters than letters"
        )
    return chosen


def _ask(helper: str, key: str) -> Credential | None:
    output = _run(helper, "get", key.encode(), absent_is_fine=True)
    if output is None:
        return None
    try:
        wire = msgspec.json.decode(output, type=_SecretWire)
    except (ValueError, RecursionError):
        raise _helper_failed(helper, "its answer is not what helpers answer") from None
    if not wire.secret:
        return None
    if wire.username == _TOKEN_USER:
        return Credential(identity_token=wire.secret)
    return Credential(username=wire.username, password=wire.secret)


def _tell(helper: str, key: str, credential: Credential) -> None:
    is_token = bool(credential.identity_token)
    message = {
        "ServerURL": key,
        "Username": _TOKEN_USER if is_token else credential.username,
        "Secret": credential.identity_token if is_token else credential.password,
    }
    _run(helper, "store", msgspec.json.encode(message))


def _run(helper: str, verb: str, message: bytes, *, absent_is_fine: bool = False) -> bytes | None:
    import subprocess

    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(  # noqa: S603  a checked name, an argument list, no shell
            [program, verb],
            input=message,
            capture_output=True,
            timeout=_HELPER_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise _helper_failed(helper, "it is not installed") from None
    except subprocess.TimeoutExpired:
        raise _helper_failed(
            helper, f"it does not answer within {_HELPER_SECONDS} seconds"
        ) from None
    except OSError as error:
        raise _helper_failed(helper, error.strerror or "it cannot be started") from None
    if done.returncode == 0:
        return done.stdout[:_MAX_CONFIG]
    # Helpers explain on standard output. A secret never stands there unless the helper succeeded.
    said = done.stdout[:500].decode(errors="replace").strip()
    if absent_is_fine and (_NOT_FOUND in said or "not found" in said.lower()):
        return None
    raise _helper_failed(helper, said or f"it ended with code {done.returncode}")


def _helper_failed(helper: str, fact: str) -> RegistryError:
    return RegistryError(
        f"the credential helper `docker-credential-{helper}` fails",
        code="registry.helper",
        notes=(fact,),
        hint="repair the helper, or remove it from Docker's config.json",
    )


def _encode(username: str, password: str) -> str:
    if ":" in username:
        raise UsageError("a user name cannot contain a colon")
    return b64encode(f"{username}:{password}".encode()).decode()
