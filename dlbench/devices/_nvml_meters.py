"""What NVML can be read of one GPU while it works: energy, power, clock, heat, memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dlbench.core.reasons import Reason
from dlbench.core.types import Absent, DeviceInfo, Reading
from dlbench.devices import _nvml
from dlbench.devices._nvml import Gpu, known

MIB = 1024 * 1024

Answer = float | Absent

THROTTLE_BITS = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "thermal (software)",
    0x40: "thermal (hardware)",
    0x80: "power brake",
}
"""Bits of ``throttle_reasons_bits`` that mean slower than wanted (nvmlClocksEventReason...).

Idle clocks, clocks set by the user and display clocks are choices, not throttling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """A process that holds memory of a GPU; ``pid`` is the host's, also inside a container."""

    pid: int
    memory_mib: float | Absent


def meters(device: DeviceInfo) -> tuple[NvmlMeter | SilentMeter, ...]:
    """One meter that reads all that this GPU answers, or one that says why there is none."""
    gpu = _open(device)
    if isinstance(gpu, Absent):
        return (SilentMeter(device.id, gpu),)
    return (NvmlMeter(gpu, device.id),)


def processes(device: DeviceInfo) -> tuple[GpuProcess, ...] | Absent:
    """The processes that compute on this GPU now, this one included."""
    gpu = _open(device)
    if isinstance(gpu, Absent):
        return gpu
    found = gpu.ask("nvmlDeviceGetComputeRunningProcesses")
    if isinstance(found, Absent):
        return found
    return tuple(
        GpuProcess(
            pid=p.pid,
            memory_mib=Absent(reason="the driver does not say")
            if p.usedGpuMemory is None
            else p.usedGpuMemory / MIB,
        )
        for p in found
    )


def memory_held_mib(device: DeviceInfo, pid: int) -> float | Absent:
    """What ``pid`` holds of this GPU: context, libraries and allocator together."""
    found = processes(device)
    if isinstance(found, Absent):
        return found
    for process in found:
        if process.pid == pid:
            return process.memory_mib
    return Absent(
        reason=f"the driver lists no process {pid} on {device.id}",
        remedy="In a container it names the host's processes: share its pids (--pid=host).",
    )


def throttle_words(bits: int) -> tuple[str, ...]:
    """Why the clocks are lower than wanted, in words; nothing if they are not."""
    return tuple(word for bit, word in THROTTLE_BITS.items() if bits & bit)


def _open(device: DeviceInfo) -> Gpu | Absent:
    if isinstance(device.uuid, Absent):
        return device.uuid
    nvml = _nvml.load()
    return nvml if isinstance(nvml, Absent) else _nvml.by_uuid(nvml, device.uuid)


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
    """Energy, power, heat, clock, utilisation, throttling and memory of one GPU."""

    def __init__(self, gpu: Gpu, device_id: str) -> None:
        self._gpu = gpu
        self._source = f"nvml:{device_id}"
        self._energy_shared = gpu.shares_its_board("energy")
        self._power_shared = gpu.shares_its_board("power")
        self._last_mj: float | None = None
        self._reset: Absent | None = None
        self._quantities: dict[str, Callable[[], Answer]] = {
            "energy_counter_j": self._energy_j,
            "power_w": self._power_w,
            "temperature_c": self._temperature_c,
            "sm_clock_mhz": lambda: self._with("nvmlDeviceGetClockInfo", "NVML_CLOCK_SM"),
            "utilisation_percent": lambda: known(
                gpu.ask("nvmlDeviceGetUtilizationRates"), lambda rates: float(rates.gpu)
            ),
            "throttle_reasons_bits": self._throttle_bits,
            "memory_used_mib": lambda: known(
                gpu.ask("nvmlDeviceGetMemoryInfo"), lambda memory: memory.used / MIB
            ),
        }

    def read(self) -> Sequence[Reading]:
        """Read every quantity; what fails is Absent with NVML's words."""
        return tuple(self._readings())

    def _readings(self) -> Iterator[Reading]:
        for quantity, ask in self._quantities.items():
            value = ask()
            yield Reading(t_s=time.monotonic(), source=self._source, quantity=quantity, value=value)

    def _energy_j(self) -> Answer:
        """The counter since the driver was loaded; once it ran backwards, nothing more."""
        if self._energy_shared is not None:
            return self._energy_shared
        counter_mj = self._gpu.ask("nvmlDeviceGetTotalEnergyConsumption")
        if isinstance(counter_mj, Absent):
            return counter_mj
        if self._last_mj is not None and counter_mj < self._last_mj:
            self._reset = Absent(
                reason="the energy counter was reset while it was read",
                remedy="The driver was reloaded: run again.",
                code=Reason.COUNTER_RESET,
            )
        self._last_mj = counter_mj
        return self._reset or counter_mj / 1000

    def _power_w(self) -> Answer:
        if self._power_shared is not None:
            return self._power_shared
        return _number(known(self._gpu.ask("nvmlDeviceGetPowerUsage"), lambda mw: mw / 1000))

    def _temperature_c(self) -> Answer:
        """By the versioned question first: newer drivers drop the older one."""
        newer = self._with("nvmlDeviceGetTemperatureV", "NVML_TEMPERATURE_GPU")
        if not isinstance(newer, Absent):
            return newer
        return self._with("nvmlDeviceGetTemperature", "NVML_TEMPERATURE_GPU")

    def _throttle_bits(self) -> Answer:
        """By the name of the day; drivers before 535 know the older one only."""
        newer = self._gpu.board.ask("nvmlDeviceGetCurrentClocksEventReasons")
        if not isinstance(newer, Absent):
            return _number(newer)
        return _number(self._gpu.board.ask("nvmlDeviceGetCurrentClocksThrottleReasons"))

    def _with(self, name: str, constant: str) -> Answer:
        """Heat and clocks are the board's, also for a slice."""
        value = self._gpu.constant(constant)
        return value if isinstance(value, Absent) else _number(self._gpu.board.ask(name, value))


def _number(found: float | Absent) -> Answer:
    return found if isinstance(found, Absent) else float(found)
