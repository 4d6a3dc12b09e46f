"""What a sampler's tracks say of a span of time: means, percentiles, shares, all from raw readings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from dlbench.core import energy
from dlbench.core.energy import Point
from dlbench.core.reasons import Reason
from dlbench.core.trial_energy import COUNTER, NO_METER
from dlbench.core.types import Absent, Column, Reading, Track

POWER = "power_w"

POWER_PREFIX = "power:"
"""Source of power that is read more often, since the card has no counter."""

NOT_READ = Absent(reason="it was not read", code=Reason.NOT_SUPPORTED)

READ_ONCE = Absent(reason="the energy counter was read once only", code=Reason.LOW_COVERAGE)


def values(track: Track, column: Column) -> tuple[float | None, ...]:
    """A column's values, one for each read of its track."""
    missing = len(track.t_us) - len(column.values)
    return column.values + column.values[-1:] * missing


def points(tracks: Sequence[Track], quantity: str) -> list[Point] | Absent:
    """(seconds, value) of one quantity, of the first source that has it.

    Args:
        tracks: of one trial.
        quantity: unit in its name.
    """
    reason = NOT_READ
    for track in tracks:
        for column in track.columns:
            if column.quantity != quantity:
                continue
            found = [
                (track.start_s + t_us / 1e6, value)
                for t_us, value in zip(track.t_us, values(track, column), strict=True)
                if value is not None
            ]
            if found:
                return found
            reason = column.absent or reason
    return reason


def within(found: Sequence[Point], start_s: float, end_s: float) -> list[Point]:
    """Those that were read in a span."""
    return [p for p in found if start_s <= p[0] <= end_s]


def power_points(tracks: Sequence[Track]) -> tuple[list[Point], float] | Absent:
    """Power as it was read, and over how long each reading is a mean.

    Without a power sensor: the differences of an energy counter between reads, each a mean since the
    read before it.
    """
    for prefix in (POWER_PREFIX, ""):
        of_kind = [t for t in tracks if t.source.startswith(prefix)]
        found = points(of_kind, POWER)
        if not isinstance(found, Absent):
            return found, averaging_s(of_kind, POWER)
    counted = _summed_counters(tracks)
    if isinstance(counted, Absent):
        return counted
    means = [
        (t1, (j1 - j0) / (t1 - t0)) for (t0, j0), (t1, j1) in itertools.pairwise(counted) if t1 > t0
    ]
    return (means, 0.0) if means else READ_ONCE


def averaging_s(tracks: Sequence[Track], quantity: str) -> float:
    """Over how long a reading of that quantity is a mean."""
    found = [c.averaging_s for t in tracks for c in t.columns if c.quantity == quantity]
    return max(found, default=0.0)


def _summed_counters(tracks: Sequence[Track]) -> list[Point] | Absent:
    """Counters of several packages, read together, as one; without the reads that failed for any."""
    series: list[list[tuple[float, float | None]]] = []
    for track in tracks:
        for column in track.columns:
            if column.quantity == COUNTER:
                found = points([track], COUNTER)
                if isinstance(found, Absent):
                    return found
                times_s = (track.start_s + t_us / 1e6 for t_us in track.t_us)
                series.append(list(zip(times_s, values(track, column), strict=True)))
    if not series:
        return NO_METER
    rows = (_summed(row) for row in zip(*series, strict=False))
    summed = [row for row in rows if row is not None]
    return summed or Absent(
        reason="the energy counters were never read together", code=Reason.LOW_COVERAGE
    )


def _summed(row: Sequence[tuple[float, float | None]]) -> Point | None:
    """One read of all counters; None where one failed, or where they are not of one moment."""
    times_s = [t_s for t_s, _ in row]
    known = [value for _, value in row if value is not None]
    together = max(times_s) - min(times_s) <= energy.MOST_POLL_GAP_S
    return (times_s[0], math.fsum(known)) if together and len(known) == len(row) else None


def mean(found: Sequence[Point]) -> float:
    """The mean over time of what was read; each reading weighs as long as it stood."""
    span_s = found[-1][0] - found[0][0]
    if span_s <= 0:
        return math.fsum(value for _, value in found) / len(found)
    return energy.integral(found, found[0][0], found[-1][0]) / span_s


def percentile(found: Sequence[Point], share: float) -> float:
    """The value that ``share`` of the readings do not exceed."""
    ordered = sorted(v for _, v in found)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def increase(found: Sequence[Point], start_s: float, end_s: float) -> tuple[float, float] | Absent:
    """How much a cumulative counter rose between the reads around a span, and their distance."""
    before = [p for p in found if p[0] <= start_s] or list(found[:1])
    after = [p for p in found if p[0] >= end_s] or list(found[-1:])
    if not before or not after or after[0][0] <= before[-1][0]:
        return Absent(reason="it was not read at both ends", code=Reason.LOW_COVERAGE)
    return after[0][1] - before[-1][1], after[0][0] - before[-1][0]


def risen(
    found: Sequence[Point], start_s: float, end_s: float
) -> tuple[float, float, float] | Absent:
    """How much a cumulative counter rose in a span: in a line between reads, at least, and at most."""
    before = [p for p in found if p[0] <= start_s]
    after = [p for p in found if p[0] >= end_s]
    inside = within(found, start_s, end_s)
    if not before or not after or not inside:
        return Absent(
            reason="the counter was not read before, in and after the window",
            remedy="Run again; the machine was too busy for ten readings a second.",
            code=Reason.LOW_COVERAGE,
        )
    edges = (_between(before[-1], inside[0], start_s), _between(inside[-1], after[0], end_s))
    return edges[1] - edges[0], inside[-1][1] - inside[0][1], after[0][1] - before[-1][1]


def _between(left: Point, right: Point, at_s: float) -> float:
    (t0_s, low), (t1_s, high) = left, right
    return low if t1_s <= t0_s else low + (high - low) * (at_s - t0_s) / (t1_s - t0_s)


def lost(tracks: Sequence[Track]) -> Absent | None:
    """The first quantity that was read and then could not be any more; None if there is none.

    That the process has ended, or that its neighbours cannot be told from it, is no loss of a sensor.
    """
    for track in tracks:
        for column in track.columns:
            if column.absent is not None and column.absent.code in ENDINGS:
                continue
            seen = [v is not None for v in values(track, column)]
            if column.absent is not None and any(a and not b for a, b in itertools.pairwise(seen)):
                return column.absent
    return None


ENDINGS = (Reason.PROCESS_GONE, Reason.PIDS_DIFFER)


def telemetry_lost(readings: Sequence[Reading]) -> bool:
    """Whether a quantity that was once read could not be read any more.

    One that was never there (a card without that sensor) is absent and not lost.
    """
    seen: set[tuple[str, str]] = set()
    for reading in readings:
        key = (reading.source, reading.quantity)
        if not isinstance(reading.value, Absent):
            seen.add(key)
        elif key in seen:
            return True
    return False
