"""Queries that arrive when they will: the highest rate at which 99 of 100 are answered in time.

    first step | warm-up | search: rate, rate, rate | steady: the rate found | gate

MLCommons LoadGen makes the arrivals (a Poisson process) and judges each run: from when a query was due
to when its answer was there, queueing included, so that a late start hides nothing. The search is a
bisection of rates; LoadGen's early stopping says how many queries a claim about p99 needs.

Queries are answered in the thread in which LoadGen issues them, one batch after the other: while one is
answered others fall due, and those are issued next, together. No second thread fights for the
interpreter.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlbench.core.errors import MissingDependencyError, UnsupportedError
from dlbench.core.protocols import Subject
from dlbench.core.types import LATENCY_LIMIT_OPTION, Case, Profile, Value, Window
from dlbench.measure.sampler import PROGRESS_EVERY_S, Progress, Samples, Stepper

INSTALL = "pip install 'dlbench[loadgen]'"

PERCENTILE = 0.99

LEAST_QUERIES = 459
"""Without one late query, so many are needed to claim p99 at 99 % confidence: ln 0.01 / ln 0.99."""

MOST_QUERIES = 20_000
"""Of one run: LoadGen's trace, from which latencies are read, has fifteen lines a query."""

SEARCH_SHARE = 0.25
"""Of the steady part's time that one rate of the search gets."""

SEARCH_LONGEST_SHARE = 1.0
STEADY_LONGEST_SHARE = 2.0
"""Of the steady part's time, after which a run ends even with too few queries: it is flagged."""

FIRST_LOAD = 0.7
"""Of what the subject can do without a pause: queues grow beyond bounds as this nears 1."""

CLOSE_ENOUGH = 1.05
"""The search ends when the rates that hold and do not hold are within 5 %."""

MOST_PROBES = 6

MOST_STEADY_RUNS = 3
STEP_BACK = 0.93
"""A rate that held in the search and not in the steady run is lowered by 7 %, and run again."""

FALLS_BEHIND = 0.05
LENGTH_OVER_LIMIT = 20
"""A run lasts so many times the limit, and at its end the queue is under a twentieth of it."""

QUERIES_A_VALUE = 100
"""The median over windows of n Poisson arrivals is 1 / (3 n) from their mean: 0.3 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One run at one rate, as LoadGen judged it; latencies in the order in which queries were due."""

    rate_per_s: float
    in_time: bool
    enough: bool
    p99_s: float
    due_s: tuple[float, ...]
    latencies_s: tuple[float, ...]


def latency_limit_s(case: Case) -> float:
    """The limit that the case states."""
    return float(dict(case.options)[LATENCY_LIMIT_OPTION]) / 1e3


def serve(subject: Subject, case: Case, profile: Profile, progress: Progress, seed: int) -> Samples:
    """Warm up, search for the rate, and run at it.

    Raises:
        UnsupportedError: no rate holds the limit: one query alone takes too long, or the tail does.
        MissingDependencyError: LoadGen is not installed.
    """
    loadgen = _loadgen()
    stepper = Stepper(subject=subject, case=case, profile=profile, progress=progress)
    windows = []
    start_s = time.monotonic()
    progress("first_step", 0, None)
    first_step_s = stepper.first_step()
    windows.append(Window(name="first_step", start_s=start_s, end_s=time.monotonic()))
    start_s = time.monotonic()
    progress("warm_up", 0, None)
    warm_up, steady = stepper.warm_up()
    alone_s = statistics.median(v.duration_s / v.n_samples for v in warm_up) * case.batch_size
    limit_s = latency_limit_s(case)
    if alone_s > limit_s:
        raise UnsupportedError(
            f"one query alone takes {alone_s * 1e3:.3g} ms, the limit is {limit_s * 1e3:.3g} ms",
            "Give a --latency-limit above that.",
        )
    station = _Station(
        loadgen=loadgen, subject=subject, case=case, progress=progress, seeds=itertools.count(seed)
    )
    rate_per_s, probes = search(
        lambda rate: station.run(rate, limit_s, SEARCH_SHARE * profile.max_steady_s, profile),
        FIRST_LOAD * case.batch_size / alone_s,
    )
    windows.append(Window(name="warm_up", start_s=start_s, end_s=time.monotonic()))
    for _ in range(MOST_STEADY_RUNS):
        start_s = time.monotonic()
        station.phase = "steady"
        progress("steady", 0, None)
        served = station.run(rate_per_s, limit_s, profile.max_steady_s, profile)
        if served.in_time:
            break
        probes.append(served)
        rate_per_s *= STEP_BACK
    else:
        raise UnsupportedError(
            f"no rate held p99 within {limit_s * 1e3:.3g} ms twice: the last, {served.rate_per_s:.3g} "
            f"a second, had {served.p99_s * 1e3:.3g} ms",
            "The machine is too busy, or the --latency-limit too close to one query's time.",
        )
    values = as_values(served, station.began_s, profile)
    last = values[-1]
    end_s = max(time.monotonic(), last.start_s + last.duration_s)
    windows.append(Window(name="steady", start_s=start_s, end_s=end_s))
    return Samples(
        first_step_s=first_step_s,
        warm_up=tuple(warm_up),
        values=values,
        queries_s=served.latencies_s,
        windows=tuple(windows),
        steps_per_value=1,
        steady=steady,
        first_loss=None,
        last_loss=None,
        last_output=station.last_output,
        last_buffer=station.last_buffer,
        flags=() if served.enough else ("few_queries",),
        facts={
            "latency_limit_s": limit_s,
            "offered_queries_per_s": served.rate_per_s,
            "p99_of_run_s": served.p99_s,
            "rates_tried": " ".join(
                f"{p.rate_per_s:.4g}:{'held' if p.in_time else 'late'}" for p in probes
            ),
        },
    )


