"""What a vertex of the build graph does: a closed union of plain data.

Each operation writes its own `identity()`, by hand, so that adding a field is a visible decision about the
cache key. An identity never holds names of stages, host paths, times, secrets or source positions. Its first
item names the operation and its version: a change of meaning is a new version.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from builder.graph.mounts import RunMount

Identity = tuple[object, ...]
"""Nested tuples, lists, strings, bytes, integers, booleans and None: encoded as msgpack, hence framed."""


class ImageSource(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The layers of an image; the reference is canonical, the platform normalised.

    Its state is identified by the diff ids of what was resolved, so it needs no key. `SCRATCH` is the image
    without layers: it names nothing and is never resolved.
    """

    reference: str
    platform: str

    def identity(self) -> Identity:
        """Return the identity, of use only to share work in flight."""
        return ("image/1", self.reference, self.platform)


SCRATCH = ImageSource(reference="scratch", platform="")
"""What a step stands on when its stage begins with `FROM scratch`: an empty state."""


class ContextSource(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The files of a build context, by name ("context" is the main one)."""

    name: str = "context"

    def identity(self) -> Identity:
        """Return the identity, of use only to share work in flight."""
        return ("context/1", self.name)


class HttpSource(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One file from an http or https URL; `checksum` is `sha256:…` or "" when none was given.

    Its tree holds that one file, called `name`, mode 0600, with the server's Last-Modified as its time.
    """

    url: str
    name: str
    checksum: str = ""

    def identity(self) -> Identity:
        """Return the identity, of use only to share work in flight; what counts is the content."""
        return ("http/1", self.url, self.name, self.checksum)


class GitSource(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A checkout of a git repository; `ref` is a branch, tag or commit, "" the default branch.

    `checksum` is a commit, or the beginning of one, that must come out; "" when none was given. With
    `fetch_by_commit` it is whole and is what is fetched; a ref beside it is only a name. With `commit_times` every
    file is as old as the commit.
    """

    url: str
    ref: str = ""
    subdirectory: str = ""
    keep_git_dir: bool = False
    submodules: bool = True
    checksum: str = ""
    commit_times: bool = False
    fetch_by_commit: bool = False

    def identity(self) -> Identity:
        """Return the identity, of use only to share work in flight; what counts is the content."""
        return (
            "git/1",
            self.url,
            self.ref,
            self.subdirectory,
            self.keep_git_dir,
            self.submodules,
            self.checksum,
            self.commit_times,
            self.fetch_by_commit,
        )


_USUAL_PLATFORM = "linux/amd64"


class RunOp(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Run a command in the root file system of the first input.

    `env` are `NAME=value` pairs in order, build arguments in scope among them. `script` is the body of a here-document that begins with `#!`, shown as an executable file
    at the path that is the last word of `argv`.
    """

    argv: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str
    network: str = "default"
    script: bytes | None = None
    hidden_env: tuple[str, ...] = ()
    """Environment that does not count for the key: the predefined proxy arguments."""
    mounts: tuple[RunMount, ...] = ()
    security: str = "sandbox"
    hostname: str = ""
    """ "" is what every step is called otherwise."""
    hosts: tuple[str, ...] = ()
    """The names that /etc/hosts gets besides; what they stand for does not count for the key."""
    arguments: tuple[str, ...] = ()
    """Which variables of `env` are build arguments: said of them where a miss is explained, no more."""
    platform: str = ""
    """What the programs of the root file system are for, as `os/architecture[/variant]`; "" is this machine."""

    def identity(self) -> Identity:
        """Return what counts for the key; `hidden_env` does not."""
        plain = (self.argv, self.env, self.cwd, self.user, self.network, self.script)
        mounts = tuple([mount.identity() for mount in self.mounts])
        more = (self.security, self.hostname, self.hosts)
        # That it is the most usual one goes without saying, on whatever machine.
        if self.platform not in ("", _USUAL_PLATFORM):
            return ("run/4", *plain, mounts, *more, self.platform)
        if more != ("sandbox", "", ()):
            return ("run/3", *plain, mounts, *more)
        return ("run/2", *plain, mounts) if mounts else ("run/1", *plain)


class CopySource(msgspec.Struct, frozen=True, kw_only=True):
    """Paths or patterns taken from one input of a copy, `input` counting from 1 (0 is the destination).

    `paths` are relative to the root of that input, which is "" itself. `inline` are files from here-documents instead: pairs of
    name and content, with no input (then `input` is 0).
    """

    input: int
    paths: tuple[str, ...] = ()
    inline: tuple[tuple[str, bytes], ...] = ()


def literal(path: str) -> str:
    """Return the pattern of a `CopySource` that means this path and nothing else."""
    return "".join([f"\\{each}" if each in "*?[\\" else each for each in path])


class Unpack(Enum):
    """What is done with archives among the sources.

    AUTO, ADD's default, unpacks local archives that are recognised by their content; ALWAYS those that were
    downloaded as well.
    """

    NEVER = "never"
    AUTO = "auto"
    ALWAYS = "always"


class CopyOp(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Copy selected files of other inputs into the first input's file system.

    `dest` is absolute; a trailing slash means "a directory". `owner` is `user[:group]` to be looked up in the
    destination, or None for the default: root for a context, the source's owner for a stage or image.
    `mode` is None to keep the modes, 0 to 0o7777, or symbolic text (`u=rwX,go=rX`).

    `exclude` are patterns, as in an ignore file, of what is left out of directories; with `parents` sources
    keep the directories above them (after `/./`, if it is there). With `link` the layer is made as if the
    destination were empty, and laid over it. `unpack` is what ADD does to archives.
    """

    sources: tuple[CopySource, ...]
    dest: str
    owner: str | None = None
    mode: int | str | None = None
    exclude: tuple[str, ...] = ()
    parents: bool = False
    link: bool = False
    unpack: Unpack = Unpack.NEVER

    def identity(self) -> Identity:
        """Return what counts for the key besides the contents selected and the state observed."""
        plain = (self.dest, self.owner, self.mode)
        more = (self.exclude, self.parents, self.link, self.unpack.value)
        if more == ((), False, False, Unpack.NEVER.value):
            return ("copy/1", *plain)
        return ("copy/2", *plain, *more)


class MakeDirOp(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Make a directory and its missing parents, owned by `owner` (`user[:group]`, "" is root), mode 0755."""

    path: str
    owner: str = ""

    def identity(self) -> Identity:
        """Return what counts for the key besides the state observed."""
        return ("mkdir/1", self.path, self.owner)


Source = ImageSource | ContextSource | HttpSource | GitSource
Step = RunOp | CopyOp | MakeDirOp
Op = ImageSource | ContextSource | HttpSource | GitSource | RunOp | CopyOp | MakeDirOp
