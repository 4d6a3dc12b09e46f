"""The recommender, part by part, against numbers that can be worked out by hand."""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Any, cast, get_args, get_type_hints

import numpy as np
import pytest

from dlbench import catalog
from dlbench.analysis.recommend import (
    assumptions,
    estimate,
    evidence,
    job,
    memory,
    needs,
    roofline,
    scaling,
    serving,
    simulate,
    words,
)
from dlbench.core import recommendation
from dlbench.core.catalog import Catalog, Offer
from dlbench.core.errors import UsageError
from dlbench.core.recommendation import (
    BuyOrRent,
    Constraint,
    Evidence,
    Need,
    OwnedMachine,
    Question,
    Recommendation,
    Step,
)
from dlbench.core.types import (
    Absent,
    DataMode,
    Estimated,
    Interval,
    Measured,
    Mode,
    PeakMemory,
    Policy,
    Precision,
    Run,
    Scenario,
)
from dlbench.core.units import compact, percent
from dlbench.frameworks import onnxruntime
from dlbench.store import codec
from tests import builders
from tests import recommending as r
from tests.recommending import MINE, picked, step, value

# --- evidence -------------------------------------------------------------------------------


def test_measured_on_that_instance_is_the_best_evidence() -> None:
    """The document's machine says which type it is."""
    run = r.measured(500.0, instance="l4.small")
    pick = picked(r.ask(r.need(**MINE), r.of(r.offer()), run))
    assert pick.evidence is Evidence.INSTANCE
    assert value(pick.throughput_samples_per_s) == pytest.approx(500, rel=0.01)
    # A million samples at 500 a second are 0.556 h; set-up is 5 to 20 minutes, 0.208 h in the middle.
    assert value(pick.time_s) / 3600 == pytest.approx(0.556 + 0.208, rel=0.02)
    assert value(pick.cost_usd) == pytest.approx(0.8 * 0.764, rel=0.02)


def test_each_tier_widens_the_interval() -> None:
    """Instance, accelerator, prediction from elsewhere, roofline: in that order."""
    asked = r.need(**MINE)

    def width(*runs: Any) -> float:
        pick = picked(r.ask(asked, r.of(r.offer()), *runs))
        interval = pick.throughput_samples_per_s
        assert isinstance(interval, Estimated)
        return interval.interval.high / interval.interval.low

    other = replace(r.GPU, name="NVIDIA A10G")
    widths = [
        width(r.measured(500.0, instance="l4.small")),
        width(r.measured(500.0)),
        width(r.measured(500.0, device=other)),
        width(r.measured(500.0, framework="tensorflow", device=other)),
    ]
    assert widths == sorted(widths)
    assert widths[0] < 1.1
    assert widths[3] > 5


def test_a_noisy_document_is_believed_less() -> None:
    """Trials that were flagged as contended widen the interval, and the way says so."""
    run = r.measured(500.0, instance="l4.small", flags=("contended",))
    pick = picked(r.ask(r.need(**MINE), r.of(r.offer()), run))
    found = pick.throughput_samples_per_s
    assert isinstance(found, Estimated)
    assert found.interval.low == pytest.approx(350, rel=0.02)
    assert "and a noisy one" in next(s.formula for s in pick.trail if s.name == "throughput")


def test_resident_inputs_count_before_a_pipeline_of_some_host() -> None:
    """How fast another machine decodes is not this one's speed."""
    slow = r.measured(90.0, data_mode=DataMode.PIPELINE)
    pick = picked(r.ask(r.need(**MINE), r.of(r.offer()), slow, r.measured(500.0)))
    assert value(pick.throughput_samples_per_s) == pytest.approx(500, rel=0.02)


def test_another_accelerator_is_scaled_by_bandwidth_when_nobody_predicts() -> None:
    """An A10G has 600 GB/s, an L4 300: half of its rate, with the known error of that rule."""
    run = r.measured(500.0, device=replace(r.GPU, name="NVIDIA A10G"))
    pick = picked(r.ask(r.need(**MINE), r.of(r.offer()), run))
    assert pick.evidence is Evidence.PREDICTED
    assert value(pick.throughput_samples_per_s) == pytest.approx(250, rel=0.03)


class Fixed:
    """A predictor that knows one answer, three times as fast ``tuned``, and notes what it was asked."""

    def __init__(self, answer: Estimated | Absent, *policies: Policy) -> None:
        self.answer = answer
        self.known = frozenset(policies)
        self.asked: list[Question] = []

    def policies(self, question: Question) -> frozenset[Policy]:
        """What it was given."""
        return self.known

    def throughputs(self, questions: Sequence[Question]) -> Sequence[Estimated | Absent]:
        """The same to each."""
        self.asked += questions
        return [self._of(q) for q in questions]

    def _of(self, question: Question) -> Estimated | Absent:
        if isinstance(self.answer, Absent) or question.policy is Policy.BASE:
            return self.answer
        ends = self.answer.interval
        return replace(
            self.answer,
            value=3 * self.answer.value,
            interval=replace(ends, low=3 * ends.low, high=3 * ends.high),
        )


def test_a_policys_gain_is_scaled_in_part_when_nobody_predicts() -> None:
    """An L4 has 242 / 330 of an RTX 4090's peak: (242 / 330)^0.25 of ln 2.5 of its gain, no more."""
    card = replace(r.GPU, name="NVIDIA GeForce RTX 4090")
    tuned = r.measured(2500.0, device=card, policy=Policy.TUNED, precision=Precision.FP16)
    plain = r.measured(1000.0, device=card, precision=Precision.FP16)
    asked, offered = r.need(**MINE, precision="fp16"), r.of(r.offer())
    peaks = [r.of().accelerator(name) for name in ("L4", "RTX-4090")]
    here, there = (d.peak_tflops["fp16"] for d in peaks if d is not None)
    share = (here / there) ** 0.25
    by_hand = 1000 * 2.5**share * 300 / 1008
    both = picked(r.ask(asked, offered, tuned, plain))
    assert (both.policy, both.evidence) == (Policy.TUNED, Evidence.PREDICTED)
    assert value(both.throughput_samples_per_s) == pytest.approx(by_hand, rel=0.02)
    # How much of it is a gain is not known without a plain run: the middle stays, the low end falls.
    alone = picked(r.ask(asked, offered, tuned))
    assert value(alone.throughput_samples_per_s) == pytest.approx(2500 * 300 / 1008, rel=0.02)
    low = alone.throughput_samples_per_s
    assert isinstance(low, Estimated)
    assert low.interval.low == pytest.approx(0.6 * 3 ** (share - 1) * 2500 * 300 / 1008, rel=0.03)


def test_what_is_predicted_is_of_the_policies_that_were_measured() -> None:
    """An expert's rate is compared with an expert's: the user's own documents say which are known."""
    answer = Estimated(value=300.0, interval=Interval(low=250.0, high=360.0, level=0.9), method="m")
    for known, asked, rate in (
        ((), {Policy.BASE}, 300),
        ((Policy.BASE, Policy.TUNED), {Policy.BASE, Policy.TUNED}, 900),
    ):
        fixed = Fixed(answer, *known)
        pick = picked(r.ask(r.need(), r.of(r.offer()), predictor=fixed))
        assert {q.policy for q in fixed.asked} == asked
        assert pick.policy is max(asked)
        said = " ".join(r.ask(r.need(), r.of(r.offer()), predictor=fixed).reasons)
        assert ("with expert settings (tuned)" in said) is (Policy.TUNED in asked)
        assert value(pick.throughput_samples_per_s) == pytest.approx(rate, rel=0.02)
    run = r.measured(500.0, device=replace(r.GPU, name="NVIDIA A10G"))
    fixed = Fixed(answer, Policy.BASE, Policy.TUNED)
    pick = picked(r.ask(r.need(**MINE), r.of(r.offer()), run, predictor=fixed))
    assert {q.policy for q in fixed.asked} == {Policy.BASE}
    assert pick.policy is Policy.BASE


def answered(samples_per_s: float) -> Estimated:
    """What a predictor says."""
    ends_ = Interval(low=samples_per_s * 0.8, high=samples_per_s * 1.25, level=0.9)
    return Estimated(value=samples_per_s, interval=ends_, method="m")


def test_a_precision_that_a_data_sheet_has_not_is_refused_whoever_could_tell_its_rate() -> None:
    """A T4 has no bf16, a V100 neither, whatever a predictor says that counts it as half."""
    fixed = Fixed(answered(700.0), Policy.BASE, Policy.TUNED)
    old = [r.offer(instance_type=name, accelerator=name) for name in ("T4", "V100-SXM2-16GB", "P4")]
    answer = r.ask(r.need(precision="bf16"), r.of(r.offer(), *old), predictor=fixed)
    assert picked(answer).offer.accelerator == "L4"
    out = {x.hardware: x for x in answer.rejected if x.constraint is Constraint.PRECISION}
    assert set(out) == {"1 x T4", "1 x V100-SXM2-16GB", "1 x P4"}
    assert out["1 x T4"].reason == "the data sheet of T4 has no bf16 peak"
    half = r.ask(r.need(precision="fp16"), r.of(old[0]), predictor=fixed)
    assert picked(half).evidence is Evidence.PREDICTED
    # What somebody did measure there is not argued with.
    run = r.measured(90.0, device=replace(r.GPU, name="Tesla T4"), precision=Precision.BF16)
    assert picked(r.ask(r.need(**MINE, precision="bf16"), r.of(old[0]), run)).policy is Policy.BASE


def test_a_compiler_that_has_no_support_for_a_card_makes_it_no_faster() -> None:
    """Triton needs a compute capability of 7.0: a P100 is told in base, a V100 and a T4 tuned."""
    fixed = Fixed(answered(300.0), Policy.BASE, Policy.TUNED)
    for name, policy in (
        ("P100-PCIE-16GB", Policy.BASE),
        ("V100-SXM2-16GB", Policy.TUNED),
        ("T4", Policy.TUNED),
    ):
        offered = r.of(r.offer(accelerator=name))
        pick = picked(r.ask(r.need(precision="fp16"), offered, predictor=fixed))
        assert pick.policy is policy
    run = r.measured(500.0, policy=Policy.TUNED, precision=Precision.FP16)
    asked = r.need(**MINE, precision="fp16")
    pascal = picked(r.ask(asked, r.of(r.offer(accelerator="P100-PCIE-16GB")), run))
    assert pascal.evidence is Evidence.ROOFLINE


def test_a_card_counts_in_the_policy_in_which_it_is_fastest() -> None:
    """Measured in base at 32 and tuned at 64: tuned, with the memory of that batch."""
    base = r.measured(2300.0, batches=(32,), peaks_mib=(3000.0,))
    tuned = r.measured(6600.0, batches=(64,), peaks_mib=(3200.0,), policy=Policy.TUNED)
    pick = picked(r.ask(r.need(**MINE), r.of(r.offer()), base, tuned))
    assert (pick.policy, pick.batch_size) == (Policy.TUNED, 64)
    assert value(pick.throughput_samples_per_s) == pytest.approx(6600, rel=0.02)
    assert value(pick.memory_mib) == pytest.approx(3200)
    slower = replace(r.GPU, name="NVIDIA A10G")
    elsewhere = r.measured(900.0, device=slower, policy=Policy.TUNED)
    # This card was measured in base alone: it is told tuned, as all others are.
    fixed = Fixed(answered(1500.0))
    pick = picked(r.ask(r.need(**MINE), r.of(r.offer()), base, elsewhere, predictor=fixed))
    assert (pick.policy, pick.evidence) == (Policy.TUNED, Evidence.PREDICTED)
    assert value(pick.throughput_samples_per_s) == pytest.approx(4500, rel=0.02)
    fixed = Fixed(answered(500.0))
    pick = picked(r.ask(r.need(**MINE), r.of(r.offer()), base, elsewhere, predictor=fixed))
    assert (pick.policy, pick.evidence) == (Policy.BASE, Evidence.ACCELERATOR)


def test_a_batch_that_is_insisted_on_is_not_replaced_by_the_one_that_was_measured() -> None:
    """Told at 16 from what was measured at 64; measured at 16 where somebody did."""
    run = r.measured(500.0, batches=(64,), peaks_mib=(4600.0,))
    asked = r.need(**MINE, batch_size=16)
    pick = picked(r.ask(asked, r.of(r.offer()), run))
    assert (pick.batch_size, pick.evidence) == (16, Evidence.PREDICTED)
    # A quarter of the batch: from as fast to a third.
    found = pick.throughput_samples_per_s
    assert isinstance(found, Estimated)
    assert found.value == pytest.approx(500 / 4**0.2, rel=0.02)
    assert found.interval.low == pytest.approx(500 * 0.6 / 4**0.8, rel=0.05)
    told = picked(r.ask(asked, r.of(r.offer()), run, predictor=Fixed(answered(400.0))))
    assert (told.batch_size, told.evidence) == (16, Evidence.PREDICTED)
    assert value(told.throughput_samples_per_s) == pytest.approx(400, rel=0.02)
    both = r.measured(450.0, batches=(16, 64), peaks_mib=(2200.0, 4600.0))
    seen = picked(r.ask(asked, r.of(r.offer()), both))
    assert (seen.batch_size, seen.evidence) == (16, Evidence.ACCELERATOR)
    device = replace(r.GPU, id="cpu", kind="cpu", name="AMD EPYC", facts={"physical_cores": 8})
    host = r.measured(20.0, device=device, batches=(8,))
    two = picked(r.ask(r.need(**MINE, batch_size=2), r.of(r.cpu()), host))
    assert (two.batch_size, two.evidence) == (2, Evidence.PREDICTED)
    assert value(two.throughput_samples_per_s) == pytest.approx(20 / 4**0.2, rel=0.05)


def test_a_share_of_a_step_is_not_measured_by_a_larger_batch() -> None:
    """A step of 64 over four devices is 16 of each: told from what 64 of one did, or measured at 8."""
    steps = r.need(**{**MINE, "samples": None, "epochs": None}, steps=1000.0, batch_size=64)
    four = r.of(r.offer(accelerator_count=4.0))
    large = r.measured(500.0, batches=(64,), peaks_mib=(4600.0,))
    told = picked(r.ask(steps, four, large))
    assert (told.batch_size, told.evidence) == (16, Evidence.PREDICTED)
    both = r.measured(400.0, batches=(8, 64), peaks_mib=(2000.0, 4600.0))
    assert picked(r.ask(steps, four, both)).evidence is Evidence.ACCELERATOR


def test_the_memory_that_is_shown_is_that_of_the_batch_that_was_measured() -> None:
    """The usual batch is 32, and 1,024 were measured: with their 20 GiB, where they fit."""
    run = r.measured(9000.0, batches=(1024,), peaks_mib=(20000.0,))
    asked = r.need(workload="", parameters=25e6, flops_per_sample=1e8)
    named = replace(asked, workload="mine", parameters=None, flops_per_sample=None)
    pick = picked(r.ask(named, r.of(r.offer()), run))
    assert (pick.batch_size, pick.evidence) == (1024, Evidence.ACCELERATOR)
    assert value(pick.memory_mib) == pytest.approx(20000)
    small = picked(r.ask(named, r.of(r.offer(accelerator="RTX-3060-12GB")), run))
    assert small.batch_size < 1024
    assert not isinstance(small.usable_memory_mib, Absent)
    assert value(small.memory_mib) < small.usable_memory_mib


def test_of_repeated_measurements_the_middle_counts_and_not_the_luckiest() -> None:
    """900 once, and 400 four times: about 405, and the range says that 900 was seen."""
    rates = (900.0, 400.0, 410.0, 390.0, 405.0)
    runs = [
        replace(r.measured(rate), run_id=f"2026010{i}T000000Z-test-2c-abcdef")
        for i, rate in enumerate(rates, start=1)
    ]
    pick = picked(r.ask(r.need(**MINE), r.of(r.offer()), *runs))
    found = pick.throughput_samples_per_s
    assert isinstance(found, Estimated)
    assert found.value == pytest.approx(405, rel=0.02)
    assert found.interval.low == pytest.approx(390 * 0.9, rel=0.02)
    assert found.interval.high == pytest.approx(900 * 1.1, rel=0.02)
    way = next(s for s in pick.trail if s.name == "throughput")
    assert "the middle of 5 documents" in way.formula
    assert way.source == f"document {runs[4].run_id}"
    fast = r.measured(500.0, policy=Policy.TUNED)
    assert picked(r.ask(r.need(**MINE), r.of(r.offer()), *runs, fast)).policy is Policy.TUNED


def test_one_document_of_wild_trials_does_not_blur_what_others_agree_on() -> None:
    """Trials of 100 to 900: their rate of 300 counts beside 500 and 510, not their wide interval.

    "A CPU is not enough" had been said since one of three documents had a neighbour.
    """
    wild = r.measured(300.0)
    spread = builders.result(wild.results[0].case, (1 / 100, 1 / 300, 1 / 900))
    runs = [replace(wild, results=(spread,)), r.measured(500.0), r.measured(510.0)]
    runs = [replace(x, run_id=f"2026010{i}T000000Z-test-2c-abcdef") for i, x in enumerate(runs, 1)]

    def interval(*documents: Run) -> Interval:
        found = picked(r.ask(r.need(**MINE), r.of(r.offer()), *documents)).throughput_samples_per_s
        assert isinstance(found, Estimated)
        return found.interval

    alone, among = interval(runs[0]), interval(*runs)
    assert alone.low < 100
    assert alone.high > 900
    assert among.low == pytest.approx(300 * 0.9, rel=0.02)
    assert among.high == pytest.approx(510 * 1.1, rel=0.02)


def test_a_predictor_comes_before_the_roofline_and_after_measurements() -> None:
    """It is asked once for each accelerator; where it has no answer the roofline stands."""
    answer = Estimated(value=300.0, interval=Interval(low=250.0, high=360.0, level=0.9), method="m")
    fixed = Fixed(answer)
    offered = r.of(r.offer(), r.offer(instance_type="l4.large", vcpus=16.0))
    pick = picked(r.ask(r.need(), offered, predictor=fixed))
    assert pick.evidence is Evidence.PREDICTED
    assert value(pick.throughput_samples_per_s) == pytest.approx(300, rel=0.02)
    names = [q.accelerator.name for q in fixed.asked]
    assert len(names) == len(set(names))
    assert {q.batch_size for q in fixed.asked if q.accelerator.name == "L4"} == {32}
    silent = picked(r.ask(r.need(), offered, predictor=Fixed(Absent(reason="out of range"))))
    assert silent.evidence is Evidence.ROOFLINE
    formula = next(s.formula for s in silent.trail if s.name == "throughput")
    assert "the predictor refuses: out of range" in formula
    plain = picked(r.ask(r.need(), offered)).throughput_samples_per_s
    assert isinstance(plain, Estimated)
    assert isinstance(silent.throughput_samples_per_s, Estimated)
    assert silent.throughput_samples_per_s.interval.low < plain.interval.low * 0.6
    run = r.measured(500.0)
    known = picked(r.ask(r.need(**MINE), offered, run, predictor=Fixed(answer)))
    assert known.evidence is Evidence.ACCELERATOR


def test_what_is_predicted_of_a_whole_card_is_not_the_rate_of_a_slices_smaller_batch() -> None:
    """An eighth of an L4 has 3 GB: it takes 2 where the card was asked for 32, and that is slower."""
    answer = Estimated(value=300.0, interval=Interval(low=250.0, high=360.0, level=0.9), method="m")
    offered = r.of(r.offer(accelerator_count=0.125))
    fixed = Fixed(answer)
    pick = picked(r.ask(r.need(), offered, predictor=fixed))
    assert {q.batch_size for q in fixed.asked if q.accelerator.name == "L4"} == {32}
    assert pick.batch_size < 32
    by_hand = 300 / 8 * (pick.batch_size / 32) ** 0.2
    assert value(pick.throughput_samples_per_s) == pytest.approx(by_hand, rel=0.02)
    way = next(s for s in pick.trail if s.name == "throughput")
    assert way.formula == f"0.125 of (m x (batch {pick.batch_size} / 32)^0.2)"


def test_the_roofline_is_the_data_sheets_by_hand() -> None:
    """An L4: 30.3 TFLOPS and 300 GB/s, a quarter and three quarters of which are reached; 15 ms a step.

    A sample is 24 GFLOP and 6 passes over the usual 10.6 M numbers; a step moves 25 M parameters: read
    twice, the gradient written, Adam's 28 bytes.
    """
    pick = picked(r.ask(r.need(), r.of(r.offer())))
    numbers = 8e9 / 2 / 377
    sample_s = 24e9 / (30.3e12 * 0.25) + numbers * 4 * 6 / (300e9 * 0.75)
    step_s = 25e6 * (8 + 4 + 28) / (300e9 * 0.75) + 0.015
    assert pick.evidence is Evidence.ROOFLINE
    assert pick.batch_size == 32
    by_hand = 32 / (32 * sample_s + step_s)
    assert value(pick.throughput_samples_per_s) == pytest.approx(by_hand, rel=0.02)


