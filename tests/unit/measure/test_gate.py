"""Each rule of the correctness gate passes what is right and refuses what is not, by name."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dlbench.core.types import Absent, DataMode, Mode, Precision, Value
from dlbench.measure import gate
from dlbench.measure.evidence import Evidence, Stated
from dlbench.workloads import UNCOUNTED, Reference
from tests import builders

EXPECTED = Reference(
    values=tuple((b * 10.0, b * 10.0 + 5.0) for b in range(4)),
    positions=(0, 5),
    tolerance=1e-3,
    spread=10.0,
)
LOSS = Reference(values=((2.0,),), positions=(), tolerance=1e-3, spread=2.0)

STATED = Stated(
    case=builders.case(batch_size=2),
    device=builders.CPU,
    workload=builders.WORKLOAD,
    expected=EXPECTED,
    seeded=lambda buffer: (np.full((1, 3), buffer + 1.0),),
    distinct_samples=64,
)
TRAINING = replace(
    STATED, case=builders.case(mode=Mode.TRAINING, scenario=None, batch_size=2), expected=LOSS
)


def _outputs(buffer: int) -> np.ndarray[Any, Any]:
    """Two samples of eight numbers."""
    one = [buffer * 10.0 + i for i in range(8)]
    return np.array([one, [x + 0.5 for x in one]], dtype=np.float32)


def _evidence(stated: Stated = STATED, **changes: Any) -> Evidence:
    base: dict[str, Any] = {
        "stated": stated,
        "facts": {"parameters": 10, "compute_dtype": "float32"},
        "values": (Value(start_s=0, duration_s=1e-3, n_samples=2),),
        "places": frozenset({"fake"}),
        "timed": 2,
        "inputs": (np.full((2, 3), 3.0),),
        "late_share": 0.0,
        "steady_clocks_s": (1.0, 1.001),
    }
    if stated.case.mode is Mode.TRAINING:
        base["losses"] = (2.0, 1.5)
    else:
        base["outputs"] = {b: _outputs(b) for b in range(4)}
        base |= {"source": 3, "target": 2, "exchanged": _outputs(3), "again": _outputs(2)}
    return Evidence(**{**base, **changes})


def _with(buffer: int, spoilt: np.ndarray[Any, Any]) -> dict[int, np.ndarray[Any, Any]]:
    return {**{b: _outputs(b) for b in range(4)}, buffer: spoilt}


def _spoilt(buffer: int, position: int, value: float) -> dict[int, np.ndarray[Any, Any]]:
    outputs = _outputs(buffer)
    outputs[0, position] = value
    return _with(buffer, outputs)


def _refused(evidence: Evidence) -> list[str]:
    return [c.rule for c in gate.judge(evidence) if c.passed is False]


def _of(evidence: Evidence, rule: str) -> tuple[bool | None, str]:
    (check,) = [c for c in gate.judge(evidence) if c.rule == rule]
    return check.passed, check.detail


@pytest.mark.parametrize("stated", [STATED, TRAINING])
def test_what_is_right_passes_every_rule(stated: Stated) -> None:
    """Rules of the other mode do not appear; a second clock, or answer, is not there to be asked."""
    checks = gate.judge(_evidence(stated))
    mode = stated.case.mode
    assert [c.rule for c in checks] == [n for n, r in gate.RULES.items() if r.mode in (None, mode)]
    unasked = {c.rule for c in checks if c.passed is None}
    assert {c.rule for c in checks if c.passed is not True} == unasked
    assert unasked - {"outputs_repeat"} == {"clocks_agree"}


def test_the_digest_is_the_references_row_by_row_or_the_losses() -> None:
    """And empty where one is no number, since a document holds none."""
    assert gate.digest(_evidence()) == tuple(x for row in EXPECTED.values for x in row)
    assert gate.digest(_evidence(TRAINING)) == (2.0, 1.5)
    assert gate.digest(_evidence(TRAINING, losses=(2.0, math.nan))) == ()
    assert gate.digest(_evidence(outputs=_spoilt(1, 5, math.inf))) == ()
    assert gate.digest(_evidence(ALONE, outputs=_spoilt(1, 5, math.inf))) == ()


def test_every_rule_says_what_it_holds_and_what_it_cannot_see() -> None:
    """For whoever is refused."""
    for rule in gate.RULES.values():
        assert len(rule.holds) > 20
        assert len(rule.blind) > 20


def test_a_wrong_output_is_refused() -> None:
    """Off by 1 % of the spread, at a tolerance of 0.1 %."""
    assert _refused(_evidence(outputs=_spoilt(1, 5, 15.1))) == ["outputs_match_reference"]


def test_the_same_answer_to_every_input_is_refused() -> None:
    """It differs from the reference and from nothing else, whatever lies in the buffer."""
    outputs = dict.fromkeys(range(4), _outputs(2))
    assert _refused(_evidence(outputs=outputs, exchanged=_outputs(2))) == [
        "outputs_match_reference",
        "outputs_differ_between_inputs",
        "outputs_follow_inputs",
    ]


def test_outputs_remembered_for_each_buffer_are_refused() -> None:
    """Right for every buffer, and not computed from what lies there."""
    assert _refused(_evidence(exchanged=_outputs(2))) == ["outputs_follow_inputs"]


def test_outputs_that_follow_need_no_reference() -> None:
    """They are compared with the subject's own."""
    stated = replace(STATED, expected=Absent(reason="no tolerance for int8"))
    assert _refused(_evidence(stated)) == []
    assert _refused(_evidence(stated, exchanged=_outputs(2))) == ["outputs_follow_inputs"]


