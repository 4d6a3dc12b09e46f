"""Shipped coefficients: they load, match a fit of their own, and give way to measurements."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from dlbench import catalog, workloads
from dlbench.analysis.predict import (
    calibration,
    cells,
    documents,
    estimate,
    harness,
    models,
    noise,
    predictor,
    shipped,
)
from dlbench.analysis.predict.catalog_specs import device_table
from dlbench.analysis.predict.cells import Encoder
from dlbench.analysis.predict.devices import DeviceTable
from dlbench.analysis.predict.estimate import Estimator
from dlbench.analysis.predict.shipped import Coefficients
from dlbench.analysis.predict.types import Arithmetic, DeviceSpec, Observation, Task, Workload
from dlbench.core.errors import UsageError
from dlbench.core.stats import NORMAL_90
from dlbench.core.types import Absent, DataMode, Estimated, Mode, Policy, Precision, Scenario
from dlbench.store import runs
from tests import builders
from tests import predict_tables as synthetic

ROOT = Path(__file__).parents[4]

TABLE = DeviceTable(synthetic.devices())


@pytest.fixture(scope="module")
def fitted() -> Estimator:
    """A fit on the synthetic tables."""
    return estimate.fit(synthetic.observations(), TABLE, shipped.scales())


@pytest.fixture(scope="module")
def coefficients(fitted: Estimator) -> Coefficients:
    """Its coefficients."""
    return shipped.extract(fitted, {"date": "2026-01-01"})


def _device(name: str, table: DeviceTable = TABLE) -> DeviceSpec:
    found = table.find(name)
    assert found is not None
    return found


def _estimated(found: Estimated | Absent) -> Estimated:
    assert isinstance(found, Estimated), found
    return found


def test_coefficients_survive_their_file(coefficients: Coefficients, tmp_path: Path) -> None:
    """Written, read and written again is the same file, without a row of the tables in it."""
    path, again = tmp_path / "a.json", tmp_path / "b.json"
    shipped.write(coefficients, path)
    shipped.write(shipped.parse(path.read_text(), "a.json"), again)
    assert path.read_text() == again.read_text()
    values = {f"{o.rate:.6g}" for o in synthetic.observations()}
    assert not [v for v in values if v in path.read_text()]


@pytest.mark.parametrize("model", ["resnet50", "gnmt", "ssd"])
def test_coefficients_alone_tell_what_the_fit_tells(
    fitted: Estimator, coefficients: Coefficients, model: str
) -> None:
    """Without the tables the same question gets nearly the same answer, with a wider interval."""
    alone = shipped.estimator(coefficients=coefficients)
    asked = replace(synthetic.workload(model), panel="somebody")
    for name in ("Old-S", "Mid-M", "New-L"):
        whole = _estimated(fitted.estimate(_device(name), synthetic.workload(model)))
        found = _estimated(alone.estimate(_device(name), asked))
        assert found.value == pytest.approx(whole.value, rel=0.5)
        assert found.interval.low < whole.value < found.interval.high
    slow, fast = (
        _estimated(alone.estimate(_device(name), asked)).value for name in ("Old-S", "New-L")
    )
    truth = [synthetic.true_rate(_device(name), model) for name in ("Old-S", "New-L")]
    assert fast / slow == pytest.approx(truth[1] / truth[0], rel=0.15)


@pytest.mark.parametrize("model", [m[0] for m in synthetic.MODELS])
def test_a_fresh_clone_tells_what_the_fit_tells_a_source_that_nobody_knows(
    fitted: Estimator, coefficients: Coefficients, model: str
) -> None:
    """One mechanism: the shipped correction of a model is the fit's answer without a source."""
    asked = replace(synthetic.workload(model), panel="somebody")
    alone = shipped.estimator(coefficients=coefficients)
    for name in ("Old-S", "Mid-M", "New-L"):
        whole, found = (_estimated(e.estimate(_device(name), asked)) for e in (fitted, alone))
        assert found.value == pytest.approx(whole.value, rel=0.05)


