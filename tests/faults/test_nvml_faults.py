"""The NVIDIA adapter against a failing, lying or partitioned driver, read by the real binding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.nvml import replaying
from tests.nvml.replaying import A100, H100, Answer

Ask = Callable[..., Answer]

MIG_BOARD = A100.replace(" mig 0", " mig 1")
SLICES = (
    "slice name NVIDIA_A100-SXM4-80GB_MIG_1g.10gb uuid MIG-cccc0000 memory_mib 9728 used_mib 10 "
    "power_mw 250000 base_mj 7000\n"
    "slice name NVIDIA_A100-SXM4-80GB_MIG_2g.20gb uuid MIG-cccc1111 memory_mib 19968 used_mib 0"
)


UNTOLD = (
    "throttled_power_cap_s",
    "throttled_software_thermal_s",
    "throttled_hardware_thermal_s",
    "throttled_power_brake_s",
    "pcie_lanes_count",
)
"""What this scenario's card does not tell."""


def _uuids(answer: Answer) -> list[str]:
    return [device["uuid"] for device in answer.devices]


# --- a healthy driver -----------------------------------------------------------------------


def test_a_gpu_is_described_by_what_the_driver_says(ask: Ask) -> None:
    """Identity, memory, precisions, bounds and facts, each from its own question."""
    (device,) = ask(A100).devices
    assert (device["id"], device["kind"]) == ("nvidia:0", "nvidia")
    assert device["name"] == "NVIDIA A100-SXM4-80GB"
    assert device["uuid"] == "GPU-aaaa0000"
    assert device["memory_mib"] == 81920
    assert device["precisions"] == ["fp32", "fp16", "int8", "tf32", "bf16"]
    fp32 = 2 * 6912 * 1410e6
    assert device["peak_flops"]["fp32"] == fp32
    assert device["peak_flops"]["bf16"] == 16 * fp32
    wanted = {
        "compute_capability": "8.0",
        "driver": "550.54.15",
        "cuda_driver": "12.4",
        "power_limit_w": 400.0,
        "ecc": True,
        "mig": False,
        "mig_slice": False,
        "persistence": True,
        "pcie_generation": 4,
        "virtualisation": "none",
    }
    assert {name: device["facts"][name] for name in wanted} == wanted
    assert device["facts"]["pcie_width"]["reason"] == "CurrPcieLinkWidth: Not Supported"


def test_energy_is_the_counters_difference(ask: Ask) -> None:
    """250 W at half a second a read: 125 J between reads, over an offset that is kept."""
    answer = ask(f"clock step 500\n{A100}", n_reads=4)
    values = answer.values("nvidia:0", "energy_counter_j")
    assert values == pytest.approx([132.0, 257.0, 382.0, 507.0])


def test_a_counter_that_ticks_is_read_as_it_stands(ask: Ask) -> None:
    """The driver's counter moves every 100 ms only; nothing is invented in between."""
    answer = ask(f"clock step 40\n{A100} period_ms 100", n_reads=6)
    assert answer.values("nvidia:0", "energy_counter_j") == pytest.approx(
        [7.0, 7.0, 32.0, 32.0, 57.0, 57.0]
    )


def test_every_quantity_of_a_healthy_gpu(ask: Ask) -> None:
    """Units as the names say: watts, degrees, MHz, percent, bits, MiB."""
    (read,) = ask(A100).reads["nvidia:0"]
    found = {r["quantity"]: r["value"] for r in read}
    del found["energy_counter_j"]
    absent = {name: value["code"] for name, value in found.items() if isinstance(value, dict)}
    assert absent == dict.fromkeys(UNTOLD, "not_supported")
    assert {name: value for name, value in found.items() if name not in absent} == {
        "power_w": 250.0,
        "temperature_c": 41.0,
        "sm_clock_mhz": 1410.0,
        "memory_clock_mhz": 1593.0,
        "utilisation_percent": 97.0,
        "throttle_reasons_bits": 0.0,
        "memory_used_mib": 1024.0,
        "power_limit_w": 400.0,
        "pcie_generation": 4.0,
    }
    assert {r["source"] for r in read} == {"nvml:nvidia:0"}


