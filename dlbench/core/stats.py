"""The statistics that dlbench stands on. The unit is the trial, never the single value.

Values of one process are dependent (half of the variance on the study's machine lay between
processes), so each trial counts once: ``y = ln(median of its steady values)``. Nothing is removed.

Intervals over trials are exact Walsh intervals (the inverted Wilcoxon signed-rank test) from
``EXACT_FROM_TRIALS`` trials on. With fewer no exact interval of useful confidence exists (five
trials reach 93.75 % at most), so Student's t on ``y`` is used; decision 0001 has its measured
coverage.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from dlbench.core import units
from dlbench.core.types import Absent, Interval, Value

LEVEL = 0.95
"""Confidence that every interval has over all looks together."""

NORMAL_90 = 1.6448536269514722
"""Standard normal deviate that 5 % lie above, and as many below its opposite."""

EXACT_FROM_TRIALS = 8
"""With 8 pairs the widest Walsh interval has 99.2 %: just what six looks at 95 % have to pay."""

LEAST_TRIALS_FOR_INTERVAL = 3
"""With two trials Student's t at a paid-for level is 76 standard errors wide: it says nothing."""

BETWEEN_SESSION_SD_LN = 0.037
"""Standard deviation of ln(performance) between sessions of one kind of machine: the upper end of
the coefficient of variation over 2,366 runs on 789 cloud clusters (Henning et al., FSE Companion
2025, arXiv 2504.11826). A prior, used only where a document cannot tell."""

EQUIVALENCE_ZONE = 0.02
"""Ratios inside 1 +- 2 % make no practical difference to a choice of hardware."""

BETWEEN_SESSION_ZONE = 0.10
"""Across sessions no verdict is given for less than 10 %, however narrow the interval."""

