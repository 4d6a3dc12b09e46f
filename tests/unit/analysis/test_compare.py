"""Comparisons: paired inside a run, cautious across runs, refused where they would mislead."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dlbench.analysis import bottleneck, compare, matrix, sessions, surroundings
from dlbench.cli import compare as compare_command
from dlbench.cli import show_compare
from dlbench.core.errors import GateError
from dlbench.core.stats import RatioEstimate
from dlbench.core.types import (
    Case,
    DataMode,
    Environment,
    Interval,
    Mode,
    Policy,
    Precision,
    Run,
    Scenario,
)
from dlbench.store import runs
from tests import builders

A = builders.case(framework="pytorch", batch_size=2)
B = builders.case(framework="tensorflow", batch_size=2)

NOISE = (1.0, 1.6, 0.8, 1.2, 0.9)


def _run(*results: Any, **changes: Any) -> Run:
    return builders.run(results, **changes)


def test_a_changed_model_of_the_users_own_is_refused_with_both_options() -> None:
    """The same name, another file: no comparison, and what each was made from."""

    def of(digit: str, options: str) -> Run:
        case = builders.case()
        info = replace(builders.WORKLOAD, content_hash=digit * 64, own=options)
        return builders.run(
            [builders.result(case, [0.01, 0.01, 0.01])],
            plan=builders.plan([case], workloads=(info,)),
        )

    with pytest.raises(GateError, match=r"another file or other options: --input 3; --input 4"):
        compare.across(of("0", "--input 3"), of("1", "--input 4"))


def test_frameworks_of_one_run_are_paired_by_round() -> None:
    """Noise that hits both cancels: twice as fast, whatever the rounds were like."""
    run = _run(
        builders.result(A, [0.02 * x for x in NOISE]), builders.result(B, [0.01 * x for x in NOISE])
    )
    (found,) = compare.within(run)
    assert (found.a_name, found.b_name, found.varied) == ("PyTorch", "TensorFlow", "framework")
    assert found.estimate.ratio == pytest.approx(2.0)
    assert found.estimate.n == 5
    assert found.verdict == "faster"
    assert compare.sentence(found) == (
        "fake inference, fake, fp32, batch 2: TensorFlow has 2.00x [2.00, 2.00] the throughput of "
        "PyTorch (5 trials each)"
    )


def test_the_slower_one_is_told_from_the_winners_side() -> None:
    """The sentence names the winner first, and turns the interval with it."""
    run = _run(builders.result(A, [0.01, 0.011, 0.0105]), builders.result(B, [0.02, 0.022, 0.021]))
    (found,) = compare.within(run)
    assert found.verdict == "slower"
    assert "PyTorch has 2.00x [2.00, 2.00] the throughput of TensorFlow" in compare.sentence(found)
    wide = RatioEstimate(ratio=0.5, interval=Interval(low=0.4, high=0.625, level=0.95), n=3)
    assert "has 2.00x [1.60, 2.50] the" in compare.sentence(replace(found, estimate=wide))


def test_a_pairs_interval_has_paid_for_every_look() -> None:
    """By hand: ratios of 0.1, 0.2 and 0.3 in ln, Student's t of 2 at 1 - 0.05 / 3 for three looks."""
    a_s = [0.01 * math.exp(y) for y in (0.1, 0.2, 0.3)]
    (found,) = compare.within(_run(builders.result(A, a_s), builders.result(B, [0.01] * 3)))
    interval = found.estimate.interval
    assert interval is not None
    half = 7.6488 * 0.1 / math.sqrt(3)
    ends = math.log(interval.low), math.log(interval.high)
    assert ends == pytest.approx((0.2 - half, 0.2 + half), rel=1e-4)


def test_noise_of_their_own_leaves_cannot_tell() -> None:
    """A ratio of 1.1 between trials that differ by half is no verdict."""
    run = _run(builders.result(A, [0.010, 0.015, 0.008]), builders.result(B, [0.012, 0.009, 0.010]))
    (found,) = compare.within(run)
    assert found.verdict == "cannot tell"
    assert "cannot tell whether" in compare.sentence(found)


