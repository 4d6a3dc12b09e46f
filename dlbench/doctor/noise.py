"""What will disturb measuring on this machine, and what to do about each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from dlbench import environment
from dlbench.core.types import Absent, DeviceInfo, Fact
from dlbench.devices import nvidia
from dlbench.doctor.finding import Finding, Status
from dlbench.measure import conditions

Facts = Mapping[str, Fact]

GpuProcesses = Sequence[nvidia.GpuProcess] | Absent

BUSY_LOAD_SHARE = 0.2
"""A load of a fifth of the cores before anything was started shows in every interval."""

STOLEN_SHARE = 0.01
"""A hypervisor that keeps one hundredth of the time moves results by as much."""


WEIGHT: Mapping[Status, int] = {"problem": 0, "limited": 1, "missing": 2, "ok": 3}


def ranked(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """Causes of noise, the heaviest first.

    Within one weight they keep their order: what others do, then GPUs, then settings, each of which
    lists the worst first.
    """
    return tuple(sorted(found, key=lambda finding: WEIGHT[finding.status]))


def contention(
    facts: Facts, watched: tuple[conditions.Snapshot, conditions.Snapshot]
) -> Iterator[Finding]:
    """Whether others are at work: just now, and over the last minute."""
    cores, load = facts["logical_cores"], facts["load_1min"]
    n_cores = cores if isinstance(cores, int) else os.cpu_count() or 1
    share = conditions.foreign_share(*watched)
    stolen = _stolen_share(*watched)
    if share is not None and share > conditions.CONTENDED_SHARE:
        yield _noisy(
            "problem",
            f"others take {share:.0%} of the cores' time right now",
            "Find them with top and stop them, or wait.",
        )
    elif isinstance(load, float) and load > BUSY_LOAD_SHARE * n_cores:
        yield _noisy(
            "limited",
            f"quiet just now; load {load:.2f} on {n_cores} cores over the last minute",
            "Wait a minute, and ask again.",
        )
    elif share is not None:
        yield _noisy("ok", f"quiet: others take {share:.1%} of the cores' time", "")
    else:
        yield _noisy("limited", "what others do is not shown here (/proc/stat)", NO_PROC_STAT)
    if stolen is not None and stolen > STOLEN_SHARE:
        yield _noisy(
            "problem",
            f"the hypervisor keeps {stolen:.0%} of the cores' time for others (steal)",
            "Use an instance with cores of its own, or measure at another hour.",
        )


NO_PROC_STAT = "Watch the host with top."


def _stolen_share(before: conditions.Snapshot, after: conditions.Snapshot) -> float | None:
    if before.steal_s is None or after.steal_s is None:
        return None
    span_s = after.monotonic_s - before.monotonic_s
    return (after.steal_s - before.steal_s) / (span_s * before.n_cpus) if span_s > 0 else None


def of_gpus(
    devices: Sequence[DeviceInfo], processes: Mapping[str, GpuProcesses]
) -> Iterator[Finding]:
    """Who else computes on the GPUs, and settings that move their clocks."""
    for device_id, found in processes.items():
        if isinstance(found, Absent):
            message = f"{device_id}: other processes cannot be seen: {found.reason}"
            yield _noisy("limited", message, found.remedy or "Look on the host: nvidia-smi.")
        elif found:
            pids = ", ".join(str(process.pid) for process in found)
            yield _noisy(
                "problem",
                f"{device_id}: {len(found)} other process(es) compute on it (PID {pids})",
                "End them, wait, or choose another GPU with --device.",
            )
    for device in devices:
        if device.facts.get("persistence") is False:
            yield _noisy(
                "limited",
                f"{device.id}: persistence mode is off: the first start of a trial is slower",
                "sudo nvidia-smi --persistence-mode=1",
            )
        if device.facts.get("mig_slice") is True:
            yield _noisy(
                "limited",
                f"{device.id}: a MIG slice: memory bandwidth is its own, power and heat are not",
                "Compare it with slices of the same profile only.",
            )


def settings(facts: Facts) -> Iterator[Finding]:
    """Settings and circumstances that disturb measuring, the worst first."""
    flagged = environment.flags(facts)
    if "on_battery" in flagged:
        yield _noisy("problem", "running on battery: clocks are held down", "Plug it in.")
    if "cpu_limited" in flagged:
        yield _noisy(
            "problem",
            f"the CPU governor is powersave, by which {facts['scaling_driver']} holds clocks down",
            "sudo cpupower frequency-set -g performance",
        )
    if facts["virtual_machine"] is True:
        yield _noisy(
            "limited",
            "a virtual machine: neighbours and the hypervisor take time that cannot be seen",
            "Use more trials (--profile standard); compare only cases of one run.",
        )
    yield from _clock_noise(facts)
    if facts["smt"] == "1":
        yield _noisy(
            "limited",
            "simultaneous multithreading is on: two threads share a core",
            "--threads with the number of physical cores is often faster and steadier.",
        )
    if facts["transparent_hugepages"] == "always":
        yield _noisy(
            "limited",
            "transparent huge pages are always on: memory may be rearranged in mid-run",
            "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
        )


def _clock_noise(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts["governor"], Absent):
        yield _noisy(
            "limited",
            "clock frequencies are not shown here and are not recorded",
            "Nothing to do in a virtual machine; on real hardware load a cpufreq driver.",
        )
    if facts["turbo"] is True:
        yield _noisy(
            "limited",
            "turbo is on: clocks depend on temperature and on neighbours",
            "For the narrowest intervals switch it off in the firmware or the kernel.",
        )
    if facts["clock_source"] in SLOW_CLOCKS:
        yield _noisy(
            "limited",
            f"the clock source is {facts['clock_source']}: each reading of the clock is slow",
            "Values are made longer to make up for it; a kernel that trusts tsc is better.",
        )


SLOW_CLOCKS = ("hpet", "acpi_pm", "jiffies")
"""They are read through the bus, a microsecond at a time, or tick in milliseconds."""


def _noisy(status: Status, message: str, remedy: str) -> Finding:
    return Finding(topic="Noise", status=status, message=message, remedy=remedy)
