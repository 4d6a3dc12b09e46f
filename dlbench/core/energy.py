"""Joules from readings: pure functions, each provable against a closed form.

A counter publishes energy in ticks, some tens of milliseconds apart; reading it at a window's edges
errs by up to a tick at each. So the device is idle around the window, and both edges are moved to
ticks that were seen to happen:

    idle ......... tick | window: work .............. | idle ... tick
                   t0   a                             b          t1

    E(a, b) = C(t1) - C(t0) - idle power x ((a - t0) + (t1 - b))

How far a tick's time is known (between two polls) and how well idle power is known give the
uncertainty of the arithmetic. The sensor's own error is apart: ``core.sensors``.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from dlbench.core.reasons import Reason
from dlbench.core.types import Absent

Point = tuple[float, float]
"""Seconds on the monotonic clock, and joules of a counter or watts of a sensor."""

MOST_POLL_GAP_S = 0.05
"""Two reads further apart than this do not bound a tick: something else ran in between."""

LEAST_COUNTER_J = 1e-3
"""NVML's counter is in millijoules; RAPL's is finer."""

MOST_DEVICE_W = 20_000.0
"""No device draws more; a counter that says so jumped."""

LEAST_WINDOW_S = 5.0
LEAST_WINDOW_PERIODS = 50
"""A window of reported energy: shorter ones are computed, and said to be estimated."""

LEAST_INTEGRAL_S = 5.0
"""Below this a power sensor read ten times a second has seen too little of the work."""

CLOCK_ERROR_S = 1e-6
"""Times are differences of large numbers: a microsecond short is not short."""

LEAST_AVERAGED_S = 10.0
"""Of a power reading that is itself an average over a second."""

LEAST_COVERAGE = 0.99
"""Share of a window that readings must speak of; less is a lower bound and no result."""

LEAST_INTERVAL_S = 0.1
"""Ten readings a second are what is promised: more often is better, and no reason to see holes."""

MOST_INTERVAL_S = 0.5
"""A sampler that reads less often was held up: its readings speak of no longer spans than these."""

MOST_GAPS = 3.0
"""A gap of this many usual intervals between two readings is a hole in them."""

SUSPECT_DISAGREEMENT = 0.05
"""Counter and integral of the same window may differ by this much before one is doubted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A moment at which a counter moved to ``energy_j``: known to within ``half_width_s``."""

    t_s: float
    half_width_s: float
    energy_j: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Power of the device with the model loaded and nothing to do, and how well it is known."""

    power_w: float
    uncertainty_w: float
    period_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowEnergy:
    """Energy of one window: all of it, and what was above idle, each to within an uncertainty."""

    gross_j: float
    net_j: float
    uncertainty_j: float
    net_uncertainty_j: float
    duration_s: float
    method: str


def ticks(points: Sequence[Point]) -> tuple[Tick, ...]:
    """Each move of a counter that two neighbouring reads bound; time midway between them."""
    return tuple(
        Tick(t_s=(t0 + t1) / 2, half_width_s=(t1 - t0) / 2, energy_j=j1)
        for (t0, j0), (t1, j1) in itertools.pairwise(points)
        if j1 != j0 and 0 < t1 - t0 <= MOST_POLL_GAP_S
    )


def period_s(found: Sequence[Tick]) -> float:
    """The time between ticks: the median of the first few; infinite where there are not two."""
    return usual_interval_s([tick.t_s for tick in found[:FIRST_TICKS]])


FIRST_TICKS = 8
"""Ticks of an idle device that are all kept: enough to see the counter's period."""


def idle(points: Sequence[Point]) -> Idle | Absent:
    """Idle power from a counter's first and last tick while nothing was done.

    Args:
        points: reads of the counter during the idle window, in order of time.
    """
    found = ticks(points)
    if len(found) < 2:  # noqa: PLR2004 - a difference needs two ends
        return Absent(
            reason="the energy counter did not move while the device was idle",
            remedy="dlbench doctor shows whether it moves at all.",
            code=Reason.COUNTER_FROZEN,
        )
    first, last = found[0], found[-1]
    span_s = last.t_s - first.t_s
    power_w = (last.energy_j - first.energy_j) / span_s
    if not 0 <= power_w <= MOST_DEVICE_W:
        return _implausible(power_w)
    edges_s = first.half_width_s + last.half_width_s
    return Idle(
        power_w=power_w,
        uncertainty_w=(power_w * edges_s + LEAST_COUNTER_J) / span_s,
        period_s=period_s(found),
    )


