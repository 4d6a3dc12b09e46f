"""The Typer application: one file a command, and one place where errors become exit codes."""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
from collections import Counter
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import dlbench
from dlbench.core.errors import EXIT_OK, EXIT_STORE, DlbenchError, StoreError, UsageError
from dlbench.core.linux import require_linux

COMMANDS = {
    "run": "Measure workloads on this machine and write a result document.",
    "ab": "Compare A with B in interleaved pairs of fresh processes until it can be told.",
    "compare": "Compare cases: inside one document round by round, or across documents.",
    "replicate": "Run a document's plan on this machine and report agreement, case by case.",
    "history": "Show how a case's throughput went over documents of one machine, and name its steps.",
    "report": "Write a report that opens anywhere, offline, from result documents.",
    "energy": "Energy, carbon and energy cost of 1,000,000 samples, or of a monitored program.",
    "pack": "Pack the numbers of many documents into one file that `report` opens in seconds.",
    "check": "Validate documents: each rule by name, passed or failed. Ends with 5 if any failed.",
    "monitor": "Run a program and say what it took: energy, power, utilisation, memory, time.",
    "list": "List workloads, the frameworks that have a model of each, and the suites.",
    "devices": "List the devices that can be measured here, and why others cannot.",
    "doctor": "Say what this machine has, what can be measured on it, and what to do about the rest.",
    "recommend": "Recommend hardware for a need: a TOML file, flags, or both (flags win).",
    "catalog": "Accelerators, offers with dated prices, regions. Works offline; only `update` may "
    "connect.",
}
"""Each command and the first paragraph of its help: a list of commands imports none of them."""


ON_LINUX = frozenset({"run", "ab", "replicate", "monitor", "devices", "doctor"})
"""What looks at the machine that it runs on; all others read documents and tables, anywhere."""

ASKS_FOR_HELP = frozenset({"-h", "--help"})


class Commands(TyperGroup):
    """Imports the module of the command that is asked for and no other, so that it starts fast."""

    def __init__(self, **group: Any) -> None:  # noqa: ANN401 - whatever Typer hands a group
        super().__init__(**group)
        self.commands = {name: TyperCommand(name, help=text) for name, text in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401
        """The command itself, for the one that stands in for it in lists of commands."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in ON_LINUX and not ctx.resilient_parsing and not ASKS_FOR_HELP.intersection(rest):
            require_linux(f"dlbench {name}")
        return name, load(name) if name is not None else command, rest


class Once(TyperCommand):
    """Refuses an option of one value that is given twice: the last would win in silence."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        """As any command, but for that."""
        if not ctx.resilient_parsing:
            _, _, given = self.make_parser(ctx).parse_args(list(args))
            for parameter, times in Counter(given).items():
                if times > 1 and not (parameter.multiple or getattr(parameter, "is_flag", False)):
                    raise UsageError(
                        f"{max(parameter.opts, key=len)} is given {times} times and takes one value",
                        "Give it once.",
                    )
        return super().parse_args(ctx, args)


def load(name: str) -> Any:  # noqa: ANN401 - a command of the Click that Typer brings
    """A command, built from its module."""
    module = importlib.import_module(f"dlbench.cli.{name}")
    if name == "catalog":
        built = module.app
    else:
        built = typer.Typer(add_completion=False)
        built.command(name)(module.list_workloads if name == "list" else getattr(module, name))
    for command in built.registered_commands:
        command.cls = Once
    return typer.main.get_command(built)


app = typer.Typer(
    name="dlbench",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Measure deep learning on any machine, and choose hardware from what was measured.",
)


def _version(value: bool) -> None:
    if value:
        typer.echo(dlbench.__version__)
        raise typer.Exit


@app.callback()
def _options(
    _version_asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that come before the command."""


def main() -> None:
    """Run the command line; end with the exit code of core/errors.py."""
    _write_what_the_terminal_can()
    try:
        code = _exit_code()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader left (`dlbench list | head`); that is no error of ours or of theirs.
        code = EXIT_OK
        _write_to_nobody()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"error: the output cannot be written: {error.strerror}", file=sys.stderr)  # noqa: T201
        code = EXIT_STORE
        _write_to_nobody()
    sys.exit(code)


def _exit_code() -> str | int | None:
    """Run the command; what it ends with.

    Raises:
        BrokenPipeError: nobody reads any more. Typer and Rich each make exit code 1 of it, and leave
            it as that exit's context.
    """
    try:
        app()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        return end.code
    except DlbenchError as error:
        return _told(error)
    except OSError as error:
        # Only to ask whether a file is there may raise these, and every command asks that somewhere.
        if error.errno not in {errno.EACCES, errno.ENAMETOOLONG} or error.filename is None:
            raise
        return _told(StoreError(f"{error.filename}: {error.strerror}", "Check the path."))
    return EXIT_OK


def _told(error: DlbenchError) -> int:
    """Show an error; what it ends with."""
    from dlbench.cli import show

    show.error(error, as_json="--json" in sys.argv)
    return error.exit_code


def _write_what_the_terminal_can() -> None:
    """A character that a terminal's encoding lacks becomes a question mark, and no traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="replace")


def _write_to_nobody() -> None:
    """What is still in buffers goes nowhere, instead of into the closed pipe when Python ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
