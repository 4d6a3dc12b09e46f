"""When warm-up is over: one rule, written beforehand, the same for all that will be compared."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

WINDOW_VALUES = 5
"""Two windows of five: long enough for a median that one outlier cannot move."""

STEADY_CHANGE = 0.02
"""Consecutive windows that differ by less are called steady."""


def is_steady(durations_s: Sequence[float]) -> bool:
    """Whether the medians of the last two windows of values differ by under 2 %."""
    if len(durations_s) < 2 * WINDOW_VALUES:
        return False
    earlier = statistics.median(durations_s[-2 * WINDOW_VALUES : -WINDOW_VALUES])
    later = statistics.median(durations_s[-WINDOW_VALUES:])
    return abs(later / earlier - 1) < STEADY_CHANGE
