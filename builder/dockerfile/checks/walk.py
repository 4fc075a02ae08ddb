"""Every instruction of the stages looked at, in order, with the variables in force there.

Unlike lowering this stops at no mistake: a word that cannot be expanded is left out, and an image whose
configuration is not known counts as one that sets PATH only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import msgspec

from builder.diagnostics import SourceFile
from builder.dockerfile import rootpaths, scope, suggest, words
from builder.dockerfile.draft import DEFAULT_PATH
from builder.dockerfile.expansion import MAX_TOTAL
from builder.dockerfile.ignore import IgnoreRules
from builder.dockerfile.instructions import (
    Add,
    Arg,
    Copy,
    Dockerfile,
    Env,
    Flag,
    From,
    Instruction,
    Label,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Word,
    Workdir,
)
from builder.dockerfile.mistakes import ALWAYS, NEVER, unsure_lines
from builder.oci.config import ImageConfig
from builder.oci.platform import Platform

Lookup = Callable[[str], "str | None"]

_DEEPEST = 50
_COMPARISONS = 20_000


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What the checks know of a build.

    `bases` are the configurations of the images that stages begin from, by the index of the stage, as far as
    they are known; `triggers` the ONBUILD instructions that run first in a stage. `wanted` are the stages to
    look into, None for all. `ignore` are the context's rules.
    """

    dockerfile: Dockerfile
    build_args: Mapping[str, str]
    host: Platform
    platform: Platform
    target: str | None = None
    bases: Mapping[int, ImageConfig] = {}
    triggers: Mapping[int, tuple[Instruction, ...]] = {}
    wanted: frozenset[int] | None = None
    ignore: IgnoreRules | None = None

    @property
    def source(self) -> SourceFile:
        """The text."""
        return self.dockerfile.source


class Expanded(msgspec.Struct, frozen=True):
    """A word, what it comes to (None where it cannot be expanded), and the variables it names: known or not."""

    word: Word
    value: str | None
    known: tuple[str, ...]
    unknown: tuple[str, ...]


def expand(word: Word, lookup: Lookup, escape: str, *, quotes: bool = True) -> Expanded:
    """Expand a word and remember which variables it asked for."""
    text = word.text
    if "$" not in text and escape not in text and "'" not in text and '"' not in text:
        return Expanded(word, text, (), ())
    asked: dict[str, bool] = {}

    def remembering(name: str) -> str | None:
        value = lookup(name)
        asked[name] = value is not None
        return value

    value: str | None
    try:
        value = words.expand(text, remembering, escape=escape, quotes=quotes)
    except words.BadWord:
        value = None
    known = tuple([name for name, found in asked.items() if found])
    return Expanded(word, value, known, tuple([name for name in asked if name not in known]))


class Copies:
    """What COPY and ADD have written so far in a stage: which line wrote a path, or something below it."""

    __slots__ = ("at", "below")

    def __init__(self, other: Copies | None = None) -> None:
        self.at: dict[str, int] = dict(other.at) if other is not None else {}
        self.below: dict[str, int] = dict(other.below) if other is not None else {}

    def add(self, path: str, line: int) -> None:
        """Remember that a line writes a cleaned, absolute path of the image."""
        path = path.rstrip("/")
        self.at[path] = line
        for above in _above(path):
            self.below[above] = line

    def line(self, path: str) -> int | None:
        """Return the line of a copy that wrote a path, or something below it.

        Whether a copy to a directory above wrote it, nobody knows without the files.
        """
        path = path.rstrip("/")
        lines = [self.at.get(path), self.below.get(path)]
        return max((line for line in lines if line is not None), default=None)


def _above(path: str) -> list[str]:
    """Return the directories above a path, without their slash at the end; "" is the root."""
    parts = path.split("/")[:_DEEPEST]
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


