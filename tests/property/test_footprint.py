"""Grams and money from joules: they scale, they add, they keep the order, and unknown stays unknown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlbench.core import footprint
from dlbench.core.footprint import Bounds, Site
from dlbench.core.types import Absent, Estimated, Interval, Measured, Metric

UNKNOWN = Absent(reason="nobody knows", remedy="--ask")

positive = st.floats(1e-3, 1e6)


def _bounds(low: float, more: float) -> Bounds:
    return Bounds(low=low, high=low + more, source="a book of 2024")


bounds = st.builds(_bounds, st.floats(1.0, 900.0), st.floats(0.0, 900.0))
sites = st.builds(
    Site,
    name=st.just("somewhere"),
    intensity_g_per_kwh=bounds,
    pue=bounds,
    tariff_usd_per_kwh=bounds,
    embodied_g_per_h=bounds,
)


@st.composite
def energies(draw: st.DrawFn) -> Measured:
    """Joules with an interval around them."""
    value, spread = draw(positive), draw(st.floats(0.0, 0.9))
    interval = Interval(low=value * (1 - spread), high=value * (1 + spread), level=0.95)
    return Measured(value=value, n=3, source="counter", interval=interval)


def _estimated(metric: Metric) -> Estimated:
    assert isinstance(metric, Estimated)
    return metric


@given(energies(), sites, st.floats(0.01, 1e4))
def test_twice_the_samples_emit_and_cost_twice(energy: Measured, site: Site, times: float) -> None:
    """Grams and money are proportional to the number of samples, at both ends of the range."""
    for of in (footprint.carbon_g, footprint.energy_cost_usd, footprint.embodied_g):
        one, many = _estimated(of(energy, site)), _estimated(of(energy, site, times))
        assert many.value == pytest.approx(one.value * times)
        assert many.interval.low == pytest.approx(one.interval.low * times)
        assert many.interval.high == pytest.approx(one.interval.high * times)


@given(positive, positive, sites)
def test_two_energies_emit_what_their_sum_does(a_j: float, b_j: float, site: Site) -> None:
    """Carbon is additive: of a then b it is that of a + b."""
    a, b, both = (
        _estimated(footprint.carbon_g(Measured(value=j, n=1, source="counter"), site))
        for j in (a_j, b_j, a_j + b_j)
    )
    assert both.value == pytest.approx(a.value + b.value)
    assert both.interval.low == pytest.approx(a.interval.low + b.interval.low)
    assert both.interval.high == pytest.approx(a.interval.high + b.interval.high)


@given(energies(), sites)
def test_the_range_holds_every_combination_of_its_factors(energy: Measured, site: Site) -> None:
    """No corner of energy, PUE and intensity lies outside, and the value lies inside."""
    found = _estimated(footprint.carbon_g(energy, site))
    assert energy.interval is not None
    assert isinstance(site.pue, Bounds)
    assert isinstance(site.intensity_g_per_kwh, Bounds)
    slack = 1e-9 * found.interval.high
    for joules in (energy.interval.low, energy.value, energy.interval.high):
        for pue in (site.pue.low, site.pue.high):
            for grams in (site.intensity_g_per_kwh.low, site.intensity_g_per_kwh.high):
                g = footprint.operational_g(joules, pue, grams)
                assert found.interval.low - slack <= g <= found.interval.high + slack
    assert found.interval.low - slack <= found.value <= found.interval.high + slack


@given(energies(), sites, st.sampled_from(["intensity", "pue", "energy"]))
def test_one_unknown_factor_makes_carbon_unknown(energy: Measured, site: Site, lost: str) -> None:
    """Whichever is absent, carbon is absent for the same reason and with the same remedy."""
    if lost == "energy":
        assert footprint.carbon_g(UNKNOWN, site) is UNKNOWN
    elif lost == "pue":
        assert footprint.carbon_g(energy, replace(site, pue=UNKNOWN)) is UNKNOWN
    else:
        assert footprint.carbon_g(energy, replace(site, intensity_g_per_kwh=UNKNOWN)) is UNKNOWN


@given(st.lists(positive, min_size=1, max_size=20), st.floats(1, 3), st.floats(0, 1000))
def test_arrays_give_what_their_numbers_give(
    joules: list[float], pue: float, intensity: float
) -> None:
    """The recommender's arrays and a document's numbers go through one formula."""
    together = footprint.operational_g(np.array(joules), pue, intensity)
    alone = [footprint.operational_g(j, pue, intensity) for j in joules]
    assert list(together) == pytest.approx(alone)
