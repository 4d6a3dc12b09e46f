"""Queries made and judged by MLCommons LoadGen.

    LoadGen -> Station.issue -> subject.query, synchronised -> LoadGen notes the time

Queries are answered in the thread in which LoadGen issues them, one batch after the other: while one is
answered others fall due, and those are issued next, together. No second thread fights for the
interpreter.

``drive`` runs ``offline`` and ``single_stream`` under LoadGen where that is asked for; ``server``
always is, in ``measure/server.py``.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlbench.core import pip, stats
from dlbench.core.protocols import Subject
from dlbench.core.types import Case, Profile, Scenario, Value, Window
from dlbench.measure.sampler import PROGRESS_EVERY_S, Progress, Samples, Stepper

INSTALL = "pip install 'dlbench[loadgen]'"

LEAST_QUERIES = 459
"""Without one late query, so many are needed to claim p99 at 99 % confidence: ln 0.01 / ln 0.99."""

LEAST_TO_STATE = 662
"""So many single_stream needs: its early stopping states a p99, and leaves out one query at least."""

MOST_QUERIES = 20_000
"""Of a run whose latencies are read from LoadGen's trace, which has fifteen lines a query."""

MOST_OFFLINE_SAMPLES = 500_000
"""Of an offline run: LoadGen hands them all over at once, as Python objects."""