def test_ones_own_measurement_sets_the_level(coefficients: Coefficients) -> None:
    """Measured at home at half the public rate: other devices are told at half, more narrowly."""
    mine = [
        replace(o, rate=o.rate / 2, workload=replace(o.workload, panel="dlbench"))
        for o in synthetic.observations()
        if (o.device, o.workload.model) == ("Mid-S", "resnet50")
    ]
    asked = replace(synthetic.workload("resnet50"), panel="dlbench")
    before, after = (
        _estimated(shipped.estimator(rows, TABLE, coefficients).estimate(_device("New-L"), asked))
        for rows in ([], mine)
    )
    truth = synthetic.true_rate(_device("New-L"), "resnet50") / 2
    assert after.value == pytest.approx(truth, rel=0.15)
    assert after.from_[0] == "same work measured on other devices"
    ratios = [x.interval.high / x.interval.low for x in (before, after)]
    assert ratios[1] < ratios[0]


def test_the_package_tells_its_workloads_on_the_catalogs_devices() -> None:
    """A fresh clone: ResNet-50 training on an H100 is faster than on a T4, within known bounds."""
    known = shipped.read_shipped()
    assert set(known.provenance) >= {"date", "tables_sha256", "made_by", "sources"}
    ready = shipped.estimator()
    table = device_table(catalog.shipped())
    asked = Workload(
        model="resnet50",
        task=Task.TRAIN,
        arithmetic=Arithmetic.HALF,
        family="cnn",
        framework="pytorch",
        panel="dlbench",
        gmacs=4.09,
        params_m=25.6,
        batch=128,
    )
    found = {
        name: _estimated(ready.estimate(_device(name, table), asked))
        for name in ("T4", "L4", "A100-SXM4-80GB", "H100-SXM5-80GB")
    }
    rates = [found[name].value for name in found]
    assert rates == sorted(rates)
    # Public records of several sources lie between these: 1000 to 2000 and 2000 to 4000 images/s.
    a100, h100 = found["A100-SXM4-80GB"], found["H100-SXM5-80GB"]
    assert a100.interval.low < 1500 < a100.interval.high
    assert h100.interval.low < 2800 < h100.interval.high


def test_the_shipped_file_holds_coefficients_only() -> None:
    """Few enough for each to stand for many rows, and every one finite with a spread above 0."""
    known = shipped.read_shipped()
    effects = [*known.device_effects, *known.model_effects]
    assert int(known.provenance["rows"]) > 10 * len(effects)
    assert all(e["sd"] > 0 and math.isfinite(e["ln_correction"]) for e in effects)
    # No device is half or twice its data sheet; a model without sizes may be far from its family.
    assert all(abs(e["ln_correction"]) < math.log(2.5) for e in known.device_effects)
    assert not any("value" in e or "rate" in e for e in effects)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": 1}', '{"format": 99}', json.dumps({"format": 2, "nodes": 3})],
)
def test_a_foreign_file_is_refused(text: str) -> None:
    """Another format, a truncated file, other JSON: one sentence with what to do."""
    with pytest.raises(UsageError, match=r"coefficients|format") as refused:
        shipped.parse(text, "x.json")
    assert "fit_predictor" in refused.value.advice


def test_documents_become_observations_of_devices_with_data_sheets() -> None:
    """Throughput of each case that the device set; of arrivals, files and unknown devices, none."""
    case = builders.case(device="fake", batch_size=4)
    server = replace(case, scenario=Scenario.SERVER, mode=Mode.INFERENCE)
    files = replace(case, data_mode=DataMode.PIPELINE)
    run = builders.run([builders.result(c, [0.04] * 5) for c in (case, server, files)])
    name = next(d.name for d in run.environment.devices if d.id == case.device)
    (seen,) = documents.observations([run], DeviceTable([DeviceSpec(name=name)]))
    assert seen.rate == pytest.approx(25.0)
    assert (seen.device, seen.n, seen.source) == (name, 5, run.run_id)
    assert documents.observations([run], DeviceTable([])) == ()


