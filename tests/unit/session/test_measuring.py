"""A block that is measured: whose work counts, and what an end that fails leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import dlbench
from dlbench.core import registry
from dlbench.core.errors import StoreError, UsageError
from dlbench.core.types import Absent, TelemetryLevel
from dlbench.measure import energy
from dlbench.telemetry.watch import Watch, Watched

SPIN = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\ninput()"


def test_what_a_living_child_uses_is_the_blocks() -> None:
    """Nobody has waited for it yet when the block ends."""
    with dlbench.measure(level="off") as m:
        child = subprocess.Popen(
            [sys.executable, "-c", SPIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"done\n"
    child.communicate(b"\n")
    (found,) = m.run.monitored
    assert isinstance(found.cpu_s, float)
    assert 0.28 <= found.cpu_s < 10.0


def test_a_block_that_is_measured_twice_is_two_documents() -> None:
    """An epoch after the other; the second one ended in a traceback at its end."""
    m = dlbench.measure(devices=["cpu"])
    with m:
        pass
    first = m.run
    with m, pytest.raises(UsageError, match="has not ended"):
        _ = m.run
    second = m.run
    assert first.run_id != second.run_id
    (before,), (after,) = first.monitored, second.monitored
    assert after.windows[-1].start_s > before.windows[-1].end_s
    assert [len(found.devices) for found in (before, after)] == [1, 1]


def test_a_synchronisation_that_fails_ends_the_block_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Watching ends once, the error comes out, and what was read is kept as a block that failed."""
    ended: list[Watched] = []
    end = Watch.end

    def counted(watch: Watch) -> Watched:
        ended.append(end(watch))
        return ended[-1]

    monkeypatch.setattr(Watch, "end", counted)
    calls: list[None] = []

    def synchronize() -> None:
        calls.append(None)
        if len(calls) == 2:
            raise RuntimeError("the device is gone")

    m = dlbench.measure(level="off", synchronize=synchronize)
    with pytest.raises(RuntimeError, match="the device is gone"), m:
        pass
    assert len(ended) == 1
    (found,) = m.run.monitored
    assert found.exit_code == 1
    assert [w.name for w in found.windows] == ["energy"]


@pytest.mark.parametrize("averaging_s", [None, 0.3])
def test_a_baseline_begins_when_what_was_before_has_left_the_sensors(
    monkeypatch: pytest.MonkeyPatch, averaging_s: float | None
) -> None:
    """By the time of which a reading of power is a mean, and a little more for clocks to fall."""
    find = energy.find_meters
    monkeypatch.setattr(
        energy, "find_meters", lambda device: replace(find(device), averaging_s=averaging_s)
    )
    device = registry.device_kind(registry.FAKE).find()
    assert not isinstance(device, Absent)
    watch = Watch(devices=device, level=TelemetryLevel.BASIC)
    called_s = time.monotonic()
    watch.prepare(os.getpid(), 0.1)
    watch.begin()
    watch.end()
    assert watch.idle is not None
    assert watch.idle.start_s - called_s >= energy.SPARE_S + (averaging_s or 0.0)


def test_a_machine_without_sensors_is_not_made_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no baseline that could be wrong."""
    none = energy.Found(meters=(), counted=False, averaging_s=None, first=())
    monkeypatch.setattr(energy, "find_meters", lambda _: none)
    settled: list[float] = []
    monkeypatch.setattr(Watch, "_await_settled", lambda _, since_s: settled.append(since_s))
    device = registry.device_kind(registry.FAKE).find()
    assert not isinstance(device, Absent)
    watch = Watch(devices=device, level=TelemetryLevel.BASIC)
    watch.prepare(os.getpid(), 0.1)
    watch.begin()
    watch.end()
    assert settled == []


def test_a_folder_that_cannot_be_written_is_answered_with_what_python_says(tmp_path: Path) -> None:
    """There is no command line, and so no option."""
    with dlbench.measure(level="off") as m:
        pass
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as caught:
        m.save(tmp_path / "file" / "results")
    assert caught.value.advice == "Choose another folder with save(FOLDER)."
