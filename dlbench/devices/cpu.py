"""The host's processors as one device: RAPL counts its energy, the kernel the time of too much heat."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

from dlbench.core.telemetry import HOST_ENERGY
from dlbench.core.types import Absent, DeviceInfo, Precision, all_known
from dlbench.devices._rapl import RaplMeter, powercap_root
from dlbench.devices._thermal import ThermalMeter, cpus_root

CLOCK_BOUND_HZ = 6.5e9
"""No server or desktop core runs faster; used where the highest clock cannot be read. The peak is an
upper bound against implausible results, never a claim of what the machine reaches."""

DRIVERS_WITH_BOOST = ("intel_pstate", "intel_cpufreq", "amd-pstate", "amd-pstate-epp")
"""Only these count turbo into cpuinfo_max_freq; what acpi-cpufreq says is exceeded by boosting."""

FP32_FLOP_PER_CYCLE = {"avx512f": 64, "avx2": 32, "sse2": 16, "sve": 64, "asimd": 32}
"""The most that any core of the kind has, best first. x86: two fused multiply-add units of the
vector's width (SSE to AVX: one multiplication and one addition); Arm: four units of 128 bits, or SVE
in two of 512."""

BF16_FLOP_PER_CYCLE = {"amx_bf16": 2048, "avx512_bf16": 128, "bf16": 128}
"""AMX: 16x16x32 products in 16 cycles; AVX-512: two dot-product units; Arm: four BFMMLA."""

INT8_OP_PER_CYCLE = {"amx_int8": 4096, "avx512_vnni": 256, "avx_vnni": 128, "i8mm": 256}
"""As above with bytes: x86 has two dot-product units of the vector's width, Arm four of SMMLA."""

NOTABLE_FLAGS = (
    "sse2",
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "sve",
    "bf16",
    "i8mm",
)
"""Instruction sets that decide which kernels a framework picks, as /proc/cpuinfo writes them."""

CPUS = "sys/devices/system/cpu"

NAME_KEYS = ("model name", "Processor", "Hardware")

NAMELESS = re.compile(r"ARMv|AArch64")
"""What the kernel calls any Arm processor where it has no better name."""

ARM_CORES = {
    ("0x41", "0xd03"): "Arm Cortex-A53",
    ("0x41", "0xd05"): "Arm Cortex-A55",
    ("0x41", "0xd07"): "Arm Cortex-A57",
    ("0x41", "0xd08"): "Arm Cortex-A72",
    ("0x41", "0xd0b"): "Arm Cortex-A76",
    ("0x41", "0xd0c"): "Arm Neoverse-N1",
    ("0x41", "0xd40"): "Arm Neoverse-V1",
    ("0x41", "0xd41"): "Arm Cortex-A78",
    ("0x41", "0xd42"): "Arm Cortex-A78AE",
    ("0x41", "0xd49"): "Arm Neoverse-N2",
    ("0x41", "0xd4f"): "Arm Neoverse-V2",
    ("0x41", "0xd83"): "Arm Neoverse-V3AE",
    ("0x41", "0xd84"): "Arm Neoverse-V3",
    ("0x41", "0xd85"): "Arm Cortex-X925",
    ("0x41", "0xd87"): "Arm Cortex-A725",
    ("0x4e", "0x004"): "NVIDIA Carmel",
    ("0xc0", "0xac3"): "Ampere-1",
    ("0xc0", "0xac4"): "Ampere-1a",
}
"""Implementer and part of cores that learning runs on, and their names (Linux,
arch/arm64/include/asm/cputype.h); of others the numbers are the name."""


def find() -> tuple[DeviceInfo, ...] | Absent:
    """There is always exactly one."""
    return (describe(),)


def describe(root: Path = Path("/")) -> DeviceInfo:
    """The CPU device as the kernel describes it; ``root`` stands in for / in tests."""
    info = _cpuinfo(root)
    flags = set(info.get("flags", info.get("Features", "")).split())
    precisions = [Precision.FP32]
    if any(flag in flags for flag in BF16_FLOP_PER_CYCLE):
        precisions.append(Precision.BF16)
    if any(flag in flags for flag in INT8_OP_PER_CYCLE):
        precisions.append(Precision.INT8)
    return DeviceInfo(
        id="cpu",
        kind="cpu",
        name=_name(root) or platform.machine() or "CPU",
        uuid=Absent(reason="processors have no identity that may be published"),
        memory_mib=_memory_mib(root),
        precisions=tuple(precisions),
        peak_flops=_peak_flops(root, flags),
        facts={
            "logical_cores": _logical_cores(root),
            "physical_cores": _physical_cores(root),
            "numa_nodes": _numa_nodes(root),
            "flags": " ".join(flag for flag in NOTABLE_FLAGS if flag in flags),
            "governor": _read(root / CPUS / "cpu0/cpufreq/scaling_governor"),
            "max_clock_mhz": _max_clock_mhz(root),
            "smt": _read(root / CPUS / "smt/active"),
        },
    )


def meters(device: DeviceInfo) -> tuple[RaplMeter | ThermalMeter, ...]:  # noqa: ARG001
    """RAPL's packages, and what heat and clocks did; each says why where it is not there."""
    return (RaplMeter(powercap_root()), ThermalMeter(cpus_root()))


