"""What the sampler costs the work beside it: the same null steps with it and without, taken in turns.

    sampler  runs | stands | stands | runs | runs | stands | ...
    steps    ......................................................

One sampler process is stopped and continued by signals, so that neither its start nor anything else
differs between the halves. The steps are hashes of a fixed block: about a millisecond, all processor.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
from collections.abc import Mapping

from dlbench.core.reasons import Reason
from dlbench.core.types import Absent, DeviceInfo, Fact, TelemetryLevel
from dlbench.telemetry.host import core_s
from dlbench.telemetry.sampler import Sampler

BLOCK_S = 0.2
"""A turn: two readings of the sampler fall into it."""

TURNS = (True, False, False, True, True, False, False, True)
"""With the sampler or without; a slow drift of the machine is in both halves alike."""

READY_S = 5.0
"""A sampler that has read nothing after this long is not waited for."""

SETTLE_S = 0.3
"""The second and third readings: what is loaded at the first use is not what a reading costs."""

STEP_BYTES = 1 << 20

LEAST_STEPS = 100
"""Fewer steps have no 99th percentile."""

Notes = dict[str, Fact]


def measure(device: DeviceInfo, level: TelemetryLevel | None) -> Notes:
    """Notes of a run: relative change of median and p99 step time, share of a core, seconds to start.

    Nothing is measured, and nothing noted, where telemetry is off.
    """
    if level in (None, TelemetryLevel.OFF):
        return {}
    sampler = Sampler(device, level)
    start_s = time.monotonic()
    sampler.start(os.getpid())
    try:
        ready_s = _await(sampler, start_s)
        if isinstance(ready_s, Absent) or sampler.pid is None:
            return {"telemetry_start_s": ready_s}
        start_cpu_s = core_s(sampler.pid)
        time.sleep(SETTLE_S)
        started: Notes = {"telemetry_start_s": ready_s, "telemetry_start_cpu_s": start_cpu_s}
        return {**started, **_take_turns(sampler.pid)}
    finally:
        sampler.stop()


def _await(sampler: Sampler, start_s: float) -> float | Absent:
    """Seconds until its first reading."""
    while time.monotonic() - start_s < READY_S:
        if sampler.has_read:
            return time.monotonic() - start_s
        time.sleep(0.005)
    return Absent(reason="the sampler read nothing", code=Reason.SAMPLER_LATE)


def _take_turns(pid: int) -> Notes:
    steps_s: Mapping[bool, list[float]] = {True: [], False: []}
    before_s = core_s(pid)
    running_s = 0.0
    try:
        for beside in TURNS:
            os.kill(pid, signal.SIGCONT if beside else signal.SIGSTOP)
            spans_s = _steps(BLOCK_S)
            steps_s[beside].extend(spans_s)
            running_s += sum(spans_s) if beside else 0.0
    except ProcessLookupError:
        gone = Absent(reason="the sampler ended meanwhile", code=Reason.SAMPLER_KILLED)
        return {"telemetry_overhead_median": gone, "telemetry_overhead_p99": gone}
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    used_s = core_s(pid)
    return {
        "telemetry_overhead_median": _change(steps_s, 0.5),
        "telemetry_overhead_p99": _change(steps_s, 0.99),
        "telemetry_core_share": used_s
        if isinstance(used_s, Absent)
        else before_s
        if isinstance(before_s, Absent)
        else (used_s - before_s) / running_s,
    }


def _steps(seconds: float) -> list[float]:
    block = bytes(STEP_BYTES)
    spans_s = []
    end_s = time.perf_counter() + seconds
    while (start_s := time.perf_counter()) < end_s:
        hashlib.sha256(block).digest()
        spans_s.append(time.perf_counter() - start_s)
    return spans_s


def _change(steps_s: Mapping[bool, list[float]], share: float) -> float | Absent:
    """By how much a percentile is larger with the sampler, relative."""
    if min(map(len, steps_s.values())) < LEAST_STEPS:
        return Absent(reason="too few null steps for a percentile", remedy="Use a quieter machine.")
    beside, alone = (
        sorted(steps_s[which])[int(share * (len(steps_s[which]) - 1))] for which in (True, False)
    )
    return beside / alone - 1
