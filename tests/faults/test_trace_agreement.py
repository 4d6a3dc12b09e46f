"""One trace file, two devices: a scripted one in Python, and C below the real NVIDIA binding.

Both are measured by the same code on the same virtual clock. What they say must be the same, since
everything that could differ (struct layouts, units, the adapter) is what this test is about.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dlbench.core import trial_energy
from dlbench.core.energy import Sensor
from dlbench.core.types import Absent
from tests.energy.scripted import World
from tests.energy.traces import FOLDER, read
from tests.nvml import replaying

WINDOW_S = 10.0
N_WINDOWS = 2

PROGRAM = """
import ctypes, json, sys
sys.path.insert(0, sys.argv[2])
from dlbench.core import trial_energy
from dlbench.core.energy import Sensor
from dlbench.devices import nvidia
from tests.energy.scripted import World
from tests.energy.traces import read
from pathlib import Path

trace = read(Path(sys.argv[1]))
(device,) = nvidia.find()
(meter,) = nvidia.meters(device)
import pynvml
lib = pynvml.nvmlLib
lib.replay_set_clock.argtypes = [ctypes.c_double]
lib.replay_set_load.argtypes = [ctypes.c_int, ctypes.c_double]


class Replayed(World):
    def quantity(self, name, t_s):
        lib.replay_set_clock(t_s)
        return next(r.value for r in meter.read() if r.quantity == name)

    def sensor_w(self, t_s):
        return self.quantity("power_w", t_s)

    def counter_j(self, t_s):
        return self.quantity("energy_counter_j", t_s)

    def set_load(self, on, t_s):
        lib.replay_set_load(int(on), t_s)
        self.trace.set_load(on, t_s)


world = Replayed(trace=trace)
record = world.measure(float(sys.argv[3]), int(sys.argv[4]))
world.sleep(1.5)
found = trial_energy.evaluate(record.readings, record.windows, record.values,
    {"nvml": world.power}, Sensor(averaging_s=trace.average_s))
integral = trial_energy.evaluate((), record.windows, record.values,
    {"nvml": world.power}, Sensor(averaging_s=trace.average_s))
json.dump({
    "gross_j": [w.gross_j for w in found.windows], "net_j": [w.net_j for w in found.windows],
    "uncertainty_j": [w.uncertainty_j for w in found.windows],
    "integral_j": [w.gross_j for w in integral.windows],
    "true_j": world.truth_j, "idle_w": found.idle_w, "power": world.power}, sys.stdout)
"""


def _replayed(path: Path, library: Path, folder: Path) -> dict[str, Any]:
    scenario = folder / "scenario.txt"
    scenario.write_text(f"clock manual\n{replaying.A100.replace('base_mj 7000', 'base_mj 0')}\n")
    with scenario.open("a") as file:
        file.write(f"trace {path}\n")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), str(root), str(WINDOW_S), str(N_WINDOWS)],
        env={
            **os.environ,
            "DLBENCH_NVML_REPLAY": str(scenario),
            "DLBENCH_NVML_LIBRARY": str(library),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.trace")), ids=lambda p: p.stem)
def test_scripted_and_replayed_devices_agree(path: Path, library: Path, tmp_path: Path) -> None:
    """Joules to a millijoule of rounding each way, every power reading to a milliwatt."""
    trace = read(path)
    world = World(trace=trace)
    record = world.measure(WINDOW_S, N_WINDOWS)
    world.sleep(1.5)
    sensor = Sensor(averaging_s=trace.average_s)
    found = trial_energy.evaluate(
        record.readings, record.windows, record.values, {"s": world.power}, sensor
    )
    integral = trial_energy.evaluate((), record.windows, record.values, {"s": world.power}, sensor)
    assert not isinstance(found, Absent)
    assert not isinstance(integral, Absent)
    answer = _replayed(path, library, tmp_path)
    assert answer["true_j"] == pytest.approx(world.truth_j, abs=1e-6)
    assert answer["gross_j"] == pytest.approx([w.gross_j for w in found.windows], abs=5e-3)
    assert answer["net_j"] == pytest.approx([w.net_j for w in found.windows], abs=2e-2)
    assert answer["integral_j"] == pytest.approx([w.gross_j for w in integral.windows], abs=2e-2)
    assert answer["idle_w"] == pytest.approx(found.idle_w, abs=2e-3)
    assert [w for _, w in answer["power"]] == pytest.approx([w for _, w in world.power], abs=1e-3)
    for gross_j, error_j, true_j in zip(
        answer["gross_j"], answer["uncertainty_j"], world.truth_j, strict=True
    ):
        assert abs(gross_j - true_j) <= error_j
