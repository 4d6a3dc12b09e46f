"""The level is of a model's size and family, not of the batch that a table happens to name."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from dlbench.analysis.predict import level
from dlbench.analysis.predict.cells import Encoder, encode
from dlbench.analysis.predict.kernel import Scales
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
    return level.fit(cells, 0 * cells.y, Scales())


def _told(fitted: level.Level, workload: Workload) -> float:
    cells = encode([(CARD, workload)], None, Encoder(), frozenset())
    return float(fitted.ln_rate(cells)[0])


def test_a_small_batch_is_not_taken_for_a_large_model() -> None:
    """Tables name the largest batch that fits, which is small where a model is large."""
    fitted = _fit((SMALL, 2000.0), (LARGE, 200.0))
    assert _told(fitted, SMALL) > _told(fitted, LARGE) + 1
    for batch in (1.0, 32.0, None):
        assert _told(fitted, replace(SMALL, batch=batch)) == _told(fitted, SMALL)


def test_precisions_are_compared_by_models_that_ran_in_both() -> None:
    """Half is twice as fast, whatever else, fast for reasons of its own, ran in single."""
    unsized = replace(SMALL, gmacs=None, macts_m=None, params_m=None)
    both = [replace(unsized, model=f"m{i}") for i in range(30)]
    rows = [(w, 100.0) for w in both]
    rows += [(replace(w, arithmetic=Arithmetic.SINGLE), 50.0) for w in both]
    rows += [
        (replace(unsized, model=f"fast{i}", arithmetic=Arithmetic.SINGLE), 1e5) for i in range(4)
    ]
    fitted = _fit(*rows)
    gain = _told(fitted, both[0]) - _told(fitted, replace(both[0], arithmetic=Arithmetic.SINGLE))
    assert gain == pytest.approx(math.log(2), abs=0.08)


def test_the_level_is_of_no_source() -> None:
    """Who measured, and with what, is told apart by kriging: a new source has the level of all."""
    fitted = _fit((SMALL, 2000.0), (replace(LARGE, panel="two", framework="jax"), 200.0))
    elsewhere = replace(SMALL, panel="new", framework="other", policy="tuned")
    assert _told(fitted, elsewhere) == _told(fitted, SMALL)


def test_twice_the_work_takes_twice_as_long_until_models_say_otherwise() -> None:
    """One model of the usual size, where slopes turn, says nothing of them."""
    usual = replace(SMALL, gmacs=4.0, macts_m=11.0, params_m=25.0)
    twice = replace(usual, model="twice", gmacs=8.0, macts_m=22.0)
    fitted = _fit((usual, 1000.0))
    assert _told(fitted, twice) - _told(fitted, usual) == pytest.approx(-math.log(2))
