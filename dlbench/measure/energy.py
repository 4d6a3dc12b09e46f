"""Energy windows: a phase of its own, in which the counter's ticks are seen to happen.

    settle | idle ................... | tick | work .... | sync, idle .. tick | settle | tick | ...
             tick tick tick ... tick          window 1                                  window 2

The counter is polled while the device is idle (its period and the idle power are found there), the
work begins right after a tick, and after it the device stays idle until the next one. Between
the edges a sampler in another process reads, and here a counter that wraps is followed and no more.
Only the reads that bound a tick are kept. What they mean is computed by ``core.energy`` when a document
is read.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dlbench.core import energy, registry
from dlbench.core.protocols import Device, Meter
from dlbench.core.reasons import Reason
from dlbench.core.tracks import POWER
from dlbench.core.trial_energy import COUNTER
from dlbench.core.types import Absent, DeviceInfo, Profile, Reading, Value, Window

POLL_S = 1e-3
"""Between two polls of a counter: a tick is known to within half of that and the call's length."""

LEAST_IDLE_TICKS = 3
"""Idle power is a difference of two ticks; a third shows the period."""

MOST_IDLE_S = 4.0
"""A counter that did not tick three times in this time is taken to be frozen."""

MOST_PERIODS = 3.0
LEAST_WAIT_S = 0.25
"""A tick is awaited this many periods, and never less than a quarter of a second: polls are late.

Only time that was watched counts: what passed while this process was held up is no waiting in vain."""

SPARE_S = 0.2
"""Waited beside the second that many power readings are a mean of: they must have left the work behind
before idle power is read, and they are awaited after it. Clocks and power fall in this time too."""


FOLLOW_S = 10.0
"""Counters that start again at 0 are read so often while work lasts: a third of the shortest time in
which one could do so twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyPlan:
    """How energy is measured: ``n_windows`` of ``window_s``, after ``idle_s`` of idling.

    ``settle_s`` is waited before idling and after each window.
    """

    window_s: float
    n_windows: int
    idle_s: float
    settle_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyRecord:
    """What the energy phase leaves: windows, samples in each, and the reads that bound ticks."""

    values: tuple[Value, ...]
    windows: tuple[Window, ...]
    readings: tuple[Reading, ...]


NOTHING = EnergyRecord(values=(), windows=(), readings=())
"""Of a trial whose energy is not measured."""


UNENDED = "energy"
"""The source of the reading that stands for energy which was not measured to its end."""


def unended(why: str) -> Reading:
    """What stands for the energy of a trial whose energy windows did not end."""
    return Reading(
        t_s=0.0,
        source=UNENDED,
        quantity=COUNTER,
        value=Absent(
            reason=why,
            remedy="The trial's log says what happened; --telemetry off leaves them out.",
            code=Reason.LOST_IN_WINDOW,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A device's energy meters: whether they count, over how long its power readings are means.

    ``averaging_s`` is None where it has no power sensor; ``first`` is the first read of the counters.
    """

    meters: tuple[Meter, ...]
    counted: bool
    averaging_s: float | None
    first: tuple[Reading, ...]

    @property
    def any_sensor(self) -> bool:
        """Whether energy can be measured at all, by a counter or as the integral of power."""
        return self.counted or self.averaging_s is not None


def find_meters(device: DeviceInfo) -> Found:
    """The meters of a device, asked once for what they can do."""
    kind = registry.device_kind(device.kind)
    counters = getattr(kind, "energy_meters", kind.meters)(device)
    first = tuple(r for meter in counters for r in meter.read() if r.quantity == COUNTER)
    return Found(
        meters=tuple(counters),
        counted=any(not isinstance(r.value, Absent) for r in first),
        averaging_s=_averaging_s(kind, device),
        first=first,
    )


def _averaging_s(kind: Device, device: DeviceInfo) -> float | None:
    meters = getattr(kind, "power_meters", kind.meters)(device)
    for meter in meters:
        for reading in meter.read():
            if reading.quantity == POWER and not isinstance(reading.value, Absent):
                means: Mapping[str, float] = getattr(meter, "averaging_s", {})
                return means.get(POWER, 0.0)
    return None


Run = Callable[[float], Value]
"""Works for about that many seconds; returns when it really worked, synchronised at its end, and the
samples done."""


def plan_of(profile: Profile, *, counted: bool, averaging_s: float) -> EnergyPlan | None:
    """The energy phase of a profile, or None where it has none.

    Args:
        profile: says how long and how often.
        counted: whether there is an energy counter. Without one windows last longer, and a profile
            that has no time for that measures no energy.
        averaging_s: over how long a reading of power is a mean, if there is one.
    """
    window_s = profile.energy_window_s
    if not profile.energy_windows or (not counted and window_s < energy.LEAST_WINDOW_S):
        return None
    integrated = window_s >= energy.LEAST_INTEGRAL_S
    return EnergyPlan(
        window_s=window_s if counted else max(window_s, energy.LEAST_AVERAGED_S),
        n_windows=profile.energy_windows,
        idle_s=profile.energy_idle_s,
        settle_s=SPARE_S + (averaging_s if integrated else 0.0),
    )


def phase_s(profile: Profile, device: DeviceInfo) -> float:
    """Seconds that a trial's energy will take on a device; 0 without a sensor or time for it."""
    found = find_meters(device)
    plan = plan_of(profile, counted=found.counted, averaging_s=found.averaging_s or 0.0)
    if plan is None or not found.any_sensor:
        return 0.0
    return plan.settle_s + plan.idle_s + plan.n_windows * (plan.window_s + plan.settle_s)