def test_equal_ones_are_called_equal() -> None:
    """When the whole interval is within 2 %."""
    speeds = [0.0100, 0.0101, 0.0099]
    run = _run(builders.result(A, speeds), builders.result(B, [s * 1.001 for s in speeds]))
    (found,) = compare.within(run)
    assert found.verdict == "equivalent"
    assert "equally fast" in compare.sentence(found)


def test_one_trial_gives_a_ratio_without_interval() -> None:
    """And no verdict."""
    run = _run(builders.result(A, [0.02]), builders.result(B, [0.01]))
    (found,) = compare.within(run)
    assert (found.estimate.interval, found.verdict) == (None, "cannot tell")
    assert "too few trials for an interval" in compare.sentence(found)


@pytest.mark.parametrize(
    ("other", "varied"),
    [
        (replace(A, policy=Policy.TUNED), "policy"),
        (replace(A, precision=Precision.BF16), "precision"),
        (replace(A, device="nvidia:0"), "device"),
        (replace(A, batch_size=4), None),
        (replace(B, policy=Policy.TUNED), None),
    ],
)
def test_only_cases_that_differ_in_one_thing_are_compared(other: Case, varied: str | None) -> None:
    """Two differences at once explain nothing; another batch is another task."""
    run = _run(builders.result(A, NOISE), builders.result(other, NOISE))
    assert [c.varied for c in compare.within(run)] == ([varied] if varied else [])


def _calls(work: Callable[[], object]) -> int:
    """How many functions of Python's are called: what a stopwatch would tell of an idle machine."""
    n = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal n
        n += event == "call"

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return n


def _of_batches(n: int) -> tuple[Run, Run]:
    """Two documents of n tasks, each with resident inputs and with copied ones."""
    cases = [
        builders.case(batch_size=1 + i, data_mode=mode)
        for i in range(n)
        for mode in (DataMode.SYNTHETIC, DataMode.HOST)
    ]
    run = _run(*(builders.result(case, [0.02, 0.021]) for case in cases))
    return run, replace(run, run_id="other")


@pytest.mark.parametrize(
    "work",
    [
        lambda a, _: partial(compare.within, a),
        lambda a, _: partial(bottleneck.find, a),
        lambda a, b: lambda: list(compare._matches(a, b)),
        lambda a, b: partial(matrix.matrix, (a, b), compare.all_pairs((a, b))),
    ],
    ids=["within", "bottlenecks", "across", "matrix"],
)
def test_four_times_the_cases_are_four_times_the_work(
    work: Callable[[Run, Run], Callable[[], object]],
) -> None:
    """Each case was held against each other one: ten thousand of them took hours."""
    few, many = _of_batches(10), _of_batches(40)
    assert len(compare.within(many[0])) == 40
    assert _calls(work(*many)) < 5 * _calls(work(*few))


def test_only_common_rounds_are_paired() -> None:
    """A case that stopped earlier is compared on what both have."""
    run = _run(builders.result(A, [0.02] * 8), builders.result(B, [0.01] * 3))
    assert compare.within(run)[0].estimate.n == 3
    later = builders.result(B, [0.01 * x for x in NOISE])
    later = replace(later, trials=later.trials[1:])
    (found,) = compare.within(_run(builders.result(A, [0.02 * x for x in NOISE]), later))
    assert found.estimate.n == 4
    assert found.estimate.interval is not None
    ends = found.estimate.interval.low, found.estimate.interval.high
    assert ends == pytest.approx((2.0, 2.0))


def test_a_comparison_bears_the_flags_of_both_and_of_their_sessions() -> None:
    """Whoever reads the verdict is to know that a card was hot, or that the machine changed."""
    a = builders.result(A, NOISE, flags=("contended",))
    (inside,) = compare.within(
        _run(a, builders.result(B, NOISE, flags=("throttled",)), flags=("session",))
    )
    assert inside.flags == ("contended", "session", "throttled")
    rising = builders.result(A, [0.01 * 1.05**i for i in range(5)], flags=("throttled",))
    for pair in ((_run(a), _run(rising)), (_run(rising), _run(a))):
        (between,) = compare.across(*pair).comparisons
        assert between.flags == ("contended", "drift", "throttled")


