"""NVIDIA GPUs through nvidia-ml-py: what is here, what it can say of itself, and its meters.

Capabilities are probed, never assumed from the architecture: what a driver does not answer is Absent
with NVML's own words. Devices are named by UUID, since CUDA's order is not NVML's.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dlbench.core.types import Absent, DeviceInfo, Precision, Reading

LIBRARY_VARIABLE = "DLBENCH_NVML_LIBRARY"
"""Absolute path of another library with NVML's interface, such as one that replays a trace."""

MIB = 1024 * 1024

TENSOR_TO_FP32 = {7: 8, 8: 16, 9: 16, 10: 32, 12: 32}
"""Dense fp16 tensor operations a cycle over fp32 ones, the most of any chip of a major compute
capability (V100; A100; H100; B200): an upper bound against implausible results."""

PRECISIONS_FROM = (
    (Precision.FP32, (0, 0)),
    (Precision.FP16, (7, 0)),
    (Precision.INT8, (7, 5)),
    (Precision.TF32, (8, 0)),
    (Precision.BF16, (8, 0)),
)
"""The compute capability from which a precision has tensor cores (CUDA programming guide)."""

REMEDIES = {
    9: "Load the driver: sudo modprobe nvidia, or install it.",
    12: "Install the NVIDIA driver; in a container, give it the GPUs (--gpus all).",
    18: "Driver and library differ in version: reboot, or reload the driver.",
    4: "Your user may not use the GPU: see the permissions of /dev/nvidia*.",
    15: "The GPU has fallen off the bus: reboot.",
}


def find() -> tuple[DeviceInfo, ...] | Absent:
    """All GPUs (or MIG slices) that CUDA_VISIBLE_DEVICES lets through, or why there are none."""
    nvml = _nvml()
    if isinstance(nvml, Absent):
        return nvml
    handles = _handles(nvml)
    if isinstance(handles, Absent):
        return handles
    every = [_Gpu(nvml, handle) for handle in handles]
    chosen = visible(
        [(gpu.uuid(), gpu.name()) for gpu in every],
        os.environ.get("CUDA_VISIBLE_DEVICES"),
        by_bus=os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID",
    )
    if isinstance(chosen, Absent):
        return chosen
    return tuple(every[n].info(f"nvidia:{i}") for i, n in enumerate(chosen))


def child_environment(device: DeviceInfo) -> Mapping[str, str]:
    """A worker sees this GPU and no other, by UUID."""
    if isinstance(device.uuid, Absent):
        return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return {"CUDA_VISIBLE_DEVICES": device.uuid, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def visible(
    gpus: Sequence[tuple[str | Absent, str]], setting: str | None, *, by_bus: bool
) -> list[int] | Absent:
    """Positions of the GPUs that a CUDA_VISIBLE_DEVICES setting lets through, as CUDA reads it.

    Args:
        gpus: UUID and name of each, in NVML's (PCI bus) order.
        setting: the variable's value, None if it is not set.
        by_bus: whether CUDA_DEVICE_ORDER asks for NVML's order.
    """
    if setting is None:
        return list(range(len(gpus)))
    chosen: list[int] = []
    for word in (w.strip() for w in setting.split(",")):
        position = _position(gpus, word, by_bus=by_bus)
        if isinstance(position, Absent):
            return position
        # CUDA ignores everything from the first entry on that names no device.
        if position is None or position in chosen:
            break
        chosen.append(position)
    if not chosen:
        return Absent(
            reason=f"CUDA_VISIBLE_DEVICES={setting!r} hides every GPU", remedy="Unset it."
        )
    return chosen


def _position(
    gpus: Sequence[tuple[str | Absent, str]], word: str, *, by_bus: bool
) -> int | Absent | None:
    if word.startswith(("GPU-", "MIG-")):
        matches = [
            i for i, (uuid, _) in enumerate(gpus) if isinstance(uuid, str) and uuid.startswith(word)
        ]
        return matches[0] if len(matches) == 1 else None
    if not word.isdigit() or int(word) >= len(gpus):
        return None
    if not by_bus and len({name for _, name in gpus}) > 1:
        return Absent(
            reason="CUDA_VISIBLE_DEVICES holds an index, and CUDA's order of unlike GPUs is not the "
            "driver's",
            remedy="Set CUDA_DEVICE_ORDER=PCI_BUS_ID, or name GPUs by UUID (nvidia-smi -L).",
        )
    return int(word)


# --- NVML -----------------------------------------------------------------------------------


def _nvml() -> Any:  # noqa: ANN401 - the module pynvml, or Absent
    """The initialised binding, or why NVML cannot be used."""
    import pynvml

    path = os.environ.get(LIBRARY_VARIABLE)
    try:
        if path and pynvml.nvmlLib is None:
            pynvml.nvmlLib = ctypes.CDLL(path)
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return _absent("NVIDIA driver", error)
    except OSError as error:
        return Absent(reason=f"{path} is no NVML library: {error}", remedy="See docs/extend.")
    return pynvml


def _absent(what: str, error: Any) -> Absent:  # noqa: ANN401 - an NVMLError, which is unhashable
    code = getattr(error, "value", None)
    return Absent(reason=f"{what}: {error}", remedy=REMEDIES.get(code or 0, ""))


def _handles(nvml: Any) -> list[Any] | Absent:  # noqa: ANN401
    """Handles of all GPUs in PCI bus order; one in MIG mode is replaced by its slices."""
    handles: list[Any] = []
    failed: Absent | None = None
    try:
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        return _absent("NVIDIA driver", error)
    for i in range(count):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(i)
        except nvml.NVMLError as error:
            # One lost GPU must not hide the others.
            failed = _absent(f"GPU {i}", error)
            continue
        handles += _slices(nvml, handle) or [handle]
    if handles:
        return handles
    return failed or Absent(reason="the NVIDIA driver is loaded and sees no GPU")


def _slices(nvml: Any, handle: Any) -> list[Any]:  # noqa: ANN401
    try:
        current, _pending = nvml.nvmlDeviceGetMigMode(handle)
        if not current:
            return []
        most = nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except nvml.NVMLError:
        return []
    found = []
    for i in range(most):
        try:
            found.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, i))
        except nvml.NVMLError:
            continue
    return found


