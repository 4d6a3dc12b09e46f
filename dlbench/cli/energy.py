"""``dlbench energy``: what measured samples take, emit and cost, at a place."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlbench.cli import site
from dlbench.cli.site import Intensity, Pue, Region, Tariff
from dlbench.core.errors import UsageError

if TYPE_CHECKING:
    from dlbench.core.footprint import Bounds


def energy(  # noqa: PLR0913, PLR0917 - a command line is its options
    files: Annotated[list[Path], typer.Argument(help="Result documents, or folders of them.")],
    region: Region = None,
    intensity: Intensity = None,
    pue: Pue = None,
    tariff: Tariff = None,
    embodied_kg: Annotated[
        float | None,
        typer.Option(help="Kilograms of CO2e of making the machine; with --life-hours."),
    ] = None,
    life_hours: Annotated[
        float | None, typer.Option(help="Hours of use over which they are spread.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Energy, carbon and energy cost of 1,000,000 samples, or of a monitored program.

    Carbon is kWh x PUE x intensity as a range, with sources and years. Without
    a place it is unknown; no average is put in its stead. Only the measured
    device counts, not the rest of the machine.

    Example: dlbench energy results/ --region aws/eu-central-1

    Example: dlbench energy a.json --intensity 30-80 --pue 1.0 --tariff 0.32
    """
    from dlbench import catalog
    from dlbench.analysis import footprint
    from dlbench.cli import show, show_energy
    from dlbench.store import runs as store

    given = site.given(region, intensity, pue, tariff, _embodied(embodied_kg, life_hours))
    places = catalog.load()
    found = [
        (run, place, footprint.of_run(run, place), footprint.of_monitored(run, place))
        for run in store.load_runs(files)
        for place in [footprint.site(run.environment, given, places)]
    ]
    if json:
        show.as_json([show_energy.plain(*one) for one in found])
        return
    for one in found:
        show_energy.footprints(*one)


def _embodied(kg: float | None, hours: float | None) -> Bounds | None:
    from dlbench.core.footprint import G_PER_KG, Bounds

    if kg is None and hours is None:
        return None
    if kg is None or hours is None or not (0 <= kg < math.inf and 0 < hours < math.inf):
        raise UsageError(
            "embodied carbon needs both its kilograms and the hours that they are spread over",
            "--embodied-kg 1500 --life-hours 35000",
        )
    per_h = kg * G_PER_KG / hours
    return Bounds(low=per_h, high=per_h, source=f"--embodied-kg {kg:g} over --life-hours {hours:g}")