def test_a_single_output_in_few_bits_may_be_near_another() -> None:
    """Two buffers whose reference differs by a third of the tolerance are told apart all the same."""
    rows = ((0.0,), (10.0,), (20.0,), (20.3,))
    expected = Reference(values=rows, positions=(0,), tolerance=0.1, spread=10.0)
    case = replace(STATED.case, precision=Precision.BF16)
    outputs = {b: np.array([[x + 0.05], [x + 3.0]]) for b, (x,) in enumerate(rows)}
    facts = {"parameters": 10, "compute_dtype": "bfloat16"}
    right: dict[str, Any] = {"facts": facts, "outputs": outputs, "timed": 2, "target": 2}
    stated = replace(STATED, case=case, expected=expected)
    assert _refused(_evidence(stated, **right, source=0, exchanged=outputs[0])) == []
    same = {**right, "outputs": {**outputs, 3: outputs[2]}}
    evidence = _evidence(stated, **same, source=0, exchanged=outputs[0])
    assert _refused(evidence) == ["outputs_differ_between_inputs"]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_outputs_that_are_no_numbers_are_refused(bad: float) -> None:
    """Even one, even at a position that the digest does not look at."""
    assert _refused(_evidence(outputs=_spoilt(1, 7, bad))) == ["outputs_finite"]
    assert "outputs_match_reference" in _refused(_evidence(outputs=_spoilt(1, 5, bad)))


@pytest.mark.parametrize("n", [3, 5])
def test_truncated_outputs_are_refused(n: int) -> None:
    """By the rule that counts them: what is there is right. Of one buffer is enough."""
    outputs = {b: _outputs(b)[:, :n] for b in range(4)}
    assert _refused(_evidence(outputs=outputs, exchanged=outputs[3])) == ["outputs_complete"]
    assert _refused(_evidence(outputs=_with(1, outputs[1]))) == ["outputs_complete"]


@pytest.mark.parametrize("n", [0, 1, 3])
def test_another_number_of_outputs_than_samples_is_refused(n: int) -> None:
    """Fewer or more."""
    more = {b: np.concatenate([_outputs(b), _outputs(b) + 1])[:n] for b in range(4)}
    assert "batch_as_stated" in _refused(_evidence(outputs=more, exchanged=more[3]))


def test_a_batch_filled_up_with_copies_is_refused() -> None:
    """Half computed, half copied."""
    copied = {b: np.repeat(_outputs(b)[:1], 2, axis=0) for b in range(4)}
    assert _refused(_evidence(outputs=copied, exchanged=copied[3])) == ["batch_as_stated"]


