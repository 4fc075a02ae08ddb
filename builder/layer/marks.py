"""Names that a layer's tar stream uses to remove things.

Source: OCI image-spec, layer.md, "Whiteouts".
"""

from __future__ import annotations

from builder.errors import LayerError
from builder.layer.tree import shown

PREFIX = b".wh."
OPAQUE = b".wh..opq"


def hidden_by(components: list[bytes]) -> bytes | None:
    """Return the name that a mark removes from its directory, `OPAQUE` for all that is below it.

    None means that the path is no mark, b"" that it is one which aufs kept for itself.

    Raises: LayerError: it is a mark that means nothing.
    """
    if not any(component.startswith(PREFIX) for component in components):
        return None
    *above, mark = components
    if any(component.startswith(PREFIX + PREFIX) for component in above):
        return b""
    hidden = mark.removeprefix(PREFIX)
    if hidden == mark or any(component.startswith(PREFIX) for component in above):
        raise LayerError("the layer puts something below a name that begins with `.wh.`")
    if hidden != OPAQUE and hidden.startswith(PREFIX):
        return b""
    if hidden in (b"", b".", b".."):
        raise LayerError(f"`{shown(b'/'.join(components))}` removes nothing that has a name")
    return hidden
