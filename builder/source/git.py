"""git, run by its argument vector: the only place where a source starts a process.

It gets an environment of our own, no configuration of user or system, nobody to ask, no hook, and may speak
http, https, git and ssh. What it says is bounded; it ends with the build that asked.

Source: git(1), "Environment Variables"; git-config(1); CVE-2018-11235, CVE-2022-39253.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress

import msgspec

from builder.errors import Cancelled, SourceError

PROTOCOLS = "http:https:git:ssh"

_MOST_OUTPUT = 64 << 20
_TAIL = 8 << 10
_TICK = 0.1
_PIECE = 1 << 16
_SETTINGS = (
    ("core.hooksPath", os.devnull),
    ("core.fsmonitor", "false"),
    ("core.attributesFile", os.devnull),
    ("core.excludesFile", os.devnull),
    ("init.templateDir", ""),
    ("init.defaultBranch", "master"),
    ("protocol.file.allow", "never"),
    ("protocol.ext.allow", "never"),
    ("credential.helper", ""),
    ("advice.detachedHead", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    # A server that says nothing for a minute is given up.
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "60"),
)


class GitFailed(Exception):
    """git ended with another code than 0; `said` is the end of what it said."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code
        self.said = said


class Manners(msgspec.Struct, frozen=True, kw_only=True):
    """How git is run: `secrets` are texts that are never shown, `log` takes what git says while it works.

    `settings` are further ones of git-config(1), which may hold secrets: git is told them by its environment alone.
    """

    program: str = "git"
    proxies: tuple[tuple[str, str], ...] = ()
    ca_bundle: str | None = None
    secrets: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    cancelled: Callable[[], bool]
    log: Callable[[bytes], None]


class Git:
    """A git to run commands with, in a repository and a work tree (host paths) or in none."""

    def __init__(
        self, manners: Manners, *, repository: str = "", work_tree: str = "", index: str = ""
    ) -> None:
        self._manners = manners
        self.directory = repository
        self._where: tuple[str, ...] = ("--git-dir", repository) if repository else ()
        if work_tree:
            self._where = (*self._where, "--work-tree", work_tree)
        self._working = work_tree or "/"
        self._environment = _environment(manners)
        if index:
            self._environment["GIT_INDEX_FILE"] = index

    def at(self, repository: str, work_tree: str = "") -> Git:
        """Return the same for a repository, and perhaps a work tree."""
        return Git(self._manners, repository=repository, work_tree=work_tree)

    def within(self, work_tree: str, index: str) -> Git:
        """Return the same for another work tree of the repository, with an index of its own."""
        return Git(self._manners, repository=self.directory, work_tree=work_tree, index=index)

    def run(self, *arguments: str, local: bool = False) -> bytes:
        """Run a command and return its output; `local` lets it read another of our own repositories.

        Raises: GitFailed: it ended badly. SourceError: there is no git. Cancelled.
        """
        environment = self._environment
        if local:
            environment = {**environment, "GIT_ALLOW_PROTOCOL": "file"}
        try:
            process = subprocess.Popen(  # noqa: S603  an argument vector of our own, no shell
                [self._manners.program, *self._where, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd=self._working,
                umask=0o022,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise SourceError(
                "git is not installed, and a git repository is to be fetched",
                code="source.no-git",
                hint="install the package `git`",
            ) from error
        with process:
            try:
                output, said = self._listen(process)
            except BaseException:
                _end(process)
                raise
        if process.returncode != 0:
            raise GitFailed(process.returncode, said.decode("utf-8", "replace").strip())
        return output

    def read(self, *arguments: str) -> str:
        """Run a command and return its output as text, without the last line's end."""
        return self.run(*arguments).decode("utf-8", "replace").rstrip("\n")

    def succeeds(self, *arguments: str) -> bool:
        """Tell whether a command, which only looks, ends well."""
        try:
            self.run(*arguments)
        except GitFailed:
            return False
        return True

    def _listen(self, process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        """Take both outputs until they end; return the first whole and the end of the second."""
        output = bytearray()
        said = bytearray()
        assert process.stdout is not None
        assert process.stderr is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ, output)
            selector.register(process.stderr, selectors.EVENT_READ, said)
            while selector.get_map():
                if self._manners.cancelled():
                    raise Cancelled
                for key, _ in selector.select(_TICK):
                    piece = os.read(key.fd, _PIECE)
                    if not piece:
                        selector.unregister(key.fileobj)
                        continue
                    key.data.extend(piece)
                    if key.data is said:
                        self._manners.log(self._shown(piece))
                        del said[:-_TAIL]
                    if len(output) > _MOST_OUTPUT:
                        raise SourceError("the git server says more than a repository can hold")
        return bytes(output), self._shown(bytes(said))

    def _shown(self, data: bytes) -> bytes:
        for secret in self._manners.secrets:
            data = data.replace(os.fsencode(secret), b"xxxxx")
        return data


def _environment(manners: Manners) -> dict[str, str]:
    settings = (*_SETTINGS, *manners.settings)
    environment = {
        "PATH": os.pathsep.join(os.get_exec_path()),
        "HOME": os.devnull,
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_COUNT": str(len(settings)),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "GIT_ALLOW_PROTOCOL": PROTOCOLS,
        "GIT_SSH_COMMAND": f"ssh -F {os.devnull} -o BatchMode=yes",
        **dict(manners.proxies),
    }
    for number, (key, value) in enumerate(settings):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    if manners.ca_bundle is not None:
        environment["GIT_SSL_CAINFO"] = manners.ca_bundle
    return environment


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill git with all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
