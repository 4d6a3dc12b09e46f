"""When a machine is said to have drifted: rarely where it only scatters, surely where it did."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from dlbench.core import drift
from dlbench.core.types import Absent, CaseResult, Estimated, Trial
from tests import builders

A = builders.case(batch_size=1)
B = builders.case(batch_size=2)

N = 200


def _session(
    rng: random.Random, rounds: int, spread: float, moved: float, sentinel: str = "sentinel"
) -> list[Trial]:
    """The sentinel before each round, once in it, and last; the machine slows down evenly."""
    positions = [5 * r + place for r in range(rounds) for place in (0, rng.randint(1, 4))]
    positions.append(5 * rounds)
    roles = [sentinel, "measure"] * rounds + [sentinel]
    return [
        builders.trial(
            A,
            n // 2,
            0.01 * math.exp(math.log1p(moved) * p / (5 * rounds) + rng.gauss(0, spread)),
            role=role,
            position=p,
        )
        for n, (p, role) in enumerate(zip(positions, roles, strict=True))
    ]


def _flagged(rounds: int, spread: float, moved: float) -> float:
    rng = random.Random(f"{rounds} {spread} {moved}")
    found = (drift.drift(_session(rng, rounds, spread, moved)) for _ in range(N))
    return sum(drift.drifted(f) for f in found) / N


@pytest.mark.parametrize("rounds", [3, 8, 32])
@pytest.mark.parametrize("spread", [0.01, 0.02, 0.03, 0.05])
def test_scatter_alone_is_no_drift_however_long_the_session(rounds: int, spread: float) -> None:
    """At most one false alarm in twenty; the range of four sentinels raised 18 to 95."""
    assert _flagged(rounds, spread, 0.0) <= 0.05


@pytest.mark.parametrize(
    ("rounds", "spread", "least"), [(3, 0.01, 0.9), (8, 0.02, 0.9), (32, 0.05, 0.75)]
)
@pytest.mark.parametrize("moved", [0.10, 1 / 1.10 - 1])
def test_a_drift_of_a_tenth_is_found_where_the_scatter_lets_it(
    rounds: int, spread: float, least: float, moved: float
) -> None:
    """Slower or faster alike."""
    assert _flagged(rounds, spread, moved) >= least


def test_the_change_is_of_the_straight_line_from_first_to_last() -> None:
    """Without scatter it is exact, and the interval nothing; flagged above 3 %, not below."""
    for moved, expected in ((0.10, True), (-0.10, True), (0.029, False), (-0.029, False)):
        found = drift.drift(_session(random.Random(0), 3, 0.0, moved))
        assert isinstance(found, Estimated)
        assert found.value == pytest.approx(moved)
        assert found.interval.low == pytest.approx(found.interval.high)
        assert drift.drifted(found) is expected


def test_the_interval_is_students_of_the_slope() -> None:
    """By hand: slope 2 %, residual 0.06 over 2 degrees of freedom, spread of x 5, length 3."""
    ys = (0.0, 0.1, 0.0, 0.1)
    trials = [builders.trial(A, i, math.exp(y), position=i) for i, y in enumerate(ys)]
    found = drift.drift(trials)
    assert isinstance(found, Estimated)
    half = 4.302653 * math.sqrt(0.008 / 2 / 5) * 3
    assert math.log1p(found.value) == pytest.approx(0.06)
    assert math.log1p(found.interval.low) == pytest.approx(0.06 - half)
    assert math.log1p(found.interval.high) == pytest.approx(0.06 + half)


def _replaced(moved: float) -> list[Trial]:
    """A watches for three rounds and fails; B, five times as long, runs throughout and watches then.

    The machine changes by ``moved`` after that.
    """
    roles = [(A, "sentinel"), (B, "measure")] * 3 + [(B, "sentinel"), (B, "measure")] * 3
    trials = [
        builders.trial(
            of,
            i // 2,
            0.01 * (5 if of == B else 1) * (1 + moved if i > 5 else 1),
            role=role,
            position=i + (i > 5),
        )
        for i, (of, role) in enumerate(roles)
    ]
    return [*trials[:6], replace(builders.failed(A, 3), role="sentinel", position=6), *trials[6:]]


def test_a_drift_after_another_case_has_taken_the_sentinels_place_is_seen() -> None:
    """Each case has its own level, and the slope is one; nothing was told of two cases."""
    still = drift.drift(_replaced(0.0))
    assert isinstance(still, Estimated)
    assert still.value == pytest.approx(0.0)
    moved = drift.drift(_replaced(0.20))
    assert isinstance(moved, Estimated)
    assert drift.drifted(moved)


def test_parallel_lines_have_students_interval_of_their_one_slope() -> None:
    """By hand: slope 0.1 / 4, each line's residual 0.005 / 3 - 2 slope^2, 6 - 3 degrees of freedom."""
    ys = {A: (0.0, 0.05, 0.05), B: (1.0, 1.05, 1.05)}
    trials = [
        builders.trial(of, i, math.exp(y), role="sentinel", position=i)
        for of, heights in ys.items()
        for i, y in enumerate(heights)
    ]
    found = drift.drift(trials)
    assert isinstance(found, Estimated)
    slope, residual = 0.1 / 4, 2 * (0.005 / 3 - 2 * 0.025**2)
    half = 3.182446 * math.sqrt(residual / 3 / 4) * 2
    assert math.log1p(found.value) == pytest.approx(2 * slope)
    assert math.log1p(found.interval.high) == pytest.approx(2 * slope + half)


def test_what_tells_no_drift_is_absent_and_no_drift_of_zero() -> None:
    """Two trials, cases without a sentinel, or nothing at all; failures do not count."""
    first, last = builders.trial(A, 0, position=0), builders.trial(A, 1, position=2)
    failed = replace(builders.failed(A, 2), position=4)
    for trials in ([], [first, last], [first, last, failed]):
        found = drift.drift(trials)
        assert isinstance(found, Absent)
        assert not drift.drifted(found)
    both = [
        builders.trial(of, i, position=2 * i + n) for i in range(5) for n, of in enumerate((A, B))
    ]
    assert drift.drift(both) == Absent(reason="no case was run as the sentinel")


def test_too_few_trials_are_told_with_how_many_cases_they_are_of() -> None:
    """Three trials, two lines: no degree of freedom is left."""
    trials = [builders.trial(of, i, role="sentinel", position=i) for i, of in enumerate((A, A, B))]
    assert drift.drift(trials) == Absent(reason="3 trials of 2 cases do not show a drift")
    assert drift.drift(trials[:2]) == Absent(reason="2 trials of one case do not show a drift")


def test_a_document_is_flagged_by_the_rule_of_today() -> None:
    """Older ones bear the flag where the sentinel only scattered."""
    for moved, expected in ((0.0, ("other",)), (0.10, ("other", "drift"))):
        trials = tuple(_session(random.Random(0), 3, 0.001, moved))
        result = CaseResult(case=A, trials=trials, stop_reason="test")
        for flags in (("drift", "other"), ("other",)):
            assert drift.flags(builders.run([result], flags=flags)) == expected


def test_the_words_have_signs_and_the_interval() -> None:
    """As they stand in terminal and report."""
    found = drift.drift(_session(random.Random(1), 3, 0.0, -0.05))
    assert isinstance(found, Estimated)
    assert drift.words(found) == "the sentinel's time moved by -5.0 % [-5.0 %, -5.0 %]"
