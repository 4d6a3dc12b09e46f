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
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from dlbench.core import energy, footprint, sensors, stats, telemetry, trial_energy
from dlbench.core.reasons import Reason
from dlbench.core.sensors import SensorError
from dlbench.core.trial_energy import TrialEnergy
from dlbench.core.types import (
    DRIVER_OPTION,
    FROZEN_PRODUCTS,
    LOADGEN,
    Absent,
    Case,
    CaseResult,
    Estimated,
    Interval,
    Measured,
    Metric,
    Mode,
    PeakMemory,
    Precision,
    Run,
    Scenario,
    TelemetryLevel,
    Trial,
    all_known,
)

Compute = Callable[[CaseResult, Run], Metric]
Direction = Literal["higher", "lower"]
Found = TypeVar("Found")


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
    return stats.median_seconds_per_sample(trial.values)


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
    interval = stats.case_interval(medians_s, _level(run))
    bounds = None
    if isinstance(interval, Interval):
        low, high = sorted((scale(interval.low), scale(interval.high)))
        bounds = Interval(low=low, high=high, level=stats.LEVEL)
    centre = scale(stats.case_centre(medians_s))
    return Measured(value=centre, interval=bounds, n=len(medians_s), source=source)


def _level(run: Run) -> float:
    """Of an interval at each look. Every look is paid for: after the last one ``LEVEL`` stands."""
    return stats.paid_level(len(run.plan.profile.looks))


@metric(unit="samples/s", direction="higher")
def throughput_samples_per_s(result: CaseResult, run: Run) -> Metric:
    """Samples a second in steady state, over trials."""
    return _per_trial(result, run, lambda s: 1 / s, "host clock")


@metric(unit="tokens/s", direction="higher")
def throughput_tokens_per_s(result: CaseResult, run: Run) -> Metric:
    """Tokens a second in steady state, for workloads that are sequences."""
    tokens = run.workload(result.case).tokens_per_sample
    if not tokens:
        return Absent(reason="a sample of this workload is not a sequence of tokens")
    return _per_trial(result, run, lambda s: tokens / s, "host clock")


@metric(unit="GB/s", direction="higher")
def bandwidth_gb_per_s(result: CaseResult, run: Run) -> Metric:
    """Memory traffic: the bytes that a sample must move, in units of 10^9, over seconds a sample."""
    moved = run.workload(result.case).moved_bytes(result.case.precision)
    if not moved:
        return Absent(reason="the workload does not say how many bytes a sample moves")
    return _per_trial(result, run, lambda s: moved / s / 1e9, "host clock and the workload's bytes")


@metric(unit="s", direction="lower")
def step_s(result: CaseResult, run: Run) -> Metric:
    """Seconds a step (training) or a batch (inference) in steady state, over trials."""
    return _per_trial(result, run, lambda s: s * result.case.batch_size, "host clock")


@metric(unit="s", direction="lower")
def time_to_first_result_s(result: CaseResult, run: Run) -> Metric:
    """Seconds from importing the framework to the first step's result, over trials.

    Frameworks compile and tune in different places, some as a model is loaded, some in the first
    step, so only the sum compares. Seeded weights and inputs are made within it, which is dlbench's
    own work and alike for all; starting the process and importing dlbench come before it. A trial
    whose programs an earlier one had compiled does not count: a user's first time is the long one.
    """
    compiled = [t for t in result.measured if t.subject.get("compiled_from_cache") is not True]
    if not compiled:
        return FROM_CACHE
    found = [_first_result_s(trial) for trial in compiled]
    seconds = [s for s in found if s is not None]
    if not seconds:
        return Absent(reason="no trial timed its loading and its first step")
    return _over_trials(seconds, run, lambda s: s, "host clock")


FROM_CACHE = Absent(
    reason="every trial's programs came from PyTorch's cache of compiled ones",
    remedy="TORCHINDUCTOR_CACHE_DIR=$(mktemp -d), for one run",
)


def _first_result_s(trial: Trial) -> float | None:
    loads_s = [w.end_s - w.start_s for w in trial.windows if w.name == "load"]
    if not loads_s or isinstance(trial.first_step_s, Absent):
        return None
    return loads_s[0] + trial.first_step_s


