"""Rules of our own: what costs people time, and works all the same."""

from __future__ import annotations

from collections.abc import Iterator

from builder.diagnostics import Span
from builder.dockerfile import rootpaths, steering, suggest
from builder.dockerfile.checks import shell
from builder.dockerfile.checks.finding import Finding
from builder.dockerfile.checks.walk import Moment, Scene, StageText
from builder.dockerfile.instructions import (
    Add,
    Arg,
    Argument,
    Copy,
    Instruction,
    Run,
    Workdir,
)

_OF_NO_ACCOUNT = frozenset({"set", "rm", "echo", "printf", "true", "sleep", "export", ":"})
_INSTALLING: dict[str, frozenset[str]] = {
    "apt-get": frozenset({"install", "upgrade", "dist-upgrade", "build-dep"}),
    "apt": frozenset({"install", "upgrade", "full-upgrade", "build-dep"}),
    "aptitude": frozenset({"install", "upgrade"}),
    "apk": frozenset({"add", "upgrade"}),
    "dnf": frozenset({"install", "groupinstall", "update", "upgrade"}),
    "yum": frozenset({"install", "groupinstall", "update", "upgrade"}),
    "microdnf": frozenset({"install", "update", "upgrade"}),
    "zypper": frozenset({"install", "in", "update", "up"}),
    "pip": frozenset({"install", "download", "wheel"}),
    "pip3": frozenset({"install", "download", "wheel"}),
    "uv": frozenset({"sync", "pip"}),
    "poetry": frozenset({"install"}),
    "pipenv": frozenset({"install", "sync"}),
    "conda": frozenset({"install", "create", "env"}),
    "mamba": frozenset({"install", "create", "env"}),
    "npm": frozenset({"ci", "install", "i"}),
    "pnpm": frozenset({"install", "i", "fetch"}),
    "yarn": frozenset({"install"}),
    "bundle": frozenset({"install"}),
    "gem": frozenset({"install"}),
    "composer": frozenset({"install"}),
    "cargo": frozenset({"fetch", "install", "chef"}),
    "dotnet": frozenset({"restore"}),
}
_CHANGES = frozenset(
    [
        "BUILD_DATE",
        "BUILD_ID",
        "BUILD_NUMBER",
        "BUILD_TIME",
        "BUILD_TIMESTAMP",
        "BUILDTIME",
        "CI_COMMIT_SHA",
        "COMMIT",
        "COMMIT_HASH",
        "COMMIT_ID",
        "COMMIT_SHA",
        "DATE",
        "GITHUB_SHA",
        "GIT_COMMIT",
        "GIT_COMMIT_HASH",
        "GIT_COMMIT_SHA",
        "GIT_HASH",
        "GIT_REF",
        "GIT_REVISION",
        "GIT_SHA",
        "REVISION",
        "SOURCE_COMMIT",
        "TIMESTAMP",
        "VCS_REF",
        "VCS_REVISION",
    ]
)
_VERSIONS = frozenset(
    ["APP_VERSION", "BUILD_VERSION", "GIT_TAG", "GIT_VERSION", "RELEASE", "VERSION"]
)
_PLACEHOLDERS = frozenset(
    ["dev", "devel", "development", "edge", "latest", "local", "none", "snapshot", "unknown"]
)


def updates_alone(moment: Moment) -> Iterator[Finding]:
    """AptUpdateAlone: the index of a cached layer gets old, and the install below fails with 404."""
    run = moment.instruction
    assert isinstance(run, Run)
    if not shell.mentions(run, "update"):
        return
    updating: str | None = None
    for command in shell.commands(run):
        name, words = shell.program(command), shell.operands(command)
        if name in {"apt-get", "apt", "aptitude"} and words[:1] == ["update"]:
            updating = name
        elif name in {"apt-get", "apt"} and words[:1] in (["clean"], ["autoclean"]):
            continue
        elif name not in _OF_NO_ACCOUNT:
            return
    if updating is None or _is_mounted(run, "/var/lib/apt/lists"):
        return
    yield Finding(
        rule="AptUpdateAlone",
        span=run.span,
        message=f"`{updating} update` stands alone in its RUN",
        notes=(
            "cached, its package index gets old, and an install added later asks for what is gone",
        ),
        hint=f"write `RUN {updating} update && {updating} install -y …` in one instruction",
        comments=run.comments,
    )


