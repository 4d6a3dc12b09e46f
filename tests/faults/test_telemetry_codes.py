"""Each way in which a sensor is known to fail, with the one code it must have. No silent number."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dlbench.core.reasons import Reason
from dlbench.core.types import Absent
from dlbench.devices import _rapl
from tests.nvml import replaying
from tests.nvml.replaying import A100, H100, Answer

Ask = Callable[..., Answer]

NO_COUNTER = A100.replace(" base_mj 7000", "")
NO_POWER = A100.replace(" power_mw 250000", "")
NEITHER = NO_COUNTER.replace(" power_mw 250000", "")
MIG_BOARD = A100.replace(" mig 0", " mig 1")
SLICE = "slice name MIG uuid MIG-cccc0000 memory_mib 9728 used_mib 10 power_mw 250000 base_mj 7000"
TOTAL = "nvmlDeviceGetTotalEnergyConsumption"
USAGE = "nvmlDeviceGetPowerUsage"


# --- no device at all -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "code"),
    [
        (f"{A100}\nfail nvmlInitWithFlags * 1 9", Reason.DRIVER_NOT_LOADED),
        (f"{A100}\nfail nvmlInitWithFlags * 1 12", Reason.LIBRARY_MISSING),
        (f"{A100}\nfail nvmlInitWithFlags * 1 18", Reason.DRIVER_MISMATCH),
        (f"{A100}\nfail nvmlInitWithFlags * 1 4", Reason.NO_PERMISSION),
        (f"{A100}\nfail nvmlInitWithFlags * 1 999", Reason.NVML_ERROR),
        (f"{A100}\nmissing nvmlInitWithFlags", Reason.FUNCTION_MISSING),
        (f"{A100}\nfail nvmlDeviceGetCount_v2 * 1 1", Reason.UNINITIALISED),
        (f"{A100}\nfail nvmlDeviceGetHandleByIndex_v2 * 1 15", Reason.DEVICE_LOST),
        ("clock real", Reason.NO_DEVICE),
        (MIG_BOARD, Reason.NO_DEVICE),
    ],
)
def test_a_driver_that_gives_no_device(ask: Ask, scenario: str, code: Reason) -> None:
    """No exception and no empty list: the code."""
    answer = ask(scenario)
    assert answer.absent is not None
    assert answer.absent["code"] == code
    assert answer.absent["reason"]


@pytest.mark.parametrize("path", ["/nowhere/libnvidia-ml.so.1", "libnvidia-ml.so.1", "/etc/passwd"])
def test_a_named_library_that_is_none(ask: Ask, path: str) -> None:
    """Missing, relative, or no library: the driver's own is not taken in its place."""
    answer = ask(A100, DLBENCH_NVML_LIBRARY=path)
    assert answer.absent is not None
    assert answer.absent["code"] == Reason.LIBRARY_UNUSABLE


def test_no_library_anywhere(tmp_path: Path) -> None:
    """As on a machine without a driver."""
    answer = replaying.ask("nvidia", A100, tmp_path, LD_LIBRARY_PATH=tmp_path)
    assert answer.absent is not None
    assert answer.absent["code"] == Reason.LIBRARY_MISSING


@pytest.mark.parametrize(
    ("setting", "code"),
    [
        ("", Reason.DEVICE_HIDDEN),
        ("-1", Reason.DEVICE_HIDDEN),
        ("GPU-nonsense", Reason.DEVICE_HIDDEN),
        ("MIG-nonsense", Reason.DEVICE_HIDDEN),
        ("0", Reason.DEVICE_AMBIGUOUS),
    ],
)
def test_a_setting_that_selects_nothing_for_sure(ask: Ask, setting: str, code: Reason) -> None:
    """Index, UUID, MIG and empty; an index of unlike GPUs could be either."""
    answer = ask(f"{A100}\n{H100}", CUDA_VISIBLE_DEVICES=setting)
    assert answer.absent is not None
    assert answer.absent["code"] == code


