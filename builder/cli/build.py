"""`lapstrake build`: flags to a request, the engine, and the last line."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import msgspec

from builder.cli.invocation import Invocation
from builder.cli.on_fail import Shell, look_around_in, on_fail_options, shell_of
from builder.cli.pairs import named, with_environment
from builder.cli.registry_options import authfile_option, insecure_option
from builder.cli.step_options import step_options
from builder.cli.verb import Verb, absent, ignored
from builder.errors import ExportError, LapstrakeError, RunFailed, UsageError
from builder.settings import isolation_name, progress_mode, size_of
from builder.ui.style import palette_for

if TYPE_CHECKING:
    from builder.diagnostics import Diagnostic
    from builder.engine import BuildRequest, BuildResult, CallRequest, Output

_ABSENT = [
    *absent(
        "--annotation",
        "--attest",
        "--builder",
        "--metadata-file",
        "--policy",
        "--provenance",
        "--sbom",
    ),
    *absent("-D/--debug", value=False),
]
_IGNORED = [
    *ignored("--compress", "--force-rm", "--rm", "--squash"),
    *ignored("--security-opt", value=True),
]


@click.command(
    "build",
    cls=Verb,
    others=[*_ABSENT, *_IGNORED],
    short_help="Build an image from a Dockerfile",
)
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME", help="Name the image.")
@click.option("-f", "--file", "dockerfile", metavar="PATH", help="Read this Dockerfile.")
@click.option("--target", metavar="STAGE", help="Build this stage instead of the last one.")
@click.option("--build-arg", multiple=True, metavar="NAME[=VALUE]", help="Set an ARG.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Add a label.")
@click.option("--no-cache", is_flag=True, help="Run every step again.")
@click.option(
    "-j", "--jobs", type=click.IntRange(1, 1000), metavar="N", help="Run at most N steps at once."
)
@click.option(
    "--no-cache-filter",
    "filters",
    multiple=True,
    metavar="STAGE|LINE|STAGE:LINE",
    help="Run these steps again; several with commas.",
)
@click.option(
    "--cache-ttl", metavar="TIME", help="Run a RUN again after a time, such as 12h or 1d."
)
@click.option(
    "--cache-normalize",
    "noise",
    multiple=True,
    metavar="WHAT",
    help="Let results be equal that differ by noise: gzip, pyc, ldconfig, logs or all.",
)
@click.option(
    "--verify-cache",
    is_flag=False,
    flag_value="100%",
    metavar="[=N%]",
    help="Run cached steps again, all or a sample, and say which come to something else.",
)
@click.option("--pull", is_flag=True, help="Ask the registry for newer base images.")
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="OS/ARCH[,…]",
    help="Build for this platform, or for each of several.",
)
@click.option(
    "--network",
    type=click.Choice(["default", "host", "none", "private"]),
    default="default",
    help="Choose the network of RUN steps.",
)
@click.option("--isolation", metavar="NAME", help="Choose the walls around RUN steps.")
@click.option("--max-size", metavar="SIZE", help="Keep the store below this size.")
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="DEST",
    help="Also write the result: type=oci, tar, local or docker, and dest=PATH.",
)
@click.option("--push", is_flag=True, help="Push the image to the registries of its names.")
@click.option("--load", is_flag=True, help="Keep the image in the store, as is always done.")
@click.option("--iidfile", metavar="FILE", help="Write the id of the image to a file.")
@click.option(
    "--progress", metavar="MODE", help="Show progress as auto, plain, tty, quiet or rawjson."
)
@click.option(
    "--explain",
    type=click.Choice(["json"]),
    help="Print a JSON object for each step: how it ended, and why it was not cached.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only the id of the image.")
@click.option("--check", is_flag=True, help="Check the Dockerfile instead of building.")
@click.option(
    "--call",
    "calls",
    multiple=True,
    metavar="METHOD",
    help="Ask about the Dockerfile: check, outline or targets[,format=json].",
)
@click.option(
    "--build-context",
    "contexts",
    multiple=True,
    metavar="NAME=VALUE",
    help="Add a context: a directory, a URL, docker-image://… or oci-layout://….",
)
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="id=NAME[,src=FILE|,env=NAME]",
    help="Let steps that ask for it see a secret.",
)
@click.option(
    "--ssh",
    multiple=True,
    metavar="default|ID=SOCKET|ID=KEY",
    help="Let steps that ask for it use an ssh agent.",
)
@click.option(
    "--ca-cert",
    "ca_certs",
    multiple=True,
    metavar="FILE",
    help="Trust these certificates too, in steps as well.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="WHAT",
    help="Allow steps network.host, security.insecure, device or leaked-secrets.",
)
@click.option(
    "--cache-from",
    multiple=True,
    metavar="type=TYPE[,KEY=VALUE…]",
    help="Also use this cache: type=registry,ref=NAME or type=local,src=DIR.",
)
@click.option(
    "--cache-to",
    multiple=True,
    metavar="type=TYPE[,KEY=VALUE…]",
    help="Add to this cache: type=registry,ref=NAME, type=local,dest=DIR or type=inline.",
)
@insecure_option
@authfile_option
@on_fail_options
@step_options
@click.argument("context", required=False, metavar="CONTEXT")
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    *,
    context: str | None,
    tags: tuple[str, ...],
    dockerfile: str | None,
    target: str | None,
    build_arg: tuple[str, ...],
    labels: tuple[str, ...],
    no_cache: bool,
    jobs: int | None,
    filters: tuple[str, ...],
    cache_ttl: str | None,
    verify_cache: str | None,
    noise: tuple[str, ...],
    pull: bool,
    platforms: tuple[str, ...],
    network: str,
    isolation: str | None,
    max_size: str | None,
    outputs: tuple[str, ...],
    push: bool,
    load: bool,  # noqa: ARG001  what it asks for is done anyway
    iidfile: str | None,
    progress: str | None,
    explain: str | None,
    quiet: bool,
    check: bool,
    calls: tuple[str, ...],
    contexts: tuple[str, ...],
    secrets: tuple[str, ...],
    ssh: tuple[str, ...],
    allow: tuple[str, ...],
    ca_certs: tuple[str, ...],
    keep_failed: bool,
    on_fail: str,
    cache_from: tuple[str, ...],
    cache_to: tuple[str, ...],
    **step: Any,
) -> int:
    """Build an image from a Dockerfile and the files in CONTEXT."""
    from builder.engine import BuildRequest, CallRequest

    mode = _mode(invocation, progress, quiet=quiet)
    if context is None:
        raise UsageError(
            "`lapstrake build` needs a context",
            hint="to build the current directory, add a dot: `lapstrake build .`",
        )
    build_args = with_environment(build_arg, "--build-arg")
    wanted = tuple(word for each in platforms for word in each.split(",") if word)
    if check or calls:
        from builder.cli.check import answer, call_of

        call = call_of(calls, check=check)
        if call is not None:
            question = CallRequest(
                method=call.method,
                context=context,
                dockerfile=dockerfile,
                build_args=build_args,
                target=target,
                platform=_first(wanted, invocation.settings.default_platform),
                contexts=_contexts(contexts),
                **_given(secrets, (), ()),
            )
            return answer(invocation, call, question, _stdin(question))
    shell = shell_of(on_fail, keep=keep_failed or invocation.settings.keep_failed)
    if push and not tags:
        raise UsageError("`--push` needs a name to push to", hint="add `-t NAME`")
    if isolation is not None:
        walls = isolation_name(isolation, "--isolation")
        invocation.change(msgspec.structs.replace(invocation.settings, isolation=walls))
    if max_size is not None:
        most = size_of(max_size, "--max-size")
        invocation.change(msgspec.structs.replace(invocation.settings, max_size=most))
    if ca_certs:
        given = (*invocation.settings.ca_certs, *(os.path.abspath(each) for each in ca_certs))
        invocation.change(msgspec.structs.replace(invocation.settings, ca_certs=given))
    request = BuildRequest(
        context=context,
        dockerfile=dockerfile,
        tags=tags,
        build_args=build_args,
        target=target,
        no_cache=no_cache,
        jobs=jobs,
        no_cache_filter=tuple(word for each in filters for word in each.split(",") if word),
        cache_ttl=_seconds(cache_ttl),
        verify_cache=_percent(verify_cache),
        cache_normalize=_noise(noise),
        pull=pull,
        platforms=wanted,
        labels=named(labels, "--label"),
        outputs=_outputs(outputs),
        push=push,
        network=network,
        contexts=_contexts(contexts),
        keep_failed=keep_failed or on_fail != "stop" or invocation.settings.keep_failed,
        **_given(secrets, ssh, allow),
        **_caches(cache_from, cache_to),
        **_limits(step),
    )
    if explain is not None and any(output.dest == "-" for output in request.outputs):
        raise UsageError(
            "`--explain=json` and an output cannot both have standard output",
            hint="write the output to a file: `-o type=tar,dest=FILE`",
        )
    if iidfile is not None:
        with suppress(FileNotFoundError):  # an id from before must not outlive a failed build
            os.unlink(iidfile)
    result = _run(invocation, request, mode, shell, explain=explain is not None)
    if iidfile is not None:
        _write(iidfile, result.image_id)
    if quiet and not any(output.dest == "-" for output in request.outputs):
        invocation.say(result.image_id)
    return 0


def _given(
    secrets: tuple[str, ...], ssh: tuple[str, ...], allow: tuple[str, ...]
) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if not (secrets or ssh or allow):
        return given
    from builder.cli.given import agents_of, allowed_of, secrets_of

    if secrets:
        given["secrets"] = secrets_of(secrets)
    if ssh:
        given["agents"] = agents_of(ssh)
    if allow:
        given["allow"] = allowed_of(allow)
    return given


def _caches(sources: tuple[str, ...], targets: tuple[str, ...]) -> dict[str, Any]:
    if not sources and not targets:
        return {}
    from builder.cli.caches import sources_of, targets_of

    return {"cache_from": sources_of(sources), "cache_to": targets_of(targets)}


def _limits(given: dict[str, Any]) -> dict[str, Any]:
    if not any(value is not None and value != () for value in given.values()):
        return {}
    from builder.cli.limits import hosts_of, limits_of

    return {"hosts": hosts_of(given["add_hosts"]), "limits": limits_of(given)}


def _seconds(text: str | None) -> int:
    if text is None:
        return 0
    from builder.dockerfile.durations import seconds

    try:
        return seconds(text)
    except ValueError:
        raise UsageError(
            f"`--cache-ttl={text}` is no time span",
            hint="write it as a number with a unit: `30m`, `12h`, `1d`, `2w`",
        ) from None


def _noise(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words:
        return ()
    from builder.dockerfile import suggest
    from builder.layer.noise import ALL, KINDS

    found = [word for each in words for word in each.split(",") if word]
    for word in found:
        if word not in (*KINDS, ALL):
            raise UsageError(
                f"`--cache-normalize={word}` is no noise that is known",
                hint=suggest.hint(word, (*KINDS, ALL)) or f"use {', '.join(KINDS)} or all",
            )
    return KINDS if ALL in found else tuple(dict.fromkeys(found))


def _percent(text: str | None) -> int:
    if text is None:
        return 0
    digits = text.removesuffix("%")
    if not (digits.isascii() and digits.isdecimal() and 0 < int(digits[:4]) <= 100):
        raise UsageError(
            f"`--verify-cache={text}` is no share of the steps",
            hint="write it as `--verify-cache` for all, or as `--verify-cache=10%`",
        )
    return int(digits)


def _contexts(words: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Read `NAME=VALUE`; the last of one name counts, as in Docker."""
    for word in words:
        if not word.partition("=")[0] or not word.partition("=")[2]:
            raise UsageError(
                f"`--build-context={word}` is not understood",
                hint="write it as `--build-context NAME=VALUE`",
            )
    return tuple(dict(word.split("=", 1) for word in words).items())


