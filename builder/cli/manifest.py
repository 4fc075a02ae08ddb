"""`lapstrake manifest`: lists of images for several platforms, put together by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from builder.cli.invocation import Invocation
from builder.cli.registry_options import authfile_option, insecure_option
from builder.cli.verb import Verb, absent, root_option
from builder.errors import UsageError

if TYPE_CHECKING:
    from builder.engine.manifest_list import Change


@click.group(
    "manifest",
    params=[root_option()],
    no_args_is_help=False,
    short_help="Put lists of images for several platforms together",
    subcommand_metavar="COMMAND [ARGS]...",
)
def command() -> None:
    """Put images for several platforms together under one name, and push them."""


def _insecure(function: Callable[..., Any]) -> Callable[..., Any]:
    option = click.option(
        "--insecure", is_flag=True, help="Do not verify the registry, and speak http if it does."
    )
    return option(insecure_option(authfile_option(function)))


def _said(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags that say something of an image."""
    for option in (
        click.option("--annotation", multiple=True, metavar="KEY=VALUE", help="Annotate it."),
        click.option("--os-features", multiple=True, metavar="WORD", help="What it needs."),
        click.option("--os-version", default="", metavar="VERSION", help="The system's version."),
        click.option("--variant", default="", metavar="WORD", help="The variant, as `v7`."),
        click.option("--os", default="", metavar="WORD", help="The operating system."),
        click.option("--arch", default="", metavar="WORD", help="The architecture."),
    ):
        function = option(function)
    return function


def _change(
    arch: str,
    os: str,
    variant: str,
    os_version: str,
    os_features: tuple[str, ...],
    annotation: tuple[str, ...],
) -> Change:
    from builder.engine.manifest_list import Change

    pairs = [text.partition("=") for text in annotation]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise UsageError(f"`{name}` is no annotation", hint="write `KEY=VALUE`")
    return Change(
        architecture=arch,
        os=os,
        variant=variant,
        os_version=os_version,
        os_features=tuple(word for text in os_features for word in text.split(",") if word),
        annotations=tuple((name, value) for name, _, value in pairs),
    )


@command.command("create", cls=Verb, short_help="Begin a list")
@click.option("-a", "--amend", is_flag=True, help="Add to the list if it is there.")
@click.option("--all", "every", is_flag=True, help="Take all images of what is a list itself.")
@_insecure
@click.argument("name", metavar="LIST")
@click.argument("images", nargs=-1, metavar="[IMAGE]...")
@click.pass_obj
def create(
    invocation: Invocation,
    *,
    name: str,
    images: tuple[str, ...],
    amend: bool,
    every: bool,
    insecure: bool,
) -> None:
    """Begin the list LIST with images of the store or of registries."""
    with invocation.engine() as engine:
        lists = engine.manifest_lists(images, insecure=insecure)
        made = lists.create(name, images, amend=amend, every=every)
    invocation.say(f"Created manifest list {made.name}")


@command.command("add", cls=Verb, short_help="Add an image to a list")
@click.option("--all", "every", is_flag=True, help="Take all images of what is a list itself.")
@_said
@_insecure
@click.argument("name", metavar="LIST")
@click.argument("image")
@click.pass_obj
def add(
    invocation: Invocation, /, *, name: str, image: str, every: bool, insecure: bool, **said: Any
) -> None:
    """Add IMAGE, of the store or of a registry, to the list LIST."""
    change = _change(**said)
    with invocation.engine() as engine:
        lists = engine.manifest_lists((image,), insecure=insecure)
        made = lists.add(name, image, change, every=every)
    invocation.say(str(made.index.descriptor().digest))


@command.command("annotate", cls=Verb, short_help="Say something else of an image in a list")
@_said
@click.argument("name", metavar="LIST")
@click.argument("image")
@click.pass_obj
def annotate(invocation: Invocation, /, *, name: str, image: str, **said: Any) -> None:
    """Say for which platform IMAGE, a name or digest, is in the list LIST."""
    with invocation.engine() as engine:
        engine.manifest_lists().annotate(name, image, _change(**said))


@command.command("remove", cls=Verb, short_help="Take an image out of a list")
@click.argument("name", metavar="LIST")
@click.argument("image")
@click.pass_obj
def remove(invocation: Invocation, *, name: str, image: str) -> None:
    """Take IMAGE, a digest or name, out of the list LIST."""
    with invocation.engine() as engine:
        made = engine.manifest_lists().remove(name, image)
    invocation.say(str(made.index.descriptor().digest))


@command.command("exists", cls=Verb, short_help="Tell whether there is a list")
@click.argument("name", metavar="LIST")
@click.pass_obj
def exists(invocation: Invocation, *, name: str) -> int:
    """Exit with 0 if there is a list LIST, else with 1."""
    with invocation.engine() as engine:
        return 0 if engine.manifest_lists().exists(name) else 1


@command.command("inspect", cls=Verb, short_help="Show a list, or what a registry has")
@click.option("-v", "--verbose", is_flag=True, help="Show each image with its manifest.")
@_insecure
@click.argument("names", nargs=-1, required=True, metavar="[LIST] IMAGE")
@click.pass_obj
def inspect(
    invocation: Invocation, *, names: tuple[str, ...], verbose: bool, insecure: bool
) -> None:
    """Show the list IMAGE that is put together here, or else the manifest or index that its registry has.

    IMAGE may also be in another place, written as for `copy`: `store:NAME`, `oci:DIR:NAME`. With LIST, it is an image
    in that list.
    """
    from builder.ui.manifests import raw_text, verbose_text

    if len(names) > 2:
        raise UsageError("give an image, or a list and an image in it")
    with invocation.engine() as engine:
        lists = engine.manifest_lists(names, insecure=insecure)
        found = lists.inspected(names[-1], within=names[0] if len(names) == 2 else None)
    invocation.say(verbose_text(found) if verbose else raw_text(found))


@command.command(
    "push",
    cls=Verb,
    others=[*absent("-f/--format", "--compression-format", "--creds", "--sign-by")],
    short_help="Push a list with all its images",
)
@click.option("-p", "--purge", is_flag=True, help="Remove the list here afterwards.")
@click.option("--all", is_flag=True, expose_value=False, help="Push the images too, as by default.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@_insecure
@click.argument("name", metavar="LIST")
@click.argument("destination", required=False)
@click.pass_obj
def push(
    invocation: Invocation,
    *,
    name: str,
    destination: str | None,
    purge: bool,
    quiet: bool,
    insecure: bool,
) -> None:
    """Push LIST and all its images to the registry in its name, or to DESTINATION."""
    mode = "quiet" if quiet else None
    with invocation.engine() as engine, invocation.progress(mode, title="Pushing") as events:
        lists = engine.manifest_lists((destination or name,), insecure=insecure)
        pushed = lists.push(name, destination, events)
        if purge:
            lists.forget((name,))
    invocation.say(str(pushed.digest))


@command.command("rm", cls=Verb, short_help="Remove lists")
@click.argument("names", nargs=-1, required=True, metavar="LIST...")
@click.pass_obj
def rm(invocation: Invocation, *, names: tuple[str, ...]) -> None:
    """Remove lists that are put together here; their images stay."""
    with invocation.engine() as engine:
        engine.manifest_lists().forget(names)
