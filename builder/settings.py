"""What the environment of the process and the files of settings say, read once: the only door to `os.environ`.

`read` is pure and takes the environment as a mapping and the files as texts; `current` hands it the real ones. Nothing is looked
up later, so that a build does not change its mind half-way.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from builder.errors import UsageError
from runtime.spec import IsolationName

PROGRESS_MODES = ("auto", "plain", "tty", "quiet", "rawjson")
"""How progress can be shown; `none`, as Docker knows it, is read as `quiet`."""

LOCAL, PROCESS = "local", "process"
"""Where steps are executed: in this process, or in others that get plain data."""

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
_SYSTEM_ROOT = "/var/lib/lapstrake"
_UNITS = "bkmgtp"
_MOST = 1 << 62
_LONGEST = 1 << 20


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All that the environment decides; paths are host paths, empty variables count as not set.

    `proxies` are the proxy variables in the spelling in which they were found, as name and value.
    `config_home` and `home` are the user's directories, `session_auth` is the `auth.json` that containers' programs write.
    `auth_file` is read in the place of all files with credentials; `ci_credentials` are host, user, password and the name
    of the variable. `insecure_registries` are hosts with ports. `source_date_epoch` is what was set, a number or not; `max_size` is in bytes. `ca_certs` are files with certificates that are trusted as well, by steps too.
    """

    root: str
    docker_config: str
    isolation: IsolationName = IsolationName.AUTO
    progress: str = "auto"
    no_color: bool = False
    dumb_terminal: bool = False
    debug: bool = False
    keep_failed: bool = False
    ca_bundle: str | None = None
    ca_certs: tuple[str, ...] = ()
    executor: str = LOCAL
    source_date_epoch: str | None = None
    default_platform: str | None = None
    docker_auth_config: str | None = None
    home: str = ""
    config_home: str = ""
    session_auth: str = ""
    auth_file: str | None = None
    ci_credentials: tuple[tuple[str, str, str, str], ...] = ()
    registries_conf: str | None = None
    insecure_registries: tuple[str, ...] = ()
    proxies: tuple[tuple[str, str], ...] = ()
    max_size: int | None = None

    @property
    def first_platform(self) -> str | None:
        """The platform that is meant where there can be only one and none is named; None is this machine's."""
        return first_platform((self.default_platform or "").split(","))


def first_platform(words: Sequence[str]) -> str | None:
    """Return the first of several platforms, None for what stands for this machine's."""
    first = words[0].strip()
    return None if first in ("", "local") else first


