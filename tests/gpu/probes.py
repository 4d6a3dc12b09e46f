"""Questions to a real card that no document answers: counter, calls, power tail, memory, name, soak.

A ``Load`` is what makes the card work; torch on CUDA when it is real, anything else in the tests.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from dlbench.core.energy import Point
from dlbench.core.protocols import Meter
from dlbench.core.types import Absent, Check, DeviceInfo, Reading
from dlbench.core.units import MIB
from dlbench.devices import nvidia
from dlbench.measure.energy import SPARE_S
from tests.gpu import checks

POLL_S = 1e-3
POWER_POLL_S = 0.02
SAMPLER_S = 0.1
"""As the product does: counters a thousand times a second, power fifty, everything ten times."""

IDLE_S = 4.0
WORK_S = 4.0
N_READS = 100
KNOWN_MIB = 1024.0


class Load(Protocol):
    """What makes a card work."""

    def work(self, seconds: float) -> None:
        """Work for that long, and return once the device is synchronised."""
        ...

    def allocate(self, mib: float) -> object:
        """Hold that much memory of the device for as long as the answer lives."""
        ...

    def memory_mib(self) -> Mapping[str, float | Absent]:
        """What the framework says that it holds at most, by name."""
        ...

    def uuid(self) -> str | Absent:
        """The device's UUID as CUDA has it."""
        ...


def poll(meter: Meter, quantity: str, seconds: float, every_s: float) -> list[Point]:
    """Read one quantity for some time."""
    found: list[Point] = []
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        found += points(meter.read(), quantity)
        time.sleep(every_s)
    return found


def points(readings: Sequence[Reading], quantity: str) -> list[Point]:
    """A quantity's readings as points; what is absent is left out."""
    return [
        (r.t_s, r.value)
        for r in readings
        if r.quantity == quantity and not isinstance(r.value, Absent)
    ]


def counter_period(device: DeviceInfo, seconds: float = IDLE_S) -> Check:
    """Watch the idle counter."""
    meter = nvidia.energy_meters(device)[0]
    first = meter.read()[0].value
    if isinstance(first, Absent):
        return Check(rule="counter_period", passed=None, detail=first.reason)
    return checks.counter_period(poll(meter, "energy_counter_j", seconds, POLL_S))


def call_latency(device: DeviceInfo, n_reads: int = N_READS) -> Check:
    """Time each question of a full read."""
    meter = nvidia.meters(device)[0]
    meter.read()
    starts_s, reads = [], []
    for _ in range(n_reads):
        starts_s.append(time.monotonic())
        reads.append(meter.read())
    return checks.call_latency(checks.call_latencies_s(reads, starts_s))


def power_tail(device: DeviceInfo, load: Load, seconds: float = WORK_S) -> Check:
    """Watch power before, during and after work."""
    meter = nvidia.power_meters(device)[0]
    meter.read()
    averaging_s = getattr(meter, "averaging_s", {}).get("power_w", 0.0)
    found: list[Point] = []
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(meter, found, stop))
    watcher.start()
    try:
        time.sleep(seconds / 2)
        start_s = time.monotonic()
        load.work(seconds)
        end_s = time.monotonic()
        time.sleep(seconds)
    finally:
        stop.set()
        watcher.join()
    return checks.power_tail(found, (start_s, end_s), SPARE_S + averaging_s)


def _watch(meter: Meter, found: list[Point], stop: threading.Event) -> None:
    while not stop.wait(POWER_POLL_S):
        found += points(meter.read(), "power_w")


def memory(device: DeviceInfo, load: Load, known_mib: float = KNOWN_MIB) -> Check:
    """Allocate a known amount, and see which numbers rise by it."""
    load.work(0.1)
    before = _memory_mib(device, load)
    held = load.allocate(known_mib)
    after = _memory_mib(device, load)
    del held
    return checks.memory(known_mib, {n: _rise(before[n], after[n]) for n in before})


def _memory_mib(device: DeviceInfo, load: Load) -> dict[str, float | Absent]:
    used = points(nvidia.meters(device)[0].read(), "memory_used_mib")
    return {
        **load.memory_mib(),
        "device": used[0][1] if used else Absent(reason="the driver does not say"),
        "process": nvidia.memory_held_mib(device, os.getpid()),
    }


def _rise(before: float | Absent, after: float | Absent) -> float | Absent:
    if isinstance(before, Absent):
        return before
    return after if isinstance(after, Absent) else after - before


def same_device(device: DeviceInfo, load: Load) -> Check:
    """Compare the two names of the card."""
    return checks.same_device(device.uuid, load.uuid())


def soak(
    device: DeviceInfo,
    load: Load,
    seconds: float,
    told: Callable[[float], None] = lambda _: None,
) -> Check:
    """Read everything ten times a second under load, and watch this process meanwhile.

    Args:
        device: the card.
        load: works in bursts of a second all the time.
        seconds: how long.
        told: is told the seconds that are left, after each burst.
    """
    import psutil

    process, meter = psutil.Process(), nvidia.meters(device)[0]
    reads: list[Sequence[Reading]] = []
    stop = threading.Event()

    def read() -> None:
        due_s = time.monotonic()
        while not stop.is_set():
            reads.append(meter.read())
            due_s += SAMPLER_S
            stop.wait(max(0.0, due_s - time.monotonic()))

    rss_mib, files = [], []
    reader = threading.Thread(target=read)
    reader.start()
    try:
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            load.work(min(1.0, left_s))
            rss_mib.append(process.memory_info().rss / MIB)
            files.append(len(list(Path("/proc/self/fd").iterdir())))
            told(left_s)
    finally:
        stop.set()
        reader.join()
    return checks.soak(reads, SAMPLER_S, rss_mib, files)