def test_newer_names_of_a_question_are_asked_first(ask: Ask) -> None:
    """Drivers drop the older ones in time."""
    answer = ask(f"{A100} celsius_v 55 events 4")
    assert answer.values("nvidia:0", "temperature_c") == [55.0]
    assert answer.values("nvidia:0", "throttle_reasons_bits") == [4.0]


def test_a_counter_that_runs_backwards_is_absent_from_then_on(ask: Ask) -> None:
    """A reload of the driver resets it; a difference across that would be wrong."""
    answer = ask(f"clock step -40\n{A100.replace('base_mj 7000', 'base_mj 900000')}", n_reads=3)
    first, *rest = answer.values("nvidia:0", "energy_counter_j")
    assert isinstance(first, float)
    assert [value["reason"] for value in rest] == [
        "the energy counter was reset while it was read"
    ] * 2


def test_the_binding_finds_a_library_by_its_own_search(library: Path, tmp_path: Path) -> None:
    """The same answers as by absolute path: what is replayed is what a driver would be asked."""
    by_search = replaying.ask("nvidia", A100, tmp_path, LD_LIBRARY_PATH=library.parent)
    by_path = replaying.ask("nvidia", A100, tmp_path, DLBENCH_NVML_LIBRARY=library)
    assert by_search.devices == by_path.devices
    assert _uuids(by_search) == ["GPU-aaaa0000"]


# --- fault 7: no driver, or the wrong one -----------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words", "remedy"),
    [
        (4, "Insufficient Permissions", "/dev/nvidia"),
        (9, "Driver Not Loaded", "modprobe nvidia"),
        (12, "NVML Shared Library Not Found", "--gpus all"),
        (18, "RM has detected an NVML/RM version mismatch.", "reboot"),
    ],
)
def test_an_unusable_driver_is_said_in_nvmls_words(
    ask: Ask, code: int, words: str, remedy: str
) -> None:
    """With what to do about this very code."""
    answer = ask(f"{A100}\nfail nvmlInitWithFlags * 1 {code}")
    assert answer.absent is not None
    assert answer.absent["reason"] == f"NVIDIA driver: {words}"
    assert remedy in answer.absent["remedy"]


@pytest.mark.parametrize("path", ["/nowhere/libnvidia-ml.so", "libnvidia-ml.so.1"])
def test_a_library_that_was_named_and_cannot_be_loaded(ask: Ask, path: str) -> None:
    """It is refused by name; the driver's own is not taken instead."""
    answer = ask(A100, DLBENCH_NVML_LIBRARY=path)
    assert answer.absent is not None
    assert answer.absent["reason"].startswith(f"DLBENCH_NVML_LIBRARY={path}")
    assert "Unset DLBENCH_NVML_LIBRARY" in answer.absent["remedy"]


