"""Parts of the predictor by hand: what a fit would learn to live with were it wrong."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from dlbench.analysis.predict import (
    asked,
    calibration,
    cells,
    documents,
    estimate,
    predictor,
    roofline,
)
from dlbench.analysis.predict.cells import Encoder
from dlbench.analysis.predict.devices import DeviceTable
from dlbench.analysis.predict.types import Arithmetic, DeviceSpec, Observation, Task, Workload
from dlbench.core.types import Estimated, Interval
from tests import builders

CARD = DeviceSpec(
    name="card",
    year=2022.0,
    fp32_tflops=20.0,
    fp16_tflops=100.0,
    mem_bw_gb_s=900.0,
    l2_mib=20.0,
    tdp_w=200.0,
)
WORK = Workload(model="net", task=Task.TRAIN, arithmetic=Arithmetic.HALF, family="cnn", batch=64.0)


def _rates(part: str, *pairs: tuple[DeviceSpec, Workload]) -> list[float]:
    """Rates over the first where one part of the roofline takes all of the time."""
    name = roofline.node_names("train", "half", "cnn", "net")[0]
    lone = tuple(50.0 if p == part else -50.0 for p in roofline.PARTS)
    encoded = cells.encode(pairs, None, Encoder(), frozenset())
    rates = np.exp(roofline.Roofline(nodes={name: lone}).ln_relative_rate(encoded))
    return [float(rate) for rate in rates / rates[0]]


def test_a_larger_last_cache_saves_traffic() -> None:
    """Twice of it 2^0.07 of the time that memory takes."""
    assert _rates("memory", (CARD, WORK), (replace(CARD, l2_mib=40.0), WORK)) == pytest.approx(
        [1, 2**0.07]
    )


def test_gradients_go_around_a_ring() -> None:
    """2 (n - 1) / n of them: 7/4 of eight devices, 1 of two; over NVLink by its generation."""
    two, eight = (replace(WORK, n_devices=n) for n in (2, 8))
    ampere, hopper = (replace(CARD, name="card-SXM", year=year) for year in (2020.0, 2022.0))
    found = _rates("exchange", (CARD, two), (CARD, eight), (ampere, eight), (hopper, eight))
    assert found == pytest.approx([1, 4 / 7, 4 / 7 / 0.05, 4 / 7 / 0.035])


def test_what_each_doubling_of_devices_loses_is_drawn_to_two_per_cent() -> None:
    """100 a second of one and 90 each of four: ln(100 / 90) / 2, beside five times 0.02."""
    pairs = [(CARD, replace(WORK, n_devices=n)) for n in (1, 4)]
    known = cells.encode(pairs, [(100.0, 1), (90.0, 1)], Encoder(), frozenset())
    lost = (math.log(100 / 90) / 2 + 5 * 0.02) / 6
    found = predictor.fit_efficiency(known, known.y)
    assert found == pytest.approx({"own|pcie": lost, "|pcie": lost})


def test_a_width_is_the_ninetieth_percentile_drawn_to_the_prior() -> None:
    """Of 25 misses of 0.1 to 2.5 the 23rd, beside as much of the prior as 30 rows have."""
    missed = np.arange(1, 26) / 10
    found = calibration._quantile(missed[::-1], np.ones(25), 1.5)
    assert found == pytest.approx((25 * 2.3 + 30 * 1.5) / 55)


def test_a_variant_of_twice_the_arithmetic_has_twice_the_activations() -> None:
    """The size of its weights is the model's; a model that nobody knows keeps what it says."""
    known = {"net": (4.0, 10.0, 25.0)}
    sized = cells.with_sizes(replace(WORK, gmacs=8.0), known)
    assert (sized.gmacs, sized.macts_m, sized.params_m) == (8.0, 20.0, 25.0)
    own = replace(WORK, model="another", gmacs=8.0)
    assert cells.with_sizes(own, known) == own


def test_activations_that_nobody_counted_are_as_resnet50s() -> None:
    """11.1 million of 4.09 GMAC."""
    assert cells.activations_of(replace(WORK, gmacs=4.09)) == pytest.approx(11.1, rel=0.06)


def test_of_rows_that_are_alike_the_median_counts() -> None:
    """One of three is five times too fast."""
    rows = [Observation(device="card", workload=WORK, rate=x, source="s") for x in (9.0, 1.0, 2.0)]
    (found,) = cells.merge(rows)
    assert (found.rate, found.n) == (2.0, 3)


def test_a_rate_lies_outside_to_either_side() -> None:
    """Twice as fast as the fastest, and half as fast as the slowest."""
    seen = estimate.Range(low=math.log2(100), high=math.log2(1000))
    found = [seen.octaves_outside(x) for x in (2000.0, 50.0, 500.0)]
    assert found == pytest.approx([1, 1, 0])


def test_joules_of_two_devices_are_their_watts_over_their_rate() -> None:
    """400 W over 200 a second: 2 J, and what makes a rate twice as high halves them."""
    work = replace(WORK, unit="J/sample", n_devices=2)
    found = estimate._answer(
        work,
        CARD,
        (math.log(100.0), math.log(2.0), ""),
        (math.log(1.25), -math.inf),
        (calibration.MODEL_KNOWN, "", 0.0),
        None,
    )
    assert isinstance(found, Estimated)
    ends = (found.interval.low, found.value, found.interval.high)
    assert ends == pytest.approx((1.6, 2.0, 2.5))
    assert found.method.startswith("roofline and level x 0.5 by kriging")


def test_a_documents_rate_is_of_one_of_its_devices() -> None:
    """25 samples a second of four are 6.25 each."""
    case = builders.case(device="fake", batch_size=4, n_devices=4)
    run = builders.run((builders.result(case, [0.04] * 5),))
    name = next(d.name for d in run.environment.devices if d.id == case.device)
    (seen,) = documents.observations([run], DeviceTable([DeviceSpec(name=name)]))
    assert seen.rate == pytest.approx(6.25)
    assert seen.workload.n_devices == 4


@pytest.mark.parametrize(
    ("unit", "told", "per_device"),
    [
        ("samples/s", ("200", "400", "800"), "200"),
        # 64 samples of each of two devices at 400 a second take 320 ms.
        ("ms/step", ("160", "320", "640"), "200"),
        # What a sample takes is not shared among devices.
        ("J/sample", ("200", "400", "800"), "400"),
    ],
)
def test_an_answer_about_two_devices_is_in_the_unit_of_its_row(
    unit: str, told: tuple[str, str, str], per_device: str
) -> None:
    """A rate is of both, a step has a batch of each."""
    found = Estimated(
        value=400.0, interval=Interval(low=200.0, high=800.0, level=0.9), method="a test"
    )
    rate = unit if unit.startswith("J/") else "samples/s"
    row = asked._cells({"unit": unit}, replace(WORK, unit=rate, n_devices=2), found)
    assert (row["lo90"], row["pred"], row["hi90"]) == told
    assert row["pred_per_device"] == per_device
