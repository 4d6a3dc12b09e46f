"""The predictor on tables of a known law: recovers it, widens away from it, hears measurements."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest

from dlbench.analysis.predict import (
    calibration,
    estimate,
    kernel,
    leave_out,
    noise,
    predictor,
    roofline,
)
from dlbench.analysis.predict.cells import NEUTRAL_TDP_W, Encoder, encode
from dlbench.analysis.predict.devices import DeviceTable
from dlbench.analysis.predict.estimate import Estimator
from dlbench.analysis.predict.kernel import Scales
from dlbench.analysis.predict.types import Arithmetic, DeviceSpec, Observation, Task, Workload
from dlbench.core.stats import NORMAL_90
from dlbench.core.types import Absent, Estimated
from dlbench.core.units import percent
from tests import predict_tables as synthetic

DEVICES = synthetic.devices()
TABLE = DeviceTable(DEVICES)


@pytest.fixture(scope="module")
def fitted() -> Estimator:
    """An estimator of all but the device New-M."""
    return estimate.fit(_all_but("New-M"), TABLE, provenance="synthetic")


@pytest.mark.parametrize("n", [1, predictor.BLOCK_ROWS, 2 * predictor.BLOCK_ROWS + 3])
def test_a_lower_factor_is_divided_by_block_by_block(n: int) -> None:
    """Of one block and of several, of one column and of three; what lies above is not looked at."""
    random = np.random.default_rng(n)
    factor = np.tril(random.normal(size=(n, n))) / n + np.eye(n)
    for wanted in (random.normal(size=n), random.normal(size=(n, 3))):
        assert np.allclose(predictor.forward_solve(factor, factor @ wanted), wanted, atol=1e-9)


def _all_but(device: str) -> list[Observation]:
    return [o for o in synthetic.observations() if o.device != device]


def _device(name: str) -> DeviceSpec:
    found = TABLE.find(name)
    assert found is not None
    return found


def _estimated(found: Estimated | Absent) -> Estimated:
    assert isinstance(found, Estimated), found
    return found


@pytest.mark.parametrize("model", [m[0] for m in synthetic.MODELS])
def test_a_device_that_was_left_out_is_told_within_its_interval(
    fitted: Estimator, model: str
) -> None:
    """Its siblings and the same work elsewhere give it within 10 %, and the interval holds."""
    truth = synthetic.true_rate(_device("New-M"), model)
    found = _estimated(fitted.estimate(_device("New-M"), synthetic.workload(model)))
    assert found.value == pytest.approx(truth, rel=0.10)
    assert found.interval.low < truth < found.interval.high
    assert found.interval.level == 0.90
    assert found.from_[0] == "same work measured on other devices"
    assert found.from_[1] == "New-M by data sheet"


def test_more_bandwidth_peak_or_watts_is_never_slower(fitted: Estimator) -> None:
    """The correction does not compare rates, so the roofline's order stands."""
    base = _device("New-M")
    for field in ("mem_bw_gb_s", "fp16_tflops", "tdp_w"):
        rates = []
        for factor in (0.5, 0.8, 1.0, 1.1, 1.5, 2.5):
            sheet = replace(base, **{field: getattr(base, field) * factor})
            found = fitted.estimate(sheet, synthetic.workload("gnmt"))
            rates.append(_estimated(found).value)
        assert all(slow <= fast for slow, fast in pairwise(rates)), (field, rates)


def test_a_measurement_on_the_device_pulls_its_other_predictions(fitted: Estimator) -> None:
    """A device that runs 30 % slower than its sheet is believed after three measurements of it."""
    slow = 0.7
    every = [
        replace(o, rate=o.rate * slow) if o.device == "New-M" else o
        for o in synthetic.observations()
    ]
    others = [o for o in every if o.device != "New-M"]
    own = [o for o in every if o.device == "New-M"]
    asked = synthetic.workload("bert_base")
    measured = [o for o in own if o.workload.model != "bert_base"][:3]
    truth = slow * synthetic.true_rate(_device("New-M"), "bert_base")
    before = _estimated(fitted.estimate(_device("New-M"), asked))
    after = _estimated(estimate.fit([*others, *measured], TABLE).estimate(_device("New-M"), asked))
    assert abs(after.value / truth - 1) < abs(before.value / truth - 1) / 2
    assert after.from_[1] == "3 measurements on New-M"


