"""`lapstrake copy`: an image, with all that belongs to it, from one place to another."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from builder.cli.invocation import Invocation
from builder.cli.registry_options import authfile_option, insecure_option
from builder.cli.verb import Verb, absent
from builder.errors import UsageError
from builder.ui.style import is_terminal

if TYPE_CHECKING:
    from builder.engine.copying import Choice

_OTHERS = [
    *absent("-f/--format", "--sign-by", "--sign-by-sigstore", "--sign-by-sigstore-private-key"),
    *absent("--sign-passphrase-file", "--encryption-key", "--encrypt-layer", "--decryption-key"),
    *absent("--src-authfile", "--dest-authfile", "--src-cert-dir", "--dest-cert-dir"),
    *absent("--src-registry-token", "--dest-registry-token", "--src-daemon-host"),
    *absent("--dest-daemon-host", "--src-shared-blob-dir", "--dest-shared-blob-dir"),
    *absent("--src-username", "--src-password", "--dest-username", "--dest-password"),
    *absent("--dest-compress-format", "--dest-compress-level", "--image-parallel-copies"),
    *absent("--dest-compress", "--dest-decompress", "--dest-oci-accept-uncompressed-layers"),
    *absent("--remove-signatures", "--src-no-creds", "--dest-no-creds", value=False),
    *absent("--dest-precompute-digests", "--dest-force-compress-format", value=False),
]


@click.command(
    "copy",
    cls=Verb,
    others=_OTHERS,
    short_help="Copy images between registries, layouts, archives and the store",
)
@click.option("-a", "--all", "everything", is_flag=True, help="Copy all platforms, as by default.")
@click.option("--platform", metavar="OS/ARCH", help="Copy the image for this platform alone.")
@click.option(
    "--multi-arch",
    metavar="WHAT",
    help="Copy `all`, the image for this machine (`system`), or the index alone (`index-only`).",
)
@click.option(
    "--preserve-digests", is_flag=True, help="Refuse if a manifest would have to be made."
)
@click.option("--additional-tag", multiple=True, metavar="NAME", help="Give it this name, too.")
@click.option("--src-creds", metavar="USER[:PASS]", help="Read as this user.")
@click.option("--dest-creds", metavar="USER[:PASS]", help="Write as this user.")
@click.option("--src-tls-verify", type=bool, metavar="BOOL", help="Whether to verify where from.")
@click.option("--dest-tls-verify", type=bool, metavar="BOOL", help="Whether to verify where to.")
@click.option(
    "--retry-times",
    type=int,
    default=0,
    metavar="N",
    help="Begin again after a fault, so many times.",
)
@click.option("--digestfile", metavar="FILE", help="Write the digest to this file.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress and no digest.")
@insecure_option
@authfile_option
@click.argument("source")
@click.argument("destination")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    source: str,
    destination: str,
    everything: bool,
    platform: str | None,
    multi_arch: str | None,
    preserve_digests: bool,
    additional_tag: tuple[str, ...],
    src_creds: str | None,
    dest_creds: str | None,
    src_tls_verify: bool | None,
    dest_tls_verify: bool | None,
    retry_times: int,
    digestfile: str | None,
    quiet: bool,
) -> None:
    """Copy an image from SOURCE to DESTINATION with all its platforms and attestations, byte for byte.

    \b
    docker://NAME                  in a registry
    oci:DIR[:NAME|@DIGEST]         an OCI layout
    oci-archive:FILE[:NAME]        the same in a tar
    docker-archive:FILE[:NAME]     what `docker save` writes
    dir:DIR                        a directory, as skopeo has it
    store:NAME, or NAME            in the store
    """  # noqa: D301  click's mark of what is not to be wrapped
    from builder.engine.copying import Access, CopyRequest, parse_end
    from builder.oci.reference import Reference

    request = CopyRequest(
        source=parse_end(source),
        destination=parse_end(destination),
        choice=_choice(everything=everything, platform=platform, multi_arch=multi_arch),
        tags=tuple(map(Reference.parse, additional_tag)),
        exact=preserve_digests,
        tries=max(0, retry_times),
    )
    read = Access(credentials=_credentials(src_creds), verify=src_tls_verify)
    write = Access(credentials=_credentials(dest_creds), verify=dest_tls_verify)
    mode = "quiet" if quiet else None
    with invocation.engine() as engine, invocation.progress(mode, title="Copying") as events:
        result = engine.copy(request, events, read=read, write=write)
    if result.made and not quiet:
        invocation.note(
            f"`{request.source}` has no manifest, so that one was made: its digest is new"
        )
    if digestfile is not None:
        _write(digestfile, str(result.digest))
    if not quiet:
        invocation.say(f"{request.destination}: digest: {result.digest} size: {result.size}")


def _choice(*, everything: bool, platform: str | None, multi_arch: str | None) -> Choice:
    from builder.engine.copying import Whole
    from builder.oci.platform import Platform

    given = [everything, platform is not None, multi_arch is not None]
    if sum(given) > 1:
        raise UsageError("`--all`, `--platform` and `--multi-arch` exclude each other")
    if platform is not None:
        return Platform.parse(platform)
    match multi_arch:
        case None | "all":
            return Whole.ALL
        case "system":
            return Platform.host()
        case "index-only":
            return Whole.INDEX_ONLY
        case _:
            raise UsageError(
                f"`--multi-arch {multi_arch}` is not known",
                hint="use `system`, `all` or `index-only`",
            )


def _credentials(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    user, colon, password = text.partition(":")
    if not user:
        raise UsageError("a user is missing", hint="write `USER:PASSWORD`, or USER alone")
    return user, password if colon else _asked(user)


def _asked(user: str) -> str:
    if not is_terminal(sys.stdin):
        raise UsageError(
            f"there is no terminal to ask for the password of `{user[:60]}`",
            hint="write `USER:PASSWORD`, or run `lapstrake login`",
        )
    return str(click.prompt(f"Password of {user}", hide_input=True, err=True))


def _write(path: str, text: str) -> None:
    from builder.export.destination import writing

    with writing(path) as fd:
        os.write(fd, text.encode())