NOT_TIMED = Absent(
    reason="queries were too short to be timed one by one",
    remedy="--scenario single_stream, or a larger batch",
)

LOADGENS_OFFLINE = Absent(
    reason="LoadGen's offline is one query of all batches: none of them is timed by itself",
    remedy="--scenario single_stream --loadgen",
)

IN_ROUNDS = Absent(
    reason="a value holds a batch of each of the loader's processes: none of them is timed by itself",
    remedy="--scenario single_stream",
)

UNTIMED = (NOT_TIMED, LOADGENS_OFFLINE, IN_ROUNDS)
"""Why no trial's queries were timed one by one."""

NOT_INFERENCE = Absent(reason="latency is a query's; training has steps")


@metric(unit="s", direction="lower")
def latency_p50_s(result: CaseResult, run: Run) -> Metric:
    """Median seconds from a query's start to its outputs, over trials."""
    of_trials = _queries(result)
    if isinstance(of_trials, Absent):
        return of_trials
    medians_s = [statistics.median(queries) for queries in of_trials]
    return _over_trials(medians_s, run, lambda s: s, "host clock")


LATENCY_NAMES = {
    "time_to_first_token": "time to first token (TTFT)",
    "time_per_output_token": "time per output token (TPOT)",
}
"""What a query's latency may be called (a workload's ``latency_is``), and the words for people."""


def _latency_known_as(name: str, result: CaseResult, run: Run) -> Metric:
    """The median latency, if that is its name in this workload."""
    if run.workload(result.case).latency_is != name:
        return Absent(reason=f"a query of this workload has no {LATENCY_NAMES[name]}")
    return latency_p50_s(result, run)


@metric(unit="s", direction="lower")
def time_to_first_token_s(result: CaseResult, run: Run) -> Metric:
    """TTFT of text generation: median seconds from a prompt to the logits of its first new token."""
    return _latency_known_as("time_to_first_token", result, run)


OF_ANYBODY = Absent(
    reason="a server's tokens do not follow each other: their latency holds waiting",
    remedy="--scenario single_stream",
)


@metric(unit="s", direction="lower")
def time_per_output_token_s(result: CaseResult, run: Run) -> Metric:
    """TPOT of text generation: median seconds from a token to the next, with cached keys and values.

    Steps too short to be timed one by one follow each other without a pause: their mean over a value.
    Of a server there is none: its queries come from anybody, and wait for each other.
    """
    found = _latency_known_as("time_per_output_token", result, run)
    if result.case.scenario is Scenario.SERVER and isinstance(found, Measured):
        return OF_ANYBODY
    if found not in UNTIMED or result.case.scenario is Scenario.SERVER:
        return found
    return _per_trial(
        result, run, lambda s: s * result.case.batch_size, "host clock, steps in a row"
    )


@metric(unit="s", direction="lower")
def latency_p90_s(result: CaseResult, run: Run) -> Metric:
    """Seconds within which 90 of a trial's 100 queries are answered, over trials."""
    return _percentile(result, run, 0.9)


@metric(unit="s", direction="lower")
def latency_p99_s(result: CaseResult, run: Run) -> Metric:
    """Seconds within which 99 of a trial's 100 queries are answered, over trials."""
    return _percentile(result, run, 0.99)


@metric(unit="s", direction="lower")
def latency_p99_early_stopping_s(result: CaseResult, run: Run) -> Metric:  # noqa: ARG001
    """Limit that 99 of 100 queries of each trial hold, each with 99 %, by MLPerf's early stopping.

    The rule takes queries for independent: those of several processes are not, so none are mixed.
    """
    of_trials = _queries(result)
    if isinstance(of_trials, Absent):
        return of_trials
    shown = [stats.early_stopping_percentile(queries, 0.99) for queries in of_trials]
    known = [limit_s for limit_s in shown if limit_s is not None]
    if len(known) < len(shown):
        # The plain loop of single_stream ends at 400.
        plain = result.case.scenario is not Scenario.SERVER and not _by_loadgen(result.case)
        remedy = "--scenario single_stream --loadgen" if plain else LONGER
        return _few_queries(of_trials, "MLPerf's early stopping needs 662 for p99", remedy)
    source = "host clock, MLPerf early stopping, largest over trials"
    return Measured(value=max(known), n=len(known), source=source)


