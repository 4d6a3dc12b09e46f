"""Carbon and energy cost by numbers that can be checked by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlbench.core import footprint
from dlbench.core.footprint import Bounds, Site
from dlbench.core.types import Absent, Estimated, Interval, Measured

UNKNOWN = Absent(reason="not said", remedy="--pue 1.2")


def _exactly(x: float) -> Bounds:
    return Bounds(low=x, high=x, source=f"{x}, 2024")


SITE = Site(
    name="test",
    intensity_g_per_kwh=Bounds(low=300.0, high=400.0, source="two maps, 2023"),
    pue=_exactly(1.2),
    tariff_usd_per_kwh=_exactly(0.25),
    embodied_g_per_h=_exactly(36.0),
)
KWH = Measured(value=3.6e6, n=3, source="counter")
HOUR = Measured(value=3600.0, n=1, source="clock")


def test_a_kilowatt_hour_by_hand() -> None:
    """1 kWh x 1.2 x 300 to 400 g is 360 to 480 g, and 1.2 x 0.25 USD."""
    carbon = footprint.carbon_g(KWH, SITE)
    assert isinstance(carbon, Estimated)
    assert (carbon.interval.low, carbon.interval.high) == pytest.approx((360.0, 480.0))
    assert carbon.value == pytest.approx(420.0)
    assert "two maps, 2023" in carbon.from_
    assert "operational" in carbon.method
    cost = footprint.energy_cost_usd(KWH, SITE)
    assert isinstance(cost, Estimated)
    assert cost.value == pytest.approx(0.30)


def test_a_cost_without_pue_says_that_cooling_is_left_out() -> None:
    """A user's own tariff and no PUE: the meter's share alone, and it says so."""
    cost = footprint.energy_cost_usd(KWH, replace(SITE, pue=UNKNOWN))
    assert isinstance(cost, Estimated)
    assert cost.value == pytest.approx(0.25)
    assert "without cooling" in cost.method


def test_embodied_carbon_is_time_and_apart_from_energy() -> None:
    """36 g an hour at 10 samples a second are 1 mg a sample, whatever the energy is."""
    rate = Measured(
        value=10.0, n=3, source="clock", interval=Interval(low=8.0, high=12.5, level=0.95)
    )
    found = footprint.footprint(UNKNOWN, footprint.inverse(rate), SITE, 1000)
    assert found.carbon_g is UNKNOWN
    assert isinstance(found.embodied_g, Estimated)
    assert found.embodied_g.value == pytest.approx(1.0)
    interval = found.embodied_g.interval
    assert (interval.low, interval.high) == pytest.approx((0.8, 1.25))


def test_one_over_an_estimate_is_an_estimate() -> None:
    """It keeps its method; what was measured keeps its trials; what may be 0 has no inverse."""
    bounds = Interval(low=8.0, high=12.5, level=0.95)
    guess = Estimated(value=10.0, interval=bounds, method="short", from_=("clock",))
    turned = footprint.inverse(guess)
    assert isinstance(turned, Estimated)
    assert (turned.value, turned.method, turned.from_) == (0.1, "short", ("clock",))
    assert [turned.interval.low, turned.interval.high] == pytest.approx([0.08, 0.125])
    one = footprint.inverse(Measured(value=10.0, n=5, source="clock"))
    assert one == Measured(value=0.1, n=5, source="clock")
    unsure = replace(guess, interval=replace(bounds, low=-1.0))
    assert footprint.inverse(unsure) == footprint.TOO_UNCERTAIN


def test_embodied_carbon_is_absent_unless_given() -> None:
    """Without a figure of the maker there is none, and operational carbon stands without it."""
    found = footprint.footprint(KWH, HOUR, replace(SITE, embodied_g_per_h=UNKNOWN))
    assert found.embodied_g is UNKNOWN
    assert isinstance(found.carbon_g, Estimated)


def test_energy_in_kilowatt_hours_stays_what_it_was() -> None:
    """Measured stays measured, an estimate keeps its method."""
    one = footprint.footprint(KWH, HOUR, SITE, 1000).energy_kwh
    assert isinstance(one, Measured)
    assert one.value == pytest.approx(1000.0)
    guess = Estimated(
        value=3.6e6, interval=Interval(low=1.8e6, high=7.2e6, level=0.9), method="short"
    )
    other = footprint.scaled(guess, 0.25)
    assert other == Estimated(
        value=0.9e6, interval=Interval(low=0.45e6, high=1.8e6, level=0.9), method="short"
    )