def counter_energy(
    points: Sequence[Point],
    window: tuple[float, float],
    idle_between: tuple[float, float],
    at_rest: Idle,
) -> WindowEnergy | Absent:
    """Energy of a window from a counter, its edges moved to ticks.

    Args:
        points: reads of the counter around the window, in order of time.
        window: start and end of the work, the device synchronised before both.
        idle_between: since when before it, and until when after it, nothing else was done.
        at_rest: idle power.
    """
    (start_s, end_s), (since_s, until_s) = window, idle_between
    found = [t for t in ticks(points) if since_s <= t.t_s <= until_s]
    before = [t for t in found if t.t_s <= start_s]
    after = [t for t in found if t.t_s >= end_s]
    if not before or not after:
        side = "before" if not before else "after"
        return Absent(
            reason=f"the energy counter did not move {side} the window",
            code=Reason.COUNTER_FROZEN,
        )
    duration_s = end_s - start_s
    if duration_s <= 0:
        return Absent(reason="the window lasts no time", code=Reason.WINDOW_TOO_SHORT)
    first, last = before[-1], after[0]
    gaps_s = (start_s - first.t_s) + (last.t_s - end_s)
    edges_s = first.half_width_s + last.half_width_s
    gross_j = last.energy_j - first.energy_j - at_rest.power_w * gaps_s
    uncertainty_j = at_rest.power_w * edges_s + at_rest.uncertainty_w * gaps_s + 2 * LEAST_COUNTER_J
    if gross_j <= 0:
        return Absent(
            reason="the energy counter did not move during the window",
            code=Reason.COUNTER_FROZEN,
        )
    if gross_j / duration_s > MOST_DEVICE_W:
        return _implausible(gross_j / duration_s)
    return _window(gross_j, uncertainty_j, duration_s, at_rest, "counter")


def _window(
    gross_j: float, uncertainty_j: float, duration_s: float, at_rest: Idle, method: str
) -> WindowEnergy:
    return WindowEnergy(
        gross_j=gross_j,
        net_j=gross_j - at_rest.power_w * duration_s,
        uncertainty_j=uncertainty_j,
        net_uncertainty_j=uncertainty_j + at_rest.uncertainty_w * duration_s,
        duration_s=duration_s,
        method=method,
    )


def _implausible(power_w: float) -> Absent:
    return Absent(
        reason=f"the energy counter implies {power_w:,.0f} W, which no device draws",
        remedy="Run again; if it stays, the driver's counter is broken.",
        code=Reason.COUNTER_IMPLAUSIBLE,
    )


# --- without a counter ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """What a power reading is: the mean of the last ``averaging_s`` seconds, or of now (0)."""

    averaging_s: float = 0.0


def idle_from_power(points: Sequence[Point]) -> Idle | Absent:
    """Idle power from a sensor's readings while nothing was done."""
    if not points:
        return Absent(
            reason="power was not read while the device was idle", code=Reason.LOW_COVERAGE
        )
    watts = [w for _, w in points]
    spread_w = statistics.stdev(watts) if len(watts) > 1 else 0.0
    return Idle(
        power_w=statistics.fmean(watts),
        uncertainty_w=2 * spread_w / math.sqrt(len(watts)),
        period_s=0.0,
    )


def integral_energy(
    points: Sequence[Point], window: tuple[float, float], sensor: Sensor, at_rest: Idle
) -> WindowEnergy | Absent:
    """Energy of a window from every reading of a power sensor.

    Readings within the window are integrated, extended to its edges. A sensor that is late (a reading
    is an average over the last second, or is held until it is refreshed) shows a part of the work
    after its end, and something older at its beginning: for it the integral reaches beyond both edges,
    and what idling draws there is taken off.

    Args:
        points: (seconds, watts), in order of time, beyond the window's end by ``averaging_s``.
        window: start and end of the work.
        sensor: what a reading is.
        at_rest: idle power.
    """
    start_s, end_s = window
    least_s = LEAST_AVERAGED_S if sensor.averaging_s else LEAST_INTEGRAL_S
    if end_s - start_s < least_s - CLOCK_ERROR_S:
        return Absent(
            reason=f"without an energy counter a window of {end_s - start_s:.1f} s is too short "
            f"(at least {least_s:.0f} s)",
            remedy="--profile standard",
            code=Reason.WINDOW_TOO_SHORT,
        )
    inside = [p for p in points if start_s <= p[0] <= end_s]
    late_s = sensor.averaging_s + (_refresh_s(inside) if _repeats(inside) else 0.0)
    before_s = REFRESH_S if late_s else 0.0
    since_s, until_s = start_s - before_s, end_s + late_s
    covered = coverage([t for t, _ in points], since_s, until_s)
    if covered < LEAST_COVERAGE:
        return Absent(
            reason=f"power was read during {covered:.1%} of the window only",
            code=Reason.LOW_COVERAGE,
        )
    seen = [p for p in points if since_s <= p[0] <= until_s]
    outside_s = before_s + late_s
    gross_j = integral(seen, since_s, until_s) - at_rest.power_w * outside_s
    uncertainty_j = _integral_uncertainty_j(seen) + at_rest.uncertainty_w * outside_s
    duration_s = end_s - start_s
    if not 0 < gross_j <= MOST_DEVICE_W * duration_s:
        return Absent(
            reason=f"the power readings imply {gross_j / duration_s:,.0f} W, which no device draws at "
            "work",
            remedy="Run again; if it stays, the driver's power sensor is broken.",
            code=Reason.POWER_IMPLAUSIBLE,
        )
    return _window(gross_j, uncertainty_j, duration_s, at_rest, "integral")


