"""The command line as a whole: finds the verb, imports just that one, turns errors into exit codes."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from builder.cli.catalogue import VERBS, verb_of
from builder.cli.invocation import Invocation
from builder.cli.verb import help_option, root_option
from builder.errors import Cancelled, LapstrakeError
from runtime.errors import SandboxError


class Verbs(click.Group):
    """The program: a group whose verbs are imported when they are used."""

    _help: click.Option | None = None

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return the option for help, the same one every time."""
        if self._help is None:
            self._help = help_option(self.get_help_option_names(ctx))
        return self._help

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the verbs in the order of their use."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one verb; None when there is no such verb."""
        entry = VERBS.get(cmd_name)
        if entry is None:
            return None
        command = import_module(f"builder.cli.{entry.module}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that the first word names.

        Raises: UsageError: there is none, with the nearest.
        """
        command = self.get_command(ctx, args[0])
        if command is None and not args[0].startswith("-"):
            from builder.cli import failure

            raise failure.no_such_verb(args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in VERBS.items()])


@click.group(
    cls=Verbs,
    name="lapstrake",
    no_args_is_help=False,
    invoke_without_command=True,
    params=[root_option()],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Run `lapstrake COMMAND --help` for the flags of a command.",
)
@click.option("-v", "--version", is_flag=True, help="Print the version.")
@click.pass_context
def program(context: click.Context, *, version: bool) -> None:
    """Build OCI images from Dockerfiles, without a daemon, as root or not."""
    if version:
        from builder.cli.version import version_line

        click.echo(version_line())
        context.exit(0)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: list[str], invocation: Invocation) -> int:
    """Run the words after the program's name; return the exit code.

    Whatever goes wrong is told on standard error; nothing is raised but KeyboardInterrupt and
    BrokenPipeError, and, with LAPSTRAKE_DEBUG=1, what nobody has foreseen is shown in full.
    """
    try:
        with program.make_context("lapstrake", list(arguments), obj=invocation) as context:
            code = program.invoke(context)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort:
        from builder.cli import failure

        return failure.INTERRUPTED
    except click.ClickException as mistake:
        from builder.cli import failure  # loaded only when something failed

        return _fail(invocation, failure.of_click(mistake, verb_of(arguments)))
    except LapstrakeError as error:
        return _fail(invocation, error)
    except SandboxError as error:
        from builder.cli import failure

        return _fail(invocation, failure.of_runtime(error))
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  nobody ever sees a traceback unasked
        return _unforeseen(invocation, error)
    return code if isinstance(code, int) else 0


def _fail(invocation: Invocation, error: LapstrakeError, origin: Exception | None = None) -> int:
    """Tell an error, and return its exit code; `origin` is the exception that it stands for."""
    from builder.cli import failure

    number = invocation.interruption.number
    if number is not None:
        invocation.interruption.settle()
        # Whatever failed after a signal failed because of it.
        error = Cancelled(signal_number=number)
    if error.code == "internal":
        _show_origin(invocation, origin or error)
    try:
        invocation.tell_all(failure.diagnostics_of(error))
    except LapstrakeError as second:  # the settings, which say how to show the first, are wrong
        sys.stderr.write(f"error[{second.code}]: {second.message}\n")
        return second.exit_code
    return error.exit_code


def _unforeseen(invocation: Invocation, error: Exception) -> int:
    from builder.cli import failure

    return _fail(invocation, failure.unexpected(error), error)


def _show_origin(invocation: Invocation, error: Exception) -> None:
    """Print the traceback of what nobody has foreseen, where LAPSTRAKE_DEBUG asks for it."""
    try:
        if not invocation.settings.debug:
            return
    except LapstrakeError:
        return
    import traceback

    traceback.print_exception(error)