def test_a_row_that_was_measured_is_told_back(fitted: Estimator) -> None:
    """Where the very case was measured, the forecast is at the measurement, with a narrow interval."""
    seen = next(o for o in synthetic.observations() if o.device == "Old-L")
    found = _estimated(fitted.estimate(_device("Old-L"), seen.workload))
    assert found.value == pytest.approx(seen.rate, rel=0.08)


def test_less_is_known_of_a_model_that_was_never_measured(fitted: Estimator) -> None:
    """An unknown model without sizes is refused, with what would make it known."""
    known = fitted.estimate(_device("New-M"), synthetic.workload("resnet50"))
    unknown = fitted.estimate(_device("New-M"), synthetic.workload("never_seen_net"))
    assert isinstance(known, Estimated)
    assert isinstance(unknown, Absent)
    assert "cannot be told within a factor of 10" in unknown.reason
    assert "measure" in unknown.remedy


def test_several_devices_are_not_linear_in_silence(fitted: Estimator) -> None:
    """Four devices give more than one, less than four times one, and a wider interval."""
    one = _estimated(fitted.estimate(_device("New-M"), synthetic.workload()))
    four = _estimated(fitted.estimate(_device("New-M"), synthetic.workload(num_devices=4)))
    assert one.value < four.value < 4 * one.value
    width = four.interval.high / four.interval.low
    assert width > one.interval.high / one.interval.low


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mem_bw_gb_s": None}, "lacks its memory bandwidth"),
        ({"fp16_tflops": None, "fp32_tflops": None}, "lacks its peak"),
        ({"kind": "tpu"}, "no tpu was ever learnt from"),
        ({"name": "A100 (1x1g.5gb MIG)"}, "is a slice"),
        ({"mem_bw_gb_s": 90_000.0}, "times outside of the devices learnt from"),
    ],
)
def test_what_cannot_be_told_is_refused_with_its_reason(
    fitted: Estimator, changes: dict[str, object], reason: str
) -> None:
    """A missing data sheet, an unknown kind, a slice and a device far outside are refused."""
    sheet = replace(_device("New-M"), **changes)  # type: ignore[arg-type]
    found = fitted.estimate(sheet, synthetic.workload())
    assert isinstance(found, Absent)
    assert reason in found.reason
    assert found.remedy


def test_a_unit_in_which_nothing_was_measured_is_refused(fitted: Estimator) -> None:
    """Its level would be anybody's guess, however wide an answer may be."""
    patient = replace(fitted, widest_ratio=math.inf)
    for changes in ({"unit": "J/sample"}, {"task": Task.INFER}):
        asked = replace(synthetic.workload(), **changes)
        found = patient.estimate(_device("New-M"), asked)
        assert isinstance(found, Absent)
        assert found.reason.startswith("no rate was learnt of ")


def test_outside_of_the_range_it_is_wider_and_says_so(fitted: Estimator) -> None:
    """Twice beyond the fastest device: extrapolated, in words and in width."""
    base = _device("New-L")
    far = replace(base, name="X", mem_bw_gb_s=(base.mem_bw_gb_s or 0) * 2)
    near, beyond = (
        _estimated(fitted.estimate(sheet, synthetic.workload())) for sheet in (base, far)
    )
    assert ", extrapolated, " in beyond.method
    assert "octaves beyond" in beyond.from_[-1]
    assert beyond.interval.high / beyond.interval.low > near.interval.high / near.interval.low


def test_an_answer_says_what_kriging_adds_and_how_wide_it_is(fitted: Estimator) -> None:
    """Without its factor it is the roofline's; its ends are that factor to either side."""
    asked = (_device("New-M"), synthetic.workload())
    found = _estimated(fitted.estimate(*asked))
    form = r"roofline and level x (\S+) by kriging, within a factor of (\S+)"
    told = re.fullmatch(form, found.method)
    assert told is not None
    factor, ends = map(float, told.groups())
    said = fitted.predictor.forecast([asked])
    assert found.value / factor == pytest.approx(math.exp(said.ln_mean[0]), rel=0.01)
    assert found.interval.high / found.value == pytest.approx(ends, rel=0.01)


