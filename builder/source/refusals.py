"""What to say when a repository cannot be had, without the user and password that its address may hold."""

from __future__ import annotations

from builder.errors import SourceError
from builder.graph.operations import GitSource
from builder.source.credentials import Credential, names
from builder.source.git import GitFailed

_UNKNOWN = ("Authentication failed", "could not read Username", "returned error: 403")
_SENT_ON = "returned error: 30"


def redacted(url: str) -> str:
    """Return an address as it may be shown, without user and password."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    return f"{scheme}://{host}{slash}{path}" if separator else url


def hidden(url: str) -> tuple[str, ...]:
    """Return what of an address must not be shown: what stands before its host, and the password alone."""
    authority = url.partition("://")[2].partition("/")[0]
    user, at, _ = authority.rpartition("@")
    password = user.partition(":")[2]
    return tuple(part for part in (user, password) if at and len(part) > 1) if "://" in url else ()


def other_commit(op: GitSource, commit: str) -> SourceError:
    """Return what to say of a commit that is not the one asked for, or that nobody gives."""
    shown = redacted(op.url)
    if not op.checksum or op.fetch_by_commit:
        wanted = op.checksum or op.ref
        return SourceError(
            f"`{shown}` does not give away the commit `{wanted[:64]}`", code="source.not-found"
        )
    return SourceError(
        f"`{shown}` is at another commit than its checksum says",
        code="source.checksum-mismatch",
        notes=(f"expected {op.checksum}", f"got      {commit}"),
        hint="find out why it differs before you change the checksum",
    )


def failed(op: GitSource, error: GitFailed, credential: Credential | None) -> SourceError:
    """Return what to say when git ended badly; `credential` is what it was to tell the server."""
    lines = [line for line in error.said.splitlines() if line.strip()][-5:]
    said = "git says:\n" + "\n".join(lines) if lines else f"git ended with code {error.code}"
    hint = "check the address, the network and the proxy settings"
    sent = () if credential is None else (f"the secret `{credential.name}` was sent",)
    if credential is not None and _SENT_ON in error.said:
        hint = "write the address to which the server redirects: a secret goes to no other"
    elif any(each in error.said for each in _UNKNOWN):
        hint = _known(op, credential)
    return SourceError(
        f"`{redacted(op.url)}` cannot be fetched",
        code="source.git-failed",
        notes=(said, *sent),
        hint=hint,
    )


def _known(op: GitSource, credential: Credential | None) -> str:
    if credential is not None:
        return "check the secret, and what it may read"
    wanted = next((name for name in names(op) if name.startswith("GIT_AUTH_TOKEN.")), None)
    if wanted is None:
        return "check the address; repositories that need a key cannot be used yet"
    return f"check the address, or give a token: `--secret id={wanted},env=NAME`"
