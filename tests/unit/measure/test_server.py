"""The server scenario: the search on functions, and LoadGen on a fake subject."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from dlbench.core.errors import DeviceOutOfMemoryError, UnsupportedError
from dlbench.core.types import LATENCY_LIMIT_OPTION, Case, Profile, Scenario
from dlbench.measure import loadgen, sampler, server
from dlbench.measure.loadgen import Record, Station
from dlbench.measure.sampler import Samples
from dlbench.measure.server import Served
from tests import builders, waiting
from tests.controls import Metronome
from tests.unit.measure.clockwork import Clock, Clockwork
from tests.unit.measure.pretended_loadgen import Pretended
from tests.unit.measure.test_sampler import PROFILE

QUICK: Profile = replace(PROFILE, max_steady_s=1.0, min_warm_up_s=0.05, max_warm_up_s=0.5)


def _served(rate_per_s: float, limit_per_s: float) -> Served:
    record = Record(facts={}, due_s=(), latencies_s=())
    in_time = rate_per_s <= limit_per_s
    return Served(rate_per_s=rate_per_s, in_time=in_time, p99_s=0.01, record=record)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.69, 0.71, 0.9, 0.99])
def test_the_search_ends_close_below_what_holds(share: float) -> None:
    """Within 5 %, wherever it lies, and never above."""
    capacity_per_s = 250.0
    limit_per_s = share * capacity_per_s
    found, tried = server.search(
        lambda rate: _served(rate, limit_per_s), server.FIRST_LOAD * capacity_per_s
    )
    assert limit_per_s / found < server.CLOSE_ENOUGH * 1.02 or len(tried) == server.MOST_PROBES
    assert found <= limit_per_s
    assert found in [t.rate_per_s for t in tried if t.in_time]
    assert all(t.rate_per_s <= capacity_per_s for t in tried)
    assert limit_per_s / found < 1.2


def test_a_search_in_which_nothing_holds_says_so() -> None:
    """With the lowest rate that was tried."""
    with pytest.raises(UnsupportedError, match=r"at 5\.47 queries a second, the lowest rate tried"):
        server.search(lambda rate: _served(rate, 0.0), 0.7 * 250)


def test_falling_behind_shows_before_any_query_is_late() -> None:
    """At a tenth more than it can do, a run of a second ends a tenth late.

    A queue that comes and goes is no such thing.
    """
    due_s = [i * 0.001 for i in range(1000)]
    assert not server.keeps_up(due_s, [0.002 + 0.1 * due for due in due_s])
    assert server.keeps_up(due_s, [0.04 if 300 < i < 500 else 0.002 for i in range(1000)])


def _case(limit_ms: str = "20", batch_size: int = 1) -> Case:
    return builders.case(
        scenario=Scenario.SERVER,
        batch_size=batch_size,
        options=((LATENCY_LIMIT_OPTION, limit_ms),),
    )


class Sleeper(Clockwork):
    """A subject on the real clock that takes as long as it says."""

    def __init__(self, query_s: float, fails_after: int | None = None) -> None:
        super().__init__(Clock(), lambda _: query_s)
        self.fails_after = fails_after

    def query(self, buffer: int) -> object:
        """Done when somebody synchronises."""
        if self.fails_after is not None and len(self.buffers) >= self.fails_after:
            raise DeviceOutOfMemoryError("gone", "")
        return super().query(buffer)

    def synchronize(self) -> None:
        """Wait on the real clock."""
        if self.pending_s:
            time.sleep(self.pending_s)
        self.pending_s = 0.0


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[Served]:
    """All runs that are judged in a test."""
    found: list[Served] = []
    judge = server.judged

    def keep(record: Record, rate_per_s: float) -> Served:
        found.append(judge(record, rate_per_s))
        return found[-1]

    monkeypatch.setattr(server, "judged", keep)
    return found


def _told_rightly(judged: Sequence[Served], limit_s: float) -> None:
    """Each verdict is what the run's own queries say; no load of the machine changes that.

    Of one query at the edge LoadGen may think otherwise.
    """
    assert judged
    for served in judged:
        record = served.record
        n, late = len(record.latencies_s), sum(x > limit_s for x in record.latencies_s)
        behind = not server.keeps_up(record.due_s, record.latencies_s)
        if served.in_time:
            assert late - 1 <= 0.01 * n
            assert not behind
        else:
            assert behind or late + 1 >= 0.01 * n


def _serve(subject: Sleeper, case: Case) -> tuple[Any, list[tuple[str, int, float | None]]]:
    told: list[tuple[str, int, float | None]] = []
    return server.serve(subject, case, QUICK, lambda *a: told.append(a), seed=7), told


def _pretended(monkeypatch: pytest.MonkeyPatch, query_s: float, case: Case) -> Samples:
    """A server of a subject and a LoadGen that share one clock, which is nobody else's."""
    clock = Clock()
    for module in (server, loadgen, sampler):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(loadgen, "load", lambda: Pretended(clock))
    return server.serve(Clockwork(clock, lambda _: query_s), case, QUICK, lambda *_: None, seed=7)


