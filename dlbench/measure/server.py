"""Queries that arrive when they will: the highest rate at which 99 of 100 are answered in time.

    first step | warm-up | search: rate, rate, rate | steady: the rate found | gate

MLCommons LoadGen makes the arrivals (a Poisson process) and judges each run: from when a query was due
to when its answer was there, queueing included, so that a late start hides nothing. The search is a
bisection of rates; LoadGen's early stopping says how many queries a claim about p99 needs.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dlbench.core.errors import UnsupportedError
from dlbench.core.protocols import Subject
from dlbench.core.types import LATENCY_LIMIT_OPTION, PROMISED_SHARE, Case, Profile, Value
from dlbench.measure import loadgen
from dlbench.measure.loadgen import LEAST_QUERIES, MOST_QUERIES, Begun, Record, Station
from dlbench.measure.sampler import Progress, Samples, Stepper

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
"""Rates of the search until one holds. From there on each run halves the gap: four close a doubling."""

STEADY_SHARES = (1.0, 0.93, 0.86, 0.8, 0.7, 0.6, 0.35)
"""Of the rate that the search found, run one after the other until the limit holds again.

The first steps are small, since by chance a p99 of some hundred queries passes the limit at a rate that
holds it; the last suits a machine that another program has slowed down since.
"""

FALLS_BEHIND = 0.05
LENGTH_OVER_LIMIT = 20
"""A run lasts so many times the limit, and at its end the queue is under a twentieth of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One run at one rate, and whether the limit held."""

    rate_per_s: float
    in_time: bool
    p99_s: float
    record: Record


def latency_limit_s(case: Case) -> float:
    """The limit that the case states."""
    return float(dict(case.options)[LATENCY_LIMIT_OPTION]) / 1e3


def serve(subject: Subject, case: Case, profile: Profile, progress: Progress, seed: int) -> Samples:
    """Warm up, search for the rate, and run at it.

    Raises:
        UnsupportedError: no rate holds the limit: one query alone takes too long, or the tail does.
        MissingDependencyError: LoadGen is not installed.
    """
    stepper = Stepper(subject=subject, case=case, profile=profile, progress=progress)
    desk = _Desk(
        station=Station(loadgen=loadgen.load(), subject=subject, case=case, progress=progress),
        profile=profile,
        limit_s=latency_limit_s(case),
        seeds=itertools.count(seed),
    )
    begun = loadgen.begin(stepper, progress)
    alone_s = begun.alone_s * case.batch_size
    if alone_s > desk.limit_s:
        raise UnsupportedError(
            f"one query alone takes {alone_s * 1e3:.3g} ms, the limit is {desk.limit_s * 1e3:.3g} ms",
            "Give a --latency-limit above that.",
        )
    rate_per_s, probes = search(desk.probe, FIRST_LOAD * case.batch_size / alone_s)
    served, late, start_s = desk.steady(rate_per_s)
    first, warm = begun.windows
    begun = replace(begun, windows=(first, replace(warm, end_s=start_s)))
    return _samples(begun, desk, served, [*probes, *late], start_s)


def _samples(
    begun: Begun, desk: _Desk, served: Served, probes: Sequence[Served], start_s: float
) -> Samples:
    station = desk.station
    # By batches: a window whose edge lies among answers that came together has one batch too few. Never
    # so many that they are short: the median of ten arrivals' windows lies 3 % above their rate.
    few = replace(desk.profile, min_values=1)
    values = loadgen.as_values(station.answers, station.began_s, few)
    return Samples(
        first_step_s=begun.first_step_s,
        warm_up=begun.warm_up,
        values=values,
        queries_s=served.record.latencies_s,
        windows=(*begun.windows, loadgen.steady_window(start_s, values)),
        steps_per_value=1,
        steady=begun.steady,
        last_output=station.last_output,
        last_buffer=station.last_buffer,
        flags=_flags(served, probes),
        facts={
            "latency_limit_s": desk.limit_s,
            "offered_queries_per_s": served.rate_per_s,
            "p99_of_run_s": served.p99_s,
            "rates_tried": " ".join(
                f"{p.rate_per_s:.4g}:{'held' if p.in_time else 'late'}" for p in probes
            ),
        },
    )


def _flags(served: Served, probes: Sequence[Served]) -> tuple[str, ...]:
    """Where no rate was late the search ended at warm-up's speed, and no limit was met."""
    few = () if served.record.enough else ("few_queries",)
    return (*few, "rate_capped") if all(probe.in_time for probe in probes) else few


