"""What a trial's readings say: energy, power, utilisation, clocks, heat, throttling, neighbours.

Everything here is computed from raw readings when a document is read, and each answer is a number or an
``Absent`` with its reason.
"""

from __future__ import annotations

import functools
import math
import operator
import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dlbench.core import energy, tracks, trial_energy
from dlbench.core.energy import Point, Sensor
from dlbench.core.reasons import Reason
from dlbench.core.stats import LEVEL
from dlbench.core.trial_energy import COUNTER, TrialEnergy
from dlbench.core.types import Absent, Estimated, Interval, Measured, Metric, Track, Trial

OFF = Absent(
    reason="telemetry was switched off", remedy="--telemetry basic", code=Reason.TELEMETRY_OFF
)

HOST_ENERGY = "host_rapl"
"""Sources of the processors' energy beside another device's, a package each."""

BESIDE = ("host", "cgroup", HOST_ENERGY)
"""Sources that are not the case's device, by what stands before the colon."""

POWER_CAP_BIT = 0x4

THROTTLE_COUNTERS = {
    "throttled_power_cap_s": POWER_CAP_BIT,
    "throttled_software_thermal_s": 0x20,
    "throttled_hardware_thermal_s": 0x8 | 0x40,
    "throttled_power_brake_s": 0x8 | 0x80,
}
"""Of a GPU, with the bits of ``throttle_reasons_bits`` (nvml.h, nvmlClocksEventReason...) that each
counts; a slowdown (0x8) is by heat or by a brake. Idle clocks, display clocks and clocks that somebody
set are choices, not throttling."""

THROTTLE_BITS = functools.reduce(operator.or_, THROTTLE_COUNTERS.values())

HEAT_BITS = 0x20 | 0x40
"""What a processor's counters count, in a GPU's words."""

THROTTLE_COUNTER = re.compile(r"throttled_\w+_s")
"""Seconds with clocks held down: those, and a processor's by core and package."""

HELD_BY = {"throttled": THROTTLE_BITS & ~POWER_CAP_BIT, "power_capped": POWER_CAP_BIT}
"""Flags by the reasons that raise them: a card at the power it is sold with is healthy, one that heat
or a brake holds back is not (docs/decisions/0062)."""

THROTTLED_SHARE = 0.01
"""Above a hundredth of the time, clocks were not what the card can do."""

SAMPLER_FACT = "sampler"
"""The fact of a trial's subject that says why its sampler did not get to its end."""

SUSPECT = "counter and power readings contradict each other, or power never moved"
"""Why what was read of energy or power is doubted."""

Answer = float | Absent


def device_tracks(trial: Trial) -> tuple[Track, ...]:
    """Those of the case's device."""
    return tuple(t for t in trial.tracks if not is_beside(t))


def is_beside(track: Track) -> bool:
    """Whether what was read is the host's, and not the device's."""
    return track.source.partition(":")[0] in BESIDE


def spans(trial: Trial) -> list[tuple[float, float]]:
    """When the subject worked steadily: its energy windows where it has some, else its values."""
    if trial.energy:
        return [(v.start_s, v.start_s + v.duration_s) for v in trial.energy]
    return [(w.start_s, w.end_s) for w in trial.windows if w.name == "steady"]


def of_trial(trial: Trial) -> TrialEnergy | Absent:
    """Energy of the trial's windows."""
    device = device_tracks(trial)
    power = tracks.power_points([t for t in device if _has_power(t)])
    sensor = Sensor() if isinstance(power, Absent) else Sensor(averaging_s=power[1])
    by_source = {} if isinstance(power, Absent) else {"power readings": power[0]}
    found = trial_energy.evaluate(trial.readings, trial.windows, trial.energy, by_source, sensor)
    if isinstance(found, Absent) and found.code == Reason.LOW_COVERAGE:
        return _sampler(trial) or found
    return found


def _has_power(track: Track) -> bool:
    return any(c.quantity == tracks.POWER for c in track.columns)


def power_w(trial: Trial) -> list[Point] | Absent:
    """Power as it was read while the subject worked steadily."""
    found = tracks.power_points(device_tracks(trial))
    return _working(trial, found if isinstance(found, Absent) else found[0])


def mean_power_w(trial: Trial) -> Answer:
    """Mean power: energy over time of the energy windows; without them the mean of the readings."""
    found = of_trial(trial)
    if isinstance(found, TrialEnergy):
        return sum(w.gross_j for w in found.windows) / sum(w.duration_s for w in found.windows)
    return _mean(trial, power_w(trial))


