"""What only the worker can count of a model of the user's own, back into the plan's description."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dlbench.core.types import Absent, Plan, Trial, WorkloadInfo

NOTHING_RAN = Absent(reason="no trial of it has succeeded, and so nothing was counted")


def counted(plan: Plan, trials: Sequence[Trial]) -> Plan:
    """The plan with parameters and FLOPs a sample of the user's own models, as trials found them.

    Each number is the first that any of its trials could count, else the reason why none could.
    """
    infos = tuple(
        info if info.own is None else _counted(info, _trials_of(info, plan, trials))
        for info in plan.workloads
    )
    return plan if infos == plan.workloads else replace(plan, workloads=infos)


def _trials_of(info: WorkloadInfo, plan: Plan, trials: Sequence[Trial]) -> list[Trial]:
    own = {c.case_id for c in plan.cases if c.workload == info.name}
    return [t for t in trials if t.case_id in own and t.outcome.ok]


def _counted(info: WorkloadInfo, trials: Sequence[Trial]) -> WorkloadInfo:
    parameters = _first([t.subject.get("parameters") for t in trials])
    flops = _first([t.subject.get("flops_per_sample") for t in trials])
    return replace(
        info,
        parameters=parameters if isinstance(parameters, Absent) else int(parameters),
        flops=flops,
    )


def _first(found: Sequence[object]) -> float | Absent:
    for number in found:
        if isinstance(number, (int, float)):
            return number
    return next((x for x in found if isinstance(x, Absent)), NOTHING_RAN)
