"""CPU seconds of a family of processes, whose members come, go and are passed over."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from dlbench.measure import family
from dlbench.telemetry.host import HostMeter

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