def search(run: Callable[[float], Served], first_per_s: float) -> tuple[float, list[Served]]:
    """The highest rate that held, by bisection of the logarithm, and all that were tried.

    Raises:
        UnsupportedError: none held.
    """
    held, late = 0.0, math.inf
    rate_per_s = first_per_s
    tried: list[Served] = []
    while len(tried) < MOST_PROBES and not late < held * CLOSE_ENOUGH:
        served = run(rate_per_s)
        tried.append(served)
        if served.in_time:
            held = rate_per_s
        else:
            late = rate_per_s
        if not held:
            rate_per_s = late / 2
        elif math.isinf(late):
            # Beyond what it can do without a pause nothing can hold: that is the other end.
            rate_per_s = math.sqrt(held * first_per_s / FIRST_LOAD)
            late = first_per_s / FIRST_LOAD
        else:
            rate_per_s = math.sqrt(held * late)
    if not held:
        last = tried[-1]
        raise UnsupportedError(
            f"at {last.rate_per_s:.3g} queries a second, the lowest rate tried, p99 was "
            f"{last.p99_s * 1e3:.3g} ms",
            "Give a longer --latency-limit.",
        )
    return held, tried


def as_values(served: Served, began_s: float, profile: Profile) -> tuple[Value, ...]:
    """The run cut into windows of about as many answers, from the first query's due time on."""
    pairs = zip(served.due_s, served.latencies_s, strict=True)
    done_s = sorted(due_s + latency_s for due_s, latency_s in pairs)
    n = min(max(len(done_s) // QUERIES_A_VALUE, profile.min_values), profile.max_values)
    n = min(n, len(done_s))
    ends = [round((i + 1) * len(done_s) / n) for i in range(n)]
    values, before, start_s = [], 0, 0.0
    for end in ends:
        duration_s = done_s[end - 1] - start_s
        values.append(
            Value(start_s=began_s + start_s, duration_s=duration_s, n_samples=end - before)
        )
        before, start_s = end, done_s[end - 1]
    return tuple(values)


@dataclass(slots=True, kw_only=True)
class _Station:
    """Answers LoadGen's queries, and keeps what the gate looks at."""

    loadgen: Any
    subject: Subject
    case: Case
    progress: Progress
    seeds: Any
    phase: str = "warm_up"
    began_s: float = 0.0
    n_answered: int = 0
    last_output: object = None
    last_buffer: int = 0
    progress_due_s: float = 0.0
    failure: BaseException | None = field(default=None)

    def run(self, rate_per_s: float, limit_s: float, least_s: float, profile: Profile) -> Served:
        """One LoadGen run; an exception of the subject ends it and is raised from here."""
        loadgen = self.loadgen
        self.began_s, self.n_answered, self.failure = 0.0, 0, None
        settings = loadgen.TestSettings()
        settings.scenario = loadgen.TestScenario.Server
        settings.mode = loadgen.TestMode.PerformanceOnly
        settings.server_target_qps = rate_per_s
        settings.server_target_latency_ns = int(limit_s * 1e9)
        settings.server_target_latency_percentile = PERCENTILE
        settings.server_coalesce_queries = self.case.batch_size > 1
        settings.min_query_count = LEAST_QUERIES
        settings.max_query_count = MOST_QUERIES
        least_s = max(least_s, LENGTH_OVER_LIMIT * limit_s)
        share = STEADY_LONGEST_SHARE if self.phase == "steady" else SEARCH_LONGEST_SHARE
        longest_s = max(share * profile.max_steady_s, least_s)
        settings.min_duration_ms = int(least_s * 1e3)
        settings.max_duration_ms = int(longest_s * 1e3)
        settings.schedule_rng_seed = settings.sample_index_rng_seed = next(self.seeds)
        with tempfile.TemporaryDirectory(prefix="dlbench-loadgen-") as folder:
            output = loadgen.LogOutputSettings()
            output.outdir, output.copy_summary_to_stdout = folder, False
            logs = loadgen.LogSettings()
            logs.log_output, logs.enable_trace = output, True
            n = self.subject.n_buffers
            queries = loadgen.ConstructQSL(n, n, _nothing, _nothing)
            answers = loadgen.ConstructSUT(self.issue, _nothing_at_all)
            try:
                loadgen.StartTestWithLogSettings(answers, queries, settings, logs, "")
            finally:
                loadgen.DestroySUT(answers)
                loadgen.DestroyQSL(queries)
            if self.failure is not None:
                raise self.failure
            return read_logs(Path(folder), rate_per_s)

    def issue(self, samples: Sequence[Any]) -> None:
        """Answer what is due, a batch at a time."""
        self.began_s = self.began_s or time.monotonic()
        size = self.case.batch_size
        for i in range(0, len(samples), size):
            batch = samples[i : i + size]
            self._answer(batch[0].index % self.subject.n_buffers)
            response = self.loadgen.QuerySampleResponse
            self.loadgen.QuerySamplesComplete([response(s.id, 0, 0) for s in batch])
            self.n_answered += len(batch)
        self._tell()

    def _answer(self, buffer: int) -> None:
        if self.failure is not None:
            return
        try:
            self.last_output, self.last_buffer = self.subject.query(buffer), buffer
            self.subject.synchronize()
        except BaseException as error:  # noqa: BLE001 - nothing may pass through LoadGen's frames
            self.failure = error

    def _tell(self) -> None:
        now_s = time.monotonic()
        if now_s >= self.progress_due_s:
            self.progress_due_s = now_s + PROGRESS_EVERY_S
            per_query_s = (now_s - self.began_s) / self.n_answered
            self.progress(self.phase, self.n_answered, per_query_s)


def _nothing(_: object) -> None:
    """Inputs are resident: there is nothing to load."""


def _nothing_at_all() -> None:
    """No query waits to be flushed."""


def _loadgen() -> Any:  # noqa: ANN401 - the module
    try:
        import mlperf_loadgen
    except Exception as error:
        raise MissingDependencyError(
            f"MLCommons LoadGen does not import: {type(error).__name__}: {error}", INSTALL
        ) from error
    return mlperf_loadgen


MLLOG = ":::MLLOG "
SAMPLE_BEGUN = '{"name":"Sample","cat":"default","ph":"b"'


def read_logs(folder: Path, rate_per_s: float) -> Served:
    """LoadGen's verdict, from its detail log, and each query's times, from its trace."""
    lines = (folder / "mlperf_log_detail.txt").read_text(encoding="utf-8").splitlines()
    records = [json.loads(x.removeprefix(MLLOG)) for x in lines if x.startswith(MLLOG)]
    found: Mapping[str, Any] = {r["key"]: r["value"] for r in records}
    # As a whole the trace is not valid JSON; its lines of samples are.
    with (folder / "mlperf_log_trace.json").open(encoding="utf-8") as trace:
        begun = [json.loads(line.rstrip(",\n")) for line in trace if line.startswith(SAMPLE_BEGUN)]
    begun.sort(key=lambda event: float(event["ts"]))
    first_us = float(begun[0]["ts"])
    due_s = tuple((float(e["ts"]) - first_us) / 1e6 for e in begun)
    latencies_s = tuple(float(e["args"]["complete_ns"]) / 1e9 for e in begun)
    return Served(
        rate_per_s=rate_per_s,
        in_time=bool(found["result_perf_constraints_met"]) and keeps_up(due_s, latencies_s),
        enough=bool(found["early_stopping_met"]),
        p99_s=float(found["result_99.00_percentile_latency_ns"]) / 1e9,
        due_s=due_s,
        latencies_s=latencies_s,
    )


def keeps_up(due_s: Sequence[float], latencies_s: Sequence[float]) -> bool:
    """Whether the last answer came soon after the last query was due, by the length of the run.

    Under more than it can do a subject falls ever further behind; in a run that is short beside the
    limit, no query would be late yet.
    """
    last_s = max(due + latency for due, latency in zip(due_s, latencies_s, strict=True))
    return last_s <= (1 + FALLS_BEHIND) * due_s[-1]
