"""What a build of one target can be given: what `--call=outline` lists.

Source: moby/buildkit, frontend/subrequests/outline (behaviour, not code).
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from builder.dockerfile import mounts
from builder.dockerfile.checks.walk import (
    Moment,
    Scene,
    expand,
    global_arguments,
    predefined_arguments,
    stage_texts,
    walk,
)
from builder.dockerfile.expansion import Expander
from builder.dockerfile.instructions import Arg, Argument, Flag, From, Instruction, Run
from builder.dockerfile.mistakes import Mistakes
from builder.dockerfile.outline import Outlines
from builder.dockerfile.targets import description
from builder.errors import DockerfileError


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A build argument that counts, with the value it would have, "" for none."""

    name: str
    value: str
    description: str
    instruction: Instruction


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """A secret, or an SSH agent, that a step asks for by its id."""

    name: str
    required: bool
    instruction: Instruction


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """All that a target can be given; `name` and `description` are those of its stage, "" for none."""

    name: str
    description: str
    arguments: tuple[Parameter, ...]
    secrets: tuple[Access, ...]
    ssh: tuple[Access, ...]


def parameters(scene: Scene) -> Parameters:
    """Return what the target of a scene can be given, in the order of the file.

    An argument counts where an ARG of a stage that is needed declares it, or a FROM of such a stage uses it.

    Raises: DockerfileError: there is no such target, or stages do not fit together.
    """
    dockerfile = scene.dockerfile
    arguments = global_arguments(scene, scene.build_args)
    expander = Expander(dockerfile.source, dockerfile.directives.escape)
    mistakes = Mistakes()
    outlines = Outlines(dockerfile, expander, mistakes)
    target = outlines.target(scene.target)
    outlines.resolve(arguments)
    needed = frozenset(outlines.needed(target))
    mistakes.raise_any()
    stages = stage_texts(dockerfile)
    passed_on = {
        index: tuple(outlines.stages[index].instructions[: outlines.stages[index].triggered])
        for index in needed
    }
    looked_at = msgspec.structs.replace(scene, wanted=needed, triggers=passed_on)
    moments: dict[int, list[Moment]] = {index: [] for index in needed}
    for moment in walk(looked_at, stages, arguments):
        if isinstance(moment.instruction, Arg | Run):
            moments[moment.stage].append(moment)
    collected = _Collected(scene)
    for index in _from_target(outlines, target):
        heads = [stages[each].head for each in (index, *_below(outlines, index))]
        collected.add_stage(heads, moments[index])
    head = stages[target].head
    name = head.name.text if head.name is not None else ""
    return Parameters(
        name=name,
        description=description(name, head.comments),
        arguments=tuple(sorted(collected.arguments.values(), key=_line)),
        secrets=tuple(sorted(collected.secrets.values(), key=_line)),
        ssh=tuple(sorted(collected.ssh.values(), key=_line)),
    )


def _line(item: Parameter | Access) -> int:
    return item.instruction.span.line


def _below(outlines: Outlines, index: int) -> Iterator[int]:
    """Return the stages that a stage is built on, the nearest first."""
    base = outlines.stages[index].base
    while isinstance(base, int):
        yield base
        base = outlines.stages[base].base


def _from_target(outlines: Outlines, target: int) -> list[int]:
    """Return the stages in the order in which they have a say: the target, what it is built on, what that uses."""
    found: dict[int, None] = {}
    waiting = [target]
    while waiting:
        index = waiting.pop()
        if index in found:
            continue
        found[index] = None
        stage = outlines.stages[index]
        sources = [used.source for used in stage.references()]
        waiting += [each for each in (*reversed(sources), stage.base) if isinstance(each, int)]
    return list(found)


class _Collected:
    """What was found so far; the stage that is looked at first has the last word on a name."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.escape = scene.dockerfile.directives.escape
        self.arguments: dict[str, Parameter] = {}
        self.secrets: dict[str, Access] = {}
        self.ssh: dict[str, Access] = {}
        self.values = predefined_arguments(scene, scene.build_args)
        self.globals: dict[str, Parameter] = {}
        self.needs: dict[str, list[str]] = {}
        for instruction in scene.dockerfile.instructions:
            if not isinstance(instruction, Arg):
                break
            for argument in instruction.arguments:
                self._add_global(instruction, argument)

    def _add_global(self, arg: Arg, argument: Argument) -> None:
        name = argument.name.text
        value = self.scene.build_args.get(name)
        needs: list[str] = []
        if value is None and argument.default is not None:
            found = expand(argument.default, self.values.get, self.escape)
            value = found.value
            needs = [each for each in found.known if each != name]
            if name in found.known:
                needs += self.needs.get(name, [])
        if value is not None:
            self.values[name] = value
        self.needs[name] = needs
        self.globals[name] = _parameter(arg, arg, name, value)

    def add_stage(self, heads: list[From], moments: list[Moment]) -> None:
        """Collect from one stage; `heads` are its FROM and those of the stages it is built on."""
        declared = dict(self.globals)
        used = [name for head in heads for name in self._used_by(head)]
        for moment in moments:
            # What a trigger asks for stands where the FROM stands that brings it in.
            place = heads[0] if moment.is_trigger else moment.instruction
            match moment.instruction:
                case Arg():
                    declared.update(self._declared(moment.instruction, moment, place))
                    used += [argument.name.text for argument in moment.instruction.arguments]
                case Run():
                    for flag in moment.instruction.mounts:
                        self._add_mount(flag, moment, place)
                case _:
                    pass
        for name in used:  # which grows
            if name in declared:
                self.arguments.setdefault(name, declared[name])
                if declared[name] is self.globals.get(name):
                    used += [each for each in self.needs[name] if each not in used]

    def _used_by(self, head: From) -> Iterator[str]:
        words = [head.image, *([head.platform.word] if head.platform is not None else [])]
        for word in words:
            yield from expand(word, self.values.get, self.escape).known

    def _declared(
        self, arg: Arg, moment: Moment, place: Instruction
    ) -> Iterator[tuple[str, Parameter]]:
        """Return the arguments that an ARG gives a value of their own, or none; not those it takes over."""
        defaults = iter(moment.words)
        for argument in arg.arguments:
            name = argument.name.text
            value = self.scene.build_args.get(name)
            if value is None and argument.default is not None:
                value = next(defaults).value
            elif value is None and name in self.values:
                continue
            yield name, _parameter(arg, place, name, value)

    def _add_mount(self, flag: Flag, moment: Moment, place: Instruction) -> None:
        lookup = moment.state.environment.get
        try:
            mount = mounts.read_mount(
                flag,
                self.scene.source,
                lambda word: expand(word, lookup, self.escape).value or "",
            )
        except DockerfileError:
            return  # told by those who build
        if mount.type == mounts.SECRET:
            name = mount.source or mount.id or mount.target.rpartition("/")[2]
            self.secrets.setdefault(
                name, Access(name=name, required=mount.required, instruction=place)
            )
        elif mount.type == mounts.SSH:
            name = mount.id or "default"
            self.ssh.setdefault(name, Access(name=name, required=mount.required, instruction=place))


def _parameter(arg: Arg, place: Instruction, name: str, value: str | None) -> Parameter:
    return Parameter(
        name=name,
        value=value or "",
        description=description(name, arg.comments if place is arg else ()),
        instruction=place,
    )
