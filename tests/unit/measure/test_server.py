"""The server scenario: the search on functions, and on a LoadGen whose clock only moves by work."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dlbench.core import stats
from dlbench.core.errors import UnsupportedError
from dlbench.core.types import Case, Profile
from dlbench.measure import loadgen, sampler, server
from dlbench.measure.loadgen import Record
from dlbench.measure.sampler import Samples
from dlbench.measure.server import Served
from tests import queries
from tests.unit.measure.clockwork import Clock, Clockwork
from tests.unit.measure.pretended_loadgen import Pretended


def _served(rate_per_s: float, limit_per_s: float) -> Served:
    record = Record(facts={}, due_s=(), latencies_s=())
    in_time = rate_per_s <= limit_per_s
    return Served(rate_per_s=rate_per_s, in_time=in_time, p99_s=0.01, record=record)


@pytest.mark.parametrize("share", [0.04, 0.06, 0.1, 0.3, 0.5, 0.69, 0.71, 0.9, 0.99])
def test_the_search_ends_close_below_what_holds(share: float) -> None:
    """Within 5 %, wherever it lies, and never above."""
    capacity_per_s = 250.0
    limit_per_s = share * capacity_per_s
    found, tried = server.search(
        lambda rate: _served(rate, limit_per_s), server.FIRST_LOAD * capacity_per_s
    )
    assert limit_per_s / found < server.CLOSE_ENOUGH
    assert found <= limit_per_s
    assert found in [t.rate_per_s for t in tried if t.in_time]
    assert all(t.rate_per_s <= capacity_per_s for t in tried)
    assert len(tried) <= server.MOST_PROBES + 4


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


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[Served]:
    """All runs that are judged in a test."""
    return queries.kept_verdicts(monkeypatch)


def _pretended(
    monkeypatch: pytest.MonkeyPatch,
    query_s: float,
    case: Case,
    profile: Profile = queries.QUICK,
) -> Samples:
    """A server of a subject and a LoadGen that share one clock, which is nobody else's."""
    clock = Clock()
    for module in (server, loadgen, sampler):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(loadgen, "load", lambda: Pretended(clock))
    return server.serve(Clockwork(clock, lambda _: query_s), case, profile, lambda *_: None, seed=7)


def test_a_servers_values_are_long_however_many_the_profile_wants(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fifty values of 480 queries had nine each, whose median is off by 3 %."""
    strict = replace(queries.QUICK, min_values=50, max_values=50, max_steady_s=10.0)
    samples = _pretended(monkeypatch, 0.02, queries.case("100"), strict)
    assert loadgen.LEAST_QUERIES <= len(samples.queries_s) < 1000
    assert sum(v.n_samples for v in samples.values) == len(samples.queries_s)
    assert min(v.n_samples for v in samples.values) >= loadgen.QUERIES_A_VALUE


def test_the_rate_that_is_found_is_that_of_queueing(
    monkeypatch: pytest.MonkeyPatch, judged: list[Served]
) -> None:
    """2 ms a query, 20 ms of patience: an M/D/1 queue holds 385 a second, short runs a little more."""
    samples = _pretended(monkeypatch, 0.002, queries.case())
    assert 385 / 1.1 < float(samples.facts["offered_queries_per_s"]) < 385 * 1.1
    assert samples.flags == ()
    queries.assert_told_rightly(judged, 0.020)


def test_a_rate_that_no_limit_bounds_is_said_to_be_capped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten seconds of patience: whatever it can do without a pause is answered in time."""
    samples = _pretended(monkeypatch, 0.002, queries.case("10000"))
    assert samples.flags == ("rate_capped",)
    assert "late" not in str(samples.facts["rates_tried"])
    assert 500 / server.CLOSE_ENOUGH < float(samples.facts["offered_queries_per_s"]) < 500


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

    samples = server.serve(subject, queries.case(), queries.QUICK, progress, seed=7)
    tried = str(samples.facts["rates_tried"]).split()
    found_per_s = max(float(t.removesuffix(":held")) for t in tried if t.endswith(":held"))
    assert samples.facts["offered_queries_per_s"] == pytest.approx(0.35 * found_per_s, rel=0.002)
    assert [t.split(":")[1] for t in tried[-6:]] == ["late"] * 6
    assert [float(t.split(":")[0]) for t in tried[-6:]] == [
        pytest.approx(share * found_per_s, rel=0.002) for share in (1.0, 0.93, 0.86, 0.8, 0.7, 0.6)
    ]
    assert np.percentile(samples.queries_s, 99) < 0.020
    # What was read beside late runs is no part of the run that counts.
    _, warm_up, steady = samples.windows
    assert warm_up.end_s == steady.start_s
    assert 0 <= samples.values[0].start_s - steady.start_s < 0.1


def test_batches_raise_the_rate(monkeypatch: pytest.MonkeyPatch, judged: list[Served]) -> None:
    """Eight at a time in 4 ms, 50 ms of patience: most of the 2000 a second."""
    samples = _pretended(monkeypatch, 0.004, queries.case("50", batch_size=8))
    assert 1000 < float(samples.facts["offered_queries_per_s"]) < 2000
    queries.assert_told_rightly(judged, 0.050)


def test_a_servers_throughput_is_of_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds at a time in 100 ms: cut within batches, the middle value was 2500 of 2277 a second."""
    samples = _pretended(monkeypatch, 0.1, queries.case("500", batch_size=256))
    offered_per_s = float(samples.facts["offered_queries_per_s"])
    throughput_per_s = 1 / stats.median_seconds_per_sample(samples.values)
    assert throughput_per_s == pytest.approx(offered_per_s, rel=0.05)