def test_single_numbers_in_few_bits_cannot_tell_a_large_batch_apart() -> None:
    """As of a ranking model in bf16: no verdict. The same in fp32, or almost no answers, is refused."""
    n = 4096
    exact = np.random.default_rng(0).normal(size=(n, 1)).astype(np.float32)
    bf16 = (exact.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    assert 256 < len(np.unique(bf16)) < n / 2
    expected = Absent(reason="no matter")

    def verdict(outputs: np.ndarray[Any, Any], precision: Precision) -> tuple[bool | None, str]:
        case = replace(STATED.case, precision=precision, batch_size=n)
        stated = replace(STATED, case=case, expected=expected, distinct_samples=n)
        found = _evidence(stated, outputs=dict.fromkeys(range(4), outputs), exchanged=outputs)
        return _of(found, "batch_as_stated")

    passed, said = verdict(bf16, Precision.BF16)
    assert passed is None
    assert said.endswith("of 4096 samples have outputs of their own, more cannot be told apart")
    assert verdict(bf16, Precision.FP32)[0] is False
    assert verdict(exact, Precision.BF16)[0] is True
    assert verdict(np.round(bf16 * 10) / 10, Precision.BF16)[0] is False
    assert verdict(np.repeat(bf16, 2, axis=1), Precision.BF16)[0] is False


def test_samples_that_the_seed_repeats_may_repeat() -> None:
    """A batch larger than its distinct samples."""
    copied = {b: np.repeat(_outputs(b)[:1], 2, axis=0) for b in range(4)}
    stated = replace(STATED, distinct_samples=1)
    assert _refused(_evidence(stated, outputs=copied, exchanged=copied[3])) == []


def test_without_a_reference_the_rule_says_why_it_was_not_applied() -> None:
    """Not passed, not failed."""
    evidence = _evidence(replace(STATED, expected=Absent(reason="no reference for this batch")))
    assert _of(evidence, "outputs_match_reference") == (None, "no reference for this batch")


@pytest.mark.parametrize(
    ("first", "last", "refused"),
    [
        (2.0, 1.5, []),
        (2.0, 2.0, ["loss_falls"]),
        (2.0, 2.5, ["loss_falls"]),
        (2.1, 1.5, ["first_loss_matches_reference"]),
        (2.0, math.nan, ["loss_finite", "loss_falls"]),
    ],
)
def test_training_rules(first: float, last: float, refused: list[str]) -> None:
    """The first loss is the reference's, the last one lower, and both are numbers."""
    assert _refused(_evidence(TRAINING, losses=(first, last))) == refused


@pytest.mark.parametrize(
    ("alone", "refused"), [((2.5, 2.4, 2.1), []), ((2.5, 2.4, 2.5), ["loss_falls"])]
)
def test_a_loss_that_the_other_batches_raised_must_fall_alone(
    alone: tuple[float, ...], refused: list[str]
) -> None:
    """Few steps on small batches in turn may make each worse; training lowers one alone."""
    assert _refused(_evidence(TRAINING, losses=(2.0, 2.5), alone=alone)) == refused


def test_a_loaders_losses_need_not_fall() -> None:
    """Its batches never repeat."""
    case = replace(TRAINING.case, data_mode=DataMode.PIPELINE)
    assert _refused(_evidence(replace(TRAINING, case=case), losses=(2.0, 2.5))) == []


@pytest.mark.parametrize(("share", "refused"), [(0.2, []), (0.3, ["synchronises"])])
def test_work_left_over_is_refused(share: float, refused: list[str]) -> None:
    """Beyond a quarter of a burst."""
    assert _refused(_evidence(late_share=share)) == refused


@pytest.mark.parametrize(
    "inputs",
    [
        (np.zeros((2, 3)),),
        (np.full((2, 3), 3.1),),
        (np.full((1, 3), 3.0),),
        (np.full((2, 4), 3.0),),
        (np.full((2, 3), math.nan),),
        (),
    ],
)
def test_other_inputs_than_the_seeds_are_refused(inputs: tuple[np.ndarray[Any, Any], ...]) -> None:
    """Zeros, others, fewer samples, another shape, no numbers, none."""
    assert _refused(_evidence(inputs=inputs)) == ["inputs_as_seeded"]


def test_inputs_may_be_kept_in_sixteen_bits() -> None:
    """bf16 rounds them by up to 0.4 %."""
    assert _refused(_evidence(inputs=(np.full((2, 3), 3.0 * 1.004),))) == []


def _off_by(relative: float) -> dict[int, np.ndarray[Any, Any]]:
    return {b: _outputs(b) + np.float32(relative * 10.0) for b in range(4)}


@pytest.mark.parametrize(
    ("precision", "deviation", "said", "refused"),
    [
        ("fp32", 1e-5, "float32", False),
        ("fp32", 5e-4, "float32", True),
        ("fp32", 0.0, "bfloat16", True),
        ("tf32", 5e-4, "float32", False),
        ("tf32", 1e-6, "float32", False),
        ("bf16", 5e-3, "bfloat16", False),
        ("bf16", 1e-6, "bfloat16", True),
        ("fp16", 5e-4, "float16", False),
        ("fp16", 1e-6, "float16", True),
        ("fp16", 5e-4, "float32", True),
        ("int8", 9e-3, "int8", False),
    ],
)
def test_a_precision_has_a_fingerprint(
    precision: str, deviation: float, said: str, refused: bool
) -> None:
    """Results closer to fp32 than 16 bits can be, or farther than fp32 is, are not what was asked."""
    case = replace(STATED.case, precision=Precision(precision))
    stated = replace(STATED, case=case, expected=replace(EXPECTED, tolerance=1e-2))
    facts = {"parameters": 10, "compute_dtype": said, "tf32": precision == "tf32"}
    outputs = _off_by(deviation)
    evidence = _evidence(stated, facts=facts, outputs=outputs, exchanged=outputs[3])
    assert _refused(evidence) == (["precision_as_asked"] if refused else [])


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.TF32])
@pytest.mark.parametrize("told", ["ieee and tf32", 1, 0])
def test_tf32_for_some_operations_is_refused(precision: Precision, told: str | int) -> None:
    """Neither what fp32 nor what TF32 asks for; nothing but a truth value is either."""
    stated = replace(STATED, case=replace(STATED.case, precision=precision))
    facts = {"parameters": 10, "compute_dtype": "float32", "tf32": told}
    passed, said = _of(_evidence(stated, facts=facts), "precision_as_asked")
    assert passed is False
    assert said == f"{precision} asked, the subject says float32, TF32: {told}"