def _percentile(result: CaseResult, run: Run, q: float) -> Metric:
    """A percentile of each trial, over trials; a trial must have queries enough to bound its own.

    One trial shows how queries of one process differ, and says that it is no more.
    """
    of_trials = _queries(result)
    if isinstance(of_trials, Absent):
        return of_trials
    within = [stats.percentile_interval(queries, q) for queries in of_trials]
    if None in within:
        remedy = "--scenario single_stream" if result.case.scenario is Scenario.OFFLINE else LONGER
        return _few_queries(of_trials, f"they cannot bound p{100 * q:.0f}", remedy)
    percentiles_s = [stats.percentile(queries, q) for queries in of_trials]
    found = _over_trials(percentiles_s, run, lambda s: s, "host clock")
    if len(of_trials) > 1:
        return found
    return replace(found, interval=within[0], source="host clock; interval within one process")


def _queries(result: CaseResult) -> list[list[float]] | Absent:
    """Seconds of each trial's queries in order, of the trials whose queries were timed one by one."""
    if result.case.mode is not Mode.INFERENCE:
        return NOT_INFERENCE
    return [sorted(t.queries_s) for t in result.measured if t.queries_s] or _why_untimed(result)


def _why_untimed(result: CaseResult) -> Absent:
    """Which of ``UNTIMED`` it is."""
    if result.case.scenario is not Scenario.OFFLINE:
        return NOT_TIMED
    if _by_loadgen(result.case):
        return LOADGENS_OFFLINE
    processes = [t.subject.get("loader_processes", 1) for t in result.measured]
    return IN_ROUNDS if any(isinstance(n, int) and n > 1 for n in processes) else NOT_TIMED


def _by_loadgen(case: Case) -> bool:
    return dict(case.options).get(DRIVER_OPTION) == LOADGEN


LONGER = "--profile standard or strict"
"""Of queries one by one; offline has one a value, of which no profile takes more than fifty."""


def _few_queries(of_trials: Sequence[Sequence[float]], why: str, remedy: str) -> Absent:
    n = min(map(len, of_trials))
    return Absent(reason=f"n too small: {n} queries in a trial; {why}", remedy=remedy)


# --- work -----------------------------------------------------------------------------------


@metric(unit="FLOP/s", direction="higher")
def flops_per_s(result: CaseResult, run: Run) -> Metric:
    """Model floating-point operations a second (a training step counts as three forwards)."""
    flops = run.workload(result.case).flops_of(result.case.mode)
    if isinstance(flops, Absent):
        return flops
    if not flops:
        return Absent(reason="this workload does no floating-point work")
    if any(t.subject.get(FROZEN_PRODUCTS) is True for t in result.measured):
        return Absent(reason="some of its weights are frozen: a step is less than three forwards")
    return _per_trial(result, run, lambda s: flops / s, "host clock and the model's FLOPs")


# --- int8 -----------------------------------------------------------------------------------


@metric(unit="ratio", direction="lower")
def int8_drift_ratio(result: CaseResult, run: Run) -> Metric:  # noqa: ARG001
    """How far int8 moves the outputs: root mean square of the differences, over their spread."""
    return _of_int8(result, "int8_drift")


@metric(unit="share", direction="higher")
def int8_share(result: CaseResult, run: Run) -> Metric:  # noqa: ARG001
    """Share of the model's operations that are quantised; what is left computes in float32."""
    return _of_int8(result, "int8_share")


