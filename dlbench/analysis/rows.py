"""Every case of every document as one row: what was asked, how it ended, and all of its metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlbench.core import metrics
from dlbench.core.types import Absent, Case, CaseResult, Metric, Outcome, Run, Skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case of one run; a skip is a row too, with its reason in place of each number.

    ``device_name`` is the device's own name (``NVIDIA H100 80GB HBM3``), ``metrics`` holds every
    metric of ``core.metrics`` by name. ``version`` and ``content_hash`` are those of its workload, as
    the document says; empty where that, or a collection that was packed earlier, does not. ``threads``
    are those of a case on the CPU: empty on other devices, which they only feed, and if not known.
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
    version: str = ""
    content_hash: str = ""
    threads: str = ""


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
    )


def _run_columns(run: Run, case: Case) -> dict[str, str]:
    names = {device.id: device.name for device in run.environment.devices}
    wanted = (case.workload, case.variant)
    work = next((w for w in run.plan.workloads if (w.name, w.variant) == wanted), None)
    return {
        "run_id": run.run_id,
        "machine": run.environment.machine,
        "created_utc": run.created_utc,
        "device_name": names.get(case.device, case.device),
        "version": str(work.version) if work else "",
        "content_hash": work.content_hash if work else "",
        "threads": str(run.plan.threads) if case.device == "cpu" else "",
    }