SMALL_TABLES: dict[str, Any] = {"parameters": 333e6, "flops_per_sample": 1.6e6, "batch_size": 2048}
"""A recommender: 0.8 million parameters are multiplied, the others are looked up."""


def test_a_model_of_little_arithmetic_is_bound_by_what_it_moves() -> None:
    """96 cores of 118 TFLOPS a socket do not train 12 million samples a second of large tables."""
    host = r.cpu(
        instance_type="c7i.48xlarge", vcpus=192.0, memory_gib=384.0, cpu_model="Xeon-8488C"
    )
    pick = picked(r.ask(r.need(**SMALL_TABLES, precision="bf16"), r.of(host)))
    # Gradient and Adam go through all parameters; two sockets of 307 GB/s, three quarters reached.
    step_s = (0.8e6 * 2 * 2 + 333e6 * (4 + 28)) / (2 * 307.2e9 * 0.75)
    sample_s = 3 * 1.6e6 / (118e12 / 48 * 96**0.85 * 0.25)
    sample_s += 1.6e6 / 2 / 377 * 2 * 6 / (2 * 307.2e9 * 0.75)
    found = pick.throughput_samples_per_s
    assert isinstance(found, Estimated)
    assert found.value == pytest.approx(2048 / (2048 * sample_s + step_s), rel=0.03)
    assert found.value < 1e5
    # Where an optimizer leaves out what was not looked up it is much faster: the range says so.
    assert found.interval.high > 20 * found.value


def test_a_decoders_cache_is_an_input_that_is_held_and_read() -> None:
    """42 MB a sample: an H200 had 3,922 MiB in use at batch 16 in bf16; 1.8 GiB was the most told."""
    asked = needs.build(
        {"task": "inference", "workload": "gpt2_decode", "precision": "bf16", "samples": 1e9}
    )[0]
    pick = picked(r.ask(asked, r.of(r.offer())))
    assert pick.batch_size == 16
    peak = pick.memory_mib
    assert isinstance(peak, Estimated)
    assert peak.value < 3922 < peak.interval.high
    # An L4's 300 GB/s: the cache is read in fp32, and its copy in 16 bits is written and read.
    cache = 24 * 12 * 576 * 64 * 4
    moved = 2 * cache + job.read(asked, ()).activations[1] * 2 * 2
    sample_s = 268_297_728 / (121e12 * 0.25) + moved / (300e9 * 0.75)
    by_hand = 16 / (16 * sample_s + 124_439_808 * 2 / (300e9 * 0.75) + 0.004)
    assert value(pick.throughput_samples_per_s) == pytest.approx(by_hand, rel=0.02)
    # Pictures are a hundredth of what a network makes of them.
    assert job.read(needs.build({"workload": "resnet50"})[0], ()).input_bytes == 0


def test_one_request_split_over_many_cores_is_not_as_many_times_as_fast() -> None:
    """BERT on 96 cores in bf16: a p99 of 1.85 ms had been promised of a quarter of all their peaks."""
    host = r.cpu(
        instance_type="c7i.48xlarge", vcpus=192.0, memory_gib=384.0, cpu_model="Xeon-8488C"
    )
    bert = {"parameters": 110e6, "flops_per_sample": 22.3e9, "precision": "bf16"}
    answer = r.ask(r.serve(**bert, p99_ms=5.0), r.of(host))
    assert answer.pick is None
    (rejection,) = answer.rejected
    assert rejection.constraint is Constraint.LATENCY
    few = r.cpu(instance_type="c7i.large", vcpus=2.0, memory_gib=64.0, cpu_model="Xeon-8488C")
    asked = r.need(precision="bf16")
    one, many = (picked(r.ask(asked, r.of(o))) for o in (few, host))
    ratio = value(many.throughput_samples_per_s) / value(one.throughput_samples_per_s)
    assert 96**0.85 * 0.9 < ratio < 96 * 0.8
    formula = next(s.formula for s in many.trail if s.name == "throughput")
    assert "2 times as wide to either side, since no processor was measured at this" in formula
    spread = many.throughput_samples_per_s
    assert isinstance(spread, Estimated)
    assert spread.interval.low < spread.value / 10


def test_a_processor_is_scaled_by_cores_never_linearly_in_silence() -> None:
    """Measured on 2 cores, asked for 8: 4^0.85 times, and the formula says so."""
    device = replace(r.GPU, id="cpu", kind="cpu", name="AMD EPYC", facts={"physical_cores": 2})
    run = r.measured(10.0, device=device, batches=(8,))
    pick = picked(r.ask(r.need(**MINE), r.of(r.cpu()), run))
    assert pick.evidence is Evidence.PREDICTED
    assert value(pick.throughput_samples_per_s) == pytest.approx(10 * 4**0.85, rel=0.05)
    formula = next(s.formula for s in pick.trail if s.name == "throughput")
    assert "(8 / 2 cores)^0.85" in formula


def test_a_containers_share_of_a_machine_is_not_the_machine() -> None:
    """Two threads on 96 cores did 10: eight cores do 4^0.85 times that, and no 12th of it.

    Nor is it what the rented type does, though the type was seen from within the container.
    """
    device = replace(r.GPU, id="cpu", kind="cpu", name="AMD EPYC", facts={"physical_cores": 96})
    run = r.measured(10.0, device=device, batches=(8,), instance="cpu.16", threads=2)
    pick = picked(r.ask(r.need(**MINE), r.of(r.cpu()), run))
    assert pick.evidence is Evidence.PREDICTED
    assert value(pick.throughput_samples_per_s) == pytest.approx(10 * 4**0.85, rel=0.05)
    whole = r.measured(10.0, device=device, batches=(8,), instance="cpu.16", threads=192)
    there = picked(r.ask(r.need(**MINE), r.of(r.cpu()), whole))
    assert there.evidence is Evidence.INSTANCE
    assert value(there.throughput_samples_per_s) == pytest.approx(10, rel=0.02)


def test_several_devices_scale_by_a_stated_efficiency() -> None:
    """Eight A100 with NVLink: 8 x 0.95^3, said to be not measured."""
    one, eight = r.offer(**r.A100), r.offer(**{**r.A100, "accelerator_count": 8.0})
    alone = picked(r.ask(r.need(), r.of(one)))
    many = picked(r.ask(r.need(), r.of(eight)))
    ratio = value(many.throughput_samples_per_s) / value(alone.throughput_samples_per_s)
    assert ratio == pytest.approx(8 * 0.95**3, rel=0.1)
    (scaling,) = [s for s in many.trail if s.name == "scaling"]
    assert scaling.value.startswith("6.86 (5.09 to 7.76)")
    assert "not measured" in scaling.formula


def test_devices_that_were_measured_together_only_are_not_taken_for_one() -> None:
    """4 L4s did 1,600 a second: an instance of 4 does that, and one of them 400."""
    run = r.measured(1600.0, n_devices=4)
    four = picked(r.ask(r.need(**MINE), r.of(r.offer(accelerator_count=4.0)), run))
    assert value(four.throughput_samples_per_s) == pytest.approx(1600, rel=0.02)
    assert "4 devices were measured together" in next(
        s.formula for s in four.trail if s.name == "scaling"
    )
    one = picked(r.ask(r.need(**MINE), r.of(r.offer()), run))
    assert value(one.throughput_samples_per_s) == pytest.approx(400, rel=0.02)
    assert "one of 4 devices has its share" in next(
        s.formula for s in one.trail if s.name == "throughput"
    )


def test_the_reasons_say_how_much_memory_it_may_take() -> None:
    """The end by which the batch was chosen: 5.1 of 45.1 GiB did not say why it is no larger."""
    answer = r.ask(r.need(), r.of(r.offer()))
    assert answer.pick is not None
    memory = answer.pick.memory_mib
    assert isinstance(memory, Estimated)
    most = f"{memory.value / 1024:.1f} GiB (up to {memory.interval.high / 1024:.1f}) of "
    assert any(most in reason for reason in answer.reasons)


def test_the_reasons_say_what_several_devices_are_taken_as() -> None:
    """Never linear in silence: not only --explain has it."""
    reasons = r.ask(r.need(), r.of(r.offer(accelerator_count=4.0))).reasons
    assert any(
        "Its 4 devices are taken as 2.89 (1.69 to 3.61) x one device (4 x 0.85^log2(4), not measured)"
        in reason
        for reason in reasons
    )
    assert any("A batch of 32 a device takes" in reason for reason in reasons)
    one = r.ask(r.need(), r.of(r.offer())).reasons
    assert not any("devices are taken" in reason for reason in one)
    assert any("A batch of 32 takes" in reason for reason in one)


def test_steps_say_that_one_of_several_devices_is_measured() -> None:
    """The command takes one device; what all do together is told as the assumption that it is."""
    answer = r.ask(r.need(), r.of(r.offer(accelerator_count=4.0)))
    assert answer.launch is not None
    assert isinstance(answer.launch.skypilot_yaml, str)
    for text in (answer.launch.skypilot_yaml, answer.launch.shell):
        lines = [line.strip() for line in text.splitlines()]
        command = next(
            i for i, line in enumerate(lines) if "dlbench run" in line and line[0] != "#"
        )
        assert "--device nvidia:0" in lines[command]
        assert lines[command - 3 : command] == [
            "# this measures nvidia:0 alone",
            "# all 4 are taken as 2.89 (1.69 to 3.61) x one device (4 x 0.85^log2(4), not measured)",
            "# dlbench run measures one device: time your own program on 1 and on 4",
        ]
    assert any("time your own program on 1 and on 4" in reason for reason in answer.reasons)


def test_steps_of_one_device_measure_that_one_and_say_nothing_of_others() -> None:
    """A processor is measured where one was picked: not the host beside each accelerator."""
    one = r.ask(r.need(), r.of(r.offer())).launch
    host = r.ask(r.need(), r.of(r.cpu())).launch
    assert one is not None
    assert host is not None
    assert "--device nvidia:0" in one.shell
    assert "--device cpu" in host.shell
    assert "alone" not in one.shell + host.shell


def test_several_devices_scale_as_measured_where_somebody_did() -> None:
    """A case of two devices over one of one."""
    run = r.measured(500.0)
    two = r.measured(800.0, n_devices=2)
    two = replace(two, run_id="20260102T000000Z-test-2c-abcdef")
    offered = r.of(r.offer(accelerator_count=2.0))
    pick = picked(r.ask(r.need(**MINE), offered, run, two))
    assert value(pick.throughput_samples_per_s) == pytest.approx(800, rel=0.02)
    assert "measured: 800 / 500" in next(s.formula for s in pick.trail if s.name == "scaling")
    answer = r.ask(r.need(**MINE), offered, run, two)
    assert answer.launch is not None
    assert (
        "all 2 are taken as 1.6 x one device (measured: 800 / 500 samples/s)" in answer.launch.shell
    )
    assert "your own program on" not in answer.launch.shell + " ".join(answer.reasons)


def test_several_tuned_devices_are_not_set_beside_a_plain_one() -> None:
    """Two did 1,500 `tuned`, one 500 in base: not three times; where one did 900 so, 1.67 times."""
    runs = [
        r.measured(500.0),
        r.measured(1500.0, n_devices=2, policy=Policy.TUNED),
        r.measured(900.0, policy=Policy.TUNED),
    ]
    runs = [replace(x, run_id=f"2026010{i}T000000Z-test-2c-abcdef") for i, x in enumerate(runs, 1)]
    offered = r.of(r.offer(accelerator_count=2.0))
    apart = picked(r.ask(r.need(**MINE), offered, *runs[:2]))
    assert "not measured" in next(s.formula for s in apart.trail if s.name == "scaling")
    alike = picked(r.ask(r.need(**MINE), offered, *runs))
    assert value(alike.throughput_samples_per_s) == pytest.approx(1500, rel=0.02)


@pytest.mark.parametrize(
    ("provider", "kind", "cores"),
    [
        ("gcp", "c4a-standard-16", 16.0),
        ("gcp", "t2d-standard-16", 16.0),
        ("gcp", "c4-standard-16", 8.0),
        ("azure", "Standard_D16ps_v5", 16.0),
        ("azure", "Standard_F16as_v6", 16.0),
        ("azure", "Standard_F16s_v2", 8.0),
        ("azure", "Standard_D16as_v5", 8.0),
        ("aws", "m8gd.4xlarge", 16.0),
        ("aws", "r7a.4xlarge", 16.0),
        ("aws", "m7i.4xlarge", 8.0),
        ("me", "c4a-standard-16", 8.0),
    ],
)
def test_a_vcpu_is_a_core_where_a_core_has_one_thread(
    provider: str, kind: str, cores: float
) -> None:
    """Of types whose processor no price list names, as of those whose it does."""
    machine = r.cpu(provider=provider, instance_type=kind, vcpus=16.0)
    assert evidence.cores(machine, r.of(machine)) == cores


def test_a_users_own_model_counts_by_its_documents() -> None:
    """A name that no workload folder has is found in the documents; elsewhere it is refused."""
    pick = picked(r.ask(r.need(**MINE), r.of(r.offer()), r.measured(500.0)))
    assert step(pick, "model").startswith("25 M parameters")
    with pytest.raises(UsageError) as caught:
        r.ask(r.need(**MINE), r.of(r.offer()))
    assert "'mine' is unknown" in caught.value.message
    assert "dlbench run --model" in caught.value.advice


@pytest.mark.parametrize(
    ("asked", "message", "advice"),
    [
        ({"workload": "mime"}, "workload 'mime' is unknown", "Did you mean mine? "),
        (
            {"workload": "mine", "variant": "tiny"},
            "variant 'tiny' is not one of mine's, as documents have it",
            "Known: full.",
        ),
    ],
)
def test_ones_own_model_is_found_where_its_name_is_nearly_right(
    asked: dict[str, Any], message: str, advice: str
) -> None:
    """A wrong letter, and a variant that it does not have, are told as what they are."""
    need = r.need(parameters=None, flops_per_sample=None, **asked)
    with pytest.raises(UsageError) as caught:
        r.ask(need, r.of(r.offer()), r.measured(500.0))
    assert caught.value.message.startswith(message)
    assert caught.value.advice.startswith(advice)


def test_a_model_that_nobody_counted_needs_its_flops_from_the_user() -> None:
    """A model of one's own may have been built without a count."""
    run = r.measured(500.0)
    (info,) = run.plan.workloads
    uncounted = replace(info, flops=Absent(reason="a custom layer"))
    blind = replace(run, plan=replace(run.plan, workloads=(uncounted,)))
    with pytest.raises(UsageError, match="flops_per_sample is missing: your own model"):
        r.ask(r.need(**MINE), r.of(r.offer()), blind)
    told = r.need(**{**MINE, "flops_per_sample": 8e9})
    assert picked(r.ask(told, r.of(r.offer()), blind)).evidence is Evidence.ACCELERATOR
    both = picked(r.ask(r.need(**MINE), r.of(r.offer()), blind, run))
    assert both.evidence is Evidence.ACCELERATOR


def described(run: Run, **changes: Any) -> Run:
    """A document whose workload is described otherwise."""
    (info,) = run.plan.workloads
    return replace(run, plan=replace(run.plan, workloads=(replace(info, **changes),)))


def test_a_model_of_ones_own_from_another_file_is_another_model() -> None:
    """The newest document says which it is; what an older file did is no evidence, and that is told."""
    old = r.measured(900.0, batches=(64,), peaks_mib=(20_000.0,))
    new = described(r.measured(100.0), content_hash="1" * 64, flops=40e9)
    new = replace(new, created_utc="2026-06-01T00:00:00Z")
    answer = r.ask(r.need(**MINE), r.of(r.offer()), new, old)
    pick = picked(answer)
    assert value(pick.throughput_samples_per_s) == pytest.approx(100.0, rel=0.01)
    assert pick.batch_size == 32
    assert "40 GFLOP" in step(pick, "model")
    assert value(pick.memory_mib) == pytest.approx(4000.0)
    told = "1 case of another version of the workload, or of another file, not counted."
    assert told in answer.notes
    assert told not in r.ask(r.need(**MINE), r.of(r.offer()), new).notes


def test_another_version_of_a_workload_is_no_evidence() -> None:
    """What a sample is, or what it costs, is not the same; other files of one version are that one."""
    asked = r.need(**{**MINE, "workload": "resnet50"})
    run = described(r.measured(500.0, workload="resnet50"), name="resnet50", content_hash="1" * 64)
    assert picked(r.ask(asked, r.of(r.offer()), run)).evidence is Evidence.ACCELERATOR
    other = described(run, version=99)
    assert picked(r.ask(asked, r.of(r.offer()), other)).evidence is Evidence.ROOFLINE


# --- memory ---------------------------------------------------------------------------------


def model_of(*runs: Any, policy: Policy = Policy.BASE, **fields: Any) -> memory.PeakModel:
    """The peak model of the workload ``mine`` on GPUs."""
    asked = r.need(**{**MINE, **fields})
    return memory.peak_models(job.read(asked, runs), asked, runs, "gpu")[policy]


def test_peak_memory_over_batch_is_fitted_to_a_sweep() -> None:
    """1,000 MiB and 50 a sample, from four batches; a batch beyond them is extrapolated."""
    batches = (8, 16, 32, 64)
    run = r.measured(500.0, batches=batches, peaks_mib=tuple(1000 + 50.0 * b for b in batches))
    model = model_of(run)
    assert model.at(0).value == pytest.approx(1000)
    assert model.each[1] == pytest.approx(50)
    assert model.at(128).value == pytest.approx(7400)
    assert model.at(128).interval.high >= 7400 * 1.05
    assert "fitted to batches [8, 16, 32, 64]" in model.method


def test_a_noisy_sweep_widens_the_interval_by_its_largest_residual() -> None:
    """What the line does not explain may happen again."""
    run = r.measured(500.0, batches=(8, 16, 32), peaks_mib=(1400.0, 2300.0, 2600.0))
    model = model_of(run)
    assert model.at(16).interval.high > 2300


def ends(model: memory.PeakModel, batch: int) -> tuple[float, float, float]:
    """Low end, value and high end of a peak."""
    at = model.at(batch)
    return at.interval.low, at.value, at.interval.high


def test_one_measured_batch_is_a_point_that_every_line_goes_through() -> None:
    """The growth is bounded by activations; what holds below the point is the flattest line's."""
    model = model_of(r.measured(500.0, batches=(32,), peaks_mib=(4000.0,)))
    assert ends(model, 32) == pytest.approx((3800, 4000, 4200))
    for batch in (1, 8, 31, 33, 64):
        low, mid, high = ends(model, batch)
        assert low < mid < high
    flat, _, steep = model.each
    assert ends(model, 8)[2] == pytest.approx(4200 - 24 * flat)
    assert ends(model, 64)[2] == pytest.approx(4200 + 32 * steep)


def test_no_batch_needs_less_than_weights_gradients_and_the_optimizer() -> None:
    """Base BERT and Adam, 16 bytes of each of 109 M parameters: no batch fits into a GiB.

    A framework that was seen to hold less does.
    """
    bert: dict[str, Any] = {"parameters": 109.48e6, "flops_per_sample": 22.3e9, "workload": "mine"}
    held = 109.48e6 * 16 / 2**20
    point = r.measured(3270.0, batches=(64,), peaks_mib=(5478.0,), precision=Precision.BF16)
    model = model_of(point, **bert, precision="bf16")
    for batch in (1, 2, 8, 64):
        assert held <= ends(model, batch)[0] + 1e-6
    assert memory.gate(model, 1024.0, 64, fixed=False).batch is None
    assert memory.gate(model, 6000.0, 64, fixed=False).batch == 64
    frozen = r.measured(3270.0, batches=(64,), peaks_mib=(900.0,), precision=Precision.BF16)
    assert memory.gate(model_of(frozen, **bert, precision="bf16"), 1024.0, 64, fixed=False).batch


def test_two_measured_batches_are_no_fit() -> None:
    """The line through both is the middle; nothing is left over that could say how far it is off."""
    model = model_of(r.measured(500.0, batches=(32, 64), peaks_mib=(3000.0, 4600.0)))
    for batch, peak in ((32, 3000), (64, 4600), (128, 7800)):
        assert model.at(batch).value == pytest.approx(peak)
    assert ends(model, 32) == pytest.approx((2850, 3000, 3150), rel=0.02)
    low, _, high = ends(model, 256)
    # 50 MiB a sample, of which activations alone may be 14 to 285: a twentieth would be a pretence.
    assert high > 1.05 * 1.1 * 14200
    assert low < 0.95 * 0.9 * 14200
    assert "3000 MiB measured at batch 32 and 4600 MiB measured at batch 64" in model.method


def test_policies_are_not_mixed_into_one_line() -> None:
    """Base at 32 and tuned at 64 are a point each; what was not measured borrows the other's."""
    base = r.measured(500.0, batches=(32,), peaks_mib=(3000.0,))
    tuned = r.measured(900.0, batches=(64,), peaks_mib=(3200.0,), policy=Policy.TUNED)
    assert model_of(base, tuned).at(32).value == pytest.approx(3000)
    assert model_of(base, tuned, policy=Policy.TUNED).at(64).value == pytest.approx(3200)
    assert "batch 64" not in model_of(base, tuned).method
    assert model_of(base, policy=Policy.TUNED) == model_of(base)


