"""Energy of one trial: its windows, by counter and by integral, and whether the two agree."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlbench.core import energy
from dlbench.core.energy import Idle, Point, Sensor, WindowEnergy
from dlbench.core.reasons import Reason
from dlbench.core.types import Absent, Reading, Value, Window, all_known

COUNTER = "energy_counter_j"

NO_METER = Absent(
    reason="no energy meter on this device", remedy="dlbench doctor", code=Reason.NO_SENSOR
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEnergy:
    """Energy of a trial's windows; ``integrals`` are those of the power readings beside them.

    ``reportable`` says whether each window is as long as a measured number wants.
    """

    windows: tuple[WindowEnergy, ...]
    n_samples: tuple[int, ...]
    integrals: tuple[WindowEnergy | Absent, ...]
    idle_w: float
    source: str
    method: str
    reportable: bool

    @property
    def disagreement(self) -> float | Absent:
        """The median difference of counter and integral, relative; Absent without both."""
        if self.method != "counter":
            return Absent(reason="there is no counter to compare with", code=Reason.NOT_SUPPORTED)
        integrals = all_known(self.integrals)
        if isinstance(integrals, Absent):
            return integrals
        both = zip(self.windows, integrals, strict=True)
        return statistics.median(energy.disagreement(w.gross_j, i.gross_j) for w, i in both)

    @property
    def suspect(self) -> bool:
        """Whether counter and integral contradict each other."""
        apart = self.disagreement
        return not isinstance(apart, Absent) and apart > energy.SUSPECT_DISAGREEMENT

    def per_sample_j(self, *, net: bool = False) -> tuple[float, float, float]:
        """Joules a sample: median of the windows, and how low and high it may be.

        The bounds are the windows' extremes, each widened by its own uncertainty.
        """
        triples = []
        for window, n in zip(self.windows, self.n_samples, strict=True):
            value = window.net_j if net else window.gross_j
            error = window.net_uncertainty_j if net else window.uncertainty_j
            triples.append((value / n, (value - error) / n, (value + error) / n))
        return over_windows(triples)


def over_windows(triples: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """The median of values, and the extremes of how low and high each may be."""
    values, lows, highs = zip(*triples, strict=True)
    return statistics.median(values), min(lows), max(highs)


def evaluate(
    readings: Sequence[Reading],
    windows: Sequence[Window],
    values: Sequence[Value],
    power: Mapping[str, Sequence[Point] | Absent],
    sensor: Sensor,
) -> TrialEnergy | Absent:
    """Everything that a trial's readings say of its energy.

    Args:
        readings: the counters' reads that bound ticks.
        windows: the trial's; those named ``idle`` and ``energy`` count.
        values: samples and time of each energy window.
        power: readings of power by source, beside the windows.
        sensor: what a reading of power is.
    """
    rest = next((w for w in windows if w.name == "idle"), None)
    if rest is None or not values:
        return _why_no_window(readings, power)
    spans = [(v.start_s, v.start_s + v.duration_s) for v in values]
    counters = _by_source(readings)
    integrals = _integrals(power, rest, spans, sensor)
    if counters and not any(isinstance(c, Absent) for c in counters.values()):
        return _by_counter(counters, rest, spans, values, integrals)
    lost = next((c for c in counters.values() if isinstance(c, Absent)), NO_METER)
    if _once_answered(readings):
        # A counter that went away in mid-window is not replaced in silence by another source.
        return lost
    found = all_known(integrals)
    if isinstance(found, Absent):
        return lost if not power else found
    at_rest = _sum_idle([_idle_power(p, rest) for p in power.values()])
    return TrialEnergy(
        windows=tuple(found),
        n_samples=tuple(v.n_samples for v in values),
        integrals=integrals,
        idle_w=at_rest,
        source=", ".join(sorted(power)),
        method="integral",
        reportable=True,
    )


def _why_no_window(
    readings: Sequence[Reading], power: Mapping[str, Sequence[Point] | Absent]
) -> Absent:
    if power and not _once_answered(readings):
        return Absent(
            reason="without an energy counter energy is the integral of power, for which this "
            "profile has no time",
            remedy="--profile standard",
            code=Reason.WINDOW_TOO_SHORT,
        )
    for reading in readings:
        if reading.quantity == COUNTER and isinstance(reading.value, Absent):
            return reading.value
    if not readings:
        return NO_METER
    return Absent(
        reason="energy was not measured in a window of its own",
        remedy="--profile standard",
        code=Reason.NO_ENERGY_WINDOW,
    )


def _by_source(readings: Sequence[Reading]) -> dict[str, list[Point] | Absent]:
    """Each counter's points, or its first reason for having none."""
    found: dict[str, list[Point] | Absent] = {}
    for reading in readings:
        if reading.quantity != COUNTER:
            continue
        points = found.setdefault(reading.source, [])
        if isinstance(points, Absent):
            continue
        if isinstance(reading.value, Absent):
            found[reading.source] = reading.value
        else:
            points.append((reading.t_s, reading.value))
    return found


