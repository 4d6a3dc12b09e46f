"""Two things compared in interleaved pairs: what may be said, and when it is enough.

    pair 1..8   look   9..16   look   17..32   look   33..64   look
                 |              |               |               |
              decided?       decided?        decided?       decided or "cannot tell"

Each pair gives one difference of logarithms, ``d = ln(seconds of A / seconds of B)``: positive where
B is faster. Which of the two ran first was drawn by lot, so that under "no difference" each sign is a
fair coin whatever the machine did meanwhile: Wilcoxon's signed-rank test is then exact. It is asked at
four looks, each at a quarter of ``ALPHA`` (Bonferroni: holds however the looks depend on each other).

Decision 0020 says why the interval that is reported has a level of its own, and how it covers.
``benchmarks/aa_replay.py`` replays the rule on recorded traces of identical code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from dlbench.core import stats, units
from dlbench.core.stats import EQUIVALENCE_ZONE, Verdict
from dlbench.core.types import Absent, Interval

LOOKS = (8, 16, 32, 64)
"""Numbers of pairs at which the question is asked. Eight is the fewest at which an exact test can
reach a quarter of 5 %: its smallest p-value is 2 / 2^8 = 0.8 %."""

ALPHA = 1 - stats.LEVEL
"""False alarms that the whole comparison may raise between identical things."""

FIRST_REPORTED_LEVEL, REPORTED_LEVEL = 0.96, 0.975
"""Levels at which the reported interval is computed at the first look and at later ones. Stopping at a
look because of what was seen costs coverage; what remains is 95.0 to 96.8 % over noise from quiet to
wild and differences from 0 to 40 %: decision 0020."""

POWER = 0.95
"""A difference is "resolved" when it would be found so often."""


NO_PAIR = "no pair was measured to its end"
"""Where nothing is known of a ratio, and none is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What pairs say of B against A.

    ``ratio`` is B's speed over A's (Hodges-Lehmann), ``interval`` its interval, with 95 % over the
    whole comparison. ``p`` is the exact p-value, paid for all looks: at most ``ALPHA`` (after Holm,
    if there are several cases) where it says faster or slower. ``resolves`` is the relative
    difference that so many pairs find 95 times in 100.
    """

    n: int
    ratio: float
    interval: Interval | Absent
    p: float
    verdict: Verdict
    resolves: float | Absent


def looks_until(most_pairs: int) -> tuple[int, ...]:
    """The looks of a comparison that has no more pairs than that."""
    return tuple(n for n in LOOKS if n <= most_pairs)


def judge(
    cases: Mapping[str, Sequence[float]],
    looks: Sequence[int] = LOOKS,
    *,
    zone: float = EQUIVALENCE_ZONE,
    ended: bool = False,
) -> dict[str, Judgement]:
    """What may be said of every case, Holm's correction over all of them included.

    Args:
        cases: differences ``ln(a_s / b_s)`` of each case, in the order in which pairs ran.
        looks: numbers of pairs at which it was, or will be, asked.
        zone: relative differences below this make no difference.
        ended: no further pair will come, for a reason that has nothing to do with the results
            (time, the user): what is there may be looked at once more if a look is left.
    """
    asked = {name: _asked(len(d), looks, ended=ended) for name, d in cases.items()}
    ps = {name: sequential_p(d, asked[name], len(looks)) for name, d in cases.items()}
    differ = holm(ps, ALPHA)
    return {
        name: _judgement(d, asked[name], len(looks), len(cases), zone, ps[name], differ[name])
        for name, d in cases.items()
    }


def _asked(n: int, looks: Sequence[int], *, ended: bool) -> tuple[int, ...]:
    """The numbers of pairs at which it is asked, given that ``n`` are there."""
    reached = tuple(look for look in looks if look <= n)
    extra = ended and n > max(reached, default=0) and len(reached) < len(looks)
    return (*reached, n) if extra else reached


def _judgement(
    d: Sequence[float],
    asked: Sequence[int],
    n_looks: int,
    n_cases: int,
    zone: float,
    p: float,
    differs: bool,
) -> Judgement:
    seen = d[: asked[-1]] if asked else d
    # A case that is alone pays for its looks; one of many for all of them as well.
    strict = stats.walsh_interval(seen, stats.paid_level(n_looks * n_cases)) if seen else None
    return Judgement(
        n=len(seen),
        ratio=math.exp(stats.hodges_lehmann(seen)) if seen else 1.0,
        interval=reported_interval(seen, n_looks),
        p=p,
        verdict=_verdict(seen, strict if asked else None, zone, differs=differs),
        resolves=resolution(seen, n_looks),
    )


def _verdict(d: Sequence[float], strict: Interval | None, zone: float, *, differs: bool) -> Verdict:
    bound = math.log1p(zone)
    if strict is not None and -bound < strict.low and strict.high < bound:
        return "equivalent"
    if differs:
        return "faster" if stats.hodges_lehmann(d) > 0 else "slower"
    return "cannot tell"


# --- the parts ------------------------------------------------------------------------------


def signed_rank_p(d: Sequence[float]) -> float:
    """The exact two-sided p-value of Wilcoxon's signed-rank test (scipy's); zeros are left out."""
    from scipy.stats import wilcoxon

    moved = [x for x in d if x]
    return float(wilcoxon(moved, method="exact").pvalue) if moved else 1.0


def sequential_p(d: Sequence[float], asked: Sequence[int], n_looks: int) -> float:
    """The p-value of all looks so far: the smallest, times the number of looks planned."""
    return min((min(1.0, n_looks * signed_rank_p(d[:n])) for n in asked), default=1.0)


def holm(ps: Mapping[str, float], alpha: float) -> dict[str, bool]:
    """Which of several hypotheses fall, with ``alpha`` for a false alarm anywhere (Holm 1979)."""
    rejected = dict.fromkeys(ps, False)
    for i, name in enumerate(sorted(ps, key=lambda name: ps[name])):
        if ps[name] > alpha / (len(ps) - i):
            break
        rejected[name] = True
    return rejected


def reported_level(n: int, n_looks: int) -> float:
    """Level at which the interval of ``n`` pairs is computed so that it has 95 % in the end."""
    if n_looks == 1:
        return stats.LEVEL
    return FIRST_REPORTED_LEVEL if n <= LOOKS[0] else REPORTED_LEVEL


def reported_interval(d: Sequence[float], n_looks: int = len(LOOKS)) -> Interval | Absent:
    """The interval of the speed ratio, with 95 % over the whole comparison."""
    found = stats.walsh_interval(d, reported_level(len(d), n_looks)) if d else None
    if found is None:
        return Absent(
            reason=f"{LOOKS[0]} pairs at least are needed for an exact interval, not {len(d)}",
            remedy=f"measure at least {LOOKS[0]} pairs",
        )
    return Interval(low=math.exp(found.low), high=math.exp(found.high), level=stats.LEVEL)


def so_far_in_words(d: Sequence[float], n_looks: int) -> str:
    """The ratio of some pairs, with its interval once there is one."""
    ratio = math.exp(stats.hodges_lehmann(d))
    return f"· B over A {units.ratio(ratio, 3)}{units.bracketed(reported_interval(d, n_looks), 3)}"


def resolution(d: Sequence[float], n_looks: int = len(LOOKS)) -> float | Absent:
    """The relative difference that pairs like these find with ``POWER``.

    A test at z standard errors finds, with that power, what lies z + z(power) of them away. The
    standard error is read from the Walsh interval, which a few wild pairs do not widen, and taken at
    its own upper 95 % bound: where it happens to be read too small, too much would be promised.
    """
    found = stats.walsh_interval(d, stats.paid_level(n_looks)) if d else None
    if found is None:
        return Absent(
            reason=f"{units.counted(len(d), 'pair')} cannot show the spread between pairs",
            remedy=f"measure at least {LOOKS[0]} pairs",
        )
    z = NormalDist().inv_cdf((1 + found.level) / 2)
    half_width = (found.high - found.low) / 2
    return math.expm1(half_width * resolution_factor(len(d), z))


def resolution_factor(n: int, z: float) -> float:
    """Half-widths of the interval at which a test looks (``z`` wide) that a difference must have.

    A standard deviation of n observations is itself known to 1 / sqrt(2 (n - 1)) of it.
    """
    beyond = NormalDist().inv_cdf(POWER)
    unsure = 1 + NormalDist().inv_cdf(stats.LEVEL) / math.sqrt(2 * (n - 1))
    return (1 + beyond / z) * unsure


def resolution_at(resolves: float, n: int, n_then: int) -> float:
    """What ``n_then`` pairs would resolve on a machine whose ``n`` pairs resolve ``resolves``."""
    return math.expm1(math.log1p(resolves) * math.sqrt(n / n_then))


def pairs_needed(resolves: float, n: int, difference: float) -> int:
    """About how many pairs find that relative difference, where ``n`` find ``resolves``."""
    return math.ceil(n * (math.log1p(resolves) / math.log1p(difference)) ** 2)


def resolution_in_words(said: Judgement, zone: float, most: int = 0) -> str:
    """What this machine resolves with these pairs, what with ``most``, and how many ``zone`` needs."""
    if isinstance(said.resolves, Absent):
        return f"what this machine resolves is not known: {said.resolves.reason}"
    words = f"this machine resolves {units.percent(said.resolves)} with {said.n} pairs"
    if said.n < most:
        words += f", {units.percent(resolution_at(said.resolves, said.n, most))} with {most}"
    if said.verdict == "cannot tell":
        needed = max(pairs_needed(said.resolves, said.n, zone), said.n + 1)
        words += f"; about {needed:,} pairs would be needed for {100 * zone:g} %"
    return words
