"""Data sheets alone, against what was measured: the range must hold it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dlbench import catalog
from dlbench.analysis.recommend import job, needs, roofline
from dlbench.core import metrics
from dlbench.core.recommendation import Constraint, Refusal
from dlbench.core.types import Case, Measured, Mode
from dlbench.store import runs
from tests import recommending as r

RESULTS = Path(__file__).parents[3] / "results"

ONE_KERNEL = {"gemm", "conv2d", "memory_bandwidth"}
"""A step of one kernel takes the host microseconds, where a model's takes milliseconds."""


def measured() -> Iterator[tuple[Case, float]]:
    """Every rate of the H200 of a whole model."""
    for path in sorted(RESULTS.glob("*-h200-*.json")):
        run = runs.read_run(path)
        for result in run.results:
            rate = metrics.compute("throughput_samples_per_s", result, run)
            if isinstance(rate, Measured) and result.case.workload not in ONE_KERNEL:
                yield result.case, rate.value


def bound(case: Case) -> roofline.Bound:
    """What the data sheet of an H200 says of a case."""
    task = "inference" if case.mode is Mode.INFERENCE else "training"
    asked, _ = needs.build(
        {
            "task": task,
            "workload": case.workload,
            "variant": case.variant,
            "precision": str(case.precision),
            "samples": 1.0,
        }
    )
    device = catalog.shipped().accelerator("H200-SXM-141GB")
    assert device is not None
    found = roofline.accelerator(device, job.read(asked, ()), asked, case.batch_size)
    assert not isinstance(found, Refusal)
    return found


def test_the_range_of_a_data_sheet_holds_what_was_measured() -> None:
    """Twenty cases of one card, from a recommender's tables to a U-Net; most within a factor of 3."""
    cases = list(measured())
    assert len(cases) > 15
    near = 0
    for case, rate in cases:
        found = bound(case)
        assert found.low < rate < found.high, case.label
        near += 1 / 3 < rate / found.value < 3
    assert near > 0.8 * len(cases)


@pytest.mark.parametrize(
    ("precision", "constraint"), [("bf16", Constraint.PRECISION), ("fp16", None)]
)
def test_a_peak_that_a_data_sheet_has_not_is_a_reason(
    precision: str, constraint: Constraint | None
) -> None:
    """A T4 has fp16 alone."""
    device = catalog.shipped().accelerator("T4")
    assert device is not None
    asked = r.need(precision=precision)
    found = roofline.accelerator(device, job.read(asked, ()), asked, 32)
    assert (found.constraint if isinstance(found, Refusal) else None) is constraint