QUERIES_A_VALUE = 100
"""The median over windows of n Poisson arrivals is 1 / (3 n) from their mean: 0.3 %. A server's are not
shorter, whatever the profile's least number of values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One run as LoadGen logged it: its detail log, and when each query was due and how long it took.

    Queries are in the order in which they were due, which is counted from the first; there are none
    where no trace was written.
    """

    facts: Mapping[str, Any]
    due_s: tuple[float, ...]
    latencies_s: tuple[float, ...]

    @property
    def enough(self) -> bool:
        """LoadGen's early stopping: enough queries for the percentile that the scenario claims."""
        return bool(self.facts["early_stopping_met"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A subject that is warm: what its first steps took."""

    first_step_s: float
    warm_up: tuple[Value, ...]
    steady: bool
    windows: tuple[Window, Window]

    @property
    def alone_s(self) -> float:
        """Median seconds a sample of the warm-up."""
        return stats.median_seconds_per_sample(self.warm_up)


def load() -> Any:  # noqa: ANN401 - the module
    """LoadGen itself.

    Raises:
        MissingDependencyError: it is not installed, or does not import.
    """
    with pip.importing("MLCommons LoadGen", INSTALL):
        import mlperf_loadgen
    return mlperf_loadgen


def begin(stepper: Stepper, progress: Progress) -> Begun:
    """First step and warm-up, as in any trial."""
    start_s = time.monotonic()
    progress("first_step", 0, None)
    first_step_s = stepper.first_step()
    warm_s = time.monotonic()
    progress("warm_up", 0, None)
    warm_up, steady = stepper.warm_up()
    return Begun(
        first_step_s=first_step_s,
        warm_up=tuple(warm_up),
        steady=steady,
        windows=(
            Window(name="first_step", start_s=start_s, end_s=warm_s),
            Window(name="warm_up", start_s=warm_s, end_s=time.monotonic()),
        ),
    )


def drive(subject: Subject, case: Case, profile: Profile, progress: Progress, seed: int) -> Samples:
    """Offline or single_stream with the steady part made and judged by LoadGen.

    Raises:
        MissingDependencyError: LoadGen is not installed.
    """
    loadgen = load()
    stepper = Stepper(subject=subject, case=case, profile=profile, progress=progress)
    begun = begin(stepper, progress)
    station = Station(
        loadgen=loadgen, subject=subject, case=case, progress=progress, phase="steady"
    )
    progress("steady", 0, None)
    start_s = time.monotonic()
    queries_s: tuple[float, ...] = ()
    enough = True
    if case.scenario is Scenario.OFFLINE:
        station.run(_offline(loadgen, case, profile, begun.alone_s, seed), trace=False)
    else:
        alone_s = begun.alone_s * case.batch_size
        record = station.run(_single_stream(loadgen, profile, alone_s, seed), trace=True)
        queries_s, enough = record.latencies_s, record.enough
    values = as_values(station.answers, station.began_s, profile)
    return Samples(
        first_step_s=begun.first_step_s,
        warm_up=begun.warm_up,
        values=values,
        queries_s=queries_s,
        windows=(*begun.windows, steady_window(start_s, values)),
        steps_per_value=1,
        steady=begun.steady,
        last_output=station.last_output,
        last_buffer=station.last_buffer,
        flags=() if enough else ("few_queries",),
    )


def steady_window(start_s: float, values: Sequence[Value]) -> Window:
    """From ``start_s`` to now, or to the last answer."""
    last = values[-1]
    end_s = max(time.monotonic(), last.start_s + last.duration_s)
    return Window(name="steady", start_s=start_s, end_s=end_s)


def new_settings(loadgen: Any, scenario: str, seed: int) -> Any:  # noqa: ANN401 - LoadGen's own
    """Those that all scenarios share."""
    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, scenario)
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.schedule_rng_seed = settings.sample_index_rng_seed = seed
    return settings


def _offline(loadgen: Any, case: Case, profile: Profile, alone_s: float, seed: int) -> Any:  # noqa: ANN401
    """One query of whole batches, as many as last the profile's steady part."""
    settings = new_settings(loadgen, "Offline", seed)
    n_batches = math.ceil(profile.max_steady_s / (alone_s * case.batch_size))
    most = MOST_OFFLINE_SAMPLES // case.batch_size
    n = case.batch_size * max(profile.min_values, min(n_batches, most))
    # LoadGen takes the larger of this and the expected rate times the least duration.
    settings.min_query_count = n
    settings.offline_expected_qps = 1.0
    settings.min_duration_ms = 1
    return settings


def _single_stream(loadgen: Any, profile: Profile, alone_s: float, seed: int) -> Any:  # noqa: ANN401
    """One query after the other, for as long as any steady part; enough for p99 where that allows."""
    settings = new_settings(loadgen, "SingleStream", seed)
    settings.single_stream_expected_latency_ns = max(1, int(alone_s * 1e9))
    settings.single_stream_target_latency_percentile = 0.99
    settings.min_query_count = LEAST_TO_STATE
    settings.max_query_count = MOST_QUERIES
    settings.min_duration_ms = int(profile.min_steady_s * 1e3)
    settings.max_duration_ms = int(profile.max_steady_s * 1e3)
    return settings


def as_values(
    answers: Sequence[tuple[float, int]], began_s: float, profile: Profile
) -> tuple[Value, ...]:
    """The run cut into windows of about as many answers, from the first query's due time on.

    Args:
        answers: when each came, in seconds from the start and in order, and of how many samples.
        began_s: the start, on the host's clock.
        profile: how many values there may be.
    """
    n_samples = sum(n for _, n in answers)
    n = min(max(n_samples // QUERIES_A_VALUE, profile.min_values), profile.max_values)
    n = min(n, len(answers))
    ends = [round((i + 1) * len(answers) / n) for i in range(n)]
    values, before, start_s = [], 0, 0.0
    for end in ends:
        done_s = answers[end - 1][0]
        values.append(
            Value(
                start_s=began_s + start_s,
                duration_s=done_s - start_s,
                n_samples=sum(n for _, n in answers[before:end]),
            )
        )
        before, start_s = end, done_s
    return tuple(values)


@dataclass(slots=True, kw_only=True)
class Station:
    """Answers LoadGen's queries, and keeps what the gate looks at.

    ``answers`` are when each batch of the latest run was done, from its start, and its samples.
    """

    loadgen: Any
    subject: Subject
    case: Case
    progress: Progress
    phase: str = "warm_up"
    began_s: float = 0.0
    answers: list[tuple[float, int]] = field(default_factory=list)
    n_answered: int = 0
    last_output: object = None
    last_buffer: int = 0
    progress_due_s: float = 0.0
    failure: BaseException | None = None

    def run(self, settings: Any, *, trace: bool) -> Record:  # noqa: ANN401 - LoadGen's own
        """One LoadGen run; an exception of the subject ends it and is raised from here."""
        loadgen = self.loadgen
        self.began_s, self.n_answered, self.failure = 0.0, 0, None
        self.answers.clear()
        with tempfile.TemporaryDirectory(prefix="dlbench-loadgen-") as folder:
            output = loadgen.LogOutputSettings()
            output.outdir, output.copy_summary_to_stdout = folder, False
            logs = loadgen.LogSettings()
            logs.log_output, logs.enable_trace = output, trace
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
            return read_logs(Path(folder))

    def issue(self, samples: Sequence[Any]) -> None:
        """Answer what is due, a batch at a time."""
        self.began_s = self.began_s or time.monotonic()
        size = self.case.batch_size
        for i in range(0, len(samples), size):
            batch = samples[i : i + size]
            # Of whole batches in turn: LoadGen's offline asks for all buffers over and over, so that
            # the first sample of every batch of 8 is of the same one.
            place = batch[0].index if size == 1 else len(self.answers)
            self._answer(place % self.subject.n_buffers)
            # In single_stream LoadGen issues one sample and means a query: ours is of a whole batch.
            single = self.case.scenario is Scenario.SINGLE_STREAM
            n_samples = size if single else len(batch)
            self.answers.append((time.monotonic() - self.began_s, n_samples))
            response = self.loadgen.QuerySampleResponse
            self.loadgen.QuerySamplesComplete([response(s.id, 0, 0) for s in batch])
            self.n_answered += n_samples
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
            per_sample_s = (now_s - self.began_s) / self.n_answered
            self.progress(self.phase, self.n_answered, per_sample_s)


def _nothing(_: object) -> None:
    """Inputs are resident: there is nothing to load."""


def _nothing_at_all() -> None:
    """No query waits to be flushed."""


MLLOG = ":::MLLOG "
SAMPLE_BEGUN = '{"name":"Sample","cat":"default","ph":"b"'


def read_logs(folder: Path) -> Record:
    """LoadGen's verdict, from its detail log, and each query's times, from its trace if any."""
    lines = (folder / "mlperf_log_detail.txt").read_text(encoding="utf-8").splitlines()
    records = [json.loads(x.removeprefix(MLLOG)) for x in lines if x.startswith(MLLOG)]
    # As a whole the trace is not valid JSON; its lines of samples are.
    with (folder / "mlperf_log_trace.json").open(encoding="utf-8") as trace:
        begun = [json.loads(line.rstrip(",\n")) for line in trace if line.startswith(SAMPLE_BEGUN)]
    begun.sort(key=lambda event: float(event["ts"]))
    first_us = float(begun[0]["ts"]) if begun else 0.0
    return Record(
        facts={r["key"]: r["value"] for r in records},
        due_s=tuple((float(e["ts"]) - first_us) / 1e6 for e in begun),
        latencies_s=tuple(float(e["args"]["complete_ns"]) / 1e9 for e in begun),
    )
