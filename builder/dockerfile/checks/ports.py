"""Rules about EXPOSE."""

from __future__ import annotations

from collections.abc import Iterator

from builder.dockerfile import ports, words
from builder.dockerfile.checks.finding import Finding
from builder.dockerfile.checks.walk import Moment
from builder.dockerfile.instructions import Expose


def _is_port(text: str) -> bool:
    """Tell whether the build takes a text: of what it refuses it says more itself."""
    try:
        ports.protocol(text)
        ports.read(text)
    except ports.BadPort:
        return False
    return True


def exposed(moment: Moment) -> Iterator[Finding]:
    """ExposeProtoCasing and ExposeInvalidFormat."""
    instruction = moment.instruction
    assert isinstance(instruction, Expose)
    lookup = moment.state.environment.get
    escape = moment.scene.dockerfile.directives.escape
    for word in instruction.ports:
        try:
            found = words.split(word.text, lookup, escape=escape)
        except words.BadWord:
            continue
        for text in found:
            port, _, protocol = text.rpartition(":")[2].partition("/")
            if protocol != protocol.lower():
                yield Finding(
                    rule="ExposeProtoCasing",
                    span=word.span,
                    message=f"the protocol `{protocol}` is not in lower case",
                    hint=f"write `{port}/{protocol.lower()}`",
                    comments=instruction.comments,
                )
            if text.rpartition(":")[0].strip(":") and _is_port(text):
                yield Finding(
                    rule="ExposeInvalidFormat",
                    span=word.span,
                    message=f"`{text}` holds an address or a port of the host, which mean nothing here",
                    hint=f"write `{text.rpartition(':')[2]}`, and map ports when you run the container",
                    comments=instruction.comments,
                )
