"""The predictor behind the recommender: shipped coefficients, corrected by the user's documents."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import Any

import pytest

from dlbench import catalog, workloads
from dlbench.analysis.predict import calibration, models
from dlbench.analysis.recommend.predicted import Predicting, predicting
from dlbench.core.recommendation import Evidence, Question
from dlbench.core.types import Absent, Estimated, Mode, Policy, Precision
from tests import recommending as r


@functools.cache
def _shipped() -> Predicting:
    """The shipped coefficients on the shipped catalog, without any document."""
    return predicting((), catalog.shipped())


def question(name: str, **changes: object) -> Question:
    """ResNet-50's training in fp16 on an accelerator."""
    device = catalog.shipped().accelerator(name)
    assert device is not None
    base = Question(
        workload="resnet50",
        variant="full",
        task="image classification",
        parameters=25557032,
        flops_per_sample=8178368512,
        activations=None,
        accelerator=device,
        framework="pytorch",
        precision=Precision.FP16,
        mode=Mode.TRAINING,
        batch_size=64,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_a_fresh_clone_predicts_and_orders_devices_sensibly() -> None:
    """Without any document: a rate with an interval around it; an H100 before an A100 before a T4."""
    asked = [question(name) for name in ("T4", "A100-SXM4-80GB", "H100-SXM5-80GB")]
    answers = _shipped().throughputs(asked)
    values = []
    for answer in answers:
        assert isinstance(answer, Estimated)
        assert answer.interval.low < answer.value < answer.interval.high
        values.append(answer.value)
    assert values == sorted(values)


def test_ones_own_document_narrows_and_corrects_the_prediction() -> None:
    """The model measured on another accelerator sets its level."""
    run = r.measured(
        900.0, workload="resnet50", precision=Precision.FP16, batches=(64,), peaks_mib=(9000.0,)
    )
    (info,) = run.plan.workloads
    own = replace(info, name="resnet50", parameters=25557032, flops=8178368512)
    told = replace(run, plan=replace(run.plan, workloads=(own,)))
    (before,) = _shipped().throughputs([question("A10G")])
    (after,) = predicting((told,), catalog.shipped()).throughputs([question("A10G")])
    assert isinstance(before, Estimated)
    assert isinstance(after, Estimated)
    assert after.interval.high / after.interval.low < before.interval.high / before.interval.low


def test_a_sample_of_another_version_is_not_taken_for_one_of_this() -> None:
    """A sample of gemm's first version had an eighth of the work: eight times as many are as fast."""
    asked = question("L4", workload="gemm", mode=Mode.INFERENCE, batch_size=32)
    (known,) = _shipped().throughputs([asked])
    assert isinstance(known, Estimated)
    run = r.measured(
        8 * known.value, workload="gemm", precision=Precision.FP16, mode=Mode.INFERENCE
    )
    (info,) = run.plan.workloads
    first = replace(info, name="gemm", version=1, parameters=1_048_576, flops=2_147_483_648.0)
    told = replace(run, plan=replace(run.plan, workloads=(first,)))
    (answer,) = predicting((told,), catalog.shipped()).throughputs([asked])
    assert isinstance(answer, Estimated)
    assert answer.value == pytest.approx(known.value, rel=0.3)


def test_a_rate_is_told_in_samples_where_tables_count_other_ones() -> None:
    """An H200 did 1,034 sequences of SQuAD a second in training BERT: 3,270 of 128 tokens."""
    changes = {"workload": "bert_base", "precision": Precision.BF16, "batch_size": 64}
    (answer,) = _shipped().throughputs([question("H200-SXM-141GB", **changes)])
    assert isinstance(answer, Estimated)
    rate = 1034 * 70_666_816_512 / 22_348_434_432
    assert answer.value == pytest.approx(rate, rel=0.1)
    assert answer.interval.low < rate < answer.interval.high < 2 * rate


def test_a_model_of_ones_own_is_asked_by_its_size() -> None:
    """No folder and no document know it: it is told as widely as our own models were missed."""
    size: dict[str, Any] = {"parameters": 1e8, "flops_per_sample": 2e10, "activations": 3e7}
    asked = [question("L4", workload="", mode=mode, **size) for mode in Mode]
    for answer in _shipped().throughputs(asked):
        assert isinstance(answer, Estimated)
        assert calibration.FOREIGN_SIZED in answer.from_
        assert 2 < answer.interval.high / answer.value < 10


def test_what_training_keeps_does_not_move_what_was_measured() -> None:
    """A model of one's own at 200 samples/s on an L4: stating its activations told it 10 to 870."""
    run = r.measured(200.0, precision=Precision.FP16, batches=(64,), peaks_mib=(9000.0,))
    (info,) = run.plan.workloads
    own = replace(info, own="--model net.py:build", content_hash="a" * 64)
    told = predicting((replace(run, plan=replace(run.plan, workloads=(own,))),), catalog.shipped())
    asked = [question("L4", workload="mine", activations=x) for x in (None, 1e6, 1e9)]
    for answer in told.throughputs(asked):
        assert isinstance(answer, Estimated)
        assert answer.value == pytest.approx(200.0, rel=0.1)


def test_a_rate_with_a_neighbour_is_believed_less() -> None:
    """An L4 at half its pace: an A10G is told nearer to what it is told without that document."""
    without = told("A10G", batch_size=64)
    rates = {}
    for flags in ((), ("contended",)):
        run = r.measured(
            150.0, workload="resnet50", precision=Precision.FP16, batches=(64,), flags=flags
        )
        (info,) = run.plan.workloads
        own = replace(info, name="resnet50", parameters=25557032, flops=8178368512)
        known = replace(run, plan=replace(run.plan, workloads=(own,)))
        (answer,) = predicting((known,), catalog.shipped()).throughputs([question("A10G")])
        assert isinstance(answer, Estimated)
        rates[flags] = answer
    sound, flagged = rates[()], rates["contended",]
    assert 1.1 * sound.value < flagged.value < without.value
    assert flagged.interval.high / flagged.value > sound.interval.high / sound.value


@pytest.mark.parametrize("workload", sorted(models.SIZES.keys() - {"gpt2_decode"}))
def test_every_model_that_a_card_ran_is_told_in_both_modes(workload: str) -> None:
    """Within a factor of two, at the batch that is usual on a card."""
    known = workloads.read(workloads.folders()[workload])
    for mode in Mode:
        batch = known.default_batch("full", mode, "nvidia")
        asked = question("L4", workload=workload, mode=mode, batch_size=batch)
        (answer,) = _shipped().throughputs([asked])
        assert isinstance(answer, Estimated)
        assert answer.interval.high / answer.value < 2.0


HELD = "held to what the host can launch at this batch, smaller than all measured"


@pytest.mark.parametrize("workload", sorted(models.SIZES.keys() - {"gpt2_decode"}))
def test_a_batch_of_64_is_told_within_three_where_it_is_not_far_from_usual(workload: str) -> None:
    """ResNet-50's within seven; where usual batches are a thousand and more the host is not known."""
    for answer in _shipped().throughputs([question("L4", workload=workload, mode=m) for m in Mode]):
        assert isinstance(answer, Estimated)
        if workload in {"dlrm_small", "lstm_forecast", "ncf"}:
            assert HELD in answer.from_
        else:
            assert answer.interval.high / answer.value < (7.0 if workload == "resnet50" else 3.0)


def test_the_recommender_says_that_it_was_predicted() -> None:
    """And from what, with the coefficients' provenance in the way."""
    offered = r.of(r.offer(), r.offer(**r.A100))
    need = r.need(workload="resnet50", parameters=None, flops_per_sample=None, precision="fp16")
    pick = r.ask(need, offered, predictor=predicting((), offered)).pick
    assert pick is not None
    assert pick.evidence is Evidence.PREDICTED
    (step,) = [s for s in pick.trail if s.name == "throughput"]
    assert "coefficients" in step.source


@pytest.mark.parametrize(
    ("accelerator", "lacking"),
    [
        ("T4", {"bf16", "tf32", "fp8"}),
        ("V100-SXM2-16GB", {"bf16", "tf32", "int8", "fp8"}),
        ("P4", {"bf16", "fp16", "tf32", "fp8"}),
        ("H100-SXM5-80GB", set()),
    ],
)
def test_a_precision_without_a_peak_on_the_data_sheet_gives_a_reason(
    accelerator: str, lacking: set[str]
) -> None:
    """And one with a peak a rate, with its interval around it."""
    for precision in Precision:
        (answer,) = _shipped().throughputs([question(accelerator, precision=precision)])
        if precision in lacking:
            assert isinstance(answer, Absent)
            assert answer.reason == f"the data sheet of {accelerator} has no {precision} peak"
        else:
            assert isinstance(answer, Estimated)
            assert 0 < answer.interval.low < answer.value < answer.interval.high


def test_a_data_sheet_without_bandwidth_gives_a_reason() -> None:
    """No number is made up of a rate that nobody states."""
    l4 = catalog.shipped().accelerator("L4")
    assert l4 is not None
    sheet = replace(l4, name="X", memory_bandwidth_gb_per_s=Absent(reason="not stated"))
    (answer,) = _shipped().throughputs([question("L4", accelerator=sheet)])
    assert isinstance(answer, Absent)
    assert answer.reason == "the data sheet of X lacks its memory bandwidth"


def test_the_policies_of_a_piece_of_work_are_those_that_were_measured() -> None:
    """Of the shipped rates; another precision or framework is other work."""
    for changes, known in (
        ({"precision": Precision.BF16}, {Policy.BASE, Policy.TUNED}),
        ({"precision": Precision.BF16, "workload": "unet"}, {Policy.BASE}),
        ({"precision": Precision.FP32}, set()),
        ({"precision": Precision.BF16, "framework": "jax"}, set()),
    ):
        assert _shipped().policies(question("L4", **changes)) == known


def told(accelerator: str, **changes: object) -> Estimated:
    """What a fresh clone tells of ResNet-50's training at the usual batch, which must be a rate."""
    (answer,) = _shipped().throughputs([question(accelerator, **{"batch_size": 128, **changes})])
    assert isinstance(answer, Estimated)
    return answer


@pytest.mark.parametrize(
    ("accelerator", "slow", "fast"),
    [
        ("T4", 350, 430),
        ("RTX-3090", 1218, 1460),
        ("V100-SXM2-16GB", 1100, 1400),
        ("A100-SXM4-80GB", 2470, 2900),
    ],
)
def test_what_experts_publish_of_other_cards_lies_inside_what_they_are_told_tuned(
    accelerator: str, slow: float, fast: float
) -> None:
    """ResNet-50 in half precision, channels last: NVIDIA's and timm's tables, with a compiler at most.

    One H200 gained 2.8 times; carried to a T4 or an RTX 3090 as it is, that was told too fast.
    """
    answer = told(accelerator, precision=Precision.FP16, policy=Policy.TUNED)
    assert answer.interval.low < slow
    assert fast < answer.interval.high
    assert 0.8 * slow < answer.value < 1.2 * fast


def test_the_farther_a_card_is_the_less_of_a_gain_is_believed() -> None:
    """By its matrix rate: all of it on another Hopper, less on an A100, half of ln of it on a T4."""
    gains = {}
    for name in ("H200-SXM-141GB", "H100-SXM5-80GB", "A100-SXM4-80GB", "V100-SXM2-16GB", "T4"):
        rates = [told(name, precision=Precision.FP16, policy=p).value for p in Policy]
        gains[name] = math.log(rates[1] / rates[0])
    assert list(gains.values()) == sorted(gains.values(), reverse=True)
    there = gains["H100-SXM5-80GB"]
    assert there == pytest.approx(gains["H200-SXM-141GB"], rel=0.02)
    assert gains["A100-SXM4-80GB"] / there == pytest.approx((312 / 989.4) ** 0.25, rel=0.02)
    assert gains["T4"] / there == pytest.approx((65 / 989.4) ** 0.25, rel=0.02)


def test_what_a_processor_did_leaves_the_prediction_of_gpus_as_it_was() -> None:
    """Two cores of an EPYC 7763 at a thousandth of a GPU's rate: the H100 is told as without them."""
    epyc = replace(
        r.GPU,
        id="cpu",
        kind="cpu",
        name="AMD EPYC 7763 64-Core Processor",
        facts={"physical_cores": 2},
    )
    fields = {"workload": "resnet50", "precision": Precision.FP32, "batches": (8,)}
    run = r.measured(9.0, device=epyc, policy=Policy.TUNED, **fields)  # type: ignore[arg-type]
    (info,) = run.plan.workloads
    own = replace(info, name="resnet50", parameters=25557032, flops=8178368512)
    told = predicting((replace(run, plan=replace(run.plan, workloads=(own,))),), catalog.shipped())
    asked = [question("H100-SXM5-80GB", precision=Precision.FP32)]
    assert told.throughputs(asked) == _shipped().throughputs(asked)
    assert told.policies(asked[0]) == _shipped().policies(asked[0])
