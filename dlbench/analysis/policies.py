"""Where ``tuned`` did not pay: cases that this machine runs slower with an expert's settings."""

from __future__ import annotations

from collections.abc import Iterable

from dlbench.analysis import compare
from dlbench.analysis.compare import Comparison
from dlbench.core.types import Policy

SLOWER_ON = {Policy.TUNED: "slower", Policy.BASE: "faster"}
"""The verdict on B that means a slower ``tuned``, by which policy B has."""


def slower_tuned(comparisons: Iterable[Comparison]) -> tuple[Comparison, ...]:
    """Those of one case under both policies whose ``tuned`` is slower by more than the interval."""
    return tuple(
        c for c in comparisons if c.varied == "policy" and c.verdict == SLOWER_ON[c.b.policy]
    )


def sentence(comparison: Comparison) -> str:
    """What a user of ``tuned`` must know, with the numbers."""
    return f"tuned is slower than base here, so use base: {compare.sentence(comparison)}"
