"""Watch devices around a span of anybody's work: baseline before, samplers beside, ticks after."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from dlbench.core.telemetry import OFF, is_beside
from dlbench.core.types import (
    DeviceInfo,
    MonitoredDevice,
    Reading,
    TelemetryLevel,
    Track,
    Window,
)
from dlbench.measure import energy
from dlbench.telemetry.sampler import Recording, Sampler

READY_S = 5.0
"""Samplers that have read nothing after this long are not waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What was read: windows (``idle`` before, ``energy`` the work), each device's part, the host's."""

    windows: tuple[Window, ...]
    devices: tuple[MonitoredDevice, ...]
    host: tuple[Track, ...]


@dataclass(slots=True, kw_only=True)
class Watch:
    """Of some devices and one process with its children; ``prepare``, ``begin``, ``end``, in order.

    Nothing that goes wrong here raises: it becomes an ``Absent`` in its place.
    """

    devices: Sequence[DeviceInfo]
    level: TelemetryLevel
    samplers: list[Sampler] = field(default_factory=list)
    found: list[energy.Found] = field(default_factory=list)
    counters: list[energy.Counters] = field(default_factory=list)
    idle: Window | None = None
    begin_s: float = 0.0
    _following: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def prepare(self, pid: int, idle_s: float) -> None:
        """Start the samplers, and watch the devices for ``idle_s`` while nothing is done yet.

        What was done until now must have left the devices' clocks, and the readings of power that are
        means. A machine without any sensor of energy is not made to wait.
        """
        called_s = time.monotonic()
        if self.level is TelemetryLevel.OFF:
            return
        for device in self.devices:
            sampler = Sampler(device, self.level)
            sampler.start(pid, exclude=[s.pid for s in self.samplers if s.pid is not None])
            self.samplers.append(sampler)
        self.found = [energy.find_meters(device) for device in self.devices]
        self.counters = [energy.Counters(meters=found.meters) for found in self.found]
        self._await_samplers()
        if any(found.any_sensor for found in self.found):
            self._await_settled(called_s)
        start_s = time.monotonic()
        for counter in self.counters:
            counter.idle(idle_s)
        if any(found.averaging_s is not None for found in self.found):
            time.sleep(max(0.0, start_s + idle_s - time.monotonic()))
        self.idle = Window(name="idle", start_s=start_s, end_s=time.monotonic())

    def begin(self) -> None:
        """The work begins now, right after a tick of each counter."""
        for counter in self.counters:
            counter.await_tick()
        self._following.enter_context(energy.followed(self.counters))
        self.begin_s = time.monotonic()

    def end(self) -> Watched:
        """The work is over; its devices are idle until each counter has ticked."""
        end_s = time.monotonic()
        self._following.close()
        for counter in self.counters:
            counter.await_tick()
        if self._late_s:
            self._await_settled(end_s)
        recordings = [sampler.stop(len(self.samplers) - 1) for sampler in self.samplers]
        work = Window(name="energy", start_s=self.begin_s, end_s=end_s)
        if not recordings:
            return Watched(
                windows=(work,),
                devices=tuple(MonitoredDevice(device=d.id, lost=OFF) for d in self.devices),
                host=(),
            )
        return Watched(
            windows=(work,) if self.idle is None else (self.idle, work),
            devices=tuple(
                _part(device, recording, counter.readings)
                for device, recording, counter in zip(
                    self.devices, recordings, self.counters, strict=True
                )
            ),
            host=tuple(t for t in recordings[-1].tracks if is_beside(t)),
        )

    def _await_samplers(self) -> None:
        deadline_s = time.monotonic() + READY_S
        while time.monotonic() < deadline_s and not all(s.has_read for s in self.samplers):
            time.sleep(0.005)

    @property
    def _late_s(self) -> float:
        """Readings that are means of a second speak of work until a second after it."""
        return max((found.averaging_s or 0.0 for found in self.found), default=0.0)

    def _await_settled(self, since_s: float) -> None:
        time.sleep(max(0.0, since_s + self._late_s + energy.SPARE_S - time.monotonic()))


def _part(device: DeviceInfo, recording: Recording, readings: Sequence[Reading]) -> MonitoredDevice:
    return MonitoredDevice(
        device=device.id,
        readings=tuple(sorted(readings, key=lambda r: r.t_s)),
        tracks=tuple(t for t in recording.tracks if not is_beside(t)),
        lost=recording.lost,
    )
