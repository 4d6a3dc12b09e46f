"""A GPU's trial with the host's RAPL beside it, by simulation: both named, and never summed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dlbench.core import telemetry
from dlbench.core.types import TelemetryLevel, Window
from dlbench.devices import cpu
from dlbench.telemetry.sampler import Sampler
from tests import builders
from tests.nvml import replaying
from tests.unit.devices import test_thermal

GPU_W = 250.0
PACKAGE_W = 40.0

PROGRAM = """
import json, sys
from dataclasses import asdict, replace
from pathlib import Path
from dlbench import environment, session
from dlbench.core import metrics, registry
from dlbench.core.types import TelemetryLevel
from tests import sessions

kind, folder = sys.argv[1], Path(sys.argv[2])
devices = registry.device_kind(kind).find()
case = replace(sessions.fake_case(), device=devices[0].id)
planned = replace(
    sessions.plan([case], telemetry=TelemetryLevel.BASIC),
    profile=replace(sessions.PROFILE, energy_windows=1, energy_window_s=1.5, energy_idle_s=0.3),
)
done = session.run_plan(
    planned, environment.gather(devices, ["fake"]), devices, session.Settings(folder=folder)
)
(result,) = done.run.results
(trial,) = result.trials
names = ("energy_j_per_sample", "host_energy_j_per_sample", "mean_power_w", "throttled_share")
json.dump(
    {
        "outcome": str(trial.outcome),
        "flags": list(trial.flags),
        "sources": sorted({t.source for t in trial.tracks}),
        "reads": {t.source: len(t.t_us) for t in trial.tracks},
        "per_sample_s": trial.energy[0].duration_s / trial.energy[0].n_samples,
        "metrics": {n: asdict(metrics.compute(n, result, done.run)) for n in names},
    },
    sys.stdout,
    default=str,
)
"""


@contextmanager
def _counting(root: Path) -> Iterator[None]:
    """A package that draws 40 W, as its counter's file says a hundred times a second."""
    zone = root / "intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("262143328850\n")
    done, start_s = threading.Event(), time.monotonic()

    def write() -> None:
        # Renamed into its place: the kernel's file is never seen half written.
        (zone / "next").write_text(f"{int(PACKAGE_W * (time.monotonic() - start_s) * 1e6)}\n")
        (zone / "next").rename(zone / "energy_uj")

    def count() -> None:
        while not done.wait(0.01):
            write()

    write()
    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _run(kind: str, folder: Path, **variables: Path | str) -> dict[str, Any]:
    found = replaying.run(PROGRAM, kind, str(folder), **variables)
    assert found["outcome"] == "ok", found
    return found


@pytest.fixture
def gpu(tmp_path: Path) -> dict[str, Path]:
    """A replayed A100 of 250 W, whose counter moves each 100 ms."""
    scenario = tmp_path / "scenario.txt"
    scenario.write_text(f"clock real\n{replaying.A100} period_ms 100\n")
    return {
        "DLBENCH_NVML_LIBRARY": replaying.build(tmp_path),
        "DLBENCH_NVML_REPLAY": scenario,
    }


def test_both_energies_are_recorded_and_neither_holds_the_other(
    gpu: dict[str, Path], tmp_path: Path
) -> None:
    """250 W of the GPU and 40 W of the host, each by its name."""
    powercap = tmp_path / "powercap"
    with _counting(powercap):
        found = _run("nvidia", tmp_path, DLBENCH_POWERCAP_ROOT=powercap, **gpu)
    assert {"nvml:nvidia:0", "host_rapl:package-0", "host"} <= set(found["sources"])
    values, per_sample_s = found["metrics"], found["per_sample_s"]
    assert values["energy_j_per_sample"]["value"] == pytest.approx(GPU_W * per_sample_s, rel=0.03)
    assert values["mean_power_w"]["value"] == pytest.approx(GPU_W, rel=0.03)
    host = values["host_energy_j_per_sample"]
    assert host["interval"]["low"] < PACKAGE_W * per_sample_s < host["interval"]["high"]
    assert host["value"] == pytest.approx(PACKAGE_W * per_sample_s, rel=0.05)


