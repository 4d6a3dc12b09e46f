"""Counters around anybody's work: one that wraps is followed while it lasts."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from dlbench.core.types import Reading, TelemetryLevel
from dlbench.measure import energy
from dlbench.telemetry import watch
from tests import waiting


class _Counted:
    """A meter that only counts how often it was read."""

    def __init__(self, *, wraps: bool) -> None:
        self.wraps = wraps
        self.n_reads = 0

    def read(self) -> Sequence[Reading]:
        self.n_reads += 1
        return ()


def _watching(meter: _Counted, monkeypatch: pytest.MonkeyPatch) -> watch.Watch:
    monkeypatch.setattr(energy, "FOLLOW_S", 0.001)
    counters = [energy.Counters(meters=(meter,))]
    return watch.Watch(devices=(), level=TelemetryLevel.BASIC, counters=counters)


def test_a_counter_that_wraps_is_read_while_the_work_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a program that ran for hours RAPL had whole ranges too little: it was read at its ends."""
    meter = _Counted(wraps=True)
    found = _watching(meter, monkeypatch)
    before = threading.active_count()
    found.begin()
    at_begin = meter.n_reads
    waiting.until(lambda: meter.n_reads >= at_begin + 3)
    found.end()
    at_end = meter.n_reads
    assert threading.active_count() == before
    assert meter.n_reads == at_end


def test_a_counter_that_does_not_wrap_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread of ours in a process that has no need of one."""
    meter = _Counted(wraps=False)
    found = _watching(meter, monkeypatch)
    before = threading.active_count()
    found.begin()
    assert threading.active_count() == before
    found.end()
    assert meter.n_reads == 2
