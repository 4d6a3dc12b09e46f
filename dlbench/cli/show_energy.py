"""How energy, carbon and energy cost are printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from dlbench.analysis.footprint import BY_DEVICE, OF_THE_MACHINE, Part
from dlbench.cli import show, show_telemetry
from dlbench.core import units
from dlbench.core.footprint import PER_SAMPLES, PER_SAMPLES_NAME, Footprint, Site
from dlbench.core.types import Absent, Metric, Run

COLUMNS = ("energy Wh", "operational g", "embodied g", "cost USD")
SCALES = (1000.0, 1.0, 1.0, 1.0)
"""Of a footprint's fields, in their order."""


def footprints(run: Run, site: Site, cases: Sequence[Part], programs: Sequence[Part]) -> None:
    """What was read, a document's parts as tables, where it stands, and why numbers are missing."""
    if run.results:
        show_telemetry.energy(run)
    for found, what in ((cases, f"{PER_SAMPLES:,} samples"), (programs, "the whole program")):
        if found:
            rows = [(p.label, *map(_cell, _metrics(p), SCALES)) for p in found]
            title = f"{run.run_id}: of {what}, g of CO2e"
            show.table(("case" if found is cases else "program", *COLUMNS), rows, title=title)
    show.line(f"site      {site.name}")
    for name, factor in _factors(site).items():
        if not isinstance(factor, Absent):
            show.line(f"{name:<9} {_span(factor.low, factor.high)} ({factor.source})")
    if isinstance(site.pue, Absent) and not isinstance(site.tariff_usd_per_kwh, Absent):
        show.line(f"cost      without cooling: {site.pue.reason} -> {site.pue.remedy}")
    for reason in _reasons([*cases, *programs]):
        show.line(f"absent    {reason}")
    show.line("only the measured device counts: not the rest of the machine, nor its idle hours")


def _metrics(one: Part) -> list[Metric]:
    return [getattr(one.footprint, field.name) for field in fields(Footprint)]


def _factors(site: Site) -> dict[str, Any]:
    return {
        "g a kWh": site.intensity_g_per_kwh,
        "PUE": site.pue,
        "USD a kWh": site.tariff_usd_per_kwh,
        "g an hour": site.embodied_g_per_h,
    }


def _cell(metric: Metric, by: float) -> str:
    if isinstance(metric, Absent):
        return "-"
    if metric.interval is None:
        return units.few_zeros(metric.value * by)
    return _span(metric.interval.low * by, metric.interval.high * by)


def _span(low: float, high: float) -> str:
    a, b = units.few_zeros(low), units.few_zeros(high)
    return a if a == b else f"{a} - {b}"


def _reasons(found: Sequence[Part]) -> list[str]:
    """Why columns are empty, each reason once, with what would fill them."""
    reasons: dict[str, list[str]] = {}
    for one in found:
        for column, metric in zip(COLUMNS, _metrics(one), strict=True):
            if isinstance(metric, Absent) and metric not in UNASKED:
                remedy = f" -> {metric.remedy}" if metric.remedy else ""
                columns = reasons.setdefault(f"{metric.reason}{remedy}", [])
                columns.append(column.rsplit(" ", 1)[0])
    return [f"{', '.join(dict.fromkeys(names))}: {why}" for why, names in reasons.items()]


UNASKED = (BY_DEVICE, OF_THE_MACHINE)
"""Cells of a table that are empty by its layout."""


def plain(run: Run, site: Site, cases: Sequence[Part], programs: Sequence[Part]) -> dict[str, Any]:
    """A document's footprints as ``--json`` prints them."""
    measured = show_telemetry.energy_as_plain(run)
    return {
        "run_id": run.run_id,
        "site": asdict(site),
        "cases": [
            {
                "case_id": p.case_id,
                **_plain(p, f"_{PER_SAMPLES_NAME}"),
                **measured.get(p.case_id, {}),
            }
            for p in cases
        ],
        "monitored": [_plain(p, "") for p in programs],
    }


def _plain(part: Part, suffix: str) -> dict[str, Any]:
    names = [f"{field.name}{suffix}" for field in fields(Footprint)]
    numbers = map(show.metric_as_plain, _metrics(part))
    return {"label": part.label, **dict(zip(names, numbers, strict=True))}