def search(run: Callable[[float], Served], first_per_s: float) -> tuple[float, list[Served]]:
    """The highest rate that held, by bisection of the logarithm, and all that were tried.

    Raises:
        UnsupportedError: none held.
    """
    held, late = 0.0, math.inf
    rate_per_s = first_per_s
    tried: list[Served] = []
    while not late < held * CLOSE_ENOUGH and (held or len(tried) < MOST_PROBES):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """Offers queries at one rate after the other."""

    station: Station
    profile: Profile
    limit_s: float
    seeds: Iterator[int]

    def probe(self, rate_per_s: float) -> Served:
        """A short run of the search."""
        least_s = SEARCH_SHARE * self.profile.max_steady_s
        return self._run(rate_per_s, least_s, SEARCH_LONGEST_SHARE)

    def steady(self, rate_per_s: float) -> tuple[Served, list[Served], float]:
        """The run that counts, at the rate found or less, those that were late, and when it began.

        Raises:
            UnsupportedError: the limit did not hold again.
        """
        station = self.station
        late: list[Served] = []
        for share in STEADY_SHARES:
            station.phase = "steady"
            station.progress("steady", 0, None)
            start_s = time.monotonic()
            served = self._run(share * rate_per_s, self.profile.max_steady_s, STEADY_LONGEST_SHARE)
            if served.in_time:
                return served, late, start_s
            late.append(served)
        raise UnsupportedError(
            f"no rate held p99 within {self.limit_s * 1e3:.3g} ms twice: the last, "
            f"{late[-1].rate_per_s:.3g} a second, had {late[-1].p99_s * 1e3:.3g} ms",
            "The machine is too busy, or the --latency-limit too close to one query's time.",
        )

    def _run(self, rate_per_s: float, least_s: float, longest_share: float) -> Served:
        settings = _settings(self.station, rate_per_s, self.limit_s, next(self.seeds))
        settings.min_query_count = LEAST_QUERIES
        settings.max_query_count = MOST_QUERIES
        least_s = max(least_s, LENGTH_OVER_LIMIT * self.limit_s)
        longest_s = max(longest_share * self.profile.max_steady_s, least_s)
        settings.min_duration_ms = int(least_s * 1e3)
        settings.max_duration_ms = int(longest_s * 1e3)
        return judged(self.station.run(settings, trace=True), rate_per_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Serves at the rate that was found, for energy; ``held`` says of each window if the limit did."""

    station: Station
    rate_per_s: float
    limit_s: float
    seeds: Iterator[int]
    held: list[bool] = field(default_factory=list)

    def work(self, seconds: float) -> Value:
        """Queries for about so long: from when the first was due to when the last was answered.

        What LoadGen does before and after is not in the span; the device idles meanwhile.
        """
        settings = _settings(self.station, self.rate_per_s, self.limit_s, next(self.seeds))
        settings.min_query_count = 1
        # Arrivals are drawn: the last one due must not come before the window is long enough.
        settings.min_duration_ms = int(seconds * 1e3) + 1
        record = self.station.run(settings, trace=False)
        self.held.append(bool(record.facts["result_perf_constraints_met"]))
        done_s, _ = self.station.answers[-1]
        return Value(
            start_s=self.station.began_s,
            duration_s=done_s,
            n_samples=self.station.n_answered,
        )


def shift(subject: Subject, case: Case, samples: Samples, progress: Progress, seed: int) -> Shift:
    """For energy windows of a subject that was served: ``samples`` says at which rate."""
    station = Station(
        loadgen=loadgen.load(), subject=subject, case=case, progress=progress, phase="energy"
    )
    return Shift(
        station=station,
        rate_per_s=float(samples.facts["offered_queries_per_s"]),
        limit_s=latency_limit_s(case),
        seeds=itertools.count(seed + ENERGY_SEEDS),
    )


ENERGY_SEEDS = 500
"""Arrivals of energy windows are others than those of the search and the steady run."""


def _settings(station: Station, rate_per_s: float, limit_s: float, seed: int) -> Any:  # noqa: ANN401 - LoadGen's own
    """Arrivals at a rate, judged by the limit."""
    settings = loadgen.new_settings(station.loadgen, "Server", seed)
    settings.server_target_qps = rate_per_s
    settings.server_target_latency_ns = int(limit_s * 1e9)
    settings.server_target_latency_percentile = PROMISED_SHARE
    settings.server_coalesce_queries = station.case.batch_size > 1
    return settings


def judged(record: Record, rate_per_s: float) -> Served:
    """Whether 99 of 100 answers were in time, and the subject kept up."""
    facts = record.facts
    in_time = bool(facts["result_perf_constraints_met"])
    return Served(
        rate_per_s=rate_per_s,
        in_time=in_time and keeps_up(record.due_s, record.latencies_s),
        p99_s=float(facts["result_99.00_percentile_latency_ns"]) / 1e9,
        record=record,
    )


def keeps_up(due_s: Sequence[float], latencies_s: Sequence[float]) -> bool:
    """Whether the last answer came soon after the last query was due, by the length of the run.

    Under more than it can do a subject falls ever further behind; in a run that is short beside the
    limit, no query would be late yet.
    """
    last_s = max(due + latency for due, latency in zip(due_s, latencies_s, strict=True))
    return last_s <= (1 + FALLS_BEHIND) * due_s[-1]
