"""The host's processors as one device, and RAPL as its energy meter."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from dlbench.core.types import Absent, DeviceInfo, Precision, Reading

POWERCAP_VARIABLE = "DLBENCH_POWERCAP_ROOT"
"""Another folder than /sys/class/powercap, for tests."""

CLOCK_BOUND_HZ = 6.5e9
"""No server or desktop core runs faster; used where no clock can be read. The peak is an upper bound
against implausible results, never a claim of what the machine reaches."""

FP32_FLOP_PER_CYCLE = {"avx512f": 64, "avx2": 32, "asimd": 32, "sse2": 16}
"""Two fused multiply-add units of the vector's width, the most that any core of the kind has."""

BF16_FLOP_PER_CYCLE = {"amx_bf16": 2048, "avx512_bf16": 128, "bf16": 64}
"""AMX: 16x16x32 products in 16 cycles; AVX-512: two dot-product units; Arm: BFMMLA."""

NOTABLE_FLAGS = (
    "sse2",
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "sve",
    "bf16",
    "i8mm",
)


def find() -> tuple[DeviceInfo, ...] | Absent:
    """There is always exactly one."""
    return (describe(),)


def describe(root: Path = Path("/")) -> DeviceInfo:
    """The CPU device as the kernel describes it; ``root`` stands in for / in tests."""
    info = _cpuinfo(root)
    flags = set(info.get("flags", info.get("Features", "")).split())
    logical = os.cpu_count() or 1
    bf16 = next((n for flag, n in BF16_FLOP_PER_CYCLE.items() if flag in flags), None)
    fp32 = next((n for flag, n in FP32_FLOP_PER_CYCLE.items() if flag in flags), None)
    per_cycle = {Precision.FP32: fp32, Precision.BF16: bf16}
    return DeviceInfo(
        id="cpu",
        kind="cpu",
        name=_name(info),
        uuid=Absent(reason="processors have no identity that may be published"),
        memory_mib=_memory_mib(root),
        precisions=(Precision.FP32, *((Precision.BF16,) if bf16 else ())),
        peak_flops={
            precision: n * logical * CLOCK_BOUND_HZ for precision, n in per_cycle.items() if n
        },
        facts={
            "logical_cores": logical,
            "physical_cores": _physical_cores(root),
            "flags": " ".join(flag for flag in NOTABLE_FLAGS if flag in flags),
            "governor": _read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            "max_clock_mhz": _max_clock_mhz(root),
            "smt": _read(root / "sys/devices/system/cpu/smt/active"),
        },
    )


def child_environment(device: DeviceInfo) -> Mapping[str, str]:  # noqa: ARG001
    """A worker on the CPU sees no accelerator."""
    return {"CUDA_VISIBLE_DEVICES": ""}


def _cpuinfo(root: Path) -> dict[str, str]:
    try:
        text = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    first = text.split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _name(info: Mapping[str, str]) -> str:
    return info.get("model name") or info.get("Processor") or platform.machine() or "CPU"


def _memory_mib(root: Path) -> float | Absent:
    try:
        for line in (root / "proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) / 1024
    except OSError as error:
        return Absent(reason=f"/proc/meminfo cannot be read: {error.strerror}")
    return Absent(reason="/proc/meminfo states no total")


def _physical_cores(root: Path) -> int | Absent:
    cores = set()
    for folder in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/topology"):
        package = _read(folder / "physical_package_id")
        core = _read(folder / "core_id")
        if isinstance(package, Absent) or isinstance(core, Absent):
            return Absent(reason="the kernel does not describe the cores' topology")
        cores.add((package, core))
    return len(cores) if cores else Absent(reason="the kernel does not describe the topology")


def _max_clock_mhz(root: Path) -> float | Absent:
    khz = _read(root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
    if isinstance(khz, Absent):
        return Absent(reason="no cpufreq interface: a virtual machine, or no driver for it")
    return int(khz) / 1000


def _read(path: Path) -> str | Absent:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        return Absent(reason=f"{path.name} cannot be read: {error.strerror}")


# --- energy ---------------------------------------------------------------------------------


def meters(device: DeviceInfo) -> tuple[RaplMeter, ...]:  # noqa: ARG001
    """RAPL's packages, or one meter that says why there are none."""
    return (RaplMeter(powercap_root()),)


def powercap_root() -> Path:
    """Where the kernel shows RAPL."""
    return Path(os.environ.get(POWERCAP_VARIABLE, "/sys/class/powercap"))


class RaplMeter:
    """The energy counters of all packages; each is made to never run backwards.

    Sub-zones (core, uncore) are parts of their package, ``intel-rapl-mmio`` shows the same packages
    a second time, and dram is beside them: only packages are read.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._last_uj: dict[Path, int] = {}
        self._wrapped_uj: dict[Path, int] = {}

    def read(self) -> Sequence[Reading]:
        """One reading a package, or one that says what is missing."""
        zones = package_zones(self._root)
        if isinstance(zones, Absent):
            return (_reading("rapl", zones),)
        return tuple(_reading(f"rapl:{_zone_name(zone)}", self._counter_j(zone)) for zone in zones)

    def _counter_j(self, zone: Path) -> float | Absent:
        try:
            now_uj = int((zone / "energy_uj").read_text(encoding="utf-8"))
            range_uj = int((zone / "max_energy_range_uj").read_text(encoding="utf-8"))
        except PermissionError:
            return Absent(
                reason="RAPL may be read by root only (Linux 5.10 and later)",
                remedy=f"sudo chmod a+r {zone}/energy_uj",
            )
        except (OSError, ValueError) as error:
            return Absent(reason=f"RAPL cannot be read: {error}")
        last_uj = self._last_uj.get(zone, now_uj)
        if now_uj < last_uj:
            self._wrapped_uj[zone] = self._wrapped_uj.get(zone, 0) + range_uj
        self._last_uj[zone] = now_uj
        return (self._wrapped_uj.get(zone, 0) + now_uj) / 1e6


def package_zones(root: Path) -> list[Path] | Absent:
    """The folders of RAPL's packages, or why there are none."""
    if not root.is_dir():
        return Absent(
            reason="no RAPL interface (a virtual machine, or no powercap driver)",
            remedy="on real hardware: sudo modprobe intel_rapl_msr",
        )
    zones = [
        zone
        for zone in sorted(root.glob("intel-rapl:*"))
        if zone.name.count(":") == 1 and _zone_name(zone).startswith("package")
    ]
    return zones or Absent(
        reason="the powercap interface has no RAPL package",
        remedy="on real hardware: sudo modprobe intel_rapl_msr",
    )


def _zone_name(zone: Path) -> str:
    name = _read(zone / "name")
    return zone.name if isinstance(name, Absent) else name


def _reading(source: str, value: float | Absent) -> Reading:
    return Reading(t_s=time.monotonic(), source=source, quantity="energy_counter_j", value=value)
