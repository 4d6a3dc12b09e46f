"""Controls: what this machine does to a trivial program at the moment at which another is tested.

A bound in seconds must be wide enough for a busy machine, and then sees no fault. Beside a control it
need not be: a machine that wakes the one late wakes the other late too.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Sequence
from typing import Self

from dlbench.measure.schedule import SAMPLE_EVERY_S, due_s

GAPS = 5
"""Single gaps of the schedule alternate between 0.6 and 1.6 of its period; over five they are even."""

WAKE_UPS = 5
"""More waits than are in the way of anything that is tested here; each may be as late as the latest."""


def gap_s(times_s: Sequence[float]) -> float:
    """Median seconds from one read of the schedule to the next, over five of them.

    Raises:
        StatisticsError: there are not so many.
    """
    pairs = zip(times_s, times_s[GAPS:], strict=False)
    return statistics.median((later - earlier) / GAPS for earlier, later in pairs)


class Metronome:
    """A thread that wakes on the sampler's schedule and does nothing else, until its block ends."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._tick)
        self._beats: list[tuple[float, float]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _tick(self) -> None:
        start_s, n = time.monotonic(), 0
        while True:
            n = max(n + 1, int((time.monotonic() - start_s) / SAMPLE_EVERY_S))
            beat_s = start_s + due_s(n, SAMPLE_EVERY_S)
            if self._done.wait(max(0.0, beat_s - time.monotonic())):
                return
            self._beats.append((beat_s, time.monotonic()))

    def woke_s(self, from_s: float, to_s: float) -> list[float]:
        """When it woke, of a span of the monotonic clock."""
        return [woke_s for _, woke_s in self._beats if from_s <= woke_s <= to_s]

    def latest_s(self, from_s: float, to_s: float) -> float:
        """How late it woke at most in a span.

        Raises:
            ValueError: it never woke.
        """
        return max(woke_s - beat_s for beat_s, woke_s in self._beats if from_s <= woke_s <= to_s)


def assert_took(expected_s: float, from_s: float, to_s: float, beside: Metronome) -> None:
    """A span is as long as its timeouts, and longer by no more than what delays a sleeper meanwhile.

    A quarter is for what is done besides waiting.
    """
    late_s = beside.latest_s(from_s, to_s)
    took_s = to_s - from_s
    assert expected_s <= took_s < 1.25 * expected_s + WAKE_UPS * late_s, (took_s, late_s)
