"""Every metric, each one function from a case's result to a number that says what it is.

To add one: write a function ``(CaseResult, Run) -> Metric`` and decorate it. Its first docstring
line becomes its description in tables, reports and docs. Metrics are computed when a document is
read; they are never stored.
"""

from __future__ import annotations

import inspect
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from dlbench.core import stats
from dlbench.core.types import (
    Absent,
    CaseResult,
    Estimated,
    Interval,
    Measured,
    Metric,
    Mode,
    PeakMemory,
    Reading,
    Run,
    Trial,
)

Compute = Callable[[CaseResult, Run], Metric]
Direction = Literal["higher", "lower"]

TRAINING_FLOPS_FACTOR = 3
"""A training step costs about three forwards: the backward pass computes two products for each
product of the forward pass (gradient by input and by weight)."""

ENERGY_COUNTER_TICK_S = 0.1
"""NVML's energy counter moves about ten times a second; a window's edges are uncertain by that."""

LEAST_ENERGY_TICKS = 10
"""Below ten ticks the edges alone are worth 20 % of the window: no number is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """A metric's name, unit, better direction, one line of explanation, and its function."""

    name: str
    unit: str
    direction: Direction
    doc: str
    compute: Compute


REGISTRY: dict[str, MetricSpec] = {}


def metric(unit: str, direction: Direction) -> Callable[[Compute], Compute]:
    """Register a metric under its function's name."""

    def register(function: Compute) -> Compute:
        doc = (inspect.getdoc(function) or "").split("\n", maxsplit=1)[0]
        REGISTRY[function.__name__] = MetricSpec(
            name=function.__name__, unit=unit, direction=direction, doc=doc, compute=function
        )
        return function

    return register


def compute(name: str, result: CaseResult, run: Run) -> Metric:
    """The metric of that name; Absent with the outcome's reason when no trial succeeded."""
    if not result.measured:
        return Absent(reason=_why_nothing(result))
    return REGISTRY[name].compute(result, run)


def _why_nothing(result: CaseResult) -> str:
    for trial in result.trials:
        if not trial.outcome.ok:
            return f"{trial.outcome}: {trial.outcome.message}".removesuffix(": ")
    return f"no trial was run: {result.stop_reason}"


# --- time -----------------------------------------------------------------------------------


def trial_seconds_per_sample(trial: Trial) -> float:
    """Median seconds a sample over one trial's steady values."""
    return statistics.median(v.duration_s / v.n_samples for v in trial.values)


def seconds_per_sample(result: CaseResult) -> dict[int, float]:
    """Median seconds a sample of each measured trial, by the round it ran in."""
    return {t.round: trial_seconds_per_sample(t) for t in result.measured}


def _per_trial(
    result: CaseResult, run: Run, scale: Callable[[float], float], source: str
) -> Measured:
    """A monotone function of seconds a sample."""
    return _over_trials(list(seconds_per_sample(result).values()), run, scale, source)


def _over_trials(
    medians_s: Sequence[float], run: Run, scale: Callable[[float], float], source: str
) -> Measured:
    """A monotone function of trials' median seconds, with the interval carried through."""
    level = stats.paid_level(len(run.plan.profile.looks))
    interval = stats.case_interval(medians_s, level)
    bounds = None
    if isinstance(interval, Interval):
        low, high = sorted((scale(interval.low), scale(interval.high)))
        # Every look was paid for, so what stands after the last one has the full level.
        bounds = Interval(low=low, high=high, level=stats.LEVEL)
    centre = scale(stats.case_centre(medians_s))
    return Measured(value=centre, interval=bounds, n=len(medians_s), source=source)


@metric(unit="samples/s", direction="higher")
def throughput_samples_per_s(result: CaseResult, run: Run) -> Metric:
    """Samples a second in steady state, over trials."""
    return _per_trial(result, run, lambda s: 1 / s, "host clock")


@metric(unit="tokens/s", direction="higher")
def throughput_tokens_per_s(result: CaseResult, run: Run) -> Metric:
    """Tokens a second in steady state, for workloads that are sequences."""
    tokens = run.workload(result.case).tokens_per_sample
    if tokens is None:
        return Absent(reason="a sample of this workload is not a sequence of tokens")
    return _per_trial(result, run, lambda s: tokens / s, "host clock")


