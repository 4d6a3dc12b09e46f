"""int8 is really int8, says what it costs, and stays the same model."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from dlbench.core import registry
from dlbench.core.types import Absent, Precision

pytestmark = pytest.mark.frameworks


def _able() -> list[str]:
    found = []
    for name in registry.names("frameworks"):
        capability = registry.framework(name).probe()
        if name != "fake" and not isinstance(capability, Absent):
            found += [name] if Precision.INT8 in capability.precisions["cpu"] else []
    return found


PROGRAM = """
import json, sys
from tests.conformance.test_frameworks import request_for
from dlbench import workloads
from dlbench.core import registry
from dlbench.core.types import Precision
framework, found = sys.argv[1], {}
for name in sys.argv[2:]:
    request = request_for(framework, name, precision=Precision.INT8)
    subject = registry.framework(framework).open_subject(request)
    reference = workloads.read(workloads.folders()[name]).reference(request.case)
    rows = [subject.fetch(subject.query(i))[0].ravel() for i in range(4)]
    largest = max(
        abs(float(row[p]) - wanted)
        for row, values in zip(rows, reference.values)
        for p, wanted in zip(reference.positions, values)
    )
    found[name] = {
        "compute": subject.info["compute_dtype"],
        "drift": subject.info["int8_drift"],
        "deviation": largest / reference.spread,
        "tolerance": reference.tolerance,
    }
print("ANSWER", json.dumps(found), flush=True)
"""

SAME = ("conv2d", "resnet50", "lstm_lm", "gnmt", "bert_base", "transformer_base", "gpt2_small")
"""The last two have causal masks of minus infinity, which must not be quantised."""


@cache
def _found(framework: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, framework, *SAME],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [x for x in done.stdout.splitlines() if x.startswith("ANSWER ")]
    assert lines, done.stderr[-2000:]
    return json.loads(lines[0].removeprefix("ANSWER "))


@pytest.mark.parametrize("framework", _able())
@pytest.mark.parametrize("workload", SAME)
def test_int8_is_the_same_model_within_its_tolerance(framework: str, workload: str) -> None:
    """It computes in int8, states a drift that is not nothing, and passes the gate's rule."""
    found = _found(framework)[workload]
    assert found["compute"] == "int8"
    assert 1e-4 < found["drift"] < 0.25
    assert 1e-4 < found["deviation"] < found["tolerance"]
