"""How energy, carbon and energy cost are printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from dlbench.analysis.footprint import CaseFootprint
from dlbench.cli import show
from dlbench.core import units
from dlbench.core.footprint import PER_SAMPLES, Footprint, Site
from dlbench.core.types import Absent, Metric, Run

COLUMNS = ("energy Wh", "operational g", "embodied g", "cost USD")
SCALES = (1000.0, 1.0, 1.0, 1.0)
"""Of a footprint's fields, in their order."""


def footprints(run: Run, site: Site, found: Sequence[CaseFootprint]) -> None:
    """A document's cases as a table, where it stands, and why numbers are missing."""
    rows = [
        (one.case.label, *(_cell(m, by) for m, by in zip(_metrics(one), SCALES, strict=True)))
        for one in found
    ]
    title = f"{run.run_id}: of {PER_SAMPLES:,} samples, g of CO2e"
    show.table(("case", *COLUMNS), rows, title=title)
    show.line(f"site      {site.name}")
    for name, factor in _factors(site).items():
        if not isinstance(factor, Absent):
            span = _span(factor.low, factor.high)
            show.line(f"{name:<9} {span} ({factor.source})")
    for reason in _reasons(found):
        show.line(f"absent    {reason}")
    show.line("only the measured device counts: not the rest of the machine, nor its idle hours")


def _metrics(one: CaseFootprint) -> list[Metric]:
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
        return units.significant(metric.value * by)
    return _span(metric.interval.low * by, metric.interval.high * by)


def _span(low: float, high: float) -> str:
    a, b = units.significant(low), units.significant(high)
    return a if a == b else f"{a} - {b}"


def _reasons(found: Sequence[CaseFootprint]) -> list[str]:
    """Why columns are empty, each reason once, with what would fill them."""
    reasons: dict[str, list[str]] = {}
    for one in found:
        for column, metric in zip(COLUMNS, _metrics(one), strict=True):
            if isinstance(metric, Absent):
                remedy = f" -> {metric.remedy}" if metric.remedy else ""
                columns = reasons.setdefault(f"{metric.reason}{remedy}", [])
                columns.append(column.rsplit(" ", 1)[0])
    return [f"{', '.join(dict.fromkeys(names))}: {why}" for why, names in reasons.items()]


def plain(run: Run, site: Site, found: Sequence[CaseFootprint]) -> dict[str, Any]:
    """A document's footprints as ``--json`` prints them."""
    return {
        "run_id": run.run_id,
        "site": asdict(site),
        "cases": [
            {
                "case_id": one.case.case_id,
                "label": one.case.label,
                **{
                    f"{field.name}_per_{PER_SAMPLES}_samples": show.metric_as_plain(metric)
                    for field, metric in zip(fields(Footprint), _metrics(one), strict=True)
                },
            }
            for one in found
        ],
    }
