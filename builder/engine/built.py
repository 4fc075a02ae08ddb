"""What a build made, before it is named and delivered."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from builder.diagnostics import Diagnostic
from builder.engine.catalogue import LocalImage
from builder.oci.edit import Inherited
from builder.oci.platform import Platform

if TYPE_CHECKING:
    from builder.engine.account import Account
    from builder.sharing.records import Bundle


class BuiltImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that a build made: `inherited` is how much of it its base image gave.

    `epoch` is the time in seconds that it was given, if it was; `account` returns what can be told of how it was built.
    """

    platform: Platform
    image: LocalImage
    inherited: Inherited
    epoch: int | None
    account: Callable[[], Account]


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """What a build made: the images, how many steps they took together, and the records that are to go into them.

    There is an image for each platform that was asked for, in that order.
    """

    images: tuple[BuiltImage, ...]
    steps: int
    cached: int
    warnings: tuple[Diagnostic, ...]
    records: Bundle | None = None

    @property
    def main(self) -> BuiltImage:
        """The image that is meant where nobody asks for a platform: the host's, or the first."""
        if len(self.images) == 1:
            return self.images[0]
        host = Platform.host()
        ranked = [(each.platform.rank(host), each) for each in self.images]
        serving = [(rank, each.image.id, each) for rank, each in ranked if rank is not None]
        return min(serving, key=lambda found: found[:2])[2] if serving else self.images[0]

    @property
    def image(self) -> LocalImage:
        """The main image."""
        return self.main.image

    @property
    def inherited(self) -> Inherited:
        """How much of the main image its base gave."""
        return self.main.inherited

    @property
    def epoch(self) -> int | None:
        """The time in seconds that the main image was given, if it was."""
        return self.main.epoch