REFRESH_S = 0.15
"""No sensor of a current card is refreshed less often (20 to 100 ms: arXiv 2312.02741)."""


def integral(points: Sequence[Point], start_s: float, end_s: float) -> float:
    """Joules under readings of power: trapezoids, the outermost readings extended to both edges.

    Also of a sensor that holds its value: the moment at which it moved lies anywhere between two
    readings, and the middle is the guess that errs by nothing on average.
    """
    if not points:
        return 0.0
    edges_j = points[0][1] * (points[0][0] - start_s) + points[-1][1] * (end_s - points[-1][0])
    return edges_j + math.fsum(
        (t1 - t0) * (w0 + w1) / 2 for (t0, w0), (t1, w1) in itertools.pairwise(points)
    )


def _repeats(points: Sequence[Point]) -> bool:
    """Whether the sensor is read more often than it moves."""
    pairs = list(itertools.pairwise(w for _, w in points))
    return sum(a == b for a, b in pairs) > len(pairs) / 4 if pairs else False


def _refresh_s(points: Sequence[Point]) -> float:
    """How long a sensor holds its value: the shortest time between two moves, with a reading spare."""
    moves = [t1 for (_, w0), (t1, w1) in itertools.pairwise(points) if w0 != w1]
    held_s = min((b - a for a, b in itertools.pairwise(moves)), default=REFRESH_S)
    return min(held_s + usual_interval_s([t for t, _ in points]), REFRESH_S)


def _integral_uncertainty_j(points: Sequence[Point]) -> float:
    """Between two readings power moved at an unknown moment: uniform, independent, two sigma.

    The parts beyond the outermost readings may have been anything that was seen.
    """
    if not points:
        return math.inf
    moves = math.fsum(
        ((t1 - t0) * (w1 - w0)) ** 2 / 12 for (t0, w0), (t1, w1) in itertools.pairwise(points)
    )
    watts = [w for _, w in points]
    gap_s = usual_interval_s([t for t, _ in points])
    held_s = _refresh_s(points) if _repeats(points) else gap_s
    return 2 * math.sqrt(moves + ((max(watts) - min(watts)) * held_s) ** 2 / 6)


def usual_interval_s(times_s: Sequence[float]) -> float:
    """The median gap between readings; infinite where there are not two."""
    gaps = [b - a for a, b in itertools.pairwise(times_s)]
    return statistics.median(gaps) if gaps else math.inf


def coverage(times_s: Sequence[float], start_s: float, end_s: float) -> float:
    """Share of a span that readings speak of: each for the usual interval around it, no holes."""
    if end_s <= start_s:
        return 0.0
    usual_s = usual_interval_s(times_s)
    if not math.isfinite(usual_s):
        return 0.0
    reach_s = MOST_GAPS * min(max(usual_s, LEAST_INTERVAL_S), MOST_INTERVAL_S) / 2
    covered_s, done_s = 0.0, start_s
    for t_s in times_s:
        low_s, high_s = max(done_s, t_s - reach_s), min(end_s, t_s + reach_s)
        if high_s > low_s:
            covered_s += high_s - low_s
            done_s = high_s
    return covered_s / (end_s - start_s)


def disagreement(counter_j: float, integral_j: float) -> float:
    """How far counter and integral of one window are apart, relative to the counter."""
    return abs(integral_j - counter_j) / counter_j
