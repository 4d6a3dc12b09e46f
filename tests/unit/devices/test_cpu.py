"""The processor as the kernel describes it, from fake trees."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from dlbench.core.types import Absent, Precision
from dlbench.devices import cpu
from tests import builders

GHZ = 1e9


def _machine(
    root: Path, flags: str, n_threads: int = 4, files: dict[str, str] | None = None
) -> Path:
    """An x86 machine of that many threads, two a core."""
    cpuinfo = "".join(
        f"processor\t: {i}\nmodel name\t: AMD EPYC 9654\nflags\t\t: {flags}\n\n"
        for i in range(n_threads)
    )
    tree = {"proc/cpuinfo": cpuinfo, "proc/meminfo": "MemFree: 5 kB\nMemTotal:  2097152 kB\n"}
    for i in range(n_threads):
        folder = f"sys/devices/system/cpu/cpu{i}/topology"
        first = i // 2 * 2
        tree |= {f"{folder}/thread_siblings_list": f"{first}-{first + 1}\n"}
    for name, text in (tree | (files or {})).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("flags", "precisions"),
    [
        ("sse2 avx2 avx512f", (Precision.FP32,)),
        ("sse2 avx512f avx512_bf16", (Precision.FP32, Precision.BF16)),
        ("sse2 avx512f amx_bf16", (Precision.FP32, Precision.BF16)),
        ("sse2 avx512f amx_int8", (Precision.FP32, Precision.INT8)),
    ],
)
def test_a_precision_is_native_only_where_the_processor_says_so(
    tmp_path: Path, flags: str, precisions: tuple[Precision, ...]
) -> None:
    """Emulated bf16 is slower than fp32 and would mislead; so would int8."""
    device = cpu.describe(_machine(tmp_path, flags))
    assert device.precisions == precisions
    assert set(device.peak_flops) == set(precisions)
    assert (device.id, device.kind, device.name) == ("cpu", "cpu", "AMD EPYC 9654")
    assert device.memory_mib == 2048.0


@pytest.mark.parametrize(
    ("flags", "flop_per_cycle"),
    [("sse2", 16), ("sse2 avx2", 32), ("sse2 avx2 avx512f", 64)],
)
def test_the_peak_counts_physical_cores(tmp_path: Path, flags: str, flop_per_cycle: int) -> None:
    """Two threads of a core share its units."""
    device = cpu.describe(_machine(tmp_path, flags))
    assert device.peak_flops == {"fp32": flop_per_cycle * 2 * cpu.CLOCK_BOUND_HZ}
    assert (device.facts["logical_cores"], device.facts["physical_cores"]) == (4, 2)


def test_a_virtual_machines_topology_is_not_believed(tmp_path: Path) -> None:
    """Its two "threads" may be two cores of the host: a bound must hold for both."""
    device = cpu.describe(_machine(tmp_path, "sse2 avx2 hypervisor"))
    assert device.peak_flops == {"fp32": 32 * 4 * cpu.CLOCK_BOUND_HZ}


@pytest.mark.parametrize(
    ("driver", "bound_hz"),
    [
        ("intel_pstate", 3.7 * GHZ),
        ("amd-pstate-epp", 3.7 * GHZ),
        ("acpi-cpufreq", cpu.CLOCK_BOUND_HZ),
    ],
)
def test_the_highest_clock_is_taken_where_it_includes_boost(
    tmp_path: Path, driver: str, bound_hz: float
) -> None:
    """What acpi-cpufreq calls the maximum is exceeded by boosting."""
    folder = "sys/devices/system/cpu/cpu0/cpufreq"
    files = {
        f"{folder}/cpuinfo_max_freq": "3700000\n",
        f"{folder}/scaling_driver": f"{driver}\n",
        f"{folder}/scaling_governor": "performance\n",
    }
    device = cpu.describe(_machine(tmp_path, "sse2 avx512f", files=files))
    assert device.peak_flops["fp32"] == 64 * 2 * bound_hz
    assert device.facts["max_clock_mhz"] == 3700.0
    assert device.facts["governor"] == "performance"


def test_what_the_kernel_does_not_show_is_absent_with_a_reason(tmp_path: Path) -> None:
    """No clock, no topology, no memory: reasons, no zeros, and no peak for an unknown processor."""
    device = cpu.describe(tmp_path)
    unknown = ("physical_cores", "numa_nodes", "governor", "max_clock_mhz", "smt")
    reasons = [device.facts[name] for name in unknown] + [device.memory_mib]
    assert all(isinstance(reason, Absent) and reason.reason for reason in reasons)
    assert device.peak_flops == {}
    assert device.precisions == (Precision.FP32,)


def test_memorys_nodes_are_counted(tmp_path: Path) -> None:
    """Work that crosses them is slower."""
    files = {f"sys/devices/system/node/node{i}/cpulist": "0\n" for i in range(2)}
    assert cpu.describe(_machine(tmp_path, "sse2", files=files)).facts["numa_nodes"] == 2


def test_a_worker_on_the_cpu_sees_no_accelerator() -> None:
    """An empty list hides all; a missing one would hide none."""
    assert cpu.child_environment(cpu.describe()) == {"CUDA_VISIBLE_DEVICES": ""}


def test_cores_whose_numbers_begin_anew_in_each_cluster_are_all_counted(tmp_path: Path) -> None:
    """Three clusters of four, of one thread each, as a Jetson Orin has: twelve cores."""
    files: dict[str, str] = {}
    for i in range(12):
        folder = f"sys/devices/system/cpu/cpu{i}/topology"
        files |= {f"{folder}/physical_package_id": "0\n", f"{folder}/core_id": f"{i % 4}\n"}
        files |= {f"{folder}/thread_siblings_list": f"{i}\n"}
    assert cpu.describe(builders.tree(tmp_path, files)).facts["physical_cores"] == 12


def test_the_highest_clock_of_a_hybrid_processor_is_its_fastest_cores(tmp_path: Path) -> None:
    """The first is a slow one."""
    files = {
        f"sys/devices/system/cpu/cpu{i}/cpufreq/cpuinfo_max_freq": f"{khz}\n"
        for i, khz in enumerate((2_500_000, 5_100_000, 3_800_000))
    }
    assert cpu.describe(builders.tree(tmp_path, files)).facts["max_clock_mhz"] == 5100.0


def _arm(*cores: tuple[str, str], more: str = "") -> str:
    return more + "\n".join(
        f"processor\t: {i}\nFeatures\t: fp asimd\nCPU implementer\t: {maker}\n"
        f"CPU architecture: 8\nCPU part\t: {part}\nCPU revision\t: 1\n"
        for i, (maker, part) in enumerate(cores)
    )


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        (_arm(*[("0x41", "0xd0c")] * 4), "Arm Neoverse-N1"),
        (_arm(*[("0x41", "0xd40")] * 4), "Arm Neoverse-V1"),
        (_arm(("0x41", "0xd87"), ("0x41", "0xd85")), "Arm Cortex-A725 + Arm Cortex-X925"),
        (_arm(("0x7f", "0x001")), "Arm core 0x7f:0x001"),
        (
            _arm(("0x41", "0xd42"), more="model name\t: ARMv8 Processor rev 1 (v8l)\n"),
            "Arm Cortex-A78AE",
        ),
        ("model name\t: ARMv7 Processor rev 4 (v7l)\n", "ARMv7 Processor rev 4 (v7l)"),
        (_arm(("0x48", "0xd01"), more="model name\t: Kunpeng-920\n"), "Kunpeng-920"),
        ("processor\t: 0\n", None),
    ],
)
def test_an_arm_processor_is_called_by_its_cores(
    tmp_path: Path, cpuinfo: str, name: str | None
) -> None:
    """It has no name of its own; one that somebody gave it is kept."""
    assert cpu.processor_name(cpuinfo) == name
    device = cpu.describe(builders.tree(tmp_path, {"proc/cpuinfo": cpuinfo}))
    assert device.name == (name or platform.machine())
