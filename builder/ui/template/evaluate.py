"""What a template makes of a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import assert_never

from builder.ui.template.errors import TemplateError, Unevaluable
from builder.ui.template.functions import FUNCTIONS, HEADERS, LONGEST, Signature
from builder.ui.template.nodes import (
    Action,
    Break,
    Chain,
    Command,
    Constant,
    Continue,
    Dot,
    Field,
    Function,
    If,
    Nil,
    Node,
    Operand,
    Pipeline,
    Range,
    Text,
    Variable,
    With,
    written,
)
from builder.ui.template.shown import (
    NO_VALUE,
    NilPointer,
    Record,
    is_of_strings,
    is_true,
    shown,
    type_name,
)

_STEPS = 200_000
_TYPES: dict[str, type] = {"string": str, "int": int}
_LITERALS = {"string": "string", "int": "integer"}


class _Missing:
    """What a command gets that is the first of its pipeline."""


_MISSING = _Missing()


class _Break(Exception):
    """The end of a range."""


class _Continue(Exception):
    """The end of one element."""


class Evaluation:
    """One run of a template over one value; what has been written so far is in `pieces`.

    With `strict`, members that a map does not have are mistakes. With `headers`, functions leave the names of
    columns as they are.
    """

    def __init__(self, source: str, *, strict: bool = False, headers: bool = False) -> None:
        self.pieces: list[str] = []
        self._source = source
        self._strict = strict
        self._headers = headers
        self._variables: list[tuple[str, object]] = []
        self._at: Operand | Command | Node | None = None
        self._steps = 0
        self._length = 0

    def run(self, nodes: tuple[Node, ...], value: object) -> None:
        """Write what `nodes` make of a value.

        Raises: TemplateError: something does not fit, or it would take too long.
        """
        self._variables = [("$", value)]
        self._walk(nodes, value)

    def _failure(self, message: str, node: Operand | Command | Node | None = None) -> TemplateError:
        node = node or self._at
        assert node is not None
        text = self._source[: node.position]
        line = text.count("\n") + 1
        column = len(text.rpartition("\n")[2].encode("utf-8", "surrogateescape"))
        return TemplateError(
            f'template: :{line}:{column}: executing "" at <{written(node)}>: {message}'
        )

    def _step(self, node: Command | Node) -> None:
        self._steps += 1
        if self._steps > _STEPS:
            raise self._failure("this takes too long", node)

    def _write(self, node: Node, text: str) -> None:
        self._length += len(text)
        if self._length > LONGEST:
            raise self._failure("the output is too long", node)
        self.pieces.append(text)

    def _walk(self, nodes: tuple[Node, ...], dot: object) -> None:
        for node in nodes:
            self._at = node
            self._step(node)
            match node:
                case Text():
                    self._write(node, node.text)
                case Action():
                    value = self._pipeline(node.pipeline, dot)
                    if not node.pipeline.variables:
                        self._write(node, NO_VALUE if value is None else shown(value))
                case If() | With():
                    self._choose(node, dot)
                case Range():
                    self._range(node, dot)
                case Break():
                    raise _Break
                case Continue():
                    raise _Continue
                case _:
                    assert_never(node)

    def _choose(self, node: If | With, dot: object) -> None:
        known = len(self._variables)
        value = self._pipeline(node.pipeline, dot)
        if is_true(value):
            self._walk(node.then, value if isinstance(node, With) else dot)
        else:
            self._walk(node.otherwise, dot)
        del self._variables[known:]

    def _range(self, node: Range, dot: object) -> None:
        known = len(self._variables)
        value = self._pipeline(node.pipeline, dot)
        inner = len(self._variables)
        empty = True
        try:
            for index, element in self._elements(node.pipeline, value):
                empty = False
                self._step(node)
                self._set_elements(node.pipeline, index, element, inner)
                with suppress(_Continue):
                    self._walk(node.then, element)
                del self._variables[inner:]
        except _Break:
            pass
        if empty:
            self._walk(node.otherwise, dot)
        del self._variables[known:]

    def _elements(self, pipeline: Pipeline, value: object) -> Iterator[tuple[object, object]]:
        if isinstance(value, Mapping):
            for key in sorted(value):
                yield key, value[key]
        elif isinstance(value, (list, tuple)):
            yield from enumerate(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            if len(pipeline.variables) > 1:
                raise self._failure(f"can't use {value} to iterate over more than one variable")
            for number in range(value):
                yield None, number
        elif value is not None and not isinstance(value, NilPointer):
            raise self._failure(f"range can't iterate over {shown(value)}")

    def _set_elements(self, pipeline: Pipeline, index: object, element: object, end: int) -> None:
        """Give the variables of a range their values; the last is the element, one before it the index."""
        names = [each.name for each in pipeline.variables]
        values = (element,) if len(names) == 1 else (index, element)
        for name, value, place in zip(names, values, range(end - len(names), end), strict=False):
            if pipeline.declares:
                self._variables[place] = (name, value)
            else:
                self._assign(name, value)

    def _assign(self, name: str, value: object) -> None:
        for place in range(len(self._variables) - 1, -1, -1):
            if self._variables[place][0] == name:
                self._variables[place] = (name, value)
                return
        raise self._failure(f"undefined variable: {name}")

    # Pipelines.

    def _pipeline(self, pipeline: Pipeline, dot: object) -> object:
        self._at = pipeline
        value: object = _MISSING
        for command in pipeline.commands:
            value = self._command(command, dot, value)
        for variable in pipeline.variables:
            if pipeline.declares:
                self._variables.append((variable.name, value))
            else:
                self._assign(variable.name, value)
        return value

    def _command(self, command: Command, dot: object, final: object) -> object:
        self._step(command)
        first = command.operands[0]
        if isinstance(first, Function):
            return self._call(first, command, dot, final)
        if len(command.operands) == 1 and final is _MISSING:
            if isinstance(first, Nil):
                raise self._failure("nil is not a command", first)
            return self._operand(first, dot)
        return self._with_arguments(first, dot)

    def _with_arguments(self, node: Operand, dot: object) -> object:
        """Say why what is no function takes no arguments; only members of nothing do, and are nothing."""
        if not isinstance(node, Field | Chain | Variable) or not node.names:
            if not isinstance(node, Pipeline):
                self._at = node
            raise self._failure(f"can't give argument to non-function {written(node)}")
        start = self._root(node, dot)
        receiver = self._members(start, node.names[:-1])
        name = node.names[-1]
        if receiver is None and not self._strict:
            return None
        self._member(receiver, name)
        if isinstance(receiver, Record):
            raise self._failure(f"{name} has arguments but cannot be invoked as function")
        raise self._failure(f"{name} is not a method but has arguments")

    def _operand(self, node: Operand, dot: object) -> object:
        match node:
            case Field() | Variable() | Chain():
                return self._members(self._root(node, dot), node.names)
            case Function():
                return self._call(node, node, dot, _MISSING)
            case Pipeline():
                return self._pipeline(node, dot)
            case Dot() | Nil() | Constant():
                self._at = node
                if isinstance(node, Constant):
                    return node.value
                return dot if isinstance(node, Dot) else None
            case _:
                assert_never(node)

    def _root(self, node: Field | Variable | Chain, dot: object) -> object:
        """Return what the names of a node are members of."""
        self._at = node
        match node:
            case Field():
                return dot
            case Variable():
                for name, value in reversed(self._variables):
                    if name == node.name:
                        return value
                raise self._failure(f"undefined variable: {node.name}")
            case Chain():
                return self._operand(node.node, dot)
            case _:
                assert_never(node)

    def _members(self, value: object, names: tuple[str, ...]) -> object:
        above: object = None
        for name in names:
            above, value = value, self._member(value, name, above)
        return value

    def _member(self, value: object, name: str, above: object = None) -> object:
        """Return a member of a value, which is itself one of `above`."""
        if value is None:
            if self._strict:
                raise self._failure(f'nil data; no entry for key "{name}"')
            return None
        if isinstance(value, NilPointer):
            raise self._failure(f"nil pointer evaluating {value.kind}.{name}")
        if isinstance(value, Record):
            if name in value.members:
                return value.members[name]
        elif isinstance(value, Mapping):
            if self._strict and name not in value:
                raise self._failure(f'map has no entry for key "{name}"')
            return value.get(name)
        # What a map of several kinds holds has no type of its own in Go.
        mixed = isinstance(above, Mapping) and not is_of_strings(above)
        kind = "interface {}" if mixed else type_name(value)
        raise self._failure(f"can't evaluate field {name} in type {kind}")

    # Functions.

    def _call(self, node: Function, whole: Operand | Command, dot: object, final: object) -> object:
        self._at = node
        operands = whole.operands[1:] if isinstance(whole, Command) else ()
        signature = FUNCTIONS[node.name]
        if self._headers and node.name in HEADERS:
            signature = Signature(lambda text, *_: text, signature.arguments)
        self._check_count(node.name, signature, len(operands), final)
        if node.name in ("and", "or"):
            return self._choice(node.name, operands, dot, final)
        values = [
            self._argument(operand, _expected(signature, number), dot)
            for number, operand in enumerate(operands)
        ]
        if final is not _MISSING:
            values.append(self._checked(final, _expected(signature, len(operands))))
        try:
            result = signature.function(*values)
        except Unevaluable as mistake:
            raise self._failure(f"error calling {node.name}: {mistake}", whole) from mistake
        except RecursionError:
            raise self._failure(
                f"error calling {node.name}: the value is nested too deeply", whole
            ) from None
        if isinstance(result, str) and len(result) > LONGEST:
            raise self._failure("the output is too long", whole)
        return result

    def _check_count(self, name: str, signature: Signature, given: int, final: object) -> None:
        wanted, count = len(signature.arguments), given + (final is not _MISSING)
        if signature.rest is None and count != wanted:
            raise self._failure(f"wrong number of args for {name}: want {wanted} got {count}")
        if count < wanted:
            raise self._failure(
                f"wrong number of args for {name}: want at least {wanted} got {given}"
            )

    def _choice(
        self, name: str, operands: tuple[Operand, ...], dot: object, final: object
    ) -> object:
        value: object = None
        for operand in operands:
            value = self._argument(operand, "any", dot)
            if is_true(value) is (name == "or"):
                return value
        return value if final is _MISSING else final

    def _argument(self, node: Operand, expected: str, dot: object) -> object:
        self._at = node
        if expected != "any" and isinstance(node, Nil):
            raise self._failure(f"cannot assign nil to {expected}")
        if expected != "any" and isinstance(node, Constant):
            if not _fits(node.value, expected):
                raise self._failure(f"expected {_LITERALS[expected]}; found {node.text}")
            return node.value
        return self._checked(self._operand(node, dot), expected)

    def _checked(self, value: object, expected: str) -> object:
        if expected == "any" or _fits(value, expected):
            return value
        if value is None:
            raise self._failure(f"invalid value; expected {expected}")
        raise self._failure(f"wrong type for value; expected {expected}; got {type_name(value)}")


def _expected(signature: Signature, number: int) -> str:
    if number < len(signature.arguments):
        return signature.arguments[number]
    assert signature.rest is not None
    return signature.rest


def _fits(value: object, expected: str) -> bool:
    return type(value) is _TYPES[expected]
