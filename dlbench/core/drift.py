"""Whether the machine itself changed during a session: what the case that is run throughout says.

    ln(seconds a sample)
      |            x   x
      |    x  x  x        one straight line through all trials of the sentinel's case, and by how much
      |  x   x            it rises from the first to the last, with its interval
      +------------------ position

How far the highest lies above the lowest would say nothing: it grows with their number on a machine
that only scatters. Where the sentinel failed and another case took its place, each has its line, and
both rise alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from dlbench.core import stats
from dlbench.core.metrics import trial_seconds_per_sample
from dlbench.core.types import Absent, Estimated, Interval, Run, Trial
from dlbench.core.units import percent

FLAG = "drift"

LIMIT = 0.03
"""A sentinel that surely moved by more than 3 % says that the machine changed during the session."""


def drift(trials: Sequence[Trial]) -> Estimated | Absent:
    """Relative change of the sentinels' (or an only case's) time over all trials of a session."""
    ran = [t for t in trials if t.outcome.ok]
    sentinels = {t.case_id for t in ran if t.role == "sentinel"}
    watched = sentinels or {t.case_id for t in ran}
    if len(watched) > 1 and not sentinels:
        return Absent(reason="no case was run as the sentinel")
    points: dict[str, list[tuple[float, float]]] = {}
    for t in ran:
        if t.case_id in watched:
            at = (float(t.position), math.log(trial_seconds_per_sample(t)))
            points.setdefault(t.case_id, []).append(at)
    found = stats.linear_change(list(points.values()), stats.LEVEL)
    if found is None:
        n = sum(map(len, points.values()))
        of = "one case" if len(points) == 1 else f"{len(points)} cases"
        return Absent(reason=f"{n} trials of {of} do not show a drift")
    change, interval = found
    return Estimated(
        value=math.expm1(change),
        interval=Interval(
            low=math.expm1(stats.bounded(interval.low)),
            high=math.expm1(stats.bounded(interval.high)),
            level=interval.level,
        ),
        method="straight line through the trials of the sentinel's case",
    )


def drifted(found: Estimated | Absent) -> bool:
    """Whether the whole interval lies beyond the limit, on either side."""
    if isinstance(found, Absent):
        return False
    return found.interval.low > LIMIT or found.interval.high < -LIMIT


def of(run: Run) -> Estimated | Absent:
    """The drift of a document's session."""
    return drift([trial for result in run.results for trial in result.trials])


def flags(run: Run) -> tuple[str, ...]:
    """A document's flags, with drift as it is judged now.

    Older ones were flagged by how far apart the sentinel's extremes lay.
    """
    others = tuple(flag for flag in run.flags if flag != FLAG)
    return (*others, FLAG) if drifted(of(run)) else others


def words(found: Estimated) -> str:
    """``the sentinel's time moved by +1.2 % [-2.0 %, +4.5 %]``."""
    value, low, high = (
        f"{'+' if x >= 0 else '-'}{percent(abs(x))}"
        for x in (found.value, found.interval.low, found.interval.high)
    )
    return f"the sentinel's time moved by {value} [{low}, {high}]"