def test_without_a_common_round_nothing_is_called_paired() -> None:
    """Damage can leave two cases with trials of other rounds; the basis says what stood in."""
    moved = builders.result(B, [0.01] * 3)
    moved = replace(moved, trials=tuple(replace(t, round=t.round + 3) for t in moved.trials))
    (found,) = compare.within(_run(builders.result(A, [0.02] * 3), moved))
    assert found.basis == (
        "one session, no round in common: spread as between sessions, 3.7 % from a published prior"
    )
    assert found.estimate.interval is not None
    assert found.estimate.interval.low < 1.8


def test_the_order_of_options_is_no_difference() -> None:
    """Older documents have them as they were typed."""
    one, two = ("a", "1"), ("b", "2")
    a, b = (
        _run(builders.result(replace(A, options=options), NOISE))
        for options in ((one, two), (two, one))
    )
    assert len(compare.across(a, b).comparisons) == 1
    other = _run(builders.result(replace(A, options=(one, ("b", "3"))), NOISE))
    with pytest.raises(GateError, match="options differs: a=1, b=2 and a=1, b=3"):
        compare.across(b, other)


def _elsewhere(**changes: Any) -> Environment:
    return replace(builders.ENVIRONMENT, machine="other-8c", **changes)


def test_across_documents_a_small_difference_is_no_verdict() -> None:
    """6 % between two perfect single sessions is less than sessions differ."""
    a = _run(builders.result(A, [0.01] * 5))
    b = _run(builders.result(A, [0.0094] * 5), environment=_elsewhere())
    (found,) = compare.across(a, b).comparisons
    assert found.verdict == "cannot tell"
    assert "single session" in found.basis
    assert (found.a_name, found.b_name) == ("test-2c", "other-8c")


def test_across_documents_a_large_difference_is() -> None:
    """Twice as fast is beyond any session's spread."""
    a = _run(builders.result(A, [0.02] * 5))
    b = _run(builders.result(A, [0.01] * 5), environment=_elsewhere())
    (found,) = compare.across(a, b).comparisons
    assert found.verdict == "faster"
    assert found.estimate.interval is not None
    assert found.estimate.interval.low < 1.9
    assert found.estimate.interval.high > 2.1


def test_two_documents_of_one_machine_are_told_apart_by_time() -> None:
    """Both names would be the same otherwise."""
    a = _run(builders.result(A, NOISE))
    b = _run(builders.result(A, NOISE), created_utc="2026-02-01T00:00:00Z")
    (found,) = compare.across(a, b).comparisons
    assert found.b_name == "test-2c 2026-02-01T00:00:00Z"


def test_environment_differences_come_first_and_name_both_values() -> None:
    """Only what differs; absences with their reason."""
    facts = {**builders.ENVIRONMENT.facts, "governor": "performance"}
    a = _run(builders.result(A, NOISE))
    b = _run(builders.result(A, NOISE), environment=_elsewhere(facts=facts))
    assert surroundings.differences(a, b) == (("governor", "absent (not shown)", "performance"),)


def _card(**facts: Any) -> Run:
    device = replace(builders.CPU, facts=facts)
    return _run(builders.result(A, NOISE), environment=_elsewhere(devices=(device,)))


def test_a_card_that_is_held_down_is_a_difference_that_moves_results() -> None:
    """Half the power was 'the environments are the same', a new driver 'nothing recorded changed'."""
    a = _card(power_limit_w=700.0, ecc=True, driver="580", pcie_generation=5)
    b = _card(power_limit_w=350.0, ecc=True, driver="581", pcie_generation=1)
    found = surroundings.differences(a, b)
    assert found == (("fake power_limit_w", "700.0", "350.0"), ("fake driver", "580", "581"))
    assert surroundings.matter(found, a, b) == 1
    absent = _elsewhere(devices=(), facts=a.environment.facts)
    found = surroundings.differences(a, replace(b, environment=absent))
    assert found == (("device fake", "Fake device", "not recorded"),)


def test_what_machine_and_device_both_say_is_said_once() -> None:
    """A processor's governor; its clock is told by the device alone."""
    a, b = _card(governor="powersave", max_clock_mhz=2000.0), _card(max_clock_mhz=3000.0)
    assert surroundings.differences(a, b) == (("fake max_clock_mhz", "2000.0", "3000.0"),)


