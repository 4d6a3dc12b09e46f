"""The rows of a report as one plain table: what its JSON and CSV hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlbench.analysis.rows import Row
from dlbench.core import metrics
from dlbench.core.types import Absent, Metric

CASE = (
    "workload", "variant", "mode", "scenario", "framework", "device", "precision", "policy",
    "data_mode", "batch_size", "n_devices",
)  # fmt: skip

Table = dict[str, Any]


def of(rows: Sequence[Row]) -> Table:
    """``columns`` and ``rows``: a list of names, and a list of values for each case."""
    names = [
        "run_id", "machine", "created_utc", "device_name", *CASE, "outcome", "message", "n_trials",
        "flags",
    ]  # fmt: skip
    for name in metrics.REGISTRY:
        names += [name, f"{name}_low", f"{name}_high", f"{name}_kind", f"{name}_reason"]
    return {"columns": names, "rows": [_values(row) for row in rows]}


def _values(row: Row) -> list[Any]:
    case = [getattr(row.case, name) for name in CASE]
    plain = [x if x is None or isinstance(x, int) else str(x) for x in case]
    values = [
        row.run_id, row.machine, row.created_utc, row.device_name, *plain, str(row.outcome.kind),
        row.outcome.message, row.n_trials, ", ".join(row.flags),
    ]  # fmt: skip
    for name in metrics.REGISTRY:
        values += _columns(row.metrics[name])
    return values


def _columns(value: Metric) -> list[Any]:
    """Value, low, high, kind and reason; what is not known is empty, never zero."""
    if isinstance(value, Absent):
        return [None, None, None, "absent", value.reason]
    kind = type(value).__name__.lower()
    if value.interval is None:
        return [value.value, None, None, kind, ""]
    return [value.value, value.interval.low, value.interval.high, kind, ""]
