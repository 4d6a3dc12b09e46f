"""The same model everywhere: every pair of frameworks, every workload, same outputs and losses."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from dlbench import workloads
from dlbench.core import registry
from dlbench.core.protocols import Capability
from dlbench.core.types import Absent, Mode

pytestmark = pytest.mark.frameworks

PROGRAM = """
import json, sys
from tests.conformance.test_frameworks import request_for
from dlbench.core import registry
from dlbench.core.types import Mode, Precision
framework, workload, precision, variant = sys.argv[1:]
adapter = registry.framework(framework)
common = {"precision": Precision(precision), "variant": variant}
found = {}
subject = adapter.open_subject(request_for(framework, workload, **common))
found["parameters"] = subject.info["parameters"]
found["outputs"] = [subject.fetch(subject.query(i)).ravel()[:2000].tolist() for i in range(4)]
found["shape"] = list(subject.fetch(subject.query(0)).shape)
found["compute"] = subject.info["compute_dtype"]
if Mode.TRAINING in adapter.probe().modes:
    subject = adapter.open_subject(
        request_for(framework, workload, mode=Mode.TRAINING, scenario=None, **common)
    )
    found["losses"] = [float(subject.fetch(subject.step(0))) for _ in range(5)]
print(json.dumps(found))
"""

LARGEST = {"fp32": 1e-4, "bf16": 0.1}
"""Deviation over the spread of the outputs (inference) or over the loss (training). Later steps
drift apart as rounding is fed back."""


def _installed() -> dict[str, Capability]:
    probes = {n: registry.framework(n).probe() for n in registry.names("frameworks") if n != "fake"}
    return {name: found for name, found in probes.items() if not isinstance(found, Absent)}


def _training() -> list[str]:
    return [name for name, found in _installed().items() if Mode.TRAINING in found.modes]


def _cells() -> list[tuple[str, str]]:
    cells = []
    for name, folder in workloads.folders().items():
        files = workloads.read(folder).model_files
        runs = [f for f in _installed() if registry.framework(f).MODEL_FILE in files]
        cells += [(name, framework) for framework in runs if framework != "pytorch"]
    return cells


@cache
def _results(framework: str, workload: str, precision: str, variant: str = "tiny") -> Any:
    """In a process of its own: two frameworks in one process fight over threads."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, framework, workload, precision, variant],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def _deviation(got: list[list[float]], wanted: list[list[float]]) -> float:
    every = [x for row in wanted for x in row]
    mean = sum(every) / len(every)
    spread = (sum((x - mean) ** 2 for x in every) / len(every)) ** 0.5
    pairs = zip([x for row in got for x in row], every, strict=True)
    return float(max(abs(a - b) for a, b in pairs) / spread)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("workload", "framework"), _cells())
def test_same_weights_same_outputs_same_losses(
    workload: str, framework: str, precision: str
) -> None:
    """Outputs, first loss, and the loss after one update, against PyTorch in fp32."""
    if precision not in _installed()[framework].precisions["cpu"]:
        pytest.skip(f"the {framework} adapter does not run {precision} on the CPU")
    wanted = _results("pytorch", workload, "fp32")
    got = _results(framework, workload, precision)
    assert got["parameters"] == wanted["parameters"]
    assert got["shape"] == wanted["shape"]
    assert got["compute"] == {"fp32": "float32", "bf16": "bfloat16"}[precision]
    limit = LARGEST[precision]
    assert _deviation(got["outputs"], wanted["outputs"]) <= limit
    for step in range(2 if "losses" in got else 0):
        assert got["losses"][step] == pytest.approx(wanted["losses"][step], rel=limit), step


@pytest.mark.parametrize("workload", [n for n in workloads.folders() if n != "fake"])
def test_pytorch_in_bf16_is_still_the_same_model(workload: str) -> None:
    """And really computes in bf16: close to fp32, and not equal to it."""
    wanted = _results("pytorch", workload, "fp32")
    got = _results("pytorch", workload, "bf16")
    deviation = _deviation(got["outputs"], wanted["outputs"])
    assert 1e-6 < deviation <= LARGEST["bf16"]


@pytest.mark.parametrize("framework", _training())
@pytest.mark.parametrize("workload", [n for n in workloads.folders() if n != "fake"])
def test_training_lowers_the_loss_on_the_same_batch(workload: str, framework: str) -> None:
    """Five updates are enough to see it."""
    losses = _results(framework, workload, "fp32")["losses"]
    assert losses[-1] < losses[0]