@pytest.mark.parametrize(("other", "told"), [(24105.55, False), (16000.0, True)])
def test_some_kibibytes_of_memory_are_no_difference(other: float, told: bool) -> None:
    """Two boots of one machine: published documents differ by eight, which 'moved results'."""
    a, b = (
        _run(builders.result(A, NOISE), environment=_elsewhere(facts={"memory_mib": mib}))
        for mib in (24105.56, other)
    )
    found = (("memory_mib", "23.5 GiB", "15.6 GiB"),)
    assert surroundings.differences(a, b) == (found if told else ())


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"precision": Precision.BF16}, "precision differs: fp32 and bf16"),
        ({"policy": Policy.TUNED}, "policy differs"),
        ({"variant": "tiny"}, "variant differs"),
        ({"data_mode": DataMode.HOST}, "data mode differs: synthetic and host"),
        ({"n_devices": 2}, "n devices differs: 1 and 2"),
    ],
)
def test_what_is_not_comparable_is_refused_with_the_reason(
    change: dict[str, Any], word: str
) -> None:
    """Never silently."""
    a = _run(builders.result(A, NOISE))
    b = _run(builders.result(replace(A, **change), NOISE))
    with pytest.raises(GateError, match=word):
        compare.across(a, b)
    mixed = _run(builders.result(A, NOISE), builders.result(replace(A, **change), NOISE))
    found = compare.across(a, mixed)
    assert len(found.comparisons) == 1
    assert word in found.refusals[0].reason


def test_another_version_of_a_workload_is_refused() -> None:
    """Its content hash differs."""
    a = _run(builders.result(A, NOISE))
    changed = replace(builders.WORKLOAD, content_hash="1" * 64, version=2)
    b = _run(builders.result(A, NOISE))
    b = replace(b, plan=replace(b.plan, workloads=(changed,)))
    with pytest.raises(GateError, match="workload fake is not the same: versions 1 and 2"):
        compare.across(a, b)
    edited = replace(builders.WORKLOAD, content_hash="1" * 64)
    b = replace(b, plan=replace(b.plan, workloads=(edited,)))
    with pytest.raises(GateError) as caught:
        compare.across(a, b)
    assert caught.value.message.endswith(
        "workload fake is not the same: its files differ (content 000000000000, 111111111111) "
        "although both say version 1"
    )


@pytest.mark.parametrize(
    "other",
    [
        B,
        replace(A, batch_size=4),
        replace(A, scenario=Scenario.SINGLE_STREAM),
        replace(A, mode=Mode.TRAINING, scenario=None),
    ],
)
def test_nothing_in_common_is_said(other: Case) -> None:
    """With both names and exit code 5."""
    a = _run(builders.result(A, NOISE))
    b = _run(builders.result(other, NOISE))
    with pytest.raises(GateError, match="share no case") as caught:
        compare.across(a, b)
    assert caught.value.exit_code == 5


def test_failed_cases_are_not_compared() -> None:
    """A case without a measured trial has no ratio."""
    crashed = replace(builders.result(B, []), trials=(builders.failed(B, 0),))
    assert compare.within(_run(builders.result(A, NOISE), crashed)) == ()


ALLOWED = frozenset({"precision"})


def test_an_allowed_difference_is_compared_and_said() -> None:
    """In the sentence itself, wherever it is quoted."""
    a = _run(builders.result(A, NOISE))
    b = _run(builders.result(replace(A, precision=Precision.BF16), NOISE))
    (found,) = compare.across(a, b, ALLOWED).comparisons
    assert found.allowed == ("precision differs: fp32 and bf16",)
    assert compare.sentence(found).endswith("; allowed although precision differs: fp32 and bf16")
    tuned = _run(builders.result(replace(A, precision=Precision.BF16, policy=Policy.TUNED), NOISE))
    with pytest.raises(GateError, match="policy differs"):
        compare.across(a, tuned, ALLOWED)


CPU, GPU, GPU_1 = (replace(A, device=device) for device in ("cpu", "nvidia:0", "nvidia:1"))


def _on(*speeds: tuple[Case, float], **changes: Any) -> Run:
    return _run(*(builders.result(case, [s] * 5) for case, s in speeds), **changes)


