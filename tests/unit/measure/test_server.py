"""The server scenario: the search on functions, the reading of logs, and LoadGen on a fake subject."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dlbench.core.errors import DeviceOutOfMemoryError, UnsupportedError
from dlbench.core.types import LATENCY_LIMIT_OPTION, Case, Profile, Scenario
from dlbench.measure import server
from dlbench.measure.server import Served
from tests import builders
from tests.unit.measure.clockwork import Clock, Clockwork
from tests.unit.measure.test_sampler import PROFILE

QUICK: Profile = replace(PROFILE, max_steady_s=1.0, min_warm_up_s=0.05, max_warm_up_s=0.5)


def _served(rate_per_s: float, limit_per_s: float) -> Served:
    return Served(
        rate_per_s=rate_per_s,
        in_time=rate_per_s <= limit_per_s,
        enough=True,
        p99_s=0.01,
        due_s=(),
        latencies_s=(),
    )


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


def test_values_cover_the_run_and_count_every_answer() -> None:
    """From the first due time to the last answer, whatever the order of answers."""
    due_s = tuple(i * 0.01 for i in range(1000))
    latencies_s = tuple(0.002 if i % 7 else 0.05 for i in range(1000))
    served = Served(
        rate_per_s=100.0,
        in_time=True,
        enough=True,
        p99_s=0.05,
        due_s=due_s,
        latencies_s=latencies_s,
    )
    values = server.as_values(served, 50.0, PROFILE)
    assert len(values) == 10
    assert sum(v.n_samples for v in values) == 1000
    assert values[0].start_s == 50.0
    for before, after in itertools.pairwise(values):
        assert after.start_s == pytest.approx(before.start_s + before.duration_s, abs=1e-9)
    end_s = values[-1].start_s + values[-1].duration_s
    assert end_s == pytest.approx(50.0 + max(map(sum, zip(due_s, latencies_s, strict=True))))


DETAIL = """:::MLLOG {"key": "result_perf_constraints_met", "value": true, "time_ms": 1.0}
:::MLLOG {"key": "early_stopping_met", "value": false, "time_ms": 1.0}
:::MLLOG {"key": "result_99.00_percentile_latency_ns", "value": 12215217, "time_ms": 1.0}
some other line
"""

TRACE = """{"traceEvents":[
{"name":"LogDetail","ph":"X","pid":1,"tid":1,"ts":9850.252,"dur":10.736,"args":{"key":"unclosed,
{"name":"Sample","cat":"default","ph":"b","pid":1,"id":1,"ts":201172.397,"args":{"sample_seq":1,"query_seq":1,"sample_idx":2,"issue_start_ns":180,"complete_ns":5000000}},
{"name":"Sample","cat":"default","ph":"b","pid":1,"id":0,"ts":172.397,"args":{"sample_seq":0,"query_seq":0,"sample_idx":28,"issue_start_ns":180,"complete_ns":4142609}},
{"name":"Sample","cat":"default","ph":"e", "pid":1,"id":0,"ts":4315.006},
"""


def test_loadgens_logs_are_read_line_by_line(tmp_path: Path) -> None:
    """The trace as a whole is not JSON; queries come in the order in which they were due."""
    (tmp_path / "mlperf_log_detail.txt").write_text(DETAIL)
    (tmp_path / "mlperf_log_trace.json").write_text(TRACE)
    served = server.read_logs(tmp_path, 94.0)
    assert served.in_time
    assert not served.enough
    assert served.p99_s == pytest.approx(0.012215217)
    assert served.latencies_s == pytest.approx((0.004142609, 0.005))
    assert served.due_s == pytest.approx((0.0, 0.201))


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


def _serve(subject: Sleeper, case: Case) -> tuple[Any, list[tuple[str, int, float | None]]]:
    told: list[tuple[str, int, float | None]] = []
    return server.serve(subject, case, QUICK, lambda *a: told.append(a), seed=7), told


def test_loadgen_finds_a_rate_below_what_the_subject_can_do() -> None:
    """Queries of at least 2 ms: under 500 a second hold 20 ms, and most of that does."""
    pytest.importorskip("mlperf_loadgen")
    samples, told = _serve(Sleeper(0.002), _case())
    rate_per_s = samples.facts["offered_queries_per_s"]
    assert 50 < rate_per_s < 500
    n = sum(v.n_samples for v in samples.values)
    assert n == len(samples.queries_s) >= server.LEAST_QUERIES
    seconds = sum(v.duration_s for v in samples.values)
    assert n / seconds == pytest.approx(rate_per_s, rel=0.2)
    in_time = [q for q in samples.queries_s if q <= 0.020]
    assert len(in_time) >= 0.99 * n
    assert min(samples.queries_s) >= 0.002
    assert [t[0] for t in told if t[1] == 0][:3] == ["first_step", "warm_up", "steady"]
    steady = samples.windows[-1]
    assert steady.start_s <= samples.values[0].start_s
    last = samples.values[-1]
    assert last.start_s + last.duration_s <= steady.end_s + 1e-6


def test_a_batch_answers_what_is_due_together() -> None:
    """Eight at a time in 4 ms: far more than the 250 a second of one at a time."""
    pytest.importorskip("mlperf_loadgen")
    samples, _ = _serve(Sleeper(0.004), _case("50", batch_size=8))
    assert samples.facts["offered_queries_per_s"] > 300


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