def _stdin(request: BuildRequest | CallRequest) -> BinaryIO | None:
    """Return standard input where the request reads from it."""
    if "-" not in (request.context, request.dockerfile):
        return None
    if sys.stdin is None or sys.stdin.isatty():
        what = "context" if request.context == "-" else "Dockerfile"
        raise UsageError(
            f"the {what} is to come from standard input, which is a terminal",
            hint="redirect a file or the output of a command to it",
        )
    return sys.stdin.buffer


def _outputs(texts: tuple[str, ...]) -> tuple[Output, ...]:
    if not texts:
        return ()
    from builder.cli.outputs import outputs_of

    return outputs_of(texts)


def _mode(invocation: Invocation, progress: str | None, *, quiet: bool) -> str:
    chosen = progress_mode(progress, "--progress") if progress else invocation.settings.progress
    mode = "quiet" if quiet else chosen
    invocation.machine = mode == "rawjson"
    return mode


def _run(
    invocation: Invocation,
    request: BuildRequest,
    mode: str,
    shell: Shell = Shell.NONE,
    *,
    explain: bool = False,
) -> BuildResult:
    """Build; tell the warnings at the end, whether it went well or not."""
    stdin = _stdin(request)
    with invocation.engine() as engine:
        warnings: tuple[Diagnostic, ...] = ()
        try:
            with invocation.progress(mode, title="Building") as progress:
                if explain:
                    from builder.ui.explained import Explaining

                    progress = Explaining(progress, invocation.say)
                try:
                    result = (
                        engine.build(request, progress)
                        if stdin is None
                        else engine.build(request, progress, stdin)
                    )
                finally:
                    warnings = progress.warnings
        except LapstrakeError as error:
            _summarise(invocation, warnings, None, mode)
            if shell is not Shell.NONE and isinstance(error, RunFailed):
                look_around_in(invocation, engine, request, error, shell)
            raise
    warnings = tuple(dict.fromkeys((*warnings, *result.warnings)))
    _summarise(invocation, warnings, result, mode)
    return result


def _summarise(
    invocation: Invocation,
    warnings: tuple[Diagnostic, ...],
    result: BuildResult | None,
    mode: str,
) -> None:
    if mode in {"quiet", "rawjson"}:
        return
    for warning in warnings:
        invocation.tell(warning)
    if result is not None:
        from builder.ui.summary import summary

        line = summary(
            image_id=result.image_id,
            names=result.names,
            bytes_=result.size,
            seconds=result.seconds,
            steps=result.steps,
            cached=result.cached,
            platforms=tuple(each.platform for each in result.platforms),
            palette=palette_for(sys.stderr, invocation.settings),
        )
        pushed = f", pushed as {result.digest}" if result.digest is not None else ""
        sys.stderr.write(f"{line}{pushed}\n")


def _first(platforms: tuple[str, ...], default: str | None) -> str | None:
    """Return the platform that a question is about."""
    first = platforms[0] if platforms else (default or "").partition(",")[0]
    return None if first in ("", "local") else first


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        raise ExportError(
            f"the image was built, but its id cannot be written to `{path}`: {error.strerror}"
        ) from error
