"""Content digests, as `algorithm:hex`.

Source: OCI image-spec, descriptor.md, "Digests".
"""

from __future__ import annotations

from builder.errors import ReferenceInvalid
from builder.oci.sha256 import sha256

_LENGTHS = {"sha256": 64, "sha512": 128}
_HEX = frozenset("0123456789abcdef")


class Digest(str):
    """A validated digest; compares, hashes and serialises as its text.

    Raises: ReferenceInvalid: the text is not `sha256:` or `sha512:` and as many lower-case hex digits.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Digest:
        """Validate and wrap `text`."""
        algorithm, _, encoded = text.partition(":")
        if len(encoded) != _LENGTHS.get(algorithm) or not _HEX.issuperset(encoded):
            raise ReferenceInvalid(
                f"`{text[:100]}` is not a digest",
                notes=("a digest is `sha256:` and 64 hexadecimal digits in lower case",),
            )
        return super().__new__(cls, text)

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """Return the sha256 digest of `data`."""
        return cls("sha256:" + sha256(data).hex())

    @property
    def algorithm(self) -> str:
        """The part before the colon."""
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        """The part after the colon."""
        return self.partition(":")[2]

    @property
    def short(self) -> str:
        """The first twelve digits, as Docker shows ids."""
        return self.hex[:12]