def test_without_a_measurement_the_bound_counts_what_training_keeps() -> None:
    """25 M parameters with Adam: 16 bytes each, 381 MiB, beside the context and the activations."""
    asked = r.need(activation_mib_per_sample=50.0)
    model = memory.peak_models(job.read(asked, ()), asked, (), "gpu")[Policy.BASE]
    assert ends(model, 0)[0] == pytest.approx(300 + 25e6 * 16 / 2**20)
    assert model.each[1] == pytest.approx(50)
    assert model.at(10).interval.high > model.at(10).value > model.at(10).interval.low


def test_what_training_keeps_is_not_what_a_forward_pass_writes() -> None:
    """ResNet-50 keeps 89 MiB a sample, 2.1 times its 11.1 million outputs: these alone are traffic.

    And inference, which frees them, keeps 0.15 of them: 6.4 MiB, not 89.
    """
    stated = {"activation_mib_per_sample": 88.9}
    read = job.read(r.need(**stated), ())
    assert read.activations == pytest.approx((11.1e6, 11.1e6, 11.1e6 * 2.1 / 1.2), rel=1e-2)
    served = r.serve(**stated)
    model = memory.peak_models(job.read(served, ()), served, (), "gpu")[Policy.BASE]
    assert model.each[1] == pytest.approx(6.35, rel=1e-2)
    fixed = Fixed(answered(1000.0))
    r.ask(r.need(**stated), r.of(r.offer()), predictor=fixed)
    assert fixed.asked[0].activations == pytest.approx(11.1e6, rel=1e-2)


def test_the_gate_shrinks_the_batch_unless_it_was_asked_for() -> None:
    """By halves, until even the high end fits; one that was asked for is refused with both sizes."""
    model = memory.PeakModel(
        anchors=((0, (900, 1000, 1100)),), each=(90, 100, 110), method="by hand", sources=()
    )
    assert memory.gate(model, 5000.0, 64, fixed=False).batch == 32
    refused = memory.gate(model, 5000.0, 64, fixed=True)
    assert refused.batch is None
    assert refused.reason.startswith("batch 64 needs 6.5 GiB, 4.9 GiB are usable")
    doubtful = memory.gate(model, 7500.0, 64, fixed=True)
    assert "may need up to 7.9 GiB" in doubtful.reason
    assert memory.gate(model, 1000.0, 64, fixed=False).batch is None


def test_a_model_that_fits_nowhere_is_refused_before_anyone_rents() -> None:
    """70 billion parameters in training: a thousand GiB and more."""
    answer = r.ask(r.need(parameters=70e9, flops_per_sample=1.4e13), r.of(r.offer(), r.cpu()))
    assert answer.pick is None
    assert {x.constraint for x in answer.rejected} == {Constraint.MEMORY}
    assert answer.binding[0].startswith("memory binds for 2 of 2 ways")
    assert "GiB are usable" in answer.binding[0]


def test_several_devices_hold_what_they_exchange_gradients_in() -> None:
    """1.3 billion parameters took 33 GiB at batch 32, and fit a card of 40; each of two has 5 more."""
    fields = {**MINE, "parameters": 1.34e9, "batch_size": 32, "precision": "fp32"}
    run = r.measured(500.0, peaks_mib=(34_000.0,))
    card = {**r.A100, "accelerator": "A100-SXM4-40GB"}
    one, two = r.of(r.offer(**card)), r.of(r.offer(**{**card, "accelerator_count": 2.0}))
    assert picked(r.ask(r.need(**fields), one, run)).batch_size == 32
    together = r.ask(r.need(**fields), two, run)
    (out,) = together.rejected
    assert out.constraint is Constraint.MEMORY
    assert "+ 5112 MiB of gradients for the exchange" in out.reason
    fitting = r.of(r.offer(**{**r.A100, "accelerator_count": 2.0}))
    peak = picked(r.ask(r.need(**fields), fitting, run)).memory_mib
    assert isinstance(peak, Estimated)
    assert peak.value == pytest.approx(34_000 + 1.34e9 * 4 / 2**20)
    assert peak.interval.low == pytest.approx(34_000 * 0.95)
    # Replicas that infer exchange nothing.
    table = {k: v for k, v in fields.items() if v} | {"task": "inference", "samples": 1e6}
    peak = picked(r.ask(needs.build(table)[0], fitting, run)).memory_mib
    assert isinstance(peak, Estimated)
    assert "exchange" not in peak.method


def test_what_is_needed_is_told_apart_from_what_is_there() -> None:
    """Not "needs 2.6 GiB, 2.6 GiB are usable"."""

    class Model:
        method = "a test"

        def at(self, _: int) -> Estimated:
            ends = Interval(low=2660.0, high=3000.0, level=0.9)
            return Estimated(value=2800.0, interval=ends, method="a test", from_=())

    fit = memory.gate(cast("Any", Model()), 2655.0, 1, fixed=False)
    assert fit.reason == "batch 1 needs 2.598 GiB, 2.593 GiB are usable (a test)"


# --- time, cost, carbon ---------------------------------------------------------------------


def test_upload_and_hours_are_billed_as_the_provider_does() -> None:
    """100 GB at 100 Mbit/s are 2.2 h; whoever's habit is not known bills whole hours."""
    cheap = picked(r.ask(r.need(data_gb=100.0), r.of(r.offer())))
    upload_h = float(step(cheap, "upload").split()[0])
    assert upload_h == pytest.approx(100 * 8000 / 100 / 3600 * 1.15, rel=0.03)
    hourly = r.offer(provider="verda", region="eu")
    pick = picked(r.ask(r.need(), r.of(hourly)))
    assert value(pick.cost_usd) / 0.8 == pytest.approx(round(value(pick.cost_usd) / 0.8))
    assert value(pick.cost_usd) >= 0.8 * value(pick.time_s) / 3600


@pytest.mark.parametrize(
    ("provider", "instance_type", "words", "source"),
    [
        ("aws", "l4.small", "by the second, at least a minute", "https://aws.amazon.com/"),
        ("runpod", "1x_L4", "by the second", "https://docs.runpod.io/"),
        ("azure", "Standard_L4", "by the minute", "https://learn.microsoft.com/"),
        ("oci", "VM.GPU.A10.1", "by the second, at least a minute", "Oracle's announcement"),
        ("oci", "BM.GPU.A10.4", "by the second, at least an hour", "Oracle's announcement"),
        ("verda", "1x L4", "by the hour", "not confirmed"),
        ("my shop", "desk", "by the hour", "not confirmed"),
    ],
)
def test_how_a_seller_bills_is_told_with_its_page(
    provider: str, instance_type: str, words: str, source: str
) -> None:
    """Or that nobody confirmed it."""
    offer = r.offer(provider=provider, instance_type=instance_type)
    (told,) = [s for s in picked(r.ask(r.need(), r.of(offer))).trail if s.name == "billing"]
    assert told.value == words
    assert told.source.startswith(source)
    assert bool(told.as_of) is (source != "not confirmed")


def test_a_short_run_on_a_bare_machine_of_oci_costs_an_hour() -> None:
    """A virtual one is paid by the second."""
    run = r.measured(5000.0, instance="l4.small")

    def cost(instance_type: str) -> float:
        offer = r.offer(provider="oci", instance_type=instance_type)
        asked = r.need(**MINE, samples=1e5, set_up_min=[1.0, 1.0])
        return value(picked(r.ask(asked, r.of(offer), run)).cost_usd)

    assert cost("BM.GPU.A10.4") == pytest.approx(0.8)
    assert cost("VM.GPU.A10.1") < 0.1


def test_spot_pays_for_interruptions_with_rework_and_restarts() -> None:
    """Slower than on demand, by the more the rarer the checkpoints; cheaper all the same."""
    offered = r.of(r.offer(spot_usd_per_h=0.3, spot_as_of="2026-11-20"))
    run = r.measured(500.0, instance="l4.small")
    fields = {**MINE, "samples": 2e8, "spot_interruptions_per_h": [0.1, 0.1]}
    often = picked(r.ask(r.need(**fields, spot=True, checkpoint_min=10.0), offered, run))
    rarely = picked(r.ask(r.need(**fields, spot=True, checkpoint_min=240.0), offered, run))
    calm = picked(r.ask(r.need(**fields), offered, run))
    assert often.spot
    assert rarely.spot
    # 2e8 samples at 500 a second are 111 h: 11 interruptions, of 5 minutes of rework each. With 4 h
    # between checkpoints what is done again is interrupted again: 13.7 times 1.87 h.
    assert float(step(often, "interruptions").split()[0]) == pytest.approx(11, rel=0.1)
    more_h = (value(rarely.time_s) - value(often.time_s)) / 3600
    assert float(step(rarely, "interruptions").split()[0]) == pytest.approx(13.7, rel=0.1)
    assert more_h == pytest.approx(13.7 * 1.87 - 11.1 * 5 / 60, rel=0.1)
    assert value(often.time_s) > value(calm.time_s)


def test_what_an_interruption_costs_can_be_worked_out_from_its_line() -> None:
    """A restart has the need's set-up in it: 10 minutes and 60, beside 5 of rework, about 11 times."""
    offered = r.of(r.offer(spot_usd_per_h=0.1, spot_as_of="2026-11-20"))
    fields = {
        **MINE,
        "samples": 2e8,
        "spot_interruptions_per_h": [0.1, 0.1],
        "set_up_min": [60, 60],
    }
    asked = r.need(**fields, spot=True, checkpoint_min=10.0)
    pick = picked(r.ask(asked, offered, r.measured(500.0, instance="l4.small")))
    (way,) = [s for s in pick.trail if s.name == "interruptions"]
    assert (
        "min of rework (checkpoints each 10 min) and 70 min of restart and set-up each"
        in way.formula
    )
    rework_min = float(way.formula.split(" an hour; ")[1].split(" ")[0])
    n, lost_h = (float(way.value.split(" ")[i]) for i in (0, 3))
    assert n * (rework_min + 70) / 60 == pytest.approx(lost_h, rel=0.1)
    assert "its set-up comes on top" in assumptions.RESTART_MIN.source


METERED = evidence.Rate(
    value=1000.0,
    low=1000.0,
    high=1000.0,
    tier=Evidence.INSTANCE,
    batch=8,
    steps=(Step(name="throughput", value="1000", formula="measured", source="a test"),),
    energy_j_per_sample=Measured(value=0.05, n=3, source="RAPL"),
)


def metered_work(asked: Need, offered: Offer, catalog_: Catalog) -> estimate.Fitted:
    """The work of a need on an offer, whose joules a sample a meter has counted."""
    work = job.read(asked, ())
    kind = "gpu" if offered.accelerator else "cpu"
    return estimate.Fitted(
        need=asked,
        job=work,
        draws=simulate.draws(0),
        found=(),
        room=memory.Room(
            models=memory.peak_models(work, asked, (), kind), usable_mib=30_000.0, wanted=8
        ),
        rate=METERED,
        scale=scaling.together(offered, work, asked, (), catalog_),
    )


def test_a_processors_meter_is_not_counted_beside_its_own_host() -> None:
    """1,000 s of work are the meter's, 0.05 J a sample; the host's 40 W are for 360 s of set-up."""
    asked = r.need(set_up_min=[6, 6])
    found = {}
    for offered, catalog_ in ((r.cpu(), r.of(r.cpu())), (r.offer(), r.of(r.offer()))):
        fitted = metered_work(asked, offered, catalog_)
        choice = estimate.Choice(offer=offered, spot=False, device=None, place=None)
        simulated = estimate.training(choice, fitted)
        found[offered.accelerator] = value(simulated.candidate.energy_j)
    assert found[None] == pytest.approx(1e6 * 0.05 + 16 * 2.5 * 360, rel=0.05)
    assert found["L4"] == pytest.approx(1e6 * 0.05 + 8 * 2.5 * 1360, rel=0.05)


def test_the_way_of_metered_energy_has_what_several_devices_add_to_it() -> None:
    """Four that do 2.89 times as much as one draw 4 / 2.89 times as many joules a sample."""
    asked, offered = r.need(), r.offer(accelerator_count=4.0, vcpus=1.0, spot_usd_per_h=0.1)
    fitted = metered_work(asked, offered, r.of(offered))
    for spot, again in ((False, ""), (True, ", of what is done again too")):
        choice = estimate.Choice(offer=offered, spot=spot, device=None, place=None)
        simulated = estimate.training(choice, fitted)
        (way,) = [s for s in simulated.trail() if s.name == "energy"]
        told = f"0.05 J a sample x 4 / 2.89 (devices / scaling), metered{again}, + host 2.5 ("
        assert way.formula.startswith(told)
        joules = value(simulated.candidate.energy_j)
        assert joules == pytest.approx(1e6 * 0.05 * 4 / 2.89, rel=0.1)


def test_metered_energy_is_of_work_that_is_done_again_too() -> None:
    """At as many joules a sample; while a machine starts again its host draws power."""
    asked = r.need(spot=True, spot_interruptions_per_h=[36.0, 36.0], checkpoint_min=1.0)
    work, each_j = job.read(asked, ()), 0.05
    for offered in (r.cpu(spot_usd_per_h=0.01), r.offer(spot_usd_per_h=0.01)):

        def joules(*, spot: bool, metered_j: float, offered: Offer = offered) -> float:
            metered = Measured(value=metered_j, n=3, source="RAPL")
            models = memory.peak_models(work, asked, (), "cpu")
            fitted = estimate.Fitted(
                need=asked,
                job=work,
                draws=simulate.draws(0),
                found=(),
                room=memory.Room(models=models, usable_mib=30_000.0, wanted=8),
                rate=replace(METERED, energy_j_per_sample=metered),
                scale=scaling.together(offered, work, asked, (), r.of(offered)),
            )
            choice = estimate.Choice(offer=offered, spot=spot, device=None, place=None)
            found = estimate.training(choice, fitted).joules
            assert not isinstance(found, Absent)
            return float(found.mean())

        alone = {spot: joules(spot=spot, metered_j=0.0) for spot in (False, True)}
        metered = {
            spot: joules(spot=spot, metered_j=each_j) - alone[spot] for spot in (False, True)
        }
        # 1,000 s in minutes with 0.6 interruptions each, of which work is done again e^0.6 - 1 times.
        again = math.expm1(0.6) / 0.6 - 1
        assert metered[True] / metered[False] == pytest.approx(1 + again, rel=0.05)
        assert alone[True] > 2 * alone[False]


def test_a_day_without_checkpoints_is_not_spots() -> None:
    """20 h at an interruption each ten: (exp(2) - 1) / 0.1 = 64 h of a third of the price is more."""
    offered = r.of(r.offer(spot_usd_per_h=0.3, spot_as_of="2026-11-20"))
    run = r.measured(500.0, instance="l4.small")
    fields = {**MINE, "samples": 3.6e7, "spot": True, "spot_interruptions_per_h": [0.1, 0.1]}
    never = r.ask(r.need(**fields, checkpoint_min=1e6), offered, run)
    assert not picked(never).spot
    assert picked(r.ask(r.need(**fields, checkpoint_min=0), offered, run)).spot


def test_no_interruption_costs_nothing() -> None:
    """A rate of zero is a rate, and a machine may be set up already."""
    offered = r.of(r.offer(spot_usd_per_h=0.3, spot_as_of="2026-11-20"))
    for rate in (0.0, 1e-9):
        fields = {"spot_interruptions_per_h": [rate, rate], "set_up_min": [0, 0]}
        pick = picked(r.ask(r.need(spot=True, **fields), offered))
        assert step(pick, "interruptions").startswith("0 on average")
        assert step(pick, "set-up").startswith("0 h")


def test_carbon_is_a_range_of_the_region_and_can_be_the_objective() -> None:
    """The same machine in Sweden emits a fraction of what it does in Ohio; unknown is never least."""
    offers = [
        r.offer(region="us-east-2"),
        r.offer(region="eu-north-1", ondemand_usd_per_h=2.0),
        r.offer(provider="runpod", region="any", ondemand_usd_per_h=0.1),
    ]
    answer = r.ask(r.need(objective="carbon"), r.of(*offers))
    assert picked(answer).offer.region == "eu-north-1"
    carbon = picked(answer).carbon_g
    assert isinstance(carbon, Estimated)
    assert carbon.interval.high > 5 * carbon.interval.low
    unknown = [x for x in answer.rejected if "runpod" in x.name]
    assert unknown[0].constraint is Constraint.OBJECTIVE
    assert unknown[0].reason == "its carbon is not known, and is minimised"


def test_given_intensity_and_pue_replace_the_catalogs() -> None:
    """Then carbon is energy times both, exactly."""
    pick = picked(r.ask(r.need(intensity_g_per_kwh=100.0, pue=1.5), r.of(r.offer())))
    assert value(pick.carbon_g) == pytest.approx(value(pick.energy_j) / 3.6e6 * 150, rel=1e-6)


def test_carbon_can_be_priced_into_the_cost() -> None:
    """At 1,000 USD a kg the cleaner region wins over the cheaper one."""
    offers = r.of(r.offer(region="us-east-2"), r.offer(region="eu-north-1", ondemand_usd_per_h=0.9))
    assert picked(r.ask(r.need(), offers)).offer.region == "us-east-2"
    weighted = r.need(carbon_usd_per_kg=1000.0)
    assert picked(r.ask(weighted, offers)).offer.region == "eu-north-1"


def test_draws_have_the_ends_that_they_were_given() -> None:
    """A twentieth lies below the low end and a twentieth above the high end."""
    values = simulate.draws(3).spread("rate", 50.0, 100.0, 400.0)
    assert np.mean(values < 50) == pytest.approx(0.05, abs=0.02)
    assert np.mean(values > 400) == pytest.approx(0.05, abs=0.02)
    assert float(np.median(values)) == pytest.approx(100, rel=0.05)


def test_each_draw_is_one_of_equal_slices() -> None:
    """A thousand shares half a slice from the ends, and the normal deviate of each."""
    drawn = simulate.draws(3)
    even = np.sort(drawn.uniform("set_up", 5.0, 20.0))
    assert even == pytest.approx(5 + 15 * (np.arange(1000) + 0.5) / 1000)
    assert np.sort(drawn.normal["set_up"])[[25, 974]] == pytest.approx([-1.9515, 1.9515], abs=1e-4)
    deviates = [NormalDist().cdf(z) for z in drawn.normal["set_up"]]
    assert deviates == pytest.approx(drawn.shares["set_up"])
    assert not np.array_equal(drawn.shares["rate"], drawn.shares["set_up"])


def test_interruptions_are_common_to_all_candidates_too() -> None:
    """Work that takes a thousandth longer is interrupted as often, or once more: never less by luck.

    Their mean and spread are Poisson's, counted out and approximated alike.
    """
    drawn = simulate.draws(0)
    for mean in (0.0, 1e-4, 0.07, 1.0, 5.0, 19.99, 20.1, 90.0, 4e4):
        means = np.full(simulate.N_DRAWS, mean)
        counts = drawn.poisson(means)
        assert counts.mean() == pytest.approx(mean, rel=0.02, abs=1e-3)
        assert counts.var() == pytest.approx(mean, rel=0.05, abs=1e-3)
        longer = drawn.poisson(1.001 * means)
        assert (longer >= counts).all()
        assert (longer - counts <= 1 + 0.002 * counts).all()
    assert (drawn.poisson(np.full(simulate.N_DRAWS, np.inf)) < np.inf).all()


def test_the_same_seed_gives_the_same_answer_and_another_nearly() -> None:
    """Luck does not decide."""
    offered = r.of(r.offer(), r.cpu(), r.offer(**r.A100))
    assert r.ask(r.need(), offered) == r.ask(r.need(), offered)
    other = picked(r.ask(r.need(seed=9), offered))
    assert value(other.cost_usd) == pytest.approx(
        value(picked(r.ask(r.need(), offered)).cost_usd), rel=0.05
    )


# --- limits ---------------------------------------------------------------------------------


def test_a_deadline_takes_the_dearer_and_faster_machine() -> None:
    """And without it the cheaper one."""
    offered = r.of(r.offer(), r.offer(**{**r.A100, "ondemand_usd_per_h": 20.0}))
    fields = {"samples": 1e8, "precision": "bf16"}
    answer = r.ask(r.need(**fields), offered)
    assert picked(answer).offer.accelerator == "L4"
    hours = next(f.value for f in answer.flips if f.change == "deadline")
    fast = picked(r.ask(r.need(**fields, deadline_h=hours * 0.99), offered))
    assert fast.offer.accelerator == "A100-SXM4-80GB"
    assert fast.p_deadline is not None
    assert fast.p_deadline >= 0.9


def test_nothing_feasible_names_the_limit_and_by_how_much() -> None:
    """Each is lifted alone, and it is solved again."""
    offered = r.of(r.offer())
    late = r.ask(r.need(samples=1e8, deadline_h=1.0), offered)
    assert late.pick is None
    assert late.binding[0].startswith("deadline_h binds: it is 1 h")
    assert "times as much" in late.binding[0]
    poor = r.ask(r.need(samples=1e8, budget_usd=1.0), offered)
    assert poor.binding[0].startswith("budget_usd binds: it is 1 USD")
    monthly = r.ask(
        r.need(samples=1e8, budget_usd_per_month=10.0, runs_per_month=5.0, budget_usd=500.0),
        offered,
    )
    assert monthly.binding[0].startswith("budget_usd_per_month / runs_per_month binds: it is 2 USD")


