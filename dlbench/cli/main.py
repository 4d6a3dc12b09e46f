"""The Typer application: one file a command, and one place where errors become exit codes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import dlbench
from dlbench.cli import (
    ab,
    catalog,
    check,
    compare,
    devices,
    doctor,
    energy,
    history,
    monitor,
    pack,
    recommend,
    replicate,
    report,
    run,
)
from dlbench.cli import list as list_
from dlbench.core.errors import DlbenchError

app = typer.Typer(
    name="dlbench",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Measure deep learning on any machine, and choose hardware from what was measured.",
)
app.command("run")(run.run)
app.command("ab")(ab.ab)
app.command("compare")(compare.compare)
app.command("replicate")(replicate.replicate)
app.command("history")(history.history)
app.command("report")(report.report)
app.command("energy")(energy.energy)
app.command("pack")(pack.pack)
app.command("check")(check.check)
app.command("monitor")(monitor.monitor)
app.command("list")(list_.list_workloads)
app.command("devices")(devices.devices)
app.command("doctor")(doctor.doctor)
app.command("recommend")(recommend.recommend)
app.add_typer(catalog.app, name="catalog")


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
    try:
        app()
    except DlbenchError as error:
        from dlbench.cli import show

        show.error(error, as_json="--json" in sys.argv)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader left (`dlbench list | head`); that is no error of ours or of theirs.
        sys.stderr.close()
        sys.exit(0)
