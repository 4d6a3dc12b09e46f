"""Meters of a process and its children, and of the cgroup that it lives in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dlbench.core.reasons import Reason
from dlbench.core.types import Absent, Reading
from dlbench.core.units import MIB
from dlbench.measure.family import Family, began_ticks


class HostMeter:
    """CPU seconds and resident memory of a family of processes."""

    def __init__(self, family: Family, began: Callable[[int], int] = began_ticks) -> None:
        import psutil

        self._psutil = psutil
        self._family = family
        self._began = began
        self._used_s: dict[tuple[int, int], float] = {}

    def read(self) -> Sequence[Reading]:
        """CPU seconds since each began, those that ended included; MiB of those that live."""
        psutil = self._psutil
        now_s = time.monotonic()
        living, rss_bytes = False, 0
        for pid in self._family.pids():
            try:
                process = psutil.Process(pid)
                times = process.cpu_times()
                rss_bytes += process.memory_info().rss
                # By its start too, since numbers are given again. What a member that left has used is
                # not forgotten, and one that the kernel's list passed over once is not counted twice.
                # Not by psutil's: that is of the wall clock, and moves when somebody sets it.
                self._used_s[pid, self._began(pid)] = times.user + times.system
            except (psutil.Error, OSError):
                continue
            living = True
        if not living:
            gone = Absent(reason="the measured process has ended", code=Reason.PROCESS_GONE)
            return (self._of(now_s, "cpu_s", gone), self._of(now_s, "rss_mib", gone))
        return (
            self._of(now_s, "cpu_s", sum(self._used_s.values())),
            self._of(now_s, "rss_mib", rss_bytes / MIB),
        )

    def _of(self, t_s: float, quantity: str, value: float | Absent) -> Reading:
        return Reading(t_s=t_s, source="host", quantity=quantity, value=value)


V2 = {
    "cgroup_memory_mib": ("", "memory.current", "", 1 / MIB),
    "cgroup_cpu_s": ("", "cpu.stat", "usage_usec", 1e-6),
    "cgroup_throttled_s": ("", "cpu.stat", "throttled_usec", 1e-6),
}
V1 = {
    "cgroup_memory_mib": ("memory", "memory.usage_in_bytes", "", 1 / MIB),
    "cgroup_cpu_s": ("cpuacct", "cpuacct.usage", "", 1e-9),
    "cgroup_throttled_s": ("cpu", "cpu.stat", "throttled_time", 1e-9),
}
"""Quantity: controller (version 2 has one tree for all), file, key in it, and its unit in ours
(cgroups(7))."""


class CgroupMeter:
    """CPU time, time without CPU for want of quota, and memory of a process's control group."""

    def __init__(self, pid: int, root: Path = Path("/")) -> None:
        top = root / "sys/fs/cgroup"
        files = V2 if (top / "cgroup.controllers").exists() else V1
        groups = _own_groups(root, pid)
        self._where = {
            quantity: (_folder(top / controller, groups.get(controller, "/")) / file, key, unit)
            for quantity, (controller, file, key, unit) in files.items()
        }

    def read(self) -> Sequence[Reading]:
        """Each quantity, or why the group does not say."""
        now_s = time.monotonic()
        return tuple(
            Reading(t_s=now_s, source="cgroup", quantity=quantity, value=self._value(*where))
            for quantity, where in self._where.items()
        )

    def _value(self, file: Path, key: str, unit: float) -> float | Absent:
        try:
            text = file.read_text(encoding="ascii")
            lines = dict(line.partition(" ")[::2] for line in text.splitlines())
            return int(lines[key] if key else text) * unit
        except (OSError, ValueError, KeyError):
            return Absent(reason=f"the control group has no {file.name}", code=Reason.NO_CGROUP)


def _folder(top: Path, group: str) -> Path:
    """A group's folder; a container that sees its own as the root is told its host's path."""
    own = top / group.lstrip("/")
    return own if own.is_dir() else top


def _own_groups(root: Path, pid: int) -> dict[str, str]:
    """The group of a process by controller, of version 2 by no name."""
    try:
        lines = (root / f"proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        found |= dict.fromkeys(controllers.split(","), group)
    return found


def core_s(pid: int) -> float | Absent:
    """CPU seconds of a process to the nanosecond, as its scheduler counts them."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return Absent(reason="/proc/PID/schedstat does not say", code=Reason.NOT_SUPPORTED)
