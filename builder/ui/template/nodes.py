"""A template that has been read: a tree, each node of which knows where it stands."""

from __future__ import annotations

import msgspec

# `position` is in characters from the start of the template.


class Dot(msgspec.Struct, frozen=True):
    """`.`: the value at hand."""

    position: int


class Nil(msgspec.Struct, frozen=True):
    """The word `nil`."""

    position: int


class Constant(msgspec.Struct, frozen=True):
    """A number, a string, `true` or `false`; `text` is how it was written."""

    position: int
    text: str
    value: bool | int | float | str


class Field(msgspec.Struct, frozen=True):
    """`.A.B`: members of the value at hand."""

    position: int
    names: tuple[str, ...]


class Variable(msgspec.Struct, frozen=True):
    """`$x.A`: a variable, or members of one; its name begins with `$`."""

    position: int
    name: str
    names: tuple[str, ...] = ()


class Function(msgspec.Struct, frozen=True):
    """A function by its name."""

    position: int
    name: str


class Chain(msgspec.Struct, frozen=True):
    """`(…).A`: members of what a pipeline or a function gives."""

    position: int
    node: Pipeline | Function
    names: tuple[str, ...]


class Command(msgspec.Struct, frozen=True):
    """Operands; the first is what is called, or all there is."""

    position: int
    operands: tuple[Operand, ...]


class Pipeline(msgspec.Struct, frozen=True):
    """Commands, each of which gets what the one before gave; the result is kept in `variables`."""

    position: int
    commands: tuple[Command, ...]
    variables: tuple[Variable, ...] = ()
    declares: bool = True


Operand = Dot | Nil | Constant | Field | Variable | Function | Chain | Pipeline


class Text(msgspec.Struct, frozen=True):
    """Text, as it stands there."""

    position: int
    text: str


class Action(msgspec.Struct, frozen=True):
    """A pipeline whose value is printed."""

    position: int
    pipeline: Pipeline


class If(msgspec.Struct, frozen=True):
    """One of two lists."""

    position: int
    pipeline: Pipeline
    then: tuple[Node, ...]
    otherwise: tuple[Node, ...]


class With(msgspec.Struct, frozen=True):
    """As `If`, but the value becomes the one at hand."""

    position: int
    pipeline: Pipeline
    then: tuple[Node, ...]
    otherwise: tuple[Node, ...]


class Range(msgspec.Struct, frozen=True):
    """A list for each element."""

    position: int
    pipeline: Pipeline
    then: tuple[Node, ...]
    otherwise: tuple[Node, ...]


class Break(msgspec.Struct, frozen=True):
    """The end of a range."""

    position: int


class Continue(msgspec.Struct, frozen=True):
    """The end of one element of a range."""

    position: int


Node = Text | Action | If | With | Range | Break | Continue
Control = If | With | Range


def written(node: Operand | Command | Node) -> str:
    """Return a node as it is written in messages."""
    match node:
        case Dot():
            return "."
        case Nil():
            return "nil"
        case Constant():
            return node.text
        case Function():
            return node.name
        case Field():
            return "".join(f".{name}" for name in node.names)
        case Variable():
            return ".".join((node.name, *node.names))
        case Chain():
            inner = written(node.node)
            inner = f"({inner})" if isinstance(node.node, Pipeline) else inner
            return ".".join((inner, *node.names))
        case Command():
            return " ".join(
                f"({written(each)})" if isinstance(each, Pipeline) else written(each)
                for each in node.operands
            )
        case Pipeline():
            names = ", ".join(written(each) for each in node.variables)
            sign = (" := " if node.declares else " = ") if names else ""
            return names + sign + " | ".join(written(each) for each in node.commands)
        case Action():
            return f"{{{{{written(node.pipeline)}}}}}"
        case _:
            return type(node).__name__.lower()
