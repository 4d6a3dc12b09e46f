"""The public sides of the published comparison train with the workload's own optimizer."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dlbench.core.types import Case, Mode, Policy
from tests.subjects import ask, installed

pytestmark = pytest.mark.frameworks

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "public_implementations.py"

SCALE = 100.0
"""Of the only input: the first gradient is half of it in both weights, and the second next to none."""


def pytorch(framework: str, workload: str) -> list[float]:
    """Runs beside: the two weights of a linear model after two steps of the public side."""
    import torch

    model = torch.nn.Linear(1, 2, bias=False)
    torch.nn.init.zeros_(model.weight)
    inputs, targets = [torch.full((1, 1), SCALE)] * 4, [torch.zeros(1, dtype=torch.int64)] * 4
    script, case = _script_and_case(framework, workload)
    step = script._torch_steps(case, torch.get_num_threads(), model, lambda y: y, inputs, targets)
    step()
    step()
    return [float(x) for x in model.weight.detach().ravel()]


def tensorflow(framework: str, workload: str) -> list[float]:
    """Runs beside: the same of the same model in Keras."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import numpy as np

    # Other tests ask in the same process, in other precisions.
    keras.mixed_precision.set_dtype_policy("float32")
    layers = [keras.Input((1,)), keras.layers.Dense(2, use_bias=False, kernel_initializer="zeros")]
    model = keras.Sequential(layers)
    inputs, targets = [np.full((1, 1), SCALE, "float32")] * 4, [np.zeros(1, "int64")] * 4
    script, case = _script_and_case(framework, workload)
    step = script._keras_steps(case, model, inputs, targets)
    step()
    step()
    return [float(x) for x in model.get_weights()[0].ravel()]


def _script_and_case(framework: str, workload: str) -> tuple[Any, Any]:
    spec = importlib.util.spec_from_file_location("public_implementations", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script, script._case(framework, workload, Mode.TRAINING, Policy.BASE)


@pytest.mark.parametrize(
    ("workload", "moved"),
    [
        # A learning rate of 1, a gradient clipped to a norm of 10, and no momentum.
        ("lstm_lm", 10 / 2**0.5),
        # A learning rate of 0.005, no clipping, and nine tenths of the first step once more.
        ("resnet50", 0.005 * SCALE / 2 * 1.9),
    ],
)
@pytest.mark.parametrize("side", [pytorch, tensorflow], ids=lambda side: side.__name__)
def test_the_public_side_does_the_work_of_the_workloads_optimizer(
    side: Any, workload: str, moved: float
) -> None:
    """Two steps of two weights, in closed form."""
    if side.__name__ not in installed():
        pytest.skip(f"{side.__name__} is not installed")
    assert ask(side.__name__, side, workload) == pytest.approx([moved, -moved], rel=1e-5)


@pytest.mark.parametrize("faster", Policy)
def test_in_tuned_the_faster_of_the_public_sides_stands(
    faster: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XLA slows some of them down on a CPU: a ratio to those would flatter ours."""
    script, base = _script_and_case("tensorflow", "resnet50")
    built: dict[Policy, Any] = {}
    now_s = [0.0]

    def build(case: Case, _threads: int) -> Any:
        def step() -> None:
            now_s[0] += 1.0 if case.policy is faster else 2.0

        built[case.policy] = step
        return step

    monkeypatch.setattr(script, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    assert script._public(base, build, 1) is built[Policy.BASE]
    assert set(built) == {Policy.BASE}
    assert script._public(replace(base, policy=Policy.TUNED), build, 1) is built[faster]
