"""What NVML can be read of one GPU while it works, asked for by capability and never by architecture.

Power and energy can be asked for in several ways. The first that answers is kept for the life of the
meter: a meter that changed its source in mid-run would show a step that the device never made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dlbench.core.reasons import Reason
from dlbench.core.telemetry import THROTTLE_COUNTERS
from dlbench.core.trial_energy import COUNTER
from dlbench.core.types import Absent, DeviceInfo, Reading, all_known
from dlbench.core.units import MIB
from dlbench.devices import _nvml
from dlbench.devices._nvml import Gpu, known

Answer = float | Absent

Question = Callable[[], Answer]

THROTTLE_FIELDS = dict(zip(THROTTLE_COUNTERS, (74, 269, 270, 271), strict=True))
"""Fields that count the nanoseconds of each reason since the driver was loaded: a poll ten times a
second misses short ones."""

FIELD_TOTAL_ENERGY = 83
FIELD_POWER_AVERAGE = 185
FIELD_POWER_INSTANT = 186
SCOPE_MODULE = 1
"""nvml.h: NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION, NVML_FI_DEV_POWER_AVERAGE, NVML_FI_DEV_POWER_INSTANT,
NVML_POWER_SCOPE_MODULE (GPU, memory and processor of a superchip together)."""

AVERAGED_S = 1.0
"""nvmlDeviceGetPowerUsage: the mean of a second on Ampere (except GA100) and newer, else instant."""

FIRST_AVERAGED = (8, 6)
"""A compute capability: A100 and A30 (GA100) are 8.0, all other Ampere chips 8.6 and 8.7."""

NVML_MEMORY_V2 = 0x02000028
"""nvml.h: version and size of nvmlMemory_v2_t."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to ask for a quantity: in words, how, and over how long the answer is a mean."""

    words: str
    ask: Question
    averaging_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """A process that holds memory of a GPU; ``pid`` is the host's, also inside a container."""

    pid: int
    memory_mib: float | Absent


Meters = tuple["NvmlMeter | SilentMeter"]


def meters(device: DeviceInfo) -> Meters:
    """One meter that reads all that this GPU answers, or one that says why there is none."""
    return _opened(device, lambda gpu: NvmlMeter(gpu, device.id))


def energy_meters(device: DeviceInfo) -> Meters:
    """The energy counter alone, to be read a thousand times a second."""
    return _opened(device, lambda gpu: NvmlMeter(gpu, device.id, only=(COUNTER,)))


def power_meters(device: DeviceInfo) -> Meters:
    """Power alone, for a card whose integral is all there is."""
    return _opened(device, lambda gpu: NvmlMeter(gpu, device.id, only=("power_w",), prefix="power"))


def sampler_meters(device: DeviceInfo, pids: Callable[[], frozenset[int]], *, full: bool) -> Meters:
    """All of ``meters`` and who else computes on the GPU; ``full`` adds what moves over PCIe.

    Args:
        device: the GPU or slice.
        pids: the processes that are measured: all others are foreign.
        full: ask also what is slow to answer (20 ms a call for PCIe traffic).
    """
    return _opened(device, lambda gpu: NvmlMeter(gpu, device.id, pids=pids, full=full))


def _opened(device: DeviceInfo, made: Callable[[Gpu], NvmlMeter]) -> Meters:
    """A meter of this GPU, or one that says why there is none."""
    gpu = _open(device)
    return (SilentMeter(device.id, gpu) if isinstance(gpu, Absent) else made(gpu),)


def processes(device: DeviceInfo) -> tuple[GpuProcess, ...] | Absent:
    """The processes that compute on this GPU now, this one included."""
    gpu = _open(device)
    return gpu if isinstance(gpu, Absent) else _processes(gpu)


def _processes(gpu: Gpu) -> tuple[GpuProcess, ...] | Absent:
    found = gpu.ask("nvmlDeviceGetComputeRunningProcesses")
    if isinstance(found, Absent):
        return found
    return tuple(
        GpuProcess(
            pid=p.pid,
            memory_mib=Absent(reason="the driver does not say", code=Reason.NOT_SUPPORTED)
            if p.usedGpuMemory is None
            else p.usedGpuMemory / MIB,
        )
        for p in found
    )


def occupants(device: DeviceInfo) -> tuple[int, ...] | Absent:
    """Ids of the processes that compute on this GPU now; a desktop's drawing is not counted."""
    found = processes(device)
    return found if isinstance(found, Absent) else tuple(p.pid for p in found)


def memory_held_mib(device: DeviceInfo, pid: int) -> float | Absent:
    """What ``pid`` holds of this GPU: context, libraries and allocator together."""
    found = processes(device)
    if isinstance(found, Absent):
        return found
    for process in found:
        if process.pid == pid:
            return process.memory_mib
    return _not_listed(device.id, pid)


