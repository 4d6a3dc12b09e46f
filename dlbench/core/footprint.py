"""Grams of CO2e and money from joules: pure functions of a metric and of where the machine stands.

Operational emissions are kWh x PUE x intensity; embodied ones (of making the hardware) are apart and
never added to them. What is not known stays not known: no average stands in for a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from dlbench.core.stats import LEVEL
from dlbench.core.types import Absent, Estimated, Interval, Measured, Metric, all_known

J_PER_KWH = 3.6e6
S_PER_H = 3600.0
G_PER_KG = 1000.0

PER_SAMPLES = 1_000_000
"""One sample's grams and dollars have too many zeros to read, and a thousand's still have."""

PER_SAMPLES_NAME = "per_million_samples"
"""How names of fields end that are of so many."""


class Multiplies(Protocol):
    """A number, or an array of them."""

    def __mul__(self, other: Any, /) -> Any: ...  # noqa: ANN401 - numpy's own signature
    def __truediv__(self, other: Any, /) -> Any: ...  # noqa: ANN401


N = TypeVar("N", bound=Multiplies)


def operational_g(energy_j: N, pue: float | N, intensity_g_per_kwh: float | N) -> N:
    """Grams of CO2e of energy that was drawn: kWh x PUE x intensity, number by number.

    Args:
        energy_j: joules at the device, a number or an array of outcomes.
        pue: energy of the whole site over that of its machines, at least 1.
        intensity_g_per_kwh: grams of CO2e of a kilowatt-hour of the grid.
    """
    grams: N = energy_j / J_PER_KWH * pue * intensity_g_per_kwh
    return grams


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """A factor as the lowest and highest figure of its sources, which ``source`` names with year."""

    low: float
    high: float
    source: str

    @property
    def middle(self) -> float:
        """Halfway between the two."""
        return (self.low + self.high) / 2


Factor = Bounds | Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a machine stands, as far as carbon and the price of energy go."""

    name: str
    intensity_g_per_kwh: Factor
    pue: Factor
    tariff_usd_per_kwh: Factor
    embodied_g_per_h: Factor


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Of some samples or one program: energy at the device, and what follows from it at a site."""

    energy_kwh: Metric
    carbon_g: Metric
    embodied_g: Metric
    energy_cost_usd: Metric


def footprint(energy_j: Metric, time_s: Metric, site: Site, times: float = 1) -> Footprint:
    """What ``times`` such energies and times take, emit and cost at a site."""
    return Footprint(
        energy_kwh=scaled(energy_j, times / J_PER_KWH),
        carbon_g=carbon_g(energy_j, site, times),
        embodied_g=embodied_g(time_s, site, times),
        energy_cost_usd=energy_cost_usd(energy_j, site, times),
    )


def scaled(metric: Metric, by: float) -> Metric:
    """The same number in another unit; it stays what it is."""
    if isinstance(metric, Absent):
        return metric
    value = metric.value * by
    if isinstance(metric, Estimated):
        return replace(metric, value=value, interval=_between(metric.interval, by, by))
    bounds = metric.interval and _between(metric.interval, by, by)
    return replace(metric, value=value, interval=bounds)


def carbon_g(energy_j: Metric, site: Site, times: float = 1) -> Metric:
    """Operational grams of CO2e of ``times`` such energies, low to high over all that is uncertain."""
    method = "kWh x PUE x intensity; operational, of the measured device only"
    per_j = operational_g(times, 1.0, 1.0)
    return _product(energy_j, per_j, (site.intensity_g_per_kwh, site.pue), method)


def energy_cost_usd(energy_j: Metric, site: Site, times: float = 1) -> Metric:
    """USD for the electricity of ``times`` such energies, from the user's tariff.

    Cooling is counted where the PUE is known, and said to be left out where it is not.
    """
    factors, method = [site.tariff_usd_per_kwh], "kWh x tariff, without cooling (no PUE)"
    if isinstance(site.pue, Bounds):
        factors, method = [site.tariff_usd_per_kwh, site.pue], "kWh x PUE x tariff"
    return _product(energy_j, times / J_PER_KWH, factors, f"{method}; the measured device only")


def embodied_g(time_s: Metric, site: Site, times: float = 1) -> Metric:
    """The share of the hardware's making that falls on ``times`` such spans of use."""
    method = "embodied grams an hour of use x time"
    return _product(time_s, times / S_PER_H, (site.embodied_g_per_h,), method)


def _product(metric: Metric, scale: float, factors: Sequence[Factor], method: str) -> Metric:
    """A metric times factors: Absent if any of them is, else estimated, with all extremes met."""
    if isinstance(metric, Absent):
        return metric
    known = all_known(factors)
    if isinstance(known, Absent):
        return known
    value = metric.value * scale
    low = high = scale
    for factor in known:
        value, low, high = value * factor.middle, low * factor.low, high * factor.high
    around = metric.interval or Interval(low=metric.value, high=metric.value, level=LEVEL)
    return Estimated(
        value=value,
        interval=_between(around, low, high),
        method=method,
        from_=(*_sources(metric), *(factor.source for factor in known)),
    )


def _between(interval: Interval, low: float, high: float) -> Interval:
    """An interval times a factor from ``low`` to ``high``; its own ends may be negative."""
    ends = [end * by for end in (interval.low, interval.high) for by in (low, high)]
    return replace(interval, low=min(ends), high=max(ends))


TOO_UNCERTAIN = Absent(reason="it is too uncertain to divide by: it may be 0 or less")


def inverse(of: Metric, too_uncertain: Absent = TOO_UNCERTAIN) -> Metric:
    """One over it: seconds each of a rate a second. It stays what it is, measured or estimated."""
    if isinstance(of, Absent):
        return of
    bounds = of.interval or Interval(low=of.value, high=of.value, level=LEVEL)
    if bounds.low <= 0:
        return too_uncertain
    turned = replace(bounds, low=1 / bounds.high, high=1 / bounds.low)
    if isinstance(of, Estimated):
        return replace(of, value=1 / of.value, interval=turned)
    return replace(of, value=1 / of.value, interval=of.interval and turned)


def _sources(metric: Measured | Estimated) -> tuple[str, ...]:
    if isinstance(metric, Measured):
        return (metric.source,)
    return (metric.method, *metric.from_)