def test_processors_meet_processors_and_gpus_meet_gpus() -> None:
    """Two documents with both: each device against its own kind, and each sentence names it."""
    a = _on((CPU, 0.5), (GPU, 0.01))
    b = _on((GPU, 0.005), (CPU, 0.25), environment=_elsewhere(), run_id="b")
    found = compare.across(a, b).comparisons
    assert [(c.a.device, c.b.device) for c in found] == [("cpu", "cpu"), ("nvidia:0", "nvidia:0")]
    assert [c.estimate.ratio for c in found] == pytest.approx([2.0, 2.0])
    assert compare.sentence(found[0]).startswith(
        "fake inference, PyTorch, cpu, fp32, batch 2: other-8c has 2.00x"
    )
    table = matrix.matrix([a, b], compare.all_pairs([a, b]))
    assert [row.cells[0] and row.cells[0].b.device for row in table.rows] == ["cpu", "nvidia:0"]


def test_a_device_without_its_like_is_compared_with_another_one_and_both_are_named() -> None:
    """A GPU of another number, or a processor: only where neither document has the equal one."""
    a, b = _on((GPU, 0.01)), _on((CPU, 0.5), (GPU_1, 0.005), environment=_elsewhere(), run_id="b")
    found = {c.b.device: c for c in compare.across(a, b).comparisons}
    assert compare.sentence(found["cpu"]).startswith(
        "fake inference, PyTorch, fp32, batch 2: test-2c (nvidia:0) has 50.00x"
    )
    assert (found["nvidia:1"].a_name, found["nvidia:1"].b_name) == (
        "test-2c (nvidia:0)",
        "other-8c (nvidia:1)",
    )
    both = _on((CPU, 0.5), (GPU, 0.01))
    assert [(c.a, c.b) for c in compare.across(both, _on((GPU, 0.005))).comparisons] == [(GPU, GPU)]


def test_a_processor_beside_a_gpu_has_a_ratio_that_is_not_none() -> None:
    """A 300th of the throughput stood as 0.00 [0.00, 0.00] in matrix and Markdown."""
    runs = [_on((GPU, 0.001)), _on((CPU, 0.3), environment=_elsewhere(), run_id="b")]
    pairs = compare.all_pairs(runs)
    (row,) = matrix.matrix(runs, pairs).rows
    assert matrix.cell_words(row.cells[0]).startswith("0.0033 [0.0030, 0.0037] slower")
    told = show_compare.markdown(pairs, pairs[0].comparisons, None)
    assert "| 0.0033 | 0.0030 - 0.0037 | slower |" in told


@pytest.mark.parametrize("reverse", [False, True])
def test_a_cell_does_not_depend_on_the_order_in_which_cases_ran(*, reverse: bool) -> None:
    """Of two devices that a document has in the place of the first's, the cell names its own."""
    others = [(CPU, 0.5), (GPU_1, 0.005)]
    b = _on(*(others[::-1] if reverse else others), environment=_elsewhere(), run_id="b")
    runs = [_on((GPU, 0.01)), b]
    (row,) = matrix.matrix(runs, compare.all_pairs(runs)).rows
    assert matrix.cell_words(row.cells[0]).endswith("(cpu)")


def test_six_per_cent_are_not_equal() -> None:
    """Machines that are known to differ: too little for a verdict, and no equality."""
    fast = [replace(_session(i, 1 / 1.065), run_id=f"fast-{i}") for i in range(5)]
    fast = [replace(r, environment=replace(r.environment, machine="m2")) for r in fast]
    slow = [_session(i, 1.0) for i in range(5)]
    (found,) = compare.across(slow[0], fast[0], known=[*slow, *fast]).comparisons
    assert found.estimate.interval is not None
    assert found.estimate.interval.low > 1.05
    assert found.verdict == "cannot tell"


def test_an_allowed_difference_does_not_replace_the_same_case() -> None:
    """Where both precisions are there, fp32 is compared with fp32."""
    half = replace(A, precision=Precision.BF16)
    a = _run(builders.result(A, NOISE))
    b = _run(builders.result(A, NOISE), builders.result(half, NOISE))
    found = compare.across(a, b, ALLOWED)
    assert [c.b for c in found.comparisons] == [A]
    assert len(found.refusals) == 1