def test_an_answer_says_what_the_rooflines_time_goes_into(fitted: Estimator) -> None:
    """The parts together, once a sample and once a step, are the whole; the largest comes first."""
    asked = (_device("New-M"), synthetic.workload())
    (told,) = (x for x in _estimated(fitted.estimate(*asked)).from_ if "roofline's time" in x)
    parts = [float(x) for x in re.findall(r" (\S+) %", told)]
    assert parts == sorted(parts, reverse=True)
    assert sum(parts) == pytest.approx(100, abs=3)
    (row,) = fitted.predictor.learnt.roofline.shares(fitted.predictor.encoded([asked]))
    memory = row[roofline.PARTS.index("memory")] + row[roofline.PARTS.index("memory_step")]
    assert f"memory traffic {percent(memory)}" in told


def test_many_questions_in_one_call_have_the_answers_of_each_alone(fitted: Estimator) -> None:
    """Order, refusals and company change nothing."""
    pairs = [
        (_device("New-M"), synthetic.workload("gnmt")),
        (replace(_device("New-M"), mem_bw_gb_s=None), synthetic.workload("gnmt")),
        (_device("Mid-S"), synthetic.workload("ssd")),
    ]
    together = fitted.estimate_many(pairs)
    for pair, found in zip(pairs, together, strict=True):
        alone = fitted.estimate(*pair)
        if isinstance(alone, Absent):
            assert found == alone
        else:
            assert _estimated(found).value == pytest.approx(alone.value)


def test_the_same_rows_give_the_same_answer(fitted: Estimator) -> None:
    """No randomness: two fits agree to the last digit."""
    asked = (_device("New-M"), synthetic.workload())
    again = estimate.fit(_all_but("New-M"), TABLE, provenance="synthetic")
    assert again.estimate(*asked) == fitted.estimate(*asked)


def test_shares_are_positive_and_follow_the_law() -> None:
    """The roofline gives more of its time to compute where the law does, and shares sum to 1."""
    encoder = Encoder()
    cells, _ = predictor.gather(synthetic.observations(0.0), TABLE, encoder)
    shape = roofline.fit(cells)
    shares = shape.shares(cells)
    assert np.allclose(shares.sum(axis=1), 1)
    assert (shares >= 0).all()
    compute = {w.model: row[0] + row[1] for w, row in zip(cells.workloads, shares, strict=True)}
    assert compute["bert_base"] > compute["tacotron2"]
    left = cells.y - shape.ln_relative_rate(cells)
    for model in compute:
        own = np.array([w.model == model for w in cells.workloads])
        assert np.std(left[own]) < 0.08


def test_intervals_hold_for_devices_left_out() -> None:
    """Nine tenths of what is told of hidden devices lie inside: neither far fewer nor none outside."""
    encoder = Encoder()
    cells, batched = predictor.gather(synthetic.observations(0.10, seed=3), TABLE, encoder)
    learner = leave_out.Learner(encoder=encoder, batched=batched, scales=Scales())
    everything = np.ones(len(cells), dtype=bool)
    said = leave_out.folds(cells, learner, leave_out.by_column(cells, "device", everything))
    widths = calibration.of(
        leave_out.folds(cells, learner, leave_out.by_column(cells, "arch", everything))
    )
    tiers = calibration.tiers(said, cells)
    half = widths.half_width(cells, tiers) * said.sd
    inside = np.abs(said.ln_rate - cells.y) <= half
    assert 0.80 <= inside.mean() <= 1.0
    assert np.median(half) < 0.5


@pytest.fixture(scope="module")
def of_two_sources() -> Estimator:
    """Every model in two precisions and two eras, and, of another source, fast ones in single only."""
    seen = synthetic.observations()
    seen += [replace(o, workload=replace(o.workload, setup="own-2")) for o in seen]
    single = [
        replace(o, rate=o.rate / 2, workload=replace(o.workload, arithmetic=Arithmetic.SINGLE))
        for o in seen
    ]
    fast = [
        replace(o, rate=o.rate * 20, workload=_named(o.workload, f"{o.workload.model} fast"))
        for o in single
    ]
    return estimate.fit([*seen, *single, *fast], TABLE)


