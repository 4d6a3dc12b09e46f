"""Zeus, CodeCarbon and dlbench on the same replayed GPU: joules reported, joules true.

    python benchmarks/energy_tools.py [--python /path/to/python/with/zeus/and/codecarbon]

Each tool reads the same traces through the real nvidia-ml-py, from a C library in the driver's place,
in a process of its own. The library knows the closed form, so the true joules of each span are known.
A tool that is not installed is said to be absent: pip install zeus codecarbon.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.nvml import replaying  # noqa: E402 - the replay library lies beside us

TRACE = "idle 60000\nload {load}\nperiod {period}\nphase 37\n"

GPU = replaying.A100.replace("base_mj 7000", "base_mj 1000000") + " arch 7 width 16"
NO_COUNTER = GPU.replace(" base_mj 1000000", "")
NEITHER = NO_COUNTER.replace(" power_mw 250000", "")
TOTAL, USAGE = "nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetPowerUsage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One thing that may happen: a GPU, what its library does wrong, a load and how long it lasts."""

    name: str
    gpu: str = GPU
    faults: str = ""
    load: str = "constant 250000"
    period_ms: int = 100
    window_s: float = 3.0


SCENES = (
    Scene(name="constant, 3 s", window_s=3.0),
    Scene(name="bursts, 0.5 s", load="bursts 80000 350000 300 60", window_s=0.5),
    Scene(name="square, 1 s", load="square 100000 400000 400", window_s=1.0),
    Scene(name="no counter, 6 s", gpu=f"{NO_COUNTER} instant_mw 1", window_s=6.0),
    Scene(name="neither counter nor power", gpu=NEITHER),
    Scene(
        name="GPU lost in mid-run",
        faults=f"after {TOTAL} * 1500 15\nafter {USAGE} * 1500 15\nafter field186 * 1500 15",
    ),
    Scene(name="frozen counter", period_ms=10**9),
    Scene(name="counter reset in mid-run", faults="reset 1500"),
)

COMMON = """
import ctypes, json, os, sys, time
window_s = float(sys.argv[1])
lib = ctypes.CDLL(os.environ["DLBENCH_NVML_LIBRARY"])
import pynvml
pynvml.nvmlLib = lib
pynvml.nvmlInit()
for name in ("replay_now", "replay_true_j"):
    getattr(lib, name).restype = ctypes.c_double
lib.replay_set_load.argtypes = [ctypes.c_int, ctypes.c_double]
lib.replay_arm.argtypes = [ctypes.c_double]
true_j = []

def work(seconds):
    lib.replay_set_load(1, lib.replay_now())
    lib.replay_arm(lib.replay_now())
    before = lib.replay_true_j()
    time.sleep(seconds)
    true_j.append(lib.replay_true_j() - before)
    lib.replay_set_load(0, lib.replay_now())
    return 1

def say(joules, words=""):
    print(json.dumps({"joules": joules, "true": true_j[0] if true_j else None, "words": words}))
"""

ZEUS = """
import logging; logging.disable(logging.CRITICAL)
from zeus.monitor import ZeusMonitor
monitor = ZeusMonitor(gpu_indices=[0], cpu_indices=[])
monitor.begin_window("work", sync_execution=False)
work(window_s)
say(sum(monitor.end_window("work", sync_execution=False).gpu_energy.values()))
"""

CODECARBON = """
import logging; logging.disable(logging.CRITICAL)
from codecarbon import OfflineEmissionsTracker
tracker = OfflineEmissionsTracker(country_iso_code="USA", measure_power_secs=1, save_to_file=False,
    log_level="critical", allow_multiple_runs=True)
tracker.start()
work(window_s)
tracker.stop()
say(tracker._total_gpu_energy.kWh * 3.6e6)
"""

