"""Metrics: values by hand, and Absent with a reason wherever an input is."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from dlbench.core import metrics
from dlbench.core.types import (
    DRIVER_OPTION,
    LOADGEN,
    Absent,
    CaseResult,
    DataMode,
    Environment,
    Fact,
    Measured,
    Mode,
    PeakMemory,
    Precision,
    Run,
    Scenario,
    Trial,
    Window,
)
from dlbench.plan import PROFILES
from tests import builders

NOT_HERE = Absent(reason="not here")


def _run(result: CaseResult) -> Run:
    environment = Environment(
        machine="m", fingerprint="f", facts={}, versions={}, devices=(builders.CPU,)
    )
    return Run(
        run_id="r",
        created_utc="2026-01-01T00:00:00Z",
        finished_utc="2026-01-01T00:01:00Z",
        dlbench_version="0",
        plan=builders.plan([result.case]),
        environment=environment,
        results=(result,),
    )


def _compute(name: str, *trials: Trial, **case_changes: object) -> object:
    result = CaseResult(case=builders.case(**case_changes), trials=trials, stop_reason="test")
    return metrics.compute(name, result, _run(result))


def test_the_first_result_comes_after_loading_and_the_first_step() -> None:
    """Wherever a framework compiles: at loading or in the first step, the sum is the same."""
    at_loading, in_step = (
        replace(
            builders.trial(builders.case(), 0),
            windows=(Window(name="load", start_s=10.0, end_s=10.0 + load_s),),
            first_step_s=first_step_s,
        )
        for load_s, first_step_s in ((4.5, 0.5), (1.0, 4.0))
    )
    for trial in (at_loading, in_step):
        found = _compute("time_to_first_result_s", trial)
        assert isinstance(found, Measured)
        assert found.value == pytest.approx(5.0)
        assert found.n == 1
    for lost in ({"windows": ()}, {"first_step_s": NOT_HERE}):
        absent = _compute("time_to_first_result_s", replace(in_step, **lost))
        assert absent == Absent(reason="no trial timed its loading and its first step")


def test_a_first_result_whose_programs_were_compiled_before_is_none() -> None:
    """The first trial on a machine is what a user waits for; those after it find its programs."""
    cold = replace(
        builders.trial(builders.case(), 0),
        windows=(Window(name="load", start_s=10.0, end_s=11.0),),
        first_step_s=60.0,
        subject={"compiled_from_cache": False},
    )
    warm = replace(cold, first_step_s=4.0, subject={"compiled_from_cache": True})
    found = _compute("time_to_first_result_s", warm, cold, warm)
    assert isinstance(found, Measured)
    assert found.value == pytest.approx(61.0)
    assert found.n == 1
    assert _compute("time_to_first_result_s", warm) == metrics.FROM_CACHE


def test_every_metric_has_unit_direction_and_doc() -> None:
    """What the report and the docs print about each metric is there."""
    assert len(metrics.REGISTRY) >= 12
    for name, spec in metrics.REGISTRY.items():
        assert (spec.name, spec.direction in {"higher", "lower"}) == (name, True)
        assert spec.unit
        assert spec.doc.endswith(".")


@pytest.mark.parametrize("name", sorted(metrics.REGISTRY))
def test_a_case_that_failed_has_no_numbers(name: str) -> None:
    """A crash makes every metric Absent with the crash as its reason."""
    value = _compute(name, builders.failed(builders.case(), 0))
    assert isinstance(value, Absent)
    assert "it broke" in value.reason


@pytest.mark.parametrize("name", sorted(metrics.REGISTRY))
def test_a_case_that_never_ran_has_no_numbers(name: str) -> None:
    """No trial makes every metric Absent with the stop reason."""
    value = _compute(name)
    assert value == Absent(reason="no trial was run: test")


def test_throughput_is_one_over_the_typical_time() -> None:
    """Three trials at 10 ms a sample are 100 samples/s, with an interval around it."""
    case = builders.case()
    value = _compute(
        "throughput_samples_per_s",
        *(builders.trial(case, i, s) for i, s in enumerate((0.0099, 0.01, 0.0101))),
    )
    assert isinstance(value, Measured)
    assert value.value == pytest.approx(100.0, rel=1e-3)
    assert value.n == 3
    assert value.interval is not None
    assert value.interval.low < 100 < value.interval.high


def test_an_interval_has_paid_for_every_look() -> None:
    """By hand: medians a tenth apart in ln, and Student's t of 2 at 1 - 0.05 / 3 for three looks."""
    case = builders.case()
    trials = [builders.trial(case, i, 0.01 * math.exp(y)) for i, y in enumerate((-0.1, 0.0, 0.1))]
    value = _compute("throughput_samples_per_s", *trials)
    assert isinstance(value, Measured)
    assert value.interval is not None
    half = 7.6488 * 0.1 / math.sqrt(3)
    ends = (100 * math.exp(-half), 100 * math.exp(half))
    assert (value.interval.low, value.interval.high) == pytest.approx(ends, rel=1e-4)
    assert value.interval.level == 0.95