def energy_meters(device: DeviceInfo) -> tuple[RaplMeter, ...]:  # noqa: ARG001
    """RAPL alone, to be read a thousand times a second."""
    return (RaplMeter(powercap_root()),)


def meters_beside() -> tuple[RaplMeter, ...]:
    """The packages' energy while another device works, by names of which no device's is made."""
    return (RaplMeter(powercap_root(), prefix=HOST_ENERGY),)


def memory_held_mib(device: DeviceInfo, pid: int) -> float | Absent:  # noqa: ARG001
    """Said once, as the host's."""
    return Absent(reason="the CPU's memory is the host's")


def occupants(device: DeviceInfo) -> tuple[int, ...] | Absent:  # noqa: ARG001
    """A processor is everybody's; what others take of it is in the telemetry."""
    return Absent(reason="every process of the machine shares the CPU")


def child_environment(device: DeviceInfo) -> Mapping[str, str]:  # noqa: ARG001
    """A worker on the CPU sees no accelerator."""
    return {"CUDA_VISIBLE_DEVICES": ""}


def _name(root: Path) -> str | None:
    text = _read(root / "proc/cpuinfo")
    return None if isinstance(text, Absent) else processor_name(text)


def processor_name(cpuinfo: str) -> str | None:
    """What /proc/cpuinfo calls the processor; None where it has no word for it.

    Arm's have no name there, and one of 64 cores would pass for any other: they are called by their
    cores, each kind once.
    """
    pairs = [(k.strip(), v.strip()) for k, _, v in (x.partition(":") for x in cpuinfo.splitlines())]
    name = next((value for key, value in pairs if key in NAME_KEYS), None)
    if name is not None and not NAMELESS.match(name):
        return name
    makers = [value for key, value in pairs if key == "CPU implementer"]
    parts = [value for key, value in pairs if key == "CPU part"]
    cores = [
        ARM_CORES.get(core, f"Arm core {core[0]}:{core[1]}")
        for core in dict.fromkeys(zip(makers, parts, strict=False))
    ]
    return " + ".join(cores) or name


def _peak_flops(root: Path, flags: set[str]) -> dict[str, float]:
    """Upper bounds by precision; none for an instruction set that is not known."""
    per_cycle = {
        Precision.FP32: next((n for f, n in FP32_FLOP_PER_CYCLE.items() if f in flags), None),
        Precision.BF16: next((n for f, n in BF16_FLOP_PER_CYCLE.items() if f in flags), None),
        Precision.INT8: next((n for f, n in INT8_OP_PER_CYCLE.items() if f in flags), None),
    }
    cores_hz = _bound_cores(root, flags) * _bound_hz(root)
    return {precision.value: n * cores_hz for precision, n in per_cycle.items() if n}


def _bound_cores(root: Path, flags: set[str]) -> int:
    """Physical cores; a virtual machine's topology is its host's invention, so there all count."""
    physical = _physical_cores(root)
    if isinstance(physical, Absent) or "hypervisor" in flags:
        return _logical_cores(root)
    return physical


def _bound_hz(root: Path) -> float:
    mhz = _max_clock_mhz(root)
    driver = _read(root / CPUS / "cpu0/cpufreq/scaling_driver")
    if isinstance(mhz, Absent) or driver not in DRIVERS_WITH_BOOST:
        return CLOCK_BOUND_HZ
    return mhz * 1e6


def _cpuinfo(root: Path) -> dict[str, str]:
    """The first processor's entries; on hybrid processors the others may lack some."""
    text = _read(root / "proc/cpuinfo")
    if isinstance(text, Absent):
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n", 1)[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _logical_cores(root: Path) -> int:
    text = _read(root / "proc/cpuinfo")
    listed = 0 if isinstance(text, Absent) else text.count("processor\t:")
    return listed or os.cpu_count() or 1


def _memory_mib(root: Path) -> float | Absent:
    text = _read(root / "proc/meminfo")
    if isinstance(text, Absent):
        return text
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["MemTotal:"] and words[1].isdigit():
            return int(words[1]) / 1024
    return Absent(reason="/proc/meminfo states no total")


def _physical_cores(root: Path) -> int | Absent:
    # Not by core_id: it begins anew in each cluster of Arm's packages, in each die of some of Intel's.
    folders = (root / CPUS).glob("cpu[0-9]*/topology")
    cores = all_known(_read(folder / "thread_siblings_list") for folder in folders)
    if isinstance(cores, Absent) or not cores:
        return Absent(reason="the kernel does not describe the cores' topology")
    return len(set(cores))


def _numa_nodes(root: Path) -> int | Absent:
    nodes = list((root / "sys/devices/system/node").glob("node[0-9]*"))
    return len(nodes) or Absent(reason="the kernel does not describe memory's nodes")


def _max_clock_mhz(root: Path) -> float | Absent:
    """The highest of any core: of a hybrid processor the first may be one of the slow ones."""
    found = [_read(file) for file in (root / CPUS).glob("cpu[0-9]*/cpufreq/cpuinfo_max_freq")]
    khz = [int(text) for text in found if not isinstance(text, Absent) and text.isdigit()]
    if not khz:
        return Absent(
            reason="no cpufreq interface: a virtual machine, or no driver for it",
            remedy="On real hardware, load the processor's cpufreq driver.",
        )
    return max(khz) / 1000


def _read(path: Path) -> str | Absent:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        return Absent(reason=f"{path.name} cannot be read: {error.strerror}")