# --- one quantity -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "quantity", "code"),
    [
        (NO_COUNTER, "energy_counter_j", Reason.NOT_SUPPORTED),
        (f"{NO_COUNTER}\nmissing {TOTAL}", "energy_counter_j", Reason.FUNCTION_MISSING),
        (f"{A100}\nfail {TOTAL} * 1 4", "energy_counter_j", Reason.NO_PERMISSION),
        (f"{A100}\nfail {TOTAL} * 1 10", "energy_counter_j", Reason.TIMEOUT),
        (f"{A100}\nfail {TOTAL} * 1 15", "energy_counter_j", Reason.DEVICE_LOST),
        (f"{A100}\nfail {TOTAL} * 1 16", "energy_counter_j", Reason.RESET_REQUIRED),
        (f"{A100}\nfail {TOTAL} * 1 77", "energy_counter_j", Reason.NVML_ERROR),
        (f"{A100}\nfail {TOTAL} * 3 15", "energy_counter_j", Reason.DEVICE_LOST),
        (
            f"clock step -40\n{A100.replace('base_mj 7000', 'base_mj 900000')}",
            "energy_counter_j",
            Reason.COUNTER_RESET,
        ),
        (f"{MIG_BOARD}\n{SLICE}", "energy_counter_j", Reason.MIG_SLICE),
        (f"{MIG_BOARD}\n{SLICE}", "power_w", Reason.MIG_SLICE),
        (A100.replace("virtual 0", "virtual 2"), "energy_counter_j", Reason.VIRTUAL_GPU),
        (A100.replace("virtual 0", "virtual 2"), "power_w", Reason.VIRTUAL_GPU),
        (NO_POWER, "power_w", Reason.NOT_SUPPORTED),
        (NEITHER, "energy_counter_j", Reason.NOT_SUPPORTED),
        (NEITHER, "power_w", Reason.NOT_SUPPORTED),
        (f"{NO_POWER}\nmissing {USAGE}", "power_w", Reason.FUNCTION_MISSING),
        (f"{A100}\nfail {USAGE} * 1 4", "power_w", Reason.NO_PERMISSION),
        (f"{A100}\nfail {USAGE} * 2 15", "power_w", Reason.DEVICE_LOST),
        (f"{A100} instant_mw 99000\nfail field186 * 3 999", "power_w", Reason.FIELD_ERROR),
        (f"{A100} instant_mw 99000\nfail field186 * 3 15", "power_w", Reason.DEVICE_LOST),
        (
            f"{A100} power_cap_us 1\nfail field74 * 1 999",
            "throttled_power_cap_s",
            Reason.FIELD_ERROR,
        ),
        (A100, "throttled_power_cap_s", Reason.NOT_SUPPORTED),
        (f"{A100}\nfail nvmlDeviceGetMemoryInfo * 1 4", "memory_used_mib", Reason.NO_PERMISSION),
        (f"{A100}\nmissing nvmlDeviceGetClockInfo", "sm_clock_mhz", Reason.FUNCTION_MISSING),
    ],
)
def test_a_sensor_that_fails_has_its_code_and_no_number(
    ask: Ask, scenario: str, quantity: str, code: Reason
) -> None:
    """From the read on at which it fails, to the end."""
    values = ask(scenario, n_reads=4).values("nvidia:0", quantity)
    failed = [v for v in values if isinstance(v, dict)]
    assert failed
    assert {v["code"] for v in failed} == {code}
    assert all(isinstance(v, dict) for v in values[values.index(failed[0]) :])
    assert 0.0 not in values


def test_two_devices_one_failing(ask: Ask) -> None:
    """The other one's numbers stay."""
    answer = ask(f"{A100}\n{H100}\nfail {TOTAL} 0 1 15", n_reads=2)
    assert {v["code"] for v in answer.values("nvidia:0", "energy_counter_j")} == {"device_lost"}
    assert all(isinstance(v, float) for v in answer.values("nvidia:1", "energy_counter_j"))


# --- capabilities, in their order -------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "watts"),
    [
        ("instant_mw 186000 module_mw 900000 average_mw 185000", 186.0),
        ("module_mw 900000 average_mw 185000", 900.0),
        ("average_mw 185000", 185.0),
        ("", 250.0),
        ("instant_mw 0 average_mw 185000", 185.0),
    ],
)
def test_power_is_asked_for_by_capability(ask: Ask, more: str, watts: float) -> None:
    """Instant, module, average, usage; a field that says 0 W has no sensor behind it."""
    assert ask(f"{A100} {more}", n_reads=2).values("nvidia:0", "power_w") == [watts, watts]


def test_a_library_without_fields_still_has_power(ask: Ask) -> None:
    """Drivers before 450."""
    answer = ask(f"{A100}\nmissing nvmlDeviceGetFieldValues")
    assert answer.values("nvidia:0", "power_w") == [250.0]


def test_a_source_that_was_chosen_is_kept(ask: Ask) -> None:
    """A transient failure is a hole and no change of sensor: another one would show a step."""
    answer = ask(f"{A100} instant_mw 99000\nfail field186 * 3 999", n_reads=3)
    first, *rest = answer.values("nvidia:0", "power_w")
    assert first == 99.0
    assert 250.0 not in rest


def test_a_library_that_knows_no_uuids_handles_is_asked_board_by_board(ask: Ask) -> None:
    """The GPU is found by its UUID all the same."""
    answer = ask(f"{A100}\n{H100}\nmissing nvmlDeviceGetHandleByUUID")
    assert answer.values("nvidia:0", "power_w") == [250.0]
    assert answer.values("nvidia:1", "power_w") == [600.0]


def test_a_counter_behind_a_field_only(ask: Ask) -> None:
    """Where the function is missing, field 83 says the same."""
    answer = ask(f"clock step 500\n{A100} energy_field 1\nmissing {TOTAL}", n_reads=2)
    first, second = answer.values("nvidia:0", "energy_counter_j")
    assert second - first == pytest.approx(125.0)


def test_reserved_memory_is_not_used_memory(ask: Ask) -> None:
    """By the versioned struct where there is one."""
    answer = ask(f"{A100} reserved_mib 500")
    assert answer.values("nvidia:0", "memory_used_mib") == [1024.0]


