"""How steady the machine is just now: the same small piece of arithmetic, timed again and again."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence

from dlbench.core.units import percent
from dlbench.doctor.finding import Finding, Status

REPEATS = 60
WORK = 40_000
"""Additions of one piece: some milliseconds, less than a scheduler's time slice."""

STEADY = 0.02
ROUGH = 0.10
"""The slowest twentieth against the median: 2 % hides what `ab` calls equivalent, 10 % hides most."""

SLOWEST_SHARE = 0.95


def measure() -> tuple[float, ...]:
    """Seconds of each piece."""
    spans_s = []
    for _ in range(REPEATS):
        began_s = time.perf_counter()
        total = 0
        for i in range(WORK):
            total += i
        spans_s.append(time.perf_counter() - began_s)
    return tuple(spans_s)


def excess(spans_s: Sequence[float]) -> float:
    """By how much the slowest twentieth is slower than the median."""
    ordered = sorted(spans_s)
    return ordered[round(SLOWEST_SHARE * (len(ordered) - 1))] / statistics.median(ordered) - 1


def finding(spans_s: Sequence[float]) -> Iterator[Finding]:
    """What the pieces say, and how to know it better."""
    if not spans_s:
        return
    more, usual_ms = excess(spans_s), 1e3 * statistics.median(spans_s)
    status: Status = "ok" if more < STEADY else "limited" if more < ROUGH else "problem"
    yield Finding(
        topic="Noise",
        status=status,
        message=f"the same {usual_ms:.1f} ms of arithmetic takes {percent(more)} longer in the slowest "
        "twentieth of tries",
        remedy="" if status == "ok" else REMEDY,
    )


REMEDY = "Causes, the heaviest first, are below; dlbench ab name=A name=B says what is resolved."
