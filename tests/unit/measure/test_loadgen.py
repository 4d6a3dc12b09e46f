"""Queries by LoadGen: the reading of its logs, and offline and single_stream on a fake subject."""

from __future__ import annotations

import itertools
import random
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from dlbench.core import stats
from dlbench.core.types import Scenario
from dlbench.measure import loadgen, server
from tests import builders
from tests.unit.measure.clockwork import Clock, Clockwork
from tests.unit.measure.test_sampler import PROFILE


def test_values_cover_the_run_and_count_every_answer() -> None:
    """From the first due time to the last answer, whatever the order of answers."""
    due_s = tuple(i * 0.01 for i in range(1000))
    latencies_s = tuple(0.002 if i % 7 else 0.05 for i in range(1000))
    answers = sorted((due + late, 1) for due, late in zip(due_s, latencies_s, strict=True))
    values = loadgen.as_values(answers, 50.0, PROFILE)
    assert len(values) == 10
    assert sum(v.n_samples for v in values) == 1000
    assert values[0].start_s == 50.0
    for before, after in itertools.pairwise(values):
        assert after.start_s == pytest.approx(before.start_s + before.duration_s, abs=1e-9)
    end_s = values[-1].start_s + values[-1].duration_s
    assert end_s == pytest.approx(50.0 + max(map(sum, zip(due_s, latencies_s, strict=True))))


def test_the_median_of_a_servers_values_is_its_rate() -> None:
    """459 arrivals in fifty windows of nine had 3.6 % more a second than there were."""
    strict = replace(PROFILE, min_values=1, max_values=50)
    generator = random.Random(0)
    found = []
    for _ in range(400):
        times_s = itertools.accumulate(generator.expovariate(4.0) for _ in range(459))
        values = loadgen.as_values([(t_s, 1) for t_s in times_s], 0.0, strict)
        assert min(v.n_samples for v in values) >= loadgen.QUERIES_A_VALUE
        found.append(stats.median_seconds_per_sample(values))
    assert 1 / statistics.fmean(found) == pytest.approx(4.0, rel=0.01)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 8, 12])
def test_batches_of_loadgens_are_of_all_buffers_in_turn(batch_size: int) -> None:
    """Its offline issues every sample of its library, in one order, again and again."""
    subject = Clockwork(Clock(), lambda _: 0.0)
    completed: list[int] = []

    def complete(responses: Sequence[int]) -> None:
        completed.extend(responses)

    station = loadgen.Station(
        loadgen=SimpleNamespace(
            QuerySampleResponse=lambda query, *_: query, QuerySamplesComplete=complete
        ),
        subject=subject,
        case=builders.case(scenario=Scenario.OFFLINE, batch_size=batch_size),
        progress=lambda *_: None,
    )
    order = [0, 2, 1, 3] * 24
    station.issue([SimpleNamespace(id=i, index=index) for i, index in enumerate(order)])
    n = len(order) // batch_size
    assert [subject.buffers.count(buffer) for buffer in range(4)] == [n // 4] * 4
    assert all(a != b for a, b in itertools.pairwise(subject.buffers))
    assert completed == list(range(len(order)))
    assert (station.last_buffer, station.n_answered) == (subject.buffers[-1], len(order))


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
    record = loadgen.read_logs(tmp_path)
    assert not record.enough
    assert record.latencies_s == pytest.approx((0.004142609, 0.005))
    assert record.due_s == pytest.approx((0.0, 0.201))
    judged = server.judged(record, 94.0)
    assert judged.p99_s == pytest.approx(0.012215217)
    assert judged.rate_per_s == 94.0