def test_a_step_is_a_batch_and_a_sample_many_tokens() -> None:
    """10 ms a sample: 40 ms a batch of four, and of samples of 128 tokens 12,800 tokens a second."""
    result = builders.result(builders.case(batch_size=4), [0.01] * 3)
    run = _run(result)
    told = replace(builders.WORKLOAD, tokens_per_sample=128)
    run = replace(run, plan=replace(run.plan, workloads=(told,)))
    for name, expected in (("step_s", 0.04), ("throughput_tokens_per_s", 12_800.0)):
        value = metrics.compute(name, result, run)
        assert isinstance(value, Measured)
        assert value.value == pytest.approx(expected)


def test_the_sentinels_trials_do_not_count() -> None:
    """A sentinel trial of the same case leaves the case's numbers alone."""
    case = builders.case()
    own = [builders.trial(case, i) for i in range(3)]
    extra = builders.trial(case, 0, 5.0, role="sentinel")
    assert _compute("step_s", *own, extra) == _compute("step_s", *own)


def _answering(*of_trials: Sequence[float]) -> list[Trial]:
    case = builders.case()
    return [builders.trial(case, i, queries_s=tuple(q)) for i, q in enumerate(of_trials)]


@pytest.mark.parametrize(("name", "needs"), [("latency_p90_s", 36), ("latency_p99_s", 368)])
def test_each_trial_needs_queries_enough_for_its_percentile(name: str, needs: int) -> None:
    """Few of one trial are not made up for by many of another; a p50 needs none to spare."""
    few = _answering([0.01] * 1000, [0.01] * (needs - 1))
    assert isinstance(_compute("latency_p50_s", *few), Measured)
    value = _compute(name, *few)
    assert isinstance(value, Absent)
    assert value.reason.startswith(f"n too small: {needs - 1} queries in a trial")
    assert isinstance(_compute(name, *_answering([0.01] * 1000, [0.01] * needs)), Measured)


def test_the_remedy_for_few_queries_is_one() -> None:
    """Offline has fifty queries at most: a longer profile was advised, and has no p99 either."""
    assert max(profile.max_values for profile in PROFILES.values()) <= 50

    def remedy(name: str, **changes: Any) -> str:
        case = builders.case(**changes)
        trials = [builders.trial(case, i, queries_s=(0.01,) * 30) for i in range(3)]
        value = _compute(name, *trials, **changes)
        assert isinstance(value, Absent)
        return value.remedy

    driven = ((DRIVER_OPTION, LOADGEN),)
    assert remedy("latency_p99_s") == "--scenario single_stream"
    assert remedy("latency_p99_s", scenario=Scenario.SINGLE_STREAM) == metrics.LONGER
    early = "latency_p99_early_stopping_s"
    assert remedy(early) == "--scenario single_stream --loadgen"
    assert remedy(early, scenario=Scenario.SINGLE_STREAM, options=driven) == metrics.LONGER


def test_the_median_latency_is_not_the_mean() -> None:
    """1, 2, 3, 4 and 500 ms: half of the queries are answered within 3."""
    value = _compute("latency_p50_s", *_answering([0.5, 0.001, 0.003, 0.002, 0.004]))
    assert isinstance(value, Measured)
    assert value.value == pytest.approx(0.003)


def test_a_percentile_is_each_trials_own() -> None:
    """Three processes whose p99 are 10, 20 and 40 ms: their middle is 20, and they differ by that."""
    shape = [1.0] * 395 + [2.0] * 5
    value = _compute(
        "latency_p99_s", *_answering(*([s * x for x in shape] for s in (5e-3, 1e-2, 2e-2)))
    )
    assert isinstance(value, Measured)
    assert value.value == pytest.approx(0.02)
    assert value.n == 3
    assert value.interval is not None
    assert value.interval.low < 0.01
    assert value.interval.high > 0.04


def test_one_trial_bounds_its_percentile_within_its_process_and_two_do_not() -> None:
    """The order statistics of 400 queries, and the words beside them."""
    ramp = [0.001 * i for i in range(1, 401)]
    one = _compute("latency_p90_s", *_answering(ramp))
    assert isinstance(one, Measured)
    assert one.value == pytest.approx(0.360)
    assert one.n == 1
    assert one.source == "host clock; interval within one process"
    assert one.interval is not None
    assert [one.interval.low, one.interval.high] == pytest.approx([0.348, 0.372])
    two = _compute("latency_p90_s", *_answering(ramp, ramp))
    assert isinstance(two, Measured)
    assert (two.interval, two.source) == (None, "host clock")


