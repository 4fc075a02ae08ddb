"""From the words of a template to its tree."""

from __future__ import annotations

from builder.ui.template import literals
from builder.ui.template.errors import TemplateError, Unevaluable
from builder.ui.template.functions import ELSEWHERE, FUNCTIONS
from builder.ui.template.nodes import (
    Action,
    Break,
    Chain,
    Command,
    Constant,
    Continue,
    Control,
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
from builder.ui.template.shown import quoted
from builder.ui.template.tokens import Kind, Token, tokens

_DEEPEST = 50
_OPERANDS = frozenset(
    {
        Kind.BOOL, Kind.CHARACTER, Kind.DOT, Kind.FIELD, Kind.IDENTIFIER, Kind.NUMBER, Kind.STRING,
        Kind.VARIABLE, Kind.LEFT,
    }
)  # fmt: skip
_CONTROLS: dict[str, type[Control]] = {"if": If, "with": With, "range": Range}


def parse(source: str) -> tuple[Node, ...]:
    """Read a template.

    Raises: TemplateError: it cannot be read.
    """
    return _Parser(source).run()


class _Parser:
    def __init__(self, source: str) -> None:
        self.words = tokens(source)
        self.waiting: list[Token] = []
        self.last = Token(Kind.END, 0, "", 1)
        self.variables = ["$"]
        self.depth = 0
        self.ranges = 0
        self.action_line = 0

    def run(self) -> tuple[Node, ...]:
        found: list[Node] = []
        while self.peek().kind is not Kind.END:
            node = self.text_or_action()
            if isinstance(node, str):
                raise self.error(f"unexpected {{{{{node}}}}}")
            found.append(node)
        return tuple(found)

    # Words.

    def next(self) -> Token:
        if self.waiting:
            return self.waiting.pop()
        self.last = next(self.words, self.last)
        return self.last

    def peek(self) -> Token:
        token = self.next()
        self.waiting.append(token)
        return token

    def next_word(self) -> Token:
        while (token := self.next()).kind is Kind.SPACE:
            pass
        return token

    def peek_word(self) -> Token:
        token = self.next_word()
        self.waiting.append(token)
        return token

    def error(self, message: str) -> TemplateError:
        return TemplateError(f"template: :{self.last.line}: {message}")

    def unexpected(self, token: Token, where: str) -> TemplateError:
        if token.kind is not Kind.ERROR:
            return self.error(f"unexpected {token.named()} in {where}")
        started = ""
        if self.action_line not in (0, token.line):
            started = f" in action started at :{self.action_line}"
            started = (
                started.removeprefix(" in action") if token.text.endswith(" action") else started
            )
        return self.error(token.text + started)

    def expect(self, kind: Kind, where: str) -> Token:
        token = self.next_word()
        if token.kind is not kind:
            raise self.unexpected(token, where)
        return token

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.error("nested too deeply")

    # Text and actions.

    def text_or_action(self) -> Node | str:
        """Return the next node; "end" and "else" are no nodes, but words that end a list."""
        token = self.next_word()
        if token.kind is Kind.TEXT:
            return Text(token.position, token.text)
        if token.kind is not Kind.OPEN:
            raise self.unexpected(token, "input")
        self.action_line = token.line
        try:
            return self.action()
        finally:
            self.action_line = 0

    def action(self) -> Node | str:
        token = self.next_word()
        if token.kind is Kind.KEYWORD:
            match token.text:
                case "if" | "with" | "range":
                    return self.control(token.text)
                case "break" | "continue":
                    return self.leaving(token)
                case "end":
                    self.expect(Kind.CLOSE, "end")
                    return "end"
                case "else":
                    following = self.peek_word()
                    if following.text not in ("if", "with"):
                        self.expect(Kind.CLOSE, "else")
                    return "else"
                case "block" | "define" | "template":
                    raise self.error(f"{{{{{token.text}}}}} is not available")
                case _:  # `nil`
                    pass
        self.waiting.append(token)
        return Action(token.position, self.pipeline("command", Kind.CLOSE))

    def leaving(self, token: Token) -> Node:
        ending = self.next_word()
        if ending.kind is not Kind.CLOSE:
            raise self.unexpected(ending, f"{{{{{token.text}}}}}")
        if not self.ranges:
            raise self.error(f"{{{{{token.text}}}}} outside {{{{range}}}}")
        return Break(token.position) if token.text == "break" else Continue(token.position)

    def control(self, kind: str) -> Control:
        self.deeper()
        known = len(self.variables)
        pipeline = self.pipeline(kind, Kind.CLOSE)
        self.ranges += kind == "range"
        then, ending = self.list()
        self.ranges -= kind == "range"
        otherwise: tuple[Node, ...] = ()
        if ending == "else":
            following = self.peek()
            if following.text == kind and following.kind is Kind.KEYWORD and kind != "range":
                self.next()
                otherwise = (self.control(kind),)
            else:
                otherwise, ending = self.list()
                if ending != "end":
                    raise self.error("expected end; found {{else}}")
        del self.variables[known:]
        self.depth -= 1
        return _CONTROLS[kind](pipeline.position, pipeline, then, otherwise)

    def list(self) -> tuple[tuple[Node, ...], str]:
        found: list[Node] = []
        while self.peek_word().kind is not Kind.END:
            node = self.text_or_action()
            if isinstance(node, str):
                return tuple(found), node
            found.append(node)
        raise self.error("unexpected EOF")

    # Pipelines.

    def pipeline(self, where: str, end: Kind) -> Pipeline:
        start = self.peek_word().position
        variables, declares = self.declared(where)
        commands: list[Command] = []
        while (token := self.next_word()).kind is not end:
            known = token.kind in _OPERANDS or (token.kind, token.text) == (Kind.KEYWORD, "nil")
            if not known:
                raise self.unexpected(token, where)
            self.waiting.append(token)
            commands.append(self.command())
        if not commands:
            raise self.error(f"missing value for {where}")
        for number, command in enumerate(commands[1:], 2):
            if isinstance(command.operands[0], Constant | Dot | Nil):
                raise self.error(f"non executable command in pipeline stage {number}")
        return Pipeline(start, tuple(commands), variables, declares)

    def declared(self, where: str) -> tuple[tuple[Variable, ...], bool]:
        """Read `$x :=`, `$x =` or, of a range, `$i, $x :=` at the start of a pipeline, if it is there."""
        found: list[Variable] = []
        while (token := self.peek_word()).kind is Kind.VARIABLE:
            self.next()
            after = self.next()
            sign = self.next_word() if after.kind is Kind.SPACE else after
            if sign.kind in (Kind.ASSIGN, Kind.DECLARE):
                self.variables.append(token.text)
                return (*found, Variable(token.position, token.text)), sign.kind is Kind.DECLARE
            if sign.text != "," or sign.kind is not Kind.OTHER:
                self.waiting.append(sign)
                if after is not sign:
                    self.waiting.append(after)
                self.waiting.append(token)
                break
            self.variables.append(token.text)
            found.append(Variable(token.position, token.text))
            if where != "range" or len(found) == 2:
                raise self.error(f"too many declarations in {where}")
            if self.peek_word().kind not in (Kind.VARIABLE, Kind.CLOSE, Kind.RIGHT):
                raise self.error("range can only initialize variables")
        return tuple(found), True

    def command(self) -> Command:
        start = self.peek_word().position
        operands: list[Operand] = []
        while True:
            operand = self.operand()
            if operand is not None:
                operands.append(operand)
            token = self.next()
            if token.kind is Kind.SPACE:
                self.peek_word()
                continue
            if token.kind in (Kind.CLOSE, Kind.RIGHT):
                self.waiting.append(token)
            elif token.kind is not Kind.PIPE:
                raise self.unexpected(token, "operand")
            break
        if not operands:
            raise self.error("empty command")
        return Command(start, tuple(operands))

    def operand(self) -> Operand | None:
        node = self.term()
        if node is None or self.peek().kind is not Kind.FIELD:
            return node
        position = self.peek().position
        names: list[str] = []
        while self.peek().kind is Kind.FIELD:
            names.append(self.next().text[1:])
        match node:
            case Field():
                return Field(position, (*node.names, *names))
            case Variable():
                return Variable(position, node.name, (*node.names, *names))
            case Function() | Pipeline():
                return Chain(position, node, tuple(names))
            case _:
                raise self.error(f"unexpected . after term {quoted(written(node))}")

    def term(self) -> Operand | None:
        token = self.next_word()
        position, text = token.position, token.text
        try:
            match token.kind:
                case Kind.IDENTIFIER:
                    return Function(position, self.known_function(text))
                case Kind.DOT:
                    return Dot(position)
                case Kind.VARIABLE:
                    if text not in self.variables:
                        raise self.error(f"undefined variable {quoted(text)}")
                    return Variable(position, text)
                case Kind.FIELD:
                    return Field(position, (text[1:],))
                case Kind.BOOL:
                    return Constant(position, text, text == "true")
                case Kind.NUMBER:
                    return Constant(position, text, literals.number(text))
                case Kind.CHARACTER:
                    return Constant(position, text, literals.character(text))
                case Kind.STRING:
                    return Constant(position, text, literals.string(text))
                case Kind.LEFT:
                    self.deeper()
                    pipeline = self.pipeline("parenthesized pipeline", Kind.RIGHT)
                    self.depth -= 1
                    return pipeline
                case _:
                    pass
        except Unevaluable as mistake:
            raise self.error(str(mistake)) from None
        if (token.kind, text) == (Kind.KEYWORD, "nil"):
            return Nil(position)
        self.waiting.append(token)
        return None

    def known_function(self, name: str) -> str:
        if name in ELSEWHERE:
            raise Unevaluable(f"function {quoted(name)} is not available")
        if name not in FUNCTIONS:
            raise Unevaluable(f"function {quoted(name)} not defined")
        return name
