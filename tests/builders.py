"""Small values for tests: a case, a plan, a trial, as simple as each can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlbench.core.types import (
    Absent,
    Case,
    CaseResult,
    Check,
    DeviceInfo,
    Environment,
    Mode,
    Outcome,
    OutcomeKind,
    PeakMemory,
    Plan,
    Precision,
    Profile,
    Run,
    Scenario,
    Skip,
    Trial,
    Value,
    Window,
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
        Value(
            start_s=i * median_s * of.batch_size,
            duration_s=median_s * of.batch_size,
            n_samples=of.batch_size,
        )
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


ENVIRONMENT = Environment(
    machine="test-2c",
    fingerprint="0123456789abcdef",
    facts={"cpu": "Test CPU", "logical_cores": 2, "governor": Absent(reason="not shown")},
    versions={"dlbench": "0.1.0", "python": "3.11.7"},
    devices=(CPU,),
)


def run(results: Sequence[CaseResult], **changes: Any) -> Run:
    """A document of these results, as it would be sealed."""
    base: dict[str, Any] = {
        "run_id": "20260101T000000Z-test-2c-abcdef",
        "created_utc": "2026-01-01T00:00:00Z",
        "finished_utc": "2026-01-01T00:10:00Z",
        "dlbench_version": "0.1.0",
        "plan": plan([r.case for r in results]),
        "environment": ENVIRONMENT,
        "results": tuple(results),
    }
    return Run(**{**base, **changes})


def result(of: Case, medians_s: Sequence[float], **changes: Any) -> CaseResult:
    """A case with one trial a median, in rounds 0, 1, 2, ..."""
    trials = tuple(trial(of, i, s, position=i) for i, s in enumerate(medians_s))
    base: dict[str, Any] = {"case": of, "trials": trials, "stop_reason": "precise enough"}
    return CaseResult(**{**base, **changes})


def sealed_run() -> Run:
    """A document that holds every rule: two frameworks, a crash and a skip, interleaved."""
    cases = [
        case(framework="pytorch", batch_size=2),
        case(framework="tensorflow", batch_size=2),
        case(framework="pytorch", batch_size=4, mode=Mode.TRAINING, scenario=None),
    ]
    skip = Skip(
        case=case(framework="jax"),
        outcome=Outcome(
            kind=OutcomeKind.MISSING_DEPENDENCY, message="JAX is not installed", advice="install it"
        ),
    )
    results = []
    for n, (of, speed_s) in enumerate(zip(cases, (0.01, 0.02, 0.0), strict=True)):
        if n == 2:
            crash = replace(failed(of, 0), position=2, log="Segmentation fault")
            results.append(CaseResult(case=of, trials=(crash,), stop_reason="trial 1 crashed"))
            continue
        trials = tuple(
            sealed_trial(of, r, speed_s * (1 + 0.01 * r), position=n if r == 0 else 1 + 2 * r + n)
            for r in range(3)
        )
        results.append(CaseResult(case=of, trials=trials, stop_reason="precise", flags=()))
    return run(results, plan=plan(cases, skips=(skip,), sentinel=None))


def tree(root: Path, files: Mapping[str, str]) -> Path:
    """Files below a root, as the kernel has them below its own."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def sealed_trial(of: Case, round_: int, median_s: float, position: int) -> Trial:
    """A trial with a window around its values, and a gate that it passed."""
    base = trial(of, round_, median_s, position=position)
    value_s = median_s * of.batch_size
    return replace(
        base,
        warm_up=tuple(
            Value(start_s=-1.0 + i * value_s, duration_s=value_s, n_samples=of.batch_size)
            for i in range(10)
        ),
        windows=(
            Window(name="warm_up", start_s=-1.0, end_s=-1.0 + 10 * value_s),
            Window(name="steady", start_s=0.0, end_s=5 * value_s),
        ),
        first_step_s=0.5,
        queries_s=tuple(v.duration_s for v in base.values),
        memory=PeakMemory(
            framework_allocated_mib=Absent(reason="not counted on the CPU"),
            framework_reserved_mib=Absent(reason="not counted on the CPU"),
            device_used_mib=Absent(reason="the host's"),
            host_rss_mib=512.0,
        ),
        digest=(0.25, -1.5),
        checks=(Check(rule="outputs_finite", passed=True, detail="8 numbers looked at"),),
        subject={"parameters": 10, "harness_overhead_s_per_step": 1e-6},
    )
