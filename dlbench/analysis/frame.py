"""Result documents as tables: the only builder of DataFrames."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlbench.analysis import rows as rows_
from dlbench.analysis.rows import Row
from dlbench.core import metrics
from dlbench.core.stats import LEVEL
from dlbench.core.types import (
    Absent,
    Case,
    DataMode,
    Estimated,
    Interval,
    Measured,
    Metric,
    Mode,
    Outcome,
    OutcomeKind,
    Policy,
    Precision,
    Run,
    Scenario,
)

if TYPE_CHECKING:
    import pandas as pd

RUN_COLUMNS = ("run_id", "machine", "created_utc", "device_name", "case_id")

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
    "n_devices",
)

WORK_COLUMNS = ("version", "content_hash", "threads")
"""Which work it was, on how many CPU threads: a collection that was packed earlier may have none."""

END_COLUMNS = ("options", "outcome", "message", "advice", "n_trials", "flags")

METRIC_SUFFIXES = ("", "_low", "_high", "_kind", "_reason")


def columns() -> list[str]:
    """The names of all columns, in order."""
    of_metrics = [name + suffix for name in metrics.REGISTRY for suffix in METRIC_SUFFIXES]
    return [*RUN_COLUMNS, *CASE_COLUMNS, *WORK_COLUMNS, *END_COLUMNS, *of_metrics]


def results(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a case and run, skips included.

    Columns: those of the run and the case, outcome, message, n_trials, flags, and for each metric its
    value (NaN where absent), ``_low``, ``_high``, ``_kind`` and ``_reason``.
    """
    return of_rows(rows_.of(runs))


def of_rows(rows: Sequence[Row]) -> pd.DataFrame:
    """The same of rows that are there already."""
    import pandas as pd

    return pd.DataFrame([_plain(row) for row in rows], columns=columns())


def _plain(row: Row) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "run_id": row.run_id,
        "machine": row.machine,
        "created_utc": row.created_utc,
        "device_name": row.device_name,
        "case_id": row.case.case_id,
        "version": row.version,
        "content_hash": row.content_hash,
        "threads": row.threads,
        "options": json.dumps(row.case.options),
        "outcome": str(row.outcome.kind),
        "message": row.outcome.message,
        "advice": row.outcome.advice,
        "n_trials": row.n_trials,
        "flags": ", ".join(row.flags),
    }
    for name in CASE_COLUMNS:
        value = getattr(row.case, name)
        plain[name] = value if isinstance(value, int) else str(value or "")
    for name in metrics.REGISTRY:
        plain |= _columns(name, row.metrics[name])
    return plain


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


# --- and back -------------------------------------------------------------------------------


def rows_of(table: pd.DataFrame) -> tuple[Row, ...]:
    """The rows that a frame was made from; how a number came about is no longer in it."""
    names = list(table.columns)
    values = (table[name].tolist() for name in names)
    return tuple(_row(dict(zip(names, cells, strict=True))) for cells in zip(*values, strict=True))


def _row(cell: dict[str, Any]) -> Row:
    return Row(
        run_id=cell["run_id"],
        machine=cell["machine"],
        created_utc=cell["created_utc"],
        device_name=cell["device_name"],
        case=case_of(cell),
        outcome=Outcome(
            kind=OutcomeKind(cell["outcome"]), message=cell["message"], advice=cell["advice"]
        ),
        n_trials=int(cell["n_trials"]),
        flags=tuple(cell["flags"].split(", ")) if cell["flags"] else (),
        metrics={name: _metric(cell, name) for name in metrics.REGISTRY},
        version=cell["version"],
        content_hash=cell["content_hash"],
        threads=cell["threads"],
    )


def case_of(cell: dict[str, Any]) -> Case:
    """The case of a frame's row."""
    return Case(
        workload=cell["workload"],
        framework=cell["framework"],
        device=cell["device"],
        precision=Precision(cell["precision"]),
        mode=Mode(cell["mode"]),
        scenario=Scenario(cell["scenario"]) if cell["scenario"] else None,
        policy=Policy(cell["policy"]),
        data_mode=DataMode(cell["data_mode"]),
        variant=cell["variant"],
        batch_size=int(cell["batch_size"]),
        n_devices=int(cell["n_devices"]),
        options=options_of(cell["options"]),
    )


def options_of(text: str) -> tuple[tuple[str, str], ...]:
    """A case's options from a frame's cell.

    Raises:
        ValueError: they are none.
    """
    try:
        found = json.loads(text)
        return tuple((str(name), str(value)) for name, value in found)
    except (TypeError, RecursionError):
        raise ValueError("no pairs of a name and a value") from None


def _metric(cell: dict[str, Any], name: str) -> Metric:
    kind, value = cell[f"{name}_kind"], cell[name]
    if kind == "absent":
        return Absent(reason=cell[f"{name}_reason"])
    low, high = cell[f"{name}_low"], cell[f"{name}_high"]
    interval = Interval(low=low, high=high, level=LEVEL) if low == low else None  # noqa: PLR0124 - NaN
    if kind == "estimated" and interval is not None:
        return Estimated(value=value, interval=interval, method="as packed")
    return Measured(value=value, interval=interval, n=int(cell["n_trials"]), source="as packed")
