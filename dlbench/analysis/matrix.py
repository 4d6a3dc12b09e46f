"""Many documents beside each other: a row for each case, a column for each document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dlbench.analysis.compare import Across, Comparison
from dlbench.core import metrics, units
from dlbench.core.types import Absent, Case, Metric, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case: the first document's throughput, and how each other one compares, None where not."""

    case: Case
    baseline: Metric
    cells: tuple[Comparison | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """All rows; ``columns`` names the documents, the one that is compared against first."""

    columns: tuple[str, ...]
    run_ids: tuple[str, ...]
    rows: tuple[Row, ...]


def matrix(runs: Sequence[Run], pairs: Sequence[Across]) -> Matrix:
    """The comparisons of every later document with the first, by case; ``pairs`` are in their order."""
    first = runs[0]
    rows = []
    met = [_by_case(pair) for pair in pairs]
    for result in first.results:
        cells = tuple(_cell(found.get(result.case, []), result.case) for found in met)
        if any(cells):
            baseline = metrics.compute("throughput_samples_per_s", result, first)
            rows.append(Row(case=result.case, baseline=baseline, cells=cells))
    return Matrix(
        columns=_names(runs),
        run_ids=tuple(run.run_id for run in runs),
        rows=tuple(sorted(rows, key=lambda row: row.case.label)),
    )


def _by_case(pair: Across) -> dict[Case, list[Comparison]]:
    """What each case of the first document was compared with."""
    found: dict[Case, list[Comparison]] = {}
    for comparison in pair.comparisons:
        found.setdefault(comparison.a, []).append(comparison)
    return found


def _cell(of_case: Sequence[Comparison], case: Case) -> Comparison | None:
    """Of the comparisons of one case: the same device first, then the least that was let pass."""
    return min(
        of_case,
        key=lambda c: (c.b.device != case.device, len(c.allowed), c.b.label),
        default=None,
    )


def _names(runs: Sequence[Run]) -> tuple[str, ...]:
    """Machines; where one of them has several documents, their dates, then their times."""
    machines = [run.environment.machine for run in runs]
    if len(set(machines)) == len(machines):
        return tuple(machines)
    dates = [run.created_utc[:10] for run in runs]
    if len(set(machines)) == 1:
        named = dates if len(set(dates)) == len(dates) else [r.created_utc[:16] for r in runs]
        return tuple(named)
    return tuple(f"{m} {r.created_utc[:16]}" for m, r in zip(machines, runs, strict=True))


def cell_words(found: Comparison | None) -> str:
    """A cell as text: ratio, interval, the verdict where there is one, and a device of its own."""
    if found is None:
        return "-"
    interval = units.bracketed(found.estimate.interval, 2)
    mark = {"faster": " faster", "slower": " slower", "equivalent": " ="}.get(found.verdict, "")
    star = "*" if found.allowed else ""
    where = "" if found.b.device == found.a.device else f" ({found.b.device})"
    return f"{units.ratio(found.estimate.ratio, 2)}{star}{interval}{mark}{where}"


def plain(of: Matrix) -> dict[str, Any]:
    """The matrix as ``--json`` prints it."""
    return {
        "columns": list(of.columns),
        "run_ids": list(of.run_ids),
        "rows": [
            {
                "case": row.case.label,
                "case_id": row.case.case_id,
                "baseline_samples_per_s": None
                if isinstance(row.baseline, Absent)
                else row.baseline.value,
                "cells": [_plain_cell(cell) for cell in row.cells],
            }
            for row in of.rows
        ],
    }


def _plain_cell(found: Comparison | None) -> dict[str, Any] | None:
    if found is None:
        return None
    bounds = found.estimate.interval
    return {
        "ratio": found.estimate.ratio,
        "interval": asdict(bounds) if bounds else None,
        "n": found.estimate.n,
        "verdict": found.verdict,
        "allowed": list(found.allowed),
        "device": found.b.device,
    }
