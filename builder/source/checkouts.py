"""Checkouts of git repositories, kept in the store by commit.

    STORE/downloads/git/<key>/repository       bare: what was fetched from one address
    STORE/downloads/git/<key>/lock             flocked while a process works on it
    STORE/downloads/git/<key>/trees/<version>  checkouts, which stay as they are while the store is in use

What a repository holds is never executed; its submodules are fetched under the rules of `git`. Nothing that
a Dockerfile says can be taken for an option, and no link in a repository leads out of it.

Source: gitrevisions(7); git-check-ref-format(1); Dockerfile reference, "ADD"; moby/buildkit, source/git
(behaviour, not code).
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256

import msgspec

from builder.errors import SourceError
from builder.graph.operations import GitSource
from builder.registry.backoff import wait
from builder.source.credentials import Credential
from builder.source.git import PROTOCOLS, Git, GitFailed, Manners
from builder.source.refusals import failed as cannot_be_fetched
from builder.source.refusals import hidden, other_commit, redacted
from builder.source.work_trees import forget_repositories, set_times

_HEX = frozenset("0123456789abcdef")
_REF_BAD = frozenset(" ~^:?*[\\")
_WAIT = 0.1
_LONGEST_REF = 1024


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """A checkout that is here: `directory` is a host path; `moved` tells that something was fetched."""

    directory: str
    commit: str
    moved: bool


class _Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """What a ref is now: its full name ("" for a commit), what it names, and the commit if it names a tag."""

    name: str
    object: str
    commit: str


class Checkouts:
    """The checkouts of one store; many threads and processes may ask at once."""

    def __init__(
        self,
        root: str,
        *,
        proxies: tuple[tuple[str, str], ...] = (),
        ca_bundle: str | None = None,
        cancelled: Callable[[], bool],
        hold: Callable[[str], None] | None = None,
        program: str = "git",
    ) -> None:
        self._root = f"{root}/git"
        self._proxies = proxies
        self._ca_bundle = ca_bundle
        self._cancelled = cancelled
        self._hold = hold
        self._program = program

    def here(self, op: GitSource) -> str | None:
        """Return a checkout of the very commit that is asked for, as a host path; None if git must be asked."""
        commit = op.ref
        # A checksum alone is not enough: the ref beside it may have moved, which must be noticed.
        if not is_commit(commit):
            return None
        tree = f"{self._place(op)}/trees/{_version(op, commit, '')}"
        return tree if os.path.isdir(tree) else None

    def fetch(
        self,
        op: GitSource,
        log: Callable[[bytes], None],
        credential: Credential | None = None,
    ) -> Checkout:
        """Return a checkout of what the ref names now; what is here already is not fetched again.

        `credential` is told to the server of this address, and to none to which it redirects.

        Raises: SourceError: git is missing or fails, or the ref, the commit or the directory is not there.
            Cancelled.
        """
        _check(op)
        place = self._place(op)
        os.makedirs(f"{place}/trees", mode=0o700, exist_ok=True)
        manners = Manners(
            program=self._program,
            proxies=self._proxies,
            ca_bundle=self._ca_bundle,
            secrets=(*hidden(op.url), *(credential.shapes if credential else ())),
            settings=() if credential is None else _told(op.url, credential),
            cancelled=self._cancelled,
            log=log,
        )
        with self._alone(place):
            try:
                return self._fetched(op, place, Git(manners))
            except GitFailed as error:
                raise cannot_be_fetched(op, error, credential) from error

    def _place(self, op: GitSource) -> str:
        name = sha256(op.url.encode("utf-8", "surrogateescape")).hexdigest()[:40]
        if self._hold is not None:
            self._hold(f"{self._root}/{name}")
        return f"{self._root}/{name}"

    def _fetched(self, op: GitSource, place: str, git: Git) -> Checkout:
        resolved = _resolve(op, git)
        kept = resolved.name if op.keep_git_dir else ""
        wanted = resolved.object if op.keep_git_dir else resolved.commit
        tree = f"{place}/trees/{_version(op, wanted, kept)}"
        if os.path.isdir(tree):
            return Checkout(directory=tree, commit=resolved.commit, moved=False)
        repository = git.at(f"{place}/repository")
        if not os.path.isdir(f"{place}/repository"):
            hash_name = "sha256" if len(resolved.object) == 64 else "sha1"
            repository.run("init", "--quiet", "--bare", f"--object-format={hash_name}")
        _obtain(op, repository, resolved)
        commit = repository.read(
            "rev-parse", "--verify", "--quiet", f"{resolved.object}^{{commit}}"
        )
        if op.checksum and not any(
            each.startswith(op.checksum.lower()) for each in (resolved.object, commit)
        ):
            raise other_commit(op, commit)
        _check_out(op, repository, resolved, commit, tree)
        return Checkout(directory=tree, commit=commit, moved=True)

    @contextmanager
    def _alone(self, place: str) -> Iterator[None]:
        fd = os.open(f"{place}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    wait(_WAIT, self._cancelled)
            yield
        finally:
            os.close(fd)


def _told(url: str, credential: Credential) -> tuple[tuple[str, str], ...]:
    """Return the settings by which git tells one repository's server who comes.

    After a redirect git would send the header to whichever server came next.
    """
    scope = f"http.{redacted(url)}"
    return (
        (f"{scope}.extraHeader", f"Authorization: {credential.header}"),
        (f"{scope}.followRedirects", "false"),
    )


def is_commit(text: str) -> bool:
    """Tell whether a text is the whole name of a commit: 40 or 64 hexadecimal digits."""
    return len(text) in (40, 64) and _HEX.issuperset(text)


def _version(op: GitSource, commit: str, name: str) -> str:
    """Return the name of a checkout: everything that its files depend on."""
    parts = [commit, name, op.subdirectory, str(op.keep_git_dir), str(op.submodules)]
    parts += ["commit times"] if op.commit_times else []
    return f"{commit[:16]}-{sha256(chr(0).join(parts).encode('utf-8', 'surrogateescape')).hexdigest()[:24]}"


def _check(op: GitSource) -> None:
    """Refuse what could be taken for an option, or is no ref or directory.

    Raises: SourceError: it is none.
    """
    scheme, separator, rest = op.url.partition("://")
    bad = any(char < " " or char == "\x7f" for char in op.url) or op.url.startswith("-")
    if bad or rest.startswith("-") or (separator and scheme not in PROTOCOLS.split(":")):
        raise SourceError(
            f"`{redacted(op.url)[:200]}` is no address of a git repository",
            hint="use an https, http, git or ssh address",
        )
    if op.ref and not _is_ref(op.ref):
        raise SourceError(
            f"`{op.ref[:100]}` is no branch, tag or commit",
            code="source.not-found",
            hint="write it as `#REF:DIRECTORY` after the address",
        )
    parts = op.subdirectory.split("/")
    if op.subdirectory and any(part in ("", ".", "..", ".git") for part in parts):
        raise SourceError(
            f"`{op.subdirectory[:100]}` cannot be a directory of a repository",
            code="source.not-found",
        )


def _is_ref(text: str) -> bool:
    """Tell whether a text can be a ref, by the rules of git-check-ref-format(1)."""
    if len(text) > _LONGEST_REF or text.startswith(("-", "/", ".")) or text.endswith(("/", ".")):
        return False
    if ".." in text or "//" in text or "@{" in text or text == "@" or "/." in text:
        return False
    if any(part.endswith(".lock") for part in text.split("/")):
        return False
    return not any(char < " " or char == "\x7f" or char in _REF_BAD for char in text)


def _resolve(op: GitSource, git: Git) -> _Resolved:
    """Ask the remote what a ref names; a branch goes before a tag of the same name.

    Raises: SourceError: there is no such ref, or it is another commit than the checksum says.
    """
    if is_commit(op.ref):
        return _Resolved(name="", object=op.ref, commit=op.ref)
    if op.fetch_by_commit:
        # The remote is not asked what the ref is: the commit gets this name, as a branch unless it says more.
        name = op.ref if op.ref.startswith("refs/") or not op.ref else f"refs/heads/{op.ref}"
        return _Resolved(name=name, object=op.checksum.lower(), commit=op.checksum.lower())
    ref = op.ref or _default_branch(op, git)
    listed: dict[str, str] = {}
    for line in git.read("ls-remote", "--", op.url, ref, f"{ref}^{{}}").splitlines():
        digest, _, name = line.partition("\t")
        if is_commit(digest):
            listed[name] = digest
    plain = ref.removeprefix("refs/")
    names = (
        f"refs/{plain}",
        f"refs/heads/{ref.removeprefix('refs/heads/')}",
        f"refs/tags/{ref.removeprefix('refs/tags/')}",
    )
    for name in names:
        if name in listed:
            found = _Resolved(
                name=name, object=listed[name], commit=listed.get(f"{name}^{{}}", listed[name])
            )
            break
    else:
        raise SourceError(
            f"`{redacted(op.url)}` has no branch or tag `{ref[:100]}`",
            code="source.not-found",
            hint="name a branch, a tag or a whole commit",
        )
    wanted = op.checksum.lower()
    if wanted and not found.object.startswith(wanted) and not found.commit.startswith(wanted):
        raise other_commit(op, found.commit)
    return found


def _default_branch(op: GitSource, git: Git) -> str:
    for line in git.read("ls-remote", "--symref", "--", op.url, "HEAD").splitlines():
        target, _, name = line.partition("\t")
        ref = target.removeprefix("ref: ")
        if name == "HEAD" and ref != target and ref.startswith("refs/heads/") and _is_ref(ref):
            return ref
    raise SourceError(
        f"`{redacted(op.url)}` has no default branch",
        code="source.not-found",
        hint="name a branch after the address, as `#main`",
    )


def _obtain(op: GitSource, repository: Git, resolved: _Resolved) -> None:
    """Have the commit in the repository, with as little of its history as the server lets go without."""
    if repository.succeeds("cat-file", "-e", f"{resolved.object}^{{commit}}"):
        return
    shallow = ("--no-tags", "--depth=1", "--force")
    own = f"refs/kept/{resolved.object}"
    attempts: list[tuple[str, ...]] = [(*shallow, "--", op.url, f"{resolved.object}:{own}")]
    if resolved.name and not op.fetch_by_commit:
        attempts.insert(0, (*shallow, "--", op.url, f"{resolved.name}:{own}"))
    # A server that gives single commits to nobody gives whole branches.
    attempts.append(
        (
            "--force",
            "--",
            op.url,
            "+refs/heads/*:refs/remote/heads/*",
            "+refs/tags/*:refs/remote/tags/*",
        )
    )
    failed: GitFailed | None = None
    for arguments in attempts:
        try:
            repository.run("fetch", "--quiet", "--no-write-fetch-head", *arguments)
        except GitFailed as error:
            failed = failed or error
            continue
        if repository.succeeds("cat-file", "-e", f"{resolved.object}^{{commit}}"):
            return
    if failed is not None:
        raise failed
    raise other_commit(op, "")


def _check_out(op: GitSource, repository: Git, resolved: _Resolved, commit: str, tree: str) -> None:
    """Write the files of a commit; the checkout has its name only when it is complete."""
    unfinished = f"{tree}.unfinished"
    _remove(unfinished)
    files, index = f"{unfinished}/files", f"{unfinished}/index"
    os.makedirs(files, mode=0o755)
    if op.keep_git_dir and not op.subdirectory:
        work = _with_git_directory(op, repository, resolved, files)
    else:
        work = repository.within(files, index)
        work.run("read-tree", commit)
        work.run("checkout-index", "--all", "--quiet")
    if op.submodules and os.path.lexists(f"{files}/.gitmodules"):
        # Relative addresses of submodules are those of the repository's.
        origin = ("-c", f"remote.origin.url={op.url}")
        update = ("submodule", "--quiet", "update", "--init", "--recursive", "--depth=1")
        work.run(*origin, *update)
        if not op.keep_git_dir:
            forget_repositories(files)
    found = _subdirectory(op, files)
    if op.commit_times:
        set_times(found, int(repository.read("log", "-1", "--format=%ct", commit)))
    os.rename(found, tree)
    _remove(unfinished)


def _with_git_directory(op: GitSource, repository: Git, resolved: _Resolved, files: str) -> Git:
    """Make a repository in the checkout, with the commit and the ref that named it."""
    work = repository.at(f"{files}/.git", files)
    hash_name = "sha256" if len(resolved.object) == 64 else "sha1"
    work.run("init", "--quiet", f"--object-format={hash_name}")
    kept = f"refs/kept/{resolved.object}"
    repository.run("update-ref", kept, resolved.object)
    name = resolved.name or "refs/heads/master"
    fetch = (
        "fetch",
        "--quiet",
        "--depth=1",
        "--no-tags",
        "--update-head-ok",
        "--no-write-fetch-head",
    )
    work.run(*fetch, "--", f"file://{repository.directory}", f"{kept}:{name}", local=True)
    if not resolved.name:
        work.run("update-ref", "-d", name)
    work.run("checkout", "--quiet", "--force", "--detach", resolved.object)
    work.run("config", "remote.origin.url", redacted(op.url))
    work.run("config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
    work.run("reflog", "expire", "--all", "--expire=now")
    return work


def _subdirectory(op: GitSource, files: str) -> str:
    """Return the directory that is asked for, which no link may lead to.

    Raises: SourceError: it is not there, or is none.
    """
    path = files
    for part in op.subdirectory.split("/") if op.subdirectory else ():
        path = f"{path}/{part}"
        if not os.path.lexists(path) or not stat.S_ISDIR(os.lstat(path).st_mode):
            raise SourceError(
                f"`{op.subdirectory[:200]}` is no directory of `{redacted(op.url)}`",
                code="source.not-found",
                notes=(f"`{path[len(files) + 1 :]}` is missing, or is a file or link",),
            )
    return path


def _remove(path: str) -> None:
    from builder.layer.remove import remove_tree

    remove_tree(path)