def p95_power_w(trial: Trial) -> Answer:
    """The power that 95 of 100 readings do not exceed."""
    return _each(power_w(trial), lambda p: tracks.percentile(p, 0.95))


def mean_of(trial: Trial, quantity: str) -> Answer:
    """The mean of a quantity while the subject worked steadily."""
    return _mean(trial, _working(trial, tracks.points(device_tracks(trial), quantity)))


def largest_of(trial: Trial, quantity: str) -> Answer:
    """The largest reading of a quantity while the subject worked steadily."""
    found = _working(trial, tracks.points(device_tracks(trial), quantity))
    return _each(found, lambda points: max(v for _, v in points))


def _each(found: list[Point] | Absent, of: Callable[[Sequence[Point]], float]) -> Answer:
    return found if isinstance(found, Absent) else of(found)


def _mean(trial: Trial, found: list[Point] | Absent) -> Answer:
    """The mean over the steady spans' time: what lies between them has no weight."""
    if isinstance(found, Absent):
        return found
    own = spans(trial)
    areas = (energy.integral(tracks.within(found, a_s, b_s), a_s, b_s) for a_s, b_s in own)
    return math.fsum(areas) / math.fsum(b_s - a_s for a_s, b_s in own)


def _working(trial: Trial, found: list[Point] | Absent) -> list[Point] | Absent:
    """The readings of the steady spans, if these were watched all the time."""
    if isinstance(found, Absent):
        return _sampler(trial) or found
    times_s = [t for t, _ in found]
    inside: list[Point] = []
    for start_s, end_s in spans(trial):
        own = tracks.within(found, start_s, end_s)
        if not own or energy.coverage(times_s, start_s, end_s) < energy.LEAST_COVERAGE:
            return _sampler(trial) or _uncovered(times_s, start_s)
        inside += own
    return inside or Absent(reason="the trial has no steady window", code=Reason.NO_ENERGY_WINDOW)


def _sampler(trial: Trial) -> Absent | None:
    """Why the sampler did not get to its end, if it did not."""
    lost = trial.subject.get(SAMPLER_FACT)
    return lost if isinstance(lost, Absent) else None


