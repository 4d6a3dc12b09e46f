"""How the pairs of a plan stand, from the trials so far: what was lost, what was seen, what it says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dlbench.core.metrics import trial_seconds_per_sample
from dlbench.core.types import Pairing, Plan, Trial
from dlbench.paired import Judgement, judge

LOST_PAIRS = 3
LOST_SHARE = 0.10
"""Three lost pairs that are more than a tenth of all: what failed may well be what was slow, and a
verdict over the rest would be about something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One pairing: pairs begun and lost, the rounds of those that count, and their differences.

    ``judgement`` is what may be said so far; it must not be said where ``unreliable``.
    """

    pairing: Pairing
    n_begun: int
    n_lost: int
    rounds: tuple[int, ...]
    differences: tuple[float, ...]
    judgement: Judgement

    @property
    def unreliable(self) -> bool:
        """Whether so many pairs were lost that nothing may be said."""
        return too_many_lost(self.n_lost, self.n_begun)


def too_many_lost(n_lost: int, n_begun: int) -> bool:
    """Whether so many of the pairs that were begun are lost that nothing may be said."""
    return n_lost >= LOST_PAIRS and n_lost > LOST_SHARE * n_begun


def standings(plan: Plan, trials: Sequence[Trial], *, ended: bool = False) -> tuple[Standing, ...]:
    """Every pairing of a plan, in its order; ``ended`` says that no further pair will come."""
    seen = {p.a: _pairs(p, trials) for p in plan.pairings}
    zone = plan.pairings[0].zone if plan.pairings else 0.0
    said = judge(
        {name: _differences(pairs) for name, pairs in seen.items()},
        plan.profile.looks,
        zone=zone,
        ended=ended,
    )
    return tuple(
        Standing(
            pairing=pairing,
            n_begun=len(seen[pairing.a]),
            n_lost=sum(_lost(pair) for pair in seen[pairing.a].values()),
            rounds=tuple(r for r, pair in seen[pairing.a].items() if _counts(pair)),
            differences=tuple(_differences(seen[pairing.a])),
            judgement=said[pairing.a],
        )
        for pairing in plan.pairings
    )


Pair = tuple[Trial | None, Trial | None]


def _pairs(pairing: Pairing, trials: Sequence[Trial]) -> dict[int, Pair]:
    """A's and B's trial of each round that was begun, in order."""
    sides = (pairing.a, pairing.b)
    found: dict[int, dict[str, Trial]] = {}
    for trial in trials:
        if trial.case_id in sides and trial.role == "measure":
            found.setdefault(trial.round, {})[trial.case_id] = trial
    return {r: (found[r].get(sides[0]), found[r].get(sides[1])) for r in sorted(found)}


def _lost(pair: Pair) -> bool:
    return any(trial is not None and not trial.outcome.ok for trial in pair)


def _counts(pair: Pair) -> bool:
    return all(trial is not None and trial.outcome.ok for trial in pair)


def _differences(pairs: dict[int, Pair]) -> list[float]:
    """ln(seconds of A / seconds of B) of each pair that counts: positive where B is faster."""
    return [
        math.log(trial_seconds_per_sample(a) / trial_seconds_per_sample(b))
        for a, b in pairs.values()
        if a is not None and b is not None and a.outcome.ok and b.outcome.ok
    ]