def test_outputs_that_do_not_match_have_no_fingerprint() -> None:
    """They are refused for what they are, once."""
    outputs = _off_by(0.1)
    evidence = _evidence(outputs=outputs, exchanged=outputs[3])
    assert _refused(evidence) == ["outputs_match_reference"]
    assert _of(evidence, "precision_as_asked")[0] is None


@pytest.mark.parametrize("places", [{"cpu"}, {"cpu", "fake"}, set()])
def test_tensors_elsewhere_are_refused(places: set[str]) -> None:
    """On another device, or partly, or nowhere."""
    assert _refused(_evidence(places=frozenset(places))) == ["device_as_asked"]


@pytest.mark.parametrize(
    ("clocks_s", "passed"),
    [((1.0, 1.014), True), ((0.8, 1.0), False), ((1.2, 1.0), False), (None, None)],
)
def test_a_clock_that_runs_wrong_is_refused(
    clocks_s: tuple[float, float] | None, passed: bool | None
) -> None:
    """Slow or fast, where there is another to hold it against."""
    assert _of(_evidence(steady_clocks_s=clocks_s), "clock_true")[0] is passed


@pytest.mark.parametrize(("duration_s", "passed"), [(1e-3, True), (1e-7, False)])
def test_no_result_beats_the_devices_peak(duration_s: float, passed: bool) -> None:
    """1 MFLOP in 0.1 us is 10 TFLOP/s, on a device of 1."""
    values = (Value(start_s=0, duration_s=duration_s, n_samples=1),)
    assert _of(_evidence(values=values), "flops_possible")[0] is passed


@pytest.mark.parametrize(
    ("precision", "passed"),
    [(Precision.FP32, True), (Precision.TF32, False), (Precision.BF16, False)],
)
def test_convolutions_in_fp32_may_seem_faster_than_the_peak(
    precision: Precision, passed: bool
) -> None:
    """3 TFLOP/s on a device of 1, as Winograd's algorithm shows them; matrix units have no such way."""
    device = replace(builders.CPU, peak_flops={"fp32": 1e12, "tf32": 1e12, "bf16": 1e12})
    stated = replace(STATED, case=builders.case(batch_size=2, precision=precision), device=device)
    values = (Value(start_s=0, duration_s=1 / 3e6, n_samples=1),)
    assert _of(_evidence(stated, values=values), "flops_possible")[0] is passed


@pytest.mark.parametrize(
    ("device_s", "passed"), [(1.01, True), (0.9, False), (1.1, False), (None, None)]
)
def test_clocks_agree_within_two_percent(device_s: float | None, passed: bool | None) -> None:
    """Where there are two clocks."""
    values = (Value(start_s=0, duration_s=1.0, n_samples=1, device_s=device_s),)
    assert _of(_evidence(values=values), "clocks_agree")[0] is passed


@pytest.mark.parametrize("built", [9, 11, None])
def test_another_number_of_parameters_than_stated_is_refused(built: int | None) -> None:
    """A model with a layer missing has another number of them."""
    facts = {"parameters": built, "compute_dtype": "float32"}
    assert _refused(_evidence(facts=facts)) == ["parameters_as_stated"]


# --- without a reference --------------------------------------------------------------------

ALONE = replace(STATED, expected=Absent(reason="nobody else has computed it"))
OWN = replace(ALONE, workload=replace(builders.WORKLOAD, own="--model net.py:build"))


