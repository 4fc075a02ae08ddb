"""What one pass over a layer tells; apart from the writer, which a cached build does not need."""

from __future__ import annotations

import msgspec


class LayerScan(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a layer after one pass over it.

    `diff_id` and `size` are of its uncompressed tar; `data` is the sum of the sizes of its regular files, in
    bytes; `count` the number of entries. A layer without entries is `empty`. `implied` tells that the
    directory form holds parents which the entries do not list: their attributes come from the chain below,
    so that another chain needs another directory form.
    """

    diff_id: str
    size: int
    content_id: str
    count: int
    data: int = 0
    implied: bool = False

    @property
    def empty(self) -> bool:
        """Whether the layer changes nothing."""
        return self.count == 0
