"""The search for a batch size, over machines in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlbench import plan as planning
from dlbench import session
from dlbench.core.types import Absent, BatchProbe, BatchSearch, Case, OutcomeKind
from dlbench.session import batch_search, search_batches
from dlbench.session.workers import Settings
from tests import sessions


def _machine(fits: int, speed: Callable[[int], float]) -> Callable[[int], BatchProbe]:
    def measure(size: int) -> BatchProbe:
        if size > fits:
            return BatchProbe(
                batch_size=size,
                samples_per_s=Absent(reason="full"),
                outcome=OutcomeKind.OOM_DEVICE,
            )
        return BatchProbe(batch_size=size, samples_per_s=speed(size), outcome=OutcomeKind.OK)

    return measure


def _saturating(half: float) -> Callable[[int], float]:
    """Throughput n / (n + half): a fixed cost a step."""
    return lambda n: 1000.0 * n / (n + half)


@pytest.mark.parametrize("start", [1, 3, 8, 64, 1024])
def test_memory_is_filled_to_an_eighth_where_that_pays(start: int) -> None:
    """A machine that is faster with every sample, whatever the search begins with."""
    ladder = batch_search.Ladder(measure=_machine(200, float))
    best = ladder.climb(start)
    assert best is not None
    assert 175 <= best <= 200


@given(start=st.integers(1, 512), fits=st.integers(1, 4096), half=st.floats(0.1, 100))
def test_nothing_that_was_tried_is_faster_and_nothing_too_large_is_chosen(
    start: int, fits: int, half: float
) -> None:
    """And the answer is within a tenth of the best that the machine has."""
    speed = _saturating(half)
    ladder = batch_search.Ladder(measure=_machine(fits, speed))
    best = ladder.climb(start)
    assert best is not None
    assert best <= fits
    tried = [p.samples_per_s for p in ladder.in_order() if isinstance(p.samples_per_s, float)]
    assert speed(best) >= max(tried) * (1 - batch_search.WORTH)
    assert speed(best) >= 0.9 * speed(min(fits, batch_search.MOST))


def test_a_machine_that_likes_small_batches_gets_one() -> None:
    """Caches: throughput falls from 4 on."""
    ladder = batch_search.Ladder(measure=_machine(10**6, lambda n: 100.0 / (1 + abs(n - 4))))
    assert ladder.climb(64) == 4


def test_where_not_even_one_sample_fits_there_is_no_answer() -> None:
    """All sizes down to one were tried."""
    ladder = batch_search.Ladder(measure=_machine(0, float))
    assert ladder.climb(8) is None
    assert [p.batch_size for p in ladder.in_order()] == [1, 2, 4, 8]


def test_the_search_goes_beyond_every_default_and_says_where_it_was_cut() -> None:
    """A machine without an end, begun at the largest default; and one that is full above the cap."""
    ladder = batch_search.Ladder(measure=_machine(2**30, lambda n: float(n) ** 2))
    assert ladder.climb(65536) == 2**20
    assert ladder.capped
    assert [p.batch_size for p in ladder.in_order()] == [2**n for n in range(16, 21)]
    full = batch_search.Ladder(measure=_machine(2**19, lambda n: float(n) ** 2))
    assert full.climb(65536) == 2**19
    assert not full.capped


def test_a_search_that_ends_at_long_steps_says_that_it_was_cut() -> None:
    """Steps of more than ten seconds are not tried, though they would pay and memory would do."""
    ladder = batch_search.Ladder(measure=_machine(2**20, lambda n: n**0.5))
    assert ladder.climb(64) == 128
    assert ladder.capped


@pytest.mark.parametrize(
    ("fits", "kind", "tried", "best"),
    [
        (0, OutcomeKind.MISSING_DEPENDENCY, [64], None),
        (64, OutcomeKind.CRASHED, [64, 128], 64),
        (128, OutcomeKind.TIMEOUT, [64, 128, 256], 128),
        (0, OutcomeKind.OOM_HOST, [1, 2, 4, 8, 16, 32, 64], None),
        (5, OutcomeKind.OOM_DEVICE, [2, 4, 5, 6, 8, 16, 32, 64], 5),
    ],
)
def test_only_a_lack_of_memory_is_a_reason_to_try_smaller_batches(
    fits: int, kind: OutcomeKind, tried: list[int], best: int | None
) -> None:
    """Whatever else fails would fail at any size, and each try is a worker process."""
    machine = _machine(fits, float)
    ladder = batch_search.Ladder(
        measure=lambda n: machine(n) if n <= fits else replace(machine(n), outcome=kind)
    )
    assert ladder.climb(64) == best
    assert [p.batch_size for p in ladder.in_order()] == tried


def test_a_session_searches_with_real_workers_that_run_out_of_memory(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan that comes back runs at what fits, and says how that was found."""
    brief = replace(batch_search.PROFILE, min_warm_up_s=0.0, min_steady_s=0.0)
    monkeypatch.setattr(batch_search, "PROFILE", brief)
    case = sessions.fake_case(step_ms="10", memory_samples="6")
    plan = sessions.plan([case])
    found = search_batches(plan, sessions.devices(), Settings(folder=results))
    (search,) = found.searches
    assert found.cases[0].batch_size == search.batch_size == 6
    outcomes = {p.batch_size: p.outcome for p in search.probes}
    assert outcomes[8] is OutcomeKind.OOM_DEVICE
    assert outcomes[6] is OutcomeKind.OK
    assert not search.capped