class Near:
    """Finds near names for a whole file; comparing costs, so there is an end to it."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _COMPARISONS

    def name(self, word: str, known: Collection[str]) -> str | None:
        """Return the known name that is nearest to a word."""
        self._left -= len(known)
        return suggest.nearest(word, known) if self._left >= 0 else None


class State(msgspec.Struct, kw_only=True):
    """A stage on the way: what instructions before have set.

    `image_known` is false when the image at the bottom may set variables that are not known here. From the line
    `unsure_from` on, what is not known may be set by an instruction that cannot be read.
    """

    environment: dict[str, str]
    arguments: set[str]
    shell: bool = False
    image_known: bool = True
    unsure_from: int = NEVER
    workdir_set: bool = False
    working_dir: str = "/"
    copied: Copies
    last: dict[type[Instruction], Instruction] = {}

    def child(self) -> State:
        """Return the state in which a stage built on this one begins."""
        return State(
            environment=dict(self.environment),
            arguments=set(self.arguments),
            shell=self.shell,
            image_known=self.image_known,
            unsure_from=NEVER if self.unsure_from == NEVER else ALWAYS,
            workdir_set=self.workdir_set,
            working_dir=self.working_dir,
            copied=Copies(self.copied),
            last={},
        )


class Moment(msgspec.Struct, frozen=True):
    """An instruction about to take effect: its stage's index, the state before, its words expanded in that.

    Triggers of the base come first. `globals` are the arguments declared above the first FROM.
    """

    scene: Scene
    stage: int
    instruction: Instruction
    state: State
    words: tuple[Expanded, ...]
    near: Near
    is_trigger: bool = False
    globals: frozenset[str] = frozenset()


class StageText(msgspec.Struct, frozen=True):
    """A stage as written."""

    index: int
    head: From
    instructions: tuple[Instruction, ...]


def stage_texts(dockerfile: Dockerfile) -> tuple[StageText, ...]:
    """Cut a file into its stages; what stands before the first FROM belongs to none."""
    heads: list[From] = []
    bodies: list[list[Instruction]] = []
    for instruction in dockerfile.instructions:
        if isinstance(instruction, From):
            heads.append(instruction)
            bodies.append([])
        elif bodies:
            bodies[-1].append(instruction)
    pairs = zip(heads, bodies, strict=True)
    return tuple([StageText(index, head, tuple(body)) for index, (head, body) in enumerate(pairs)])


def predefined_arguments(scene: Scene, given: Mapping[str, str]) -> dict[str, str]:
    """Return the arguments that need no ARG before the first FROM, when `given` are the values given for some."""
    values = scope.predefined(scene.host, scene.platform, scene.target)
    return {name: given.get(name, value) for name, value in values.items()}


def global_arguments(scene: Scene, given: Mapping[str, str]) -> dict[str, str]:
    """Return the arguments that FROM sees, when `given` are the values given for them."""
    escape = scene.dockerfile.directives.escape
    known = predefined_arguments(scene, given)
    for instruction in scene.dockerfile.instructions:
        if not isinstance(instruction, Arg):
            break
        for argument in instruction.arguments:
            name = argument.name.text
            if name in given:
                known[name] = given[name]
            elif argument.default is not None:
                value = expand(argument.default, known.get, escape).value
                if value is not None:
                    known[name] = value
    return known


def declared_globally(dockerfile: Dockerfile) -> frozenset[str]:
    """Return the arguments above the first FROM, those without a value too."""
    names: set[str] = set()
    for instruction in dockerfile.instructions:
        if not isinstance(instruction, Arg):
            break
        names.update([argument.name.text for argument in instruction.arguments])
    return frozenset(names)


def walk(
    scene: Scene, stages: tuple[StageText, ...], arguments: Mapping[str, str]
) -> Iterator[Moment]:
    """Return every instruction of the stages wanted, in the order in which they take effect."""
    walker = _Walker(scene, arguments)
    for stage in stages:
        if scene.wanted is None or stage.index in scene.wanted:
            yield from walker.stage(stage)


class _Walker:
    def __init__(self, scene: Scene, arguments: Mapping[str, str]) -> None:
        self.scene = scene
        self.escape = scene.dockerfile.directives.escape
        self.arguments = arguments
        self.states: dict[str, State] = {}
        _, self.unsure = unsure_lines(scene.dockerfile)
        self.near = Near()
        self.globals = declared_globally(scene.dockerfile)
        self.size = 0

    def stage(self, stage: StageText) -> Iterator[Moment]:
        state = self._begin(stage)
        state.unsure_from = min(state.unsure_from, self.unsure.get(stage.index, NEVER))
        triggers = self.scene.triggers.get(stage.index, ())
        for place, instruction in enumerate((*triggers, *stage.instructions)):
            found = self._words(instruction, state)
            yield Moment(
                self.scene,
                stage.index,
                instruction,
                state,
                found,
                self.near,
                is_trigger=place < len(triggers),
                globals=self.globals,
            )
            self._apply(instruction, state, found)
            state.last[type(instruction)] = instruction
        if stage.head.name is not None:
            self.states[stage.head.name.text] = state

    def _begin(self, stage: StageText) -> State:
        name = expand(stage.head.image, self.arguments.get, self.escape).value or ""
        below = self.states.get(name)
        if below is not None:
            return below.child()
        state = State(environment={"PATH": DEFAULT_PATH}, arguments=set(), copied=Copies())
        config = self.scene.bases.get(stage.index)
        if config is None:
            state.image_known = name == "scratch"
            return state
        for item in config.config.env:
            variable, _, value = item.partition("=")
            state.environment[variable] = value
        state.shell = bool(config.config.shell)
        state.working_dir = config.config.working_dir or "/"
        return state

    def _words(self, instruction: Instruction, state: State) -> tuple[Expanded, ...]:
        if self.size > MAX_TOTAL:
            return ()  # the build refuses such a file
        found = self._expanded(instruction, state)
        self.size += sum([len(each.value) for each in found if each.value is not None])
        return found

    def _expanded(self, instruction: Instruction, state: State) -> tuple[Expanded, ...]:
        if isinstance(instruction, Arg):
            return self._defaults(instruction, state)
        lookup = state.environment.get
        found = [expand(word, lookup, self.escape) for word in _expandable(instruction)]
        if isinstance(instruction, Copy | Add):
            # In the body of a here-document it is always the backslash that escapes.
            found += [
                expand(Word(file.body, file.span), lookup, "\\", quotes=False)
                for file in instruction.files
                if file.expand
            ]
        return tuple(found)

    def _defaults(self, arg: Arg, state: State) -> tuple[Expanded, ...]:
        """Expand the defaults that count; each sees the arguments before it."""
        found: list[Expanded] = []
        for argument in arg.arguments:
            name = argument.name.text
            value = self.scene.build_args.get(name)
            if value is None and argument.default is not None:
                found.append(expand(argument.default, state.environment.get, self.escape))
                value = found[-1].value
            elif value is None:
                value = self.arguments.get(name)
            if value is not None and name not in scope.NOT_ENVIRONMENT:
                state.environment[name] = value
        return tuple(found)

    def _apply(self, instruction: Instruction, state: State, found: tuple[Expanded, ...]) -> None:
        match instruction:
            case Env():
                for name, value in zip(found[::2], found[1::2], strict=True):
                    if name.value and value.value is not None:
                        state.environment[name.value] = value.value
            case Arg():
                state.arguments.update([each.name.text for each in instruction.arguments])
            case Workdir():
                state.workdir_set = True
                path = found[0].value if found else None
                if path:
                    state.working_dir = rootpaths.working_directory(state.working_dir, path)
            case Shell():
                state.shell = bool(instruction.command.words)
            case Copy() | Add():
                for each in found:
                    if each.word is instruction.dest and each.value is not None:
                        path = rootpaths.destination(state.working_dir, each.value)
                        state.copied.add(path, instruction.span.line)
            case _:
                pass


def _expandable(instruction: Instruction) -> list[Word]:
    """Return the words in which the builder, not a shell, replaces variables; those of EXPOSE are a list each."""
    match instruction:
        case Env() | Label():
            return [word for pair in instruction.pairs for word in (pair.name, pair.value)]
        case Copy():
            return [
                *_values(instruction.chown, instruction.chmod),
                *instruction.sources,
                instruction.dest,
            ]
        case Add():
            return [
                *_values(instruction.chown, instruction.chmod, instruction.checksum),
                *instruction.sources,
                instruction.dest,
            ]
        case Workdir():
            return [instruction.path]
        case User():
            return [instruction.user]
        case Volume():
            return list(instruction.paths)
        case StopSignal():
            return [instruction.signal]
        case Run():
            return [flag.word for flag in instruction.mounts]
        case _:
            return []


def _values(*flags: Flag | None) -> list[Word]:
    return [flag.word for flag in flags if flag is not None]