STRUCTS = """
import ctypes, json, pynvml as n
sizes = {"field": n.c_nvmlFieldValue_t, "value": n.c_nvmlValue_t, "memory": n.c_nvmlMemory_t,
    "memory_v2": n.c_nvmlMemory_v2_t, "utilisation": n.c_nvmlUtilization_t,
    "temperature": n.c_nvmlTemperature_v1_t}
print(json.dumps({name: ctypes.sizeof(kind) for name, kind in sizes.items()}))
"""


def test_struct_sizes_are_those_of_the_drivers_header() -> None:
    """nvml.h, 64 bit: a binding that disagreed would read one field as another."""
    done = subprocess.run([sys.executable, "-c", STRUCTS], capture_output=True, check=True)
    assert json.loads(done.stdout) == {
        "field": 40,
        "value": 8,
        "memory": 24,
        "memory_v2": 40,
        "utilisation": 8,
        "temperature": 12,
    }


# --- neighbours -------------------------------------------------------------------------------

NEIGHBOURS = """
import json, sys
from dlbench.devices import nvidia
(device,) = nvidia.find()
(meter,) = nvidia.sampler_meters(device, lambda: frozenset({4711}), full=True)
print(json.dumps({r.quantity: r.value if isinstance(r.value, float) else str(r.value.code)
    for r in meter.read()}))
"""


def _sampled(library: Path, folder: Path, scenario: str) -> dict[str, Any]:
    path = folder / "scenario.txt"
    path.write_text(scenario)
    done = subprocess.run(
        [sys.executable, "-c", NEIGHBOURS],
        env={
            **os.environ,
            "DLBENCH_NVML_LIBRARY": str(library),
            "DLBENCH_NVML_REPLAY": str(path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("scenario", "count", "mib"),
    [
        (f"{A100} process 4711:2048", 0.0, 0.0),
        (f"{A100} process 4711:2048 process 5:100 process 6:11", 2.0, 111.0),
        (A100, 0.0, 0.0),
        (f"{A100} process 5:100", Reason.PIDS_DIFFER, Reason.PIDS_DIFFER),
        (
            f"{A100}\nfail nvmlDeviceGetComputeRunningProcesses_v3 * 1 4",
            Reason.NO_PERMISSION,
            Reason.NO_PERMISSION,
        ),
    ],
)
def test_foreign_processes_are_counted_if_ours_can_be_told_apart(
    library: Path, tmp_path: Path, scenario: str, count: object, mib: object
) -> None:
    """In a container the driver names the host's processes: then nobody knows whose they are."""
    found = _sampled(library, tmp_path, scenario)
    assert found["other_processes_count"] == count
    assert found["other_processes_mib"] == mib


def test_full_telemetry_adds_the_traffic_over_pcie(library: Path, tmp_path: Path) -> None:
    """NVML counts in KB/s."""
    found = _sampled(library, tmp_path, f"{A100} pcie_kbs 2048")
    assert found["pcie_sent_mib_per_s"] == found["pcie_received_mib_per_s"] == 2.0


# --- the processor ----------------------------------------------------------------------------


def _zone(root: Path, **files: str) -> Path:
    zone = root / "intel-rapl:0"
    zone.mkdir()
    defaults = {"name": "package-0", "energy_uj": "5", "max_energy_range_uj": "262143328850"}
    for name, text in {**defaults, **files}.items():
        if text:
            (zone / name).write_text(text)
    return zone


@pytest.mark.parametrize(
    "files",
    [
        {"energy_uj": "lots"},
        {"energy_uj": " "},
        {"energy_uj": "-5"},
        {"energy_uj": "262143328851"},
        {"max_energy_range_uj": "0"},
        {"max_energy_range_uj": ""},
        {"energy_uj": ""},
        {"energy_uj": "5.5"},
        {"energy_uj": "\x00\x01"},
    ],
)
def test_a_malformed_powercap_tree_is_absent(tmp_path: Path, files: dict[str, str]) -> None:
    """Words, signs, more than the range, no range, no file."""
    _zone(tmp_path, **files)
    (reading,) = _rapl.RaplMeter(tmp_path).read()
    assert isinstance(reading.value, Absent)
    assert reading.value.code == Reason.RAPL_MALFORMED


@pytest.mark.parametrize("files", [{"name": "psys"}, {"name": ""}, {"name": "dram"}])
def test_a_tree_without_a_package_is_no_rapl(tmp_path: Path, files: dict[str, str]) -> None:
    """Psys holds all, dram is beside the package, and a zone without a name could be anything."""
    _zone(tmp_path, **files)
    (reading,) = _rapl.RaplMeter(tmp_path).read()
    assert isinstance(reading.value, Absent)
    assert reading.value.code == Reason.NO_RAPL


def test_no_tree_is_no_rapl(tmp_path: Path) -> None:
    """A virtual machine."""
    (reading,) = _rapl.RaplMeter(tmp_path / "none").read()
    assert isinstance(reading.value, Absent)
    assert reading.value.code == Reason.NO_RAPL
    assert "virtual machine" in reading.value.reason