@metric(unit="GB/s", direction="higher")
def bandwidth_gb_per_s(result: CaseResult, run: Run) -> Metric:
    """Memory traffic: the bytes that a sample must move, in units of 10^9, over seconds a sample."""
    moved = run.workload(result.case).bytes_per_sample
    if moved is None:
        return Absent(reason="the workload does not say how many bytes a sample moves")
    return _per_trial(result, run, lambda s: moved / s / 1e9, "host clock and the workload's bytes")


@metric(unit="s", direction="lower")
def step_s(result: CaseResult, run: Run) -> Metric:
    """Seconds a step (training) or a batch (inference) in steady state, over trials."""
    return _per_trial(result, run, lambda s: s * result.case.batch_size, "host clock")


@metric(unit="s", direction="lower")
def first_step_s(result: CaseResult, run: Run) -> Metric:  # noqa: ARG001
    """Seconds of the very first step: loading, compiling, tuning."""
    seconds = [t.first_step_s for t in result.measured if not isinstance(t.first_step_s, Absent)]
    if not seconds:
        return Absent(reason="no trial timed its first step")
    return Measured(value=statistics.median(seconds), n=len(seconds), source="host clock")


NOT_TIMED = Absent(
    reason="queries were too short to be timed one by one",
    remedy="--scenario single_stream, or a larger batch",
)

NOT_INFERENCE = Absent(reason="latency is a query's; training has steps")


@metric(unit="s", direction="lower")
def latency_p50_s(result: CaseResult, run: Run) -> Metric:
    """Median seconds from a query's start to its outputs, over trials."""
    if result.case.mode is not Mode.INFERENCE:
        return NOT_INFERENCE
    medians_s = [statistics.median(t.queries_s) for t in result.measured if t.queries_s]
    return _over_trials(medians_s, run, lambda s: s, "host clock") if medians_s else NOT_TIMED


@metric(unit="s", direction="lower")
def latency_p90_s(result: CaseResult, run: Run) -> Metric:  # noqa: ARG001
    """Seconds within which 90 of 100 queries are answered, queries of all trials pooled."""
    return _pooled_percentile(result, 0.9)


@metric(unit="s", direction="lower")
def latency_p99_s(result: CaseResult, run: Run) -> Metric:  # noqa: ARG001
    """Seconds within which 99 of 100 queries are answered, queries of all trials pooled."""
    return _pooled_percentile(result, 0.99)


def _pooled_percentile(result: CaseResult, q: float) -> Metric:
    if result.case.mode is not Mode.INFERENCE:
        return NOT_INFERENCE
    queries = sorted(q_s for t in result.measured for q_s in t.queries_s)
    if not queries:
        return NOT_TIMED
    interval = stats.percentile_interval(queries, q)
    if interval is None:
        return Absent(
            reason=f"n too small: {len(queries)} queries cannot bound p{q:.0%}".rstrip("%"),
            remedy="--scenario single_stream, or --profile standard",
        )
    # The interval is an order statistic's; it takes queries of one process for independent.
    return Measured(
        value=stats.percentile(queries, q),
        interval=interval,
        n=len(queries),
        source="host clock",
    )


# --- work -----------------------------------------------------------------------------------


@metric(unit="FLOP/s", direction="higher")
def flops_per_s(result: CaseResult, run: Run) -> Metric:
    """Model floating-point operations a second (a training step counts as three forwards)."""
    factor = TRAINING_FLOPS_FACTOR if result.case.mode is Mode.TRAINING else 1
    flops = run.workload(result.case).flops * factor
    if not flops:
        return Absent(reason="this workload does no floating-point work")
    return _per_trial(result, run, lambda s: flops / s, "host clock and the model's FLOPs")


# --- memory ---------------------------------------------------------------------------------


def _peak(result: CaseResult, field: Callable[[PeakMemory], float | Absent]) -> Metric:
    found = [field(t.memory) for t in result.measured if t.memory is not None]
    numbers = [x for x in found if not isinstance(x, Absent)]
    if numbers:
        return Measured(value=max(numbers), n=len(numbers), source="largest over trials")
    for x in found:
        if isinstance(x, Absent):
            return x
    return Absent(reason="no trial recorded its memory")