@pytest.mark.parametrize(("n_tried", "best"), [(1, 8), (3, 32)])
def test_a_search_whose_time_is_over_says_that_it_was_cut(n_tried: int, best: int) -> None:
    """It keeps the best size so far; one that had seen the end of gains is not cut."""
    ladder = batch_search.Ladder(measure=_machine(10**6, float))
    ladder.stopped = lambda: len(ladder.probes) >= n_tried
    assert ladder.climb(8) == best
    assert len(ladder.probes) == n_tried
    assert ladder.capped
    ended = batch_search.Ladder(measure=_machine(10**6, lambda _: 1.0))
    ended.stopped = lambda: len(ended.probes) >= 2
    assert ended.climb(8) == 8
    assert not ended.capped


class _Clock:
    """Stands in for the module ``time``."""

    now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("least_rounds", "untils_s", "left_s"),
    # Half of a minute, 10 s of which are spent of the first case's 15; then 20 s are left.
    [(0, [15.0, 30.0], 40.0), (3, [math.inf, math.inf], 40.0)],
)
def test_a_search_counts_against_the_time_budget(
    least_rounds: int, untils_s: list[float], left_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five minutes were asked for, and five minutes were measured after the search."""
    clock = _Clock()
    asked: list[float] = []

    def search(case: Case, *given: Any) -> BatchSearch:
        asked.append(given[-1] - 1000.0)
        clock.now_s += 10.0
        return BatchSearch(case_id=case.case_id, batch_size=4, probes=())

    monkeypatch.setattr(session, "time", clock)
    monkeypatch.setattr(batch_search, "search", search)
    cases = [sessions.fake_case(n=str(n)) for n in range(2)]
    plan = sessions.plan(cases, time_budget_s=60.0, least_rounds=least_rounds)
    found = search_batches(plan, sessions.devices(), Settings(folder=Path()))
    assert asked == untils_s
    assert found.time_budget_s == left_s
    assert [case.batch_size for case in found.cases] == [4, 4]


def test_a_sweep_is_powers_of_two_beyond_the_default() -> None:
    """Eight times the default at the least, each once."""
    assert planning.sweep(4) == (1, 2, 4, 8, 16, 32)
    assert planning.sweep(1) == (1, 2, 4, 8)