def measure(
    plan: EnergyPlan,
    run: Run,
    meters: Sequence[Meter],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    prepare: Callable[[], object] = lambda: None,
) -> EnergyRecord:
    """Idle, then run the windows; all on ``clock``. A meter that fails takes nothing along.

    ``prepare`` is called before each window, to use up what a loader has made while the device idled.
    """
    watch = Counters(meters=meters, clock=clock, sleep=sleep)
    sleep(plan.settle_s)
    start_s = clock()
    watch.idle(plan.idle_s)
    # Without a counter nothing was polled; the sampler beside us needs the time all the same.
    sleep(max(0.0, start_s + plan.idle_s - clock()))
    windows = [Window(name="idle", start_s=start_s, end_s=clock())]
    values = []
    for _ in range(plan.n_windows):
        prepare()
        watch.await_tick()
        # A window ends with a whole step, however long that takes.
        with followed([watch]):
            value = run(plan.window_s)
        watch.await_tick()
        sleep(plan.settle_s)
        values.append(value)
        end_s = value.start_s + value.duration_s
        windows.append(Window(name="energy", start_s=value.start_s, end_s=end_s))
    return EnergyRecord(
        values=tuple(values),
        windows=tuple(windows),
        readings=tuple(sorted(watch.readings, key=lambda r: r.t_s)),
    )


@dataclass(slots=True, kw_only=True)
class Counters:
    """Polls the energy counters of some meters, and keeps the reads that bound their ticks."""

    meters: Sequence[Meter]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    readings: list[Reading] = field(default_factory=list)
    period_s: float = 0.0

    def idle(self, least_s: float) -> None:
        """Poll for ``least_s`` and until each counter ticked thrice; keep first and last ticks."""
        start_s = self.clock()
        moves: dict[str, list[tuple[Reading, Reading]]] = {}
        latest: dict[str, Reading] = {}
        for source, before, now in self._polls():
            latest[source] = now
            found = moves.setdefault(source, [])
            if _ticked(before, now):
                found.append((before, now))
            elapsed_s = self.clock() - start_s
            ticked = all(len(found) >= LEAST_IDLE_TICKS for found in moves.values())
            if elapsed_s >= MOST_IDLE_S or (elapsed_s >= least_s and ticked):
                break
        for source, found in moves.items():
            if not found:
                # A counter that never moved is a fact too, and not the same as no counter.
                self._keep(latest[source])
            kept = dict.fromkeys([*found[: energy.FIRST_TICKS + 1], *found[-1:]])
            for pair in kept:
                self._keep(*pair)
        points = {source: _points(found) for source, found in moves.items()}
        periods_s = [energy.period_s(energy.ticks(p)) for p in points.values() if len(p) > 2]  # noqa: PLR2004
        self.period_s = max((p for p in periods_s if p < MOST_IDLE_S), default=0.0)

    def await_tick(self) -> None:
        """Poll until each counter ticked once more, or for a few periods in vain."""
        patience_s = max(LEAST_WAIT_S, MOST_PERIODS * self.period_s)
        watched_s, last_s = 0.0, self.clock()
        seen: dict[str, bool] = {}
        for source, before, now in self._polls():
            if not seen.setdefault(source, False) and _ticked(before, now):
                seen[source] = True
                self._keep(before, now)
            now_s = self.clock()
            watched_s += min(now_s - last_s, energy.MOST_POLL_GAP_S)
            last_s = now_s
            if all(seen.values()) or watched_s >= patience_s:
                return

    @property
    def wrap(self) -> bool:
        """Whether any of them starts again at 0 beyond its range, and must be followed."""
        return any(getattr(meter, "wraps", False) for meter in self.meters)

    def follow(self) -> None:
        """Read each once, so that none starts again at 0 unseen; nothing is kept."""
        for meter in self.meters:
            meter.read()

    def _polls(self) -> Iterator[tuple[str, Reading, Reading]]:
        """Each counter's read with the one before it; for ever, while there is a counter."""
        last: dict[str, Reading] = {}
        while True:
            found = [r for meter in self.meters for r in meter.read() if r.quantity == COUNTER]
            alive = False
            for reading in found:
                before = last.get(reading.source)
                last[reading.source] = reading
                if isinstance(reading.value, Absent):
                    if before is None or not isinstance(before.value, Absent):
                        self.readings.append(reading)
                    continue
                alive = True
                if before is not None:
                    yield reading.source, before, reading
            if not alive:
                return
            self.sleep(POLL_S)

    def _keep(self, *pair: Reading) -> None:
        self.readings += [r for r in pair if not self.readings or r is not self.readings[-1]]


@contextlib.contextmanager
def followed(counters: Sequence[Counters]) -> Iterator[None]:
    """While the work lasts, a thread reads what starts again at 0, if there is any; nobody else may.

    What wakes for a tenth of a millisecond every ten seconds is in nobody's way.
    """
    wrapping = [counter for counter in counters if counter.wrap]
    if not wrapping:
        yield
        return
    over = threading.Event()

    def follow() -> None:
        while not over.wait(FOLLOW_S):
            for counter in wrapping:
                counter.follow()

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        over.set()
        follower.join()


def _ticked(before: Reading, now: Reading) -> bool:
    """Whether two reads bound a tick; of a move between two late ones nobody knows the moment."""
    both = not isinstance(before.value, Absent) and not isinstance(now.value, Absent)
    late = now.t_s - before.t_s > energy.MOST_POLL_GAP_S
    return both and before.value != now.value and not late


def _points(pairs: Sequence[tuple[Reading, Reading]]) -> list[energy.Point]:
    return [
        (reading.t_s, reading.value)
        for pair in pairs
        for reading in pair
        if not isinstance(reading.value, Absent)
    ]
