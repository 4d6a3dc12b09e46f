"""What a run could have told apart: from the spread of its trials and its sentinel."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass
from typing import Any

from dlbench import paired
from dlbench.core import drift, stats
from dlbench.core.metrics import seconds_per_sample
from dlbench.core.types import Absent, Estimated, Run
from dlbench.core.units import counted, percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """The noise gate of one run, all relative.

    ``trial_spread`` is the standard deviation between trials of a case, pooled over cases.
    ``resolves`` is the difference between two cases with ``n`` trials each that an interval of the
    run's own level finds 95 times in 100; ``ab_resolves`` the same for ``dlbench ab`` with all its
    pairs. Both take two trials of one round as independent, which is the worst that they can be.
    ``sentinel_moved`` is by how much the sentinel's time changed meanwhile.
    """

    trial_spread: float
    n: int
    resolves: float
    ab_resolves: float
    sentinel_moved: Estimated | Absent


def noise(run: Run) -> Noise | Absent:
    """The noise gate of a document, Absent where no case has two trials."""
    cases = [
        [math.log(s) for s in seconds_per_sample(r).values()] for r in run.results if r.measured
    ]
    repeated = [ys for ys in cases if len(ys) > 1]
    if not repeated:
        return Absent(
            reason="no case has two trials: the spread between processes is not known",
            remedy="measure at least 3 trials a case",
        )
    df = sum(len(ys) - 1 for ys in repeated)
    variance = sum(statistics.variance(ys) * (len(ys) - 1) for ys in repeated) / df
    # The upper bound of the spread: a spread that was seen too small would promise too much.
    sd = math.sqrt(variance) * _upper_factor(df)
    n = min(len(ys) for ys in repeated)
    level = stats.paid_level(len(run.plan.profile.looks))
    return Noise(
        trial_spread=math.sqrt(variance),
        n=n,
        resolves=_resolves(sd, n, level),
        ab_resolves=_resolves(sd, paired.LOOKS[-1], stats.paid_level(len(paired.LOOKS))),
        sentinel_moved=drift.of(run),
    )


def _upper_factor(df: int) -> float:
    """A standard deviation's one-sided 95 % bound over itself, from its degrees of freedom."""
    from scipy.stats import chi2

    return math.sqrt(df / float(chi2.ppf(1 - stats.LEVEL, df)))


def _resolves(sd: float, n: int, level: float) -> float:
    """The relative difference of two cases that is found with the power of ``paired.POWER``."""
    error = math.sqrt(2) * sd / math.sqrt(n)
    test = stats.student_t_quantile((1 + level) / 2, max(n - 1, 1))
    found = (test + statistics.NormalDist().inv_cdf(paired.POWER)) * error
    return math.expm1(stats.bounded(found))


NOTHING = 10.0
"""1,000 % and more is seen without statistics: to resolve no less is to resolve nothing."""


def sentence(found: Noise | Absent) -> str:
    """The gate in words, as it stands at the end of a run."""
    if isinstance(found, Absent):
        return f"what this run resolves is not known: {found.reason}"
    sentinel = (
        "" if isinstance(found.sentinel_moved, Absent) else f", {drift.words(found.sentinel_moved)}"
    )
    trials = f"{counted(found.n, 'trial')} each"
    if found.resolves > NOTHING:
        return (
            f"this run resolves no difference ({trials}; trials of a case spread by "
            f"{percent(found.trial_spread)}{sentinel}): measure more trials, --profile standard"
        )
    return (
        f"this run resolves differences of {percent(found.resolves)} ({trials}; trials of a case "
        f"spread by {percent(found.trial_spread)}{sentinel}); dlbench ab would resolve "
        f"{percent(found.ab_resolves)} with {paired.LOOKS[-1]} pairs"
    )


def plain(found: Noise | Absent) -> dict[str, Any]:
    """The gate as ``--json`` prints it."""
    known = not isinstance(found, Absent)
    return {
        "kind": "estimated" if known else "absent",
        **asdict(found),
        "sentence": sentence(found),
    }
