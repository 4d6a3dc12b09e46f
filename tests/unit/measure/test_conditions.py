"""What two snapshots mean."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dlbench.measure import conditions
from dlbench.measure.conditions import Snapshot
from dlbench.measure.family import used_cpu_s

BEFORE = Snapshot(
    monotonic_s=100.0,
    wall_s=1e9,
    boot_s=100.0,
    n_cpus=2,
    own_cpu_s=10.0,
    busy_cpu_s=50.0,
    steal_s=0.0,
)
AFTER = replace(
    BEFORE, monotonic_s=110.0, wall_s=1e9 + 10, boot_s=110.0, own_cpu_s=30.0, busy_cpu_s=70.0
)


def test_a_quiet_machine_has_no_flags() -> None:
    """All busy time was our own."""
    assert conditions.flags(BEFORE, AFTER) == ()
    assert conditions.foreign_share(BEFORE, AFTER) == 0.0


def test_a_busy_neighbour_is_contention() -> None:
    """5 CPU-seconds of others in 10 s on two cores are a quarter."""
    after = replace(AFTER, busy_cpu_s=75.0)
    assert conditions.foreign_share(BEFORE, after) == pytest.approx(0.25)
    assert conditions.flags(BEFORE, after) == ("contended",)


def test_stolen_time_is_contention() -> None:
    """What the hypervisor keeps is as lost as what a neighbour takes."""
    assert "contended" in conditions.flags(BEFORE, replace(AFTER, steal_s=4.0))


def test_a_clock_that_was_set_is_flagged() -> None:
    """The wall clock jumped an hour while ten seconds passed."""
    assert conditions.flags(BEFORE, replace(AFTER, wall_s=1e9 + 3610)) == ("clock_step",)


def test_suspension_shows_between_two_clocks() -> None:
    """Boot time ran on for a minute longer than the monotonic clock."""
    assert not conditions.suspended(BEFORE, AFTER)
    assert conditions.suspended(BEFORE, replace(AFTER, boot_s=170.0))


def _proc_stat(root: Path, *lines: str) -> Path:
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/stat").write_text("\n".join(lines) + "\nintr 5 0 0\n")
    return root


@pytest.mark.parametrize("cores", [(), ("cpu  1 1 1 1 1 1 1 1 0 0", "cpu0 1 1 1 1 1 1 1 1 0 0")])
def test_without_the_cores_lines_contention_is_unknown_and_not_none(
    tmp_path: Path, cores: tuple[str, ...]
) -> None:
    """No /proc/stat, or one without a core that we may use: the share is None, no flag is made up."""
    root = _proc_stat(tmp_path, *cores) if cores else tmp_path
    before = conditions.snapshot({0, 7}, root)
    assert (before.busy_cpu_s, before.steal_s) == (None, None)
    after = replace(before, monotonic_s=before.monotonic_s + 2.0)
    assert conditions.foreign_share(before, after) is None


def test_a_sandbox_that_writes_noughts_says_nothing_of_others(tmp_path: Path) -> None:
    """The lines are there (gVisor), and no times in them: not even idle, which cannot be."""
    root = _proc_stat(tmp_path, *(f"{name} 0 0 0 0 0 0 0 0 0 0" for name in ("cpu ", "cpu0")))
    before = conditions.snapshot({0}, root)
    after = replace(before, monotonic_s=before.monotonic_s + 2.0)
    assert conditions.foreign_share(before, after) is None


def test_proc_stat_is_read_of_the_cores_that_we_may_use(tmp_path: Path) -> None:
    """User nice system idle iowait irq softirq steal, in clock ticks; of core 10 and no other."""
    lines = ("cpu  999 999 999 999 999 999 999 999 0 0", "cpu1 500 0 0 0 0 0 0 0 0 0")
    root = _proc_stat(tmp_path, *lines, "cpu10 100 100 100 999 50 50 50 200 0 0")
    found = conditions.snapshot({10}, root)
    assert found.n_cpus == 1
    assert found.busy_cpu_s == pytest.approx(4.0)
    assert found.steal_s == pytest.approx(2.0)
    assert conditions.snapshot({1, 10}, root).busy_cpu_s == pytest.approx(9.0)


def test_a_neighbour_on_our_only_core_is_contention_however_many_there_are(tmp_path: Path) -> None:
    """Half of core 3, which is ours, in two seconds; 63 others are idle."""
    idle = [f"cpu{n} 0 0 0 900 0 0 0 0 0 0" for n in range(64)]
    before = conditions.snapshot({3}, _proc_stat(tmp_path, "cpu  0 0 0 0 0 0 0 0 0 0", *idle))
    idle[3] = "cpu3 100 0 0 1000 0 0 0 0 0 0"
    later = conditions.snapshot({3}, _proc_stat(tmp_path, "cpu  100 0 0 0 0 0 0 0 0 0", *idle))
    after = replace(later, monotonic_s=before.monotonic_s + 2.0, own_cpu_s=before.own_cpu_s)
    assert conditions.foreign_share(before, after) == pytest.approx(0.5)


SPIN = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\ninput()"


def test_what_a_living_child_used_is_our_own_and_stays_so_when_it_ends() -> None:
    """A loader's process decodes for us; a sampler that is left out does not."""
    before_s = conditions.snapshot({0}).own_cpu_s
    with subprocess.Popen(
        [sys.executable, "-c", SPIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"done\n"
        living_s = conditions.snapshot({0}).own_cpu_s
        without_s = used_cpu_s(exclude=frozenset((child.pid,)))
        child.communicate(b"\n")
    assert living_s - before_s >= 0.28
    assert living_s - without_s >= 0.28
    assert used_cpu_s() >= living_s - 0.03