def _named(workload: Workload, model: str) -> Workload:
    return replace(workload, model=model, panel="fast", setup="fast-1")


@pytest.mark.parametrize("model", ["resnet50", "bert_base", "unet_medical"])
def test_a_source_that_nobody_knows_gets_what_the_model_ran_at(
    of_two_sources: Estimator, model: str
) -> None:
    """In either precision; with an interval wider than that of a known source, which says why."""
    truth = synthetic.true_rate(_device("New-M"), model)
    for known, expected in (
        (synthetic.workload(model), truth),
        (replace(synthetic.workload(model), arithmetic=Arithmetic.SINGLE), truth / 2),
    ):
        unknown = replace(known, panel="blog", setup="blog|pytorch")
        told, same = (
            _estimated(of_two_sources.estimate(_device("New-M"), w)) for w in (unknown, known)
        )
        assert told.value == pytest.approx(expected, rel=0.4)
        assert told.from_[0] == "model measured by other sources only"
        assert told.interval.low < expected < told.interval.high
        ratios = [x.interval.high / x.interval.low for x in (told, same)]
        assert ratios[0] > ratios[1]


def test_sources_are_left_out_where_another_knows_the_model() -> None:
    """Two eras of one panel and a panel of its own: what only one source measured is not asked."""
    base = synthetic.workload("resnet50")
    rows = [
        replace(base, setup="a|1"),
        replace(base, setup="b|1"),
        replace(base, setup="b|2", model="only here"),
        replace(base, panel="other", setup="a"),
    ]
    cells = encode([(DEVICES[0], w) for w in rows], None, Encoder(), frozenset())
    everything = np.ones(len(cells), dtype=bool)
    parts = leave_out.by_source(cells, everything)
    assert [(hidden.tolist(), asked.tolist()) for hidden, asked in parts] == [
        ([True, False, False, False], [True, False, False, False]),
        ([False, True, True, False], [False, True, False, False]),
        ([False, False, False, True], [False, False, False, True]),
    ]
    together = leave_out.by_source(cells, everything, 2)
    assert [hidden.tolist() for hidden, _ in together] == [
        [True, False, False, True],
        [False, True, True, False],
    ]


def test_an_impossible_row_does_not_bend_the_rest(fitted: Estimator) -> None:
    """One row a hundred times too fast is not believed."""
    every = _all_but("New-M")
    index = next(
        i for i, o in enumerate(every) if (o.device, o.workload.model) == ("Mid-M", "resnet50")
    )
    broken = list(every)
    broken[index] = replace(every[index], rate=every[index].rate * 100)
    asked = (_device("New-M"), synthetic.workload("resnet50"))
    sound = _estimated(fitted.estimate(*asked))
    bent = _estimated(estimate.fit(broken, TABLE).estimate(*asked))
    assert bent.value == pytest.approx(sound.value, rel=0.15)


def test_work_that_few_devices_ran_is_believed_less() -> None:
    """A model on two devices gets the noise of the unproven; one on nine its own, which is small."""
    encoder = Encoder()
    seen = [
        o
        for o in synthetic.observations(0.05, seed=2)
        if o.workload.model != "gnmt" or o.device in ("Old-M", "Mid-M")
    ]
    cells, _ = predictor.gather(seen, TABLE, encoder)
    factors, _ = noise.row_noise(cells, np.asarray(cells.y))
    by_model = {name.split("|")[1]: factor for name, factor in factors.items() if name}
    assert by_model["gnmt"] == noise.UNPROVEN
    assert max(x for model, x in by_model.items() if model != "gnmt") <= noise.MOST


def test_a_row_that_all_others_contradict_is_believed_less() -> None:
    """Its own miss over ``SURPRISING`` becomes its sd; rows that agree keep their variance."""
    covariance = np.full((4, 4), 1.0) + np.diag(np.full(4, 0.01))
    added = noise.surprise(covariance, np.array([0.0, 0.0, 0.0, 1.0]))
    # Of the last row the others say 0, with the variance of one row and of their mean.
    others = np.linalg.solve(covariance[:3, :3], covariance[:3, 3])
    variance = covariance[3, 3] - covariance[3, :3] @ others
    assert variance == pytest.approx(0.01 + 0.01 / 3, rel=0.01)
    assert variance + added[3] == pytest.approx((1.0 / noise.SURPRISING) ** 2)
    assert np.all(added[:3] < added[3] / 5)
    assert not noise.surprise(covariance, np.array([0.0, 0.05, -0.05, 0.02])).any()


