"""Every case of every document as one row: what was asked, how it ended, and all of its metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlbench.core import metrics
from dlbench.core.types import Absent, Case, CaseResult, Metric, Outcome, Run, Skip, WorkloadInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case of one run; a skip is a row too, with its reason in place of each number.

    ``device_name`` is the device's own name (``NVIDIA H100 80GB HBM3``), ``metrics`` holds every
    metric of ``core.metrics`` by name. ``workload`` is what the document says of it; None where no
    document is there, as in a packed collection.
    """

    run_id: str
    machine: str
    created_utc: str
    device_name: str
    case: Case
    outcome: Outcome
    n_trials: int
    flags: tuple[str, ...]
    metrics: Mapping[str, Metric]
    workload: WorkloadInfo | None = None


def of(runs: Sequence[Run]) -> tuple[Row, ...]:
    """All rows: the runs in their order, each run's cases as they stand in it, its skips last."""
    found: list[Row] = []
    for run in runs:
        found += [_measured(run, result) for result in run.results]
        found += [_skipped(run, skip) for skip in run.plan.skips]
    return tuple(found)


def _measured(run: Run, result: CaseResult) -> Row:
    return Row(
        **_run_columns(run, result.case),
        case=result.case,
        outcome=result.outcome,
        n_trials=len(result.measured),
        flags=result.flags,
        metrics={name: metrics.compute(name, result, run) for name in metrics.REGISTRY},
        workload=_workload(run, result.case),
    )


def _skipped(run: Run, skip: Skip) -> Row:
    absent = Absent(
        reason=f"{skip.outcome.kind}: {skip.outcome.message}", remedy=skip.outcome.advice
    )
    return Row(
        **_run_columns(run, skip.case),
        case=skip.case,
        outcome=skip.outcome,
        n_trials=0,
        flags=(),
        metrics=dict.fromkeys(metrics.REGISTRY, absent),
        workload=_workload(run, skip.case),
    )


def _workload(run: Run, case: Case) -> WorkloadInfo | None:
    wanted = (case.workload, case.variant)
    return next((w for w in run.plan.workloads if (w.name, w.variant) == wanted), None)


def _run_columns(run: Run, case: Case) -> dict[str, str]:
    names = {device.id: device.name for device in run.environment.devices}
    return {
        "run_id": run.run_id,
        "machine": run.environment.machine,
        "created_utc": run.created_utc,
        "device_name": names.get(case.device, case.device),
    }
