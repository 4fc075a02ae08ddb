"""What a build of one target can be given: what `--call=outline` lists.

Source: moby/buildkit, frontend/subrequests/outline (behaviour, not code).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from builder.dockerfile.checks.walk import (
    Moment,
    Scene,
    StageText,
    expand,
    global_arguments,
    stage_texts,
    walk,
)
from builder.dockerfile.expansion import Expander
from builder.dockerfile.instructions import Arg, Argument, Flag, From, Instruction, Run
from builder.dockerfile.mistakes import Mistakes
from builder.dockerfile.outline import Outlines
from builder.dockerfile.targets import description

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True", ""})


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
    collected = _Collected(scene, arguments)
    moments: dict[int, list[Moment]] = {index: [] for index in needed}
    for moment in walk(msgspec.structs.replace(scene, wanted=needed), stages, arguments):
        if isinstance(moment.instruction, Arg | Run):
            moments[moment.stage].append(moment)
    for index in sorted(needed, reverse=True):
        collected.add_stage(stages[index], moments[index])
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


class _Collected:
    """What was found so far; the stage that is looked at first has the last word on a name."""

    def __init__(self, scene: Scene, arguments: Mapping[str, str]) -> None:
        self.scene = scene
        self.escape = scene.dockerfile.directives.escape
        self.values = arguments
        self.arguments: dict[str, Parameter] = {}
        self.secrets: dict[str, Access] = {}
        self.ssh: dict[str, Access] = {}
        self.globals: dict[str, Parameter] = {}
        self.needs: dict[str, tuple[str, ...]] = {}
        for instruction in scene.dockerfile.instructions:
            if not isinstance(instruction, Arg):
                break
            for argument in instruction.arguments:
                self._add_global(instruction, argument)

    def _add_global(self, arg: Arg, argument: Argument) -> None:
        name = argument.name.text
        if name not in self.scene.build_args and argument.default is not None:
            self.needs[name] = expand(argument.default, self.values.get, self.escape).known
        self.globals[name] = _parameter(arg, name, self.values.get(name))

    def add_stage(self, stage: StageText, moments: list[Moment]) -> None:
        self._add_head(stage.head)
        for moment in moments:
            match moment.instruction:
                case Arg():
                    self._add_arg(moment.instruction, moment)
                case Run():
                    for flag in moment.instruction.mounts:
                        self._add_mount(moment.instruction, flag)
                case _:
                    pass

    def _add_head(self, head: From) -> None:
        words = [head.image, *([head.platform.word] if head.platform is not None else [])]
        for word in words:
            for name in expand(word, self.values.get, self.escape).known:
                self._use_global(name)

    def _use_global(self, name: str) -> None:
        """Count a global argument, and those that its default is made of."""
        waiting = [name]
        while waiting:
            name = waiting.pop()
            if name in self.globals and name not in self.arguments:
                self.arguments[name] = self.globals[name]
                waiting.extend(self.needs.get(name, ()))

    def _add_arg(self, arg: Arg, moment: Moment) -> None:
        defaults = iter(moment.words)
        for argument in arg.arguments:
            name = argument.name.text
            value = self.scene.build_args.get(name)
            if value is None and argument.default is not None:
                value = next(defaults).value
            elif value is None and name in self.values:
                self._use_global(name)
                continue
            if name not in self.arguments or self.arguments[name] is self.globals.get(name):
                self.arguments[name] = _parameter(arg, name, value)

    def _add_mount(self, run: Run, flag: Flag) -> None:
        parts = [part.partition("=") for part in (flag.value or "").split(",")]
        fields = {name.strip().lower(): value for name, _, value in parts}
        target = fields.get("target") or fields.get("dst") or fields.get("destination") or ""
        required = fields.get("required", "false") in _TRUE
        name = fields.get("id", "")
        if fields.get("type") == "secret":
            name = name or target.rpartition("/")[2]
            self.secrets.setdefault(name, Access(name=name, required=required, instruction=run))
        elif fields.get("type") == "ssh":
            name = name or "default"
            self.ssh.setdefault(name, Access(name=name, required=required, instruction=run))


def _parameter(arg: Arg, name: str, value: str | None) -> Parameter:
    return Parameter(
        name=name,
        value=value or "",
        description=description(name, arg.comments),
        instruction=arg,
    )
