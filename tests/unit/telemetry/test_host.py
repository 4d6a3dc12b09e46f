"""CPU seconds of a family of processes, whose members come, go and are passed over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from dlbench.telemetry.host import HostMeter

USED_S = {(1, 0.0): 10.0, (2, 0.0): 100.0, (2, 50.0): 3.0}
"""By process number and start."""


class _Family:
    """Says who is there now: numbers with their start."""

    def __init__(self) -> None:
        self.now: dict[int, float] = {}

    def pids(self) -> frozenset[int]:
        return frozenset(self.now)


def test_a_member_that_was_passed_over_is_not_counted_twice() -> None:
    """Nor is one forgotten that left, or whose number another has now."""
    family = _Family()

    def process(pid: int) -> Any:
        start_s = family.now[pid]
        return SimpleNamespace(
            cpu_times=lambda: SimpleNamespace(user=USED_S[pid, start_s], system=0.5),
            memory_info=lambda: SimpleNamespace(rss=2**20),
            create_time=lambda: start_s,
        )

    stub: Any = family
    meter = HostMeter(stub)
    psutil: Any = SimpleNamespace(Process=process, Error=OSError)
    meter._psutil = psutil
    seen = []
    for now in ({1: 0.0}, {1: 0.0, 2: 0.0}, {1: 0.0}, {1: 0.0, 2: 0.0}, {1: 0.0, 2: 50.0}):
        family.now = now
        cpu, rss = meter.read()
        seen.append(cpu.value)
        assert rss.value == len(now)
    assert seen == [10.5, 111.0, 111.0, 111.0, 114.5]