DLBENCH = """
sys.path.insert(0, sys.argv[2])
import threading
from dlbench.core import trial_energy
from dlbench.core.energy import Sensor
from dlbench.core.types import Absent, Value
from dlbench.devices import nvidia
from dlbench.measure import energy, schedule
(device,) = nvidia.find()
found = energy.find_meters(device)
meters = [m for m in nvidia.power_meters(device)]
power, over = [], threading.Event()

def sample():
    # The sampler's own schedule; a thread, since the load is told to this process's library only.
    start_s, n = time.monotonic(), 0
    every_s = schedule.SAMPLE_EVERY_S if found.counted else schedule.POWER_EVERY_S
    while not over.is_set():
        for reading in (r for m in meters for r in m.read()):
            if not isinstance(reading.value, Absent):
                power.append((reading.t_s, reading.value))
        n += 1
        over.wait(max(0.0, start_s + schedule.due_s(n, every_s) - time.monotonic()))

thread = threading.Thread(target=sample); thread.start()
plan = energy.EnergyPlan(window_s=window_s, n_windows=1, idle_s=0.5, settle_s=0.2)

def value(seconds):
    start_s = time.monotonic()
    n_samples = work(seconds)
    duration_s = time.monotonic() - start_s
    return Value(start_s=start_s, duration_s=duration_s, n_samples=n_samples)

record = energy.measure(plan, value, found.meters)
over.set(); thread.join()
by_source = {"power": power} if power else {}
answer = trial_energy.evaluate(record.readings, record.windows, record.values, by_source, Sensor())
if isinstance(answer, Absent):
    say(None, f"absent ({answer.code})")
else:
    say(answer.windows[0].gross_j, "suspect" if answer.suspect else "")
"""

TOOLS = {"zeus": ZEUS, "codecarbon": CODECARBON, "dlbench": DLBENCH}


def main() -> int:
    """Print a line a scene."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--python", default=sys.executable, help="has zeus and codecarbon")
    tools_python = parser.parse_args().python
    print(f"{'scene':<28}" + "".join(f"{tool:>34}" for tool in TOOLS))
    with tempfile.TemporaryDirectory() as folder:
        library = replaying.build(Path(folder))
        for scene in SCENES:
            cells = [
                _ask(scene, program, sys.executable if tool == "dlbench" else tools_python, library)
                for tool, program in TOOLS.items()
            ]
            print(f"{scene.name:<28}" + "".join(f"{cell:>34}" for cell in cells), flush=True)
    return 0


def _ask(scene: Scene, program: str, python: str, library: Path) -> str:
    """What a tool reports, against what is true; or why it reports nothing."""
    folder = library.parent
    (folder / "load.trace").write_text(TRACE.format(load=scene.load, period=scene.period_ms))
    (folder / "scene.txt").write_text(
        f"{scene.gpu}\ntrace {folder / 'load.trace'}\n{scene.faults}\n"
    )
    # CodeCarbon takes a machine for NVIDIA's if it has this program, which it does not ask anything.
    program_asked_for = folder / "nvidia-smi"
    program_asked_for.write_text("#!/bin/sh\nexit 0\n")
    program_asked_for.chmod(0o755)
    done = subprocess.run(
        [python, "-c", COMMON + program, str(scene.window_s), str(ROOT)],
        env={
            **os.environ,
            "DLBENCH_NVML_LIBRARY": str(library),
            "DLBENCH_NVML_REPLAY": str(folder / "scene.txt"),
            "LD_LIBRARY_PATH": str(folder),
            "PATH": f"{folder}:{os.environ['PATH']}",
            "CUDA_VISIBLE_DEVICES": "0",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        return "not installed" if "No module named" in last else f"fails: {last[:24]}"
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    true_j = answer["true"]
    if answer["joules"] is None:
        return f"{answer['words']} of {true_j:,.0f} J"
    error = answer["joules"] / true_j - 1
    return f"{answer['joules']:,.0f} of {true_j:,.0f} J ({error:+.1%}) {answer['words']}".strip()


if __name__ == "__main__":
    sys.exit(main())
