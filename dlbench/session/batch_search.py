"""Find the batch size of the largest throughput, by short trials that may run out of memory.

    start, 2x, 4x, ...  up while it pays: to the end of memory, of patience, of gains, or of its time
    start/2, ...        down, if up did not pay or start did not fit
    bisection           between the largest that fits and the smallest that does not

Only a lack of memory sends it to smaller sizes. Any other failure ends it: the case keeps the best size
so far, or its own, and its trials tell the failure.

Each size is one worker process, so that one which dies of memory takes nothing with it. What counts as
largest: sizes within ``WORTH`` of the best are as good, and the smallest of them is taken, since it
has the lower latency and leaves memory free.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from dlbench.core.metrics import trial_seconds_per_sample
from dlbench.core.types import Absent, BatchProbe, BatchSearch, Case, OutcomeKind, Profile, Trial
from dlbench.session.schedule import Next
from dlbench.session.signals import StopSignal
from dlbench.session.workers import Workers

WORTH = 0.02
"""A larger batch must gain this much: a short trial cannot tell less, and it costs memory."""

MOST = 2**20
"""Far above every default. A search that pays up to here has not found its end, and says so."""

LONGEST_STEP_S = 10.0
"""Larger batches than take this long are not searched either: a trial of them would take minutes."""

FINENESS = 8
"""The edge of memory is found to an eighth."""

PROFILE = Profile(
    name="search",
    target_half_width=1.0,
    looks=(1,),
    min_values=3,
    max_values=10,
    max_steady_s=3.0,
    max_warm_up_s=3.0,
    time_budget_s=None,
    min_warm_up_s=0.5,
    min_steady_s=0.5,
)

OUT_OF_MEMORY = (OutcomeKind.OOM_DEVICE, OutcomeKind.OOM_HOST)

Told = Callable[[int, BatchProbe], None]


def search(
    case: Case, workers: Workers, stop: StopSignal, told: Told, until_s: float = math.inf
) -> BatchSearch:
    """Try batch sizes of a case, beginning with its own, and no further one after ``until_s``."""

    def measure(size: int) -> BatchProbe:
        sized = replace(case, batch_size=size)
        upcoming = Next(case=sized, round=0, role="search", position=0)
        trial, _ = workers.run(upcoming, lambda _: None, stop, PROFILE)
        probe = _probe(size, trial)
        told(size, probe)
        return probe

    ladder = Ladder(measure=measure, stopped=lambda: stop.asked or time.monotonic() >= until_s)
    best = ladder.climb(case.batch_size)
    return BatchSearch(
        case_id=case.case_id,
        batch_size=best or case.batch_size,
        probes=ladder.in_order(),
        capped=ladder.capped,
    )


def _probe(size: int, trial: Trial) -> BatchProbe:
    if trial.outcome.ok and trial.values:
        speed: float | Absent = 1 / trial_seconds_per_sample(trial)
    else:
        speed = Absent(reason=trial.outcome.message or str(trial.outcome))
    return BatchProbe(batch_size=size, samples_per_s=speed, outcome=trial.outcome.kind)


@dataclass(slots=True, kw_only=True)
class Ladder:
    """The search itself, over whatever measures one size."""

    measure: Callable[[int], BatchProbe]
    stopped: Callable[[], bool] = lambda: False
    probes: dict[int, BatchProbe] = field(default_factory=dict)
    capped: bool = False

    def climb(self, start: int) -> int | None:
        """The best size, or None if not even one sample could be run."""
        gained = self._walk(start, up=True)
        if not gained:
            self._walk(start, up=False)
        self._bisect()
        best = self.best()
        if self.stopped() and best == max(self.probes):
            self.capped = True
        return best

    def best(self) -> int | None:
        """The smallest size whose throughput is as good as the largest."""
        speeds = {n: s for n, p in self.probes.items() if isinstance(s := p.samples_per_s, float)}
        most = max(speeds.values(), default=None)
        if most is None:
            return None
        return min(n for n, speed in speeds.items() if speed >= most * (1 - WORTH))

    def in_order(self) -> tuple[BatchProbe, ...]:
        """All that was tried, smallest first."""
        return tuple(self.probes[n] for n in sorted(self.probes))

    def _walk(self, start: int, *, up: bool) -> bool:
        """Double or halve while it pays; whether any size was better than ``start``."""
        first = self._speed(start)
        if first is None and up:
            return False
        last, gained, size = first or 0.0, False, start
        while not self._ended():
            size = size * 2 if up else size // 2
            if not 1 <= size <= MOST:
                self.capped = up
                return gained
            speed = self._speed(size)
            if speed is None:
                if up:
                    return gained
                continue
            # The first size that fits on the way down is the top of what can be had.
            if speed <= last * (1 + WORTH):
                return gained
            gained, last = True, speed
            if up and size / speed > LONGEST_STEP_S:
                self.capped = True
                return gained
        return gained

    def _bisect(self) -> None:
        """Close in on the edge of memory, if the best size lies at it."""
        while not self._ended():
            best = self.best()
            failed = [n for n, p in self.probes.items() if p.outcome in OUT_OF_MEMORY]
            if best is None or not failed:
                return
            edge = min(failed)
            fits = max((n for n in self.probes if n < edge), default=0)
            if fits != best or edge - fits <= max(1, fits // FINENESS):
                return
            self._speed((fits + edge) // 2)

    def _ended(self) -> bool:
        """Whether a stop was asked for, or a size failed of what no other size would mend."""
        mended = (OutcomeKind.OK, *OUT_OF_MEMORY)
        return self.stopped() or any(p.outcome not in mended for p in self.probes.values())

    def _speed(self, size: int) -> float | None:
        if size not in self.probes:
            self.probes[size] = self.measure(size)
        speed = self.probes[size].samples_per_s
        return speed if isinstance(speed, float) else None
