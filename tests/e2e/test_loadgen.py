"""MLCommons LoadGen itself on a subject that sleeps: it takes as long as the queries do."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dlbench.core import stats
from dlbench.core.errors import DeviceOutOfMemoryError, UnsupportedError
from dlbench.core.types import DRIVER_OPTION, LOADGEN, Case, Profile, Scenario
from dlbench.measure import loadgen, sampler, server
from dlbench.measure.loadgen import Station
from dlbench.measure.sampler import Samples
from dlbench.measure.server import Served
from tests import builders, queries, waiting
from tests.controls import Metronome
from tests.unit.measure.clockwork import Clock, Clockwork

pytest.importorskip("mlperf_loadgen")


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
    return queries.kept_verdicts(monkeypatch)


# --- a server ---------------------------------------------------------------------------------


def _serve(subject: Sleeper, case: Case) -> tuple[Any, list[tuple[str, int, float | None]]]:
    told: list[tuple[str, int, float | None]] = []
    return server.serve(subject, case, queries.QUICK, lambda *a: told.append(a), seed=7), told


def test_loadgen_finds_a_rate_below_what_the_subject_can_do(judged: list[Served]) -> None:
    """Queries of at least 2 ms: under 500 a second hold 20 ms, and most of that does."""
    with Metronome() as beside:
        try:
            samples, told = _serve(Sleeper(0.002), queries.case())
        except UnsupportedError as error:
            queries.assert_told_rightly(judged, 0.020)
            waiting.skip_without_a_rate(error.message, 0.020, beside)
            raise
    queries.assert_told_rightly(judged, 0.020)
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
    case, subject = queries.case("50", batch_size=8), Sleeper(0.004)
    station = Station(loadgen=loadgen.load(), subject=subject, case=case, progress=_untold)
    desk = server._Desk(
        station=station, profile=queries.QUICK, limit_s=0.050, seeds=itertools.count(7)
    )
    served = desk.probe(400.0)
    queries.assert_told_rightly(judged, 0.050)
    n_queries = len(served.record.latencies_s)
    assert len(subject.buffers) < 0.9 * n_queries
    assert n_queries >= 0.75 * 400


def _untold(*_: object) -> None:
    """Nobody looks."""


def test_a_query_that_is_too_slow_alone_is_no_server() -> None:
    """No rate could help."""
    with pytest.raises(UnsupportedError, match=r"one query alone takes .* the limit is 1 ms"):
        _serve(Sleeper(0.003), queries.case("1"))


def test_a_subject_that_fails_while_serving_ends_the_trial() -> None:
    """Its own error comes out, past LoadGen, which cannot carry it."""
    with pytest.raises(DeviceOutOfMemoryError, match="gone"):
        _serve(Sleeper(0.0005, fails_after=1500), queries.case())


@pytest.mark.parametrize("rate_per_s", [3.0, 100.0])
def test_energy_windows_serve_at_the_rate_that_was_found(rate_per_s: float) -> None:
    """From the first query to the last answer, at least as long as asked, idle between arrivals."""
    told: list[str] = []
    samples = SimpleNamespace(facts={"offered_queries_per_s": rate_per_s})
    shift = server.shift(
        Sleeper(0.002),
        queries.case("500"),
        cast("Samples", samples),
        lambda p, *_: told.append(p),
        1,
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


# --- offline and single stream ----------------------------------------------------------------


def _case(scenario: Scenario, batch_size: int = 1) -> Case:
    options = ((DRIVER_OPTION, LOADGEN),)
    return builders.case(scenario=scenario, batch_size=batch_size, options=options)


def _drive(subject: Sleeper, case: Case, profile: Profile = queries.QUICK) -> sampler.Samples:
    return loadgen.drive(subject, case, profile, lambda *_: None, seed=3)


def test_single_stream_has_a_latency_of_each_query() -> None:
    """One after the other, each at least as long as it takes, and the values are of the same time.

    Of 4 ms, so that it is their number that ends the run: 459, as many as a server needs, were too few
    for LoadGen's early stopping, and every trial was flagged.
    """
    # As long as enough of them take, whatever a millisecond is on this machine.
    patient = replace(queries.QUICK, max_steady_s=120.0)
    samples = _drive(Sleeper(0.004), _case(Scenario.SINGLE_STREAM), patient)
    assert len(samples.queries_s) == loadgen.LEAST_TO_STATE
    assert stats.early_stopping_percentile(sorted(samples.queries_s), 0.99) is not None
    assert min(samples.queries_s) >= 0.004
    n = sum(v.n_samples for v in samples.values)
    assert n == len(samples.queries_s)
    seconds = sum(v.duration_s for v in samples.values)
    steady = samples.windows[-1]
    assert 0.999 * sum(samples.queries_s) <= seconds <= steady.end_s - steady.start_s
    assert samples.flags == ()


def test_too_few_queries_are_flagged() -> None:
    """A second of them, at 20 ms each, says nothing of p99."""
    samples = _drive(Sleeper(0.02), _case(Scenario.SINGLE_STREAM))
    assert len(samples.queries_s) < loadgen.LEAST_QUERIES
    assert samples.flags == ("few_queries",)


def test_offline_answers_whole_batches() -> None:
    """All samples at once, eight in each 4 ms: never faster, and far from one at a time."""
    samples = _drive(Sleeper(0.004), _case(Scenario.OFFLINE, batch_size=8))
    assert all(v.n_samples % 8 == 0 for v in samples.values)
    assert len(samples.values) >= queries.QUICK.min_values
    assert not samples.queries_s
    per_sample_s = statistics.median(v.duration_s / v.n_samples for v in samples.values)
    assert 0.0005 <= per_sample_s < 0.004


def test_a_subject_that_fails_under_loadgen_ends_the_trial() -> None:
    """Its own error comes out."""
    with pytest.raises(DeviceOutOfMemoryError, match="gone"):
        _drive(Sleeper(0.0005, fails_after=300), _case(Scenario.SINGLE_STREAM))


def test_a_query_of_four_samples_counts_as_four_whoever_asks_it() -> None:
    """LoadGen issues one sample and is answered by a whole batch: what our own loop counts too."""
    subject = Sleeper(0.002)
    samples = _drive(subject, _case(Scenario.SINGLE_STREAM, batch_size=4))
    assert sum(v.n_samples for v in samples.values) == 4 * len(samples.queries_s)
    per_sample_s = statistics.median(v.duration_s / v.n_samples for v in samples.values)
    assert 0.0005 <= per_sample_s < 0.002