class _Gpu:
    """One handle, and what NVML says of it; each question may go unanswered."""

    def __init__(self, nvml: Any, handle: Any) -> None:  # noqa: ANN401
        self._nvml = nvml
        self._handle = handle

    def ask(self, name: str, *arguments: Any) -> Any:  # noqa: ANN401
        """Call one NVML function on this device; Absent with NVML's words if it refuses."""
        try:
            return getattr(self._nvml, name)(self._handle, *arguments)
        except (self._nvml.NVMLError, AttributeError) as error:
            return _absent(name.removeprefix("nvmlDeviceGet"), error)

    def name(self) -> str:
        found = self.ask("nvmlDeviceGetName")
        return "NVIDIA GPU" if isinstance(found, Absent) else _text(found)

    def uuid(self) -> str | Absent:
        found = self.ask("nvmlDeviceGetUUID")
        return found if isinstance(found, Absent) else _text(found)

    def info(self, device_id: str) -> DeviceInfo:
        capability = self.ask("nvmlDeviceGetCudaComputeCapability")
        known = (0, 0) if isinstance(capability, Absent) else tuple(capability)
        memory = self.ask("nvmlDeviceGetMemoryInfo")
        return DeviceInfo(
            id=device_id,
            kind="nvidia",
            name=self.name(),
            uuid=self.uuid(),
            memory_mib=memory if isinstance(memory, Absent) else memory.total / MIB,
            precisions=tuple(p for p, least in PRECISIONS_FROM if known >= least),
            peak_flops=self.peak_flops(known[0]),
            facts=self.facts(capability),
        )

    def peak_flops(self, major: int) -> dict[str, float]:
        """Upper bounds by precision, from cores and the highest clock; none if these are unknown."""
        cores = self.ask("nvmlDeviceGetNumGpuCores")
        clock_mhz = self.ask("nvmlDeviceGetMaxClockInfo", self._nvml.NVML_CLOCK_SM)
        if isinstance(cores, Absent) or isinstance(clock_mhz, Absent):
            return {}
        fp32 = 2.0 * cores * clock_mhz * 1e6
        peaks = {Precision.FP32.value: fp32}
        if factor := TENSOR_TO_FP32.get(major):
            peaks |= {
                Precision.FP16.value: fp32 * factor,
                Precision.BF16.value: fp32 * factor,
                Precision.TF32.value: fp32 * factor / 2,
                Precision.INT8.value: fp32 * factor * 2,
            }
        return peaks

    def facts(self, capability: Any) -> dict[str, str | int | float | bool | Absent]:  # noqa: ANN401
        nvml = self._nvml
        absent = isinstance(capability, Absent)
        return {
            "driver": _system(nvml, "nvmlSystemGetDriverVersion"),
            "cuda_driver": _system(nvml, "nvmlSystemGetCudaDriverVersion"),
            "compute_capability": capability if absent else ".".join(map(str, capability)),
            "sm_clock_max_mhz": self.ask("nvmlDeviceGetMaxClockInfo", nvml.NVML_CLOCK_SM),
            "memory_clock_max_mhz": self.ask("nvmlDeviceGetMaxClockInfo", nvml.NVML_CLOCK_MEM),
            "power_limit_w": _scaled(self.ask("nvmlDeviceGetEnforcedPowerLimit"), 1e-3),
            "pcie_generation": self.ask("nvmlDeviceGetCurrPcieLinkGeneration"),
            "pcie_width": self.ask("nvmlDeviceGetCurrPcieLinkWidth"),
            "persistence": _flag(self.ask("nvmlDeviceGetPersistenceMode")),
            "ecc": _flag(_first(self.ask("nvmlDeviceGetEccMode"))),
            "mig": _flag(_first(self.ask("nvmlDeviceGetMigMode"))),
            "mig_slice": self.name().find("MIG") >= 0,
        }


