"""Sources of ADD that are not local: URLs of files, and of git repositories with what to take from them.

        https://host/team/project.git?submodules=false#main:docs
        address                       query            ref  subdirectory

Source: Docker's reference, "ADD"; moby/buildkit, frontend/dockerfile/dfgitutil (behaviour, not code).
"""

from __future__ import annotations

import msgspec

from builder.dockerfile import rootpaths, suggest

UNNAMED = "__unnamed__"
"""What a download is called whose URL ends in no name."""

ABOVE = "download"
"""What a download is called whose URL ends in `..`."""

_SCHEMES = frozenset({"http", "https", "ssh", "git"})
_ALPHANUMERIC = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_USER = _ALPHANUMERIC | frozenset("-_")
_HOST = _ALPHANUMERIC | frozenset("-.")
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_QUERIES = (
    "ref",
    "tag",
    "branch",
    "subdir",
    "checksum",
    "commit",
    "keep-git-dir",
    "submodules",
    "mtime",
    "fetch-by-commit",
)
_SWITCHES = frozenset({"keep-git-dir", "submodules", "fetch-by-commit"})


class BadRemote(Exception):
    """A URL asks for something impossible."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class HttpAddress(msgspec.Struct, frozen=True):
    """One file: `name` is what it is called in a directory."""

    url: str
    name: str


class GitAddress(msgspec.Struct, frozen=True, kw_only=True):
    """A repository; what the URL does not say is "" or None.

    `ref` is a branch, tag or commit, or a full name like `refs/tags/v1`. With `commit_times` the files are as old as
    the commit; with `fetch_by_commit` the commit is `checksum`, whatever the ref is by now.
    """

    url: str
    ref: str = ""
    subdirectory: str = ""
    checksum: str = ""
    keep_git_dir: bool | None = None
    submodules: bool | None = None
    commit_times: bool = False
    fetch_by_commit: bool = False


def read_remote(text: str) -> HttpAddress | GitAddress | None:
    """Return what a source of ADD or COPY names, None for a local path.

    Raises: BadRemote: it is a URL, but none that can be fetched.
    """
    scheme, colon, rest = text.partition("://")
    if colon and scheme and _ALPHANUMERIC.issuperset(scheme):
        return _of_url(text, scheme, rest)
    user, at, rest = text.partition("@")
    host, colon, _ = rest.partition(":")
    if at and colon and user and host and _USER.issuperset(user) and _HOST.issuperset(host):
        if user.startswith("-") or host.startswith("-"):
            raise BadRemote("neither user nor host of a repository can begin with `-`")
        return _git(text)
    return None


def _of_url(text: str, scheme: str, rest: str) -> HttpAddress | GitAddress:
    if scheme not in _SCHEMES:
        if scheme.lower() in _SCHEMES:
            raise BadRemote(
                f"the scheme `{scheme}` is not in lower case", hint=f"write `{scheme.lower()}://…`"
            )
        raise BadRemote(
            f"nothing can be fetched from `{scheme}://`",
            hint=suggest.hint(scheme, _SCHEMES) or "use an http, https, git or ssh URL",
        )
    if any(char < " " or char == "\x7f" for char in text):
        raise BadRemote("the URL holds a control character")
    authority, _, path = rest.partition("#")[0].partition("?")[0].partition("/")
    host = authority.rpartition("@")[2]
    if not host or host.startswith("-") or authority.startswith("-"):
        raise BadRemote("the URL names no host", hint=f"write it like `{scheme}://HOST/PATH`")
    path = _unquoted(path)
    if scheme in ("git", "ssh") or path.endswith(".git"):
        return _git(text)
    name = path.rstrip("/").rpartition("/")[2]
    if "\0" in name:
        raise BadRemote(
            "the URL ends in no name that a file can have", hint="remove the `%00` from it"
        )
    return HttpAddress(text, {"": UNNAMED, ".": UNNAMED, "..": ABOVE}.get(name, name))


def _git(text: str) -> GitAddress:
    """Read the query and the fragment of a repository's URL."""
    address, _, fragment = text.partition("#")
    address, _, query = address.partition("?")
    if "://" in address:
        fragment = _unquoted(fragment)
    ref, _, subdirectory = fragment.partition(":")
    subdirectory = rootpaths.clean(subdirectory)[1:]
    found = _queries(query)
    for key in ("ref", "subdir"):
        if key in found:
            given = ref if key == "ref" else subdirectory
            if given and given != found[key]:
                raise BadRemote(f"the URL names two values for `{key}`: `{given}`, `{found[key]}`")
    ref = _one_ref(found, found.get("ref", ref))
    if ref.startswith("-"):
        raise BadRemote("a ref cannot begin with `-`")
    checksum = found.get("checksum", found.get("commit", ""))
    if checksum:
        check_commit(checksum)
    times = found.get("mtime", "checkout")
    if times not in ("checkout", "commit"):
        raise BadRemote(
            f"`mtime` in the URL's query is `checkout` or `commit`, not `{times[:60]}`",
            hint="leave it out for the time of the checkout",
        )
    return GitAddress(
        url=address,
        ref=ref,
        subdirectory=rootpaths.clean(found.get("subdir", subdirectory))[1:],
        checksum=checksum,
        keep_git_dir=_switch(found, "keep-git-dir"),
        submodules=_switch(found, "submodules"),
        commit_times=times == "commit",
        fetch_by_commit=bool(_switch(found, "fetch-by-commit")),
    )


