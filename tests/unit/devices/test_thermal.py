"""Heat and clocks of the processor from a fake tree: cumulative, or absent with its reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dlbench.core.reasons import Reason
from dlbench.core.types import Absent
from dlbench.devices import cpu
from dlbench.devices._thermal import ThermalMeter

CORE = "thermal_throttle/core_throttle_total_time_ms"
PACKAGE = "thermal_throttle/package_throttle_total_time_ms"


def tree(root: Path, n_cpus: int = 4, n_packages: int = 2) -> Path:
    """Processors in turns on each package: 100 ms of heat by core, 250 ms by package, 2.1 GHz."""
    for i in range(n_cpus):
        files = {
            CORE: "100",
            PACKAGE: "250",
            "topology/physical_package_id": str(i % n_packages),
            "cpufreq/scaling_cur_freq": "2100000",
        }
        for name, text in files.items():
            file = root / f"cpu{i}" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{text}\n")
    (root / "cpufreq").mkdir()
    return root


def _values(meter: ThermalMeter) -> dict[str, float | Absent]:
    return {r.quantity: r.value for r in meter.read()}


def test_packages_are_read_once_each_and_cores_as_a_mean(tmp_path: Path) -> None:
    """All processors of a package show its one counter; a core that was hotter counts by its part."""
    root = tree(tmp_path)
    (root / "cpu3" / CORE).write_text("500\n")
    (root / "cpu2" / "cpufreq/scaling_cur_freq").write_text("3000000\n")
    assert _values(ThermalMeter(root)) == {
        "throttled_cores_s": 0.2,
        "throttled_package_0_s": 0.25,
        "throttled_package_1_s": 0.25,
        "core_clock_mhz": 3000.0,
    }


def test_cores_are_asked_once_a_second_and_packages_each_time(tmp_path: Path) -> None:
    """What is late by a second of the cores is nothing of the packages."""
    root = tree(tmp_path)
    times_s = iter((10.0, 10.5, 11.0))
    meter = ThermalMeter(root, clock=lambda: next(times_s))
    meter.read()
    for i in range(4):
        (root / f"cpu{i}" / CORE).write_text("900\n")
        (root / f"cpu{i}" / PACKAGE).write_text("900\n")
    soon, later = _values(meter), _values(meter)
    assert (soon["throttled_cores_s"], soon["throttled_package_0_s"]) == (0.1, 0.9)
    assert later["throttled_cores_s"] == 0.9


def test_a_machine_that_counts_no_heat_says_so(tmp_path: Path) -> None:
    """A virtual machine: one reading for each, with the same names at every read."""
    shutil.rmtree(tree(tmp_path) / "cpu0" / "cpufreq")
    for i in range(4):
        shutil.rmtree(tmp_path / f"cpu{i}" / "thermal_throttle")
        shutil.rmtree(tmp_path / f"cpu{i}" / "cpufreq", ignore_errors=True)
    found = _values(ThermalMeter(tmp_path))
    assert list(found) == ["throttled_cores_s", "core_clock_mhz"]
    for value in found.values():
        assert isinstance(value, Absent)
        assert value.code == Reason.NO_SENSOR


@pytest.mark.parametrize("text", ["hot", "", "1.5"])
def test_a_counter_that_cannot_be_read_is_absent(tmp_path: Path, text: str) -> None:
    """Never 0, and the other quantities stay."""
    root = tree(tmp_path)
    (root / "cpu0" / PACKAGE).write_text(text)
    found = _values(ThermalMeter(root))
    assert isinstance(found["throttled_package_0_s"], Absent)
    assert found["throttled_package_1_s"] == 0.25


def test_energy_windows_poll_rapl_alone() -> None:
    """A thousand times a second: no temperature is asked for then."""
    device = cpu.describe()
    assert [type(m).__name__ for m in cpu.meters(device)] == ["RaplMeter", "ThermalMeter"]
    assert [type(m).__name__ for m in cpu.energy_meters(device)] == ["RaplMeter"]