def _of_int8(result: CaseResult, fact: str) -> Metric:
    """What the subjects of an int8 case said of themselves before they were timed."""
    if result.case.precision is not Precision.INT8:
        return Absent(reason="the case is not of int8")
    told = [t.subject.get(fact) for t in result.measured]
    numbers = [x for x in told if isinstance(x, float)]
    if numbers:
        value = statistics.median(numbers)
        return Measured(value=value, n=len(numbers), source="the model, before it was timed")
    why = next((x for x in told if isinstance(x, Absent)), None)
    return why or Absent(reason="no trial stated it")


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
def energy_j_per_sample(result: CaseResult, run: Run) -> Metric:
    """Gross joules a sample, from energy windows of their own."""
    return _energy(result, run, lambda found: found.per_sample_j())


@metric(unit="J/sample", direction="lower")
def net_energy_j_per_sample(result: CaseResult, run: Run) -> Metric:
    """Joules a sample beyond what the device draws with the model loaded and nothing to do."""
    return _energy(result, run, lambda found: found.per_sample_j(net=True))


@metric(unit="samples/J", direction="higher")
def samples_per_j(result: CaseResult, run: Run) -> Metric:
    """Samples a joule, gross."""
    return footprint.inverse(energy_j_per_sample(result, run), TOO_UNCERTAIN)


TOO_UNCERTAIN = Absent(
    reason="the energy is too uncertain to divide by",
    remedy="--profile standard",
    code=Reason.WINDOW_TOO_SHORT,
)


@metric(unit="J/sample", direction="lower")
def host_energy_j_per_sample(result: CaseResult, run: Run) -> Metric:
    """Joules of the host's processors a sample while another device works: beside its, never added."""
    if run.plan.telemetry is TelemetryLevel.OFF:
        return telemetry.OFF
    if result.case.device == "cpu":
        return Absent(reason="the host's processors are the device itself")
    triples = all_known(telemetry.host_energy_j_per_sample(trial) for trial in result.measured)
    if isinstance(triples, Absent):
        return triples
    error = sensors.of_processor(run.environment.facts.get("cpu"))
    value, bounds = _joules(triples, run, error)
    source = _source("counter: RAPL packages, read ten times a second", error, len(triples))
    shortest_s = min(v.duration_s for t in result.measured for v in t.energy)
    if shortest_s < trial_energy.SHORTER * energy.LEAST_WINDOW_S:
        doubt = "windows shorter than 5 s (--profile standard)"
        return Estimated(value=value, interval=bounds, method=doubt, from_=(source,))
    return Measured(value=value, interval=bounds, n=len(triples), source=source)


def _energy(
    result: CaseResult, run: Run, of: Callable[[TrialEnergy], tuple[float, float, float]]
) -> Metric:
    """A quantity of the energy windows over all trials; Absent if one of them has none."""
    trials = _each(result, run, telemetry.of_trial)
    if isinstance(trials, Absent):
        return trials
    device = next((d for d in run.environment.devices if d.id == result.case.device), None)
    error = sensors.of_device(device)
    value, bounds = _joules([of(found) for found in trials], run, error)
    source = _source(f"{trials[0].method}: {trials[0].source}", error, len(trials))
    doubt = _doubt(result, trials)
    if doubt:
        return Estimated(value=value, interval=bounds, method=doubt, from_=(source,))
    return Measured(value=value, interval=bounds, n=len(trials), source=source)


def _joules(
    triples: Sequence[tuple[float, float, float]], run: Run, error: SensorError
) -> tuple[float, Interval]:
    """Centre and interval over trials, of each of which (value, low, high) is known by arithmetic.

    The interval reaches from that of the lows to that of the highs, and from there as far as the sensor
    may err. Of fewer trials than show how processes differ it is what these may have drawn.
    """
    values, lows, highs = (
        stats.centre_and_interval(column, _level(run)) for column in zip(*triples, strict=True)
    )
    low = lows[1].low if lows[1] else min(t[1] for t in triples)
    high = highs[1].high if highs[1] else max(t[2] for t in triples)
    ends = [*sensors.true_range(low, error), *sensors.true_range(high, error)]
    return values[0], Interval(low=min(ends), high=max(ends), level=stats.LEVEL)