def test_what_the_package_knows_of_a_device_is_no_measurement() -> None:
    """A fresh clone measured nothing on a T4; on an H200 only what is in its documents."""
    table = device_table(catalog.shipped())
    ready = shipped.estimator(shipped.measured(), table)
    (asked,) = {o.workload for o in _of_the_h200() if o.workload.model == "unet"}
    said = {
        name: _estimated(ready.estimate(_device(name, table), asked)).from_[1]
        for name in ("T4", "H200-SXM-141GB", "A16")
    }
    assert said == {
        "T4": "T4 by data sheet, corrected by what public tables measured on it",
        "H200-SXM-141GB": f"{len(_of_the_h200())} measurements on H200-SXM-141GB",
        "A16": "A16 by data sheet",
    }


@pytest.mark.parametrize(
    ("workload", "variant"), [("lstm_lm", "tiny"), ("gpt2_small", "tiny"), ("resnet50", "tiny")]
)
def test_another_variant_is_asked_with_the_sizes_that_it_was_learnt_with(
    workload: str, variant: str
) -> None:
    """A rate that was measured is told back.

    Learnt with the full one's activations and asked without, tiny ones were 1,000 times too fast.
    """
    table = device_table(catalog.shipped())
    device = _device("A100-SXM4-80GB", table)
    case = builders.case(
        workload=workload, variant=variant, precision=Precision.BF16, mode=Mode.INFERENCE
    )
    info = workloads.read(workloads.folders()[workload]).info(variant)
    asked = documents.workload_of_case(case, info)
    rate = 5e4
    mine = Observation(device=device.name, workload=asked, rate=rate, source="mine", n=5)
    ready = shipped.estimator([*shipped.measured(), mine], table)
    assert _estimated(ready.estimate(device, asked)).value == pytest.approx(rate, rel=0.15)


def test_a_flagged_rate_counts_little_and_not_at_all_beside_a_sound_one() -> None:
    """Nine in ten of it lie within 30 %, as of a document that counts directly."""
    case = builders.case(device="fake", batch_size=4)
    result = builders.result(case, [0.04] * 5)
    trials = tuple(replace(t, flags=("contended",)) for t in result.trials)
    sound, flagged = builders.run((result,)), builders.run((replace(result, trials=trials),))
    name = next(d.name for d in sound.environment.devices if d.id == case.device)
    table = DeviceTable([DeviceSpec(name=name)])
    (known,), (unsure,) = (documents.observations([run], table) for run in (sound, flagged))
    slow = replace(unsure, rate=known.rate / 2)
    assert cells.merge([slow, known]) == [known]
    assert cells.merge([slow]) == [slow]
    device = synthetic.devices()[0]
    one = cells.encode([(device, unsure.workload)], [(25.0, unsure.n)], Encoder(), frozenset())
    (variance,) = noise.noise_of({"": 1.0}, one, shipped.scales())
    assert NORMAL_90 * math.sqrt(variance) == pytest.approx(documents.REPEAT_OF_NOISY, rel=0.05)


def test_a_few_cores_of_a_socket_say_nothing_of_accelerators() -> None:
    """9 samples/s on two of an EPYC's 64 cores had made every GPU seven times slower at that work."""
    case = builders.case(device="fake", batch_size=4)
    run = builders.run((builders.result(case, [0.04] * 5),))
    name = next(d.name for d in run.environment.devices if d.id == case.device)
    processor = DeviceSpec(name=name, kind="cpu", arch="cpu")
    assert documents.observations([run], DeviceTable([processor])) == ()


