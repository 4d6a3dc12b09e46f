"""The predictor behind the recommender: shipped coefficients, corrected by the user's documents."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest

from dlbench import catalog
from dlbench.analysis.recommend.predicted import Predicting, predicting
from dlbench.core.recommendation import Evidence, Question
from dlbench.core.types import Absent, Estimated, Mode, Policy, Precision
from tests import recommending as r


@functools.cache
def _shipped() -> Predicting:
    """The shipped coefficients on the shipped catalog, without any document."""
    return predicting((), catalog.shipped())


def question(accelerator: str, **changes: object) -> Question:
    """ResNet-50's training in fp16 on an accelerator."""
    device = catalog.shipped().accelerator(accelerator)
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


def test_a_model_of_ones_own_is_asked_by_its_size() -> None:
    """No folder and no document know it; an answer or a reason, never an exception."""
    asked = question("L4", workload="", parameters=1e8, flops_per_sample=2e10, activations=3e7)
    (answer,) = _shipped().throughputs([asked])
    assert isinstance(answer, Estimated | Absent)


def test_the_recommender_says_that_it_was_predicted() -> None:
    """And from what, with the coefficients' provenance in the way."""
    offered = r.of(r.offer(), r.offer(**r.A100))
    need = r.need(workload="resnet50", parameters=None, flops_per_sample=None, precision="fp16")
    pick = r.ask(need, offered, predictor=predicting((), offered)).pick
    assert pick is not None
    assert pick.evidence is Evidence.PREDICTED
    (step,) = [s for s in pick.trail if s.name == "throughput"]
    assert "coefficients" in step.source


@pytest.mark.parametrize("precision", list(Precision))
def test_every_precision_is_answered_or_refused(precision: Precision) -> None:
    """A data sheet without that peak gives a reason."""
    asked = [question(name, precision=precision) for name in ("T4", "K80", "H100-SXM5-80GB")]
    for answer in _shipped().throughputs(asked):
        assert isinstance(answer, Absent) or answer.value > 0


def test_the_policies_of_a_piece_of_work_are_those_that_were_measured() -> None:
    """Of the shipped rates; another precision or framework is other work."""
    for changes, known in (
        ({"precision": Precision.BF16}, {Policy.BASE, Policy.TUNED}),
        ({"precision": Precision.BF16, "workload": "unet"}, {Policy.BASE}),
        ({"precision": Precision.FP32}, set()),
        ({"precision": Precision.BF16, "framework": "jax"}, set()),
    ):
        assert _shipped().policies(question("L4", **changes)) == known


def test_a_tuned_rate_is_told_where_it_was_measured_tuned() -> None:
    """ResNet-50's training on an L4: nearly three times the plain one, as on the H200."""
    asked = [question("L4", precision=Precision.BF16, policy=p) for p in Policy]
    answers = {q.policy: a for q, a in zip(asked, _shipped().throughputs(asked), strict=True)}
    base, tuned = answers[Policy.BASE], answers[Policy.TUNED]
    assert isinstance(base, Estimated)
    assert isinstance(tuned, Estimated)
    assert 2 < tuned.value / base.value < 3.5
