"""Result documents as tables: the only builder of DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlbench.core import metrics
from dlbench.core.types import Absent, CaseResult, Metric, Run

if TYPE_CHECKING:
    import pandas as pd

CASE_COLUMNS = (
    "workload",
    "framework",
    "device",
    "precision",
    "mode",
    "scenario",
    "policy",
    "data_mode",
    "variant",
    "batch_size",
)


def results(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a case and run, skips included.

    Columns: run_id, machine, case_id, those of the case, outcome, message, n_trials, flags, and for
    each metric its value (NaN where absent), ``_low``, ``_high``, ``_kind`` and ``_reason``.
    """
    import pandas as pd

    rows = [_row(run, result) for run in runs for result in run.results]
    rows += [_skip_row(run, i) for run in runs for i in range(len(run.plan.skips))]
    return pd.DataFrame(rows)


def _row(run: Run, result: CaseResult) -> dict[str, Any]:
    outcome = result.outcome
    row = {
        "run_id": run.run_id,
        "machine": run.environment.machine,
        "case_id": result.case.case_id,
        **_case(result.case),
        "outcome": str(outcome.kind),
        "message": outcome.message,
        "n_trials": len(result.measured),
        "flags": ", ".join(result.flags),
    }
    for name in metrics.REGISTRY:
        row |= _columns(name, metrics.compute(name, result, run))
    return row


def _skip_row(run: Run, index: int) -> dict[str, Any]:
    skip = run.plan.skips[index]
    absent = Absent(reason=f"{skip.outcome.kind}: {skip.outcome.message}")
    row = {
        "run_id": run.run_id,
        "machine": run.environment.machine,
        "case_id": skip.case.case_id,
        **_case(skip.case),
        "outcome": str(skip.outcome.kind),
        "message": skip.outcome.message,
        "n_trials": 0,
        "flags": "",
    }
    for name in metrics.REGISTRY:
        row |= _columns(name, absent)
    return row


def _case(case: object) -> dict[str, Any]:
    return {name: getattr(case, name) for name in CASE_COLUMNS}


def _columns(name: str, value: Metric) -> dict[str, Any]:
    """A frame's NaN is a gap in a plot, and its kind says that it is absent and why."""
    gap = float("nan")
    if isinstance(value, Absent):
        number, low, high, reason = gap, gap, gap, value.reason
    else:
        number, reason = value.value, ""
        low, high = (value.interval.low, value.interval.high) if value.interval else (gap, gap)
    return {
        name: number,
        f"{name}_low": low,
        f"{name}_high": high,
        f"{name}_kind": type(value).__name__.lower(),
        f"{name}_reason": reason,
    }