class _File(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """What a file of settings may say."""

    max_size: str | None = None
    insecure_registries: list[str] = []


def read(
    environ: Mapping[str, str],
    euid: int,
    home: str,
    *,
    root: str | None = None,
    files: Iterable[tuple[str, str]] = (),
) -> Settings:
    """Read the settings out of `environ` for a user with the effective id `euid` and the directory `home`.

    `root`, the `--root` of the command line, goes before every variable, and these before `files`, which are given by
    path and text; the later one counts.

    Raises: UsageError: a variable or a file holds a value that cannot be meant.
    """

    def text(name: str) -> str | None:
        return environ.get(name) or None

    said = [(path, _said(path, content)) for path, content in files]
    return Settings(
        root=_root(environ, euid, home, root),
        docker_config=text("DOCKER_CONFIG") or f"{home}/.docker",
        isolation=_isolation(text("LAPSTRAKE_ISOLATION")),
        progress=progress_mode(text("BUILDKIT_PROGRESS") or "auto", "$BUILDKIT_PROGRESS"),
        no_color=text("NO_COLOR") is not None,
        dumb_terminal=environ.get("TERM") == "dumb",
        debug=environ.get("LAPSTRAKE_DEBUG", "0") not in {"", "0"},
        keep_failed=environ.get("LAPSTRAKE_KEEP_FAILED", "0") not in {"", "0"},
        ca_bundle=text("REQUESTS_CA_BUNDLE") or text("CURL_CA_BUNDLE") or text("SSL_CERT_FILE"),
        ca_certs=tuple(each for each in environ.get("LAPSTRAKE_CA_CERT", "").split(":") if each),
        executor=_executor(text("LAPSTRAKE_EXECUTOR")),
        source_date_epoch=text("SOURCE_DATE_EPOCH"),
        default_platform=text("DOCKER_DEFAULT_PLATFORM"),
        docker_auth_config=text("DOCKER_AUTH_CONFIG"),
        home=home,
        config_home=_config_home(environ, home),
        session_auth=_session_auth(environ, euid, home),
        auth_file=text("REGISTRY_AUTH_FILE"),
        ci_credentials=_ci_credentials(environ),
        registries_conf=text("CONTAINERS_REGISTRIES_CONF"),
        insecure_registries=_insecure(text("LAPSTRAKE_INSECURE_REGISTRIES") or "", said),
        proxies=tuple(
            (spelling, environ[spelling])
            for name in _PROXIES
            for spelling in (name, name.lower())
            if environ.get(spelling)
        ),
        max_size=_max_size(text("LAPSTRAKE_MAX_SIZE"), said),
    )


def current(root: str | None = None) -> Settings:
    """Read the settings of this process; `root` is the `--root` of the command line."""
    home = _home()
    return read(os.environ, os.geteuid(), home, root=root, files=_files(home))


def _files(home: str) -> Iterable[tuple[str, str]]:
    """Yield the files of settings that there are: of the machine, then of the user."""
    for directory in ("/etc", _config_home(os.environ, home)):
        path = f"{directory}/lapstrake/config.toml"
        try:
            yield path, _content(path).decode()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except (OSError, ValueError) as error:
            raise UsageError(f"the settings in `{path}` cannot be read: {error}") from error


def _content(path: str) -> bytes:
    """Return the beginning of a file; a pipe in its place must not be waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        return file.read(_LONGEST) or b""


def _said(path: str, text: str) -> _File:
    try:
        return msgspec.toml.decode(text, type=_File)
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"the settings in `{path}` are not understood: {error}",
            hint='a file of settings holds lines such as max-size = "20g"',
        ) from error


def _max_size(variable: str | None, said: Iterable[tuple[str, _File]]) -> int | None:
    found: int | None = None
    for path, file in said:
        if file.max_size is not None:
            found = size_of(file.max_size, f"max-size in {path}")
    return found if variable is None else size_of(variable, "$LAPSTRAKE_MAX_SIZE")


def insecure_registries(hosts: Iterable[str], origin: str) -> tuple[str, ...]:
    """Return hosts, with their ports, that the user calls insecure; `origin` is where they were written.

    Raises: UsageError: one is no host.
    """
    found = [each.strip().lower() for each in hosts if each.strip()]
    for each in found:
        if "/" in each or "@" in each or not (each.isascii() and each.isprintable()):
            raise UsageError(
                f"`{each.rpartition('@')[2][:60]}` in {origin} is not a registry's host",
                hint="write host and port alone, like registry.example:5000",
            )
    return tuple(dict.fromkeys(found))


def _insecure(variable: str, said: Iterable[tuple[str, _File]]) -> tuple[str, ...]:
    found = insecure_registries(variable.split(","), "$LAPSTRAKE_INSECURE_REGISTRIES")
    for path, file in said:
        found += insecure_registries(file.insecure_registries, f"insecure-registries in {path}")
    return tuple(dict.fromkeys(found))


def _config_home(environ: Mapping[str, str], home: str) -> str:
    own = environ.get("XDG_CONFIG_HOME", "")
    return own if own.startswith("/") else f"{home}/.config"


def _session_auth(environ: Mapping[str, str], euid: int, home: str) -> str:
    """Return the file with credentials that podman and its kin write for as long as the session lasts."""
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        return f"{runtime}/containers/auth.json"
    if euid == 0:
        return "/run/containers/0/auth.json"
    return f"{_config_home(environ, home)}/containers/auth.json"


def _ci_credentials(environ: Mapping[str, str]) -> tuple[tuple[str, str, str, str], ...]:
    """Return what GitLab gives its jobs for its own registry and for its proxy of Docker Hub."""
    job_token = environ.get("CI_JOB_TOKEN", "")
    found = [
        (
            environ.get("CI_REGISTRY", ""),
            environ.get("CI_REGISTRY_USER", ""),
            environ.get("CI_REGISTRY_PASSWORD", ""),
            "$CI_REGISTRY_PASSWORD",
        ),
        (environ.get("CI_REGISTRY", ""), "gitlab-ci-token", job_token, "$CI_JOB_TOKEN"),
        (
            environ.get("CI_DEPENDENCY_PROXY_SERVER", ""),
            environ.get("CI_DEPENDENCY_PROXY_USER", ""),
            environ.get("CI_DEPENDENCY_PROXY_PASSWORD", ""),
            "$CI_DEPENDENCY_PROXY_PASSWORD",
        ),
    ]
    return tuple([each for each in found if all(each)])


def docker_option(docker_config: str, name: str) -> str | None:
    """Return a text that Docker's `config.json` sets, such as `imagesFormat`; None without one.

    Raises: UsageError: the file cannot be read.
    """
    path = f"{docker_config}/config.json"
    try:
        raw = _content(path)
        if not raw.strip():
            return None
        found = msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).get(name)
        return None if found is None else msgspec.json.decode(found, type=str) or None
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"`{path}` cannot be read: {error}") from error


def variable(name: str) -> str | None:
    """Return one variable of the caller's environment, for `--build-arg NAME` and `-e NAME`."""
    return os.environ.get(name)


def progress_mode(text: str, origin: str) -> str:
    """Return the progress mode that `text` names; `origin` is where it was written.

    Raises: UsageError: there is no such mode.
    """
    mode = "quiet" if text == "none" else text
    if mode not in PROGRESS_MODES:
        raise UsageError(
            f"`{text}` in {origin} is not a way to show progress",
            hint=f"use one of {', '.join(PROGRESS_MODES)}",
        )
    return mode


def isolation_name(text: str, origin: str) -> IsolationName:
    """Return the walls that `text` names; `origin` is where it was written.

    Docker's own value `default` means `auto`.

    Raises: UsageError: there are no such walls.
    """
    for name in IsolationName:
        if text == name.value:
            return name
    if text == "default":
        return IsolationName.AUTO
    raise UsageError(
        f"`{text}` in {origin} is not an isolation",
        hint=f"use one of {', '.join(name.value for name in IsolationName)}",
    )


def size_of(text: str, origin: str) -> int:
    """Read a size such as `512m`, `1.5g` or `64MiB`; units are powers of 1024, as with Docker.

    Raises: UsageError: it is none; `origin` is where it was written.
    """
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    unit = text[len(digits) :].strip().lower()
    for tail in ("ib", "b"):
        if len(unit) > len(tail) and unit.endswith(tail):
            unit = unit[: -len(tail)]
            break
    whole, dot, part = digits.partition(".")
    power = _UNITS.find(unit or "b")
    numbers = (whole, part) if dot else (whole,)
    right = all(each.isascii() and each.isdigit() for each in numbers) and len(digits) <= 20
    if power < 0 or len(unit) > 1 or not right:
        raise UsageError(
            f"`{text[:40]}` in `{origin}` is not a size", hint="write it like 512m or 2g"
        )
    size = int(float(digits) * 1024**power) if dot else int(digits) * 1024**power
    if not 0 < size <= _MOST:
        raise UsageError(f"`{text[:40]}` in `{origin}` is not a size that can be")
    return size


def _root(environ: Mapping[str, str], euid: int, home: str, root: str | None) -> str:
    if chosen := root or environ.get("LAPSTRAKE_ROOT"):
        return os.path.abspath(chosen)
    if euid == 0:
        return _SYSTEM_ROOT
    data = environ.get("XDG_DATA_HOME", "")
    # The base directory specification: a relative value is invalid and must be ignored.
    return f"{data if data.startswith('/') else home + '/.local/share'}/lapstrake"


def _isolation(text: str | None) -> IsolationName:
    return isolation_name(text, "$LAPSTRAKE_ISOLATION") if text else IsolationName.AUTO


def _executor(text: str | None) -> str:
    if text not in {None, LOCAL, PROCESS}:
        raise UsageError(
            f"`{text}` in $LAPSTRAKE_EXECUTOR is not known", hint=f"use {LOCAL} or {PROCESS}"
        )
    return text or LOCAL


def _home() -> str:
    """Return the home directory: $HOME, else what the user database says, else the root."""
    if home := os.environ.get("HOME"):
        return home
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:  # a user id without an entry, as in many pods
        return "/"
