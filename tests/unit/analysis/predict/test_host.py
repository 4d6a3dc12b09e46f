"""What a host allows at a batch smaller than all that were measured."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from dlbench import catalog, workloads
from dlbench.analysis.predict import documents, host, shipped
from dlbench.analysis.predict.catalog_specs import device_table
from dlbench.analysis.predict.types import Arithmetic, Task, Workload
from dlbench.core.types import Absent, Estimated, Mode, Precision, Scenario
from tests import builders

ASKED = Workload(
    model="mine",
    task=Task.INFER,
    arithmetic=Arithmetic.HALF,
    panel="dlbench",
    batch=8.0,
    gmacs=4.0,
    macts_m=11.0,
    params_m=25.0,
)


def test_a_batch_over_the_seconds_that_the_host_takes() -> None:
    """Low is of the slowest host; a training step takes it longer."""
    assert host.paces(ASKED, ()) == pytest.approx((8 / 0.02, 8 / 0.004, 8 / 0.0004))
    trained = replace(ASKED, task=Task.TRAIN)
    assert host.paces(trained, ()) == pytest.approx((8 / 0.06, 8 / 0.015, 8 / 0.003))


def test_a_rate_at_that_batch_or_a_smaller_one_has_the_host_in_it() -> None:
    """Of the same model in either mode; larger batches, other models, variants, panels do not count."""
    for known in (
        replace(ASKED, batch=1.0),
        replace(ASKED, batch=12.0),
        replace(ASKED, task=Task.TRAIN),
    ):
        assert host.paces(ASKED, (known,)) is None
    silent = (
        replace(ASKED, batch=13.0),
        replace(ASKED, model="another"),
        replace(ASKED, phase="tiny", batch=1.0),
        replace(ASKED, panel="lambda"),
        replace(ASKED, batch=None),
    )
    assert host.paces(ASKED, silent) == host.paces(ASKED, ())


def test_what_has_no_batch_or_no_known_mode_has_no_pace() -> None:
    """Nothing is guessed of it."""
    assert host.paces(replace(ASKED, batch=None), ()) is None
    assert host.paces(replace(ASKED, task=Task.UNKNOWN), ()) is None


def _told(batch: int, workload: str = "resnet50") -> Estimated:
    table = device_table(catalog.shipped())
    h100 = table.find("H100-SXM5-80GB")
    assert h100 is not None
    case = builders.case(
        workload=workload,
        framework="pytorch",
        precision=Precision.BF16,
        mode=Mode.INFERENCE,
        scenario=Scenario.OFFLINE,
        batch_size=batch,
    )
    info = workloads.read(workloads.folders()[workload]).info("full")
    asked = documents.workload_of_case(case, info)
    found = shipped.estimator(shipped.measured(), table).estimate(h100, asked)
    assert not isinstance(found, Absent)
    return found


def test_one_image_at_a_time_is_not_told_at_the_pace_of_128() -> None:
    """ResNet-50 on an H100, measured at 128: alone an image waits for its kernels to be launched."""
    many, alone = _told(128), _told(1)
    assert many.value == pytest.approx(8440, rel=0.05)
    assert alone.value == pytest.approx(1 / host.STEP_S[Task.INFER][1])
    assert alone.interval.low == pytest.approx(1 / host.STEP_S[Task.INFER][2])
    held = "held to what the host can launch at this batch, smaller than all measured"
    assert held in alone.from_
    assert alone.method.endswith(", held to the pace of a host")
    assert held not in many.from_


def test_a_batch_farther_from_the_measured_one_is_less_sure() -> None:
    """At the measured batch a few per cent, at sixteen times that a factor."""
    widths = [
        math.log(told.interval.high / told.interval.low)
        for told in (_told(128), _told(256), _told(2048))
    ]
    assert widths == sorted(widths)
    assert widths[2] > 2 * widths[0]