NEEDED = re.compile(
    r"(\w+)(?: / runs_per_month)? is ([0-9.]+) \w+, and ([0-9,.]+) \w+ would be needed"
)


@pytest.mark.parametrize(
    "limits",
    [
        {"budget_usd": 1.0, "deadline_h": 1.0},
        {"deadline_h": 1.0, "carbon_limit_kg": 0.1},
        {"budget_usd": 1.0, "budget_usd_per_month": 2.0},
        {"budget_usd": 1.0, "deadline_h": 1.0, "carbon_limit_kg": 0.1},
    ],
)
def test_limits_that_stand_in_the_way_together_are_all_told(limits: dict[str, float]) -> None:
    """With what the nearest way needs of each, and no other: given all of that, it is the answer.

    Carbon was not named, of two budgets one alone, and money where the need has no limit of it.
    """
    offered = r.of(
        r.offer(), r.offer(**r.A10G), r.offer(instance_type="dear", ondemand_usd_per_h=9.0)
    )
    (told,) = r.ask(r.need(samples=1e8, **limits), offered).binding
    found = {name: float(x.replace(",", "")) for name, _, x in NEEDED.findall(told)}
    assert found.keys() == limits.keys()
    pick = picked(r.ask(r.need(samples=1e8, **found), offered))
    assert told.startswith(f"More than one limit stands in the way, least of {pick.name}, 1 x ")
    for name, limit in limits.items():
        assert r.ask(r.need(samples=1e8, **found | {name: limit}), offered).pick is None


def test_carbon_that_nobody_knows_is_told_among_limits_that_stand_together() -> None:
    """As unknown, and not as an amount that would do."""
    offered = r.of(r.offer(provider="runpod", region="any"))
    (told,) = r.ask(r.need(samples=1e8, deadline_h=1.0, carbon_limit_kg=5.0), offered).binding
    assert "deadline_h is 1 h, and " in told
    assert "; carbon_limit_kg is 5 kg, and the carbon of none of 1 way is known" in told


@pytest.mark.parametrize("samples", [2e6, 3e6, 5e6, 7e6, 11e6])
def test_what_is_told_as_needed_is_enough(samples: float) -> None:
    """A limit of 11.838 h that is told as 11.84 is kept by 11.84 h; 11.8366 told as 11.84 was too."""
    offered = r.of(r.offer(), r.offer(**r.A10G))
    for name, small in (("deadline_h", 0.5), ("budget_usd", 0.5), ("carbon_limit_kg", 0.01)):
        refused = r.ask(r.need(samples=samples, **{name: small}), offered)
        told = re.search(r", and ([0-9,.]+) \w+ would be needed", refused.binding[0])
        assert told is not None
        needed = float(told[1].replace(",", ""))
        assert picked(r.ask(r.need(samples=samples, **{name: needed}), offered))
        assert r.ask(r.need(samples=samples, **{name: 0.998 * needed}), offered).pick is None
        least = min(x.times or math.inf for x in refused.rejected)
        (nearest,) = [x for x in refused.rejected if x.times == least]
        up_to = re.search(r"up to ([0-9,.]+)", nearest.reason)
        assert up_to is not None
        assert float(up_to[1].replace(",", "")) >= least * small


def test_a_later_deadline_that_is_told_is_late_enough() -> None:
    """With so many hours or more: with just so many too."""
    offered = r.of(r.offer(), r.offer(**r.A10G))
    for samples in (1e6, 2e6, 3e6, 5e6):
        fast, slow = r.ask(r.need(samples=samples, deadline_h=0.01), offered).rejected[::-1]
        hours = 0.01 * ((fast.times or 0) + (slow.times or 0)) / 2
        flips = r.ask(r.need(samples=samples, deadline_h=hours), offered).flips
        (later,) = [f for f in flips if "or more" in f.sentence]
        told = float(later.sentence.split()[1].replace(",", ""))
        again = r.ask(r.need(samples=samples, deadline_h=told), offered)
        assert picked(again).name == later.new_pick


THREE = r.of(
    r.offer(**{**r.A100, "ondemand_usd_per_h": 20.0}),
    r.offer(),
    r.offer(accelerator="T4", instance_type="slow", ondemand_usd_per_h=0.1),
)
"""At a hundred million samples in fp16 the faster is the dearer."""


def test_how_far_a_tighter_limit_has_its_answer_is_told() -> None:
    """An hour less gave nothing at all, where the next best is but a moment faster or cheaper."""
    for objective, field in (("cost", "deadline_h"), ("time", "budget_usd")):
        work = {"objective": objective, "samples": 1e8, "precision": "fp16"}
        flips = r.ask(r.need(**work), THREE).flips
        (flip,) = [f for f in flips if f.change == field.split("_")[0]]
        told = re.search(r", down to ([0-9,.]+) (h|USD)\.$", flip.sentence)
        assert told is not None
        down_to = float(told[1].replace(",", ""))
        assert down_to < flip.value
        assert picked(r.ask(r.need(**work, **{field: down_to}), THREE)).name == flip.new_pick
        below = r.ask(r.need(**work, **{field: 0.99 * down_to}), THREE).pick
        assert below is None or below.name != flip.new_pick


def test_what_a_later_deadline_gives_is_not_all_that_time_could() -> None:
    """With so many hours "or more" the nearest was told; without any limit another is cheaper still."""
    work = {"samples": 1e8, "precision": "fp16"}
    fastest = min(x.times or 0 for x in r.ask(r.need(**work, deadline_h=0.1), THREE).rejected)
    flips = r.ask(r.need(**work, deadline_h=0.101 * fastest), THREE).flips
    (later,) = [f for f in flips if "or more" in f.sentence]
    assert later.new_pick == "aws l4.small (us-east-1)"
    assert "; without a deadline aws slow (us-east-1), 1 x T4, for " in later.sentence
    assert picked(r.ask(r.need(**work), THREE)).name == "aws slow (us-east-1)"


def test_a_months_budget_is_told_as_a_months_where_it_would_flip() -> None:
    """Of eight runs together, as the need has it; and below it the answer changes."""
    offered = r.of(r.offer(), r.offer(**r.A10G))
    fields = {"runs_per_month": 8, "samples": 1e7}
    answer = r.ask(r.need(budget_usd_per_month=900.0, **fields), offered)
    (flip,) = [f for f in answer.flips if f.change == "budget"]
    assert flip.sentence.startswith(
        f"With a budget under {compact(flip.value, 4)} USD a month: aws a10g"
    )
    for times, name in ((1.001, picked(answer).name), (0.998, flip.new_pick)):
        month = times * flip.value
        again = r.ask(r.need(budget_usd_per_month=month, **fields), offered)
        assert picked(again).name == name
    tight = r.ask(r.need(budget_usd_per_month=1.0, **fields), offered).rejected
    assert "USD, budget_usd_per_month / runs_per_month is 0.125" in tight[0].reason


def test_a_budget_of_cents_is_told_as_exactly_as_it_flips() -> None:
    """1.6 cents were told as two, under which nobody would do it: 1.7 are enough."""
    offered = r.of(r.offer(ondemand_usd_per_h=0.05))
    work = {"samples": 1e4}
    answer = r.ask(r.need(**work), offered)
    (flip,) = [f for f in answer.flips if f.change == "budget"]
    told = float(flip.sentence.removeprefix("With a budget under ").split(" USD")[0])
    assert 0.011 < told < 0.019
    assert picked(r.ask(r.need(**work, budget_usd=1.002 * told), offered))
    assert r.ask(r.need(**work, budget_usd=0.998 * told), offered).pick is None


def test_a_budget_that_a_purchase_breaks_is_told_with_its_price() -> None:
    """Its hours are cheap, the machine is not: 2,400 USD once, or 50 a month, of 5 runs 10 each."""
    desk = {"name": "desk", "accelerator": "L4", "vcpus": 8.0, "purchase_usd": 2400.0}
    work = {"owned": [{**desk, "utilisation": 1.0}], "samples": 1e7}
    offered = r.of(r.offer(ondemand_usd_per_h=9000.0, origin="user: mine.csv"))
    once = r.ask(r.need(**work, budget_usd=100.0), offered)
    assert once.binding == (
        (
            "budget_usd binds: it is 100 USD, and 2,400 USD would be needed (by desk (your own), "
            "1 x L4): 24 times as much."
        ),
    )
    monthly = r.ask(r.need(**work, budget_usd_per_month=40.0, runs_per_month=5.0), offered)
    assert monthly.binding[0].startswith(
        "budget_usd_per_month / runs_per_month binds: it is 8 USD, and 10 USD would be needed"
    )
    (flip,) = [f for f in r.ask(r.need(**work), offered).flips if f.change == "budget"]
    assert flip.value == pytest.approx(2400.0)
    kept = r.ask(r.need(**work, budget_usd=flip.value), offered)
    assert picked(kept).owned
    assert r.ask(r.need(**work, budget_usd=0.99 * flip.value), offered).pick is None


def test_of_two_budgets_the_one_that_is_broken_is_told() -> None:
    """A month's 500 USD are the tighter, and kept: 50 a month; what it is bought for is not."""
    desk = {"name": "desk", "accelerator": "L4", "vcpus": 8.0, "purchase_usd": 2400.0}
    need = r.need(owned=[desk], samples=1e7, budget_usd=1000.0, budget_usd_per_month=500.0)
    answer = r.ask(need, r.of(r.offer(ondemand_usd_per_h=9000.0, origin="user: mine.csv")))
    assert answer.binding == (
        (
            "budget_usd binds: it is 1,000 USD, and 2,400 USD would be needed (by desk (your own), "
            "1 x L4): 2.4 times as much."
        ),
    )


def test_what_nobody_knows_of_any_way_is_told_as_that() -> None:
    """Not as limits that stand in each other's way, nor as an unlimited amount that would be needed."""
    offered = r.of(r.offer(provider="runpod", region="any"))
    said = "binds: the carbon of none of 1 way is known, such as runpod l4.small (any): no carbon"
    for fields, name in (
        ({"objective": "carbon"}, "objective"),
        ({"carbon_usd_per_kg": 1.0}, "objective"),
        ({"carbon_limit_kg": 5.0}, "carbon_limit_kg"),
    ):
        answer = r.ask(r.need(**fields), offered)
        assert answer.pick is None
        assert len(answer.binding) == 1
        assert answer.binding[0].startswith(f"{name} {said}")


def test_a_wish_that_alone_stands_in_the_way_is_told_with_what_there_is_without_it() -> None:
    """Regions, sellers, devices and ages are lifted alone too, and it is solved again."""
    offered = r.of(r.offer(), r.offer(**{**r.A100, "region": "eu-central-1"}))
    fields = {"regions": ["DE"], "budget_usd": 5.0}
    answer = r.ask(r.need(**fields), offered)
    assert [s.split(" binds")[0] for s in answer.binding] == ["budget_usd", "regions"]
    assert answer.binding[1].startswith(
        "regions binds: without it, aws l4.small (us-east-1), 1 x L4"
    )
    assert picked(r.ask(r.need(budget_usd=5.0), offered)).offer.region == "us-east-1"
    both = r.ask(r.need(regions=["SE"], exclude_providers=["aws"]), offered)
    assert "binds for" in both.binding[0]
    assert "none could be simulated" in both.notes[0]
    big = r.ask(r.need(), r.of(r.offer(accelerator_count=16.0)))
    assert big.binding[0].startswith("max_devices binds: without it, aws l4.small")
    dated = r.offer(instance_type="newer", as_of="2026-11-23", ondemand_usd_per_h=9.0)
    out = r.ask(r.need(max_price_age_days=1, regions=["SE"]), r.of(r.offer(), dated)).rejected
    ages_ = {x.name.split()[1]: x.times for x in out}
    assert ages_ == {"l4.small": 5.0, "newer": 2.0}
    old = r.ask(r.need(max_price_age_days=1), offered)
    assert old.binding[0].startswith("max_price_age_days binds: without it, aws l4.small")


def test_spot_that_alone_would_keep_the_budget_is_told() -> None:
    """It is no limit, and a need that leaves it out never sees what it costs."""
    spot = {"spot_usd_per_h": 0.05, "spot_as_of": "2026-11-20", "spot_source": "a test"}
    offered = r.of(r.offer(**spot))
    answer = r.ask(r.need(budget_usd=0.75), offered)
    assert answer.binding[0].startswith("budget_usd binds: it is 0.75 USD")
    assert answer.binding[1].startswith(
        "spot binds: with it, aws l4.small (us-east-1) spot, 1 x L4"
    )
    for without in (r.need(budget_usd=1e-3), r.need(deadline_h=0.1)):
        assert not any("spot binds" in s for s in r.ask(without, offered).binding)


def test_a_tie_in_the_objective_goes_to_the_cheaper() -> None:
    """Where nothing is emitted, all emit least: the name must not decide."""
    offered = r.of(r.offer(instance_type="a", ondemand_usd_per_h=3.0), r.offer(instance_type="b"))
    answer = r.ask(r.need(objective="carbon", intensity_g_per_kwh=0.0), offered)
    assert picked(answer).offer.instance_type == "b"


def test_a_batch_that_was_insisted_on_is_told_when_it_alone_stands_in_the_way() -> None:
    """Of 100,000 samples at once, which no memory holds."""
    answer = r.ask(r.need(batch_size=100_000), r.of(r.offer()))
    assert answer.binding[0].startswith("batch_size binds: without it, aws l4.small (us-east-1)")


def test_what_there_is_without_a_batch_is_predicted_at_what_fits() -> None:
    """The predictor had been asked of the batch that fits nowhere: that is, of nothing."""
    fixed = Fixed(answered(1000.0))
    without = picked(r.ask(r.need(), r.of(r.offer()), predictor=fixed))
    answer = r.ask(r.need(batch_size=100_000), r.of(r.offer()), predictor=fixed)
    assert words.money(without.cost_usd) in answer.binding[0]


def test_what_no_machine_can_do_is_told_by_the_nearest_that_cannot() -> None:
    """Of memory: the largest, and how many times as much would be needed; not the first of a table."""
    offered = r.of(r.offer(), r.offer(**r.A100), r.offer(**r.A10G))
    answer = r.ask(r.need(parameters=20e9), offered)
    assert answer.binding[0].startswith("memory binds for 3 of 3 ways, least for aws a100")
    nearest = min(x.times for x in answer.rejected if x.times is not None)
    assert nearest > 4
    assert answer.binding[0].endswith(f"{nearest:,.3g} times as much.")
    late = r.ask(r.serve(p99_ms=1.0), offered).binding[0]
    assert "latency binds for 3 of 3 ways, least for aws" in late
    told = re.search(r"may reach ([0-9.]+) ms, p99_ms is 1 .*: ([0-9.]+) times as much", late)
    assert told is not None
    for enough in map(float, told.groups()):
        assert picked(r.ask(r.serve(p99_ms=enough), offered))


def test_residency_takes_only_places_that_are_known_to_be_there() -> None:
    """A country, a zone or a region; a place that nobody states is out."""
    offers = [
        r.offer(region="us-east-1", ondemand_usd_per_h=0.5),
        r.offer(region="eu-central-1", ondemand_usd_per_h=1.0),
        r.offer(provider="runpod", region="any", ondemand_usd_per_h=0.1),
        r.offer(provider="verda", region="eu", ondemand_usd_per_h=0.4),
        r.offer(provider="vast", region="us-texas", ondemand_usd_per_h=0.1),
    ]
    assert picked(r.ask(r.need(regions=["US"]), r.of(*offers))).offer.provider == "aws"
    assert picked(r.ask(r.need(regions=["DE"]), r.of(*offers))).offer.region == "eu-central-1"
    assert picked(r.ask(r.need(regions=["EU"]), r.of(*offers))).offer.provider == "verda"
    assert picked(r.ask(r.need(regions=["us-east-1"]), r.of(*offers))).offer.region == "us-east-1"
    answer = r.ask(r.need(regions=["DE"]), r.of(*offers))
    reasons = {x.name: x.reason for x in answer.rejected if x.constraint is Constraint.REGION}
    for name in ("runpod l4.small (any)", "vast l4.small (us-texas)"):
        assert "where its source does not say" in reasons[name]
    assert "it is in US" in reasons["aws l4.small (us-east-1)"]


def test_residency_holds_for_machines_of_ones_own() -> None:
    """One abroad is out as any other; of one whose owner does not say where, that is told."""
    desk = {"name": "desk", "accelerator": "L4", "tariff_usd_per_kwh": 0.01}
    offered = r.of(r.offer(region="eu-central-1"))

    def answer(*regions: str, **more: str) -> Recommendation:
        return r.ask(r.need(owned=[{**desk, **more}], regions=list(regions)), offered)

    abroad = answer("EU", country="US")
    assert picked(abroad).offer.region == "eu-central-1"
    (out,) = [x for x in abroad.rejected if x.name == "desk (your own)"]
    assert (out.constraint, out.reason) == (
        Constraint.REGION,
        "it is in US, regions are EU",
    )
    for fine in (answer("EU", country="FR"), answer(country="US"), answer()):
        assert picked(fine).name == "desk (your own)"
        assert picked(fine).warnings == ()
    assert picked(answer("EU", "NO")).warnings == (
        "its country is not stated: that it stands in EU, NO is on your word",
    )


def test_a_placeholder_is_no_price_unless_it_is_ones_own() -> None:
    """Where it was the only way that keeps every limit, it was said to cost least."""
    answer = r.ask(r.need(), r.of(r.offer(ondemand_usd_per_h=700.0)))
    assert answer.pick is None
    (out,) = answer.rejected
    assert out.reason.startswith("700 USD/h is a placeholder")
    mine = r.offer(ondemand_usd_per_h=700.0, origin="user: mine.csv")
    assert picked(r.ask(r.need(), r.of(mine))).price_usd_per_h == 700.0


def test_a_price_that_nobody_can_sell_at_is_not_picked_unless_it_is_ones_own() -> None:
    """However fresh; the machine's other price is as good as before."""
    family = [r.offer(instance_type=f"l4.{i}") for i in range(3)]
    need = r.need(spot=True, checkpoint_min=10.0)

    def answer(**changes: Any) -> Recommendation:
        odd = r.offer(instance_type="odd", spot_usd_per_h=0.005, spot_as_of="2026-11-24", **changes)
        return r.ask(need, r.of(*family, odd))

    out = next(x for x in answer().rejected if x.name == "aws odd (us-east-1) spot")
    assert out.constraint is Constraint.PRICE
    assert out.reason.startswith("its price is 0.005, 0.005 USD/h per L4: 0.6% of 0.8, the median")
    assert "confirm it with dlbench catalog add" in out.reason
    assert not picked(answer()).spot
    assert not any(
        x.name == "aws odd (us-east-1)" and "price is" in x.reason for x in answer().rejected
    )
    assert picked(answer(origin="user: mine.csv")).spot


@pytest.mark.parametrize(
    ("offer", "constraint"),
    [
        (r.offer(ondemand_usd_per_h=r.NONE), Constraint.PRICE),
        (r.offer(ondemand_usd_per_h=0.0), Constraint.PRICE),
        (r.offer(price_scope="accelerator"), Constraint.PRICE),
        (r.offer(ondemand_usd_per_h=700.0), Constraint.PRICE),
        (r.cpu(memory_gib=65_536.0), Constraint.MEMORY_UNKNOWN),
        (r.offer(as_of="2026-01-01"), Constraint.PRICE_AGE),
        (r.offer(accelerator_count=16.0), Constraint.DEVICES),
        # More devices, if they were allowed, would be of no use.
        (r.offer(accelerator="Inferentia2", accelerator_count=16.0), Constraint.THROUGHPUT),
        (r.offer(provider="gcp", region="us-central1"), Constraint.PROVIDER),
        (r.offer(accelerator="K80"), Constraint.THROUGHPUT),
        (r.offer(accelerator="Inferentia2"), Constraint.THROUGHPUT),
        (r.offer(accelerator="T4"), Constraint.PRECISION),
        (r.cpu(), Constraint.PRECISION),
        (r.cpu(memory_gib=r.NONE), Constraint.MEMORY_UNKNOWN),
        (r.offer(accelerator="RTX-3060-12GB"), Constraint.MEMORY),
    ],
)
def test_each_reason_to_reject(offer: Any, constraint: Constraint) -> None:
    """One good offer is picked; the other is rejected for its one fault."""
    good = r.offer(instance_type="good", accelerator="A100-SXM4-80GB")
    asked = r.need(
        precision="bf16",
        exclude_providers=["gcp"],
        max_price_age_days=30,
        batch_size=64,
        activation_mib_per_sample=400.0 if constraint is Constraint.MEMORY else 20.0,
    )
    offered = r.of(good, offer, r.offer(provider="gcp", region="us-central1"))
    answer = r.ask(asked, offered)
    assert picked(answer).offer.instance_type == "good"
    assert constraint in {x.constraint for x in answer.rejected if offer.instance_type in x.name}