Verdict = Literal["faster", "slower", "equivalent", "cannot tell"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioEstimate:
    """How many times faster B is than A (time of A over time of B), with its interval."""

    ratio: float
    interval: Interval | None
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSpread:
    """Standard deviation of ln(performance) between sessions of one machine.

    ``df`` are the degrees of freedom behind it, None where it is a prior that is taken as known.
    """

    sd_ln: float
    df: int | None
    n_sessions: int


def paid_level(n_looks: int) -> float:
    """Confidence that each of ``n_looks`` looks needs so that all together have ``LEVEL``.

    Bonferroni: holds whatever the dependence between looks.
    """
    return 1 - (1 - LEVEL) / n_looks


# --- distributions --------------------------------------------------------------------------


def student_t_cdf(t: float, df: int) -> float:
    """P(T <= t) for a whole number of degrees of freedom (Abramowitz & Stegun 26.7.3, 26.7.4)."""
    theta = math.atan(t / math.sqrt(df))
    if df == 1:
        return 0.5 + theta / math.pi
    sine, cosine = math.sin(theta), math.cos(theta)
    first, start = (cosine, 3) if df % 2 else (1.0, 2)
    term = total = first
    for k in range(start, df - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    two_sided = 2 / math.pi * (theta + sine * total) if df % 2 else sine * total
    return 0.5 + two_sided / 2


@cache
def student_t_quantile(p: float, df: int) -> float:
    """The t with P(T <= t) = p, by bisection to the last bit that matters."""
    low, high = -1e6, 1e6
    while high - low > 1e-10 * max(1.0, abs(low)):
        middle = (low + high) / 2
        low, high = (middle, high) if student_t_cdf(middle, df) < p else (low, middle)
    return (low + high) / 2


@cache
def signed_rank_counts(n: int) -> tuple[int, ...]:
    """Number of sign patterns of n pairs with each value of Wilcoxon's W+ (exact, no ties)."""
    counts = [1]
    for rank in range(1, n + 1):
        shifted = [0] * rank + counts
        counts = [a + b for a, b in zip(counts + [0] * rank, shifted, strict=True)]
    return tuple(counts)


# --- one sample -----------------------------------------------------------------------------


def walsh_averages(xs: Sequence[float]) -> list[float]:
    """All pairwise means, each value with itself included, sorted."""
    return sorted((xs[i] + xs[j]) / 2 for i in range(len(xs)) for j in range(i, len(xs)))


def hodges_lehmann(xs: Sequence[float]) -> float:
    """The median of the Walsh averages: a robust centre of a few observations."""
    return statistics.median(walsh_averages(xs))


def walsh_interval(xs: Sequence[float], level: float) -> Interval | None:
    """The exact interval for the centre at ``level`` or just above; None if n is too small.

    Inverts the two-sided Wilcoxon signed-rank test; assumes only symmetry.
    """
    n = len(xs)
    allowed = (1 - level) / 2 * 2**n
    below, k = 0, 0
    for count in signed_rank_counts(n):
        if below + count > allowed:
            break
        below, k = below + count, k + 1
    if k == 0:
        return None
    averages = walsh_averages(xs)
    return Interval(low=averages[k - 1], high=averages[-k], level=1 - 2 * below / 2**n)


def student_interval(xs: Sequence[float], level: float) -> Interval | None:
    """Student's t interval for the mean; None for fewer than three observations."""
    n = len(xs)
    if n < LEAST_TRIALS_FOR_INTERVAL:
        return None
    centre = statistics.fmean(xs)
    half = student_t_quantile((1 + level) / 2, n - 1) * statistics.stdev(xs) / math.sqrt(n)
    return Interval(low=centre - half, high=centre + half, level=level)


def centre_and_interval(xs: Sequence[float], level: float) -> tuple[float, Interval | None]:
    """Centre and interval of a few independent observations, by the rule of this module."""
    if len(xs) >= EXACT_FROM_TRIALS:
        return hodges_lehmann(xs), walsh_interval(xs, level)
    return statistics.fmean(xs), student_interval(xs, level)


def median_seconds_per_sample(values: Sequence[Value]) -> float:
    """Of one trial's values: what the trial counts by."""
    return statistics.median(v.duration_s / v.n_samples for v in values)


def linear_change(
    groups: Sequence[Sequence[tuple[float, float]]], level: float
) -> tuple[float, Interval] | None:
    """By how much parallel straight lines, one through each group of (x, y), rise from first x to last.

    With Student's t interval of their one slope; None of too few points for that.
    """
    xs = [x for group in groups for x, _ in group]
    free = len(xs) - len(groups) - 1
    around: list[tuple[float, float]] = []
    for group in groups:
        centre_x, centre_y = (statistics.fmean(of) for of in zip(*group, strict=True))
        around += [(x - centre_x, y - centre_y) for x, y in group]
    spread_x = sum(x**2 for x, _ in around)
    if free < 1 or not spread_x:
        return None
    slope = sum(x * y for x, y in around) / spread_x
    residual = sum((y - slope * x) ** 2 for x, y in around)
    span = max(xs) - min(xs)
    half = student_t_quantile((1 + level) / 2, free) * math.sqrt(residual / free / spread_x) * span
    change = slope * span
    return change, Interval(low=change - half, high=change + half, level=level)


def case_centre(medians_s: Sequence[float]) -> float:
    """The typical duration over trials, given each trial's median duration in seconds."""
    centre, _ = centre_and_interval([math.log(m) for m in medians_s], LEVEL)
    return math.exp(centre)


def case_interval(medians_s: Sequence[float], level: float = LEVEL) -> Interval | Absent:
    """Interval of the typical duration over trials, given each trial's median duration."""
    _, interval = centre_and_interval([math.log(m) for m in medians_s], level)
    if interval is None:
        trials = units.counted(len(medians_s), "trial")
        return Absent(
            reason=f"{trials} cannot bound the spread between processes",
            remedy=f"measure at least {LEAST_TRIALS_FOR_INTERVAL} trials",
        )
    return _exp(interval)


def relative_half_width(interval: Interval) -> float:
    """Half the width of an interval of positive numbers, relative to its geometric centre."""
    return math.sqrt(interval.high / interval.low) - 1


MOST_LN = 230.0
"""Factors beyond 10^100 are of nothing that there is: three trials that scatter wildly have no wider
interval, and what is computed from it stays finite."""


def bounded(ln: float) -> float:
    """A logarithm whose exponential is a number."""
    return max(-MOST_LN, min(MOST_LN, ln))


def _exp(interval: Interval) -> Interval:
    low, high = (math.exp(bounded(end)) for end in (interval.low, interval.high))
    return Interval(low=low, high=high, level=interval.level)


# --- two cases ------------------------------------------------------------------------------


def paired_ratio(a_s: Sequence[float], b_s: Sequence[float], level: float = LEVEL) -> RatioEstimate:
    """How many times faster B is, from pairs of trial medians taken in the same rounds.

    Args:
        a_s: medians of A's trials in seconds a sample, one a round.
        b_s: medians of B's trials, in the same rounds.
        level: confidence of the interval.
    """
    differences = [math.log(a / b) for a, b in zip(a_s, b_s, strict=True)]
    centre, interval = centre_and_interval(differences, level)
    return RatioEstimate(
        ratio=math.exp(centre), interval=_exp(interval) if interval else None, n=len(differences)
    )


def between_session_ratio(
    a_s: Sequence[float],
    b_s: Sequence[float],
    level: float = LEVEL,
    spreads: tuple[SessionSpread, SessionSpread] | None = None,
) -> RatioEstimate:
    """How many times faster B is, when A and B come from different sessions.

    The interval holds the trials' spread of both (where there are enough of them) and the spread
    between sessions of each one's machine, for which ``BETWEEN_SESSION_SD_LN`` stands in.
    """
    prior = SessionSpread(sd_ln=BETWEEN_SESSION_SD_LN, df=None, n_sessions=1)
    a, b = [math.log(x) for x in a_s], [math.log(x) for x in b_s]
    difference = centre_and_interval(a, level)[0] - centre_and_interval(b, level)[0]
    n = min(len(a), len(b))
    if n < LEAST_TRIALS_FOR_INTERVAL:
        return RatioEstimate(ratio=math.exp(difference), interval=None, n=n)
    trials = math.sqrt(statistics.variance(a) / len(a) + statistics.variance(b) / len(b))
    # Each part pays for its own degrees of freedom; a prior is taken as known.
    parts = [student_t_quantile((1 + level) / 2, n - 1) * trials]
    parts += [_session_quantile(s, level) * s.sd_ln for s in spreads or (prior, prior)]
    half = math.hypot(*parts)
    interval = Interval(low=difference - half, high=difference + half, level=level)
    return RatioEstimate(ratio=math.exp(difference), interval=_exp(interval), n=n)


def _session_quantile(spread: SessionSpread, level: float) -> float:
    if spread.df is None:
        return statistics.NormalDist().inv_cdf((1 + level) / 2)
    return student_t_quantile((1 + level) / 2, spread.df)


def verdict(estimate: RatioEstimate, least: float = EQUIVALENCE_ZONE) -> Verdict:
    """What may be said: equivalent only inside ``EQUIVALENCE_ZONE``, faster or slower only outside.

    For the latter two the whole interval must lie on one side of 1 and the ratio itself beyond
    ``least``. What is too small to be called a difference is not therefore none.
    """
    interval = estimate.interval
    if interval is None:
        return "cannot tell"
    if interval.low > 1 / (1 + EQUIVALENCE_ZONE) and interval.high < 1 + EQUIVALENCE_ZONE:
        return "equivalent"
    if interval.low > 1 and estimate.ratio > 1 + least:
        return "faster"
    if interval.high < 1 and estimate.ratio < 1 / (1 + least):
        return "slower"
    return "cannot tell"


# --- percentiles ----------------------------------------------------------------------------


def percentile(sorted_xs: Sequence[float], q: float) -> float:
    """The smallest observation with at least a share ``q`` at or below it (nearest rank)."""
    return sorted_xs[max(0, math.ceil(q * len(sorted_xs)) - 1)]


def percentile_interval(sorted_xs: Sequence[float], q: float) -> Interval | None:
    """Distribution-free interval of a quantile from order statistics; None if n is too small.

    The ranks are those of the central binomial interval: p99 needs 368 observations at 95 %. They
    must be independent; queries of several processes are not.
    """
    n = len(sorted_xs)
    tail = (1 - LEVEL) / 2
    low = _binomial_quantile_below(n, q, tail)
    high = n - _binomial_quantile_below(n, 1 - q, tail)
    if low < 1 or high > n - 1:
        return None
    return Interval(low=sorted_xs[low - 1], high=sorted_xs[high], level=LEVEL)


EARLY_STOPPING_CONFIDENCE = 0.99
"""MLPerf inference's confidence that a latency limit holds (LoadGen, early_stopping.cc, its c; the
tolerance d is 0)."""


def early_stopping_holds(n: int, n_late: int, q: float) -> bool:
    """MLPerf's early stopping: do ``n`` queries, ``n_late`` of them late, show that a limit holds?

    The claim is that a share ``q`` of all queries is in time. It is shown where, if it only just were
    not, so few late ones would be met with a probability of at most a hundredth: without a late
    one p99 needs 459 queries, with one 662 (LoadGen, MinPassingQueriesFinder).
    """
    return n_late < _binomial_quantile_below(n, 1 - q, 1 - EARLY_STOPPING_CONFIDENCE)


def early_stopping_percentile(sorted_xs: Sequence[float], q: float) -> float | None:
    """The latency that MLPerf states for a percentile: the lowest limit that is shown to hold.

    As LoadGen does for single_stream it leaves out the t - 1 highest of n, t being the most late ones
    that n queries can bear; None where that is none at all (p99 under 662 queries).
    """
    n = len(sorted_xs)
    t = _binomial_quantile_below(n, 1 - q, 1 - EARLY_STOPPING_CONFIDENCE) - 1
    return sorted_xs[n - t] if t >= 1 else None


@cache
def _binomial_quantile_below(n: int, p: float, tail: float) -> int:
    """The largest k with P(Binomial(n, p) <= k - 1) <= tail, in log space against underflow."""
    cumulative, k = 0.0, 0
    log_p, log_1p = math.log(p), math.log1p(-p)
    while k <= n:
        log_term = (
            math.lgamma(n + 1)
            - math.lgamma(k + 1)
            - math.lgamma(n - k + 1)
            + k * log_p
            + (n - k) * log_1p
        )
        cumulative += math.exp(log_term)
        if cumulative > tail:
            return k
        k += 1
    return n