def test_another_output_length_is_refused_by_that_name() -> None:
    """Tokens a sample are another task, even where everything else is the same."""
    a = _run(builders.result(A, NOISE))
    longer = replace(builders.WORKLOAD, tokens_per_sample=64, content_hash="1" * 64)
    b = replace(a, plan=replace(a.plan, workloads=(longer,)), run_id="b")
    with pytest.raises(GateError, match="length differs: None and 64 tokens a sample"):
        compare.across(a, b)
    found = compare.across(a, b, frozenset({"length", "version"}))
    assert len(found.comparisons[0].allowed) == 2


def _session(i: int, factor: float, machine: str = "test-2c") -> Run:
    return _run(
        builders.result(A, [0.01 * factor * x for x in (1, 1.001, 0.999, 1.0, 1.0)]),
        run_id=f"run-{machine}-{i}",
        created_utc=f"2026-01-0{i + 1}T00:00:00Z",
        environment=replace(builders.ENVIRONMENT, machine=machine),
    )


def test_the_spread_between_sessions_is_learnt_from_three_of_them() -> None:
    """Four quiet sessions make a narrower interval than the prior; two do not count."""
    runs = [_session(i, f) for i, f in enumerate((1.0, 1.002, 0.999, 1.001))]
    few = compare.across(runs[0], runs[1], known=runs[:2]).comparisons[0]
    many = compare.across(runs[0], runs[1], known=runs).comparisons[0]
    assert "published prior" in few.basis
    assert "from 4 sessions" in many.basis
    assert few.estimate.interval is not None
    assert many.estimate.interval is not None
    assert many.estimate.interval.high < 1.02 < few.estimate.interval.high
    # What is compared teaches too.
    assert "from 4 sessions" in compare.all_pairs(runs)[0].comparisons[0].basis


def test_the_spread_between_sessions_is_pooled_over_cases() -> None:
    """By hand: in ln A moves by 0, 0.1, 0.2 and B by 0, 0, 0.3; squares of 0.02 and 0.06 over 2 + 2."""
    speeds = ((0.0, 0.0), (0.1, 0.0), (0.2, 0.3))
    runs = [
        _run(*(builders.result(c, [math.exp(y)] * 3) for c, y in zip((A, B), ys, strict=True)))
        for ys in speeds
    ]
    runs = [replace(run, run_id=f"run-{i}") for i, run in enumerate(runs)]
    found = sessions.spread(runs[0], runs)
    assert found.sd_ln == pytest.approx(math.sqrt(0.02))
    # A session's weather is one, however many cases saw it.
    assert (found.df, found.n_sessions) == (2, 3)


def test_sessions_of_another_machine_teach_nothing() -> None:
    """One machine is known, the other stays a single session, and both are said."""
    runs = [_session(i, 1 + i / 500) for i in range(3)]
    other = _session(4, 0.5, machine="other-8c")
    (found,) = compare.across(runs[0], other, known=runs).comparisons
    assert "from 3 sessions and 3.7 % from a published prior (single session)" in found.basis
    assert found.verdict == "faster"


def test_what_matters_is_listed_first() -> None:
    """The device before the versions of what ran, those before the rest."""
    devices = (replace(builders.CPU, name="Another device"),)
    versions = {"python": "3.12", "torch": "2.9"}
    a = _run(builders.result(A, NOISE))
    b = _run(
        builders.result(A, NOISE),
        environment=_elsewhere(versions=versions, devices=devices, facts={"kernel": "6.1"}),
    )
    found = surroundings.differences(a, b)
    assert [name for name, _, _ in found][:3] == ["device fake", "torch", "cpu"]
    heavy = surroundings.matter(found, a, b)
    assert {name for name, _, _ in found[heavy:]} == {"python", "kernel"}


def test_documents_of_one_name_have_a_column_each() -> None:
    """One was edited: the ratio of the last stood in the columns of both."""
    runs_ = [
        _run(builders.result(A, [0.01 * slower] * 5), run_id=name)
        for slower, name in ((1, "a"), (2, "b"), (4, "b"))
    ]
    (row,) = matrix.matrix(runs_, compare.all_pairs(runs_)).rows
    ratios = [cell.estimate.ratio for cell in row.cells if cell]
    assert ratios == pytest.approx([0.5, 0.25])