def test_a_host_without_rapl_is_said_once_and_the_gpu_is_measured(
    gpu: dict[str, Path], tmp_path: Path
) -> None:
    """A virtual machine with a GPU: one read of RAPL, its reason, and the GPU's joules."""
    found = _run("nvidia", tmp_path, DLBENCH_POWERCAP_ROOT=tmp_path / "none", **gpu)
    assert found["reads"]["host_rapl"] == 1
    assert found["reads"]["nvml:nvidia:0"] > 10
    assert found["metrics"]["host_energy_j_per_sample"]["code"] == "no_rapl"
    assert "value" in found["metrics"]["energy_j_per_sample"]
    assert "telemetry_lost" not in found["flags"]


def test_a_malformed_powercap_tree_beside_a_gpu_is_named(
    gpu: dict[str, Path], tmp_path: Path
) -> None:
    """The run completes, the GPU is measured, and the host's energy is absent with its own reason."""
    zone = tmp_path / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    for name, text in (("name", "package-0"), ("energy_uj", "lots"), ("max_energy_range_uj", "9")):
        (zone / name).write_text(text)
    found = _run("nvidia", tmp_path, DLBENCH_POWERCAP_ROOT=tmp_path / "powercap", **gpu)
    assert found["metrics"]["host_energy_j_per_sample"]["code"] == "rapl_malformed"
    assert "value" in found["metrics"]["energy_j_per_sample"]


def test_what_a_virtual_machine_lacks_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No RAPL and no counters of heat: their reasons stand in the recording, and cost nothing more."""
    monkeypatch.setenv("DLBENCH_CPUS_ROOT", str(tmp_path / "none"))
    monkeypatch.setenv("DLBENCH_POWERCAP_ROOT", str(tmp_path / "none"))
    sampler = Sampler(cpu.describe(), TelemetryLevel.BASIC)
    sampler.start(os.getpid())
    until_s = time.monotonic() + 10.0
    while not sampler.has_read and time.monotonic() < until_s:
        time.sleep(0.01)
    time.sleep(1.0)
    recording = sampler.stop()
    reads = {t.source: len(t.t_us) for t in recording.tracks}
    assert (reads["rapl"], reads["thermal"]) == (1, 1)
    assert reads["host"] > 3
    codes = {c.absent.code for t in recording.tracks for c in t.columns if c.absent is not None}
    assert {"no_rapl", "no_sensor"} <= codes
    assert recording.lost is None


def test_a_hot_processor_flags_its_trials(tmp_path: Path) -> None:
    """Heat that rises with the clock, as the sampler of a CPU reads it from a fake tree."""
    cpus = test_thermal.tree(tmp_path / "cpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLBENCH_CPUS_ROOT", str(cpus))
        patch.setenv("DLBENCH_POWERCAP_ROOT", str(tmp_path / "none"))
        sampler = Sampler(cpu.describe(), TelemetryLevel.BASIC)
        sampler.start(os.getpid())
        start_s = time.monotonic()
        until_s = start_s + 10.0
        while not sampler.has_read and time.monotonic() < until_s:
            time.sleep(0.01)
        work_s = time.monotonic()
        for ms in range(250, 850, 50):
            for file in cpus.glob(f"cpu*/{test_thermal.PACKAGE}"):
                file.write_text(f"{ms}\n")
            time.sleep(0.1)
        end_s = time.monotonic()
        recording = sampler.stop()
    steady = Window(name="steady", start_s=work_s, end_s=end_s)
    trial = builders.trial(builders.case(), 0, windows=(steady,), tracks=recording.tracks)
    share = telemetry.throttled_share(trial)
    assert isinstance(share, tuple)
    assert share[0] == pytest.approx(0.5, abs=0.15)
    assert "throttled" in telemetry.flags(trial)
