"""Small values for tests: a case, a plan, a trial, as simple as each can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlbench.core.types import (
    Absent,
    Case,
    DeviceInfo,
    Mode,
    Outcome,
    OutcomeKind,
    Plan,
    Precision,
    Profile,
    Scenario,
    Trial,
    Value,
    WorkloadInfo,
)

PROFILE = Profile(
    name="test",
    target_half_width=0.05,
    looks=(3, 5, 8),
    min_values=5,
    max_values=5,
    max_steady_s=1.0,
    max_warm_up_s=1.0,
    min_warm_up_s=0.0,
    time_budget_s=None,
)

WORKLOAD = WorkloadInfo(
    name="fake",
    variant="full",
    version=1,
    task="testing",
    sample="one number",
    parameters=10,
    flops=1e6,
    tokens_per_sample=None,
    content_hash="0" * 64,
)

CPU = DeviceInfo(
    id="fake",
    kind="fake",
    name="Fake device",
    uuid=Absent(reason="pretended"),
    memory_mib=1024.0,
    precisions=(Precision.FP32,),
    peak_flops={"fp32": 1e12},
)


def case(**changes: Any) -> Case:
    """An inference case of the fake framework."""
    base: dict[str, Any] = {
        "workload": "fake",
        "framework": "fake",
        "device": "fake",
        "precision": Precision.FP32,
        "mode": Mode.INFERENCE,
        "scenario": Scenario.OFFLINE,
        "batch_size": 1,
    }
    return Case(**{**base, **changes})


def trial(of: Case, round_: int, median_s: float = 0.01, **changes: Any) -> Trial:
    """A trial whose five values all lasted ``median_s`` a sample."""
    values = tuple(
        Value(start_s=i * 1.0, duration_s=median_s * of.batch_size, n_samples=of.batch_size)
        for i in range(5)
    )
    base: dict[str, Any] = {
        "case_id": of.case_id,
        "round": round_,
        "role": "measure",
        "position": 0,
        "started_utc": "2026-01-01T00:00:00Z",
        "outcome": Outcome(kind=OutcomeKind.OK),
        "values": values,
    }
    return Trial(**{**base, **changes})


def failed(of: Case, round_: int, kind: OutcomeKind = OutcomeKind.CRASHED) -> Trial:
    """A trial that ended badly."""
    outcome = Outcome(kind=kind, message="it broke")
    return trial(of, round_, values=(), outcome=outcome)


def plan(cases: Sequence[Case], **changes: Any) -> Plan:
    """A plan of these cases, the first of which is the sentinel if there are several."""
    base: dict[str, Any] = {
        "cases": tuple(cases),
        "skips": (),
        "workloads": (WORKLOAD,),
        "profile": PROFILE,
        "seed": 0,
        "time_budget_s": None,
        "sentinel": cases[0].case_id if len(cases) > 1 else None,
        "threads": 1,
    }
    return Plan(**{**base, **changes})
