"""Instructions that only change the configuration, and the lines that all leave in the history."""

from __future__ import annotations

from typing import assert_never

import msgspec

from builder.dockerfile import durations, gotext, ports, rootpaths, scope, signals, suggest
from builder.dockerfile.draft import Draft
from builder.dockerfile.expansion import Expander
from builder.dockerfile.grammar import OWN_LINE
from builder.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Command,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    Pair,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Word,
    Workdir,
)
from builder.dockerfile.stages import BuildPlan
from builder.errors import DockerfileError
from builder.graph.operations import RunOp
from builder.oci import config as oci

COMMENT = "buildkit.dockerfile.v0"
"""What Docker's tools know the lines of a built image by."""

_MOST_PORTS = 70_000


class HistoryStep(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the image's history; `vertex` made its layer, None when it has none."""

    created_by: str
    vertex: int | None = None
    comment: str = COMMENT


class Configurator:
    """Applies instructions to the draft and history of the stage given last to `begin`."""

    def __init__(self, expander: Expander, plan: BuildPlan) -> None:
        self._expander = expander
        self._given = dict(plan.request.build_args)
        self._globals = plan.arguments
        self._draft: Draft
        self._history: list[HistoryStep]
        self._has_cmd = False

    def begin(self, draft: Draft, history: list[HistoryStep]) -> None:
        """Turn to another stage."""
        self._draft = draft
        self._history = history
        self._has_cmd = False

    def apply(self, instruction: Instruction) -> None:
        """Apply an instruction that makes no layer.

        Raises: DockerfileError: an expansion fails or comes to something impossible.
        """
        match instruction:
            case Env():
                self._env(instruction)
            case Label():
                self._label(instruction)
            case Arg():
                self._arg(instruction)
            case User():
                self._user(instruction)
            case Cmd():
                self._cmd(instruction)
            case Entrypoint():
                self._entrypoint(instruction)
            case Expose():
                self._expose(instruction)
            case Volume():
                self._volume(instruction)
            case Shell():
                self._draft.shell = tuple([word.text for word in instruction.command.words])
                self._record("SHELL " + gotext.plain_list(self._draft.shell))
            case StopSignal():
                self._stop_signal(instruction)
            case Healthcheck():
                self._healthcheck(instruction)
            case Maintainer():
                self._draft.author = instruction.name.text
                self._record(f"MAINTAINER {instruction.name.text}")
            case OnBuild():
                self._draft.on_build.append(instruction.expression)
            case From() | Run() | Copy() | Workdir() | Add():
                raise AssertionError(f"{instruction.keyword.text} is lowered elsewhere")
            case _:
                assert_never(instruction)

    def set_working_directory(self, workdir: Workdir) -> str:
        """Set the working directory and return it cleaned."""
        path = self._expand(workdir.path)
        self._draft.working_dir = rootpaths.working_directory(self._draft.working_dir, path)
        return rootpaths.clean(self._draft.working_dir)

    def record_run(self, operation: RunOp, vertex: int | None) -> None:
        """Record a command together with the build arguments in scope."""
        arguments = [
            f"{name}={self._draft.environment.get(name, value or '')}"
            for name, value in self._draft.arguments.items()
        ]
        prefix = [f"|{len(arguments)}", *arguments] if arguments else []
        text = " ".join(["RUN", *prefix, *operation.argv, "# buildkit"])
        self._record(text, vertex)

    def _record(self, text: str, vertex: int | None = None) -> None:
        self._expander.counted(text, None)
        self._history.append(HistoryStep(created_by=text, vertex=vertex))

    def _expand(self, word: Word) -> str:
        return self._expander.expand(word, self._draft.environment.get)

    def _error(
        self, word: Word, message: str, *, code: str = "dockerfile.syntax", hint: str | None = None
    ) -> DockerfileError:
        return DockerfileError(
            message, code=code, span=word.span, source=self._expander.source, hint=hint
        )

    def _pairs(self, pairs: tuple[Pair, ...]) -> list[tuple[str, str]]:
        """Expand all pairs before any of them counts."""
        found = []
        for pair in pairs:
            name = self._expand(pair.name)
            if not name:
                raise self._error(
                    pair.name,
                    f"the name `{pair.name.text}` is blank after expansion",
                    code="dockerfile.bad-expansion",
                    hint="give the variable a value, or write the name itself",
                )
            found.append((name, self._expand(pair.value)))
        return found

    def _env(self, env: Env) -> None:
        pairs = self._pairs(env.pairs)
        for name, value in pairs:
            self._draft.set_env(name, value)
        self._record(" ".join(["ENV", *[f"{name}={value}" for name, value in pairs]]))

    def _label(self, label: Label) -> None:
        pairs = self._pairs(label.pairs)
        self._draft.labels.update(pairs)
        self._record(" ".join(["LABEL", *[f"{name}={value}" for name, value in pairs]]))

    def _arg(self, arg: Arg) -> None:
        shown = ["ARG"]
        for argument in arg.arguments:
            name = argument.name.text
            value: str | None = None
            if name in self._given:
                value = self._given[name]
            elif argument.default is not None:
                value = self._expand(argument.default)
            else:
                value = self._globals.get(name)
            if value is not None and name not in scope.NOT_ENVIRONMENT:
                self._draft.set_environment(name, value)
            self._draft.arguments[name] = value
            shown.append(name if value is None else f"{name}={value}")
        self._record(" ".join(shown))

    def _user(self, user: User) -> None:
        self._draft.user = self._expand(user.user)
        self._record(f"USER {self._draft.user}")

    def _command(self, command: Command) -> tuple[str, ...]:
        words = tuple([word.text for word in command.words])
        return self._draft.with_shell(" ".join(words)) if command.shell_form else words

    def _cmd(self, cmd: Cmd) -> None:
        words = self._command(cmd.command)
        self._draft.cmd = words or None
        self._draft.args_escaped = True
        self._has_cmd = True
        self._record("CMD " + gotext.quoted_list(words))

    def _entrypoint(self, entrypoint: Entrypoint) -> None:
        words = self._command(entrypoint.command)
        self._draft.entrypoint = words or None
        if not self._has_cmd:
            self._draft.cmd = None
        self._record("ENTRYPOINT " + gotext.quoted_list(words))

    def _expose(self, expose: Expose) -> None:
        found: list[str] = []
        for word in sorted(expose.ports, key=lambda word: word.text):
            for text in self._expander.expand_words(word, self._draft.environment.get):
                try:
                    kind = ports.protocol(text)
                    numbers = ports.read(text)
                except ports.BadPort as error:
                    own_line = OWN_LINE if word.text.startswith("#") else None
                    usual = "write it like `80`, `80/udp` or `8000-8010`"
                    hint = error.hint or own_line or usual
                    raise self._error(word, str(error), hint=hint) from error
                if len(found) + len(numbers) > _MOST_PORTS:
                    raise self._error(word, f"EXPOSE names more than {_MOST_PORTS} ports")
                found += [f"{number}/{kind}" for number in numbers]
        self._draft.ports.update(found)
        self._record("EXPOSE " + gotext.plain_list(found))

    def _volume(self, volume: Volume) -> None:
        paths = [self._expand(word) for word in volume.paths]
        for word, path in zip(volume.paths, paths, strict=True):
            if not path:
                raise self._error(
                    word,
                    f"the path `{word.text}` is empty after expansion",
                    code="dockerfile.bad-expansion",
                )
        self._draft.volumes.update(paths)
        self._record("VOLUME " + gotext.plain_list(paths))

    def _stop_signal(self, stop: StopSignal) -> None:
        name = self._expand(stop.signal)
        if not signals.is_signal(name):
            bare = name.upper().removeprefix("SIG")
            near = suggest.nearest(bare, signals.NAMES)
            raise self._error(
                stop.signal,
                f"`{name[:60]}` is no signal",
                hint=f"did you mean `SIG{near}`?" if near else "write it like `SIGTERM` or `15`",
            )
        self._draft.stop_signal = name
        self._record(f"STOPSIGNAL {name}")

    def _healthcheck(self, check: Healthcheck) -> None:
        if check.command is None:
            test: tuple[str, ...] = ("NONE",)
        else:
            kind = "CMD-SHELL" if check.command.shell_form else "CMD"
            test = (kind, *[word.text for word in check.command.words])
        self._draft.healthcheck = oci.Healthcheck(
            test=test,
            interval=check.interval,
            timeout=check.timeout,
            start_period=check.start_period,
            start_interval=check.start_interval,
            retries=check.retries,
        )
        self._record(
            f"HEALTHCHECK {{Test:{gotext.plain_list(test)} Interval:{durations.show(check.interval)} "
            f"Timeout:{durations.show(check.timeout)} "
            f"StartPeriod:{durations.show(check.start_period)} "
            f"StartInterval:{durations.show(check.start_interval)} Retries:{check.retries}}}"
        )
