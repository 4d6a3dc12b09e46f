"""Joules by hand: properties show that uncertainties are wide enough, these how wide they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from dlbench.core import energy, trial_energy
from dlbench.core.energy import Idle, Point, Sensor, WindowEnergy
from dlbench.core.types import Absent, Reading, Value, Window

AT_REST = Idle(power_w=10.0, uncertainty_w=0.2, period_s=0.1)


def _reads(ticks: Sequence[Point], before_j: float = 0.0) -> list[Point]:
    """A counter read 10 ms before and after each tick, at which it moves to so many joules."""
    found: list[Point] = []
    for t_s, energy_j in ticks:
        found += [(t_s - 0.01, before_j), (t_s + 0.01, energy_j)]
        before_j = energy_j
    return found


def test_idle_power_is_known_to_half_a_poll_at_each_end() -> None:
    """10 J in 1 s, the ticks known to 10 ms each and the counter to a millijoule."""
    found = energy.idle(_reads([(1.0, 1.0), (2.0, 11.0)]))
    assert isinstance(found, Idle)
    assert found.power_w == pytest.approx(10.0)
    assert found.uncertainty_w == pytest.approx(10 * 0.02 + 0.001)
    assert found.period_s == pytest.approx(1.0)


def test_a_windows_energy_reaches_from_the_last_tick_before_to_the_first_after() -> None:
    """From 10 J at 1.5 s to 215 J at 4.25 s, of which it idled 0.5 and 0.25 s at 10 W."""
    points = _reads([(1.2, 7.0), (1.5, 10.0), (4.25, 215.0), (4.75, 220.0)])
    found = energy.counter_energy(points, (2.0, 4.0), (1.0, 5.0), AT_REST)
    assert isinstance(found, WindowEnergy)
    assert found.gross_j == pytest.approx(205 - 10 * 0.75)
    assert found.net_j == pytest.approx(197.5 - 10 * 2)
    assert found.uncertainty_j == pytest.approx(10 * 0.02 + 0.2 * 0.75 + 0.002)
    assert found.net_uncertainty_j == pytest.approx(0.352 + 0.2 * 2)
    # A tick in another window's work is none: what idled till then is not known.
    for between_s, side in (((1.6, 5.0), "before"), ((1.0, 4.2), "after")):
        absent = energy.counter_energy(points, (2.0, 4.0), between_s, AT_REST)
        assert isinstance(absent, Absent)
        assert side in absent.reason


def test_an_integrals_uncertainty_is_of_moves_between_readings() -> None:
    """Fifty moves of 20 W within 0.1 s each, uniform in it, and both ends: two sigma."""
    points = [(i / 10, 110.0 if i % 2 else 90.0) for i in range(100, 151)]
    rest = Idle(power_w=20.0, uncertainty_w=0.5, period_s=0.0)
    found = energy.integral_energy(points, (10.0, 15.0), Sensor(), rest)
    assert isinstance(found, WindowEnergy)
    assert (found.gross_j, found.net_j) == pytest.approx((500.0, 400.0))
    assert found.uncertainty_j == pytest.approx(2 * math.sqrt(50 * 2**2 / 12 + 2**2 / 6))
    assert found.net_uncertainty_j == pytest.approx(found.uncertainty_j + 0.5 * 5)


def test_idle_power_of_readings_is_known_as_a_mean_is() -> None:
    """58 and 62 W: two standard errors of their mean are 4 W."""
    found = energy.idle_from_power([(0.0, 58.0), (0.1, 62.0)])
    assert isinstance(found, Idle)
    assert found.power_w == pytest.approx(60.0)
    assert found.uncertainty_w == pytest.approx(4.0)


def test_what_disagrees_is_told_as_a_share_of_the_counter() -> None:
    """120 J of readings are a fifth more than 100 J of the counter, 80 J a fifth less."""
    assert energy.disagreement(100.0, 120.0) == pytest.approx(0.2)
    assert energy.disagreement(100.0, 80.0) == pytest.approx(0.2)


def test_two_counters_are_added_and_divided_by_samples() -> None:
    """A package that idles at 10 W and works at 100, one of half as much: 300 J for ten samples."""
    counters = {
        "one": [(1.0, 1.0), (2.0, 11.0), (5.5, 11 + 200 + 10 * 1.5)],
        "other": [(1.0, 0.5), (2.0, 5.5), (5.5, 5.5 + 100 + 5 * 1.5)],
    }
    readings = [
        Reading(t_s=t_s, source=source, quantity=trial_energy.COUNTER, value=energy_j)
        for source, ticks in counters.items()
        for t_s, energy_j in _reads(ticks)
    ]
    rest = Window(name="idle", start_s=0.5, end_s=2.5)
    work = Value(start_s=3.0, duration_s=2.0, n_samples=10)
    found = trial_energy.evaluate(readings, [rest], [work], {}, Sensor())
    assert isinstance(found, trial_energy.TrialEnergy)
    assert found.idle_w == pytest.approx(15.0)
    # Ticks to 10 ms each, 1.5 s of idling that is known as above, two reads of a millijoule.
    error_j = (0.2 + 0.201 * 1.5 + 0.002) + (0.1 + 0.101 * 1.5 + 0.002)
    expected = [30.0, 30 - error_j / 10, 30 + error_j / 10]
    assert found.per_sample_j() == pytest.approx(expected)
    error_j += (0.201 + 0.101) * 2
    assert found.per_sample_j(net=True) == pytest.approx([27, 27 - error_j / 10, 27 + error_j / 10])


def test_of_several_windows_the_median_counts_and_the_extremes_bound_it() -> None:
    """One that was disturbed does not move the value, and is in its bounds."""
    triples = [(1.0, 0.9, 1.1), (9.0, 8.5, 9.5), (2.0, 1.8, 2.2)]
    assert trial_energy.over_windows(triples) == (2.0, 0.9, 9.5)