def test_a_row_that_names_no_accelerator_is_not_told_as_processors() -> None:
    """MaxCloudON rents machines with GPUs, and nobody says which: they stand without a price."""
    vague = next(o for o in catalog.shipped().offers if o.provider == "maxcloudon")
    out = r.ask(r.need(), r.of(r.offer(), vague, r.cpu(ondemand_usd_per_h=r.NONE))).rejected
    assert [(x.name.split()[0], x.hardware) for x in out] == [
        ("maxcloudon", "not stated"),
        ("aws", "CPU"),
    ]


# --- words ----------------------------------------------------------------------------------


def test_flips_are_found_by_solving_again() -> None:
    """At the price that is named the pick changes, and just before it does not."""
    offers = [r.offer(), r.offer(**r.A10G)]
    answer = r.ask(r.need(), r.of(*offers))
    pick = picked(answer)
    rise = next(f for f in answer.flips if f.change == "price of the pick")
    other = next(o for o in offers if o.accelerator != pick.offer.accelerator)

    def at(price: float) -> str | None:
        changed = replace(pick.offer, ondemand_usd_per_h=price)
        return picked(r.ask(r.need(), r.of(changed, other))).offer.accelerator

    assert at(rise.value * 1.001) == other.accelerator
    assert at(rise.value * 0.999) == pick.offer.accelerator
    fall = next(f for f in answer.flips if f.change == "price of a rival")
    cheaper = replace(other, ondemand_usd_per_h=fall.value * 0.999)
    assert picked(r.ask(r.need(), r.of(pick.offer, cheaper))).offer == cheaper


def test_a_rival_that_costs_as_much_is_told_as_that() -> None:
    """The same machine at the same price elsewhere: the pick's price may not rise by anything."""
    answer = r.ask(r.need(), r.of(r.offer(), r.offer(region="us-west-2")))
    rise = next(f for f in answer.flips if f.change == "price of the pick")
    assert rise.sentence == (
        "Above 0.8 USD/h for the pick: aws l4.small (us-west-2), which is as good now."
    )


def test_half_the_deadline_is_answered_as_it_would_be() -> None:
    """What the sentence says is what a need with half the deadline gets."""
    offered = r.of(r.offer(), r.offer(**{**r.A100, "ondemand_usd_per_h": 20.0}))
    hours = value(picked(r.ask(r.need(samples=1e8), offered)).time_s) / 3600
    asked = r.need(samples=1e8, deadline_h=6 * hours)
    half = next(f for f in r.ask(asked, offered).flips if f.change == "half the deadline")
    again = r.ask(r.need(samples=1e8, deadline_h=3 * hours), offered)
    assert half.value == pytest.approx(3 * hours)
    assert half.new_pick == (again.pick.name if again.pick else "nothing")


def test_a_cpu_is_enough_is_said_outright() -> None:
    """For little work the set-up decides, and the cheaper machine wins."""
    offered = r.of(r.offer(ondemand_usd_per_h=5.0), r.cpu(ondemand_usd_per_h=0.1))
    answer = r.ask(r.need(samples=1000.0), offered)
    assert picked(answer).offer.accelerator is None
    assert answer.cpu_verdict.startswith("A CPU is enough: the best accelerator, 1 x L4")
    much = r.ask(r.need(samples=1e8, deadline_h=1000.0), offered)
    assert much.cpu_verdict.startswith("A CPU is not enough")


def test_buying_pays_from_the_hours_that_the_formula_gives() -> None:
    """Fixed costs of a month over what an hour saves; the energy is its owner's."""
    owned = [
        {
            "name": "desk",
            "accelerator": "L4",
            "purchase_usd": 2400.0,
            "life_years": 4.0,
            "idle_w": 0.0,
            "tariff_usd_per_kwh": 0.3,
            "country": "DE",
            "vcpus": 8.0,
        }
    ]
    at_once = {"set_up_min": [0, 0]}
    answer = r.ask(r.need(owned=owned, **at_once), r.of(r.offer()))
    (found,) = answer.buy_or_rent
    # 50 USD a month are fixed; an hour saves 0.80 USD of rent less some 72 W x 0.75 and 20 W of host.
    assert value(found.break_even_h_per_month) == pytest.approx(50 / (0.8 - 0.3 * 0.074), rel=0.05)
    assert found.p_pays == 1
    assert "desk pays from about 64.3 hours (63.8 to 65) of its work a month: " in found.sentence
    assert "and each hour saves 0.78 USD (0.77 to 0.78) against aws l4.small" in found.sentence
    assert "50.00 USD a month are fixed (its price, idling)" in found.sentence
    sunk = [{**owned[0], "purchase_usd": 0.0, "idle_w": 50.0}]
    (kept,) = r.ask(r.need(owned=sunk, **at_once), r.of(r.offer())).buy_or_rent
    assert kept.sentence == (
        "desk is paid, and pays at once: each hour saves 0.78 USD (0.77 to 0.78) against aws l4.small "
        "(us-east-1)."
    )
    assert value(kept.break_even_h_per_month) == 0
    never = r.ask(r.need(owned=owned), r.of(r.offer(ondemand_usd_per_h=0.01)))
    assert never.buy_or_rent[0].sentence.startswith("Rent: desk never pays")
    assert never.buy_or_rent[0].p_pays == 0


def buying(
    purchase_usd: float, tariff_usd_per_kwh: float = 0.0
) -> tuple[Recommendation, BuyOrRent]:
    """An A10G to be bought, told by the bandwidths, against an L4 for rent that was measured."""
    desk = {
        "name": "desk",
        "accelerator": "A10G",
        "vcpus": 8.0,
        "life_years": 4.0,
        "idle_w": 0.0,
        "purchase_usd": purchase_usd,
        "tariff_usd_per_kwh": tariff_usd_per_kwh,
    }
    asked = r.need(**MINE, owned=[desk], set_up_min=[0, 0])
    answer = r.ask(asked, r.of(r.offer()), r.measured(100.0))
    (found,) = answer.buy_or_rent
    return answer, found


def test_the_hours_from_which_buying_pays_are_as_wide_as_the_speeds() -> None:
    """200 USD a month over 0.80 USD x how many times as fast, at each end of both: draws are shared."""
    answer, found = buying(9600.0)
    shown = (picked(answer), *answer.alternatives)
    own, rented = (
        next(c.throughput_samples_per_s for c in shown if c.owned is owned)
        for owned in (True, False)
    )
    assert isinstance(own, Estimated)
    assert isinstance(rented, Estimated)
    hours = found.break_even_h_per_month
    assert isinstance(hours, Estimated)
    for end, other in (("low", "high"), ("high", "low")):
        fast, slow = (getattr(s.interval, other) for s in (own, rented))
        assert getattr(hours.interval, end) == pytest.approx(200 / (0.8 * fast / slow), rel=0.01)
    assert hours.interval.high > 1.2 * hours.interval.low
    ends = f"{compact(hours.interval.low)} to {compact(hours.interval.high)}"
    assert f"pays from about {compact(hours.value)} hours ({ends}) of its" in found.sentence


def test_what_pays_in_some_outcomes_only_says_in_how_many() -> None:
    """More often than not: its hours have no upper end; less often: rent, and the share."""
    mid = value(buying(9600.0)[1].break_even_h_per_month)
    _, often = buying(9600.0 * 700 / mid)
    assert 0.5 < (often.p_pays or 0) < 0.95
    never = f"and never in {percent(1 - (often.p_pays or 0))} of outcomes) of its work"
    assert value(often.break_even_h_per_month) == pytest.approx(700)
    assert "desk pays from about 700 hours (" in often.sentence
    assert never in often.sentence
    _, seldom = buying(9600.0 * 760 / mid)
    assert 0.05 < (seldom.p_pays or 0) < 0.5
    assert isinstance(seldom.break_even_h_per_month, Absent)
    share = f"{percent(seldom.p_pays or 0)} of outcomes only; in the middle of them 1,216 USD"
    assert f"desk pays against aws l4.small (us-east-1) in {share}" in seldom.sentence
    assert "which 760 hours of work would save, and a month has 730" in seldom.sentence


def test_an_hour_that_saves_nothing_in_some_outcomes_has_hours_without_end() -> None:
    """JSON, which has no infinity, says unlimited."""
    answer, found = buying(100.0, tariff_usd_per_kwh=5.0)
    assert isinstance(found.break_even_h_per_month, Estimated)
    assert found.break_even_h_per_month.interval.high == math.inf
    assert "hours (2.23 or more, and never in 17 % of outcomes) of its work" in found.sentence
    (plain,) = recommendation.plain(answer)["buy_or_rent"]
    assert plain["break_even_h_per_month"]["interval"]["high"] == "unlimited"
    assert plain["p_pays"] == found.p_pays
    _, none = buying(100.0, tariff_usd_per_kwh=60.0)
    assert (
        "never pays against aws l4.small (us-east-1); its energy alone costs more" in none.sentence
    )


def test_a_machine_that_is_still_to_be_paid_must_fit_the_budget() -> None:
    """Its hours are cheap and its price is not: once, or a month's share; a sunk price is no price."""
    desk = {
        "name": "desk",
        "accelerator": "L4",
        "vcpus": 8.0,
        "purchase_usd": 2400.0,
        "life_years": 4.0,
        "utilisation": 1.0,
        "tariff_usd_per_kwh": 0.1,
    }
    offered = r.of(r.offer())
    assert picked(r.ask(r.need(owned=[desk]), offered)).owned
    for limit, said in (
        ({"budget_usd": 100.0}, "it is to be bought for 2,400 USD, budget_usd is 100"),
        (
            {"budget_usd_per_month": 40.0},
            "it is to be bought for 50 USD a month, budget_usd_per_month is 40",
        ),
    ):
        answer = r.ask(r.need(owned=[desk], **limit), offered)
        assert not picked(answer).owned
        (rejection,) = [x for x in answer.rejected if x.name == "desk (your own)"]
        assert rejection.constraint is Constraint.BUDGET
        assert rejection.reason.startswith(said)
        assert "desk pays from about" in answer.buy_or_rent[0].sentence
        sunk = r.ask(r.need(owned=[{**desk, "purchase_usd": 0.0}], **limit), offered)
        assert picked(sunk).owned


def test_there_is_one_of_a_machine_of_ones_own() -> None:
    """A service that needs five is not told to use five; what one serves, one may."""
    desk = {"name": "desk", "accelerator": "L4", "vcpus": 8.0, "tariff_usd_per_kwh": 0.1}
    offered = r.of(r.offer())
    assert picked(r.ask(r.serve(owned=[desk]), offered)).owned
    many = r.ask(r.serve(owned=[desk], requests_per_s=500.0), offered)
    n = picked(many).n_instances
    assert n > 1
    assert not picked(many).owned
    (rejection,) = [x for x in many.rejected if x.name == "desk (your own)"]
    assert rejection.constraint is Constraint.DEVICES
    assert rejection.reason == f"{n} of it would be needed, and there is one"
    assert many.buy_or_rent == ()


def test_several_machines_of_ones_own_serve_as_many_times_the_requests() -> None:
    """As instances do: as many as are needed and there are, each bought, worn and idling."""
    desk = {
        "name": "desk",
        "accelerator": "L4",
        "vcpus": 8.0,
        "purchase_usd": 2400.0,
        "utilisation": 1.0,
        "tariff_usd_per_kwh": 0.1,
        "idle_w": 10.0,
    }
    offered, rate = r.of(r.offer()), 500.0
    rented = picked(r.ask(r.serve(requests_per_s=rate), offered))
    n = rented.n_instances
    assert n > 1
    answer = r.ask(r.serve(owned=[{**desk, "count": n + 3}], requests_per_s=rate), offered)
    pick = picked(answer)
    assert pick.name == f"{n} x desk (your own)"
    assert value(pick.throughput_samples_per_s) == value(rented.throughput_samples_per_s)
    assert value(pick.energy_j) == value(rented.energy_j)
    worn = n * 730 * 2400 / (4 * 8766)
    assert value(pick.cost_usd) == pytest.approx(worn + value(pick.energy_j) / 3.6e6 * 0.1)
    assert step(pick, "instances") == str(n)
    assert answer.launch is not None
    assert f"# 1 select    {n} of your own machines desk\n" in answer.launch.shell
    (bought,) = answer.buy_or_rent
    assert bought.machine == f"{n} x desk"
    fixed = n * (50 + 0.01 * 730.5 * 0.1)
    assert f"{fixed:,.2f} USD a month are fixed" in bought.sentence
    few = r.ask(r.serve(owned=[{**desk, "count": n - 1}], requests_per_s=rate), offered)
    (rejection,) = [x for x in few.rejected if x.name == "desk (your own)"]
    are = "is one" if n == 2 else f"are {n - 1}"
    assert rejection.reason == f"{n} of it would be needed, and there {are}"
    assert rejection.times == n / (n - 1)
    limits = {"hours_per_month": 100.0, "budget_usd_per_month": 50.0 * n - 1}
    dear = r.serve(owned=[{**desk, "count": n}], requests_per_s=rate, **limits)
    (rejection,) = [x for x in r.ask(dear, offered).rejected if "desk" in x.name]
    assert f"it is to be bought for {50 * n} USD a month" in rejection.reason


BOUGHT = {"name": "desk", "accelerator": "L4", "vcpus": 8.0, "purchase_usd": 2400.0, "idle_w": 40.0}
"""For 50 USD a month of its four years, and 29.2 kWh of idling."""


def own_cost(owned: dict[str, Any], **asked: Any) -> float:
    """What a service costs a month on a machine of one's own; nobody rents."""
    pick = picked(r.ask(r.serve(owned=[owned], **asked), r.of()))
    assert pick.owned
    return value(pick.cost_usd)


def test_a_service_bears_a_months_price_of_a_machine_and_not_four() -> None:
    """It has the machine for all of it: at a share of the time it was dearer than bought anew."""
    free = {**BOUGHT, "tariff_usd_per_kwh": 0.0}
    assert own_cost(free) == pytest.approx(2400 / 48)
    assert own_cost({**free, "utilisation": 0.25}) == pytest.approx(2400 / 48)
    assert own_cost(free, hours_per_month=100.0) == pytest.approx(2400 / 48)
    shared = own_cost({**free, "utilisation": 0.5}, hours_per_month=100.0)
    assert shared == pytest.approx(2400 / 48 * 100 / (0.5 * 730.5))
    paid = {**BOUGHT, "purchase_usd": 0.0, "tariff_usd_per_kwh": 0.3}
    energy = own_cost(paid)
    idling = 0.04 * 730.5 * 0.3
    assert 5 < energy < 20
    assert own_cost({**paid, "purchase_usd": 2400.0}) == pytest.approx(
        2400 / 48 + max(idling, energy), rel=0.01
    )


def test_a_service_on_a_machine_of_ones_own_saves_the_rent_of_what_is_needed() -> None:
    """One instance would do: that the machine could serve several times as much saves no more."""
    desk = {**BOUGHT, "accelerator": "H100-SXM5-80GB", "accelerator_count": 8, "idle_w": 0.0}
    answer = r.ask(r.serve(owned=[{**desk, "tariff_usd_per_kwh": 0.0}]), r.of(r.offer()))
    (found,) = answer.buy_or_rent
    assert value(found.break_even_h_per_month) == pytest.approx(50 / 0.8)
    assert "each hour saves 0.80 USD against aws l4.small (us-east-1)" in found.sentence


@pytest.mark.parametrize("purchase_usd", [0.0, 2400.0])
@pytest.mark.parametrize("price", [0.02, 0.05, 0.8])
@pytest.mark.parametrize("runs", [1.0, 30.0, 60.0, 100.0, 600.0])
def test_pick_and_buy_or_rent_say_the_same(purchase_usd: float, price: float, runs: float) -> None:
    """A machine is picked where the hours that this need works it are those from which it pays."""
    desk = {**BOUGHT, "purchase_usd": purchase_usd, "tariff_usd_per_kwh": 0.35}
    offered = r.of(r.offer(ondemand_usd_per_h=price))
    answer = r.ask(r.need(owned=[desk], runs_per_month=runs), offered)
    pick, (told,) = picked(answer), answer.buy_or_rent
    alone = picked(r.ask(r.need(owned=[desk], runs_per_month=runs), r.of()))
    hours = min(value(alone.time_s) / 3600 * runs, 730.5)
    pays = told.break_even_h_per_month
    assert pick.owned is (not isinstance(pays, Absent) and hours >= pays.value)


def test_a_price_that_other_work_shares_is_told() -> None:
    """By its utilisation it works half of the month: this need alone would make it dearer."""
    half = {**BOUGHT, "utilisation": 0.5, "tariff_usd_per_kwh": 0.1}
    pick = picked(r.ask(r.need(owned=[half], budget_usd=3000.0), r.of(r.offer())))
    hours = value(pick.time_s) / 3600
    fixed = 50 + 0.04 * 730.5 * 0.1
    beyond = value(pick.energy_j) / 3.6e6 * 0.1 - hours * 0.04 * 0.1
    assert value(pick.cost_usd) == pytest.approx(fixed * hours / 365.25 + beyond, rel=0.02)
    (warning,) = pick.warnings
    assert warning == (
        "its price is shared by the 365 h a month of its utilisation, of which this need is "
        f"{compact(hours)}: for this alone it costs more"
    )
    alone = {**BOUGHT, "tariff_usd_per_kwh": 0.1}
    pick = picked(r.ask(r.need(owned=[alone], budget_usd=3000.0), r.of()))
    assert value(pick.cost_usd) == pytest.approx(fixed + beyond, rel=0.02)
    assert pick.warnings == ()


def test_idling_of_a_bought_machine_is_in_its_carbon_as_in_its_cost() -> None:
    """All of a month's where this need alone works it; none of a shared or paid one."""

    def kwh(**changes: Any) -> tuple[float, float, str]:
        owned = {**BOUGHT, "tariff_usd_per_kwh": 0.1, **changes}
        asked = r.need(owned=[owned], budget_usd=3000.0, intensity_g_per_kwh=1000.0, pue=1.0)
        pick = picked(r.ask(asked, r.of()))
        (way,) = [s.formula for s in pick.trail if s.name == "carbon"]
        return value(pick.carbon_g) / 1000, value(pick.energy_j) / 3.6e6, way

    carbon, worked, way = kwh()
    hours = value(picked(r.ask(r.need(owned=[BOUGHT], budget_usd=3000.0), r.of())).time_s) / 3600
    assert carbon - worked == pytest.approx(0.04 * (730.5 - hours), rel=0.02)
    assert way.startswith("(kWh + 29")
    for changes in ({"utilisation": 1.0}, {"purchase_usd": 0.0}):
        carbon, worked, way = kwh(**changes)
        assert carbon == pytest.approx(worked, rel=1e-6)
        assert way.startswith("kWh x PUE")


def test_a_run_works_on_one_of_several_machines_of_ones_own() -> None:
    """What they do together at one run nobody measured: it is as long as on one, and that is told."""
    desk = {"name": "desk", "accelerator": "L4", "vcpus": 8.0}
    one = picked(r.ask(r.need(owned=[desk]), r.of(r.offer())))
    four = picked(r.ask(r.need(owned=[{**desk, "count": 4}]), r.of(r.offer())))
    assert four.n_instances == one.n_instances == 1
    assert four.time_s == one.time_s
    assert four.cost_usd == one.cost_usd
    assert four.warnings == (
        "a run works on one of the 4: what several do together was not measured",
    )
    assert one.warnings == ()


def test_the_runs_of_a_month_are_told_with_their_cost_and_hours() -> None:
    """30 of them cost 30 times one, whoever's machine it is; no month's budget is needed for that."""
    answer = r.ask(r.need(runs_per_month=30.0), r.of(r.offer()))
    pick = picked(answer)
    assert isinstance(pick.cost_usd, Estimated)
    a_month = words.usd(30 * value(pick.cost_usd))
    (told,) = [s for s in answer.reasons if s.startswith("30 runs a month cost ")]
    assert told.startswith(f"30 runs a month cost {a_month.removesuffix(' USD')} USD (")
    assert told.endswith(f" and take {compact(30 * value(pick.time_s) / 3600)} h.")
    assert not any("runs a month" in s for s in r.ask(r.need(), r.of(r.offer())).reasons)
    uploading = r.ask(r.need(runs_per_month=30.0, data_gb=50.0), r.of(r.offer())).reasons
    assert any(s.endswith(" h, each with an upload of its own.") for s in uploading)


