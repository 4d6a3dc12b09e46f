"""``dlbench monitor``: telemetry around any program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dlbench.core.errors import UsageError
from dlbench.core.types import TelemetryLevel


def monitor(
    command: Annotated[
        list[str],
        typer.Argument(metavar="-- COMMAND [ARGS]...", help="The program, after two dashes."),
    ],
    device: Annotated[
        list[str] | None,
        typer.Option("--device", "-d", help="cpu, nvidia, nvidia:0, ...; default all found."),
    ] = None,
    telemetry: Annotated[
        str, typer.Option(help="basic (ten readings a second), or full (also PCIe traffic).")
    ] = "basic",
    idle: Annotated[
        float,
        typer.Option(help="Seconds for which devices are watched before the program begins."),
    ] = 1.0,
    out: Annotated[Path, typer.Option(help="Folder for the document.")] = Path("results"),
    keep: Annotated[bool, typer.Option("--keep/--no-keep", help="Write a document.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Run a program and say what it took: energy, power, utilisation, memory, time.

    The program keeps its input, output and terminal; figures go to stderr (JSON to stdout). The exit
    code is the program's own, 128 and the signal's number if one ended it; 7 if the folder cannot be
    written, which is found before the program begins.

    Example: dlbench monitor -- python train.py --epochs 3
    """
    from dlbench.cli import parsing, show, show_telemetry
    from dlbench.session import measuring
    from dlbench.session import monitor as monitoring

    if telemetry not in ("basic", "full"):
        raise UsageError(f"--telemetry {telemetry!r} is not known", "Known: basic, full.")
    if not 0 <= idle <= monitoring.MOST_IDLE_S:
        raise UsageError(
            f"--idle {idle:g} is out of range", f"From 0 to {monitoring.MOST_IDLE_S:g} seconds."
        )
    finished = monitoring.monitor(
        command,
        measuring.chosen(parsing.listed(device)),
        TelemetryLevel(telemetry),
        out if keep else None,
        idle_s=idle,
    )
    if json:
        show.as_json(show_telemetry.monitored_as_plain(finished))
    else:
        show_telemetry.monitored(finished)
    if finished.lost is not None:
        show.error(finished.lost, as_json=json)
    if finished.exit_code:
        raise typer.Exit(finished.exit_code)
