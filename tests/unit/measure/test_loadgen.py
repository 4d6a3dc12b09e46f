"""Queries by LoadGen: the reading of its logs, and offline and single_stream on a fake subject."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from dlbench.core.errors import DeviceOutOfMemoryError
from dlbench.core.types import DRIVER_OPTION, LOADGEN, Case, Profile, Scenario
from dlbench.measure import loadgen, sampler, server
from dlbench.measure.loadgen import Record
from tests import builders
from tests.unit.measure.test_sampler import PROFILE
from tests.unit.measure.test_server import QUICK, Sleeper


def test_values_cover_the_run_and_count_every_answer() -> None:
    """From the first due time to the last answer, whatever the order of answers."""
    due_s = tuple(i * 0.01 for i in range(1000))
    latencies_s = tuple(0.002 if i % 7 else 0.05 for i in range(1000))
    record = Record(facts={}, due_s=due_s, latencies_s=latencies_s)
    values = loadgen.as_values(record.answers, 50.0, PROFILE)
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
    record = loadgen.read_logs(tmp_path)
    assert not record.enough
    assert record.latencies_s == pytest.approx((0.004142609, 0.005))
    assert record.due_s == pytest.approx((0.0, 0.201))
    judged = server.judged(record, 94.0)
    assert judged.p99_s == pytest.approx(0.012215217)
    assert judged.rate_per_s == 94.0


def _case(scenario: Scenario, batch_size: int = 1) -> Case:
    options = ((DRIVER_OPTION, LOADGEN),)
    return builders.case(scenario=scenario, batch_size=batch_size, options=options)


def _drive(subject: Sleeper, case: Case, profile: Profile = QUICK) -> sampler.Samples:
    return loadgen.drive(subject, case, profile, lambda *_: None, seed=3)


ATTEMPTS = 3


def test_single_stream_has_a_latency_of_each_query() -> None:
    """One after the other, each at least as long as it takes, and the values are of the same time."""
    pytest.importorskip("mlperf_loadgen")
    # As long as enough of them take, whatever a millisecond is on this machine.
    patient = replace(QUICK, max_steady_s=120.0)
    # On a machine that stops at times, LoadGen's early stopping may want more queries than there were.
    for _ in range(ATTEMPTS):
        samples = _drive(Sleeper(0.001), _case(Scenario.SINGLE_STREAM), patient)
        if not samples.flags:
            break
    assert len(samples.queries_s) >= loadgen.LEAST_QUERIES
    assert min(samples.queries_s) >= 0.001
    n = sum(v.n_samples for v in samples.values)
    assert n == len(samples.queries_s)
    seconds = sum(v.duration_s for v in samples.values)
    steady = samples.windows[-1]
    assert 0.999 * sum(samples.queries_s) <= seconds <= steady.end_s - steady.start_s
    assert samples.flags == ()


def test_too_few_queries_are_flagged() -> None:
    """A second of them, at 20 ms each, says nothing of p99."""
    pytest.importorskip("mlperf_loadgen")
    samples = _drive(Sleeper(0.02), _case(Scenario.SINGLE_STREAM))
    assert len(samples.queries_s) < loadgen.LEAST_QUERIES
    assert samples.flags == ("few_queries",)


def test_offline_answers_whole_batches() -> None:
    """All samples at once, eight in each 4 ms: never faster, and far from one at a time."""
    pytest.importorskip("mlperf_loadgen")
    samples = _drive(Sleeper(0.004), _case(Scenario.OFFLINE, batch_size=8))
    assert all(v.n_samples % 8 == 0 for v in samples.values)
    assert len(samples.values) >= QUICK.min_values
    assert not samples.queries_s
    per_sample_s = statistics.median(v.duration_s / v.n_samples for v in samples.values)
    assert 0.0005 <= per_sample_s < 0.004


def test_a_subject_that_fails_under_loadgen_ends_the_trial() -> None:
    """Its own error comes out."""
    pytest.importorskip("mlperf_loadgen")
    with pytest.raises(DeviceOutOfMemoryError, match="gone"):
        _drive(Sleeper(0.0005, fails_after=300), _case(Scenario.SINGLE_STREAM))


def test_a_query_of_four_samples_counts_as_four_whoever_asks_it() -> None:
    """LoadGen issues one sample and is answered by a whole batch: what our own loop counts too."""
    pytest.importorskip("mlperf_loadgen")
    subject = Sleeper(0.002)
    samples = _drive(subject, _case(Scenario.SINGLE_STREAM, batch_size=4))
    assert sum(v.n_samples for v in samples.values) == 4 * len(samples.queries_s)
    per_sample_s = statistics.median(v.duration_s / v.n_samples for v in samples.values)
    assert 0.0005 <= per_sample_s < 0.002
