"""Who we are to a registry: asked of files, helpers and variables, in an order that is told.

    --authfile FILE           that file alone
    $DOCKER_AUTH_CONFIG       the text of a `config.json`
    $REGISTRY_AUTH_FILE       that file in the place of the ones below
    helpers of registries.conf, auth.json of the session and of the user, Docker's config.json, .dockercfg
    $CI_REGISTRY_PASSWORD …   of GitLab's jobs, for their own registry

`login` writes Docker's file, or the one that was named; what is for a path of a registry goes into an `auth.json`.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from builder.errors import RegistryError
from builder.registry import auth_file, credential_helper
from builder.registry.auth import Credential
from builder.registry.auth_file import AuthFile, helper_name, normal, storage_key
from builder.registry.files import Files
from builder.registry.registries_conf import AUTH_FILES

_OVERRIDE = "$DOCKER_AUTH_CONFIG"
_CONF = "registries.conf"


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """A user and password for one host that variables hold; `where` names them."""

    host: str
    username: str
    password: str
    where: str

    def __repr__(self) -> str:
        return f"Given({self.host!r}, {self.username!r}, …)"


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Where credentials may be; all paths are host paths.

    `docker` is Docker's `config.json`, `session` the `auth.json` that paths of registries are written to, `files` are
    searched in their order. `only` is read in their place. `override` is the text of a file that goes before them.
    """

    docker: str
    session: str
    files: tuple[str, ...] = ()
    only: str | None = None
    override: str | None = None
    given: tuple[Given, ...] = ()

    def __repr__(self) -> str:
        return f"Sources({self.docker!r}, …)"


class Found(msgspec.Struct, frozen=True):
    """A credential, None for none, and where it is from, in words."""

    credential: Credential | None
    where: str = ""


