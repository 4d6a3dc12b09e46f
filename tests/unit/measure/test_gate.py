"""Each rule of the correctness gate passes what is right and refuses what is not, by name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from dlbench.core.types import Absent, Check, Mode, Value
from dlbench.measure import gate
from dlbench.measure.sampler import Samples
from tests import builders
from tests.unit.measure.clockwork import Clock, Clockwork

EXPECTED = gate.Expected(
    values=tuple((b * 10.0, b * 10.0 + 5.0) for b in range(4)),
    positions=(0, 5),
    tolerance=1e-3,
    spread=10.0,
)
TRAINING = builders.case(mode=Mode.TRAINING, scenario=None)
LOSS = gate.Expected(values=((2.0,),), positions=(), tolerance=1e-3, spread=2.0)


class Answers(Clockwork):
    """A subject with given outputs for each buffer."""

    def __init__(self, outputs: dict[int, np.ndarray[Any, Any]]) -> None:
        super().__init__(Clock(), lambda _: 0.0)
        self.outputs = outputs

    def query(self, buffer: int) -> object:
        return buffer

    def fetch(self, handle: object) -> np.ndarray[Any, Any]:
        assert isinstance(handle, int)
        return self.outputs[handle]


def _right() -> dict[int, np.ndarray[Any, Any]]:
    return {b: np.array([[b * 10.0 + i for i in range(8)]], dtype=np.float32) for b in range(4)}


def _samples(**changes: Any) -> Samples:
    base: dict[str, Any] = {
        "first_step_s": 1.0,
        "warm_up": (),
        "values": (),
        "queries_s": (),
        "windows": (),
        "steps_per_value": 1,
        "steady": True,
        "first_loss": None,
        "last_loss": None,
        "last_output": 2,
        "last_buffer": 2,
    }
    return Samples(**{**base, **changes})


def _refused(checks: tuple[Check, ...]) -> list[str]:
    return [c.rule for c in checks if c.passed is False]


def _infer(outputs: dict[int, np.ndarray[Any, Any]]) -> tuple[Check, ...]:
    return gate.examine(Answers(outputs), builders.case(), _samples(), EXPECTED)[1]


def _train(first: float, last: float) -> tuple[Check, ...]:
    outputs = {0: np.array([first]), 1: np.array([last])}
    samples = _samples(first_loss=0, last_loss=1)
    return gate.examine(Answers(outputs), TRAINING, samples, LOSS)[1]


def test_right_outputs_pass_every_rule() -> None:
    """And the digest is the reference's, row by row."""
    digest, checks = gate.examine(Answers(_right()), builders.case(), _samples(), EXPECTED)
    assert [c.passed for c in checks] == [True, True, True]
    assert digest == tuple(x for row in EXPECTED.values for x in row)


def test_a_wrong_output_is_refused() -> None:
    """Off by 1 % of the spread, at a tolerance of 0.1 %."""
    outputs = _right()
    outputs[3][0, 5] += 0.1
    assert _refused(_infer(outputs)) == ["outputs_match_reference"]


def test_cached_outputs_are_refused() -> None:
    """The same answer to every input differs from the reference and from nothing else."""
    outputs = dict.fromkeys(range(4), _right()[2])
    assert _refused(_infer(outputs)) == ["outputs_match_reference", "outputs_differ_between_inputs"]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_outputs_that_are_no_numbers_are_refused(bad: float) -> None:
    """Even one, even at a position that the digest does not look at; and no NaN is recorded."""
    outputs = _right()
    outputs[1][0, 7] = bad
    assert _refused(_infer(outputs)) == ["outputs_finite"]
    outputs[1][0, 5] = bad
    digest, checks = gate.examine(Answers(outputs), builders.case(), _samples(), EXPECTED)
    assert "outputs_match_reference" in _refused(checks)
    assert digest == ()


def test_truncated_outputs_are_refused() -> None:
    """Positions beyond the end of what came back do not match anything."""
    outputs = {b: x[:, :3] for b, x in _right().items()}
    assert "outputs_match_reference" in _refused(_infer(outputs))


def test_without_a_reference_the_rule_says_why_it_was_not_applied() -> None:
    """Not passed, not failed."""
    absent = Absent(reason="no reference for this batch")
    _, checks = gate.examine(Answers(_right()), builders.case(), _samples(), absent)
    assert (checks[1].passed, checks[1].detail) == (None, "no reference for this batch")


@pytest.mark.parametrize(
    ("first", "last", "refused"),
    [
        (2.0, 1.5, []),
        (2.0, 2.0, ["loss_falls"]),
        (2.0, 2.5, ["loss_falls"]),
        (2.1, 1.5, ["first_loss_matches_reference"]),
        (2.0, math.nan, ["loss_finite", "loss_falls"]),
    ],
)
def test_training_rules(first: float, last: float, refused: list[str]) -> None:
    """The first loss is the reference's, the last one lower, and both are numbers."""
    assert _refused(_train(first, last)) == refused


@pytest.mark.parametrize(("duration_s", "passed"), [(1e-3, True), (1e-7, False)])
def test_no_result_beats_the_devices_peak(duration_s: float, passed: bool) -> None:
    """1 MFLOP in 0.1 us is 10 TFLOP/s, on a device of 1."""
    values = [Value(start_s=0, duration_s=duration_s, n_samples=1)]
    assert gate.flops_check(builders.case(), values, 1e6, builders.CPU).passed is passed


@pytest.mark.parametrize(("device_s", "passed"), [(1.01, True), (0.9, False), (None, None)])
def test_clocks_agree_within_two_percent(device_s: float | None, passed: bool | None) -> None:
    """Where there are two clocks."""
    values = [Value(start_s=0, duration_s=1.0, n_samples=1, device_s=device_s)]
    assert gate.clocks_check(values).passed is passed


def test_fewer_parameters_than_stated_are_refused() -> None:
    """A model with a layer missing has another number of them."""
    assert gate.parameters_check(10, builders.WORKLOAD).passed is True
    assert gate.parameters_check(9, builders.WORKLOAD).passed is False
    assert gate.parameters_check(None, builders.WORKLOAD).passed is False