def test_a_library_may_be_named_from_here(
    ask: Ask, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative, with a folder or without: the file here, and nothing that a loader would search for."""
    monkeypatch.chdir(library.parent)
    for name in (library.name, f"./{library.name}", f"../{library.parent.name}/{library.name}"):
        answer = ask(A100, DLBENCH_NVML_LIBRARY=name)
        assert [d["uuid"] for d in answer.devices] == ["GPU-aaaa0000"], name
    monkeypatch.chdir("/")
    answer = ask(A100, DLBENCH_NVML_LIBRARY=library.name)
    assert answer.absent is not None
    assert answer.absent["reason"].endswith(f"there is no file /{library.name}")
    assert "give its whole path" in answer.absent["remedy"]


def test_a_driver_without_a_gpu(ask: Ask) -> None:
    """As in a container that was given none."""
    answer = ask("clock real")
    assert answer.absent is not None
    assert answer.absent["reason"] == "the NVIDIA driver is loaded and sees no GPU"


# --- fault 8: lost in mid-run -----------------------------------------------------------------


@pytest.mark.parametrize("lost_at", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("symbol", "quantity"),
    [
        ("nvmlDeviceGetTotalEnergyConsumption", "energy_counter_j"),
        ("nvmlDeviceGetPowerUsage", "power_w"),
        ("nvmlDeviceGetTemperature", "temperature_c"),
        ("nvmlDeviceGetUtilizationRates", "utilisation_percent"),
        ("nvmlDeviceGetCurrentClocksThrottleReasons", "throttle_reasons_bits"),
    ],
)
def test_a_quantity_lost_at_any_read_is_absent_and_takes_no_other_along(
    ask: Ask, symbol: str, quantity: str, lost_at: int
) -> None:
    """Never 0, never an exception, and NVML's words as the reason."""
    answer = ask(f"clock step 100\n{A100}\nfail {symbol} * {lost_at} 15", n_reads=4)
    values = answer.values("nvidia:0", quantity)
    lost = [isinstance(value, dict) for value in values]
    assert lost == [n >= lost_at for n in (1, 2, 3, 4)]
    assert all("GPU is lost" in v["reason"] for v in values if isinstance(v, dict))
    others = [
        reading["value"]
        for read in answer.reads["nvidia:0"]
        for reading in read
        if reading["quantity"] not in (quantity, *UNTOLD)
    ]
    assert len(others) == 4 * 9
    assert all(isinstance(value, float) for value in others)


def test_an_unsupported_counter_is_absent_with_the_reason(ask: Ask) -> None:
    """GPUs before Volta have no energy counter; their power can still be read."""
    answer = ask(A100.replace(" base_mj 7000", ""))
    (energy,) = answer.values("nvidia:0", "energy_counter_j")
    assert energy["reason"] == "TotalEnergyConsumption: Not Supported"
    assert answer.values("nvidia:0", "power_w") == [250.0]


def test_a_code_that_the_binding_does_not_know_has_the_librarys_words(ask: Ask) -> None:
    """Newer drivers have newer errors."""
    answer = ask(f"{A100}\nfail nvmlDeviceGetPowerUsage * 1 77")
    (power,) = answer.values("nvidia:0", "power_w")
    assert power["reason"] == "PowerUsage: replayed error"


# --- fault 9: a GPU off the bus ---------------------------------------------------------------


def test_a_lost_gpu_hides_no_other(ask: Ask) -> None:
    """The others are found, and say which one is silent."""
    answer = ask(f"{A100}\n{H100}\nfail nvmlDeviceGetHandleByIndex_v2 0 1 15")
    assert _uuids(answer) == ["GPU-bbbb1111"]
    assert answer.devices[0]["facts"]["silent_gpus"] == "GPU 0: GPU is lost"


def test_the_only_gpu_lost_is_the_reason_for_none(ask: Ask) -> None:
    """With what to do."""
    answer = ask(f"{A100}\nfail nvmlDeviceGetHandleByIndex_v2 0 1 15")
    assert answer.absent == {
        "reason": "GPU 0: GPU is lost",
        "remedy": "The GPU has fallen off the bus: reboot the machine.",
        "code": "device_lost",
    }


def test_an_index_beside_a_lost_gpu_is_refused(ask: Ask) -> None:
    """CUDA may no longer count the lost one: index 1 could be either."""
    answer = ask(
        f"{A100}\n{H100}\n{H100.replace('bbbb1111', 'dddd2222')}\n"
        "fail nvmlDeviceGetHandleByIndex_v2 0 1 15",
        CUDA_VISIBLE_DEVICES="1",
        CUDA_DEVICE_ORDER="PCI_BUS_ID",
    )
    assert answer.absent is not None
    assert "index" in answer.absent["reason"]


FORBIDDEN = "fail nvmlDeviceGetHandleByIndex_v2 0 1 4"


@pytest.mark.parametrize("variables", [{}, {"CUDA_VISIBLE_DEVICES": "0"}])
def test_a_gpu_of_another_job_is_not_counted(ask: Ask, variables: dict[str, str]) -> None:
    """Slurm gives a job one GPU, calls it 0 and forbids the others, which NVML counts all the same."""
    answer = ask(f"{A100}\n{H100}\n{FORBIDDEN}", **variables)
    assert answer.absent is None
    assert _uuids(answer) == ["GPU-bbbb1111"]
    assert "silent_gpus" not in answer.devices[0]["facts"]


def test_the_only_gpu_forbidden_is_the_reason_for_none(ask: Ask) -> None:
    """With what to look at."""
    answer = ask(f"{A100}\n{FORBIDDEN}")
    assert answer.absent == {
        "reason": "GPU 0: Insufficient Permissions",
        "remedy": "Your user may not use the GPU: see the permissions of /dev/nvidia*.",
        "code": "no_permission",
    }


def test_a_gpu_without_a_uuid_is_not_offered(ask: Ask) -> None:
    """A worker could be given another one in its place."""
    answer = ask(f"{A100}\n{H100}\nfail nvmlDeviceGetUUID 1 1 999")
    assert _uuids(answer) == ["GPU-aaaa0000"]
    assert "GPU 1: UUID" in answer.devices[0]["facts"]["silent_gpus"]


def test_one_gpus_meter_fails_alone(ask: Ask) -> None:
    """Two devices, one failing: the other's readings stay."""
    answer = ask(f"{A100}\n{H100}\nfail nvmlDeviceGetHandleByUUID 1 1 15")
    (silent,) = answer.values("nvidia:1", "energy_counter_j")
    assert silent["reason"] == "GPU: GPU is lost"
    (energy,) = answer.values("nvidia:0", "energy_counter_j")
    assert isinstance(energy, float)


# --- fault 11: others on the GPU --------------------------------------------------------------


def test_processes_on_the_gpu_are_listed_with_their_memory(ask: Ask) -> None:
    """PID and MiB of each; an idle GPU has none."""
    answer = ask(f"{A100} process 4711:2048 process 4712:5\n{H100}")
    assert answer.held_mib["nvidia:0"] == 2048
    assert "lists no process 4711" in answer.held_mib["nvidia:1"]["reason"]
    assert answer.processes["nvidia:0"] == [
        {"pid": 4711, "memory_mib": 2048.0},
        {"pid": 4712, "memory_mib": 5.0},
    ]
    assert answer.processes["nvidia:1"] == []
    assert answer.occupants == {"nvidia:0": [4711, 4712], "nvidia:1": []}


def test_processes_that_may_not_be_seen_are_absent(ask: Ask) -> None:
    """Not an empty list: nobody could tell that from an idle GPU."""
    answer = ask(f"{A100}\nfail nvmlDeviceGetComputeRunningProcesses_v3 * 1 4")
    assert answer.processes["nvidia:0"]["reason"].endswith("Insufficient Permissions")


# --- fault 43: slices -------------------------------------------------------------------------


def test_mig_slices_take_their_boards_place(ask: Ask) -> None:
    """The identity names the slice; what belongs to the board is asked of the board."""
    answer = ask(f"{MIG_BOARD}\n{SLICES}")
    assert _uuids(answer) == ["MIG-cccc0000", "MIG-cccc1111"]
    first = answer.devices[0]
    assert first["name"].endswith("MIG 1g.10gb")
    assert first["memory_mib"] == 9728
    assert first["facts"]["mig_slice"] is True
    assert first["facts"]["compute_capability"] == "8.0"
    assert first["precisions"][-1] == "bf16"
    assert answer.environments["nvidia:1"]["CUDA_VISIBLE_DEVICES"] == "MIG-cccc1111"


def test_a_boards_energy_is_not_its_slices(ask: Ask) -> None:
    """Even where the driver answers the slice's handle with the board's counter."""
    answer = ask(f"{MIG_BOARD}\n{SLICES}")
    for quantity in ("energy_counter_j", "power_w"):
        (value,) = answer.values("nvidia:0", quantity)
        assert "whole board, of which this is a MIG slice" in value["reason"]
    assert answer.values("nvidia:0", "memory_used_mib") == [10.0]
    assert answer.values("nvidia:0", "temperature_c") == [41.0]


def test_a_virtual_gpus_energy_is_not_its_own(ask: Ask) -> None:
    """A vGPU guest sees the board's sensors, if any."""
    answer = ask(A100.replace("virtual 0", "virtual 2"))
    (energy,) = answer.values("nvidia:0", "energy_counter_j")
    assert "virtual GPU" in energy["reason"]
    assert answer.devices[0]["facts"]["virtualisation"] == "vgpu"


def test_a_gpu_in_mig_mode_without_slices_is_no_device(ask: Ask) -> None:
    """CUDA would find nothing there."""
    answer = ask(MIG_BOARD)
    assert answer.absent is not None
    assert answer.absent["reason"] == "the GPU is in MIG mode and has no slice"
    assert "nvidia-smi mig" in answer.absent["remedy"]


# --- fault 46: CUDA's index is not NVML's -----------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "uuids"),
    [
        ("GPU-bbbb1111", ["GPU-bbbb1111"]),
        ("GPU-b", ["GPU-bbbb1111"]),
        ("GPU-b,GPU-a", ["GPU-bbbb1111", "GPU-aaaa0000"]),
        ("GPU-a,nonsense,GPU-b", ["GPU-aaaa0000"]),
    ],
)
def test_a_uuid_or_its_beginning_names_a_gpu(ask: Ask, setting: str, uuids: list[str]) -> None:
    """In the setting's order, up to the first entry that names none, as CUDA does."""
    answer = ask(f"{A100}\n{H100}", CUDA_VISIBLE_DEVICES=setting)
    assert _uuids(answer) == uuids
    assert answer.environments["nvidia:0"] == {
        "CUDA_VISIBLE_DEVICES": uuids[0],
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }


@pytest.mark.parametrize("setting", ["", "-1", "GPU-", "GPU-zzzz", "7", "NoDevFiles"])
def test_a_setting_that_names_no_gpu_hides_all(ask: Ask, setting: str) -> None:
    """Also a beginning that two GPUs share."""
    answer = ask(f"{A100}\n{H100}", CUDA_VISIBLE_DEVICES=setting, CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert answer.absent == {
        "reason": f"CUDA_VISIBLE_DEVICES={setting!r} hides every GPU",
        "remedy": "Unset it.",
        "code": "device_hidden",
    }


def test_a_beginning_that_two_slices_share_names_none(ask: Ask) -> None:
    """As for whole GPUs."""
    answer = ask(f"{MIG_BOARD}\n{SLICES}", CUDA_VISIBLE_DEVICES="MIG-cccc")
    assert answer.absent is not None
    assert "hides every GPU" in answer.absent["reason"]


def test_an_index_of_unlike_gpus_is_refused_without_bus_order(ask: Ask) -> None:
    """CUDA puts the fastest first: the driver's number 0 is CUDA's number 1 here."""
    answer = ask(f"{A100}\n{H100}", CUDA_VISIBLE_DEVICES="0")
    assert answer.absent is not None
    assert "the driver's order" in answer.absent["reason"]
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in answer.absent["remedy"]


@pytest.mark.parametrize(
    ("scenario", "order", "setting", "uuids"),
    [
        (f"{A100}\n{H100}", "PCI_BUS_ID", "1,0", ["GPU-bbbb1111", "GPU-aaaa0000"]),
        (f"{A100}\n{H100}", "PCI_BUS_ID", "1,-1,0", ["GPU-bbbb1111"]),
        (f"{H100}\n{H100.replace('bbbb', 'eeee')}", "", "1", ["GPU-eeee1111"]),
        (f"{MIG_BOARD}\n{SLICES}\n{H100}", "PCI_BUS_ID", "1", ["GPU-bbbb1111"]),
        (f"{MIG_BOARD}\n{SLICES}\n{H100}", "PCI_BUS_ID", "0", ["MIG-cccc0000"]),
        (f"{MIG_BOARD}\n{SLICES}\n{H100}", "", "MIG-cccc1111", ["MIG-cccc1111"]),
        (f"{MIG_BOARD}\n{SLICES}\n{H100}", "", "GPU-aaaa", ["MIG-cccc0000"]),
    ],
)
def test_an_index_counts_boards_in_bus_order(
    ask: Ask, scenario: str, order: str, setting: str, uuids: list[str]
) -> None:
    """Like GPUs need no order; a board in MIG mode stands for its first slice."""
    variables: dict[str, Any] = {"CUDA_VISIBLE_DEVICES": setting}
    if order:
        variables["CUDA_DEVICE_ORDER"] = order
    assert _uuids(ask(scenario, **variables)) == uuids


def test_devices_are_numbered_as_cuda_will(ask: Ask) -> None:
    """nvidia:0 is the first that the setting lets through, whatever the driver's number."""
    answer = ask(f"{A100}\n{H100}", CUDA_VISIBLE_DEVICES="GPU-b")
    assert [device["id"] for device in answer.devices] == ["nvidia:0"]
    assert answer.devices[0]["name"] == "NVIDIA H100 80GB HBM3"
