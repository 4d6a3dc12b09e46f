"""When a sampler reads: evenly spread, and in step with nothing.

A power sensor that is read every 20 ms exactly sees a load of 500 ms always at the same 25 moments, and
is wrong by the same amount in each period. Reads that are shifted by the multiples of the golden ratio,
modulo one, meet every phase of every period equally often (a low-discrepancy sequence).
"""

from __future__ import annotations

import math

SAMPLE_EVERY_S = 0.1
"""Ten readings a second."""

POWER_EVERY_S = 0.02
"""Of power alone, where there is no energy counter and the integral is all there is."""

GOLDEN = (math.sqrt(5) - 1) / 2


def due_s(n: int, every_s: float) -> float:
    """Seconds from the start to the n-th read; one in each interval of ``every_s``."""
    return (n + math.fmod(n * GOLDEN, 1.0)) * every_s
