"""The level is of a model's size and family, not of the batch that a table happens to name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlbench.analysis.predict import level
from dlbench.analysis.predict.cells import Encoder, encode
from dlbench.analysis.predict.types import Arithmetic, DeviceSpec, Task, Workload

CARD = DeviceSpec(name="card", fp32_tflops=20.0, fp16_tflops=100.0, mem_bw_gb_s=900.0)
SMALL = Workload(
    model="small",
    task=Task.TRAIN,
    arithmetic=Arithmetic.HALF,
    family="cnn",
    framework="pytorch",
    panel="one",
    gmacs=1.0,
    macts_m=5.0,
    params_m=5.0,
    batch=512.0,
)
LARGE = replace(SMALL, model="large", gmacs=16.0, macts_m=40.0, params_m=80.0, batch=32.0)


def _fit(*rated: tuple[Workload, float]) -> level.Level:
    pairs = [(CARD, w) for w, _ in rated]
    cells = encode(pairs, [(rate, 1) for _, rate in rated], Encoder(), frozenset())
    return level.fit(cells, 0 * cells.y)


def _told(fitted: level.Level, workload: Workload) -> float:
    cells = encode([(CARD, workload)], None, Encoder(), frozenset())
    return float(fitted.ln_rate(cells)[0])


def test_a_small_batch_is_not_taken_for_a_large_model() -> None:
    """Tables name the largest batch that fits, which is small where a model is large."""
    fitted = _fit((SMALL, 2000.0), (LARGE, 200.0))
    assert _told(fitted, SMALL) > _told(fitted, LARGE) + 1
    for batch in (1.0, 32.0, None):
        assert _told(fitted, replace(SMALL, batch=batch)) == _told(fitted, SMALL)


def test_what_a_set_up_adds_is_told_apart() -> None:
    """A model of the usual size, where no slope speaks, a quarter as fast in another panel."""
    fast = replace(SMALL, gmacs=4.0, macts_m=11.0, params_m=25.0)
    slow = replace(fast, panel="two")
    fitted = _fit((fast, 2000.0), (slow, 500.0))
    gap = fitted.of_setup(fast) - fitted.of_setup(slow)
    assert gap == pytest.approx(_told(fitted, fast) - _told(fitted, slow))
    assert gap > 0.5
    assert fitted.of_setup(replace(fast, panel="new")) == 0