def _system(nvml: Any, name: str) -> str | Absent:  # noqa: ANN401
    try:
        return _text(getattr(nvml, name)())
    except (nvml.NVMLError, AttributeError) as error:
        return _absent(name.removeprefix("nvmlSystemGet"), error)


def _text(found: Any) -> str:  # noqa: ANN401 - older bindings answer bytes
    return found.decode() if isinstance(found, bytes) else str(found)


def _scaled(found: Any, factor: float) -> float | Absent:  # noqa: ANN401
    return found if isinstance(found, Absent) else found * factor


def _flag(found: Any) -> bool | Absent:  # noqa: ANN401
    return found if isinstance(found, Absent) else bool(found)


def _first(found: Any) -> Any:  # noqa: ANN401
    return found if isinstance(found, Absent) else found[0]


# --- meters ---------------------------------------------------------------------------------


def meters(device: DeviceInfo) -> tuple[NvmlMeter | SilentMeter, ...]:
    """One meter that reads all that this GPU answers, or one that says why there is none."""
    nvml = _nvml()
    if isinstance(nvml, Absent):
        return (SilentMeter(device.id, nvml),)
    if isinstance(device.uuid, Absent):
        return (SilentMeter(device.id, device.uuid),)
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(device.uuid)
    except nvml.NVMLError as error:
        return (SilentMeter(device.id, _absent(device.id, error)),)
    return (NvmlMeter(nvml, handle, device.id),)


class SilentMeter:
    """Says at each read why nothing can be read."""

    def __init__(self, device_id: str, reason: Absent) -> None:
        self._source = f"nvml:{device_id}"
        self._reason = reason

    def read(self) -> Sequence[Reading]:
        """The reason."""
        return (
            Reading(
                t_s=time.monotonic(),
                source=self._source,
                quantity="energy_counter_j",
                value=self._reason,
            ),
        )


class NvmlMeter:
    """Energy, power, temperature, clock, utilisation and memory of one GPU."""

    def __init__(self, nvml: Any, handle: Any, device_id: str) -> None:  # noqa: ANN401
        self._gpu = _Gpu(nvml, handle)
        self._source = f"nvml:{device_id}"
        self._quantities: tuple[tuple[str, Callable[[], Any]], ...] = (
            ("energy_counter_j", self._scaled("nvmlDeviceGetTotalEnergyConsumption", 1e-3)),
            ("power_w", self._scaled("nvmlDeviceGetPowerUsage", 1e-3)),
            (
                "temperature_c",
                lambda: self._gpu.ask("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
            ),
            (
                "sm_clock_mhz",
                lambda: self._gpu.ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
            ),
            ("memory_used_mib", self._memory_used),
        )

    def read(self) -> Sequence[Reading]:
        """Read every quantity; what fails is Absent with NVML's words."""
        readings = []
        for quantity, ask in self._quantities:
            found = ask()
            value = found if isinstance(found, Absent) else float(found)
            readings.append(
                Reading(t_s=time.monotonic(), source=self._source, quantity=quantity, value=value)
            )
        return readings

    def _scaled(self, name: str, factor: float) -> Callable[[], float | Absent]:
        return lambda: _scaled(self._gpu.ask(name), factor)

    def _memory_used(self) -> float | Absent:
        found = self._gpu.ask("nvmlDeviceGetMemoryInfo")
        return found if isinstance(found, Absent) else found.used / MIB
