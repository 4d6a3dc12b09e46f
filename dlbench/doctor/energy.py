"""Energy: by what it can be measured here, how often the counter moves, and how good the sensor is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dlbench.core import energy as arithmetic
from dlbench.core import sensors, units
from dlbench.core.energy import Idle
from dlbench.core.types import Absent, DeviceInfo, Reading, all_known
from dlbench.doctor.finding import Finding
from dlbench.measure import energy

WATCH_S = 0.4
"""Four ticks of the slowest usual counter."""

TOPIC = "Energy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """What was found of one device: its counters at rest by source, and what its power readings are.

    ``averaging_s`` is None where there is no power sensor.
    """

    at_rest: Mapping[str, Idle | Absent]
    averaging_s: float | None


def examine(device: DeviceInfo) -> Energy:
    """Watch a device's counters for a moment."""
    found = energy.find_meters(device)
    counters = energy.Counters(meters=found.meters)
    if found.counted:
        counters.idle(WATCH_S)
    reads = sorted((*found.first, *counters.readings), key=lambda r: r.t_s)
    sources = dict.fromkeys(r.source for r in reads)
    return Energy(
        at_rest={source: _at_rest([r for r in reads if r.source == source]) for source in sources},
        averaging_s=found.averaging_s,
    )


def _at_rest(reads: Sequence[Reading]) -> Idle | Absent:
    values = all_known(reading.value for reading in reads)
    if isinstance(values, Absent):
        return values
    return arithmetic.idle(list(zip((r.t_s for r in reads), values, strict=True)))


def findings(devices: Sequence[DeviceInfo], examined: Mapping[str, Energy]) -> Iterator[Finding]:
    """By which way each device's energy would be measured, or what would enable one."""
    for device in devices:
        found = examined.get(device.id)
        if found is not None:
            yield from _of_device(device, found)


def _of_device(device: DeviceInfo, found: Energy) -> Iterator[Finding]:
    counted = {s: i for s, i in found.at_rest.items() if not isinstance(i, Absent)}
    for source, idle in counted.items():
        yield Finding(
            topic=TOPIC,
            status="ok",
            message=f"{device.id}: by the counter {source}, which moves each "
            f"{units.duration(idle.period_s)}; now {units.significant(idle.power_w)} W",
        )
    if counted:
        yield _floor(device)
        return
    if found.averaging_s is not None:
        kind = "means of a second" if found.averaging_s else "instant"
        yield Finding(
            topic=TOPIC,
            status="limited",
            message=f"{device.id}: no energy counter, by the integral of power ({kind})",
            remedy="It needs windows of 10 s: --profile standard or strict.",
        )
        yield _floor(device)
        return
    for absent in dict.fromkeys(i for i in found.at_rest.values() if isinstance(i, Absent)):
        yield Finding(
            topic=TOPIC,
            status="missing",
            message=f"{device.id}: not measured: {absent.reason}",
            remedy=absent.remedy,
        )


def _floor(device: DeviceInfo) -> Finding:
    error = sensors.of_device(device)
    return Finding(
        topic=TOPIC,
        status="ok",
        message=f"{device.id}: its sensor is taken to err by {error.low:+.0%} to {error.high:+.0%} "
        f"({error.source})",
    )