def test_tf32_errs_as_half_precision_does_and_plain_fp32_does_not() -> None:
    """The same work in two precisions is alike where both ran on matrix units, and only there."""
    old = replace(_device("Old-M"), tf32_tflops=None, fp32_tflops=10.0, fp16_tflops=80.0)
    new = replace(_device("New-M"), tf32_tflops=150.0, fp32_tflops=20.0, fp16_tflops=300.0)
    half, single = (
        synthetic.workload("resnet50", source="lambda", precision=precision)
        for precision in ("fp16", "fp32")
    )
    pairs = [(old, half), (old, single), (new, half), (new, single)]
    cells = encode(pairs, None, Encoder(), frozenset())
    only = Scales(**(dict.fromkeys(asdict(Scales()), 0.0) | {"units": 0.4}))
    sample = kernel.sample(cells, only)
    matrix = [True, False, True, True]
    expected = 0.16 * np.equal.outer(matrix, matrix)
    assert kernel.covariance(sample, sample, only) == pytest.approx(expected)


def test_a_panel_that_misses_more_gets_wider_intervals_and_none_gets_narrower() -> None:
    """Widths of a panel are learnt from its own misses, and never lie under those of all."""
    encoder = Encoder()
    seen = synthetic.observations(0.0)
    poor = [replace(o, workload=replace(o.workload, panel="poor")) for o in seen]
    cells, _ = predictor.gather([*seen, *poor], TABLE, encoder)
    is_poor = np.array([w.panel == "poor" for w in cells.workloads])
    missed = np.linspace(-2, 2, len(cells)) * np.where(is_poor, 2.0, 0.5)
    many = np.full(len(cells), 9)
    said = leave_out.LeftOut(
        cells=cells,
        ln_rate=np.asarray(cells.y + missed),
        sd=np.ones(len(cells)),
        n_same_work=many,
        n_same_model=many,
        n_other_mode=many,
        n_same_panel=many,
        n_same_family=many,
    )
    found = calibration.of(said).half_width(cells, calibration.tiers(said, cells))
    usual = calibration.of(said).half_widths["train|same work measured on other devices"]
    assert np.all(found[is_poor] > usual)
    assert np.all(found[~is_poor] == usual)


def test_energy_is_told_as_joules_and_falls_with_speed() -> None:
    """J/sample comes back in joules: a faster device of the same watts takes fewer."""
    rows = [
        replace(
            o,
            workload=replace(o.workload, unit="J/sample", task=Task.INFER),
            rate=o.rate,
        )
        for o in synthetic.observations()
    ]
    fitted = estimate.fit(rows, TABLE)
    asked = replace(synthetic.workload(), unit="J/sample", task=Task.INFER)
    slow, fast = (_estimated(fitted.estimate(_device(name), asked)) for name in ("Old-S", "New-L"))
    assert fast.value < slow.value
    expected = 250.0 / synthetic.true_rate(_device("New-L"), "resnet50")
    assert fast.value == pytest.approx(expected, rel=0.1)
    assert fast.interval.low < fast.value < fast.interval.high


def test_watts_that_stand_in_are_named_and_joules_are_refused(fitted: Estimator) -> None:
    """A rate may be told without them, and says so; an energy is never made of a stand-in."""
    unnamed = replace(_device("New-M"), name="New-M-unnamed", tdp_w=None)
    stated = replace(unnamed, tdp_w=NEUTRAL_TDP_W)
    told, same = (_estimated(fitted.estimate(x, synthetic.workload())) for x in (unnamed, stated))
    assert told.value == same.value
    assert "its watts are not known, and taken as the reference's 300 W" in told.from_
    assert not any("watts" in words for words in same.from_)
    joules = fitted.estimate(unnamed, replace(synthetic.workload(), unit="J/sample"))
    assert isinstance(joules, Absent)
    assert joules.reason == "the watts of New-M-unnamed are not known"


