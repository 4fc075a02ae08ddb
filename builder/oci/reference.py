"""Names of images: `[registry/]repository[:tag][@digest]`, read as Docker reads them.

Source: the reference grammar of the distribution project; OCI distribution-spec, "Pulling manifests".
"""

from __future__ import annotations

import msgspec

from builder.errors import ReferenceInvalid
from builder.oci.digest import Digest

HUB = "docker.io"
DEFAULT_TAG = "latest"

HUB_API = "registry-1.docker.io"
_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_ALNUM = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_TAG = _ALNUM | frozenset("_.-")
_HEX = frozenset("0123456789abcdef")
_MAX_NAME = 255
_MAX_TAG = 128


class Reference(msgspec.Struct, frozen=True):
    """A fully qualified name; with both a tag and a digest, the digest decides what is meant."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a name as people type it: the registry defaults to Docker Hub, the tag to `latest`.

        Raises: ReferenceInvalid: the text breaks the grammar; says which part.
        """
        name, at, digest_text = text.partition("@")
        digest = Digest(digest_text) if at else None
        slash = name.rfind("/")
        colon = name.find(":", slash + 1)
        tag = None
        if colon >= 0:
            name, tag = name[:colon], name[colon + 1 :]
            _check_tag(tag, text)
        if len(name) == 64 and _HEX.issuperset(name):
            raise ReferenceInvalid(f"`{name}` is an image id, not a name")
        registry, repository = _split_registry(name)
        _check_registry(registry, text)
        _check_repository(repository, text)
        if len(registry) + 1 + len(repository) > _MAX_NAME:
            raise ReferenceInvalid(f"the name `{name[:60]}…` is longer than {_MAX_NAME} characters")
        if tag is None and digest is None:
            tag = DEFAULT_TAG
        return cls(registry, repository, tag, digest)

    @property
    def name(self) -> str:
        """Registry and repository, in full."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar_name(self) -> str:
        """Registry and repository as Docker shows them: `alpine`, not `docker.io/library/alpine`."""
        if self.registry != HUB:
            return self.name
        return self.repository.removeprefix("library/")

    @property
    def api_host(self) -> str:
        """The host (with port) that answers for this registry."""
        return HUB_API if self.registry == HUB else self.registry

    @property
    def selector(self) -> str:
        """What stands at the end of a manifest's address: the digest if there is one, else the tag."""
        return str(self.digest or self.tag or DEFAULT_TAG)

    def familiar(self) -> str:
        """Return the whole name as Docker shows it."""
        return self.familiar_name + self._suffix()

    def canonical(self) -> str:
        """Return the whole name with nothing left to defaults."""
        return self.name + self._suffix()

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag

    def with_digest(self, digest: Digest) -> Reference:
        """Return the same repository at a digest, without a tag."""
        return Reference(self.registry, self.repository, None, digest)

    def with_tag(self, tag: str) -> Reference:
        """Return the same repository at a tag, without a digest.

        Raises: ReferenceInvalid: the tag breaks the grammar.
        """
        _check_tag(tag, tag)
        return Reference(self.registry, self.repository, tag, None)

    def __str__(self) -> str:
        return self.familiar()


def is_short(text: str) -> bool:
    """Tell whether a name, as people type it, leaves the registry out."""
    first, slash, _ = text.partition("/")
    return not slash or not _is_host(first)


def short_name(text: str) -> str:
    """Return the name as it was typed, without tag and digest, if it leaves the registry out, else ""."""
    if not is_short(text):
        return ""
    name = text.partition("@")[0]
    return name[: name.find(":", name.rfind("/") + 1)] if ":" in name else name


def _is_host(first: str) -> bool:
    return "." in first or ":" in first or first == "localhost" or first.lower() != first


def is_name_only(text: str) -> bool:
    """Tell whether a name has neither a tag nor a digest."""
    return "@" not in text and ":" not in text.rpartition("/")[2]


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    registry, repository = (first, rest) if slash and _is_host(first) else (HUB, name)
    if registry == "index.docker.io":
        registry = HUB
    if registry == HUB and "/" not in repository:
        repository = "library/" + repository
    return registry, repository


def _check_tag(tag: str, text: str) -> None:
    if not tag:
        raise ReferenceInvalid(
            f"`{text[:100]}` is not an image reference: there is no tag after the colon",
            hint="write the tag, or leave the colon out",
        )
    if len(tag) > _MAX_TAG or not _TAG.issuperset(tag) or tag[0] in ".-":
        raise ReferenceInvalid(
            f"`{text[:100]}` is not an image reference: `{tag[:100]}` is not a tag",
            notes=(
                "a tag has up to 128 letters, digits, `_`, `.` and `-`, and begins with none of the last two",
            ),
        )


def _check_registry(registry: str, text: str) -> None:
    if text.startswith(("http://", "https://")):
        raise ReferenceInvalid(
            f"`{text[:100]}` is a URL, not an image reference",
            hint="leave the scheme out: `registry.example/repository:tag`",
        )
    if text.startswith(("./", "../")):
        raise ReferenceInvalid(
            f"`{text[:100]}` is a path, not an image reference",
            hint="name an image; a directory can be given as `--build-context NAME=PATH`",
        )
    host, port = _split_port(registry)
    if port is not None and not (port.isascii() and port.isdecimal() and int(port[:6]) < 65536):
        raise ReferenceInvalid(
            f"`{text[:100]}` is not an image reference: `{port[:20]}` is not a port"
        )
    if host.startswith("["):
        inner = host[1:-1]
        valid = (
            host.endswith("]")
            and ":" in inner
            and frozenset("0123456789abcdefABCDEF:").issuperset(inner)
        )
    else:
        valid = all(_is_label(label) for label in host.split("."))
    if not valid:
        raise ReferenceInvalid(
            f"`{text[:100]}` is not an image reference: `{host[:100]}` is not a host"
        )


def _split_port(registry: str) -> tuple[str, str | None]:
    end = registry.find("]") + 1
    colon = registry.find(":", end)
    return (registry, None) if colon < 0 else (registry[:colon], registry[colon + 1 :])


def _is_label(label: str) -> bool:
    return (
        bool(label) and label[0] != "-" and label[-1] != "-" and (_ALNUM | {"-"}).issuperset(label)
    )


def _check_repository(repository: str, text: str) -> None:
    if repository != repository.lower():
        raise ReferenceInvalid(
            f"`{text[:100]}`: repository name (`{repository[:100]}`) must be lowercase",
            hint=f"write `{text[:100].replace(repository, repository.lower())}`"
            if repository in text
            else f"write `{text[:100].lower()}`",
        )
    for component in repository.split("/"):
        if not _is_component(component):
            raise ReferenceInvalid(
                f"`{text[:100]}` is not an image reference",
                notes=(f"`{component[:100]}` is not a part of a repository's name",)
                if component
                else ("a part of the name is empty",),
            )


def _is_component(component: str) -> bool:
    """Tell whether runs of lower-case letters and digits are joined by `.`, `_`, `__` or dashes."""
    if not component or not (_LOWER | frozenset("._-")).issuperset(component):
        return False
    if component[0] not in _LOWER or component[-1] not in _LOWER:
        return False
    separator = ""
    for character in component:
        if character not in _LOWER:
            separator += character
        elif separator:
            if separator not in (".", "_", "__") and separator.strip("-"):
                return False
            separator = ""
    return True
