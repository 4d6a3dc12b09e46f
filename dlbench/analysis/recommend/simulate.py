"""Time, cost, energy and carbon of each candidate as distributions, by seeded Monte Carlo.

All candidates share the same draws (common random numbers): what differs between two of them is the
candidates, not luck, and the answer is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from dlbench.analysis.recommend.assumptions import Range
from dlbench.core.stats import NORMAL_90
from dlbench.core.types import Estimated, Interval

Floats = npt.NDArray[np.float64]

N_DRAWS = 1000
"""Seeds then differ by less than a hundredth; the shares of outcomes are exact to a percent or so."""

NAMES = (
    "rate",
    "scaling",
    "upload",
    "set_up",
    "restart",
    "load",
    "host",
    "pue",
    "intensity",
    "storage",
    "spot",
    "latency",
    "interruptions",
)


@dataclass(frozen=True, slots=True)
class Draws:
    """Draws by name, the same for all candidates: shares between 0 and 1, and their normal deviates."""

    shares: Mapping[str, Floats]
    normal: Mapping[str, Floats]
    made: dict[tuple[str, float, float, float], Floats] = field(default_factory=dict)

    def spread(self, name: str, low: float, mid: float, high: float) -> Floats:
        """Around ``mid``, 5 % below ``low`` and 5 % above ``high``: log-normal on each side."""
        key = (name, low, mid, high)
        if key not in self.made:
            self.made[key] = self._spread(name, low, mid, high)
        return self.made[key]

    def _spread(self, name: str, low: float, mid: float, high: float) -> Floats:
        z = self.normal[name]
        up, down = np.log(max(high / mid, 1.0)) / NORMAL_90, np.log(max(mid / low, 1.0)) / NORMAL_90
        return np.asarray(mid * np.exp(np.where(z > 0, z * up, z * down)))

    def of(self, name: str, assumed: Range) -> Floats:
        """Of an assumption."""
        return self.spread(name, assumed.low, assumed.mid, assumed.high)

    def uniform(self, name: str, low: float, high: float) -> Floats:
        """Evenly between two ends."""
        return np.asarray(low + (high - low) * self.shares[name])

    def poisson(self, mean: Floats) -> Floats:
        """Counts of these means, each at its draw's own share: a larger mean never gives a smaller one.

        A generator takes more or fewer numbers as means differ: two candidates would part by luck.
        """
        # A mean of a million interruptions is as hopeless as one of 10^15, which would overflow.
        mean, z = np.minimum(mean, 1e6), self.normal["interruptions"]
        few = np.minimum(mean, MOST_COUNTED_OUT)
        counts = _poisson_quantiles(self.shares["interruptions"], few)
        return np.asarray(counts + np.rint(_cornish_fisher(mean, z) - _cornish_fisher(few, z)))


MOST_COUNTED_OUT = 20.0
"""Of a Poisson distribution's mean: its terms are summed up to there, for each of hundreds of
candidates; what a larger one adds is told by its first moments."""


def _poisson_quantiles(shares: Floats, mean: Floats) -> Floats:
    """The least count that a share of outcomes stays within, of each mean."""
    counts, term = np.zeros(len(mean)), np.exp(-mean)
    total, n = term.copy(), 0
    while (beyond := total < shares).any():
        n += 1
        counts += beyond
        term = term * (mean / n)
        total += term
    return counts


def _cornish_fisher(mean: Floats, z: Floats) -> Floats:
    """About the count of a Poisson distribution that lies ``z`` normal deviates from its middle."""
    return np.asarray(mean + z * np.sqrt(mean) + (z**2 - 1) / 6)


def draws(seed: int) -> Draws:
    """The draws of a seed."""
    # One draw from each of N equal slices, in random order: medians and ends are then exact, and only
    # how the quantities meet is left to chance (Latin hypercube sampling, McKay et al. 1979).
    slices = (np.arange(N_DRAWS) + 0.5) / N_DRAWS
    deviates = np.array([NormalDist().inv_cdf(share) for share in slices.tolist()])
    generator = np.random.default_rng([seed, 0])
    orders = {name: generator.permutation(N_DRAWS) for name in NAMES}
    return Draws(
        {name: slices[order] for name, order in orders.items()},
        {name: deviates[order] for name, order in orders.items()},
    )


def quantiles(values: Floats, shares: Sequence[float]) -> tuple[float, ...]:
    """Values that these shares of outcomes stay within, by linear interpolation.

    As ``numpy.quantile``, several times faster: hundreds of candidates have half a dozen each.
    """
    ordered = np.sort(values)
    found = []
    for share in shares:
        at = share * (len(ordered) - 1)
        below = int(at)
        above = min(below + 1, len(ordered) - 1)
        low, high = float(ordered[below]), float(ordered[above])
        found.append(low if low == high else low + (high - low) * (at - below))
    return tuple(found)


def summary(values: Floats, method: str, sources: tuple[str, ...] = ()) -> Estimated:
    """The median, with the interval that holds nine of ten."""
    low, mid, high = quantiles(values, (0.05, 0.5, 0.95))
    return Estimated(
        value=mid, interval=Interval(low=low, high=high, level=0.9), method=method, from_=sources
    )


def billed_h(time_s: Floats, unit_s: float, least_s: float) -> Floats:
    """Hours that are billed: whole units, and at least the least."""
    units = np.ceil(np.maximum(time_s, least_s) / unit_s)
    return np.asarray(units * unit_s / 3600)
