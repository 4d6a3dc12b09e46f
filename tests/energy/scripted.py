"""A device on a virtual clock: its meter, its load and a sampler beside it. Hours take milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dlbench.core.trial_energy import COUNTER
from dlbench.core.types import Absent, Reading, Value
from dlbench.measure import energy as measuring
from dlbench.measure import schedule
from tests.energy.traces import Trace

SOURCE = "scripted"


@dataclass(slots=True, kw_only=True)
class World:
    """Time moves by sleeping, working and reading only; a power sample is taken at each tenth."""

    trace: Trace
    now_s: float = 0.0
    read_s: float = 20e-6
    sample_every_s: float = 0.1
    fails: dict[int, Absent] = field(default_factory=dict)
    power: list[tuple[float, float]] = field(default_factory=list)
    truth_j: list[float] = field(default_factory=list)
    n_reads: int = 0
    seed: int = 0
    _next_sample_s: float = 0.0
    _n_samples: int = 0

    def clock(self) -> float:
        """Seconds since the world began."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Time passes."""
        end_s = self.now_s + seconds
        while self._next_sample_s <= end_s:
            t_s = self._next_sample_s
            self.power.append((t_s, self.sensor_w(t_s)))
            self._n_samples += 1
            self._next_sample_s = schedule.due_s(self.seed + self._n_samples, self.sample_every_s)
            self._next_sample_s -= self.seed * self.sample_every_s
        self.now_s = end_s

    def sensor_w(self, t_s: float) -> float:
        """What the power sensor shows."""
        return self.trace.sensor_w(t_s)

    def counter_j(self, t_s: float) -> float | Absent:
        """What the energy counter shows."""
        return self.trace.counter_j(t_s)

    def set_load(self, on: bool, t_s: float) -> None:
        """Load begins or ends."""
        self.trace.set_load(on, t_s)

    def work(self, seconds: float) -> Value:
        """A load of that many seconds, one sample each millisecond; its true energy is kept."""
        start_s = self.now_s
        # Ended in the trace before time passes, so that samples at the end see the end.
        self.set_load(True, start_s)
        self.set_load(False, start_s + seconds)
        self.sleep(seconds)
        self.truth_j.append(self.trace.energy_j(self.now_s) - self.trace.energy_j(start_s))
        return Value(
            start_s=start_s, duration_s=self.now_s - start_s, n_samples=round(seconds * 1000)
        )

    def read(self) -> Sequence[Reading]:
        """The counter now: this world is its own meter."""
        self.n_reads += 1
        self.sleep(self.read_s)
        value = self.counter_j(self.now_s)
        for first, absent in self.fails.items():
            if self.n_reads >= first:
                value = absent
        return (Reading(t_s=self.now_s, source=SOURCE, quantity=COUNTER, value=value),)

    def measure(
        self, window_s: float, n_windows: int = 1, idle_s: float = 1.0, settle_s: float = 1.1
    ) -> measuring.EnergyRecord:
        """The energy phase of a trial, as the worker does it."""
        plan = measuring.EnergyPlan(
            window_s=window_s, n_windows=n_windows, idle_s=idle_s, settle_s=settle_s
        )
        return measuring.measure(plan, self.work, [self], clock=self.clock, sleep=self.sleep)