def _source(method: str, error: SensorError, n_trials: int) -> str:
    """Where joules come from, and what their interval does not speak of."""
    source = f"{method}; sensor: {error.source}"
    if n_trials >= stats.LEAST_TRIALS_FOR_INTERVAL:
        return source
    return f"{source}; interval within {'one process' if n_trials == 1 else 'these processes'}"


def _doubt(result: CaseResult, found: Sequence[TrialEnergy]) -> str:
    """Why joules are an estimate; nothing where they are measured."""
    if any("suspect" in t.flags for t in result.measured):
        return telemetry.SUSPECT
    if not all(f.reportable for f in found):
        return "windows shorter than 5 s or 50 periods of the counter (--profile standard)"
    return ""


# --- what else was read beside --------------------------------------------------------------


def _each(
    result: CaseResult, run: Run, of: Callable[[Trial], Found | Absent]
) -> list[Found] | Absent:
    """What was read in each trial; Absent if one of them was not watched."""
    if run.plan.telemetry is TelemetryLevel.OFF:
        return telemetry.OFF
    return all_known(of(trial) for trial in result.measured)


def _mean(
    result: CaseResult,
    run: Run,
    of: Callable[[Trial], float | Absent],
    source: str,
    most: float = math.inf,
) -> Metric:
    """A quantity from 0 to ``most`` over trials: its centre and the interval of that."""
    numbers = _each(result, run, of)
    if isinstance(numbers, Absent):
        return numbers
    value, found = stats.centre_and_interval(numbers, _level(run))
    bounds = found and Interval(
        low=max(0.0, found.low), high=min(most, found.high), level=stats.LEVEL
    )
    return Measured(value=value, interval=bounds, n=len(numbers), source=source)


def _doubted(result: CaseResult, found: Metric) -> Metric:
    """Power of a sensor that is contradicted, or that never moved, is an estimate."""
    if not isinstance(found, Measured) or not any("suspect" in t.flags for t in result.measured):
        return found
    around = found.interval or Interval(low=found.value, high=found.value, level=stats.LEVEL)
    low, _ = sensors.true_range(around.low, sensors.UNKNOWN)
    _, high = sensors.true_range(around.high, sensors.UNKNOWN)
    bounds = replace(around, low=low, high=high)
    doubt = telemetry.SUSPECT
    return Estimated(value=found.value, interval=bounds, method=doubt, from_=(found.source,))


@metric(unit="W", direction="lower")
def mean_power_w(result: CaseResult, run: Run) -> Metric:
    """Mean power of the device while the subject works."""
    found = _mean(result, run, telemetry.mean_power_w, "energy windows, else readings")
    return _doubted(result, found)


@metric(unit="W", direction="lower")
def p95_power_w(result: CaseResult, run: Run) -> Metric:
    """Power of the device that 95 of 100 readings do not exceed while the subject works."""
    return _doubted(result, _mean(result, run, telemetry.p95_power_w, "readings"))


@metric(unit="%", direction="higher")
def utilisation_percent(result: CaseResult, run: Run) -> Metric:
    """Share of the time in which the device ran any kernel at all, as its driver says."""
    return _mean(
        result,
        run,
        lambda t: telemetry.mean_of(t, "utilisation_percent"),
        "the driver's readings",
        most=100.0,
    )


@metric(unit="MHz", direction="higher")
def sm_clock_mhz(result: CaseResult, run: Run) -> Metric:
    """Mean clock of the device's processors while the subject works."""
    return _mean(result, run, lambda t: telemetry.mean_of(t, "sm_clock_mhz"), "readings")


@metric(unit="degC", direction="lower")
def max_temperature_c(result: CaseResult, run: Run) -> Metric:
    """Highest temperature of the device while the subject works."""
    found = _each(result, run, lambda t: telemetry.largest_of(t, "temperature_c"))
    if isinstance(found, Absent):
        return found
    return Measured(value=max(found), n=len(found), source="readings, largest over trials")


@metric(unit="share", direction="lower")
def throttled_share(result: CaseResult, run: Run) -> Metric:
    """Share of the time in which the device's clocks were held down by power, heat or a brake."""
    found = _each(result, run, telemetry.throttled_share)
    return found if isinstance(found, Absent) else telemetry.held_metric(found)
