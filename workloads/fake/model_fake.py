"""The fake model: what it computes, without computing it."""

from __future__ import annotations

import math
from typing import Any

PARAMETERS = 10
N_OUTPUTS = 8


def outputs(buffer: int) -> list[float]:
    """Sample 0's eight outputs for a buffer."""
    return [math.sin(10.0 * buffer + i) for i in range(N_OUTPUTS)]


def loss(n_updates: int) -> float:
    """The loss after so many updates; it falls."""
    return 2.0 * math.exp(-0.05 * n_updates)


def build(spec: dict[str, Any]) -> dict[str, Any]:
    """The model's settings are all there is to it."""
    return dict(spec["model"])