def test_a_tighter_power_limit_is_told_slower_and_a_newer_chip_needs_less_power() -> None:
    """Where time is energy over power alone, half the watts or three years less take twice as long."""
    base = replace(_device("New-M"), tdp_w=300.0, year=2023.0)
    sheets = (base, replace(base, tdp_w=150.0), replace(base, year=2020.0))
    pairs = [(sheet, synthetic.workload("resnet50")) for sheet in sheets]
    cells = encode(pairs, None, Encoder(), frozenset())
    name = roofline.node_names("train", "half", "cnn", "resnet50")[0]
    lone = tuple(50.0 if part == "power" else -50.0 for part in roofline.PARTS)
    rates = np.exp(roofline.Roofline(nodes={name: lone}).ln_relative_rate(cells))
    assert rates / rates[0] == pytest.approx([1.0, 0.5, 0.5])


def test_a_model_has_relatives_where_its_family_was_measured(fitted: Estimator) -> None:
    """ResNet-101 has those of resnet50; a diffusion model none, and what is of no family neither."""
    device = _device("New-M")
    asked = [synthetic.workload(m) for m in ("resnet101", "stable-diffusion", "somebody's own")]
    said = fitted.predictor.forecast([(device, w) for w in asked])
    assert said.n_same_model.tolist() == [0, 0, 0]
    n_resnet50 = len([o for o in _all_but("New-M") if o.workload.model == "resnet50"])
    assert said.n_same_family.tolist() == [n_resnet50, 0, 0]


def test_models_without_relatives_have_widths_of_their_own() -> None:
    """Learnt from whole families that were left out, each with and without sizes."""
    encoder = Encoder()
    cells, batched = predictor.gather(synthetic.observations(), TABLE, encoder)
    learner = leave_out.Learner(encoder=encoder, batched=batched, scales=Scales())
    parts = leave_out.by_family(cells, 3)
    assert sum(int(asked.sum()) for _, asked in parts) == len(cells)
    said = leave_out.folds(cells, learner, parts)
    assert not said.n_same_family.any()
    many = replace(said, n_same_panel=np.full(len(cells), calibration.LEAST_OF_PANEL))
    sized = np.isfinite(cells.size[:, 0])
    expected = np.where(sized, calibration.ALONE_SIZED, calibration.ALONE_UNKNOWN)
    assert calibration.tiers(many, cells) == expected.tolist()
    widths = calibration.of_families(many)
    assert widths
    assert {name.split("|")[1] for name in widths} == set(expected)
    related = replace(many, n_same_family=np.ones(len(cells), dtype=np.int64))
    assert calibration.of_families(related) == {}
    assert {name.split("|")[1] for name in calibration.of_models(related)} == {
        calibration.MODEL_SIZED if s else calibration.MODEL_UNKNOWN for s in sized
    }


def test_a_models_other_mode_tells_of_it() -> None:
    """Two modes err alike but for what one mode does; other models and other units do not."""
    device = _device("New-M")
    train = synthetic.workload("resnet50")
    infer = replace(train, task=Task.INFER)
    other = synthetic.workload("resnet101", Task.INFER)
    joules = replace(infer, unit="J/sample")
    cells = encode(
        [(device, w) for w in (train, infer, other, joules)], None, Encoder(), frozenset()
    )
    only = Scales(
        **(dict.fromkeys(asdict(Scales()), 0.0) | {"model_known": 0.8, "model_mode": 0.3})
    )
    sized = kernel.sample(cells, replace(only, model_sized=0.8, model_unknown=0.8))
    found = kernel.covariance(sized, sized, only)
    assert found[0] == pytest.approx([0.64, 0.64 - 0.09, 0.0, 0.0])
    assert found[1] == pytest.approx([0.64 - 0.09, 0.64, 0.0, 0.0])


