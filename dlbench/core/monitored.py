"""What was read while any program ran: energy, power, utilisation and memory of each device.

The same arithmetic as of a trial: the program's run is one energy window, before which the device was
watched while it had nothing to do.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlbench.core import sensors, telemetry, tracks
from dlbench.core.reasons import Reason
from dlbench.core.sensors import SensorError
from dlbench.core.stats import LEVEL
from dlbench.core.trial_energy import TrialEnergy
from dlbench.core.types import (
    Absent,
    DeviceInfo,
    Estimated,
    Fact,
    Interval,
    Measured,
    Metric,
    Monitored,
    MonitoredDevice,
    Outcome,
    OutcomeKind,
    Trial,
    Value,
    Window,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number of a monitored program: its name, its unit, and what is known of it."""

    name: str
    unit: str
    value: Metric


def duration_s(monitored: Monitored) -> float:
    """How long the program ran."""
    run = _work(monitored)
    return run.end_s - run.start_s


def _work(monitored: Monitored) -> Window:
    return next(w for w in monitored.windows if w.name == "energy")


def of_host(monitored: Monitored) -> tuple[Figure, ...]:
    """Time, processor time and memory of the program and its children."""
    peak_mib = _peak_mib(monitored)
    return (
        Figure(name="duration_s", unit="s", value=_measured(duration_s(monitored), "host clock")),
        Figure(name="cpu_s", unit="s", value=_measured(monitored.cpu_s, "the kernel's accounts")),
        Figure(name="peak_rss_mib", unit="MiB", value=_measured(peak_mib, "all its processes")),
    )


def _peak_mib(monitored: Monitored) -> float | Absent:
    """The largest reading while the program ran: what waits to become it is no part of it."""
    rss = tracks.points(monitored.host, "rss_mib")
    if isinstance(rss, Absent):
        return rss
    run = _work(monitored)
    own = tracks.within(rss, run.start_s, run.end_s)
    return max(mib for _, mib in own) if own else UNSEEN


UNSEEN = Absent(reason="it had ended before it was read", code=Reason.LOW_COVERAGE)


def of_device(
    monitored: Monitored, part: MonitoredDevice, device: DeviceInfo | None
) -> tuple[Figure, ...]:
    """Energy, power, utilisation, heat, clocks, throttling and memory of one device."""
    trial = as_trial(monitored, part)
    found = telemetry.of_trial(trial)
    error = sensors.of_device(device)

    def mean(quantity: str) -> Metric:
        return _measured(telemetry.mean_of(trial, quantity), "readings")

    def largest(quantity: str) -> Metric:
        return _measured(telemetry.largest_of(trial, quantity), "readings")

    held = telemetry.throttled_share(trial)
    suspect = telemetry.stale_power(trial, found)
    return (
        Figure(name="energy_j", unit="J", value=_energy(found, error, suspect=suspect)),
        Figure(
            name="net_energy_j",
            unit="J",
            value=_energy(found, error, net=True, suspect=suspect),
        ),
        Figure(
            name="mean_power_w",
            unit="W",
            value=_measured(telemetry.mean_power_w(trial), "energy over time"),
        ),
        Figure(
            name="p95_power_w", unit="W", value=_measured(telemetry.p95_power_w(trial), "readings")
        ),
        Figure(name="utilisation_percent", unit="%", value=mean("utilisation_percent")),
        Figure(name="sm_clock_mhz", unit="MHz", value=mean("sm_clock_mhz")),
        Figure(name="max_temperature_c", unit="degC", value=largest("temperature_c")),
        Figure(name="peak_device_memory_mib", unit="MiB", value=largest("memory_used_mib")),
        Figure(
            name="throttled_share",
            unit="share",
            value=held if isinstance(held, Absent) else telemetry.held_metric([held]),
        ),
    )


def as_trial(monitored: Monitored, part: MonitoredDevice) -> Trial:
    """One device's part in the form that telemetry is computed from: one window, one sample."""
    subject: dict[str, Fact] = {} if part.lost is None else {telemetry.SAMPLER_FACT: part.lost}
    return Trial(
        case_id="",
        round=0,
        role="monitor",
        position=0,
        started_utc=monitored.started_utc,
        outcome=Outcome(kind=OutcomeKind.OK),
        windows=monitored.windows,
        readings=part.readings,
        tracks=part.tracks,
        subject=subject,
        energy=tuple(
            Value(start_s=w.start_s, duration_s=w.end_s - w.start_s, n_samples=1)
            for w in monitored.windows
            if w.name == "energy"
        ),
    )


def _measured(value: float | Absent, source: str) -> Metric:
    return value if isinstance(value, Absent) else Measured(value=value, n=1, source=source)


def _energy(
    found: TrialEnergy | Absent, error: SensorError, *, suspect: bool, net: bool = False
) -> Metric:
    if isinstance(found, Absent):
        return found
    value, low, high = found.per_sample_j(net=net)
    ends = (value, *sensors.true_range(low, error), *sensors.true_range(high, error))
    bounds = Interval(low=min(ends), high=max(ends), level=LEVEL)
    source = f"{found.method}: {found.source}; sensor: {error.source}"
    if suspect or found.suspect:
        doubt = telemetry.SUSPECT
    elif not found.reportable:
        doubt = "it ran for less than 5 s or 50 periods of the counter"
    else:
        return Measured(value=value, interval=bounds, n=1, source=source)
    return Estimated(value=value, interval=bounds, method=doubt, from_=(source,))