def test_more_runs_than_a_month_has_hours_for_are_told() -> None:
    """Rented they work at once; one's own is priced as several, and there is one."""
    runs = {"samples": 1e8, "runs_per_month": 60.0}
    rented = r.ask(r.need(**runs), r.of(r.offer()))
    months = compact(60 * value(picked(rented).time_s) / 3600 / 730.5)
    (told,) = [w for w in picked(rented).warnings if "60 runs" in w]
    assert told == f"60 runs a month are the work of {months} machines all month"
    assert any(s.endswith("of the 730.5 that a month has.") for s in rented.reasons)
    own = picked(r.ask(r.need(**runs, owned=[{"name": "desk", "accelerator": "L4"}]), r.of()))
    assert any(
        w.endswith("machines all month: priced as that, and there is 1") for w in own.warnings
    )
    once = picked(r.ask(r.need(samples=1e10), r.of(r.offer())))
    months = compact(value(once.time_s) / 3600 / 730.5)
    assert f"one run takes {months} months" in once.warnings


def test_an_own_machine_can_be_the_pick() -> None:
    """Its price is sunk: only its energy counts, with no upload and no set-up."""
    owned = [{"name": "desk", "accelerator": "L4", "vcpus": 8.0}]
    pick = picked(r.ask(r.need(owned=owned, data_gb=50.0), r.of(r.offer())))
    assert pick.owned
    assert pick.offer.provider == "owned"
    assert step(pick, "upload").startswith("0 ")
    assert value(pick.cost_usd) < 0.1


def test_a_pick_that_takes_nothing_is_set_beside_others_in_words() -> None:
    """Paid, and its energy too: no budget flips that, and nothing is so many times as much."""
    free = {"vcpus": 16.0, "memory_gib": 64.0, "tariff_usd_per_kwh": 0.0}
    desk, old = ({"name": "desk", "accelerator": "L4", **free}, {"name": "old", **free})
    answer = r.ask(r.need(owned=[desk, old]), r.of(r.offer(), r.offer(**r.A10G), r.cpu()))
    assert value(picked(answer).cost_usd) == 0
    assert answer.cpu_verdict.startswith("A CPU would do, and is as good as the pick in cost: old")
    assert [f for f in answer.flips if f.change == "budget"] == []
    beaten = [x for x in answer.rejected if x.constraint is Constraint.DOMINATED]
    assert {x.reason for x in beaten} == {"keeps every limit, and is worse in cost"}
    clean = r.ask(r.need(objective="carbon", intensity_g_per_kwh=0.0), r.of(r.offer(), r.cpu()))
    assert clean.cpu_verdict.startswith("A CPU would do, and is as good as the pick in carbon")


def test_a_machine_of_ones_own_is_never_out_in_silence() -> None:
    """Its owner asks of it first: why it is out, and that what it saves does not make it a way."""
    desk = {"name": "desk", "accelerator": "L4", "vcpus": 8.0}
    offered = r.of(*(r.offer(region=f"us-east-{n}") for n in (1, 2)), r.offer(**r.A100))
    late = r.ask(r.need(samples=1e7, deadline_h=56.5, owned=[desk]), offered)
    assert picked(late).offer.accelerator == r.A100["accelerator"]
    first = late.rejected[0]
    assert (first.name, first.constraint) == ("desk (your own)", Constraint.DEADLINE)
    (told,) = late.buy_or_rent
    assert told.sentence.startswith("desk is paid, and pays at once")
    assert told.sentence.endswith(f" It is out for this need: {first.reason}.")
    half = r.ask(r.need(precision="bf16", owned=[{**desk, "accelerator": "T4"}]), offered)
    assert half.rejected[0].name == "desk (your own)"
    assert half.rejected[0].constraint is Constraint.PRECISION
    kept = r.ask(r.need(owned=[desk]), offered)
    assert "out for this need" not in kept.buy_or_rent[0].sentence


def test_what_was_measured_on_ones_own_processors_counts_there() -> None:
    """By their name and threads; on others, and on a cloud's machine of that name, it is scaled."""
    cpu = replace(
        r.GPU,
        id="cpu",
        kind="cpu",
        name="AMD Ryzen 9 7950X",
        facts={"physical_cores": 16, "logical_cores": 32},
    )
    box = {"name": "box", "cpu_model": "amd ryzen 9 7950x", "vcpus": 32.0, "memory_gib": 64.0}

    def evidence_of(instance: str = "", **more: Any) -> Evidence:
        document = r.measured(500.0, device=cpu, instance=instance)
        return picked(r.ask(r.need(**MINE, owned=[{**box, **more}]), r.of(), document)).evidence

    launch = r.ask(r.need(owned=[box]), r.of()).launch
    assert launch is not None
    assert "rests on it: --results, with cpu_model (dlbench devices names it)" in launch.shell
    assert evidence_of() is Evidence.INSTANCE
    assert evidence_of(vcpus=16.0) is Evidence.PREDICTED
    assert evidence_of(cpu_model="") is Evidence.PREDICTED
    assert evidence_of(instance="m7a.8xlarge") is Evidence.PREDICTED
    server = replace(server_case(200.0, 50.0), environment=r.measured(1.0, device=cpu).environment)
    case = replace(server.results[0].case, device="cpu")
    server = replace(server, results=(replace(server.results[0], case=case),))
    answer = r.ask(served(requests_per_s=100.0, owned=[box]), r.of(), server)
    assert "200 requests/s within 50 ms" in step(picked(answer), "rate within the limit")


def test_carbon_that_nobody_can_tell_of_ones_own_machine_says_why() -> None:
    """It is the owner who knows where it stands."""
    desk = {"name": "desk", "accelerator": "L4", "vcpus": 8.0}
    for country, reason in (
        ({}, "the machine's country is not stated"),
        ({"country": "AQ"}, "no carbon figure of AQ is in the catalog"),
    ):
        carbon = picked(r.ask(r.need(owned=[{**desk, **country}]), r.of())).carbon_g
        assert isinstance(carbon, Absent)
        assert carbon.reason == reason


def test_two_alternatives_on_other_hardware_come_with_every_pick() -> None:
    """And the front holds the pick when cost decides."""
    offered = r.of(
        r.offer(), r.offer(**r.A10G), r.offer(**r.A100), r.cpu(), r.offer(region="us-east-2")
    )
    answer = r.ask(r.need(samples=1e7), offered)
    assert len(answer.alternatives) == 2
    hardware = {
        picked(answer).offer.accelerator,
        *(a.offer.accelerator for a in answer.alternatives),
    }
    assert len(hardware) == 3
    assert picked(answer) in answer.front
    costs = [value(c.cost_usd) for c in answer.front]
    times = [value(c.time_s) for c in answer.front]
    assert costs == sorted(costs)
    assert times == sorted(times, reverse=True)


def test_every_number_has_its_way() -> None:
    """Evidence, formula, source, date: from the model to the carbon."""
    pick = picked(r.ask(r.need(), r.of(r.offer())))
    names = [s.name for s in pick.trail]
    assert names == [
        "model",
        "activations",
        "work",
        "memory",
        "throughput",
        "scaling",
        "upload",
        "set-up",
        "computing",
        "time",
        "price",
        "billing",
        "rent",
        "cost",
        "energy",
        "carbon",
    ]
    assert all(s.formula and s.source for s in pick.trail)
    # What follows from the need, the model and the lines above has no day of its own.
    reckoned = {"model", "work", "memory", "scaling", "upload", "set-up", "computing"}
    reckoned |= {"time", "rent", "cost"}
    dated = {s.name for s in pick.trail if s.as_of}
    assert dated == set(names) - reckoned


def test_the_way_of_energy_and_carbon_has_its_numbers() -> None:
    """Watts, PUE and grams a kWh: whoever multiplies them has what the answer says."""
    asked = r.need(pue=1.5, intensity_g_per_kwh=100.0, data_gb=50.0)
    pick = picked(r.ask(asked, r.of(r.offer())))
    way = {s.name: s for s in pick.trail}
    assert way["carbon"].formula == "kWh x PUE 1.5 x 100 g/kWh, operational only"
    # An L4 of 72 W at three quarters, and 8 vCPUs of 2.5 W.
    assert "accelerators 54 (36 to 70.5) W" in way["energy"].formula
    assert "host 20 (12 to 39.9) W" in way["energy"].formula
    assert way["storage"].formula.startswith("50 GB x 0.08 USD a month")
    assert way["cost"].formula == "rent + storage"
    catalogs = next(s for s in picked(r.ask(r.need(), r.of(r.offer()))).trail if s.name == "carbon")
    assert "PUE 1.14" in catalogs.formula
    assert "PUE: " in catalogs.source


def without_watts(name: str, *offers: Any) -> Any:
    """A catalog in which one data sheet does not state its power."""
    offered = r.of(*offers)
    unknown = Absent(reason="the data sheet does not say")
    sheets = tuple(replace(a, tdp_w=unknown) if a.name == name else a for a in offered.accelerators)
    return replace(offered, accelerators=sheets)


def test_unknown_watts_are_unknown_energy_and_carbon_and_break_a_carbon_limit() -> None:
    """Never a middling card's: the answer says why, and does not pick it where energy decides."""
    offered = without_watts("L4", r.offer())
    pick = picked(r.ask(r.need(), offered))
    for metric in (pick.energy_j, pick.carbon_g):
        assert isinstance(metric, Absent)
        assert metric.reason == "the data sheet of L4 has no power"
    limited = r.ask(r.need(carbon_limit_kg=1000.0), offered)
    assert limited.pick is None
    assert "its carbon is not known" in limited.rejected[0].reason
    least = r.ask(r.need(objective="energy"), offered)
    assert least.pick is None
    assert least.rejected[0].constraint is Constraint.OBJECTIVE


def test_energy_that_nobody_knows_is_not_free_on_a_machine_of_ones_own() -> None:
    """Unpaid it would look cheaper than every rent; without a tariff there is nothing to pay."""
    desk = {"name": "desk", "accelerator": "L4", "purchase_usd": 0.0, "tariff_usd_per_kwh": 0.3}
    offered = without_watts("L4", r.offer(**r.A10G))
    answer = r.ask(r.need(owned=[desk]), offered)
    assert not picked(answer).owned
    (rejection,) = [x for x in answer.rejected if "desk" in x.name]
    assert rejection.constraint is Constraint.PRICE
    assert rejection.reason == "its energy cannot be priced: the data sheet of L4 has no power"
    sunny = {**desk, "tariff_usd_per_kwh": 0.0}
    assert picked(r.ask(r.need(owned=[sunny]), offered)).owned


def verdict(asked: Any, *offers: Any) -> str:
    """What is said of processors."""
    return r.ask(asked, r.of(*offers)).cpu_verdict


def test_a_processor_that_was_never_compared_is_not_called_too_slow() -> None:
    """Half has no peak there, another country is out: neither says that a CPU would not do."""
    gpu, host = r.offer(), r.cpu()
    assert verdict(r.need(precision="fp16"), gpu, host) == (
        "No CPU was compared: 1 of 1 are out for precision fp16; in fp32 one may do."
    )
    abroad = r.offer(region="eu-central-1")
    assert verdict(r.need(regions=["DE"]), abroad, host) == (
        "No CPU was compared: 1 of 1 are out for region."
    )
    assert verdict(r.need(deadline_h=8.0), gpu, host) == (
        "A CPU is not enough: none keeps every limit (1 of 1 fail on deadline)."
    )
    assert verdict(r.need(), gpu) == "No CPU was compared: the catalog has none."


def test_a_handful_of_processors_does_not_speak_for_the_others() -> None:
    """Three without fp16, one too small: most were never compared. Unknown memory is not too little."""
    gpu, small = r.offer(region="eu-central-1"), {"vcpus": 1.0, "memory_gib": 0.5}
    hosts = [
        r.cpu(instance_type=f"c{i}", region="eu-central-1", cpu_model="AMD-EPYC-7571")
        for i in range(3)
    ]
    tiny = r.cpu(instance_type="tiny", region="eu-central-1", **small)
    abroad = [r.cpu(instance_type=f"us{i}") for i in range(5)]
    half = r.need(precision="fp16", regions=["EU"])
    assert verdict(half, gpu, *hosts, tiny, *abroad) == (
        "Few CPUs were compared: 3 of 4 that the need allows are out for precision fp16; in fp32 one "
        "may do."
    )
    assert verdict(half, gpu, tiny, *abroad) == (
        "A CPU is not enough: none keeps every limit (1 of 1 fail on memory)."
    )
    unknown = [r.cpu(instance_type=f"u{i}", memory_gib=r.NONE) for i in range(2)]
    assert verdict(r.need(), r.offer(), r.cpu(**small), *unknown) == (
        "Few CPUs were compared: 2 of 3 are out for memory unknown."
    )


def test_a_model_larger_than_one_card_is_told_as_that() -> None:
    """Eight cards have the memory together: nobody shards it, and that is no praise of processors."""
    large = {"parameters": 7e9, "flops_per_sample": 1.4e13, "samples": 1e4, "precision": "fp32"}
    eight = r.offer(**{**r.A100, "accelerator_count": 8.0})
    answer = r.ask(r.need(**large), r.of(eight, r.cpu(memory_gib=2048.0)))
    assert picked(answer).offer.accelerator is None
    assert answer.cpu_verdict == (
        "Only CPUs are left: 1 of 1 accelerators lack the memory on each device, and sharding a model "
        "over several is not considered."
    )
    (out,) = [x for x in answer.rejected if x.constraint is Constraint.MEMORY]
    assert out.reason.endswith(", on each device: sharding a model over several is not considered")
    # 132 to 629 GiB: a card of 288 may well have them, which "lack the memory" had denied.
    unsure = r.need(**{**large, "precision": "bf16"})
    card = r.offer(instance_type="b300", accelerator="B300-SXM-288GB")
    host = r.cpu(memory_gib=2048.0, cpu_model="Xeon-8488C")
    assert r.ask(unsure, r.of(card, host)).cpu_verdict.startswith(
        "Only CPUs are left: 1 of 1 accelerators lack, or may lack (activation_mib_per_sample or a "
        "measurement would tell), the memory on each device"
    )
    known = replace(unsure, activation_mib_per_sample=8e3)
    assert picked(r.ask(known, r.of(card, host))).offer.accelerator == "B300-SXM-288GB"
    assert (
        "Each device is taken to hold the whole model: sharding a model over several is not considered."
        in answer.notes
    )
    late = r.ask(
        r.need(deadline_h=0.5, set_up_min=[0, 0], samples=1e3),
        r.of(r.offer(provider="verda"), r.cpu()),
    )
    assert not any("sharding" in note for note in late.notes)
    slow = r.need(budget_usd=10.0, samples=1e4)
    dear = r.of(r.offer(ondemand_usd_per_h=90.0), r.cpu())
    assert r.ask(slow, dear).cpu_verdict == (
        "A CPU is enough: no accelerator keeps every limit (1 of 1 fail on budget)."
    )


def test_no_accelerator_may_be_asked_for() -> None:
    """max_devices 0: processors alone, and nothing is said of accelerators that nobody wants."""
    offered = r.of(r.offer(), r.offer(accelerator_count=0.5), r.cpu())
    answer = r.ask(r.need(max_devices=0), offered)
    assert picked(answer).offer.instance_type == "cpu.16"
    assert answer.cpu_verdict == ""
    out = [x.reason for x in answer.rejected if x.constraint is Constraint.DEVICES]
    assert out == ["1 device, max_devices is 0", "0.5 devices, max_devices is 0"]
    none = r.ask(r.need(max_devices=0), r.of(r.offer()))
    assert any("max_devices binds: without it" in sentence for sentence in none.binding)


def test_a_months_budget_says_what_one_run_may_cost() -> None:
    """3,000 a month over 8 runs; a run's own budget and a service's month need no sum."""
    of_runs = r.ask(r.need(budget_usd_per_month=3000.0, runs_per_month=8), r.of(r.offer()))
    assert "the budget of 375.00 USD a run (3,000 USD a month / 8 runs)" in " ".join(
        of_runs.reasons
    )
    of_one = r.ask(r.need(budget_usd=40.0), r.of(r.offer()))
    assert "the budget of 40.00 USD." in " ".join(of_one.reasons)
    served_ = r.ask(r.serve(budget_usd_per_month=3000.0), r.of(r.offer()))
    assert "the budget of 3,000 USD a month." in " ".join(served_.reasons)


def test_a_price_of_carbon_is_named_wherever_costs_are_compared() -> None:
    """20 USD/kg over Poland's grid: whoever reads the costs alone could not follow the order."""
    clean = r.offer(instance_type="clean", region="eu-north-1", ondemand_usd_per_h=0.82)
    answer = r.ask(r.need(carbon_usd_per_kg=20.0), r.of(clean, r.offer(**r.A10G)))
    assert picked(answer).offer.instance_type == "clean"
    said = " ".join(answer.reasons)
    assert "It costs least, with carbon at 20 USD/kg, of 2 ways" in said
    assert "in cost with carbon at 20 USD/kg." in said
    plain = " ".join(r.ask(r.need(), r.of(clean, r.offer(**r.A10G))).reasons)
    assert "USD/kg" not in plain


def test_the_same_hardware_for_rent_is_an_alternative_to_ones_own() -> None:
    """A desk's processor beside a rented one: that is what its owner weighs."""
    desk = {"name": "desk", "vcpus": 16.0, "memory_gib": 64.0, "tariff_usd_per_kwh": 0.1}
    answer = r.ask(r.need(owned=[desk]), r.of(r.cpu(), r.offer(ondemand_usd_per_h=90.0)))
    assert picked(answer).owned
    assert answer.alternatives[0].offer.instance_type == "cpu.16"
    assert any("(aws cpu.16 (us-east-1)), is" in reason for reason in answer.reasons)
    (half,) = [f for f in answer.flips if f.change == "half the price of the nearest rival"]
    assert "for aws cpu.16 (us-east-1): the pick stays" in half.sentence


def test_what_is_set_beside_the_pick_has_its_way_too() -> None:
    """The processor of the verdict, a machine of one's own and the rent that it is held against."""
    desk = {"name": "desk", "accelerator": "L4", "vcpus": 8.0, "purchase_usd": 9000.0}
    answer = r.ask(
        r.need(owned=[desk]), r.of(r.offer(), r.offer(**r.A10G), r.offer(**r.A100), r.cpu())
    )
    shown = (picked(answer), *answer.alternatives, *answer.compared)
    names = [c.name for c in shown]
    assert len(names) == len(set(names))
    for told in (answer.cpu_verdict, *(b.sentence for b in answer.buy_or_rent)):
        assert any(name in told or name.split(" (")[0] in told for name in names)
    assert {"desk (your own)", "aws cpu.16 (us-east-1)"} <= set(names)
    for candidate in answer.compared:
        assert {"throughput", "time", "cost"} <= {s.name for s in candidate.trail}


def test_a_framework_does_not_count_the_context_beside_its_own_memory() -> None:
    """Where the driver tells nothing of the process, as in a container: 700 MiB more."""
    run = r.measured(500.0)
    memory_ = PeakMemory(
        framework_allocated_mib=r.NONE,
        framework_reserved_mib=4000.0,
        device_used_mib=r.NONE,
        host_rss_mib=r.NONE,
    )
    trials = tuple(replace(t, memory=memory_) for t in run.results[0].trials)
    inside = replace(run, results=(replace(run.results[0], trials=trials),))
    peaks = [
        value(picked(r.ask(r.need(**MINE), r.of(r.offer()), x)).memory_mib) for x in (run, inside)
    ]
    assert peaks == [4000, 4700]


def test_a_services_cost_is_a_months_wherever_it_is_told() -> None:
    """Also of what there would be without a wish."""
    answer = r.ask(r.serve(regions=["DE"]), r.of(r.offer()))
    assert answer.binding[0].startswith("regions binds: without it, ")
    assert answer.binding[0].endswith(" USD a month.")


def test_percent_is_written_one_way() -> None:
    """In every sentence and formula of an answer, as "over 99 %" beside them."""
    assert [words.share(x) for x in (0.91, 0.995, 0.05)] == ["91 %", "over 99 %", "5.0 %"]
    asked = r.serve(requests_per_s=2000.0, p99_ms=500.0)
    for answer in (r.ask(asked, r.of(r.offer())), served_and_told()):
        told = str(codec.to_plain(answer))
        assert " %" in told
        assert re.search(r"\d%", told) is None


def served_and_told() -> Recommendation:
    """Of a measured rate, with its margins."""
    return r.ask(served(), r.of(r.offer()), server_case(200.0, 50.0))


def test_hardware_that_is_level_is_told_so() -> None:
    """Not "0 % worse"."""
    assert [words.worse(x) for x in (1.0, 1.004, 1.006, 1.18, 2.5, 13_000.0)] == [
        "as good as the pick",
        "as good as the pick",
        "0.60 % worse",
        "18 % worse",
        "2.5 times the pick",
        "13,000 times the pick",
    ]


def test_old_prices_are_one_sentence_with_what_to_do() -> None:
    """Counted over all that have a price; none where all are fresh."""
    old = [r.offer(instance_type=f"l4.{i}", as_of="2026-01-01") for i in range(3)]
    unpriced = r.offer(instance_type="l4.x", ondemand_usd_per_h=r.NONE, as_of="2026-01-01")
    notes = r.ask(r.need(), r.of(*old, r.offer(), unpriced)).notes
    (note,) = [n for n in notes if "older than they should be" in n]
    assert note.startswith("3 of 4 prices are older")
    assert "dlbench catalog update" in note
    assert not any("prices are older" in n for n in r.ask(r.need(), r.of(r.offer())).notes)


