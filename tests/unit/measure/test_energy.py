"""Energy windows around work whose steps are long: a counter that wraps is followed meanwhile."""

from __future__ import annotations

import functools
import threading
from pathlib import Path

import pytest

from dlbench.core.types import Absent, Value
from dlbench.devices._rapl import RaplMeter
from dlbench.measure import energy
from tests import waiting

RANGE_UJ = 65_532_610_987
"""Of most processors: over in half a minute at the most that any package draws."""


class _Processor:
    """A powercap tree, and a clock that goes by tenths of a millisecond and by what the work adds."""

    def __init__(self, root: Path) -> None:
        zone = root / "intel-rapl:0"
        zone.mkdir()
        (zone / "name").write_text("package-0\n")
        (zone / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
        self.file = zone / "energy_uj"
        self.now_s = 0.0
        self.n_asked = 0
        self.lock = threading.Lock()
        self.clock()

    def clock(self) -> float:
        with self.lock:
            self.n_asked += 1
            self.now_s += 1e-4
            self.file.write_text(f"{int(self.now_s * 100e6) % RANGE_UJ}\n")
            return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def has_been_asked(self, before: int) -> bool:
        return self.n_asked > before

    def step(self, _seconds: float) -> Value:
        """One step of two minutes, in which others may read the counter every ten seconds."""
        start_s = self.now_s
        for _ in range(12):
            with self.lock:
                self.now_s += 10.0
                asked = self.n_asked
            waiting.until(functools.partial(self.has_been_asked, asked))
        return Value(start_s=start_s, duration_s=self.now_s - start_s, n_samples=1)


def test_a_step_of_minutes_on_a_processor_has_its_energy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counter was read at the window's ends alone, and could have wrapped twice between them."""
    monkeypatch.setattr(energy, "FOLLOW_S", 0.001)
    world = _Processor(tmp_path)
    plan = energy.EnergyPlan(window_s=5.0, n_windows=1, idle_s=0.5)
    meter = RaplMeter(tmp_path, clock=world.clock)
    record = energy.measure(plan, world.step, [meter], world.clock, world.sleep)
    first, last = record.readings[0], record.readings[-1]
    assert not isinstance(first.value, Absent)
    assert not isinstance(last.value, Absent)
    assert last.t_s - first.t_s > 120
    assert last.value - first.value == pytest.approx(100 * (last.t_s - first.t_s), rel=1e-3)