@metric(unit="MiB", direction="lower")
def peak_host_rss_mib(result: CaseResult, run: Run) -> Metric:  # noqa: ARG001
    """Peak resident memory of the worker process on the host."""
    return _peak(result, lambda m: m.host_rss_mib)


@metric(unit="MiB", direction="lower")
def peak_framework_allocated_mib(result: CaseResult, run: Run) -> Metric:  # noqa: ARG001
    """Peak of the tensors that the framework's allocator held on the device."""
    return _peak(result, lambda m: m.framework_allocated_mib)


@metric(unit="MiB", direction="lower")
def peak_framework_reserved_mib(result: CaseResult, run: Run) -> Metric:  # noqa: ARG001
    """Peak of what the framework's allocator had reserved on the device."""
    return _peak(result, lambda m: m.framework_reserved_mib)


@metric(unit="MiB", direction="lower")
def peak_device_used_mib(result: CaseResult, run: Run) -> Metric:  # noqa: ARG001
    """Memory of the device used by the worker, as its driver says."""
    return _peak(result, lambda m: m.device_used_mib)


# --- energy ---------------------------------------------------------------------------------


@metric(unit="J/sample", direction="lower")
def energy_j_per_sample(result: CaseResult, run: Run) -> Metric:  # noqa: ARG001
    """Gross joules a sample in the steady window, from the device's energy counter."""
    found = [_trial_energy(t) for t in result.measured]
    numbers = [x for x in found if isinstance(x, Estimated)]
    if not numbers:
        return next(x for x in found if isinstance(x, Absent))
    if len(numbers) < len(found):
        return next(x for x in found if isinstance(x, Absent))
    return Estimated(
        value=statistics.median(x.value for x in numbers),
        interval=Interval(
            low=min(x.interval.low for x in numbers),
            high=max(x.interval.high for x in numbers),
            level=stats.LEVEL,
        ),
        method="energy counter at the edges of the steady window, +- one counter tick each",
        from_=tuple(sorted({source for x in numbers for source in x.from_})),
    )


def _trial_energy(trial: Trial) -> Estimated | Absent:
    counters = [r for r in trial.readings if r.quantity == "energy_counter_j"]
    if not counters:
        return Absent(reason="no energy meter on this device", remedy="dlbench doctor")
    steady = next((w for w in trial.windows if w.name == "steady"), None)
    if steady is None:
        return Absent(reason="the trial has no steady window")
    total, span_s, sources = 0.0, math.inf, set()
    for source in sorted({r.source for r in counters}):
        edges = _edge_counters([r for r in counters if r.source == source])
        if isinstance(edges, Absent):
            return edges
        (before_s, before_j), (after_s, after_j) = edges
        total, span_s = total + after_j - before_j, min(span_s, after_s - before_s)
        sources.add(source)
    ticks = span_s / ENERGY_COUNTER_TICK_S
    if ticks < LEAST_ENERGY_TICKS:
        return Absent(
            reason=f"the steady window of {span_s:.2f} s is too short for the energy counter",
            remedy="measure longer: --profile standard",
        )
    if total <= 0:
        return Absent(reason="the energy counter did not move, or was reset")
    n_samples = sum(v.n_samples for v in trial.values)
    # The readings may lie outside of the values; energy is scaled to the time of the values.
    share = sum(v.duration_s for v in trial.values) / span_s
    value, edge = total * share / n_samples, 2 / ticks
    return Estimated(
        value=value,
        interval=Interval(low=value * (1 - edge), high=value * (1 + edge), level=stats.LEVEL),
        method="counter difference",
        from_=tuple(sources),
    )


def _edge_counters(
    readings: list[Reading],
) -> tuple[tuple[float, float], tuple[float, float]] | Absent:
    points = []
    for reading in readings:
        if isinstance(reading.value, Absent):
            return reading.value
        points.append((reading.t_s, reading.value))
    if len(points) < 2:  # noqa: PLR2004 - a difference needs two ends
        return Absent(reason="the energy counter was read only once")
    return points[0], points[-1]