def test_old_and_odd_prices_are_told_beside_the_pick() -> None:
    """The age by the kind of seller; a price far from its family's by the linter."""
    pick = picked(r.ask(r.need(), r.of(r.offer(as_of="2026-01-01"))))
    assert any("328 days ago" in w for w in pick.warnings)


def test_a_gpu_beside_arm_processors_is_told_so() -> None:
    """A T4G is sold beside AWS's Graviton2; the L4's host is like everybody's."""
    arm = picked(r.ask(r.need(), r.of(r.offer(accelerator="T4G"))))
    usual = picked(r.ask(r.need(), r.of(r.offer())))
    assert any("beside T4G are ARM ones" in w for w in arm.warnings)
    assert not any("ARM" in w for w in usual.warnings)


def test_a_price_far_below_its_family_is_believed_while_fresh_or_ones_own() -> None:
    """An old one must be confirmed before anybody plans with it."""
    family = [r.offer(instance_type=f"l4.{i}") for i in range(4)]

    def pick(**changes: Any) -> str:
        odd = r.offer(instance_type="odd", ondemand_usd_per_h=0.1, **changes)
        return picked(r.ask(r.need(), r.of(*family, odd))).offer.instance_type

    assert pick(as_of="2026-11-20") == "odd"
    assert pick(as_of="2025-11-20") != "odd"
    assert pick(as_of="2025-11-20", origin="user: mine.csv") == "odd"


def test_launch_lines_name_what_was_recommended_and_are_safe() -> None:
    """A name from a price file cannot start a line of its own."""
    answer = r.ask(r.need(name="a job"), r.of(r.offer()))
    assert answer.launch is not None
    yaml = answer.launch.skypilot_yaml
    assert isinstance(yaml, str)
    assert 'infra: "aws/us-east-1"' in yaml
    assert 'instance_type: "l4.small"' in yaml
    assert 'name: "a-job"' in yaml
    for word in ("select", "set up", "upload", "install", "configure", "run"):
        assert word in answer.launch.shell
    evil = r.offer(instance_type='x"\nrm -rf ~', region="us-east-1")
    launch = r.ask(r.need(), r.of(evil)).launch
    assert launch is not None
    assert isinstance(launch.skypilot_yaml, str)
    assert "\nrm" not in launch.skypilot_yaml
    assert "\nrm" not in launch.shell
    other = r.ask(r.need(), r.of(r.offer(provider="verda", region="eu"))).launch
    assert other is not None
    assert isinstance(other.skypilot_yaml, Absent)


def launched(asked: Any, offer: Any) -> Any:
    """The launch lines of the one offer that there is."""
    found = r.ask(asked, r.of(offer)).launch
    assert found is not None
    return found


def test_a_task_keeps_data_where_they_may_be() -> None:
    """A marketplace's region has commas; without it SkyPilot would start the cheapest host anywhere."""
    offer = r.offer(provider="vast", instance_type="1x-L4-32-65536", region="Germany, DE, EU")
    yaml = launched(r.need(regions=["EU"]), offer).skypilot_yaml
    assert 'infra: "vast/Germany, DE, EU"' in yaml


def test_a_task_names_machines_as_skypilot_spells_them() -> None:
    """Google's accelerators are attached to a host, RunPod's types have SkyPilot's names of devices."""

    def yaml(**changes: Any) -> Any:
        return launched(r.need(), r.offer(**changes)).skypilot_yaml

    attached = yaml(
        provider="gcp",
        region="us-central1",
        instance_type="n1-standard-4+t4x1",
        accelerator="T4",
    )
    assert 'instance_type: "n1-standard-4"' in attached
    assert 'accelerators: "T4:1"' in attached
    h100 = {"provider": "runpod", "region": "any", "accelerator": "H100-SXM5-80GB"}
    secure = yaml(**h100, instance_type="1x_H100-SXM5-80GB_SECURE")
    assert 'instance_type: "1x_H100-SXM_SECURE"' in secure
    assert 'infra: "runpod"' in secure
    b300 = {**h100, "accelerator": "B300-SXM-288GB"}
    assert '"1x_B300_SECURE"' in yaml(**b300, instance_type="1x_B300-SXM-288GB_SECURE")
    community = yaml(**h100, instance_type="1x_H100-SXM5-80GB_COMMUNITY")
    assert isinstance(community, Absent)
    nowhere = yaml(provider="paperspace", region="unknown", instance_type="V100-16Gx1")
    assert isinstance(nowhere, Absent)


@pytest.mark.parametrize(("seller", "kind"), [("runpod", "1x NVIDIA L4"), ("vast", "27451133")])
def test_a_name_of_another_table_is_none_of_skypilots(seller: str, kind: str) -> None:
    """Of RunPod gpuhunt has a card's name, of Vast an offer's number: no task starts such a type."""
    offer = r.offer(provider=seller, region="US", instance_type=kind)
    assert isinstance(launched(r.need(), offer).skypilot_yaml, Absent)


def test_steps_install_what_runs_on_the_device_that_was_picked() -> None:
    """TensorFlow, JAX and ONNX Runtime have other packages for CUDA."""
    table = {
        "pytorch": ("torch", "torch"),
        "tensorflow": ("tensorflow", "tensorflow-cuda"),
        "jax": ("jax", "jax-cuda"),
        "keras": ("keras", "keras"),
        "onnxruntime": ("onnx", "onnx-cuda"),
    }
    for framework, extras in table.items():
        for offer, extra in zip((r.cpu(), r.offer()), extras, strict=True):
            asked = r.need(framework=framework, task="inference", epochs=None)
            found = launched(asked, offer)
            assert f'pip install "./dlbench[{extra}]"' in found.shell, (framework, extra)


def test_launch_lines_install_a_clone_while_no_index_has_dlbench() -> None:
    """By its name alone pip finds nothing on a machine that is paid for, or a stranger's package."""
    found = launched(r.need(), r.offer())
    assert "\nfile_mounts:\n  ~/dlbench: ../dlbench " in found.skypilot_yaml
    assert '\nsetup: |\n  python3 -m pip install "$HOME/dlbench[torch]"\n' in found.skypilot_yaml
    copied = found.shell.index('"$DLBENCH"/ "$HOST":dlbench/')
    assert (
        found.shell.index("DLBENCH=../dlbench\n") < copied < found.shell.index("./dlbench[torch]")
    )
    done = subprocess.run(["sh", "-n"], input=found.shell, text=True, check=False)
    assert done.returncode == 0


def test_an_environment_of_this_machine_is_not_uploaded_to_where_one_is_made() -> None:
    """Its link to a python that is not there stayed, and nothing could be installed."""
    steps = launched(r.need(), r.offer()).shell
    (uploaded,) = [line for line in steps.splitlines() if line.endswith(' ./ "$HOST":job/')]
    assert " --exclude .venv " in uploaded
    assert steps.index(uploaded) < steps.index("python3 -m venv job/.venv")


def test_a_pick_is_one_that_its_framework_can_compute_on() -> None:
    """ONNX Runtime quantises for processors, and has no half here: as its adapter says."""
    assert evidence.ONNX_ON_ACCELERATORS == onnxruntime.CUDA_PRECISIONS
    for precision, able in (("fp32", True), ("tf32", True), ("fp16", False), ("int8", False)):
        asked = r.need(framework="onnxruntime", task="inference", epochs=None, precision=precision)
        answer = r.ask(asked, r.of(r.offer()))
        assert (answer.pick is not None) is able, precision
        if not able:
            assert answer.rejected[0].reason == (
                f"ONNX Runtime runs {precision} on no accelerator here"
            )


def test_launch_lines_say_how_the_rent_ends() -> None:
    """Nobody stops a machine that is forgotten; a spot task is a managed job, which goes on."""
    answer = launched(r.need(name="50 requests"), r.offer())
    assert "sky launch -c dlbench-50-requests task.yaml" in answer.skypilot_yaml
    assert "sky down dlbench-50-requests" in answer.skypilot_yaml
    assert "# 8 end       delete the machine at aws" in answer.shell
    assert 'rsync -az --exclude .venv "$HOST":job/ ./fetched/' in answer.shell
    spot = r.offer(spot_usd_per_h=0.1, spot_as_of="2026-11-20", spot_source="a test")
    assert "sky jobs launch -n need" in launched(r.need(spot=True), spot).skypilot_yaml


def test_launch_lines_measure_what_was_asked_for() -> None:
    """The same variant; one's own model by --model, since no folder has its name."""
    tiny = {"workload": "resnet50", "variant": "tiny"}
    given = {"parameters": None, "flops_per_sample": None}
    assert (
        "dlbench run resnet50 --variant tiny" in launched(r.need(**given, **tiny), r.offer()).shell
    )
    assert "dlbench run --model FILE.py:FUNCTION" in launched(r.need(), r.offer()).shell
    own = r.ask(r.need(**MINE), r.of(r.offer()), r.measured(500.0)).launch
    assert own is not None
    assert "--name mine" in own.shell


def test_launch_lines_measure_with_the_policy_that_was_recommended() -> None:
    """A pick by a tuned measurement is tried as tuned; on its accelerator's siblings too."""
    yaml = []
    for policy in (Policy.BASE, Policy.TUNED):
        run = r.measured(500.0, policy=policy)
        answer = r.ask(r.need(**MINE), r.of(r.offer()), run)
        assert picked(answer).policy is policy
        assert answer.launch is not None
        yaml.append(str(answer.launch.skypilot_yaml))
    assert ["--policy tuned" in y for y in yaml] == [False, True]


# --- serving --------------------------------------------------------------------------------


def server_case(rate: float, limit_ms: float) -> Any:
    """A document of a server case of ``mine`` at a limit."""
    return r.measured(
        rate,
        mode=Mode.INFERENCE,
        scenario=Scenario.SERVER,
        batches=(1,),
        peaks_mib=(2000.0,),
        options=(("latency_limit_ms", f"{limit_ms:g}"),),
    )


def served(**fields: Any) -> Any:
    """A need of inference of ``mine``."""
    table = {"task": "inference", "workload": "mine", "requests_per_s": 900.0, "p99_ms": 50.0}
    return needs.build({**table, **fields})[0]


def test_a_measured_server_rate_says_how_many_instances() -> None:
    """200 a second at 50 ms, 80 % of it planned for, less a tenth for another machine: 7 for 900."""
    answer = r.ask(served(), r.of(r.offer()), server_case(200.0, 50.0))
    pick = picked(answer)
    sure = 200 * 0.9 ** (1.2816 / 1.6449)
    assert pick.n_instances == math.ceil(900 / (sure * 0.8)) == 7
    assert value(pick.cost_usd) == pytest.approx(7 * 0.8 * 730, rel=1e-6)
    assert "80 % planned utilisation" in next(
        s.formula for s in pick.trail if s.name == "instances"
    )
    assert any(s.startswith("Instances: 7 = 900 requests/s / (") for s in answer.reasons)
    assert any("x 80 % planned utilisation" in s for s in answer.reasons)
    assert "measured, server scenario" in next(
        s.formula for s in pick.trail if s.name == "rate within the limit"
    )


def test_a_fleet_of_spot_instances_has_a_spare() -> None:
    """A service must not wait for the next machine: 8 for the 7 that are needed."""
    offer = r.offer(spot_usd_per_h=0.1, spot_as_of="2026-11-20", spot_source="a test")
    answer = r.ask(served(spot=True), r.of(offer), server_case(200.0, 50.0))
    assert picked(answer).spot
    assert picked(answer).n_instances == 8
    assert any("a spare for a spot instance that is taken away" in s for s in answer.reasons)
    # One that is enough on demand is cheaper than two of a spot price above half.
    dear = r.offer(spot_usd_per_h=0.5, spot_as_of="2026-11-20", spot_source="a test")
    few = served(spot=True, requests_per_s=50.0)
    assert not picked(r.ask(few, r.of(dear), server_case(200.0, 50.0))).spot


def test_a_cost_without_a_range_is_said_once() -> None:
    """A month's rent is known to the cent."""
    reasons = r.ask(served(), r.of(r.offer()), server_case(200.0, 50.0)).reasons
    assert "4,088 USD a month for 900 requests/s within 50 ms" in reasons[0]


def test_of_repeated_server_cases_the_middle_counts() -> None:
    """400 once and 200 twice at one limit: 200, and the range says that 400 was seen."""
    runs = [
        replace(server_case(rate, 50.0), run_id=f"2026010{i}T000000Z-test-2c-abcdef")
        for i, rate in enumerate((400.0, 200.0, 201.0), 1)
    ]
    pick = picked(r.ask(served(), r.of(r.offer()), *runs))
    (rate,) = [s for s in pick.trail if s.name == "rate within the limit"]
    assert rate.value == "201 requests/s within 50 ms"
    assert "the middle of 3 documents (180 to 440)" in rate.formula
    assert pick.n_instances == 7


def test_a_batch_that_is_insisted_on_serves_no_smaller_one() -> None:
    """Batches of 64 do not end in time, where smaller ones do; a server case of 1 says nothing."""
    fields = {"p99_ms": 60.0}
    small = picked(r.ask(r.serve(**fields), r.of(r.offer())))
    assert small.batch_size < 64
    answer = r.ask(r.serve(**fields, batch_size=64), r.of(r.offer()))
    (rejection,) = answer.rejected
    assert rejection.constraint is Constraint.LATENCY
    assert rejection.reason.startswith("p99 of batches of 64 may reach")
    given = served(batch_size=8, requests_per_s=50.0, p99_ms=200.0)
    pick = picked(r.ask(given, r.of(r.offer()), server_case(200.0, 50.0)))
    assert pick.batch_size == 8
    (rate,) = [s for s in pick.trail if s.name == "rate within the limit"]
    assert "estimated, no server case" in rate.formula


def test_a_small_batch_reads_all_parameters_too() -> None:
    """A billion of them in fp16, of which an L4 reads 225 GB a second: 8.9 ms, however few requests."""
    fields: dict[str, Any] = {"parameters": 1e9, "flops_per_sample": 2e9, "precision": "fp16"}
    (rejection,) = r.ask(r.serve(**fields, p99_ms=20.0), r.of(r.offer())).rejected
    assert rejection.constraint is Constraint.LATENCY
    slow = picked(r.ask(r.serve(**fields, p99_ms=100.0), r.of(r.offer())))
    latency = slow.latency_p99_s
    assert isinstance(latency, Estimated)
    assert latency.interval.low > 2 * 2e9 / (300e9 * 0.75)


def test_a_slice_does_not_serve_what_the_whole_card_did() -> None:
    """Half an L4, beside a server case of all of one: what it serves is derived, and told so."""
    half = r.offer(instance_type="l4.half", accelerator_count=0.5, ondemand_usd_per_h=0.4)
    pick = picked(r.ask(served(requests_per_s=1.0), r.of(half), server_case(200.0, 50.0)))
    (told,) = [s for s in pick.trail if s.name == "rate within the limit"]
    assert told.formula.startswith(assumptions.ESTIMATED)


def test_the_memory_of_a_service_is_that_of_its_batch() -> None:
    """700 MiB, 1.1 x 4 bytes of 25 M parameters, and 0.15 x 4 bytes of each activation of the batch."""
    pick = picked(r.ask(r.serve(p99_ms=60.0), r.of(r.offer())))
    assert pick.batch_size < 32
    by_hand = 700 + (1.1 * 4 * 25e6 + pick.batch_size * 0.15 * 4 * 4e9 / 377) / 2**20
    assert value(pick.memory_mib) == pytest.approx(by_hand)
    (told,) = [s for s in pick.trail if s.name == "memory"]
    assert f"GiB at batch {pick.batch_size}, of" in told.value
    assert "700 MiB + 1.1 x 4 bytes a parameter + batch x 0.15 x 4 bytes of" in told.formula


def test_a_server_case_of_a_looser_limit_does_not_count() -> None:
    """200 a second within 200 ms says nothing of 50 ms: the rate is derived, and labelled."""
    pick = picked(r.ask(served(), r.of(r.offer()), server_case(200.0, 200.0)))
    (rate,) = [s for s in pick.trail if s.name == "rate within the limit"]
    assert "estimated, no server case" in rate.formula


def test_a_server_case_at_the_limit_as_it_is_spelled_counts() -> None:
    """The steps measure 16.6667 ms for a sixtieth of a second, and that was held for looser."""
    case = server_case(2000.0, 50 / 3)
    pick = picked(r.ask(served(p99_ms=16.6666666), r.of(r.offer()), case))
    (rate,) = [s for s in pick.trail if s.name == "rate within the limit"]
    assert rate.formula.startswith("measured")


def test_a_derived_p99_is_told_in_the_reasons() -> None:
    """And one that LoadGen found is not."""
    told = "Its p99 is estimated from that: no server case was measured."
    assert told in " ".join(r.ask(r.serve(), r.of(r.offer())).reasons)
    case = server_case(2000.0, 50.0)
    assert told not in " ".join(r.ask(served(), r.of(r.offer()), case).reasons)


def test_derived_capacity_keeps_twice_the_service_time_within_the_limit() -> None:
    """Head-room is stated, and a tighter limit needs more instances or none will do."""
    loose = picked(r.ask(r.serve(requests_per_s=2000.0, p99_ms=500.0), r.of(r.offer())))
    tight = picked(r.ask(r.serve(requests_per_s=2000.0, p99_ms=120.0), r.of(r.offer())))
    assert loose.n_instances < tight.n_instances
    for pick, limit_s in ((loose, 0.5), (tight, 0.12)):
        assert value(pick.latency_p99_s) <= limit_s
        assert "60 % planned utilisation" in next(
            s.formula for s in pick.trail if s.name == "instances"
        )
    answer = r.ask(r.serve(p99_ms=1.0), r.of(r.offer()))
    assert answer.pick is None
    assert "latency binds for 1 of 1 ways" in answer.binding[0]
    assert "p99_ms is 1" in answer.binding[0]
    assert assumptions.SERVICES_A_LATENCY == 2


def test_a_derived_rate_can_be_worked_out_from_its_line() -> None:
    """Host and one sample's time are in it: 4 / (4.3 + 4 x 0.7) ms are what is told."""
    for offered in (r.offer(), r.cpu(vcpus=64.0)):
        asked = r.serve(p99_ms=5000.0, requests_per_s=5.0, max_instances=1000)
        pick = picked(r.ask(asked, r.of(offered)))
        (way,) = [s for s in pick.trail if s.name == "rate within the limit"]
        said = re.search(r"(\d+) / \(host (\S+) ms \+ \d+ x (\S+) ms", way.formula)
        assert said is not None
        batch, host_ms, each_ms = (float(x) for x in said.groups())
        told = float(way.value.split(" ")[0].replace(",", ""))
        assert told == pytest.approx(1e3 * batch / (host_ms + batch * each_ms), rel=0.1)


def test_more_requests_never_need_fewer_instances() -> None:
    """Nor cost less."""
    counts = [
        picked(r.ask(r.serve(requests_per_s=rate), r.of(r.offer()))).n_instances
        for rate in (10.0, 100.0, 1000.0, 4000.0)
    ]
    assert counts == sorted(counts)
    assert counts[-1] > 1
    many = r.ask(r.serve(requests_per_s=1e6), r.of(r.offer()))
    assert many.rejected[0].constraint is Constraint.DEVICES


def test_a_monthly_budget_binds_a_service() -> None:
    """0.80 USD an hour are 584 a month."""
    assert r.ask(r.serve(budget_usd_per_month=500.0), r.of(r.offer())).pick is None
    assert picked(r.ask(r.serve(budget_usd_per_month=600.0), r.of(r.offer()))).p_budget == 1


SERVICE = {"task": "inference", "requests_per_s": 5.0, "p99_ms": 50.0}