def redacted(url: str) -> str:
    """Return a URL as it may be shown: without the password that it may hold."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    name, colon, _ = user.partition(":")
    return f"{scheme}://{name}:xxxxx@{host}{slash}{path}" if separator and at and colon else url


def check_fetch_by_commit(address: GitAddress, checksum: str) -> None:
    """Raises: BadRemote: a repository is to be fetched by its commit, and no whole commit is given."""
    whole = any(len(text) in (40, 64) for text in (address.ref, checksum))
    if address.fetch_by_commit and not whole:
        raise BadRemote(
            "`fetch-by-commit` needs the whole commit", hint="add `commit=` and all of its digits"
        )


def check_commit(text: str) -> None:
    """Raises: BadRemote: a text is not a commit, or the beginning of one."""
    if not 1 <= len(text) <= 64 or not frozenset("0123456789abcdefABCDEF").issuperset(text):
        raise BadRemote(
            f"`{text[:80]}` is no commit",
            hint="write a commit's hexadecimal digits, or the first few",
        )


def _queries(query: str) -> dict[str, str]:
    if not query:
        return {}
    from urllib.parse import parse_qsl

    found: dict[str, str] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=100)
    except ValueError as error:
        raise BadRemote("the query of the URL cannot be read") from error
    for key, value in pairs:
        if key not in _QUERIES:
            raise BadRemote(
                f"`{key[:60]}` in the URL's query means nothing for a repository",
                hint=suggest.hint(key, _QUERIES) or "see the queries of ADD in Docker's reference",
            )
        if key in found:
            raise BadRemote(f"`{key}` stands twice in the URL's query", hint="remove one of them")
        if not value and key not in _SWITCHES:
            raise BadRemote(f"`{key}` in the URL's query has no value", hint=f"write `{key}=VALUE`")
        found[key] = value
    return found


def _one_ref(found: dict[str, str], ref: str) -> str:
    if "tag" in found and "branch" in found:
        raise BadRemote("the URL names both a tag and a branch", hint="remove one of them")
    for key, prefix in (("tag", "refs/tags/"), ("branch", "refs/heads/")):
        if key in found:
            full = prefix + found[key].removeprefix(prefix)
            if ref and ref != full:
                raise BadRemote(f"the URL names two refs: `{ref}` and `{full}`")
            ref = full
    return ref


def _switch(found: dict[str, str], key: str) -> bool | None:
    value = found.get(key)
    if value is None:
        return None
    if value and value not in _TRUE | _FALSE:
        raise BadRemote(f"`{key}` in the URL's query is true or false, not `{value[:60]}`")
    return value not in _FALSE


def _unquoted(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)