def test_a_case_becomes_a_workload_with_everything_that_compares() -> None:
    """Framework, policy, precision, variant and data mode are part of what is compared."""
    case = builders.case(precision=Precision.BF16, batch_size=8)
    run = builders.run((builders.result(case, [0.1] * 3),))
    info = run.workload(case)
    base = documents.workload_of_case(case, info)
    assert (base.arithmetic, base.batch, base.panel) == (Arithmetic.HALF, 8.0, "dlbench")
    assert isinstance(info.flops, float)
    assert base.gmacs == pytest.approx(info.flops / 2e9)
    small = documents.workload_of_case(replace(case, variant="small"), info)
    assert small.phase != base.phase
    assert documents.workload_of_case(replace(case, framework="jax"), info) != base
    own, other = (replace(info, own="--model net.py:build", content_hash=x * 64) for x in "ab")
    models = {documents.workload_of_case(case, i).model for i in (info, own, other)}
    assert len(models) == 3


def test_sequences_of_another_length_are_so_much_of_what_the_tables_count() -> None:
    """Base BERT at 128 tokens is 0.32 of a sequence of SQuAD; a pair of GNMT's sentences, 50 tokens."""
    for name, variant, unit, per_sample in (
        ("bert_base", "full", "samples/s", 22_348_434_432 / 70_666_816_512),
        ("bert_base", "seq384", "samples/s", 1.0),
        ("gnmt", "full", "samples/s", 50.0),
        ("gemm", "full", "samples/s", 1.0),
        ("resnet50", "full", "samples/s", 1.0),
    ):
        case = builders.case(workload=name, variant=variant, batch_size=4)
        info = workloads.read(workloads.folders()[name]).info(variant)
        asked = documents.workload_of_case(case, info)
        assert asked.unit == unit
        assert documents.units_per_sample(case, info) == pytest.approx(per_sample)
        assert isinstance(info.flops, float)
        assert asked.gmacs == pytest.approx(info.flops / 2e9 / per_sample)


def test_rates_that_are_shipped_are_those_of_the_repositorys_documents(tmp_path: Path) -> None:
    """Made anew from results/ they are the same; scripts/own_rates.py writes them."""
    table = device_table(catalog.shipped())
    read = [runs.read_run(path) for path in sorted((ROOT / "results").glob("*.json"))]
    rates = documents.observations(read, table)
    shipped.write_measured(rates, harness.half_widths(rates, table), tmp_path / "made.json")
    file = ROOT / "dlbench" / "analysis" / "predict" / "measured.json"
    assert (tmp_path / "made.json").read_text() == file.read_text()
    found = {(o.device, o.workload.model, o.workload.policy): o.rate for o in shipped.measured()}
    assert found["H200-SXM-141GB", "resnet50", "tuned"] == pytest.approx(6610.71)


def _of_the_h200() -> list[Observation]:
    return [o for o in shipped.measured() if o.device == "H200-SXM-141GB"]


def test_one_measured_card_tells_another() -> None:
    """ResNet-50's training in bf16 on an H100, measured apart from everything that was learnt from.

    With the shipped rates of an H200 the plain and the tuned rate are told within 10 % and inside their
    intervals; the coefficients alone, which know no policy, tell both alike.
    """
    table = device_table(catalog.shipped())
    h100 = table.find("NVIDIA H100 80GB HBM3")
    assert h100 is not None
    info = workloads.read(workloads.folders()["resnet50"]).info("full")
    case = builders.case(
        workload="resnet50",
        precision=Precision.BF16,
        framework="pytorch",
        batch_size=256,
        mode=Mode.TRAINING,
        scenario=None,
    )
    measured = {Policy.BASE: 2221.0, Policy.TUNED: 5538.0}
    ready = shipped.estimator(_of_the_h200(), table)
    bare = shipped.estimator((), table)
    for policy, rate in measured.items():
        asked = documents.workload_of_case(replace(case, policy=policy), info)
        told = ready.estimate(h100, asked)
        assert not isinstance(told, Absent)
        assert told.value == pytest.approx(rate, rel=0.1)
        assert told.interval.low < rate < told.interval.high
        assert told.interval.high / told.interval.low < 2
        alone = bare.estimate(h100, asked)
        assert not isinstance(alone, Absent)
        assert alone.interval.high / alone.interval.low > 3