def changes_of_copies(moment: Moment) -> Iterator[Finding]:
    """ChownDoublesLayer: a recursive chown or chmod stores every file that it touches a second time."""
    run, state = moment.instruction, moment.state
    assert isinstance(run, Run)
    if not shell.mentions(run, "chown", "chmod"):
        return
    for command in shell.commands(run):
        name = shell.program(command)
        if name not in {"chown", "chmod"} or not shell.has_option(command, "R", "--recursive"):
            continue
        paths = shell.operands(command)[1:]
        for path in paths:
            place = _directory(path, state.working_dir)
            line = state.copied.line(place) if place is not None else None
            if line is not None and not _is_mounted(run, place or ""):
                yield Finding(
                    rule="ChownDoublesLayer",
                    span=run.span,
                    message=f"`{name} -R` on `{path}` stores the files copied there a second time",
                    notes=(f"they come from line {line}",),
                    hint=f"set it while copying: `COPY --{name}=…`",
                    comments=run.comments,
                )
                return


def _is_mounted(run: Run, path: str) -> bool:
    """Tell whether a mount of the RUN covers a path, so that the image's own files there are not touched."""
    fields = [
        field.partition("=") for flag in run.mounts for field in (flag.value or "").split(",")
    ]
    targets = [value for name, _, value in fields if name in ("target", "dst", "destination")]
    return any(f"{path}/".startswith(f"{target.rstrip('/')}/") for target in targets)


def _directory(path: str, working_dir: str) -> str | None:
    """Return the absolute directory that an operand means; None where a shell would have to say."""
    path = path.removesuffix("/*") or "/"
    if any(char in path for char in "$*?[~`"):
        return None
    return rootpaths.join(working_dir, path)


def comments_of_ours(scene: Scene) -> Iterator[Finding]:
    """CommentWithoutEffect: `# lapstrake:` with an option that there is not, or above what it does not steer."""
    for instruction in scene.dockerfile.instructions:
        for name, _ in steering.words(instruction.comments):
            near = suggest.hint(name, steering.OPTIONS)
            if name not in steering.OPTIONS:
                message = f"`{name}` in a comment of lapstrake's own says nothing"
            elif not isinstance(instruction, Run | Copy | Add | Workdir):
                keyword = instruction.keyword.text.upper()
                message, near = f"`{name}` has no effect above {keyword}", None
            else:
                continue
            yield Finding(
                rule="CommentWithoutEffect",
                span=instruction.keyword.span,
                message=message,
                notes=("there are `ttl` and `ignore-arg`, right above the step that they are for",),
                hint=near,
                comments=instruction.comments,
            )


def broad_arguments(_scene: Scene, stages: tuple[StageText, ...]) -> Iterator[Finding]:
    """BroadArgAboveCostlyRuns: every RUN below an ARG is run again when its value changes."""
    for stage in stages:
        waiting: dict[str, tuple[Arg, Argument]] = {}
        for instruction in stage.instructions:
            if isinstance(instruction, Arg):
                for argument in instruction.arguments:
                    if _changes_often(argument):
                        waiting[argument.name.text] = (instruction, argument)
            if not waiting:
                continue
            costly = _costly(instruction) if isinstance(instruction, Run) else None
            for name, (arg, argument) in list(waiting.items()):
                if _uses(instruction, name):
                    del waiting[name]
                elif costly is not None:
                    del waiting[name]
                    yield _broad(arg, argument.name.span, name, costly, instruction)


def _broad(arg: Arg, span: Span, name: str, costly: str, run: Instruction) -> Finding:
    return Finding(
        rule="BroadArgAboveCostlyRuns",
        span=span,
        message=f"each new value of `{name}` runs everything below it again",
        notes=(f"line {run.span.line}, `{costly}`, does not use it",),
        hint=f"move it down, below line {run.span.end_line}",
        comments=arg.comments,
    )


def _changes_often(argument: Argument) -> bool:
    """Tell by its name whether an argument is new in nearly every build; a version that is pinned is not."""
    name = argument.name.text.upper()
    if name in _CHANGES:
        return True
    default = argument.default.text.strip("\"'").lower() if argument.default is not None else ""
    return name in _VERSIONS and (
        not default or default in _PLACEHOLDERS or default.startswith("0.0")
    )


def _uses(instruction: Instruction, name: str) -> bool:
    """Tell whether what an instruction does depends on a variable, as far as its text says.

    Setting a variable or a label of the image from it is no reason to have it above other steps.
    """
    if not isinstance(instruction, Run | Copy | Add | Workdir):
        return False
    bodies = [file.body for file in instruction.heredocs] if isinstance(instruction, Run) else []
    return any(name in text for text in (instruction.text, *bodies))


def _costly(run: Run) -> str | None:
    """Return the command of a RUN that fetches or installs packages."""
    for command in shell.commands(run):
        name, words = shell.program(command), shell.operands(command)
        if name.startswith("python") and command[1:3] == ["-m", "pip"]:
            name, words = "pip", words[1:]
        if name == "go" and words[:2] == ["mod", "download"]:
            return "go mod download"
        if name == "yarn" and not words:
            return "yarn"
        if words and words[0] in _INSTALLING.get(name, ()):
            return f"{name} {words[0]}"
    return None
