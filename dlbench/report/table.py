"""The rows of a report as one plain table: what its JSON and CSV hold."""

from __future__ import annotations

from typing import Any

from dlbench.analysis.rows import Row
from dlbench.core import metrics
from dlbench.core.footprint import PER_SAMPLES_NAME
from dlbench.core.types import Absent, Metric
from dlbench.report import carbon
from dlbench.report.content import Content

CASE = (
    "workload", "variant", "mode", "scenario", "framework", "device", "precision", "policy",
    "data_mode", "batch_size", "n_devices",
)  # fmt: skip
"""Fields of a case, but for its options: what two cases of one run may differ in alone."""

FOOTPRINT = ("carbon_g", "energy_cost_usd")
"""Of how many samples, and by which name, is as ``dlbench energy --json`` has it."""

Table = dict[str, Any]


GROUP = ("n_results", "n_measured", "n_machines", "throughput_p5", "throughput_p95")

FIELDS = ("n_results", "n_measured", "n_machines", "low", "high")


def of(content: Content) -> Table:
    """``columns`` and ``rows``: a list of names, and a list of values for each case or group."""
    names = [
        "run_id", "machine", "created_utc", "device_name", *CASE, "options", "version", "content_hash", "threads",
        "outcome", "message", "n_trials", "flags",
    ]  # fmt: skip
    for name in metrics.REGISTRY:
        names += _named(name)
    for name in FOOTPRINT:
        names += _named(f"{name}_{PER_SAMPLES_NAME}")
    rows = [_values(content, row) for row in content.rows]
    if content.collection is None:
        return {"columns": names, "rows": rows}
    spreads = [[getattr(g, name) for name in FIELDS] for g in content.collection.groups]
    return {
        "columns": [*names, *GROUP],
        "rows": [row + more for row, more in zip(rows, spreads, strict=True)],
    }


def _named(name: str) -> list[str]:
    return [name, f"{name}_low", f"{name}_high", f"{name}_kind", f"{name}_reason"]


def _values(content: Content, row: Row) -> list[Any]:
    case = [getattr(row.case, name) for name in CASE]
    plain = [x if x is None or isinstance(x, int) else str(x) for x in case]
    values = [
        row.run_id, row.machine, row.created_utc, row.device_name, *plain,
        ", ".join(f"{name}={x}" for name, x in sorted(row.case.options)), row.version, row.content_hash,
        row.threads, str(row.outcome.kind), row.outcome.message, row.n_trials,
        ", ".join(row.flags),
    ]  # fmt: skip
    for name in metrics.REGISTRY:
        values += _columns(row.metrics[name])
    taken = carbon.of_row(content, row)
    for name in FOOTPRINT:
        values += _columns(getattr(taken, name))
    return values


def _columns(value: Metric) -> list[Any]:
    """Value, low, high, kind and reason; what is not known is empty, never zero."""
    if isinstance(value, Absent):
        return [None, None, None, "absent", value.reason]
    kind = type(value).__name__.lower()
    if value.interval is None:
        return [value.value, None, None, kind, ""]
    return [value.value, value.interval.low, value.interval.high, kind, ""]