def _not_listed(device_id: str, pid: int) -> Absent:
    return Absent(
        reason=f"the driver lists no process {pid} on {device_id}",
        remedy="In a container it names the host's processes: share its pids (--pid=host).",
        code=Reason.PIDS_DIFFER,
    )


def _open(device: DeviceInfo) -> Gpu | Absent:
    if isinstance(device.uuid, Absent):
        return device.uuid
    nvml = _nvml.load()
    return nvml if isinstance(nvml, Absent) else _nvml.by_uuid(nvml, device.uuid)


class SilentMeter:
    """Says at each read why nothing can be read."""

    methods: Mapping[str, str] = {}
    averaging_s: Mapping[str, float] = {}

    def __init__(self, device_id: str, reason: Absent) -> None:
        self._source = f"nvml:{device_id}"
        self._reason = reason

    def read(self) -> Sequence[Reading]:
        """The reason."""
        return (
            Reading(
                t_s=time.monotonic(),
                source=self._source,
                quantity=COUNTER,
                value=self._reason,
            ),
        )


class NvmlMeter:
    """Energy, power, heat, clocks, utilisation, throttling, memory and neighbours of one GPU.

    ``only`` limits it to some quantities; ``methods`` and ``averaging_s`` say how each was asked for.
    """

    def __init__(
        self,
        gpu: Gpu,
        device_id: str,
        *,
        only: Sequence[str] = (),
        prefix: str = "nvml",
        pids: Callable[[], frozenset[int]] | None = None,
        full: bool = False,
    ) -> None:
        self._gpu = gpu
        self._device_id = device_id
        self._source = f"{prefix}:{device_id}"
        self._energy_shared = gpu.shares_its_board("energy")
        self._power_shared = gpu.shares_its_board("power")
        self._last_mj: float | None = None
        self._reset: Absent | None = None
        self._chosen: dict[str, Way] = {}
        self.methods: dict[str, str] = {}
        self.averaging_s: dict[str, float] = {}
        self._quantities = self._questions(full=full)
        if pids is not None:
            self._pids = pids
            self._quantities["other_processes_count"] = self._n_others
            self._quantities["other_processes_mib"] = self._others_mib
        if only:
            self._quantities = {name: self._quantities[name] for name in only}

    def read(self) -> Sequence[Reading]:
        """Read every quantity; what fails is Absent with NVML's words."""
        return tuple(self._readings())

    def _questions(self, *, full: bool) -> dict[str, Question]:
        gpu = self._gpu
        found: dict[str, Question] = {
            COUNTER: self._energy_j,
            "power_w": self._power_w,
            "temperature_c": self._temperature_c,
            "sm_clock_mhz": lambda: self._with("nvmlDeviceGetClockInfo", "NVML_CLOCK_SM"),
            "memory_clock_mhz": lambda: self._with("nvmlDeviceGetClockInfo", "NVML_CLOCK_MEM"),
            "utilisation_percent": lambda: known(
                gpu.ask("nvmlDeviceGetUtilizationRates"), lambda rates: float(rates.gpu)
            ),
            "throttle_reasons_bits": self._throttle_bits,
            "memory_used_mib": self._memory_used_mib,
            "power_limit_w": lambda: known(
                gpu.board.ask("nvmlDeviceGetEnforcedPowerLimit"), lambda mw: mw / 1000
            ),
        }
        # The link of an idle card is slowed to save power: what it is at work is seen at work.
        found["pcie_generation"] = lambda: _number(
            gpu.board.ask("nvmlDeviceGetCurrPcieLinkGeneration")
        )
        found["pcie_lanes_count"] = lambda: _number(gpu.board.ask("nvmlDeviceGetCurrPcieLinkWidth"))
        for name, number in THROTTLE_FIELDS.items():
            found[name] = self._throttled_s(number)
        if full:
            found["pcie_sent_mib_per_s"] = self._pcie("NVML_PCIE_UTIL_TX_BYTES")
            found["pcie_received_mib_per_s"] = self._pcie("NVML_PCIE_UTIL_RX_BYTES")
        return found

    def _readings(self) -> Iterator[Reading]:
        for quantity, ask in self._quantities.items():
            value = ask()
            yield Reading(t_s=time.monotonic(), source=self._source, quantity=quantity, value=value)

    # --- energy and power ---

    def _energy_j(self) -> Answer:
        """The counter since the driver was loaded; once it ran backwards, nothing more."""
        if self._energy_shared is not None:
            return self._energy_shared
        ways = (
            Way(
                words="total energy",
                ask=lambda: self._number("nvmlDeviceGetTotalEnergyConsumption"),
            ),
            Way(words="field 83", ask=lambda: self._gpu.field(FIELD_TOTAL_ENERGY)),
        )
        counter_mj = self._first(COUNTER, ways)
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
        ways = (
            Way(
                words="field 186, instant", ask=lambda: _drawn(self._gpu.field(FIELD_POWER_INSTANT))
            ),
            Way(
                words="field 186, instant, of the whole module",
                ask=lambda: _drawn(self._gpu.field(FIELD_POWER_INSTANT, SCOPE_MODULE)),
            ),
            Way(
                words="field 185, mean of a second",
                ask=lambda: _drawn(self._gpu.field(FIELD_POWER_AVERAGE)),
                averaging_s=AVERAGED_S,
            ),
            self._power_usage(),
        )
        return _scaled(self._first("power_w", ways), 1e-3)

    def _power_usage(self) -> Way:
        capability = self._gpu.board.ask("nvmlDeviceGetCudaComputeCapability")
        # Unknown is taken for the later kind: its windows are longer, and none is cut short.
        averaged = isinstance(capability, Absent) or tuple(capability) >= FIRST_AVERAGED
        return Way(
            words="power usage, mean of a second" if averaged else "power usage, instant",
            ask=lambda: self._number("nvmlDeviceGetPowerUsage"),
            averaging_s=AVERAGED_S if averaged else 0.0,
        )

    def _first(self, quantity: str, ways: Sequence[Way]) -> Answer:
        """The answer of the way that was chosen; the first that answers is, once and for all.

        Where none does, the reason is that of the one that nearly did: a way that is known to this
        driver says more than one that is not.
        """
        if quantity in self._chosen:
            return self._chosen[quantity].ask()
        refusals: list[Absent] = []
        for way in ways:
            answer = way.ask()
            if not isinstance(answer, Absent):
                self._chosen[quantity] = way
                self.methods[quantity] = way.words
                self.averaging_s[quantity] = way.averaging_s
                return answer
            refusals.append(answer)
        telling = [r for r in refusals if r.code not in UNTELLING]
        return (telling or [refusals[0] if quantity == COUNTER else refusals[-1]])[0]

    # --- the rest ---

    def _number(self, name: str) -> Answer:
        return _number(self._gpu.ask(name))

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

    def _throttled_s(self, number: int) -> Question:
        return lambda: _scaled(self._gpu.field(number), 1e-9)

    def _memory_used_mib(self) -> Answer:
        """Without what the driver reserves for itself, where it tells the two apart (version 2)."""
        newer = self._gpu.ask("nvmlDeviceGetMemoryInfo", NVML_MEMORY_V2)
        found = self._gpu.ask("nvmlDeviceGetMemoryInfo") if isinstance(newer, Absent) else newer
        return found if isinstance(found, Absent) else float(found.used) / MIB

    def _pcie(self, constant: str) -> Question:
        return lambda: _scaled(self._with("nvmlDeviceGetPcieThroughput", constant), 1 / 1024)

    def _with(self, name: str, constant: str) -> Answer:
        """Heat and clocks are the board's, also for a slice."""
        value = self._gpu.constant(constant)
        return value if isinstance(value, Absent) else _number(self._gpu.board.ask(name, value))

    def _others(self) -> tuple[GpuProcess, ...] | Absent:
        """Processes that are not measured; Absent where ours cannot be told from them."""
        found = _processes(self._gpu)
        if isinstance(found, Absent):
            return found
        ours = self._pids()
        if found and not any(p.pid in ours for p in found):
            return _not_listed(self._device_id, min(ours, default=0))
        return tuple(p for p in found if p.pid not in ours)

    def _n_others(self) -> Answer:
        found = self._others()
        return found if isinstance(found, Absent) else float(len(found))

    def _others_mib(self) -> Answer:
        found = self._others()
        if isinstance(found, Absent):
            return found
        each_mib = all_known(process.memory_mib for process in found)
        return each_mib if isinstance(each_mib, Absent) else sum(each_mib, 0.0)


UNTELLING = (Reason.NOT_SUPPORTED, Reason.FUNCTION_MISSING)
"""Refusals that only say that this driver or card has no such thing."""


def _drawn(found: Answer) -> Answer:
    """Milliwatts; a field that says 0 has no sensor behind it."""
    if isinstance(found, Absent) or found > 0:
        return found
    return Absent(reason="a power of 0 W is no reading", code=Reason.NOT_SUPPORTED)


def _scaled(found: Answer, unit: float) -> Answer:
    return found if isinstance(found, Absent) else round(found * unit, NANO)


NANO = 9
"""Digits that are kept: 250,000 mW are 250 W and not 250.00000000000003."""


def _number(found: float | Absent) -> Answer:
    return found if isinstance(found, Absent) else float(found)