@pytest.mark.parametrize(("name", "q"), [("latency_p90_s", 0.9), ("latency_p99_s", 0.99)])
@pytest.mark.parametrize("between_sd", [0.0, 0.1])
def test_intervals_of_percentiles_cover_where_processes_differ(
    name: str, q: float, between_sd: float
) -> None:
    """Three processes of 400 queries that differ as much as queries do: as often as is said.

    The true value is the typical process's percentile. Pooled, as if all were independent, the interval
    held it in 13 and 18 of 100 runs.
    """
    rng = random.Random(round(100 * q))
    truth_s = 0.01 * math.exp(0.1 * statistics.NormalDist().inv_cdf(q))
    n_runs, hits = 150, 0
    for _ in range(n_runs):
        middles = [0.01 * math.exp(rng.gauss(0, between_sd)) for _ in range(3)]
        trials = _answering(
            *([m * math.exp(rng.gauss(0, 0.1)) for _ in range(400)] for m in middles)
        )
        value = _compute(name, *trials)
        assert isinstance(value, Measured)
        assert value.interval is not None
        hits += value.interval.low <= truth_s <= value.interval.high
    # Three looks were paid for, so 98.3 % stand at each.
    assert hits / n_runs >= 0.94


def test_early_stopping_does_not_mix_processes() -> None:
    """The slowest trial's limit; 661 queries show nothing, whatever the others have."""
    fast, slow = [1e-3 * i for i in range(1, 663)], [2e-3 * i for i in range(1, 663)]
    value = _compute("latency_p99_early_stopping_s", *_answering(fast, slow))
    assert isinstance(value, Measured)
    assert value.value == pytest.approx(2e-3 * 662)
    assert value.n == 2
    few = _compute("latency_p99_early_stopping_s", *_answering(fast, slow[:-1]))
    assert isinstance(few, Absent)
    assert few.reason.startswith("n too small: 661 queries in a trial")


def _generation(name: str, latency_is: str | None, **changes: object) -> object:
    case = builders.case(**changes)
    trials = [builders.trial(case, i, queries_s=(s,) * 20) for i, s in enumerate((0.2, 0.3, 0.25))]
    result = CaseResult(case=case, trials=tuple(trials), stop_reason="test")
    run = _run(result)
    named = replace(builders.WORKLOAD, latency_is=latency_is)
    run = replace(run, plan=replace(run.plan, workloads=(named,)))
    return metrics.compute(name, result, run)


def test_latency_has_its_own_name_in_text_generation() -> None:
    """Three trials of 200, 300 and 250 ms: the first token comes after 250 ms."""
    first = _generation("time_to_first_token_s", "time_to_first_token")
    assert isinstance(first, Measured)
    assert first.value == pytest.approx(0.25, rel=0.02)
    each = _generation("time_per_output_token_s", "time_per_output_token")
    assert each == first


def test_a_server_has_no_time_from_one_token_to_the_next() -> None:
    """Waiting for others is part of the way to a first token, and no part of a step of decoding."""
    names = ("time_to_first_token", "time_per_output_token")
    first, each = (_generation(f"{n}_s", n, scenario=Scenario.SERVER) for n in names)
    assert isinstance(first, Measured)
    assert each == metrics.OF_ANYBODY


@pytest.mark.parametrize("options", [(), ((DRIVER_OPTION, LOADGEN),)])
def test_steps_of_decoding_that_are_too_short_are_timed_in_a_row(
    options: tuple[tuple[str, str], ...],
) -> None:
    """10 ms a sample in batches of 4: 40 ms to the next token; a first token has no such mean."""
    case = builders.case(batch_size=4, options=options)
    result = builders.result(case, [0.01] * 3)
    for name, found in (("time_per_output_token", 0.04), ("time_to_first_token", None)):
        run = _run(result)
        named = replace(builders.WORKLOAD, latency_is=name)
        run = replace(run, plan=replace(run.plan, workloads=(named,)))
        value = metrics.compute(f"{name}_s", result, run)
        if found is None:
            assert value == (metrics.LOADGENS_OFFLINE if options else metrics.NOT_TIMED)
        else:
            assert isinstance(value, Measured)
            assert value.value == pytest.approx(found)


