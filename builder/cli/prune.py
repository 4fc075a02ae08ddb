"""`lapstrake prune`: what nothing needs any more."""

from __future__ import annotations

import sys

import click
import msgspec

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb, absent
from builder.engine import Kind, Pruning
from builder.errors import UsageError
from builder.ui.size import size
from builder.ui.style import is_terminal

_CACHE = frozenset(Kind) - {Kind.BUILDS}
"""What `builder prune` removes: logs of builds are no cache."""


@click.command(
    "prune",
    cls=Verb,
    others=[*absent("--volumes", value=False)],
    short_help="Remove what is not used",
)
@click.option("-a", "--all", "everything", is_flag=True, help="Remove images with names, too.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="KEY=VALUE",
    help="Remove only what passes: until=24h, label=NAME[=VALUE], label!=NAME, dangling=false, type=KIND.",
)
@click.option("--cache-mounts", is_flag=True, help="Remove only cache mounts.")
@click.option(
    "--reserved-space",
    "--keep-storage",
    "reserved",
    metavar="SIZE",
    help="Leave this much, of what is most useful.",
)
@click.option("--max-used-space", "most", metavar="SIZE", help="Remove only what is beyond this.")
@click.option("--min-free-space", "free", metavar="SIZE", help="Remove until this much is free.")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    everything: bool,
    force: bool,
    dry_run: bool,
    filters: tuple[str, ...],
    cache_mounts: bool,
    reserved: str | None,
    most: str | None,
    free: str | None,
) -> None:
    """Remove images without a name, and layers and cache that nothing uses.

    `image prune` leaves the cache alone, `builder prune` the images and the logs of builds.

    Running builds and containers are not disturbed. Without a terminal nobody can be asked, and `-f` is needed.
    """
    from builder.cli.pruning import pruning_of

    pruning = pruning_of(
        filters,
        everything=everything,
        cache_mounts=cache_mounts,
        reserved=reserved,
        most=most,
        free=free,
    )
    pruning = _of_group(pruning)
    if not (force or dry_run or confirmed(_described(pruning))):
        return
    with invocation.engine() as engine:
        result = engine.prune(pruning, dry=dry_run)
    for line in result.removed:
        invocation.say(f"Would be {line[:1].lower()}{line[1:]}" if dry_run else line)
    total = "Space that would be reclaimed" if dry_run else "Total reclaimed space"
    invocation.say(f"{total}: {size(result.bytes)}")


def _of_group(pruning: Pruning) -> Pruning:
    """Return what `image prune` and `builder prune` mean: images alone, or everything but images."""
    above = click.get_current_context().parent
    match None if above is None else above.info_name:
        case "image":
            return msgspec.structs.replace(pruning, images_only=True)
        case "builder" if pruning.kinds is None:
            return msgspec.structs.replace(pruning, kinds=_CACHE)
        case _:
            return pruning


def _described(pruning: Pruning) -> str:
    """Say what will be removed."""
    if pruning.kinds == _CACHE:
        what = "all cache that nothing uses now"
    elif pruning.kinds is not None:
        what = f"cache of type {', '.join(sorted(kind.value for kind in pruning.kinds))}"
    else:
        what = "all images" if pruning.everything else "images without a name"
        if not (pruning.labels or pruning.images_only):
            what += ", and all cache" if pruning.everything else ", and unused cache"
    return f"{what}, as far as the filters say" if pruning.narrowed or pruning.labels else what


def confirmed(what: str) -> bool:
    """Ask whether to remove something.

    Raises: UsageError: there is nobody to be asked.
    """
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        raise UsageError(
            f"nobody can be asked whether to remove {what}: this is not a terminal",
            hint="add `-f` to remove them without being asked",
        )
    click.echo(f"WARNING! This will remove {what}.", err=True)
    return click.confirm("Are you sure you want to continue?", err=True)
