"""`lapstrake build`: flags to a request, the engine, and the last line."""

from __future__ import annotations

import os
from typing import Any

import click
import msgspec

from builder.cli import build_words, building
from builder.cli.attestations import attestation_options, attested
from builder.cli.invocation import Invocation
from builder.cli.on_fail import on_fail_options, shell_of
from builder.cli.pairs import named, with_environment
from builder.cli.registry_options import authfile_option, insecure_option
from builder.cli.results import (
    check_apart,
    forget,
    provenance_in_metadata,
    result_options,
    write_id,
    write_metadata,
)
from builder.cli.step_options import step_options
from builder.cli.verb import Verb, absent, ignored
from builder.errors import UsageError
from builder.settings import first_platform, isolation_name, size_of

_ABSENT = [
    *absent(
        "--builder",
        "--policy",
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
@attestation_options
@insecure_option
@authfile_option
@result_options
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
    annotations: tuple[str, ...],
    push: bool,
    load: bool,
    iidfile: str | None,
    metadata_file: str | None,
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
    attests: tuple[str, ...],
    provenance: str | None,
    sbom: str | None,
    **step: Any,
) -> int:
    """Build an image from a Dockerfile and the files in CONTEXT."""
    from builder.engine import BuildRequest, CallRequest

    mode = building.mode_of(invocation, progress, quiet=quiet)
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
                platform=first_platform(wanted) if wanted else invocation.settings.first_platform,
                contexts=build_words.contexts(contexts),
                **build_words.given(secrets, (), ()),
            )
            return answer(invocation, call, question, building.standard_input(question))
    # As with Docker, an empty word is none: scripts pass variables.
    iidfile, metadata_file = iidfile or None, metadata_file or None
    shell = shell_of(on_fail, keep=keep_failed or invocation.settings.keep_failed)
    if push and not tags and not outputs:
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
        cache_ttl=build_words.ttl(cache_ttl),
        verify_cache=build_words.percent(verify_cache),
        cache_normalize=build_words.noise(noise),
        pull=pull,
        platforms=wanted,
        labels=named(labels, "--label"),
        push=push,
        network=network,
        contexts=build_words.contexts(contexts),
        keep_failed=keep_failed or on_fail != "stop" or invocation.settings.keep_failed,
        **attested(attests, provenance, sbom),
        tell="" if metadata_file is None else provenance_in_metadata(),
        **build_words.results(outputs, annotations, load=load),
        **build_words.given(secrets, ssh, allow),
        **build_words.caches(cache_from, cache_to),
        **build_words.limits(step),
    )
    if explain is not None and any(output.dest == "-" for output in request.outputs):
        raise UsageError(
            "`--explain=json` and an output cannot both have standard output",
            hint="write the output to a file: `-o type=tar,dest=FILE`",
        )
    if iidfile or metadata_file:
        check_apart(request.outputs, iidfile, metadata_file)
    forget(iidfile, metadata_file)
    result, warnings = building.run(invocation, request, mode, shell, explain=explain is not None)
    if iidfile is not None:
        write_id(iidfile, result.identity)
    if metadata_file is not None:
        write_metadata(metadata_file, result, warnings)
    if quiet and not any(output.dest == "-" for output in request.outputs):
        invocation.say(result.identity)
    return 0