@pytest.mark.parametrize("name", ["latency_p50_s", "latency_p99_s"])
def test_queries_that_are_not_timed_one_by_one_say_why(name: str) -> None:
    """Too short, they all said: also LoadGen's batches of seconds, and those of loaders' processes."""
    loadgen, pipeline = {"options": ((DRIVER_OPTION, LOADGEN),)}, {"data_mode": DataMode.PIPELINE}
    single = {"scenario": Scenario.SINGLE_STREAM}
    told: list[tuple[dict[str, Any], dict[str, Fact], Absent]] = [
        ({}, {}, metrics.NOT_TIMED),
        (loadgen, {}, metrics.LOADGENS_OFFLINE),
        (pipeline, {"loader_processes": 2}, metrics.IN_ROUNDS),
        (pipeline, {"loader_processes": 1}, metrics.NOT_TIMED),
        (loadgen | single, {}, metrics.NOT_TIMED),
        (pipeline | single, {"loader_processes": 2}, metrics.NOT_TIMED),
    ]
    for changes, facts, why in told:
        case = builders.case(**changes)
        assert _compute(name, builders.trial(case, 0, subject=facts), **changes) == why


@pytest.mark.parametrize("latency_is", [None, "time_per_output_token"])
def test_other_queries_have_no_first_token(latency_is: str | None) -> None:
    """An image has none, nor has a step of decoding."""
    assert _generation("time_to_first_token_s", latency_is) == Absent(
        reason="a query of this workload has no time to first token (TTFT)"
    )


def test_training_has_no_latency() -> None:
    """Latency belongs to queries."""
    case = builders.case(mode=Mode.TRAINING, scenario=None)
    value = _compute("latency_p50_s", builders.trial(case, 0), mode=Mode.TRAINING, scenario=None)
    assert isinstance(value, Absent)


def test_flops_per_s_counts_training_three_times() -> None:
    """1 MFLOP a sample at 10 ms a sample is 100 MFLOP/s, in training 300."""
    case = builders.case()
    inference = _compute("flops_per_s", builders.trial(case, 0))
    training = _compute("flops_per_s", builders.trial(case, 0), mode=Mode.TRAINING, scenario=None)
    assert isinstance(inference, Measured)
    assert isinstance(training, Measured)
    assert inference.value == pytest.approx(1e8)
    assert training.value == pytest.approx(3e8)


def test_what_is_frozen_does_not_count_three_times() -> None:
    """Only the head is trained, and a step was told as the work of three forwards."""
    case = builders.case(mode=Mode.TRAINING, scenario=None)
    for frozen in (True, False):
        trial = builders.trial(case, 0, subject={"frozen_products": frozen})
        found = _compute("flops_per_s", trial, mode=Mode.TRAINING, scenario=None)
        assert isinstance(found, Absent if frozen else Measured)


@pytest.mark.parametrize(
    ("precision", "in_place", "found"),
    [
        (Precision.FP32, True, 20.0),
        (Precision.TF32, True, 20.0),
        (Precision.BF16, True, 10.0),
        (Precision.FP16, True, 10.0),
        # Its numbers stay in float32, whatever is computed with.
        (Precision.BF16, False, 20.0),
    ],
)
def test_a_triad_in_16_bits_moves_half_the_bytes(
    precision: Precision, in_place: bool, found: float
) -> None:
    """200 MB of fp32 a sample at 10 ms a sample are 20 GB/s."""
    case = builders.case(precision=precision)
    result = builders.result(case, [0.01] * 3)
    moving = replace(builders.WORKLOAD, bytes_per_sample=200_000_000, in_place=in_place)
    run = _run(result)
    run = replace(run, plan=replace(run.plan, workloads=(moving,)))
    value = metrics.compute("bandwidth_gb_per_s", result, run)
    assert isinstance(value, Measured)
    assert value.value == pytest.approx(found)


def test_peak_memory_is_the_largest_or_the_reason() -> None:
    """The host's peak is the largest over trials; the device's keeps its reason."""
    memory = PeakMemory(
        framework_allocated_mib=NOT_HERE,
        framework_reserved_mib=NOT_HERE,
        device_used_mib=NOT_HERE,
        host_rss_mib=100.0,
    )
    trials = [
        builders.trial(builders.case(), 0, memory=memory),
        builders.trial(builders.case(), 1, memory=replace(memory, host_rss_mib=120.0)),
    ]
    host = _compute("peak_host_rss_mib", *trials)
    assert isinstance(host, Measured)
    assert host.value == 120.0
    assert _compute("peak_framework_allocated_mib", *trials) == NOT_HERE


def test_each_peak_of_memory_is_its_own() -> None:
    """Four numbers that are read in four places."""
    names = ("framework_allocated", "framework_reserved", "device_used", "host_rss")
    memory = PeakMemory(**{f"{name}_mib": 100.0 + i for i, name in enumerate(names)})
    for i, name in enumerate(names):
        value = _compute(f"peak_{name}_mib", builders.trial(builders.case(), 0, memory=memory))
        assert isinstance(value, Measured)
        assert value.value == 100.0 + i
