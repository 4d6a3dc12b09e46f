"""How long heat held the processors back, by the kernel's own account, and how fast they run.

Linux adds up the time in which each core and each package was over its temperature limit (since 5.5,
on processors of Intel; others' are not counted). Like a GPU's cumulative counters these miss no short
event. The clock is kept beside them and judges nothing: with all cores at work it is always lower than
the highest (docs/decisions/0018).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dlbench.core.reasons import Reason
from dlbench.core.types import Absent, Reading, all_known

CPUS_VARIABLE = "DLBENCH_CPUS_ROOT"
"""Another folder than /sys/devices/system/cpu, for tests."""

CORES_EVERY_S = 1.0
"""Cores are many, and their counters forget nothing: once a second is enough."""

CLOCKS_WATCHED = 4
"""Where old kernels let a question for a core's clock wait for ten milliseconds, more would be late."""

CORE_FILE = "thermal_throttle/core_throttle_total_time_ms"
PACKAGE_FILE = "thermal_throttle/package_throttle_total_time_ms"
CLOCK_FILE = "cpufreq/scaling_cur_freq"

UNCOUNTED = Absent(
    reason="the kernel does not count how long heat held the processor back (a virtual machine, a "
    "processor that is not Intel's, or Linux before 5.5)",
    code=Reason.NO_SENSOR,
)

CLOCKLESS = Absent(
    reason="no cpufreq interface: a virtual machine, or no driver for it", code=Reason.NO_SENSOR
)


def cpus_root() -> Path:
    """Where the kernel shows the processors."""
    return Path(os.environ.get(CPUS_VARIABLE, "/sys/devices/system/cpu"))


class ThermalMeter:
    """Seconds of each package and of the mean core over their limit, and the fastest watched clock.

    ``throttled_cores_s`` is always there and may be Absent; ``throttled_package_<n>_s`` where counted.
    """

    def __init__(self, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        cpus = sorted(root.glob("cpu[0-9]*"), key=lambda cpu: int(cpu.name[3:]))
        self._cores = [cpu / CORE_FILE for cpu in cpus if (cpu / CORE_FILE).exists()]
        self._packages = _packages(cpus)
        clocked = [cpu / CLOCK_FILE for cpu in cpus if (cpu / CLOCK_FILE).exists()]
        self._clocks = clocked[:CLOCKS_WATCHED]
        self._seldom: tuple[float | Absent, float | Absent] = (UNCOUNTED, CLOCKLESS)
        self._due_s = -float("inf")

    def read(self) -> Sequence[Reading]:
        """Packages now; cores and clocks as they were within the last second."""
        now_s = self._clock()
        if now_s >= self._due_s:
            self._due_s = now_s + CORES_EVERY_S
            self._seldom = self._cores_s(), self._clock_mhz()
        return tuple(
            Reading(t_s=now_s, source="thermal", quantity=quantity, value=value)
            for quantity, value in self._values()
        )

    def _values(self) -> Iterator[tuple[str, float | Absent]]:
        yield "throttled_cores_s", self._seldom[0]
        for number, file in self._packages.items():
            ms = _number(file)
            yield (
                f"throttled_package_{number}_s",
                ms if isinstance(ms, Absent) else ms / 1e3,
            )
        yield "core_clock_mhz", self._seldom[1]

    def _cores_s(self) -> float | Absent:
        found = all_known(map(_number, self._cores))
        if isinstance(found, Absent):
            return found
        return sum(found) / len(found) / 1e3 if found else UNCOUNTED

    def _clock_mhz(self) -> float | Absent:
        found = all_known(map(_number, self._clocks))
        if isinstance(found, Absent):
            return found
        return max(found) / 1e3 if found else CLOCKLESS


def _packages(cpus: Sequence[Path]) -> dict[int, Path]:
    """The counter of each package, which all of its processors show."""
    found: dict[int, Path] = {}
    for cpu in cpus:
        number = _number(cpu / "topology/physical_package_id")
        if not isinstance(number, Absent) and (cpu / PACKAGE_FILE).exists():
            found.setdefault(number, cpu / PACKAGE_FILE)
    return dict(sorted(found.items()))


def _number(file: Path) -> int | Absent:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        return Absent(reason=f"{file.name} cannot be read: {error}", code=Reason.NO_SENSOR)