def test_the_rate_that_is_found_is_that_of_queueing(
    monkeypatch: pytest.MonkeyPatch, judged: list[Served]
) -> None:
    """2 ms a query, 20 ms of patience: an M/D/1 queue holds 385 a second, short runs a little more."""
    samples = _pretended(monkeypatch, 0.002, _case())
    assert 385 / 1.1 < float(samples.facts["offered_queries_per_s"]) < 385 * 1.1
    assert samples.flags == ()
    _told_rightly(judged, 0.020)


def test_a_machine_that_slows_down_after_the_search_is_served_at_a_lower_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twice as slow from the steady run on: a third of the rate holds, and is what is stated."""
    clock = Clock()
    for module in (server, loadgen, sampler):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(loadgen, "load", lambda: Pretended(clock))
    slow: list[bool] = []
    subject = Clockwork(clock, lambda _: 0.004 if slow else 0.002)

    def progress(phase: str, *_: object) -> None:
        if phase == "steady":
            slow.append(True)

    samples = server.serve(subject, _case(), QUICK, progress, seed=7)
    tried = str(samples.facts["rates_tried"]).split()
    found_per_s = max(float(t.removesuffix(":held")) for t in tried if t.endswith(":held"))
    assert samples.facts["offered_queries_per_s"] == pytest.approx(0.35 * found_per_s, rel=0.002)
    assert [t.split(":")[1] for t in tried[-4:]] == ["late"] * 4
    assert [float(t.split(":")[0]) for t in tried[-4:]] == [
        pytest.approx(share * found_per_s, rel=0.002) for share in (1.0, 0.93, 0.8, 0.6)
    ]
    assert np.percentile(samples.queries_s, 99) < 0.020


def test_batches_raise_the_rate(monkeypatch: pytest.MonkeyPatch, judged: list[Served]) -> None:
    """Eight at a time in 4 ms, 50 ms of patience: most of the 2000 a second."""
    samples = _pretended(monkeypatch, 0.004, _case("50", batch_size=8))
    assert 1000 < float(samples.facts["offered_queries_per_s"]) < 2000
    _told_rightly(judged, 0.050)


def test_loadgen_finds_a_rate_below_what_the_subject_can_do(judged: list[Served]) -> None:
    """Queries of at least 2 ms: under 500 a second hold 20 ms, and most of that does."""
    pytest.importorskip("mlperf_loadgen")
    with Metronome() as beside:
        try:
            samples, told = _serve(Sleeper(0.002), _case())
        except UnsupportedError as error:
            _told_rightly(judged, 0.020)
            waiting.skip_without_a_rate(error.message, 0.020, beside)
            raise
    _told_rightly(judged, 0.020)
    rate_per_s = samples.facts["offered_queries_per_s"]
    assert isinstance(rate_per_s, float)
    # A machine that wakes a sleeper late by half of the limit makes a low rate the right answer.
    assert 50 < rate_per_s < 500 or beside.latest_s(-math.inf, math.inf) > 0.010
    assert rate_per_s < 500
    n = sum(v.n_samples for v in samples.values)
    assert n == len(samples.queries_s)
    # On a busy machine a low rate may hold, and the run's time end before there are enough.
    assert n >= loadgen.LEAST_QUERIES or samples.flags == ("few_queries",)
    seconds = sum(v.duration_s for v in samples.values)
    assert n / seconds == pytest.approx(rate_per_s, rel=max(0.2, 5 / n**0.5))
    in_time = [q for q in samples.queries_s if q <= 0.020]
    assert len(in_time) >= 0.99 * n
    assert min(samples.queries_s) >= 0.002
    assert [t[0] for t in told if t[1] == 0][:3] == ["first_step", "warm_up", "steady"]
    steady = samples.windows[-1]
    assert steady.start_s <= samples.values[0].start_s
    last = samples.values[-1]
    assert last.start_s + last.duration_s <= steady.end_s + 1e-6


def test_a_batch_answers_what_is_due_together(judged: list[Served]) -> None:
    """Eight at a time in 4 ms: far more than the 250 a second of one at a time."""
    pytest.importorskip("mlperf_loadgen")
    case, subject = _case("50", batch_size=8), Sleeper(0.004)
    station = Station(loadgen=loadgen.load(), subject=subject, case=case, progress=_untold)
    desk = server._Desk(station=station, profile=QUICK, limit_s=0.050, seeds=itertools.count(7))
    served = desk.probe(400.0)
    _told_rightly(judged, 0.050)
    n_queries = len(served.record.latencies_s)
    assert len(subject.buffers) < 0.9 * n_queries
    assert n_queries >= 0.75 * 400


def _untold(*_: object) -> None:
    """Nobody looks."""


def test_a_query_that_is_too_slow_alone_is_no_server() -> None:
    """No rate could help."""
    pytest.importorskip("mlperf_loadgen")
    with pytest.raises(UnsupportedError, match=r"one query alone takes .* the limit is 1 ms"):
        _serve(Sleeper(0.003), _case("1"))


def test_a_subject_that_fails_while_serving_ends_the_trial() -> None:
    """Its own error comes out, past LoadGen, which cannot carry it."""
    pytest.importorskip("mlperf_loadgen")
    with pytest.raises(DeviceOutOfMemoryError, match="gone"):
        _serve(Sleeper(0.0005, fails_after=1500), _case())


@pytest.mark.parametrize("rate_per_s", [3.0, 100.0])
def test_energy_windows_serve_at_the_rate_that_was_found(rate_per_s: float) -> None:
    """From the first query to the last answer, at least as long as asked, idle between arrivals."""
    pytest.importorskip("mlperf_loadgen")
    told: list[str] = []
    samples = SimpleNamespace(facts={"offered_queries_per_s": rate_per_s})
    shift = server.shift(
        Sleeper(0.002), _case("500"), cast("Samples", samples), lambda p, *_: told.append(p), 1
    )
    begun_s = time.monotonic()
    first, second = shift.work(0.5), shift.work(0.5)
    assert begun_s <= first.start_s
    assert first.start_s + first.duration_s <= second.start_s
    assert second.start_s + second.duration_s <= time.monotonic()
    for value in (first, second):
        assert value.duration_s >= 0.5
        # Poisson arrivals, within five standard deviations: of the time asked for at least, and at most
        # of what it took where the machine answered late.
        least, most = rate_per_s * 0.5, rate_per_s * value.duration_s
        assert least - 5 * least**0.5 - 1 < value.n_samples < most + 5 * most**0.5 + 1
    assert len(shift.held) == 2
    assert set(told) == {"energy"}