# --- needs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"budget_usd": -5}, "budget_usd is -5"),
        ({"budget_usd": 0}, "budget_usd is 0"),
        ({"deadline_h": "soon"}, "deadline_h is 'soon'"),
        ({"deadline_h": float("nan")}, "deadline_h is nan"),
        ({"deadline_h": True}, "deadline_h is True"),
        ({"samples": 1e300}, "samples is 1e+300"),
        ({"confidence": 1.5}, "confidence is 1.5"),
        ({"confidence": 0.1}, "confidence is 0.1"),
        ({"batch_size": 1.5}, "batch_size is 1.5"),
        ({"task": "cooking"}, "task is 'cooking'"),
        ({"precision": "fp12"}, "precision is 'fp12'"),
        ({"framework": "caffe"}, "framework 'caffe' is unknown"),
        ({"regions": "DE"}, "regions is 'DE'"),
        ({"spot": "yes"}, "spot is 'yes'"),
        ({"set_up_min": [20, 5]}, "set_up_min is [20, 5]"),
        ({"set_up_min": [5]}, "set_up_min is [5]"),
        ({"set_up_min": 5}, "set_up_min is 5"),
        ({"pue": 0.5}, "pue is 0.5"),
        ({"framework": "onnxruntime"}, "framework onnxruntime does not train"),
        ({"precision": "int8"}, "precision int8 is not there for training with pytorch"),
        (
            {**SERVICE, "workload": "gnmt", "framework": "openvino", "precision": "int8"},
            "precision int8 is not there for gnmt",
        ),
        ({"steps": 5, "epochs": 3}, "steps and epochs both say"),
        ({"hours_per_month": 30, "samples": 5}, "hours_per_month makes no sense for task training"),
        ({**SERVICE, "runs_per_month": 3}, "runs_per_month makes no sense for a service"),
        ({"pue": 112}, "pue is 112"),
        ({**SERVICE, "hours_per_month": 8760}, "hours_per_month is 8760"),
        ({"owned": [{"name": "x", "country": "Germany"}]}, "owned: country is 'Germany'"),
        ({"owned": [{"name": "x", "accelerator_count": 1.5}]}, "accelerator_count is 1.5"),
        ({"dead_line_h": 3}, "dead_line_h is no field"),
        ({"owned": [{"name": "x", "nmae": "x"}]}, "owned: nmae is no field"),
        ({"owned": [{}]}, "owned: name is missing"),
        ({"owned": {}}, "owned is no list"),
        ({"owned": [{"name": "x"}, {"name": "x"}]}, "owned: two machines have the name 'x'"),
        ({"requests_per_s": 5.0}, "requests_per_s makes no sense for task training"),
        ({**SERVICE, "deadline_h": 5}, "deadline_h makes no sense for a service"),
        ({**SERVICE, "budget_usd": 5}, "budget_usd makes no sense for a service"),
        ({"task": "inference", "samples": 5, "p99_ms": 5}, "p99_ms makes no sense for inference"),
        ({"p99_ms": 5}, "p99_ms makes no sense for task training"),
        ({"steps": 5, "samples": 5}, "steps and samples both"),
        ({"name": "a\x1b[2J"}, "name is"),
    ],
)
def test_an_impossible_need_is_a_sentence_that_names_the_field(
    table: dict[str, Any], words: str
) -> None:
    """With what to do about it."""
    with pytest.raises(UsageError) as caught:
        needs.build(table)
    assert words in caught.value.message
    assert caught.value.advice


def test_models_that_are_known_are_ones_that_somebody_needs() -> None:
    """No floor and no ceiling of a machine: ``null`` is nothing to rent anything for."""
    with pytest.raises(UsageError, match="workload 'nil' is unknown") as caught:
        job.facts(r.need(workload="nil"), ())
    known = caught.value.advice.partition("Known: ")[2].partition(";")[0].split(", ")
    assert {"resnet50", "gpt2_decode"} <= set(known)
    assert not {"null", "gemm", "conv2d", "memory_bandwidth", "host_to_device", "fake"} & set(known)


def test_a_processor_is_no_accelerator_of_a_machine_of_ones_own() -> None:
    """It was refused for having a device too many, or for a memory that no processor has."""
    asked = r.need(owned=[{"name": "desk", "accelerator": "EPYC-7763", "vcpus": 8.0}])
    shipped = catalog.shipped()
    with pytest.raises(UsageError, match="accelerator 'EPYC-7763' is a processor") as caught:
        needs.check(asked, shipped)
    assert caught.value.advice == 'Leave accelerator out, and write cpu_model = "EPYC-7763".'


def numbers_of(kind: type) -> list[str]:
    """The fields of a need, or of a machine, that are numbers or pairs of them; by their types."""
    return [
        name
        for name, hint in get_type_hints(kind).items()
        if {int, float} & {hint, *get_args(hint)} and bool not in {hint, *get_args(hint)}
    ]


def with_number(kind: type, name: str, number: object) -> dict[str, Any]:
    """A need whose only oddity is that field."""
    pair = isinstance(getattr(Need(), name, None), tuple)
    given: dict[str, Any] = {name: [number, number] if pair else number}
    return {"owned": [{"name": "desk", **given}]} if kind is OwnedMachine else given


NUMBERS = [(kind, name) for kind in (Need, OwnedMachine) for name in numbers_of(kind)]

NO_NUMBERS: tuple[tuple[object, str], ...] = (
    (math.nan, "A finite number"),
    (math.inf, "A finite number"),
    (-math.inf, "A finite number"),
    ("5", "A finite number"),
    (True, "A finite number"),
    (None, "A finite number"),
    ([5.0], "A finite number"),
    (-1, "Give a number a"),
    (-1e-12, "Give a number a"),
    (1e-12, "Give a number of at least 1e-09"),
    (2e18, "Give a number of at most 1e+18"),
    (10**400, "Give a number of at most 1e+18"),
)
"""What no field takes, and how the remedy begins."""


@pytest.mark.parametrize(("kind", "name"), NUMBERS, ids=lambda x: getattr(x, "__name__", x))
def test_no_field_takes_a_number_that_is_none(kind: type, name: str) -> None:
    """Each is named, with the machine's table it is in, and there is a remedy."""
    zero = () if name in needs.MAY_BE_ZERO else ((0, "Give a number above 0, or leave "),)
    half = ((1.5, "A whole number is needed."),) if name in needs.WHOLE else ()
    where = "owned: " if kind is OwnedMachine else ""
    for number, remedy in (*NO_NUMBERS, *zero, *half):
        with pytest.raises(UsageError) as caught:
            needs.build(with_number(kind, name, number))
        assert caught.value.message.startswith(f"{where}{name} is {number!r:.20}")
        assert len(caught.value.message) < 150
        assert caught.value.advice.startswith(remedy)


def test_every_number_of_a_need_is_among_those_that_are_tried() -> None:
    """Types tell them; were they told otherwise one day, the test above would try none."""
    assert {"runs_per_month", "set_up_min", "batch_size", "pue", "seed"} <= set(numbers_of(Need))
    assert {"count", "utilisation", "idle_w", "vcpus"} <= set(numbers_of(OwnedMachine))
    assert not {"spot", "name", "owned", "regions", "task"} & set(numbers_of(Need))


@pytest.mark.parametrize("asked", [r.need, r.serve])
@pytest.mark.parametrize(("kind", "name"), NUMBERS, ids=lambda x: getattr(x, "__name__", x))
def test_an_absurd_number_that_is_one_has_an_answer(
    kind: type, name: str, asked: Callable[..., Need]
) -> None:
    """The least and the most of each: no sum overflows, nothing is divided by nothing."""
    desk = {"name": "desk", "accelerator": "L4", "purchase_usd": 100.0, "vcpus": 8.0}
    spot = {"spot_usd_per_h": 0.3, "spot_as_of": "2026-11-20", "spot_source": "a test"}
    offered = r.of(r.offer(**spot), r.cpu())
    for number in (needs.SMALLEST, 1, needs.LARGEST):
        table = with_number(kind, name, number)
        owned = [desk | table["owned"][0] if kind is OwnedMachine else desk]
        work = {"samples": None, "epochs": None} if name == "steps" else {}
        try:
            need = asked(**{**work, **table, "owned": owned, "spot": True})
        except UsageError:
            continue
        plain = recommendation.plain(r.ask(need, offered))
        assert json.loads(json.dumps(plain, allow_nan=False))["seed"] == need.seed


def test_a_whole_number_that_python_cannot_read_is_no_toml(tmp_path: Path) -> None:
    """Of five thousand digits."""
    path = tmp_path / "need.toml"
    path.write_text("samples = " + "9" * 5000, encoding="utf-8")
    with pytest.raises(UsageError, match="is no TOML"):
        needs.read(path)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"regions": ["mars"]}, "regions: 'mars'"),
        ({"regions": ["eu-centrl-1"]}, "regions: 'eu-centrl-1'"),
        ({"exclude_providers": ["amazon"]}, "exclude_providers: 'amazon'"),
        ({"owned": [{"name": "x", "accelerator": "L4000"}]}, "owned: accelerator 'L4000'"),
        ({"parameters": None}, "parameters is missing"),
        ({"flops_per_sample": None}, "flops_per_sample is missing"),
        ({"samples": None}, "samples is missing"),
        ({"workload": "resnet51", "parameters": None}, "workload 'resnet51' is unknown"),
        ({"workload": "resnet50", "variant": "huge"}, "variant 'huge'"),
    ],
)
def test_names_that_nobody_knows_are_refused(fields: dict[str, Any], words: str) -> None:
    """Against the catalog, the workloads and the documents."""
    with pytest.raises(UsageError) as caught:
        r.ask(r.need(**fields), r.of(r.offer()))
    assert words in caught.value.message
    assert caught.value.advice


def test_a_service_whose_p99_nobody_timed_is_a_service_all_the_same() -> None:
    """Its month is no latency of 730 hours, which would be compared with those that are known."""
    offered = r.of(r.offer(), r.offer(**{**r.A100, "ondemand_usd_per_h": 30.0}))
    run = server_case(200.0, 50.0)
    timed = picked(r.ask(served(), offered, run))
    assert isinstance(timed.latency_p99_s, Absent)
    fastest = r.ask(served(objective="time"), offered, run)
    assert picked(fastest).offer.accelerator == "A100-SXM4-80GB"
    (out,) = [x for x in fastest.rejected if x.hardware == "1 x L4"]
    assert out.reason == "its time is not known, and is minimised"


def test_a_service_needs_its_rate_and_its_limit() -> None:
    """Each is named when it is missing."""
    size = {"task": "inference", "parameters": 1e6, "flops_per_sample": 1e9}
    with pytest.raises(UsageError, match="p99_ms is missing"):
        r.ask(needs.build({**size, "requests_per_s": 5.0})[0], r.of(r.offer()))
    with pytest.raises(UsageError, match="requests_per_s is missing, and so is samples"):
        r.ask(needs.build(size)[0], r.of(r.offer()))


def test_inference_that_ends_is_a_run_like_training() -> None:
    """A nightly batch: a third of the arithmetic, a deadline, and no p99."""
    batch = {"task": "inference", "parameters": 25e6, "flops_per_sample": 8e9, "samples": 1e7}
    asked = needs.build({**batch, "deadline_h": 20.0})[0]
    pick = picked(r.ask(asked, r.of(r.offer())))
    trained = picked(r.ask(r.need(samples=1e7), r.of(r.offer())))
    assert value(pick.time_s) < value(trained.time_s) / 2
    assert isinstance(pick.latency_p99_s, Absent)
    assert pick.p_deadline is not None


@pytest.mark.parametrize(
    ("table", "advice"),
    [
        ({"deadline_h": "10 min"}, "A finite number of hours is needed."),
        ({"budget_usd_per_month": "5k"}, "A finite number of USD is needed."),
        ({"set_up_min": 5}, "Low and high are needed: [5.0, 20.0]."),
    ],
)
def test_the_remedy_says_what_a_field_counts(table: dict[str, Any], advice: str) -> None:
    """Whoever wrote minutes into hours can see it."""
    with pytest.raises(UsageError) as caught:
        needs.build(table)
    assert caught.value.advice == advice


@pytest.mark.parametrize(
    ("region", "advice"), [("Germany", ": DE."), ("UK", ": GB."), ("europe", ": EU.")]
)
def test_a_country_that_is_written_out_is_told_its_code(region: str, advice: str) -> None:
    """Rather than the marketplace's regions that are spelled nearly so."""
    with pytest.raises(UsageError) as caught:
        r.ask(r.need(regions=[region]), r.of(r.offer()))
    assert caught.value.advice == f"Countries are codes of two letters{advice}"


def test_a_workload_has_its_size_and_takes_no_other() -> None:
    """Parameters beside it would be ignored in silence."""
    both = needs.build({"workload": "resnet50", "samples": 10.0, "parameters": 1e6})[0]
    with pytest.raises(UsageError, match="parameters and workload resnet50 both say"):
        r.ask(both, r.of(r.offer()))


def test_work_that_was_left_open_is_echoed() -> None:
    """One epoch of one's samples, or the workload's data set and its epochs."""
    own = r.ask(needs.build({"workload": "resnet50", "samples": 10.0})[0], r.of(r.offer()))
    assert dict(own.defaults) == {"epochs": "1"}
    all_ = r.ask(needs.build({"workload": "resnet50"})[0], r.of(r.offer()))
    assert dict(all_.defaults)["samples"].startswith("1,281,167 (the workload's data set")
    assert dict(all_.defaults)["epochs"].startswith("90")
    assert r.ask(r.need(), r.of(r.offer())).defaults == ()


def test_less_than_a_cent_is_not_nothing() -> None:
    """Nobody gets a machine for 0.00 USD."""
    assert words.usd(0.0042) == "0.0042 USD"
    assert words.usd(0.0000042) == "4.2e-6 USD"
    assert words.usd(-0.0042) == "-0.0042 USD"
    assert words.usd(0.05) == "0.05 USD"
    assert words.usd(1234.5) == "1,234 USD"


def test_every_default_is_echoed_and_nothing_that_was_given() -> None:
    """What the answer assumed can be read from it."""
    _, defaults = needs.build({"workload": "resnet50", "precision": "bf16", "spot": True})
    named = dict(defaults)
    assert "precision" not in named
    assert "spot" not in named
    assert named["framework"] == "pytorch"
    assert named["confidence"] == "0.9"
    assert named["spot_interruptions_per_h"] == "0.01 to 0.2"
    assert named["regions"] == "any"
    assert named["deadline_h"] == named["budget_usd"] == named["carbon_limit_kg"] == "none"
    assert named["intensity_g_per_kwh"] == named["pue"] == "the catalog's"
    assert named["owned"] == "none"
    service = dict(needs.build({**SERVICE, "workload": "bert_base"})[1])
    assert service["budget_usd_per_month"] == "none"
    assert not {"deadline_h", "budget_usd", "runs_per_month"} & set(service)


def test_what_a_machine_of_ones_own_left_open_is_echoed() -> None:
    """Its tariff and its life decide what it costs."""
    desk = {"name": "desk", "accelerator": "L4", "purchase_usd": 2000, "tariff_usd_per_kwh": 0.4}
    table = {"workload": "resnet50", "owned": [desk, {"name": "old", "vcpus": 4.0}]}
    named = dict(needs.build(table)[1])
    assert named["owned desk:"] == (
        "count 1, accelerator_count 1, cpu_model not stated, vcpus 8, memory_gib 32, life_years 4, "
        "utilisation this need alone, idle_w 50, country not stated"
    )
    assert named["owned old:"].startswith(
        "count 1, cpu_model not stated, memory_gib 32, purchase_usd 0"
    )
    assert "owned" not in named


def test_a_default_is_not_told_as_what_the_need_says() -> None:
    """Its minutes of set-up count in the time: who did not say them must be able to see it."""
    assert sources_of()["set-up"] == "by default: set_up_min"
    sources = sources_of(set_up_min=[1, 2], data_gb=1.0)
    assert sources["set-up"] == "the need"
    assert sources["upload"] == "the need; by default: upload_mbit_per_s"


def sources_of(**changes: Any) -> dict[str, str]:
    """Where each step of the pick's way is from, asked as the command asks."""
    asked, defaults = needs.build(r.JOB | changes)
    pick = picked(r.ask(asked, r.of(r.offer()), defaults=defaults))
    return {step.name: step.source for step in pick.trail}


def test_what_the_need_says_is_the_needs_be_it_the_default() -> None:
    """Who writes the value that would have been taken has chosen it, and it is echoed no more."""
    default = Need()
    stated = {
        "set_up_min": list(default.set_up_min),
        "data_gb": default.data_gb,
        "upload_mbit_per_s": default.upload_mbit_per_s,
    }
    sources = sources_of(**stated)
    assert sources["set-up"] == sources["upload"] == "the need"
    echoed = dict(needs.build(r.JOB | stated)[1])
    assert not set(stated) & set(echoed)


def test_steps_are_an_optimisers_whatever_the_number_of_devices() -> None:
    """A batch of 64 is 64 over all: the work is one, and each of eight devices takes 8 of it."""
    asked = r.need(samples=None, epochs=None, steps=10_000, batch_size=64, set_up_min=[0, 0])
    eight = {**r.A100, "accelerator_count": 8.0}
    for offer, batch in (
        (r.offer(**r.A100), 64),
        (r.offer(**eight), 8),
        (r.offer(**{**eight, "accelerator_count": 3.0}), 22),
        (r.offer(accelerator="RTX-3060-12GB"), 16),
        (r.cpu(), 64),
    ):
        pick = picked(r.ask(asked, r.of(offer)))
        assert pick.batch_size == batch
        (work,) = [s for s in pick.trail if s.name == "work"]
        assert work.value == "640,000 samples"
        assert work.formula == "10,000 optimiser steps x batch 64 of all devices together"
        seconds = 640_000 / value(pick.throughput_samples_per_s)
        assert value(pick.time_s) == pytest.approx(seconds, rel=0.01)


def test_a_step_that_is_shared_unevenly_is_as_slow_as_the_largest_share() -> None:
    """9 samples over 8 devices are two at a time: as long as 16 take, not nine sixteenths of that."""
    work = {"samples": None, "epochs": None, "steps": 1e6, "set_up_min": [0, 0]}
    eight = r.of(r.offer(**{**r.A100, "accelerator_count": 8.0}))
    uneven, even = (picked(r.ask(r.need(**work, batch_size=batch), eight)) for batch in (9, 16))
    assert uneven.batch_size == even.batch_size == 2
    assert value(uneven.time_s) == pytest.approx(value(even.time_s), rel=1e-6)
    rates = [value(pick.throughput_samples_per_s) for pick in (uneven, even)]
    assert rates[0] / rates[1] == pytest.approx(9 / 16)
    told = next(s for s in uneven.trail if s.name == "scaling")
    assert told.value == "3.86 (2.86 to 4.37) x one device"
    assert told.formula == (
        "0.562, a step's samples over those of equal shares, x 8 x 0.95^log2(8), not measured"
    )
    # Whoever measured three together did so at even shares: 22 each, of which a step of 64 has 64.
    runs = [r.measured(500.0), r.measured(1320.0, n_devices=3)]
    runs = [replace(x, run_id=f"2026010{i}T000000Z-test-2c-abcdef") for i, x in enumerate(runs, 1)]
    three = r.of(r.offer(accelerator_count=3.0))
    pick = picked(r.ask(r.need(**MINE, **work, batch_size=64), three, *runs))
    assert step(pick, "scaling") == "2.56 (2.43 to 2.69) x one device"


def test_a_device_of_steps_is_asked_for_its_share_of_a_batch() -> None:
    """The rate at 8 a device is not that at 64; and a batch of 4 leaves half of eight idle."""
    answer = Estimated(value=300.0, interval=Interval(low=250.0, high=360.0, level=0.9), method="m")
    eight = r.offer(**{**r.A100, "accelerator_count": 8.0})
    work = {"samples": None, "epochs": None, "steps": 1e4}
    fixed = Fixed(answer)
    r.ask(r.need(**work, batch_size=64), r.of(eight, r.offer(**r.A100)), predictor=fixed)
    asked = {q.batch_size for q in fixed.asked if q.accelerator.name == "A100-SXM4-80GB"}
    assert asked == {64, 8}
    few = r.ask(r.need(**work, batch_size=4), r.of(eight))
    assert few.rejected[0].constraint is Constraint.DEVICES
    assert few.rejected[0].reason == "a step of batch 4 leaves some of 8 devices without a sample"


def test_steps_without_a_batch_take_the_usual_one_and_say_so() -> None:
    """A CPU takes it in smaller parts; the work is the same."""
    asked = r.need(samples=None, epochs=None, steps=100.0)
    answer = r.ask(asked, r.of(r.offer()))
    assert dict(answer.defaults)["batch_size"] == "32 of all devices together (the usual one)"
    assert "Work: 100 optimiser steps x batch 32 of all devices together." in answer.notes
    table = {"parameters": 25e6, "flops_per_sample": 8e9, "steps": 100.0}
    assert "batch_size" not in dict(needs.build(table)[1])
    for offer, batch in ((r.offer(), 32), (r.cpu(), 8), (r.offer(accelerator_count=4.0), 8)):
        pick = picked(r.ask(asked, r.of(offer)))
        assert pick.batch_size == batch
        assert step(pick, "work") == "3,200 samples"


def test_a_workloads_own_data_set_is_the_work_when_none_is_given() -> None:
    """ImageNet and 90 epochs for resnet50."""
    asked = needs.build({"workload": "resnet50"})[0]
    pick = picked(r.ask(asked, r.of(r.offer())))
    works = [s for s in pick.trail if s.name == "work"]
    assert works[0].formula == "1,281,167 samples x 90 epochs"


def test_assumptions_are_all_stated() -> None:
    """Every range that there is, wherever a module has it, is a line of the answer."""
    names = {s.name for s in r.ask(r.need(), r.of(r.offer())).assumptions}
    assert {"billing", "usable memory", "planned utilisation", "carbon intensity"} <= names
    assert len(names) == len(assumptions.STATED) + 7
    stated = [range_ for range_, _, _ in assumptions.STATED]
    modules = (assumptions, estimate, evidence, memory, roofline, scaling, serving)
    for found in (x for module in modules for x in vars(module).values()):
        several = list(found.values()) if isinstance(found, dict) else [found]
        ranges = [x for x in several if isinstance(x, assumptions.Range)]
        assert all(x in stated for x in ranges)
