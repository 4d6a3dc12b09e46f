"""int8 is really int8, says what it costs, and stays the same model."""

from __future__ import annotations

from typing import Any

import pytest

from dlbench import workloads
from dlbench.core import registry
from dlbench.core.types import Absent, Precision
from tests import subjects
from tests.subjects import request_for

pytestmark = pytest.mark.frameworks


ABLE = [n for n, found in subjects.installed().items() if Precision.INT8 in found.precisions["cpu"]]

SAME = ("conv2d", "resnet50", "lstm_lm", "gnmt", "bert_base", "transformer_base", "gpt2_small")
"""The last two have causal masks of minus infinity, which must not be quantised."""


def quantised(framework: str, name: str) -> dict[str, Any]:
    """What the subject says of itself, and how far it is from the reference."""
    request = request_for(framework, name, precision=Precision.INT8)
    subject = registry.framework(framework).open_subject(request)
    reference = workloads.read(workloads.folders()[name]).reference(request.case)
    assert not isinstance(reference, Absent)
    rows = [subject.fetch(subject.query(i))[0].ravel().copy() for i in range(4)]
    largest = max(
        abs(float(row[p]) - wanted)
        for row, values in zip(rows, reference.values, strict=True)
        for p, wanted in zip(reference.positions, values, strict=True)
    )
    return {
        "compute": subject.info["compute_dtype"],
        "drift": subject.info["int8_drift"],
        "deviation": largest / reference.spread,
        "tolerance": reference.tolerance,
    }


@pytest.mark.parametrize("framework", ABLE)
@pytest.mark.parametrize("workload", SAME)
def test_int8_is_the_same_model_within_its_tolerance(framework: str, workload: str) -> None:
    """It computes in int8, states a drift that is not nothing, and passes the gate's rule."""
    found = subjects.ask(framework, quantised, workload)
    assert found["compute"] == "int8"
    assert 1e-4 < found["drift"] < 0.25
    assert 1e-4 < found["deviation"] < found["tolerance"]
