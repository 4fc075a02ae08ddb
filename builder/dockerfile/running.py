"""RUN to its operation: shell, exec and here-document form."""

from __future__ import annotations

from collections.abc import Mapping

from builder.diagnostics import SourceFile
from builder.dockerfile import heredocs, rootpaths
from builder.dockerfile.draft import Draft
from builder.dockerfile.instructions import Run
from builder.errors import DockerfileError
from builder.graph.operations import RunOp

SCRIPT_DIRECTORY = "/dev/pipes"


def run_operation(
    run: Run, draft: Draft, proxies: Mapping[str, str], source: SourceFile
) -> tuple[RunOp, str]:
    """Return the operation, and the text that progress shows.

    A here-document alone is the command itself; one whose body begins with `#!` is a program of its own, at
    the path that is the last word of the command. Any other text goes to the shell together with its
    here-documents.
    """
    command = run.command
    shown = run.text
    script: bytes | None = None
    if not command.shell_form:
        argv = tuple([word.text for word in command.words])
    else:
        text = command.words[0].text if command.words else ""
        if run.heredocs and heredocs.opening(text) is not None:
            body = run.heredocs[0]
            text = body.content()
            shown += f" ({_summary(body.body)})"
            if text.startswith("#!"):
                script = text.encode()
                text = _script_path(body.name, run, source)
        else:
            text = "\n".join([text, *[body.body + body.name for body in run.heredocs]])
        argv = draft.with_shell(text)
    hidden = tuple(
        [f"{name}={value}" for name, value in proxies.items() if name not in draft.environment]
    )
    operation = RunOp(
        argv=argv,
        env=draft.command_environment(),
        cwd=rootpaths.clean(draft.working_dir),
        user=draft.user,
        network=(run.network.value if run.network is not None else None) or "default",
        script=script,
        hidden_env=hidden,
        arguments=draft.argument_names(),
        platform=str(draft.platform),
        security=(run.security.value if run.security is not None else None) or "sandbox",
    )
    return operation, shown


def _script_path(name: str, run: Run, source: SourceFile) -> str:
    if "/" in name or name in (".", ".."):
        raise DockerfileError(
            f"`{name}` cannot be the name of a script",
            span=run.command.words[0].span,
            source=source,
            hint="name the here-document with letters only",
        )
    return f"{SCRIPT_DIRECTORY}/{name}"


def _summary(body: str) -> str:
    """Return the first line, with dots when there are more."""
    first, newline, _ = body.strip().partition("\n")
    return first.rstrip("\r") + ("..." if newline else "")
