"""A GPU's trial with the host's RAPL beside it, by simulation: both named, and never summed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dlbench.core import telemetry
from dlbench.core.types import TelemetryLevel, Window
from dlbench.devices import cpu
from dlbench.telemetry.sampler import Sampler
from tests import builders, waiting
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
        "window_s": trial.energy[0].duration_s,
        "metrics": {n: asdict(metrics.compute(n, result, done.run)) for n in names},
    },
    sys.stdout,
    default=str,
)
"""


@contextmanager
def _rising(files: Sequence[Path], a_second: float) -> Iterator[list[float]]:
    """Files whose number rises by so much a second, as they say a hundred times in each.

    Yields how old they were each time that they were written anew: what a busy machine makes of a
    hundredth, and so by how much they may lag.
    """
    done, start_s = threading.Event(), time.monotonic()
    ages_s: list[float] = []

    def write(before_s: float) -> float:
        now_s = time.monotonic()
        for file in files:
            # Renamed into its place: the kernel's file is never seen half written.
            new = file.with_suffix(".new")
            new.write_text(f"{int(a_second * (now_s - start_s))}\n")
            new.rename(file)
        ages_s.append(time.monotonic() - before_s)
        return now_s

    def rise() -> None:
        written_s = start_s
        while not done.wait(0.01):
            written_s = write(written_s)

    write(start_s)
    thread = threading.Thread(target=rise)
    thread.start()
    try:
        yield ages_s
    finally:
        done.set()
        thread.join()


def _package(root: Path) -> Path:
    """A package's counter of energy, which is still to be written."""
    zone = root / "intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("262143328850\n")
    return zone / "energy_uj"


def _run(kind: str, folder: Path, **variables: Path | str) -> dict[str, Any]:
    found = replaying.run(PROGRAM, kind, str(folder), **variables)
    assert found["outcome"] == "ok", found
    return found


@pytest.fixture
def gpu(library: Path, tmp_path: Path) -> dict[str, Path]:
    """A replayed A100 of 250 W, whose counter moves each 100 ms."""
    scenario = tmp_path / "scenario.txt"
    scenario.write_text(f"clock real\n{replaying.A100} period_ms 100\n")
    return {"DLBENCH_NVML_LIBRARY": library, "DLBENCH_NVML_REPLAY": scenario}


def test_both_energies_are_recorded_and_neither_holds_the_other(
    gpu: dict[str, Path], tmp_path: Path
) -> None:
    """250 W of the GPU and 40 W of the host, each by its name."""
    powercap = tmp_path / "powercap"
    with _rising([_package(powercap)], PACKAGE_W * 1e6) as ages_s:
        found = _run("nvidia", tmp_path, DLBENCH_POWERCAP_ROOT=powercap, **gpu)
    assert {"nvml:nvidia:0", "host_rapl:package-0", "host"} <= set(found["sources"])
    values, per_sample_s = found["metrics"], found["per_sample_s"]
    assert values["energy_j_per_sample"]["value"] == pytest.approx(GPU_W * per_sample_s, rel=0.03)
    assert values["mean_power_w"]["value"] == pytest.approx(GPU_W, rel=0.03)
    host, wanted = values["host_energy_j_per_sample"], PACKAGE_W * per_sample_s
    # At each edge of the window the file is at most so old; the rest is between two readings.
    lag = max(ages_s) / found["window_s"]
    assert host["interval"]["low"] * (1 - lag) < wanted < host["interval"]["high"] * (1 + lag)
    assert host["value"] == pytest.approx(wanted, rel=0.03 + lag)


def test_a_host_without_rapl_is_said_once_and_the_gpu_is_measured(
    gpu: dict[str, Path], tmp_path: Path
) -> None:
    """A virtual machine with a GPU: one read of RAPL, its reason, and the GPU's joules."""
    found = _run("nvidia", tmp_path, DLBENCH_POWERCAP_ROOT=tmp_path / "none", **gpu)
    assert found["reads"]["host_rapl"] == 1
    assert found["reads"]["nvml:nvidia:0"] > 1
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
    waiting.until(lambda: _written(sampler).count('["host"') > 3)
    recording = sampler.stop()
    reads = {t.source: len(t.t_us) for t in recording.tracks}
    assert (reads["rapl"], reads["thermal"]) == (1, 1)
    assert reads["host"] > 3
    codes = {c.absent.code for t in recording.tracks for c in t.columns if c.absent is not None}
    assert {"no_rapl", "no_sensor"} <= codes
    assert recording.lost is None


def _written(sampler: Sampler) -> str:
    """What it wrote so far; where it writes next is not moved by looking."""
    assert sampler._lines is not None
    return os.pread(sampler._lines.fileno(), 1 << 20, 0).decode()


def test_a_hot_processor_flags_its_trials(tmp_path: Path) -> None:
    """Heat that rises with the clock, as the sampler of a CPU reads it from a fake tree."""
    cpus = test_thermal.tree(tmp_path / "cpus")
    heated = sorted(cpus.glob(f"cpu*/{test_thermal.PACKAGE}"))
    with pytest.MonkeyPatch.context() as patch, _rising(heated, 500.0) as ages_s:
        patch.setenv("DLBENCH_CPUS_ROOT", str(cpus))
        patch.setenv("DLBENCH_POWERCAP_ROOT", str(tmp_path / "none"))
        sampler = Sampler(cpu.describe(), TelemetryLevel.BASIC)
        sampler.start(os.getpid())
        waiting.until(lambda: sampler.has_read)
        work_s = time.monotonic()
        waiting.until(lambda: _written(sampler).count('["thermal"') > 8)
        end_s = time.monotonic()
        recording = sampler.stop()
    steady = Window(name="steady", start_s=work_s, end_s=end_s)
    trial = builders.trial(builders.case(), 0, windows=(steady,), tracks=recording.tracks)
    share = telemetry.throttled_share(trial)
    assert isinstance(share, telemetry.Held)
    assert share.least == pytest.approx(0.5, abs=0.05 + max(ages_s) / (end_s - work_s))
    assert "throttled" in telemetry.flags(trial)