def _uncovered(times_s: Sequence[float], start_s: float) -> Absent:
    if times_s[0] > start_s:
        return Absent(
            reason="the sampler had its first reading after the work began",
            remedy="Measure longer: --profile standard.",
            code=Reason.SAMPLER_LATE,
        )
    return Absent(
        reason="the readings have a hole where the work was",
        remedy="Run again; the machine was too busy for ten readings a second.",
        code=Reason.LOW_COVERAGE,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Share of the working time (0 to 1) with clocks held down: so much at least, and at most."""

    least: float
    most: float
    source: str


def throttled_share(trial: Trial) -> Held | Absent:
    """Share of the working time with clocks held down by whatever reason, and how it is known."""
    return _held(trial, THROTTLE_BITS)


def held_metric(found: Sequence[Held]) -> Metric:
    """The mean of some shares: an estimate where it is only known to lie between two."""
    least, most = statistics.fmean(h.least for h in found), statistics.fmean(h.most for h in found)
    source = "; ".join(dict.fromkeys(h.source for h in found))
    if least == most:
        return Measured(value=least, n=len(found), source=source)
    return Estimated(
        value=least,
        interval=Interval(low=least, high=most, level=LEVEL),
        method="at least: reasons are counted apart, and may have held at the same time",
        from_=(source,),
    )


def _held(trial: Trial, reasons: int) -> Held | Absent:
    """The share of some reasons (bits).

    Cumulative counters of driver or kernel see each event and not which events meet: together these
    last no less than the longest and no longer than all in a row. Polled reasons see what meets, and
    miss what is short: they choose between the two, and stand alone for reasons that nothing counts.
    """
    columns = [
        column
        for track in device_tracks(trial)
        for column in track.columns
        if THROTTLE_COUNTER.fullmatch(column.quantity)
    ]
    risen = {c.quantity: _rise_share(trial, c.quantity) for c in columns}
    counted = {name: share for name, share in risen.items() if share is not None}
    shares = [share for name, share in counted.items() if _counts(name) & reasons]
    polled = _working(trial, tracks.points(device_tracks(trial), "throttle_reasons_bits"))
    if isinstance(polled, Absent):
        if shares:
            most = min(1.0, sum(shares))
            return Held(least=min(most, max(shares)), most=most, source=COUNTED)
        why = next((c.absent for c in columns if c.absent is not None), None)
        return why if why is not None and polled == tracks.NOT_READ else polled
    seen = _share_with(polled, reasons)
    if not shares:
        return Held(least=seen, most=seen, source=POLLED)
    uncounted = reasons & ~functools.reduce(operator.or_, map(_counts, counted))
    beside = _share_with(polled, uncounted)
    least, most = max(*shares, beside), min(1.0, sum(shares) + beside)
    share = min(max(seen, least), most)
    source = f"{COUNTED} and {POLLED}" if beside or least < most else COUNTED
    return Held(least=share, most=share, source=source)


COUNTED, POLLED = "cumulative counters", "polled reasons"


def _counts(counter: str) -> int:
    """The bits of the reasons whose time a counter counts."""
    return THROTTLE_COUNTERS.get(counter, HEAT_BITS)


def _share_with(polled: Sequence[Point], bits: int) -> float:
    """The share of readings in which any of these bits was set."""
    return sum(bool(int(b) & bits) for _, b in polled) / len(polled)


def _rise_share(trial: Trial, quantity: str) -> float | None:
    found = tracks.points(device_tracks(trial), quantity)
    if isinstance(found, Absent):
        return None
    risen_s = span_s = 0.0
    for start_s, end_s in spans(trial):
        rise = tracks.increase(found, start_s, end_s)
        if isinstance(rise, Absent) or rise[0] < 0:
            return None
        risen_s, span_s = risen_s + rise[0], span_s + rise[1]
    return risen_s / span_s if span_s else None


def host_energy_j_per_sample(trial: Trial) -> tuple[float, float, float] | Absent:
    """Joules of the host's packages a sample, beside the device's: median of windows, low and high.

    The counters were read by the sampler some tenths of a second apart: between its reads around a
    window's edge lies what is not known.
    """
    packages = [t for t in trial.tracks if t.source.partition(":")[0] == HOST_ENERGY]
    if not packages:
        return _sampler(trial) or tracks.NOT_READ
    if not trial.energy:
        return Absent(
            reason="the trial has no energy window",
            remedy="--profile standard",
            code=Reason.NO_ENERGY_WINDOW,
        )
    triples = []
    for window in trial.energy:
        end_s = window.start_s + window.duration_s
        parts = []
        for package in packages:
            counter = tracks.points([package], COUNTER)
            if isinstance(counter, Absent):
                return counter
            part = tracks.risen(counter, window.start_s, end_s)
            if isinstance(part, Absent):
                return _sampler(trial) or part
            parts.append(part)
        triples.append([sum(column) / window.n_samples for column in zip(*parts, strict=True)])
    return trial_energy.over_windows(triples)


def stale_power(trial: Trial, by: TrialEnergy | Absent) -> bool:
    """Whether energy is the integral of a power that never moved, idle or at work: a stuck sensor.

    With a counter beside it a constant power is either confirmed or contradicted by that.
    """
    if isinstance(by, Absent) or by.method != "integral":
        return False
    found = tracks.points(device_tracks(trial), tracks.POWER)
    rest = next((w for w in trial.windows if w.name == "idle"), None)
    if isinstance(found, Absent) or rest is None or not trial.energy:
        return False
    seen = tracks.within(
        found, rest.start_s, trial.energy[-1].start_s + trial.energy[-1].duration_s
    )
    return len(seen) > STALE_READINGS and len({w for _, w in seen}) == 1


STALE_READINGS = 20
"""So many equal readings in milliwatts, idle and at work, no sensor gives that lives."""


def flags(trial: Trial) -> Iterator[str]:
    """``throttled``, ``power_capped``, ``contended`` and ``suspect``, as far as they can be known."""
    for flag, reasons in HELD_BY.items():
        held = _held(trial, reasons)
        if not isinstance(held, Absent) and held.least > THROTTLED_SHARE:
            yield flag
    others = largest_of(trial, "other_processes_count")
    if not isinstance(others, Absent) and others > 0:
        yield "contended"
    found = of_trial(trial)
    if isinstance(found, TrialEnergy) and (found.suspect or stale_power(trial, found)):
        yield "suspect"
