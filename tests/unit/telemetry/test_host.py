"""CPU seconds of a family of processes, whose members come, go and are passed over."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from dlbench.core.types import Absent
from dlbench.measure import family
from dlbench.telemetry.host import CgroupMeter, HostMeter
from tests import builders

USED_S = {(1, 0): 10.0, (2, 0): 100.0, (2, 50): 3.0}
"""By process number and start."""


class _Family:
    """Says who is there now: numbers with their start."""

    def __init__(self) -> None:
        self.now: dict[int, int] = {}

    def pids(self) -> frozenset[int]:
        return frozenset(self.now)


def test_a_member_that_was_passed_over_is_not_counted_twice() -> None:
    """Nor is one forgotten that left, or whose number another has now."""
    members = _Family()

    def process(pid: int) -> Any:
        start = members.now[pid]
        return SimpleNamespace(
            cpu_times=lambda: SimpleNamespace(user=USED_S[pid, start], system=0.5),
            memory_info=lambda: SimpleNamespace(rss=2**20),
        )

    stub: Any = members
    meter = HostMeter(stub, began=lambda pid: members.now[pid])
    pretended: Any = SimpleNamespace(Process=process, Error=OSError)
    meter._psutil = pretended
    seen = []
    for now in ({1: 0}, {1: 0, 2: 0}, {1: 0}, {1: 0, 2: 0}, {1: 0, 2: 50}):
        members.now = now
        cpu, rss = meter.read()
        seen.append(cpu.value)
        assert rss.value == len(now)
    assert seen == [10.5, 111.0, 111.0, 111.0, 114.5]


def test_a_clock_that_is_set_counts_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the wall clock a process has another start then: its CPU seconds had counted once more."""
    me: Any = SimpleNamespace(pids=lambda: frozenset((os.getpid(),)))
    meter = HostMeter(me)
    before, _ = meter.read()
    booted_s = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: booted_s + 60.0)
    after, _ = meter.read()
    assert isinstance(before.value, float)
    assert before.value > 0.1
    assert after.value == pytest.approx(before.value, abs=0.1)


def test_a_name_that_is_cut_within_a_letter_hides_no_process(tmp_path: Path) -> None:
    """The kernel keeps fifteen bytes of a name: a trial beside such a program was a traceback."""
    stat = "42 (ééééééé".encode() + b"\xc3) S 1 " + b" ".join(b"%d" % n for n in range(5, 60))
    (tmp_path / "42").mkdir()
    (tmp_path / "42/stat").write_bytes(stat)
    assert family._cpu_s(42, tmp_path) == pytest.approx(
        (14 + 15 + 16 + 17) / os.sysconf("SC_CLK_TCK")
    )
    assert family.began_ticks(42, tmp_path) == 22


TOP = "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {
                "proc/7/cgroup": "4:memory:/job/a\n2:cpu,cpuacct:/job\n0::/\n",
                f"{TOP}/memory/memory.usage_in_bytes": "99999999999\n",
                f"{TOP}/memory/job/a/memory.usage_in_bytes": "1048576\n",
                f"{TOP}/cpuacct/cpuacct.usage": "9000000000000\n",
                f"{TOP}/cpuacct/job/cpuacct.usage": "2000000000\n",
                f"{TOP}/cpu/job/cpu.stat": "nr_periods 3\nthrottled_time 500000000\n",
            },
            [1.0, 2.0, 0.5],
        ),
        (
            {
                "proc/7/cgroup": "4:memory:/docker/4711\n",
                f"{TOP}/memory/memory.usage_in_bytes": "1048576\n",
            },
            [1.0, None, None],
        ),
        (
            {
                "proc/7/cgroup": "0::/unit\n",
                f"{TOP}/cgroup.controllers": "cpu memory\n",
                f"{TOP}/cpu.stat": "usage_usec 9000000\n",
                f"{TOP}/unit/memory.current": "1048576\n",
                f"{TOP}/unit/cpu.stat": "usage_usec 2000000\nthrottled_usec 500000\n",
            },
            [1.0, 2.0, 0.5],
        ),
    ],
)
def test_a_control_groups_figures_are_its_own(
    tmp_path: Path, files: dict[str, str], expected: list[float | None]
) -> None:
    """Not the whole machine's, of either version; in a container the root that is seen is its own."""
    readings = CgroupMeter(7, builders.tree(tmp_path, files)).read()
    values = [None if isinstance(r.value, Absent) else r.value for r in readings]
    assert values == expected