def _once_answered(readings: Sequence[Reading]) -> bool:
    return any(r.quantity == COUNTER and not isinstance(r.value, Absent) for r in readings)


def _by_counter(
    counters: Mapping[str, list[Point] | Absent],
    rest: Window,
    spans: Sequence[tuple[float, float]],
    values: Sequence[Value],
    integrals: tuple[WindowEnergy | Absent, ...],
) -> TrialEnergy | Absent:
    at_rest: list[Idle] = []
    of_source: list[list[WindowEnergy]] = []
    for points in counters.values():
        if isinstance(points, Absent):
            return points
        idle = energy.idle([p for p in points if rest.start_s <= p[0] <= rest.end_s])
        if isinstance(idle, Absent):
            return idle
        at_rest.append(idle)
        found = []
        for k, span in enumerate(spans):
            since_s = spans[k - 1][1] if k else rest.start_s
            until_s = spans[k + 1][0] if k + 1 < len(spans) else math.inf
            window = energy.counter_energy(points, span, (since_s, until_s), idle)
            if isinstance(window, Absent):
                return window
            found.append(window)
        of_source.append(found)
    longest_s = max(i.period_s for i in at_rest)
    least_s = max(energy.LEAST_WINDOW_S, energy.LEAST_WINDOW_PERIODS * longest_s)
    return TrialEnergy(
        windows=tuple(_sum(parts) for parts in zip(*of_source, strict=True)),
        n_samples=tuple(v.n_samples for v in values),
        integrals=integrals,
        idle_w=sum(i.power_w for i in at_rest),
        source=", ".join(sorted(counters)),
        method="counter",
        reportable=all(v.duration_s >= least_s * SHORTER for v in values),
    )


SHORTER = 0.98
"""A window ends with a whole value, and a tick's wait belongs to none: 2 % less is no shorter."""


def _integrals(
    power: Mapping[str, Sequence[Point] | Absent],
    rest: Window,
    spans: Sequence[tuple[float, float]],
    sensor: Sensor,
) -> tuple[WindowEnergy | Absent, ...]:
    found: list[WindowEnergy | Absent] = []
    for span in spans:
        parts: list[WindowEnergy] = []
        absent: Absent | None = None if power else NO_METER
        for points in power.values():
            idle = _idle_power(points, rest)
            one = (
                idle
                if isinstance(idle, Absent)
                else energy.integral_energy(_known(points), span, sensor, idle)
            )
            if isinstance(one, Absent):
                absent = one
            else:
                parts.append(one)
        found.append(absent or _sum(parts))
    return tuple(found)


def _known(points: Sequence[Point] | Absent) -> Sequence[Point]:
    return () if isinstance(points, Absent) else points


def _idle_power(points: Sequence[Point] | Absent, rest: Window) -> Idle | Absent:
    if isinstance(points, Absent):
        return points
    return energy.idle_from_power([p for p in points if rest.start_s <= p[0] <= rest.end_s])


def _sum(parts: Sequence[WindowEnergy]) -> WindowEnergy:
    return WindowEnergy(
        gross_j=sum(p.gross_j for p in parts),
        net_j=sum(p.net_j for p in parts),
        uncertainty_j=sum(p.uncertainty_j for p in parts),
        net_uncertainty_j=sum(p.net_uncertainty_j for p in parts),
        duration_s=parts[0].duration_s,
        method=parts[0].method,
    )


def _sum_idle(found: Sequence[Idle | Absent]) -> float:
    return sum(i.power_w for i in found if not isinstance(i, Absent))