def test_without_a_reference_the_same_input_must_give_the_same_again() -> None:
    """The timed run's output is compared with a fresh one; a digest is kept all the same."""
    right = _evidence(ALONE, again=_outputs(2))
    assert _refused(right) == []
    assert _of(right, "outputs_repeat")[0] is True
    assert gate.digest(right) == tuple(float(x) for b in range(4) for x in _outputs(b)[0])
    assert _refused(_evidence(ALONE, again=_outputs(2) * 1.01)) == ["outputs_repeat"]
    assert _refused(_evidence(ALONE, again=_outputs(2)[:, :4])) == ["outputs_repeat"]
    assert _refused(_evidence(ALONE, again=_outputs(2) * np.float32(1 + 1e-7))) == []


def test_with_a_reference_nothing_need_be_computed_again() -> None:
    """It says more."""
    assert _of(_evidence(again=_outputs(2) * 2), "outputs_repeat")[0] is None


@pytest.mark.parametrize(("stated", "refused"), [(ALONE, True), (OWN, False)])
def test_equal_answers_of_ones_own_model_are_said_and_not_judged(
    stated: Stated, refused: bool
) -> None:
    """A saturated model gives them honestly; dlbench's own models have no such excuse."""
    same = np.repeat(_outputs(2)[:1], 2, axis=0)
    found = _evidence(stated, outputs=dict.fromkeys(range(4), same), exchanged=same, again=same)
    assert (_refused(found) != []) is refused
    if not refused:
        for rule in ("outputs_follow_inputs", "batch_as_stated"):
            passed, detail = _of(found, rule)
            assert passed is None
            assert "answers alike" in detail


def test_ones_own_model_that_does_not_follow_its_inputs_is_refused() -> None:
    """Answers that differ by buffer, whatever lies there, are looked up."""
    found = _evidence(OWN, exchanged=_outputs(2), again=_outputs(2))
    assert _refused(found) == ["outputs_follow_inputs"]


def test_how_many_outputs_are_no_numbers_is_said() -> None:
    """The sentence of a refusal counts them."""
    found = _evidence(outputs=_spoilt(1, 3, math.nan))
    assert _of(found, "outputs_finite") == (False, "1 of 64 numbers are NaN or infinite")


def test_what_nobody_stated_or_counted_is_not_checked() -> None:
    """Parameters and FLOPs of a model of the user's own, and inputs that its file alone knows."""
    no = Absent(reason="a layer of your own")
    info = replace(builders.WORKLOAD, own="--model m.onnx", parameters=no, flops=no)
    stated = replace(OWN, workload=info, seeded=lambda _: ())
    found = _evidence(stated, again=_outputs(2))
    for rule in ("parameters_as_stated", "flops_possible", "inputs_as_seeded"):
        assert _of(found, rule)[0] is None, rule
    facts = {"parameters": 10, "compute_dtype": "float32", "flops_per_sample": 1e12}
    assert _refused(_evidence(stated, again=_outputs(2), facts=facts)) == ["flops_possible"]


@pytest.mark.parametrize("frozen", [True, False])
def test_a_model_that_is_frozen_in_part_may_do_no_more_than_its_forward(frozen: bool) -> None:
    """0.8 of the device's peak in forwards alone, and twice that is more than it can do."""
    case = builders.case(mode=Mode.TRAINING, scenario=None, precision=Precision.TF32)
    info = replace(builders.WORKLOAD, own="--model net.py:build", flops=UNCOUNTED)
    device = replace(builders.CPU, peak_flops={"tf32": 1e12})
    stated = replace(STATED, case=case, workload=info, device=device)
    values = (Value(start_s=0, duration_s=1.0, n_samples=1),)
    facts = {"flops_per_sample": 8e11, "frozen_products": frozen}
    assert _of(_evidence(stated, values=values, facts=facts), "flops_possible")[0] is frozen


def test_dlbenchs_own_models_are_not_frozen_whatever_they_say() -> None:
    """As above, of a model that nobody could have frozen: it must be able to do both products."""
    case = builders.case(mode=Mode.TRAINING, scenario=None, precision=Precision.TF32)
    device = replace(builders.CPU, peak_flops={"tf32": 1e12})
    info = replace(builders.WORKLOAD, flops=8e11)
    stated = replace(STATED, case=case, workload=info, device=device)
    values = (Value(start_s=0, duration_s=1.0, n_samples=1),)
    found = _evidence(stated, values=values, facts={"frozen_products": True})
    assert _of(found, "flops_possible")[0] is False