def test_a_matrix_has_a_row_a_case_and_a_column_a_document() -> None:
    """Where a document lacks a case there is a gap, not a number."""
    first = _run(builders.result(A, [0.01] * 5), builders.result(B, [0.02] * 5), run_id="a")
    second = _run(builders.result(A, [0.005] * 5), run_id="b", environment=_elsewhere())
    third = _run(
        builders.result(A, [0.01] * 5), builders.result(B, [0.02] * 5), run_id="c",
        environment=replace(builders.ENVIRONMENT, machine="third"),
    )  # fmt: skip
    runs = [first, second, third]
    found = matrix.matrix(runs, compare.all_pairs(runs))
    assert found.columns == ("test-2c", "other-8c", "third")
    assert [row.case.framework for row in found.rows] == ["pytorch", "tensorflow"]
    assert [cell is None for row in found.rows for cell in row.cells] == [False, False, True, False]
    assert matrix.cell_words(found.rows[0].cells[0]).startswith("2.00 [1.")
    assert matrix.cell_words(found.rows[0].cells[0]).endswith("faster")
    assert matrix.cell_words(None) == "-"
    plain = matrix.plain(found)
    assert plain["rows"][1]["cells"][0] is None
    assert plain["rows"][0]["baseline_samples_per_s"] == pytest.approx(100.0)


def test_a_column_of_gaps_has_its_reason_and_ratios_their_basis(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of three documents the last is of another version, which was told only where it was alone."""
    first, second = (
        _run(
            builders.result(A, [0.01] * 5),
            run_id=name,
            environment=replace(builders.ENVIRONMENT, machine=f"m-{name}"),
        )
        for name in "ab"
    )
    changed = replace(builders.WORKLOAD, content_hash="1" * 64, version=2)
    third = replace(second, run_id="c", plan=replace(second.plan, workloads=(changed,)))
    compare_command.compare([runs.seal(run, tmp_path) for run in (first, second, third)])
    out = " ".join(capsys.readouterr().out.split())
    assert "not compared" in out
    assert "workload fake is not the same: versions 1 and 2" in out
    assert "basis: other sessions" in out
    assert "single session each" in out


def test_cases_that_met_their_like_are_not_said_to_be_uncompared() -> None:
    """Base and tuned of both documents; a case that has no like keeps its reason."""
    tuned, half = replace(A, policy=Policy.TUNED), replace(A, precision=Precision.BF16)
    a = _run(builders.result(A, NOISE), builders.result(tuned, NOISE))
    assert compare.across(a, replace(a, run_id="b")).refusals == ()
    b = _run(*a.results, builders.result(half, NOISE), run_id="b")
    assert {r.b for r in compare.across(a, b).refusals} == {half}


def test_a_strangers_document_puts_no_picture_into_a_pull_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine's name could be one, which whoever looks at the table then fetches."""
    picture = "![x](https://example.invalid/seen.png)"
    first = _run(builders.result(A, [0.01] * 5), run_id="a")
    there = replace(builders.ENVIRONMENT, machine=picture)
    second = _run(builders.result(A, [0.01] * 5), run_id="b", environment=there)
    compare_command.compare([runs.seal(run, tmp_path) for run in (first, second)], markdown=True)
    out = capsys.readouterr().out
    assert "![x]\\(https" in out
    assert picture not in out


def test_sessions_with_other_threads_teach_nothing() -> None:
    """Half the threads and half the speed: that is no weather between two days."""
    runs = [_session(i, 1 + i / 500) for i in range(3)]
    fewer = [_session(i, 2 + i / 500) for i in range(3, 6)]
    fewer = [replace(r, plan=replace(r.plan, threads=r.plan.threads + 1)) for r in fewer]
    alone = compare.across(runs[0], runs[1], known=runs).comparisons
    assert compare.across(runs[0], runs[1], known=[*runs, *fewer]).comparisons == alone
    (found,) = compare.across(runs[0], fewer[0], known=[*runs, *fewer]).comparisons
    assert "from 3 sessions" in found.basis
    assert "from 6 sessions" not in found.basis


def test_a_fact_without_a_name_is_one_more_difference() -> None:
    """A stranger's document may have one: it was a traceback."""
    named = {**builders.ENVIRONMENT.facts, "": "x", " ": "y"}
    a, b = _session(0, 1.0), _session(1, 1.0)
    b = replace(b, environment=replace(b.environment, facts=named))
    found = compare.across(a, b)
    assert ("", "not recorded", "x") in found.differences
    assert surroundings.matter(found.differences, a, b) == 0
