"""Whether a tar stream can be a whole root file system, told from its headers alone, before any of it is unpacked.

What unpacking refuses because of what a file system or user allows is not looked for.
"""

from __future__ import annotations

from builder.errors import LayerError
from builder.layer.marks import PREFIX, hidden_by
from builder.layer.read import Member
from builder.layer.tree import PATH_LIMIT, shown, split

_LINK_LIMIT = 40
_HARD_LINK, _SYMLINK, _DIRECTORY = 0x31, 0x32, 0x35
_DEVICES = frozenset(b"34")


class Admission:
    """Takes the members of one stream in turn, below which there is no other layer.

    Files are known by the hashes of their paths: there may be millions. A collision lets pass what unpacking
    refuses.
    """

    def __init__(self) -> None:
        self._files: set[int] = set()
        self._links: dict[bytes, bytes] = {}

    def admit(self, member: Member) -> None:
        """Note a member.

        Raises: LayerError: it could not be unpacked.
        """
        components = split(member.name)
        if PREFIX in member.name and hidden_by(components) is not None:
            return
        if not components:
            if member.typeflag != _DIRECTORY:
                raise LayerError("the layer replaces its root by something that is no directory")
            return
        path = self._real(components)
        if member.typeflag == _SYMLINK:
            if not 0 < len(member.link) <= PATH_LIMIT:
                raise LayerError(f"`{shown(path)}` links to nothing, or to a path that is too long")
        elif member.typeflag == _HARD_LINK:
            target = self._linked(path, member.link)
            if target == path:
                return  # a directory may be meant, which stays as it is
            # Another name of a symlink is one as well.
            member.link = self._links.get(target, b"")
        self._note(path, member)

    def _note(self, path: bytes, member: Member) -> None:
        """Let the last of several members with one name count."""
        self._links.pop(path, None)
        if member.link:
            self._links[path] = member.link
        dropped = member.typeflag in _DEVICES and member.major == member.minor == 0
        if member.typeflag == _DIRECTORY or dropped:
            self._files.discard(hash(path))
        else:
            self._files.add(hash(path))

    def _linked(self, path: bytes, link: bytes) -> bytes:
        """Return the real path of what a hard link leads to."""
        components = split(link)
        target = self._real(components) if components else b""
        if target != path and hash(target) not in self._files:
            raise LayerError(
                f"`{shown(path)}` is a hard link to `{shown(link)}`, but no such file comes before it"
            )
        return target

    def _real(self, components: list[bytes]) -> bytes:
        """Return where a member lies, once the links that the stream made on the way to it are followed."""
        *above, name = components
        pending = above[::-1]
        path = b""
        followed = 0
        while pending:
            component = pending.pop()
            if component == b"..":  # only of a link's target
                path = path.rpartition(b"/")[0]
                continue
            child = path + b"/" + component if path else component
            target = self._links.get(child)
            if target is None:
                if hash(child) in self._files:
                    raise _no_directory(child)
                path = child
                continue
            followed += 1
            if followed > _LINK_LIMIT:
                raise _no_directory(child)
            if target.startswith(b"/"):
                path = b""
            pending.extend(c for c in target.split(b"/")[::-1] if c not in (b"", b"."))
        return path + b"/" + name if path else name


def _no_directory(path: bytes) -> LayerError:
    return LayerError(f"the layer puts something below `{shown(path)}`, which is no directory")