class Keyring:
    """The credentials of a user; files are read once, helpers asked once for each host.

    `helpers` returns what `registries.conf` says of helpers.
    """

    def __init__(
        self, sources: Sources, helpers: Callable[[], tuple[str, ...] | None] = lambda: None
    ) -> None:
        self._sources = sources
        self._conf_helpers = helpers
        self._files = Files()
        self._lock = threading.RLock()
        self._parsed: dict[str, AuthFile | None] = {}
        self._asked: dict[tuple[str, str], Credential | None] = {}

    @property
    def read(self) -> tuple[str, ...]:
        """The files that were read, in that order."""
        return tuple(self._files.read)

    def for_repository(self, registry: str, repository: str, /) -> Credential | None:
        """Return the credential for a repository, or for the registry if that is empty; None is anonymous.

        Raises: RegistryError: a file is malformed, or a helper fails.
        """
        return self.find(registry, repository).credential

    def find(self, registry: str, repository: str = "") -> Found:
        """Return the credential for a repository, and where it is from.

        Raises: RegistryError: a file is malformed, or a helper fails.
        """
        with self._lock:
            for found in self._all(registry, repository):
                if found is not None:
                    return found
        return Found(None)

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the headers that Docker's file wants registries to get."""
        file = self._file(self._sources.docker)
        return () if file is None else file.headers

    def store(self, name: str, credential: Credential) -> str:
        """Keep a credential for a registry, or for a path of one, in a helper if there is one for it, else in a file.

        Files are replaced as a whole, and can be read by their owner alone.

        Returns: where it went, for people: a path, or a helper's name.
        Raises: RegistryError: it cannot be kept.
        """
        path = self._writable(name)
        helper = "" if "/" in name else self._helper_for(name, path)
        key = storage_key(name) if path == self._sources.docker else name
        if helper:
            credential_helper.tell(helper, storage_key(name), credential)
        kept = None if helper else credential
        with _alone(path):
            self._write(path, auth_file.with_entry(path, self._content(path), key, kept))
        self._asked.clear()
        return f"docker-credential-{helper}" if helper else path

    def erase(self, name: str) -> bool:
        """Forget a credential, wherever `store` may have put it.

        Returns: whether there was one.
        Raises: RegistryError: a file cannot be written, or the helper fails.
        """
        there = False
        paths = dict.fromkeys((self._writable(name), self._sources.session))
        for path in [self._sources.only] if self._sources.only else paths:
            helper = "" if "/" in name else self._helper_for(name, path)
            if helper and credential_helper.ask(helper, storage_key(name)) is not None:
                credential_helper.forget(helper, storage_key(name))
                there = True
            if self._content(path):
                with _alone(path):
                    text = auth_file.without_entry(path, self._content(path), name)
                    if text is not None:
                        self._write(path, text)
                        there = True
        self._asked.clear()
        return there

    def _all(self, registry: str, repository: str) -> Iterator[Found | None]:
        sources = self._sources
        if sources.override:
            file = auth_file.parse(_OVERRIDE, sources.override.encode())
            yield self._in_file(file, registry, repository)
        if sources.only is not None:
            named = Path(sources.only)
            if named.is_dir() or not named.exists():
                raise RegistryError(
                    f"there is no file `{sources.only}`, which is to hold credentials",
                    code="registry.config",
                    hint="correct `--authfile` or `REGISTRY_AUTH_FILE`",
                )
            yield self._in(sources.only, registry, repository)
            return
        for helper in self._conf_helpers() or (AUTH_FILES,):
            if helper != AUTH_FILES:
                name = helper_name(_CONF, helper)
                yield self._of_helper(name, registry, _CONF)
                continue
            for path in sources.files:
                yield self._in(path, registry, repository)
        host = normal(registry).removesuffix(":443")
        for each in sources.given:
            if normal(each.host).removesuffix(":443") == host:
                credential = Credential(username=each.username, password=each.password)
                yield Found(credential, each.where)

    def _in(self, path: str, registry: str, repository: str) -> Found | None:
        file = self._file(path)
        return None if file is None else self._in_file(file, registry, repository)

    def _in_file(self, file: AuthFile, registry: str, repository: str) -> Found | None:
        by_path = file.for_path(registry, repository)
        if by_path is not None:
            return Found(by_path[1], f"{file.path}, entry `{by_path[0]}`")
        helper = file.helper_for(registry)
        if helper:
            found = self._of_helper(helper, registry, file.path)
            if found is not None:
                return found
        credential = file.for_host(registry)
        return None if credential is None else Found(credential, file.path)

    def _of_helper(self, helper: str, registry: str, named_by: str) -> Found | None:
        key = (helper, storage_key(normal(registry)))
        if key not in self._asked:
            self._asked[key] = credential_helper.ask(*key)
        credential = self._asked[key]
        if credential is None:
            return None
        return Found(credential, f"docker-credential-{helper}, named by {named_by}")

    def _file(self, path: str) -> AuthFile | None:
        if path not in self._parsed:
            raw = self._files.content(path)
            legacy = path.endswith("/.dockercfg")
            self._parsed[path] = None if not raw else auth_file.parse(path, raw, legacy=legacy)
        return self._parsed[path]

    def _helper_for(self, name: str, path: str) -> str:
        """Return the helper that keeps what would be written to a file."""
        first = (self._conf_helpers() or (AUTH_FILES,))[0]
        if first != AUTH_FILES and self._sources.only is None:
            return helper_name(_CONF, first)
        file = self._file(path)
        return "" if file is None else file.helper_for(name)

    def _writable(self, name: str) -> str:
        sources = self._sources
        return sources.only or (sources.session if "/" in name else sources.docker)

    def _content(self, path: str) -> bytes:
        return self._files.content(path) or b""

    def _write(self, path: str, data: bytes) -> None:
        # The file may be a link into a directory of dot files: what it points to is replaced, not the link.
        target = Path(os.path.realpath(path))
        temporary = target.with_name(f"{target.name}.{os.urandom(6).hex()}")
        try:
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
        self._parsed.pop(path, None)


@contextmanager
def _alone(path: str) -> Iterator[None]:
    """Have the directory of a file to ourselves: of two who read, change and replace it, one would be forgotten.

    Raises: RegistryError: `registry.config`, there can be no such directory.
    """
    directory = Path(os.path.realpath(path)).parent
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RegistryError(
            f"cannot write `{path}`", code="registry.config", notes=(error.strerror or "",)
        ) from error
    try:
        with suppress(OSError):  # a file system without locks: then whoever is last wins
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