def test_an_h200s_rates_tell_an_h100s_suite() -> None:
    """Every model in both modes, told before anything of the H100 was learnt, and then measured.

    Nine of ten are to lie inside; what both cards ran alike is told within a seventh, in the median.
    """
    table = device_table(catalog.shipped())
    here = [
        o
        for o in shipped.measured()
        if o.device == "H100-SXM5-80GB" and o.workload.model in models.SIZES
    ]
    ready = shipped.estimator(_of_the_h200(), table)
    told = [_estimated(ready.estimate(_device(o.device, table), o.workload)) for o in here]
    inside = [t.interval.low < o.rate < t.interval.high for t, o in zip(told, here, strict=True)]
    assert len(here) == 34
    assert sum(inside) >= 0.9 * len(here)
    alike = [
        abs(math.log(t.value / o.rate))
        for t, o in zip(told, here, strict=True)
        if t.from_[0] == calibration.MEASURED_ELSEWHERE
    ]
    assert len(alike) > 15
    assert statistics.median(alike) < math.log(8 / 7)


def test_what_an_experts_settings_gain_is_less_sure_on_another_architecture() -> None:
    """Measured on a Hopper: as narrow on another Hopper as the plain rate, wider on a Turing."""
    table = device_table(catalog.shipped())
    ready = shipped.estimator(_of_the_h200(), table)
    rates = [o for o in _of_the_h200() if o.workload.model == "resnet50"]
    assert {o.workload.policy for o in rates} == {"base", "tuned"}

    def width(name: str, policy: str) -> float:
        (asked,) = [o.workload for o in rates if o.workload.policy == policy]
        found = _estimated(ready.estimate(_device(name, table), asked))
        return math.log(found.interval.high / found.interval.low)

    assert width("H100-SXM5-80GB", "tuned") == pytest.approx(
        width("H100-SXM5-80GB", "base"), rel=0.05
    )
    assert width("RTX-2080Ti", "tuned") > 1.2 * width("RTX-2080Ti", "base")


def test_widths_of_ones_own_harness_are_the_largest_miss_of_nine_models() -> None:
    """Each asked as if nobody knew it; eight models are too few for nine of ten."""
    table = device_table(catalog.shipped())
    trained = {
        o.workload.model: o
        for o in shipped.measured()
        if o.workload.task is Task.TRAIN and o.workload.policy == "base"
        if o.workload.model in models.SIZES
    }
    rates = [trained[m] for m in sorted(trained)]
    assert len(rates) > 9
    name = f"train|{calibration.FOREIGN_SIZED}|dlbench|half"
    assert harness.half_widths(rates[:8], table) == {}
    (width,) = harness.half_widths(rates[:9], table).values()
    slow = [replace(rates[0], rate=rates[0].rate / 1e6), *rates[1:9]]
    # One of nine that is far off is the width: about ln(1e6) in standard deviations of a model.
    assert harness.half_widths(slow, table)[name] > 10
    assert 0 < width < 3


def test_a_models_sizes_are_of_its_usual_unit() -> None:
    """A table in other units keeps what it states itself; dlbench's own win where they are meant."""
    rows = [
        replace(o, workload=replace(o.workload, unit=unit))
        for o in synthetic.observations()
        if o.workload.model == "resnet50"
        for unit in ("samples/s", "unstated/s")
    ]
    cells, _ = predictor.gather(rows, TABLE, Encoder())
    for w in cells.workloads:
        stated = rows[0].workload.gmacs
        own = models.SIZES["resnet50"]
        assert (w.gmacs, w.macts_m) == (
            (stated or own[0], rows[0].workload.macts_m or own[1])
            if w.unit == "samples/s"
            else (stated, rows[0].workload.macts_m)
        )
