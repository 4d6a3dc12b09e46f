"""The options that say where a machine stands: of every command that tells carbon or energy cost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from dlbench.cli import completing
from dlbench.core.errors import UsageError

if TYPE_CHECKING:
    from dlbench.analysis.footprint import Given
    from dlbench.core.footprint import Bounds

Region = Annotated[
    str | None,
    typer.Option(
        help="Where the machine stands: aws/us-east-1, a country as DE, or world for the world's "
        "average; default the cloud region that the document recorded.",
        autocompletion=completing.sites,
    ),
]

Intensity = Annotated[
    str | None,
    typer.Option(metavar="G|LOW-HIGH", help="Grams of CO2e a kWh, in place of the region's."),
]

Pue = Annotated[
    str | None,
    typer.Option(
        metavar="X|LOW-HIGH",
        help="Energy of the site over its machines'; 1.0 where nothing is cooled.",
    ),
]

Tariff = Annotated[
    str | None,
    typer.Option(metavar="USD|LOW-HIGH", help="USD a kWh, for a machine that you own."),
]


def given(
    region: str | None,
    intensity: str | None,
    pue: str | None,
    tariff: str | None,
    embodied: Bounds | None = None,
) -> Given:
    """What the options say of the site.

    Raises:
        UsageError: one of them is no number or range, or less than the quantity can be.
    """
    from dlbench.analysis.footprint import Given

    return Given(
        region=region,
        intensity_g_per_kwh=_bounds("--intensity", intensity, least=0.0, example="380"),
        pue=_bounds("--pue", pue, least=1.0, example="1.2"),
        tariff_usd_per_kwh=_bounds("--tariff", tariff, least=0.0, example="0.30"),
        embodied_g_per_h=embodied,
    )


def _bounds(option: str, text: str | None, *, least: float, example: str) -> Bounds | None:
    """``0.3`` or ``0.2-0.4`` as bounds."""
    from dlbench.core.footprint import Bounds

    if text is None:
        return None
    low_text, dash, high_text = text.partition("-")
    try:
        low = float(low_text)
        high = float(high_text) if dash else low
    except ValueError:
        low = high = math.nan
    if not least <= low <= high < math.inf:
        raise UsageError(
            f"{option} {text!r} is not a number of at least {least:g}, nor a range of them",
            f"{option} {example}, or {option} LOW-HIGH",
        )
    return Bounds(low=low, high=high, source=f"{option} {text}")
