"""What happened around the measured process while it ran: contention, clocks, suspension.

Two snapshots, one at each edge of the steady window, and what their difference means.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from dlbench.measure.family import used_cpu_s

CONTENDED_SHARE = 0.05
"""Others taking 5 % of the cores that the trial may use can move a result by as much."""

CLOCK_STEP_S = 1.0
"""The wall clock moved against the monotonic one: somebody set it. Durations are not affected."""

LEAST_SPAN_S = 0.9
"""CPU times advance in ticks of 10 ms: over a shorter span they say nothing to within 5 %."""

SUSPENDED_S = 1.0
"""Time that the machine slept: CLOCK_BOOTTIME runs on, CLOCK_MONOTONIC stands still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Clocks and CPU time at one moment; CPU times in seconds, None where /proc does not say.

    ``busy_cpu_s`` and ``steal_s`` are of the ``n_cpus`` cores that this process may use and no others,
    ``own_cpu_s`` of the process with its descendants.
    """

    monotonic_s: float
    wall_s: float
    boot_s: float | None
    n_cpus: int
    own_cpu_s: float
    busy_cpu_s: float | None
    steal_s: float | None


TRIES = 5


def clock_pair(clock: Callable[[], float]) -> tuple[float, float] | None:
    """A clock and the kernel's boot clock at one moment, seconds; None where there is no boot clock.

    Of several tries the one with the least time around it: a thread may be held up between two reads.
    """
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return None
    tries = []
    for _ in range(TRIES):
        before_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        ours_s = clock()
        after_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        tries.append((after_s - before_s, ours_s, before_s))
    _, ours_s, boot_s = min(tries)
    return ours_s, boot_s


def snapshot(cpus: Collection[int], root: Path = Path("/")) -> Snapshot:
    """Take one now, of these cores; it may take some milliseconds, by threads and cores."""
    busy_s, steal_s = _cores_cpu_s(cpus, root)
    return Snapshot(
        monotonic_s=time.monotonic(),
        wall_s=time.time(),
        boot_s=time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else None,
        n_cpus=len(cpus),
        own_cpu_s=used_cpu_s(),
        busy_cpu_s=busy_s,
        steal_s=steal_s,
    )


def _cores_cpu_s(cpus: Collection[int], root: Path) -> tuple[float | None, float | None]:
    """Seconds that these cores together were busy, and were stolen by the hypervisor.

    Unknown too where some of them have no line: some containers number their cores anew.
    """
    names = {f"cpu{cpu}" for cpu in cpus}
    try:
        lines = [line.split() for line in (root / "proc/stat").read_text().splitlines()]
    except OSError:
        return None, None
    ticks = [
        [int(word) for word in words[1:9]] for words in lines if words[:1] and words[0] in names
    ]
    if len(ticks) < len(names) or not any(map(any, ticks)):
        # Never idle nor busy since the machine was started: a sandbox (gVisor) that writes noughts.
        return None, None
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(sum, zip(*ticks, strict=True))
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) * tick_s, steal * tick_s


def suspended(before: Snapshot, after: Snapshot) -> bool:
    """Whether the machine slept in between."""
    if before.boot_s is None or after.boot_s is None:
        return False
    slept_s = (after.boot_s - before.boot_s) - (after.monotonic_s - before.monotonic_s)
    return slept_s > SUSPENDED_S


def flags(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """``contended`` and ``clock_step``, as far as they can be known."""
    span_s = after.monotonic_s - before.monotonic_s
    found = []
    if abs((after.wall_s - before.wall_s) - span_s) > CLOCK_STEP_S:
        found.append("clock_step")
    share = foreign_share(before, after)
    if share is not None and share > CONTENDED_SHARE:
        found.append("contended")
    return tuple(found)


def foreign_share(before: Snapshot, after: Snapshot) -> float | None:
    """Share of our cores' time that others took or the hypervisor kept; None if unknown."""
    if before.busy_cpu_s is None or after.busy_cpu_s is None:
        return None
    span_s = after.monotonic_s - before.monotonic_s
    if span_s < LEAST_SPAN_S:
        return None
    busy_s = after.busy_cpu_s - before.busy_cpu_s
    steal_s = (after.steal_s or 0.0) - (before.steal_s or 0.0)
    own_s = after.own_cpu_s - before.own_cpu_s
    return max(0.0, (busy_s + steal_s - own_s) / (span_s * before.n_cpus))
