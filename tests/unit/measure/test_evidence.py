"""What the gate asks of a subject: the burst that finds work left over, and the exchange of inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlbench.core.types import Absent, Mode, Scenario
from dlbench.measure import evidence
from dlbench.measure.sampler import Samples
from tests import builders
from tests.unit.measure.clockwork import Clock, Clockwork

STEP_S = 0.005


class Time:
    """Stands in for the module ``time``: moves when somebody works, and a little when it is read."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def perf_counter(self) -> float:
        self.now_s += 1e-6
        return self.now_s


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    """The gate's clock."""
    found = Time()
    monkeypatch.setattr(evidence, "time", found)
    monkeypatch.setattr(Working, "time", found)
    return found


class Working(Clockwork):
    """Work takes time where somebody waits for it; buffers hold whose inputs they are told."""

    time = Time()

    def __init__(self, *, honest: bool = True) -> None:
        super().__init__(Clock(), lambda _: 0.0)
        self.honest = honest
        self.left_s = 0.0
        self.contents = [0, 1, 2, 3]

    def query(self, buffer: int) -> object:
        self.left_s += STEP_S
        return (self.contents[buffer], len(self.buffers))

    step = query

    def synchronize(self) -> None:
        if self.honest:
            self._work()

    def fetch(self, handle: object) -> np.ndarray[Any, Any]:
        self._work()
        return super().fetch(handle)

    def copy_inputs(self, source: int, target: int) -> None:
        self.contents[target] = self.contents[source]

    def _work(self) -> None:
        self.time.now_s += self.left_s
        self.left_s = 0.0


def _quietly() -> None:
    """Nobody listens."""


def _untold(phase: str, n_values: int, per_sample_s: float | None) -> None:
    """Nobody listens."""


def _samples(**changes: Any) -> Samples:
    base: dict[str, Any] = {
        "first_step_s": 1.0,
        "warm_up": (),
        "values": (),
        "queries_s": (),
        "windows": (),
        "steps_per_value": 1,
        "steady": True,
        "first_loss": (5, 0),
        "last_loss": (4, 9),
        "last_output": (2, 9),
        "last_buffer": 2,
    }
    return Samples(**{**base, **changes})


def _stated(**changes: Any) -> evidence.Stated:
    return evidence.Stated(
        case=builders.case(**changes),
        device=builders.CPU,
        workload=builders.WORKLOAD,
        expected=Absent(reason="not needed"),
        seeded=lambda buffer: (np.full((1, 3), float(buffer)),),
        distinct_samples=64,
    )


@pytest.mark.parametrize(("honest", "least", "most"), [(True, 0.0, 0.001), (False, 0.99, 1.0)])
def test_work_left_over_shows_in_the_first_fetch(honest: bool, least: float, most: float) -> None:
    """All of a burst, or nothing of it."""
    subject = Working(honest=honest)
    share, handle = evidence.late_share(subject, lambda: subject.query(1), _quietly)
    assert least <= share <= most
    assert handle == (1, 0)


def test_an_honest_subject_is_asked_for_one_step() -> None:
    """The burst grows only while work seems to be left over."""
    steps: list[int] = []
    subject = Working()

    def begin() -> object:
        steps.append(1)
        return subject.query(0)

    evidence.late_share(subject, begin, _quietly)
    assert len(steps) == 1
    subject.honest = False
    evidence.late_share(subject, begin, _quietly)
    assert len(steps) == 1 + sum(evidence.BURSTS)


def test_inference_brings_outputs_of_every_buffer_and_of_exchanged_inputs() -> None:
    """The last timed output is not computed again; buffer 2 is asked with those of the farthest."""
    found = evidence.gather(Working(), _samples(), _stated(), (2.5, 2.6), _untold)
    assert [x[0, 0] for x in found.outputs.values()] == [0.0, 10.0, 20.0, 30.0]
    assert (found.source, found.target) == (0, 2)
    assert found.exchanged is not None
    assert found.exchanged[0, 0] == 0.0
    assert found.steady_clocks_s == (2.5, 2.6)
    assert found.losses == ()


def test_training_brings_first_and_last_loss() -> None:
    """And nothing of inference."""
    stated = _stated(mode=Mode.TRAINING, scenario=None)
    found = evidence.gather(Working(), _samples(), stated, None, _untold)
    assert found.losses == (53.5, 43.5)
    assert (found.outputs, found.exchanged) == ({}, None)


def test_a_loaders_batch_is_not_looked_at() -> None:
    """Its buffer lies beyond the seeded ones: the first of those stands in."""
    found = evidence.gather(Working(), _samples(last_buffer=4), _stated(), None, _untold)
    assert (found.timed, found.target, found.source) == (0, 0, 3)
    assert list(found.outputs) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("mode", "honest", "most_steps"),
    [(Mode.TRAINING, True, 1), (Mode.TRAINING, False, 16), (Mode.INFERENCE, True, 1)],
)
def test_no_two_slow_steps_pass_without_a_sign_of_life(
    mode: Mode, honest: bool, most_steps: int
) -> None:
    """Steps alone are told one by one, bursts one by one: a deadline is ten first steps."""
    told: list[tuple[str, int]] = []
    spans: list[int] = []

    class Counted(Working):
        n = 0

        def query(self, buffer: int) -> object:
            self.n += 1
            return super().query(buffer)

        step = query

    subject = Counted(honest=honest)

    def progress(phase: str, n_values: int, per_sample_s: float | None) -> None:
        assert per_sample_s is None
        told.append((phase, n_values))
        spans.append(subject.n - sum(spans))

    scenario = Scenario.OFFLINE if mode is Mode.INFERENCE else None
    # The last loss is not below the first, so that steps alone are asked for.
    samples = _samples(last_loss=(5, 9))
    found = evidence.gather(subject, samples, _stated(mode=mode, scenario=scenario), None, progress)
    assert len(found.alone) == (evidence.STEPS_ALONE if mode is Mode.TRAINING else 0)
    assert set(told) == {("gate", 1)}
    assert max([*spans, subject.n - sum(spans)]) == most_steps