def test_the_other_mode_is_evidence_of_its_own() -> None:
    """One mode of a part of the models is hidden and asked, and its misses make that width alone."""
    encoder = Encoder()
    seen = synthetic.observations()
    answered = [
        replace(o, workload=replace(o.workload, task=Task.INFER), rate=3 * o.rate) for o in seen
    ]
    cells, batched = predictor.gather([*seen, *answered], TABLE, encoder)
    learner = leave_out.Learner(encoder=encoder, batched=batched, scales=Scales())
    parts = leave_out.by_mode(cells, 1)
    tasks = np.array([w.task for w in cells.workloads])
    for (hidden, asked), task in zip(parts, (Task.TRAIN, Task.INFER), strict=True):
        assert np.array_equal(hidden, tasks == task)
        assert np.array_equal(asked, hidden)
    # Half of the models, so that each mode's level is known of others.
    said = leave_out.folds(cells, learner, leave_out.by_mode(cells, 2))
    told = said.take(said.asked)
    assert len(told.cells)
    assert not told.n_same_model.any()
    assert told.n_other_mode.all()
    sized = np.isfinite(told.cells.size[:, 0])
    expected = np.where(sized, calibration.OTHER_MODE_SIZED, calibration.OTHER_MODE)
    assert calibration.tiers(told, told.cells) == expected.tolist()
    assert {name.split("|")[1] for name in calibration.of_modes(said)} == set(expected)
    part = cells.codes["counted"] % 2 == 0
    without = [(part, asked) for _, asked in leave_out.by_mode(cells, 2)]
    unknown = leave_out.folds(cells, learner, without)
    missed = [float(np.median(np.abs(x.ln_rate - cells.y)[x.asked])) for x in (said, unknown)]
    assert missed[0] < missed[1]


def test_what_the_peak_does_not_allow_is_cut_off(fitted: Estimator) -> None:
    """Of a bell around the most that is possible the lower half is left; what lies above is refused."""
    device = _device("New-M")
    told = _estimated(fitted.estimate(device, synthetic.workload()))
    peak = device.fp16_tflops
    assert peak is not None

    def with_most(rate: float) -> Workload:
        """The same work with so many FLOPs that ``rate`` is the most of them."""
        gmacs = estimate.MOST_OF_PEAK * peak * 1e12 / (3 * 2e9 * rate)
        return replace(synthetic.workload(), gmacs=gmacs)

    spec, work = device, with_most(told.value)
    assert estimate.most_possible(spec, work) == pytest.approx(told.value)
    assert estimate.most_possible(spec, replace(work, unit="J/sample")) == math.inf
    assert estimate.most_possible(spec, replace(work, gmacs=None)) == math.inf
    assert estimate.most_possible(spec, replace(work, task=Task.INFER)) == pytest.approx(
        3 * told.value
    )
    half = math.log(told.interval.high / told.value)
    answer = functools.partial(estimate._answer, device=spec, width=(half, -math.inf), paces=None)
    said = (math.log(told.value), 0.0, "")
    cut = _estimated(answer(work, said=said, evidence=(calibration.MODEL_KNOWN, "", 0.0)))
    # A quarter of the bell lies below its lower quartile, 0.6745 standard deviations down.
    sd = half / NORMAL_90
    assert math.log(told.value / cut.value) == pytest.approx(0.6745 * sd, rel=1e-3)
    assert cut.interval.high < told.value
    assert any("cut off where its peak ends (50 %" in words for words in cut.from_)
    above = with_most(told.value / math.exp(2 * sd))
    refused = answer(above, said=said, evidence=(calibration.MODEL_KNOWN, "", 0.0))
    assert isinstance(refused, Absent)
    assert refused.reason == "what is told of resnet50 on New-M is above the peak of its data sheet"
    free = _estimated(
        answer(with_most(told.value * 1e3), said=said, evidence=(calibration.MODEL_KNOWN, "", 0.0))
    )
    assert free.value == pytest.approx(told.value)
    assert not any("cut off" in words for words in free.from_)
    floor = functools.partial(estimate._answer, device=spec, width=(half, said[0]), paces=None)
    known = _estimated(
        floor(
            with_most(told.value * 1e3), said=said, evidence=(calibration.OTHER_MODE_SIZED, "", 0.0)
        )
    )
    assert math.log(known.value / told.value) == pytest.approx(0.6745 * sd, rel=1e-3)
    assert known.interval.low > told.value
    assert any("not below what its training is told (50 %" in words for words in known.from_)
