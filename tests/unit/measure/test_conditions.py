"""What two snapshots mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dlbench.measure import conditions
from dlbench.measure.conditions import Snapshot

BEFORE = Snapshot(
    monotonic_s=100.0,
    wall_s=1e9,
    boot_s=100.0,
    own_cpu_s=10.0,
    involuntary_switches=0,
    busy_cpu_s=50.0,
    steal_s=0.0,
)
AFTER = replace(
    BEFORE, monotonic_s=110.0, wall_s=1e9 + 10, boot_s=110.0, own_cpu_s=30.0, busy_cpu_s=70.0
)


def test_a_quiet_machine_has_no_flags() -> None:
    """All busy time was our own."""
    assert conditions.flags(BEFORE, AFTER, n_cpus=2) == ()
    assert conditions.foreign_share(BEFORE, AFTER, n_cpus=2) == 0.0


def test_a_busy_neighbour_is_contention() -> None:
    """5 CPU-seconds of others in 10 s on two cores are a quarter."""
    after = replace(AFTER, busy_cpu_s=75.0)
    assert conditions.foreign_share(BEFORE, after, n_cpus=2) == pytest.approx(0.25)
    assert conditions.flags(BEFORE, after, n_cpus=2) == ("contended",)


def test_stolen_time_is_contention() -> None:
    """What the hypervisor keeps is as lost as what a neighbour takes."""
    assert "contended" in conditions.flags(BEFORE, replace(AFTER, steal_s=4.0), n_cpus=2)


def test_a_clock_that_was_set_is_flagged() -> None:
    """The wall clock jumped an hour while ten seconds passed."""
    assert conditions.flags(BEFORE, replace(AFTER, wall_s=1e9 + 3610), 2) == ("clock_step",)


def test_suspension_shows_between_two_clocks() -> None:
    """Boot time ran on for a minute longer than the monotonic clock."""
    assert not conditions.suspended(BEFORE, AFTER)
    assert conditions.suspended(BEFORE, replace(AFTER, boot_s=170.0))


def test_without_proc_contention_is_unknown_and_not_none(tmp_path: Path) -> None:
    """No /proc/stat: the share is None, no flag is made up."""
    before = conditions.snapshot(tmp_path)
    after = conditions.snapshot(tmp_path)
    assert before.busy_cpu_s is None
    assert conditions.foreign_share(before, after, 2) is None


def test_proc_stat_is_read(tmp_path: Path) -> None:
    """User nice system idle iowait irq softirq steal, in clock ticks."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu  100 100 100 999 50 50 50 200 0 0\ncpu0 1\n")
    found = conditions.snapshot(tmp_path)
    assert found.busy_cpu_s == pytest.approx(4.0)
    assert found.steal_s == pytest.approx(2.0)
